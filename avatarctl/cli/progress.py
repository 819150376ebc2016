"""A run's events as a person sees them: a live display on a terminal, plain lines everywhere else."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from avatarctl.amounts import milliseconds
from avatarctl.cli.options import say, state
from avatarctl.runtime import events

HEARTBEAT_SECONDS = 30.0

# Nobody waits for these: they would only flicker by.
_LIGHT_STAGES = {"index", "rig", "portrait", "voiceprint"}


class Display(Protocol):
    """A listener that has to be closed."""

    def __call__(self, event: events.Event) -> None: ...

    def close(self) -> None:
        """Leave the terminal as it was."""


def display(expected: Callable[[str, str], float | None] = lambda stage, engine: None) -> Display:
    """The right display for where stderr goes. `expected(stage, engine)`: usual milliseconds of a step."""
    if state.quiet:
        return _Silent()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return LiveDisplay(expected)
    return PlainLog()


class _Silent:
    def __call__(self, event: events.Event) -> None:
        return

    def close(self) -> None:
        return


class PlainLog:
    """One line a step, and a heartbeat every 30 s while one is under way: for cron, CI and pipes."""

    def __init__(self, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._guard = threading.Lock()
        self._running: dict[int, tuple[events.StepEvent, float, str]] = {}
        self._ended = threading.Event()
        self._heartbeat = heartbeat
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Started):
            with self._guard:
                self._running[event.index] = (event, time.monotonic(), "")
        elif isinstance(event, events.Progress):
            with self._guard:
                if event.index in self._running:
                    started = self._running[event.index][1]
                    self._running[event.index] = (event, started, f"{event.done:.0f}/{event.total:.0f} {event.unit}")
        elif isinstance(event, events.Finished):
            with self._guard:
                self._running.pop(event.index, None)
            took = milliseconds(event.run_ms) if event.status == "done" else ""
            say(" ".join(f"{event.status:<9} {_name(event):<22} {event.label} {took}".rstrip().split("\n")))
        elif isinstance(event, events.Waiting):
            say(f"waiting   {_name(event):<22} another process is making it")
        elif isinstance(event, events.Note):
            say(event.message)

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat):
            with self._guard:
                running = list(self._running.values())
            for event, started, progress in running:
                say(
                    f"running   {_name(event):<22} {event.label} {time.monotonic() - started:.0f} s {progress}".rstrip()
                )

    def close(self) -> None:
        """Stop the heartbeat."""
        self._ended.set()
        self._thread.join()


class LiveDisplay:
    """A line with a bar for each step under way; what is done scrolls by above."""

    def __init__(self, expected: Callable[[str, str], float | None]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        self._expected = expected
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.fields[name]}"),
            BarColumn(24),
            TimeRemainingColumn(compact=True),
            # Only the user's own words give way on a narrow terminal, and their brackets are no markup.
            TextColumn("{task.fields[detail]}", style="dim", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            console=self._console,
            expand=True,
            transient=True,
        )
        self._tasks: dict[int, Any] = {}
        self._hits = 0
        self._guard = threading.Lock()
        self._progress.start()

    def __call__(self, event: events.Event) -> None:
        with self._guard:
            self._take(event)

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.Started):
            usual = self._expected(event.stage, event.engine)
            detail = f"{event.label}  (usually {milliseconds(usual)})" if usual else event.label
            self._tasks[event.index] = self._progress.add_task("", total=None, name=f"{event.stage:<9}", detail=detail)
        elif isinstance(event, events.Progress) and event.index in self._tasks:
            self._progress.update(self._tasks[event.index], total=event.total, completed=event.done)
        elif isinstance(event, events.Finished):
            task = self._tasks.pop(event.index, None)
            if task is not None:
                self._progress.remove_task(task)
            if event.status == "hit":
                self._hits += 1
            elif event.status == "done" and event.stage not in _LIGHT_STAGES:
                self._print(f"[green]✓[/] {event.stage:<9} {_escape(event.label)} [dim]{milliseconds(event.run_ms)}[/]")
            elif event.status == "failed":
                self._print(f"[red]✗[/] {event.stage:<9} {_escape(event.label)}")
        elif isinstance(event, events.Waiting):
            self._print(f"[yellow]…[/] {event.stage:<9} another process is making it")
        elif isinstance(event, events.Note):
            self._print(_escape(event.message))

    def _print(self, markup: str) -> None:
        self._console.print(markup)

    def close(self) -> None:
        """Remove the bars."""
        self._progress.stop()
        if self._hits:
            came = "1 step came" if self._hits == 1 else f"{self._hits} steps came"
            self._console.print(f"[dim]{came} from the cache[/]")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _name(event: events.StepEvent) -> str:
    return f"{event.stage}/{event.engine}"
