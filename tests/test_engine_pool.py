"""Which engines are loaded at a time, in which process, and with which interpreter."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from avatarctl import config, presets
from avatarctl.engines.contract import EngineSpec, Job
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.errors import BadConfig, OutOfMemory
from avatarctl.runtime.engines import EnginePool
from avatarctl.runtime.executors.local import LocalExecutor
from avatarctl.stages.params import Params
from tests.fake_workers import Orders

OPEN: list[str] = []


class Card:
    """A GPU of which nobody knows how much is free."""

    def __init__(self, total: int) -> None:
        self._total = total

    def total_mb(self) -> int:
        return self._total

    def free_mb(self) -> int | None:
        return None


class Heavy:
    name = ""

    def load(self, models: Mapping[str, Path]) -> None:
        OPEN.append(self.name)

    def run(self, job: Job) -> None:
        return

    def close(self) -> None:
        OPEN.remove(self.name)


class A(Heavy):
    name = "a"


class B(Heavy):
    name = "b"


class C(Heavy):
    name = "c"


class Unloadable(Heavy):
    name = "unloadable"

    def load(self, models: Mapping[str, Path]) -> None:
        super().load(models)
        raise MemoryError


def spec(name: str, megabytes: int) -> EngineSpec:
    return EngineSpec(
        stage="speak",
        name=name,
        summary="",
        cache_version=1,
        factory=f"tests.test_engine_pool:{name.capitalize()}",
        gpu_memory_mb=megabytes,
    )


@pytest.fixture(autouse=True)
def nothing_open() -> None:
    OPEN.clear()


def test_idle_engines_make_room_on_the_gpu(tmp_path: Path) -> None:
    pool = EnginePool(tmp_path, device=Card(12_000))
    a, b, c = spec("a", 5000), spec("b", 6000), spec("c", 4000)
    for each in (a, b):
        with pool.use(each):
            pass
    assert OPEN == ["a", "b"]
    with pool.use(a) as (_, load_ms):
        assert load_ms == 0
    # b was used longest ago, and without it c fits.
    with pool.use(c):
        assert OPEN == ["a", "c"]
    with pool.use(b):
        assert OPEN == ["c", "b"]
    pool.close()
    assert OPEN == []


def test_engines_without_a_gpu_stay(tmp_path: Path) -> None:
    pool = EnginePool(tmp_path, device=Card(0))
    for each in (spec("a", 0), spec("b", 0)):
        with pool.use(each):
            pass
    assert OPEN == ["a", "b"]
    pool.close()


def test_as_many_copies_as_steps_at_a_time(tmp_path: Path) -> None:
    pool = EnginePool(tmp_path, device=Card(12_000), copies=2)
    a, heavy = spec("a", 0), spec("b", 6000)
    with pool.use(a) as (first, _), pool.use(a) as (second, _):
        assert first is not second
        assert OPEN == ["a", "a"]
    with pool.use(a) as (again, load_ms):
        # The one that was given back last is the warmest.
        assert again is first and load_ms == 0
    began, gone_on = threading.Event(), threading.Event()

    def other() -> None:
        began.set()
        with pool.use(heavy):
            gone_on.set()

    with pool.use(heavy):
        thread = threading.Thread(target=other)
        thread.start()
        assert began.wait(10) and not gone_on.wait(0.1), "there is one of what takes the GPU's memory"
    thread.join(10)
    assert gone_on.is_set() and OPEN == ["a", "a", "b"]
    pool.close()


@pytest.mark.parametrize(("films", "share"), [(1, 8), (3, 2), (8, 1), (100, 1)])
def test_steps_side_by_side_share_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, films: int, share: int
) -> None:
    monkeypatch.setenv("AVATARCTL_THREADS", "8")
    executor = LocalExecutor.for_many(tmp_path, lambda name: "", films)
    told: list[int] = []
    job = Job(inputs={}, out=tmp_path, params=Params())
    monkeypatch.setattr(A, "run", lambda self, job: told.append(job.threads))
    executor.perform(spec("a", 0), job, lambda: None)
    executor.close()
    assert told == [share]


def test_an_engine_that_cannot_load_is_closed(tmp_path: Path) -> None:
    pool = EnginePool(tmp_path)
    with pytest.raises(MemoryError), pool.use(spec("unloadable", 0)):
        pass
    assert OPEN == []


def test_a_worker_engine_runs_elsewhere(tmp_path: Path) -> None:
    worker = EngineSpec(
        stage="speak",
        name="actor",
        summary="",
        cache_version=1,
        factory="tests.fake_workers:Actor",
        params=Orders,
        worker=True,
    )
    pool = EnginePool(tmp_path)
    with pool.use(worker) as (engine, load_ms):
        assert isinstance(engine, WorkerEngine) and engine.pid is not None and load_ms > 0
    with pool.use(worker) as (again, load_ms):
        assert again is engine and load_ms == 0
    # A worker whose memory ran out ends, so that nothing of it is left on the GPU.
    with pytest.raises(OutOfMemory), pool.use(worker) as (engine, _):
        engine.run(Job(inputs={}, out=tmp_path, params=Orders(act="memory")))
    assert isinstance(engine, WorkerEngine) and engine.pid is None
    with pool.use(worker) as (engine, load_ms):
        assert isinstance(engine, WorkerEngine) and engine.pid is not None and load_ms > 0
    pool.close()
    assert engine.pid is None
    with pytest.raises(Exception, match="cannot start"), EnginePool(tmp_path, lambda name: "/no/python").use(worker):
        pass
    in_process = replace(worker, worker=False)
    with EnginePool(tmp_path).use(in_process) as (engine_here, _):
        assert not isinstance(engine_here, WorkerEngine)


def test_interpreters_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCTL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert presets.resolve().interpreter("xtts") == ""
    made = config.paths().environments / "xtts" / "bin" / "python"
    made.parent.mkdir(parents=True)
    made.touch()
    assert presets.resolve().interpreter("xtts") == str(made)
    (tmp_path / "avatarctl.toml").write_text('[engines.xtts]\npython = "/opt/xtts/python"\n', encoding="utf-8")
    assert presets.resolve().interpreter("xtts") == "/opt/xtts/python"
    monkeypatch.setenv("AVATARCTL_ENGINES_FASTER_WHISPER_PYTHON", "/opt/w/python")
    assert presets.resolve().interpreter("faster-whisper") == "/opt/w/python"
    (tmp_path / "avatarctl.toml").write_text('[engines.xtts]\npythn = "x"\n', encoding="utf-8")
    with pytest.raises(BadConfig, match="pythn") as caught:
        presets.resolve()
    assert "python" in caught.value.hint
