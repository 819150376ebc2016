"""A batch as a person or a program watches it: a line for each job that ends, a bar on a terminal, a heartbeat."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Self

from avatarctl.amounts import duration
from avatarctl.cli.batch_tables import job_json
from avatarctl.cli.options import SCHEMA_VERSION, reader_gone, say, state
from avatarctl.recipes.batch import JobBegan, JobEnded
from avatarctl.store.model import BatchRecord
from avatarctl.store.store import Store

HEARTBEAT_SECONDS = 30.0
_BAR_SECONDS = 1.0


class Display:
    """Use it as a context manager. Lines go to stderr, with `jsonl` one JSON document a job to stdout."""

    def __init__(self, store: Store, batches: Sequence[BatchRecord], *, jsonl: bool = False) -> None:
        self._store = store
        self._batches = batches
        self._jsonl = jsonl
        self.unwritten: OSError | None = None
        """Why the rest of the JSON lines is missing, where not because nobody reads them any more."""
        self._began = time.monotonic()
        self._over = 0
        self._total = sum(sum(store.ledger.job_counts(b.id).values()) for b in batches)
        self._ended = threading.Event()
        self._running: dict[str, float] = {}
        self._bar: Any = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        counts = [self._store.ledger.job_counts(b.id) for b in self._batches]
        self._over = sum(c.get(name, 0) for c in counts for name in ("done", "failed", "cancelled"))
        if not state.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = _bar(self._total, self._over)
            self._bar.start()
        elif not state.quiet:
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was, and stop the heartbeat."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def told(self, event: JobBegan | JobEnded) -> None:
        """What the batch says of itself."""
        record = event.record
        if isinstance(event, JobBegan):
            self._running[record.id] = time.monotonic()
            return
        self._running.pop(record.id, None)
        self._over += 1
        if self._jsonl:
            self._print({"schema_version": SCHEMA_VERSION, **job_json(record)})
        word = "cached" if record.status == "done" and record.cached else record.status
        rest = duration(record.seconds) if record.status == "done" else record.error
        line = f"[{self._over}/{self._total}] {word:<9} {record.name}  {rest}"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._over)
            self._bar.console.print(line, markup=False)
        else:
            say(line)

    def _print(self, document: dict[str, Any]) -> None:
        try:
            sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        except OSError as error:
            # `| head`, a terminal that was closed, a full disk: the films are wanted all the same.
            self._jsonl = False
            reader_gone()
            if not isinstance(error, BrokenPipeError):
                self.unwritten = error
                say(f"warning: nothing more can be written to stdout: {error.strerror or error}")

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            spent = time.monotonic() - self._began
            say(f"running   {self._over} of {self._total} over, {len(self._running)} under way, {duration(spent)}")


def _bar(total: int, over: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    bar = Progress(TextColumn("films"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn(), console=console)
    bar.add_task("", total=total, completed=over)
    return bar
