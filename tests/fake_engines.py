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


class SimulatedGpu:
    """A GPU's memory, MiB, which notices when more is taken than there is.

    What is given back is free only `lag` questions later, as with a server that answers before it has let go.
    """

    def __init__(self, total: int, lag: int = 0) -> None:
        self.total, self.lag = total, lag
        self.others = 0
        """Taken by other programs."""
        self.taken: dict[object, int] = {}
        self.loads: list[str] = []
        self.exceeded = False
        self._leaving: list[list[int]] = []
        self._guard = threading.Lock()

    def take(self, who: object, megabytes: int) -> None:
        with self._guard:
            self.taken[who] = megabytes
            self.loads.append(type(who).__name__)
            self.exceeded |= sum(self.taken.values()) + sum(left for _, left in self._leaving) > self.total

    def give(self, who: object) -> None:
        with self._guard:
            megabytes = self.taken.pop(who, 0)
            if self.lag and megabytes:
                self._leaving.append([self.lag, megabytes])

    def total_mb(self) -> int:
        return self.total

    def free_mb(self) -> int:
        with self._guard:
            for leaving in self._leaving:
                leaving[0] -= 1
            self._leaving = [leaving for leaving in self._leaving if leaving[0] > 0]
            gone = sum(left for _, left in self._leaving)
            return self.total - self.others - gone - sum(self.taken.values())


class OnGpu(Base):
    """Takes memory of the simulated GPU while it is loaded. Each subclass has its own size."""

    gpu = SimulatedGpu(0)
    size = 0

    def load(self, models: Mapping[str, Path]) -> None:
        type(self).gpu.take(self, self.size)

    def run(self, job: Job) -> None:
        assert self in self.gpu.taken, "an engine at work was unloaded"
        time.sleep(0.001)

    def close(self) -> None:
        self.gpu.give(self)


class Speaker(OnGpu):
    size = 4000


class Drawer(OnGpu):
    size = 6000


class Enlarger(OnGpu):
    size = 3000


class Server(Base):
    """A language model's server: it loads when it is first asked, and keeps its model until it is told to let go."""

    size = 5000
    left_loaded = False

    def run(self, job: Job) -> None:
        if self not in OnGpu.gpu.taken:
            OnGpu.gpu.take(self, self.size)
        time.sleep(0.001)

    def expect(self, params: object) -> None:
        """As if an earlier process had asked it, where the test says so."""
        if Server.left_loaded and self not in OnGpu.gpu.taken:
            OnGpu.gpu.take(self, self.size)

    def held_mb(self) -> int:
        return OnGpu.gpu.taken.get(self, 0)

    def wanted_mb(self, params: object) -> int:
        return self.size

    def let_go(self) -> None:
        OnGpu.gpu.give(self)


def on_gpu(kind: type[Base]) -> EngineSpec:
    """The spec of one of the engines above."""
    name = kind.__name__.lower()
    size = kind.size if issubclass(kind, OnGpu) else 0
    return spec(name, stage="speak", lane="gpu" if size else "server", gpu_memory_mb=size)
