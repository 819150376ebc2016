"""Engines that are loaded while the step before theirs is still performed.

Loading is mostly one thread's work, reading modules and models, while what it waits for (a voice, ffmpeg) leaves a core
idle.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

LoadEngine = Callable[[], None]


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

    def wait(self, engine: str) -> float:
        """Until loading it has ended, if it has begun: the milliseconds that this took, 0 if there was nothing to
        wait for."""
        with self._guard:
            thread = self._threads.get(engine)
        if thread is None or not thread.is_alive():
            return 0.0
        begun = time.perf_counter()
        thread.join()
        return (time.perf_counter() - begun) * 1000

    def close(self) -> None:
        """Until loading has ended, whatever was begun."""
        for engine in list(self._threads):
            self.wait(engine)
