"""What can only be measured inside one process: the puppet's frames, and what the runner adds to a step."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import statistics
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio import Studio

from avatarctl import presets
from avatarctl.engines import registry
from avatarctl.engines.contract import Job
from avatarctl.runtime import session

STEPS = 100
LEDGER_ROWS = 100_000


@contextlib.contextmanager
def home_of(studio: Studio) -> Iterator[None]:
    """This process looks at the studio's home."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(studio.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def puppet_ms_per_frame(studio: Studio, repeat: int) -> float:
    """Median milliseconds a frame for the longest `animate` step of the last run, encoding included."""
    run = studio.json("runs", "show", "last")
    settings = run["run"]["settings"]
    steps = [s for s in run["steps"] if s["stage"] == "animate"]
    with home_of(studio), session.open_store(readonly=True) as store:
        inputs = [{role: store.cas.path(digest) for role, digest in s["inputs"].items()} for s in steps]
        longest = max(inputs, key=lambda files: _seconds(files["speech"]))
        chosen = presets.change(settings, None, ()).choice("animate")
        engine = registry.create(chosen.spec)
        engine.load({})
        frames = _seconds(longest["speech"]) * chosen.params.fps
        times = []
        for _ in range(repeat + 1):  # the first one warms up
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                engine.run(Job(inputs=longest, out=Path(folder), params=chosen.params))
                times.append(time.perf_counter() - start)
        engine.close()
    return statistics.median(times[1:]) * 1000 / frames


def _seconds(path: Path) -> float:
    with wave.open(str(path), "rb") as sound:
        return sound.getnframes() / sound.getframerate()


def runner_ms_per_cached_step(studio: Studio, repeat: int) -> float:
    """Median milliseconds that a step costs when the cache has it: key, look-up, ledger row, event."""
    settings = _settings(studio)
    costs = []
    with home_of(studio), session.open_store() as store:
        for _ in range(repeat + 1):  # the first one makes what is missing
            with session.performing(store, "bench", {}, settings) as run:
                texts = [run.text(f"Предложение номер {i}.") for i in range(STEPS)]
                start = time.perf_counter()
                for handle in [run.step("speak", {"text": text}) for text in texts]:
                    run.wait(handle)
            costs.append((time.perf_counter() - start) * 1000 / STEPS)  # with the run's own ending
        assert {step.status for step in store.ledger.steps(run.id)} == {"hit"}
    return statistics.median(costs[1:])


def _settings(studio: Studio) -> Any:
    with home_of(studio):
        return presets.resolve("lite", ())


def fill_ledger(studio: Studio) -> None:
    """Add 100,000 steps and as many cached actions, copies of what the ledger has."""
    ledger = sqlite3.connect(studio.home / "ledger.sqlite")
    with ledger:
        for table in ("steps", "actions"):
            names = [row[1] for row in ledger.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
            values = ["'s1:' || lower(hex(randomblob(32)))" if name == "key" else name for name in names]
            ledger.execute(
                f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {LEDGER_ROWS}) "
                f"INSERT INTO {table} ({', '.join(names)}) "
                f"SELECT {', '.join(values)} FROM (SELECT * FROM {table} LIMIT 1) JOIN n"
            )
    ledger.close()
