"""A pull as a person sees it: bars with what is left on a terminal, plain lines everywhere else."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from avatarctl.amounts import size
from avatarctl.cli.options import say, state

HEARTBEAT_SECONDS = 30.0


class Watch(Protocol):
    """What `models.pull` tells its progress; to be closed."""

    def __call__(self, what: str, done: int, total: int) -> None: ...

    def close(self) -> None:
        """Leave the terminal as it was."""


def watch() -> Watch:
    """The right display for where stderr goes."""
    if state.quiet:
        return Tally()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Bars()
    return Lines()


class Tally:
    """How far each file is; safe from several threads. Shows nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._files: dict[str, tuple[int, int]] = {}
        self._before: dict[str, int] = {}
        self._began = clock()

    def __call__(self, what: str, done: int, total: int) -> None:
        with self._guard:
            if what not in self._files:
                # What an earlier pull had brought says nothing of this one's speed.
                self._before[what] = done
                self._files[what] = (done, total)
                self._start(what, done, total)
            self._files[what] = (done, total)
            self._move(what, done, total)

    def _start(self, what: str, done: int, total: int) -> None: ...

    def _move(self, what: str, done: int, total: int) -> None: ...

    def left(self) -> float | None:
        """Seconds until the files that have begun are here, at the speed so far; None while nothing can be said."""
        came = sum(done - self._before[what] for what, (done, _) in self._files.items())
        missing = sum(max(0, total - done) for done, total in self._files.values())
        elapsed = self._clock() - self._began
        return missing * elapsed / came if came > 0 and elapsed > 0 else None

    def close(self) -> None:
        """Nothing is to be left as it was."""


class Lines(Tally):
    """A line when a file begins and when it is here, and every 30 s what is under way: for cron, CI and pipes."""

    def __init__(self, heartbeat: float = HEARTBEAT_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._heartbeat = heartbeat
        self._told = clock()

    def _start(self, what: str, done: int, total: int) -> None:
        here = f", {size(done)} of it are here" if done else ""
        say(f"fetching  {what}  {size(total)}{here}")

    def _move(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        if now - self._told < self._heartbeat:
            return
        self._told = now
        for name, (have, wanted) in self._files.items():
            if have < wanted:
                say(f"fetching  {name}  {have / wanted:.0%} of {size(wanted)}{_time_left(self.left())}")


class Bars(Tally):
    """A bar for each file, with its speed and the time left, and one for all of them."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        super().__init__()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            DownloadColumn(),
            Speed(),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True, highlight=False, soft_wrap=True),
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._progress.start()

    def _start(self, what: str, done: int, total: int) -> None:
        self._tasks[what] = self._progress.add_task(what, total=total, completed=done)

    def _move(self, what: str, done: int, total: int) -> None:
        self._progress.update(self._tasks[what], total=total, completed=done, visible=done < total)

    def close(self) -> None:
        """Remove the bars."""
        self._progress.stop()


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", {seconds:.0f} s left" if seconds < 90 else f", {seconds / 60:.0f} min left"
