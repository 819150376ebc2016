"""When steps begin: those of one stage in the order of the film, whichever is ready first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarctl import presets
from avatarctl.engines import registry
from avatarctl.engines.contract import EngineSpec
from avatarctl.errors import Stopped
from avatarctl.runtime import session
from avatarctl.runtime.executors.local import LocalExecutor
from avatarctl.runtime.handles import Handle
from avatarctl.runtime.turns import Turns
from avatarctl.stages.params import Params
from tests import fake_engines


def line(count: int) -> tuple[Turns, list[Handle], list[int], list[Callable[[], None]]]:
    """Handles of one stage that stand in line; who began; what each does."""
    turns, began = Turns(), list[int]()
    handles = [Handle(index, "animate", "") for index in range(count)]
    for handle in handles:
        turns.enter(handle)
    return turns, handles, began, [lambda i=i: began.append(i) for i in range(count)]  # type: ignore[misc]


def test_who_is_ready_first_waits_for_those_before() -> None:
    turns, handles, began, works = line(4)
    for index in (3, 1):
        turns.begin(handles[index], works[index])
    assert began == []
    turns.begin(handles[0], works[0])
    assert began == [0, 1]
    turns.leave(handles[2])
    assert began == [0, 1, 3]
    # Memory ran out: the step begins otherwise, and does not stand in line again.
    turns.begin(handles[1], works[1])
    assert began == [0, 1, 3, 1]


def test_stages_do_not_wait_for_each_other() -> None:
    turns, began = Turns(), list[str]()
    for index, stage in enumerate(("speak", "animate")):
        turns.enter(Handle(index, stage, ""))
    turns.begin(Handle(1, "animate", ""), lambda: began.append("animate"))
    assert began == ["animate"]


def test_a_long_line_is_no_deep_stack() -> None:
    turns, handles, began, works = line(5000)
    for index in range(4999, -1, -1):
        turns.begin(handles[index], works[index])
    assert began == list(range(5000))


def test_a_signal_keeps_nobody_waiting() -> None:
    turns, handles, began, works = line(3)

    def stopped() -> None:
        turns.begin(handles[1], works[1])
        turns.leave(handles[2])
        raise Stopped(15)

    with pytest.raises(Stopped):
        turns.begin(handles[0], stopped)
    assert began == [1]


def test_threads_keep_the_order() -> None:
    turns, handles, began, works = line(200)
    threads = [
        threading.Thread(target=lambda n=n: [turns.begin(handles[i], works[i]) for i in range(n, 200, 4)])  # type: ignore[misc]
        for n in (3, 2, 1, 0)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert began == list(range(200))


class Held(LocalExecutor):
    """Performs what it is told to, when it is told to."""

    def __init__(self, models: Path) -> None:
        super().__init__(models)
        self.held: list[tuple[str, Callable[[], None]]] = []

    def submit(self, work: Callable[[], None], spec: EngineSpec, params: Params, *, priority: int = 0) -> None:
        self.held.append((spec.stage, work))


def test_the_second_sentence_is_not_drawn_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {**registry._built_in(), **{(s.stage, s.name): s for s in fake_engines.SPECS}}
    monkeypatch.setattr(registry, "_built_in", lambda: table)
    executor = Held(tmp_path)
    settings = presets.resolve("lite", ["answer.engine=echo"])
    with session.open_store() as store:
        with session.performing(store, "test", {}, settings, executor=executor) as run:
            texts = [run.step("answer", {"question": run.text(text)}) for text in ("Раз.", "Два.")]
            spoken = [run.step("speak", {"text": text["answer"]}, label=str(i)) for i, text in enumerate(texts)]
            (_, first), (_, second) = executor.held
            second()
            assert len(executor.held) == 2, "the first is not there yet"
            first()
            assert [stage for stage, _ in executor.held[2:]] == ["speak", "speak"]
            executor.held[2][1]()
            assert spoken[0].known() is not None and spoken[1].known() is None
            executor.held[3][1]()
        executor.close()
        assert [step.status for step in store.ledger.steps(run.id)] == ["done"] * 4
