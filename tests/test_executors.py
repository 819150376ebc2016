"""One contract for every executor: on this machine, and on the machines of a Ray cluster where Ray is installed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from avatarctl import config, presets
from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, EngineSpec, Job, Requirements
from avatarctl.errors import AvatarctlError, NoFace, Unavailable
from avatarctl.runtime import session
from avatarctl.runtime.executors import Executor
from avatarctl.runtime.executors.local import LocalExecutor
from avatarctl.stages.params import param
from tests import fake_engines
from tests.fake_workers import Orders


@dataclass(frozen=True, kw_only=True)
class Chosen(Orders):
    """Params that choose weights."""

    model: str = param("", "a folder or file")


def chosen_weights(params: Chosen) -> Requirements:
    return Requirements(weights={"small": params.model})


SPEC = EngineSpec(
    stage="speak", name="actor", summary="", cache_version=1, factory="tests.fake_workers:Actor", params=Orders
)
WITH_MODEL = replace(SPEC, name="reader", params=Chosen, requires=chosen_weights)

HOW = ["local", "in children", "ray in chunks", "ray through a folder"]


@pytest.fixture(params=HOW)
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Executor]:
    """Models lie in `tmp_path / "models"`, if a test puts some there."""
    local = LocalExecutor(tmp_path / "models")
    made: Executor = local
    if request.param == "in children":
        made = LocalExecutor.for_many(tmp_path / "models", lambda name: "", 2)
    elif request.param != "local":
        address = request.getfixturevalue("ray_cluster").address
        from avatarctl.runtime.executors.ray.executor import RayExecutor

        store = str(tmp_path / "общая папка") if "folder" in request.param else ""
        made = RayExecutor(local, tmp_path / "models", address, store)
    yield made
    made.close()


def order(folder: Path, act: str = "copy", text: str = "Привет, мир", **changes: object) -> Job:
    folder.mkdir(exist_ok=True)
    source = folder.parent / f"{folder.name}.txt"
    source.write_text(text, encoding="utf-8")
    fields = {"inputs": {"text": source}, "out": folder, "params": Orders(act=act), "key": "k", "seed": 7, **changes}
    return Job(**fields)  # type: ignore[arg-type]


def made(folder: Path) -> str:
    return (folder / "text.txt").read_text(encoding="utf-8")


def test_a_step_reads_and_writes_files(executor: Executor, tmp_path: Path) -> None:
    out = tmp_path / "имя с пробелом"
    began: list[int] = []
    told: list[tuple[float, float, str]] = []
    job = order(out, progress=lambda *at: told.append(at))
    performed = executor.perform(SPEC, job, lambda: began.append(len(list(out.iterdir()))))
    text, seed, key, threads, runs, weights = made(out).split("|")
    assert (text, seed, key, runs, weights) == ("Привет, мир", "7", "k", "1", "{}")
    # How many is for the executor to say.
    assert 1 <= int(threads) <= config.threads()
    assert sorted(p.name for p in out.iterdir()) == ["text.txt"]
    assert (began, told[-1]) == ([0], (2, 2, "words"))
    assert performed.load_ms > 0


@pytest.mark.parametrize("size", [0, 1, (4 << 20) - 1, 4 << 20, (9 << 20) + 1])
def test_files_of_any_size_arrive_whole(executor: Executor, tmp_path: Path, size: int) -> None:
    executor.perform(SPEC, order(tmp_path / "out", text="x" * size), lambda: None)
    assert made(tmp_path / "out").partition("|")[0] == "x" * size


def test_an_engine_stays_warm(executor: Executor, tmp_path: Path) -> None:
    loads = []
    for number in (1, 2, 3):
        job = order(tmp_path / str(number), text=str(number))
        loads.append(executor.perform(SPEC, job, lambda: None).load_ms)
        assert made(tmp_path / str(number)).split("|")[::4] == [str(number), str(number)]
    assert loads[0] > 0 and loads[1:] == [0, 0]


def test_weights_are_told_apart(executor: Executor, tmp_path: Path) -> None:
    for name in ("a", "b", "a"):
        model = tmp_path / f"model {name}"
        model.write_text(name, encoding="utf-8")
        job = order(tmp_path / name, params=Chosen(model=str(model)))
        executor.perform(WITH_MODEL, job, lambda: None)
        assert made(tmp_path / name).endswith(f"{{'small': '{name}'}}")


def test_what_is_missing_is_told_with_what_to_do(executor: Executor, tmp_path: Path) -> None:
    began: list[bool] = []
    job = order(tmp_path / "out", params=Chosen(model=str(tmp_path / "nothing")))
    with pytest.raises(Unavailable, match="no model in") as caught:
        executor.perform(WITH_MODEL, job, lambda: began.append(True))
    assert "give the path of its folder" in caught.value.hint
    absent = replace(SPEC, packages=("no_such_package",), extra="heavy")
    with pytest.raises(Unavailable, match="cannot start") as caught:
        executor.perform(absent, order(tmp_path / "out"), lambda: began.append(True))
    assert "pip install 'avatarctl[heavy]'" in caught.value.hint
    assert began == [] and not executor.usable(absent) and executor.usable(SPEC)


def test_errors_keep_their_kind_and_words(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(NoFace) as caught:
        executor.perform(SPEC, order(tmp_path / "a", "no_face"), lambda: None)
    assert caught.value.as_dict() == {
        "code": "no_face",
        "message": "nobody is in the photo (it is a landscape)",
        "hint": "take another one",
    }
    # The engine is not to blame, and stays.
    assert executor.perform(SPEC, order(tmp_path / "b"), lambda: None).load_ms == 0


def test_a_step_is_cancelled(executor: Executor, tmp_path: Path) -> None:
    executor.perform(SPEC, order(tmp_path / "warm"), lambda: None)
    stop = threading.Event()
    job = order(tmp_path / "a", "wait", cancelled=stop.is_set)
    with pytest.raises(Cancelled):
        executor.perform(SPEC, job, lambda: threading.Timer(0.3, stop.set).start())
    assert executor.perform(SPEC, order(tmp_path / "b"), lambda: None).load_ms == 0
    with pytest.raises(Cancelled):
        executor.perform(SPEC, job, lambda: pytest.fail("it was cancelled before it began"))


def test_steps_wait_for_their_turn(executor: Executor, tmp_path: Path) -> None:
    guard, done, busy, most = threading.Lock(), [], 0, 0
    over = threading.Semaphore(0)

    def work(number: int) -> Callable[[], None]:
        def perform() -> None:
            nonlocal busy, most
            with guard:
                busy += 1
                most = max(most, busy)
            executor.perform(SPEC, order(tmp_path / str(number), text=str(number)), lambda: None)
            with guard:
                busy -= 1
                done.append(made(tmp_path / str(number)).partition("|")[0])
            over.release()

        return perform

    for number in range(12):
        executor.submit(work(number), SPEC, SPEC.params())
    assert all(over.acquire(timeout=60) for _ in range(12))
    executor.close()
    assert sorted(done, key=int) == [str(number) for number in range(12)]
    # As many as there is room for, on all machines.
    assert most <= 2


def test_a_run_is_the_same_whoever_performs_it(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {**registry._built_in(), **{(s.stage, s.name): s for s in fake_engines.SPECS}}
    monkeypatch.setattr(registry, "_built_in", lambda: table)
    with session.open_store() as store:
        settings = presets.resolve("lite", ["answer.engine=echo"])
        with session.performing(store, "ask", {}, settings, executor=executor) as run:
            question = run.text("Кто ты?")
            step = run.step("answer", {"question": question})
            assert run.read_text(step, "answer") == "Кто ты?"
        settings = presets.resolve("lite", ["answer.engine=broken"])
        with (
            pytest.raises(AvatarctlError) as caught,
            session.performing(store, "ask", {}, settings, executor=executor) as run,
        ):
            run.wait(run.step("answer", {"question": run.text("Кто ты?")}))
        assert caught.value.as_dict() == {
            "code": "step_failed",
            "message": "answer/broken failed (ZeroDivisionError: an engine's own fault)",
            "hint": "-v shows more",
        }
        steps = [step for record in store.ledger.runs() for step in store.ledger.steps(record.id)]
    assert sorted(step.status for step in steps) == ["done", "failed"]
