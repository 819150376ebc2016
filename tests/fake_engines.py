"""Engines for tests of the runner: they answer at once, slowly, in pieces, or badly."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from avatarctl.engines.contract import Cancelled, EngineSpec, Job

CALLS: list[str] = []
GATE = threading.Event()


class Base:
    def load(self, models: Mapping[str, Path]) -> None:
        CALLS.append(f"load {type(self).__name__}")

    def close(self) -> None:
        CALLS.append(f"close {type(self).__name__}")

    def write(self, job: Job, text: str) -> None:
        (job.out / "answer.txt").write_text(text, encoding="utf-8")
        (job.out / "sources.json").write_text(json.dumps({"found": True}))


class Echo(Base):
    def run(self, job: Job) -> None:
        CALLS.append("run Echo")
        self.write(job, job.inputs["question"].read_text(encoding="utf-8"))


class Writer(Base):
    """Emits a text in small pieces; after the first sentence it waits for the gate."""

    def run(self, job: Job) -> None:
        text = "Первое предложение готово. Второе ещё пишется. Третье последнее."
        for i, letter in enumerate(text):
            job.emit(letter)
            if i == 44 and not GATE.wait(10):
                raise TimeoutError("nobody read the first sentence")
        self.write(job, text)


class Moody(Base):
    """A language model that writes tags of emotions, cut in two."""

    def run(self, job: Job) -> None:
        text = "[happy] Привет! Как [1] дела? [грусть] Пора."
        for start in range(0, len(text), 5):
            job.emit(text[start : start + 5])
        self.write(job, text)


class Broken(Base):
    def run(self, job: Job) -> None:
        raise ZeroDivisionError("an engine's own fault")


class Liar(Base):
    """Says that it is done and has made nothing."""

    def run(self, job: Job) -> None:
        return


class Slow(Base):
    def run(self, job: Job) -> None:
        CALLS.append("run Slow")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if job.cancelled():
                CALLS.append("cancelled Slow")
                raise Cancelled
            time.sleep(0.01)


def spec(name: str, **changes: object) -> EngineSpec:
    fields: dict[str, object] = {
        "stage": "answer",
        "name": name,
        "summary": "",
        "cache_version": 1,
        "factory": f"tests.fake_engines:{name.capitalize()}",
        **changes,
    }
    return EngineSpec(**fields)  # type: ignore[arg-type]


SPECS = (
    spec("echo"),
    spec("writer", streams=True, lane="server"),
    spec("moody", streams=True, lane="server"),
    spec("broken"),
    spec("liar"),
    spec("slow"),
    spec("dice", factory="tests.fake_engines:Echo", deterministic=False),
    spec("seeded", factory="tests.fake_engines:Echo", uses_seed=True),
)
