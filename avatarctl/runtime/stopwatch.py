"""How long somebody was at work, without the waiting between."""

from __future__ import annotations

import threading
import time


class Stopwatch:
    """Runs while anything is under way that was entered (`with watch:`), however much at a time. Safe for threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._under_way = 0
        self._since = 0.0
        self._before = 0.0

    def __enter__(self) -> None:
        with self._guard:
            if not self._under_way:
                self._since = time.monotonic()
            self._under_way += 1

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._under_way -= 1
            if not self._under_way:
                self._before += time.monotonic() - self._since

    @property
    def seconds(self) -> float:
        """So far."""
        with self._guard:
            return self._before + (time.monotonic() - self._since if self._under_way else 0.0)
