"""A clock that jumps, forwards and backwards, under processes at work.

`sitecustomize.py`, first on the path of every process, adds what stands in a file to the time of day; files on the disk
keep the kernel's times, as they do when an administrator sets the clock. The monotonic clock does not jump: no system's
does.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.tools import Studio
from tests.torture.workshop import FILE, ROOT, Row, Workshop, statuses, told

DAY = 86_400.0
JUMPS = (-30 * 365 * DAY, -DAY, -3600.0, -1.0, 0.0, 1.0, 3600.0, 40 * DAY, 30 * 365 * DAY)
CLOCK = """
import datetime, os, time
_file = os.environ["TORTURE_CLOCK"]
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime

def _offset():
    try:
        with open(_file) as file:
            return float(file.read() or 0)
    except (OSError, ValueError):
        return 0.0

class Shifted(_datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

time.time = lambda: _time() + _offset()
time.time_ns = lambda: _time_ns() + int(_offset() * 1e9)
datetime.datetime = Shifted
"""


class Clock:
    """A folder for PYTHONPATH, and the file that moves the time of every process that has it there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(CLOCK)
        self._file = folder / "offset"
        self.environment = {"PYTHONPATH": f"{folder}:{ROOT}", "TORTURE_CLOCK": str(self._file)}

    def jump(self, seconds: float) -> None:
        """From now on it is so much later than it is."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._file)


def clock(shop: Workshop) -> list[Row]:
    """Two processes on one queue, while the clock jumps a few times a second; then every command at odd times."""
    studio = shop.studio()
    clock = Clock(studio.home.parent / "clock")
    chance = shop.chance("clock")
    processes = [studio.start("batch", "run", FILE, **clock.environment) for _ in range(2)]
    jumps = 0
    deadline = time.monotonic() + 300
    while any(p.poll() is None for p in processes) and time.monotonic() < deadline:
        clock.jump(chance.choice(JUMPS))
        jumps += 1
        time.sleep(chance.uniform(0.05, 0.4))
    wrong = _ended(processes)
    wrong += shop.wrong(studio)
    if set(statuses(studio)) != {"done"}:
        wrong.append(f"jobs are {dict(statuses(studio))}")
    wrong += _commands(studio, clock)
    shop.drop(studio)
    return [
        Row(
            f"{jumps} jumps of the clock, by up to 30 years both ways, under 2 processes on one queue",
            f"wrong: {told(wrong)}",
            "each step once, films bit-identical, no job taken from the living",
            not wrong,
        )
    ]


def _ended(processes: list[subprocess.Popen[bytes]]) -> list[str]:
    wrong = []
    for process in processes:
        try:
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            wrong.append("a process hangs")
            continue
        if process.returncode != 0 or b"Traceback" in err:
            wrong.append(f"a process ended with {process.returncode}: {err.decode()[-300:]}")
    return wrong


def _commands(studio: Studio, clock: Clock) -> list[str]:
    """Commands that reckon with times, long before and long after what they tell of."""
    wrong = []
    for offset in (JUMPS[0], JUMPS[-1]):
        clock.jump(offset)
        for arguments in (
            ("runs", "list"),
            ("runs", "show", "last"),
            ("batch", "status", FILE),
            ("cache", "stats"),
            ("cache", "gc", "--dry-run"),
            ("batch", "run", FILE),
        ):
            result = studio.run(*arguments, **clock.environment)
            if result.code != 0 or "Traceback" in result.err:
                wrong.append(f"{' '.join(arguments)} ended with {result.code}: {result.err[-300:]}")
    return wrong
