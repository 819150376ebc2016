"""What keeps Ray, in this process, from what is the caller's: its network, its standard output, its signals."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Variables: nothing is reported to anybody, and nothing is warned of that is taken care of."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Variables: on any system, no address is taken that others can reach. Whoever reaches Ray can run programs."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RAYS = "ray_"
"""Begins the names of Ray's threads."""


class StdoutKept:
    """Standard output without what Ray's own threads print there, also when it was told to print no logs.

    That a machine was lost, they say half a minute late; the step that was lost with it has said so already.
    """

    def __init__(self) -> None:
        self._stdout: Any = sys.stdout
        sys.stdout = self

    def write(self, text: str) -> int:
        """See `io.TextIOBase`."""
        if threading.current_thread().name.startswith(_RAYS):
            return len(text)
        return int(self._stdout.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout, name)

    def give_back(self) -> None:
        """Put standard output where it was."""
        if sys.stdout is self:
            sys.stdout = self._stdout


@contextmanager
def signals_kept() -> Iterator[None]:
    """Ray puts its own handler of SIGTERM in the place of ours, and takes what ours raises for a fault of its own.

    So a signal that comes meanwhile waits until Ray is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    kept = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if came:
            signal.raise_signal(came[0])
