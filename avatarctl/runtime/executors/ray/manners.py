"""What keeps Ray, in this process, from what is the caller's: its network, its standard output, its signals."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from avatarctl.runtime import attended

SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Variables: nothing is reported to anybody, and nothing is warned of that is taken care of."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Variables: on any system, no address is taken that others can reach. Whoever reaches Ray can run programs."""
_AFTER_SIGNAL = 8.0
"""Seconds. A process that is asked to end is expected to be gone within ten."""
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


class StartThread:
    """The thread that starts Ray, and lives as long as Ray: the kernel ends what a thread has started with it.

    On the main thread Ray would put its own handlers of signals in the place of ours, and take what ours raise for a
    fault of its own.
    """

    def __init__(self) -> None:
        self._begun = threading.Event()
        self._over = threading.Event()
        self._failed: BaseException | None = None

    @property
    def is_starting(self) -> bool:
        """Whether Ray is half begun, so that it cannot be ended: its processes notice when this one is gone."""
        return not self._begun.is_set()

    def start(self, work: Callable[[], None], seconds: float) -> None:
        """Call `work` and wait for it, no longer than that; also after a signal, whose exception goes on then.

        Raises:
            Exception: what `work` raised.
        """

        def perform() -> None:
            try:
                work()
            except BaseException as error:
                self._failed = error
            self._begun.set()
            self._over.wait()

        threading.Thread(target=perform, name="start of ray", daemon=True).start()
        try:
            self._begun.wait(seconds)
        except BaseException:
            self._begun.wait(_AFTER_SIGNAL)
            raise
        finally:
            if self.is_starting:
                attended.leave()
        if self._failed is not None:
            raise self._failed

    def end(self) -> None:
        """Ray has ended."""
        self._over.set()
