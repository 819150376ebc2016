"""Which engines are loaded at a time, in which process, and with which interpreter."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from avatarctl import config, presets
from avatarctl.engines.contract import EngineSpec, Job
from avatarctl.engines.worker.host import Worker, WorkerEngine
from avatarctl.errors import BadConfig, OutOfMemory, StepFailed
from avatarctl.runtime.engines import EnginePool, instance_of
from avatarctl.runtime.executors.local import LocalExecutor
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


ACTOR = EngineSpec(
    stage="speak", name="actor", summary="", cache_version=1, factory="tests.fake_workers:Actor", params=Orders
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
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    executor = LocalExecutor.for_many(tmp_path, lambda name: "", films)
    (tmp_path / "text").write_text("раз", encoding="utf-8")
    job = Job(inputs={"text": tmp_path / "text"}, out=tmp_path, params=Orders())
    executor.perform(ACTOR, job, lambda: None)
    executor.close()
    assert (tmp_path / "text.txt").read_text(encoding="utf-8").split("|")[3] == str(share)


def test_an_engine_that_cannot_load_is_closed(tmp_path: Path) -> None:
    pool = EnginePool(tmp_path)
    with pytest.raises(MemoryError), pool.use(spec("unloadable", 0)):
        pass
    assert OPEN == []


def test_a_worker_engine_runs_elsewhere(tmp_path: Path) -> None:
    worker = replace(ACTOR, worker=True)
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
    with EnginePool(tmp_path).use(ACTOR) as (engine_here, _):
        assert not isinstance(engine_here, WorkerEngine)


def test_engines_of_a_batch_share_a_process_for_each_step_under_way(tmp_path: Path) -> None:
    children = [Worker(threads=1), Worker(threads=1)]
    pool = EnginePool(tmp_path, children=children, copies=2)
    other = replace(ACTOR, name="other")
    with pool.use(ACTOR) as (first, load_ms), pool.use(other) as (second, _):
        assert isinstance(first, WorkerEngine) and isinstance(second, WorkerEngine)
        assert {first.pid, second.pid} == {child.pid for child in children} and load_ms > 0
    with pool.use(other) as (again, load_ms):
        assert again is second and load_ms == 0
        # The other process is free: this engine is warm there, and loaded anew here only if it has to be.
        with pool.use(ACTOR) as (warm, load_ms):
            assert warm is first and load_ms == 0
    light = replace(ACTOR, lane="light")
    with pool.use(light) as (engine, _):
        assert not isinstance(engine, WorkerEngine), "it takes less time than its order would travel"
    pids = [child.pid for child in children]
    pool.close()
    assert None not in pids and [child.pid for child in children] == [None, None]


def test_a_lost_process_has_all_its_engines_again(tmp_path: Path) -> None:
    child = Worker()
    pool = EnginePool(tmp_path, children=[child])
    other = replace(ACTOR, name="other")
    (tmp_path / "text").write_text("раз", encoding="utf-8")

    def made(spec: EngineSpec, act: str = "copy") -> str:
        job = Job(inputs={"text": tmp_path / "text"}, out=tmp_path, params=Orders(act=act))
        with pool.use(spec) as (engine, _):
            engine.run(job)
        return (tmp_path / "text.txt").read_text(encoding="utf-8").split("|")[4]

    assert [made(ACTOR), made(other), made(ACTOR)] == ["1", "1", "2"]
    first = child.pid
    with pytest.raises(StepFailed, match="speak/actor died") as caught:
        made(ACTOR, "leave")
    assert caught.value.retryable and child.pid is None
    assert [made(other), made(ACTOR)] == ["1", "1"]
    assert child.pid not in (None, first)
    # What ran out of memory takes its process along, so that nothing is held.
    with pytest.raises(OutOfMemory):
        made(ACTOR, "memory")
    assert child.pid is None and made(other) == "1"
    pool.close()


def test_one_loaded_engine_has_one_name() -> None:
    speaker = replace(ACTOR, stage="speaker", name="x", worker=True)
    assert instance_of(ACTOR, Orders()) == instance_of(ACTOR, Orders(act="bug")) == "speak/actor"
    assert instance_of(replace(ACTOR, worker=True), Orders()) == instance_of(speaker, Orders())
    assert instance_of(speaker, Orders()) != instance_of(replace(speaker, models=("small",)), Orders())


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
