"""Figures of large batches and of a large ledger. They are told and compared with their targets, and fail nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

from tests.tools import Studio
from tests.torture.workshop import MODELS, ROOT, Row, Workshop, ledger

JOBS = 10_000


def ledger_of_steps(shop: Workshop) -> list[Row]:
    """What a cached step costs, also with 100,000 steps in the ledger."""
    return _benchmark("runner", "--repeat", "1" if shop.quick else "3")


def throughput(shop: Workshop) -> list[Row]:
    """Fifty films (a dozen) as one batch against as many single commands; the same batch again."""
    return _benchmark("many", *([] if shop.quick else ["--full"]))


def _benchmark(part: str, *options: str) -> list[Row]:
    """The benchmark's own rows."""
    bench = [sys.executable, str(ROOT / "tests" / "bench" / "run.py"), "--only", part, "--models", str(MODELS)]
    done = subprocess.run([*bench, *options], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    return [Row(*re.split(r" *\| *", line.strip("| "), maxsplit=2)) for line in lines[1:]]


def plans(shop: Workshop) -> list[Row]:
    """Ten thousand jobs checked whole, and then queued, from each kind of job file."""
    rows = []
    for name in ("many.jsonl",) if shop.quick else ("many.jsonl", "many.yaml", "many.csv"):
        studio = shop.studio(words=())
        _write(studio, name)
        seconds, memory, out = _measured(studio, "batch", "check", name, "--json")
        assert json.loads(out)["jobs"] == JOBS
        queueing = _queued(studio, name)
        rows.append(
            Row(
                f"{JOBS:,} jobs planned, {name.partition('.')[2]}",
                f"{seconds:.1f} s of processor, {memory:.0f} MB; queued, the first one begun after {queueing:.1f} s",
                "<= 10 s, <= 300 MB",
            )
        )
        shop.drop(studio)
    return rows


def _write(studio: Studio, name: str) -> None:
    texts = [f"Это фильм номер {i}, и в нём сказано немного." for i in range(JOBS)]
    lines = {
        "many.jsonl": [json.dumps({"text": t, "avatar": "astronaut", "preset": "lite"}) for t in texts],
        "many.yaml": ["defaults: {avatar: astronaut, preset: lite}", "jobs:", *(f"  - text: {t!r}" for t in texts)],
        "many.csv": ["text,avatar,preset", *(f'"{t}",astronaut,lite' for t in texts)],
    }
    (studio.work / name).write_text("\n".join(lines[name]) + "\n", encoding="utf-8")


def _measured(studio: Studio, *arguments: str) -> tuple[float, float, str]:
    """Processor seconds, highest memory in MB, standard output."""
    process = studio.start(*arguments)
    assert process.stdout is not None
    out = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.communicate()[1]
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out


def _queued(studio: Studio, name: str) -> float:
    """Seconds from the command to its first job; it is stopped then."""
    began = time.monotonic()
    process = studio.start("batch", "run", name)
    while process.poll() is None and not _begun(studio):
        time.sleep(0.05)
    seconds = time.monotonic() - began
    process.terminate()
    process.communicate(timeout=60)
    return seconds


def _begun(studio: Studio) -> bool:
    connection = ledger(studio)
    count = connection.execute("SELECT count(*) FROM jobs WHERE status = 'running'").fetchone()[0]
    connection.close()
    return bool(count)
