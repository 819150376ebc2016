"""A home of its own for the benchmark, and the command line performed in it under a stop-watch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

SAMPLING_SECONDS = 0.1


@dataclass(frozen=True)
class Timed:
    """A command that ended. Times in seconds since its start; memory in MB, 0 where it was not sampled.

    `cpu`: processor seconds of the command and of the ffmpeg processes that it waited for. Unlike the wall,
    they hardly depend on what else the machine does.
    """

    wall: float
    cpu: float
    out: str
    lines: list[tuple[float, str]]
    own_memory: float = 0.0
    all_memory: float = 0.0

    def first(self, status: str, stage: str) -> float:
        """When the log first named a step of `stage` with this status."""
        return next(at for at, line in self.lines if line.startswith(status) and f" {stage}/" in line)


@dataclass
class Studio:
    """Where commands run: a home with the test models, and a working folder."""

    root: Path
    models: Path
    cleanup: Any = field(default=None, repr=False)

    @classmethod
    def make(cls, models: Path) -> Studio:
        """In the temporary folder; removed with `close`."""
        folder = tempfile.TemporaryDirectory(prefix="avatarctl-bench-")
        studio = cls(Path(folder.name), models, folder)
        studio.work.mkdir()
        studio.home.mkdir()
        (studio.home / "models").symlink_to(models.absolute(), target_is_directory=True)
        return studio

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def environment(self) -> dict[str, str]:
        # Commands start from compiled modules, as they do where they are installed, whatever this shell asks for.
        left_out = ("AVATARCTL_", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
        return {**kept, "AVATARCTL_HOME": str(self.home), "AVATARCTL_OFFLINE": "1", "NO_COLOR": "1"}

    def close(self) -> None:
        """Remove everything."""
        self.cleanup.cleanup()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command, both outputs piped."""
        return subprocess.Popen(
            [sys.executable, "-m", "avatarctl", *arguments],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, memory: bool = False) -> Timed:
        """Perform a command to its end. `memory`: sample it too, which costs a little time."""
        began = time.perf_counter()
        process = self.start(*arguments)
        lines: list[tuple[float, str]] = []

        def read() -> None:
            assert process.stderr is not None
            lines.extend((time.perf_counter() - began, line) for line in process.stderr)

        reader = threading.Thread(target=read)
        reader.start()
        peaks = _Peaks(process.pid) if memory else None
        assert process.stdout is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        code = process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        reader.join()
        if peaks is not None:
            peaks.stop()
        if code != 0:
            sys.exit(f"avatarctl {' '.join(arguments)} ended with {code}:\n" + "".join(line for _, line in lines))
        cpu = usage.ru_utime + usage.ru_stime
        return Timed(wall, cpu, out, lines, peaks.own if peaks else 0.0, peaks.tree if peaks else 0.0)

    def json(self, *arguments: str) -> Any:
        """The document that a command prints with `--json`."""
        return json.loads(self.run(*arguments, "--json").out)

    def steps(self, run: str = "last") -> list[dict[str, Any]]:
        """The steps of a run as the ledger has them."""
        steps: list[dict[str, Any]] = self.json("runs", "show", run)["steps"]
        return steps


class _Peaks:
    """Watches a process and its children from a thread."""

    def __init__(self, pid: int) -> None:
        self.own = 0.0
        self.tree = 0.0
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLING_SECONDS):
            try:
                own = self._process.memory_info().rss
                children = [c.memory_info().rss for c in self._process.children(recursive=True)]
            except psutil.Error:
                continue  # it, or a child, ended between two questions
            self.own = max(self.own, own / 1e6)
            self.tree = max(self.tree, (own + sum(children)) / 1e6)

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
