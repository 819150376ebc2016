"""Engines that are loaded while the step before theirs is still performed.

Loading is mostly one thread's work, reading modules and models, while what it waits for (a voice, ffmpeg) leaves a core
idle.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from avatarctl.engines.contract import Cancelled
from avatarctl.runtime.attended import join

LoadEngine = Callable[[], None]
_LOOK = 0.1
"""Seconds between looks at whether the run goes on."""
_CLOSING = 2.0


class Warming:
    """Each engine is loaded ahead at most once, in a thread of its own."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}
        self._guard = threading.Lock()

    def begin(self, engine: str, load: LoadEngine) -> None:
        """Load an engine, unless that was begun before. What goes wrong is told by the step, which loads it again."""

        def try_to() -> None:
            with suppress(Exception):
                load()

        with self._guard:
            if engine not in self._threads:
                thread = self._threads[engine] = threading.Thread(target=try_to, name=f"load-{engine}", daemon=True)
                thread.start()

    def wait(self, engine: str, cancelled: Callable[[], bool]) -> float:
        """Until loading it has ended, if it has begun: the milliseconds that this took, 0 if there was nothing to
        wait for.

        Raises:
            Cancelled: `cancelled()` became true meanwhile.
        """
        with self._guard:
            thread = self._threads.get(engine)
        if thread is None or not thread.is_alive():
            return 0.0
        begun = time.perf_counter()
        while thread.is_alive():
            if cancelled():
                raise Cancelled
            thread.join(_LOOK)
        return (time.perf_counter() - begun) * 1000

    def close(self) -> None:
        """Wait for what is being loaded, `_CLOSING` seconds in all: it ends with the process."""
        join(list(self._threads.values()), _CLOSING)
