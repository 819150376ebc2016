"""A voice that misbehaves when the text says so; otherwise it is espeak-ng. It joins through the entry-point group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from avatarctl.engines.contract import EngineSpec, Job
from avatarctl.engines.espeak.engine import EspeakEngine
from avatarctl.engines.espeak.spec import EspeakParams

MEGABYTE = b"x" * 2**20


class Unruly(EspeakEngine):
    """Runs in a worker process of its own, or in a child of the batch. The first word of the text is what it does
    before it speaks, if anything."""

    def run(self, job: Job) -> None:
        word = job.inputs["text"].read_text(encoding="utf-8").split()[0].strip(".,").lower()
        act = {
            "зависни": self._hang,
            "замри": self._freeze,
            "упади": self._leave,
            "сломайся": self._crash,
            "однажды": self._leave_once,
            "шуми": self._flood_lines,
            "гуди": self._flood_one_line,
            "доложи": self._flood_messages,
            "роди": self._child,
        }.get(word)
        if act is not None:
            act(job)
        super().run(job)

    def _hang(self, job: Job) -> None:
        time.sleep(3600)

    def _freeze(self, job: Job) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def _leave(self, job: Job) -> None:
        os._exit(139)

    def _crash(self, job: Job) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def _leave_once(self, job: Job) -> None:
        been = Path(os.environ["AVATARCTL_HOME"]) / "been-here"
        if not been.exists():
            been.touch()
            os._exit(139)

    def _flood_lines(self, job: Job) -> None:
        for _ in range(400_000):
            sys.stdout.write("a library that tells everything it does, and then tells it again\n")

    def _flood_one_line(self, job: Job) -> None:
        for _ in range(300):
            os.write(2, MEGABYTE)

    def _flood_messages(self, job: Job) -> None:
        for i in range(200_000):
            job.progress(i + 1, i + 1, "things")

    def _child(self, job: Job) -> None:
        subprocess.Popen(["sleep", "3600"])


_WORKER = EngineSpec(
    stage="speak",
    name="unruly",
    summary="for the torture",
    cache_version=1,
    factory="tests.torture.engines:Unruly",
    params=EspeakParams,
    reads=("voice_report",),
    gives_timings=True,
    worker=True,
)
SPECS = (_WORKER, replace(_WORKER, name="unasked", worker=False))
"""The second asks for no process of its own."""
