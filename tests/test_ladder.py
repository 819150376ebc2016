"""When memory runs out: the rungs of an engine's ladder, each in the ledger and under a key of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from avatarctl import presets
from avatarctl.cli.batch_tables import _ending
from avatarctl.engines import registry
from avatarctl.engines.contract import Job, Requirements, Rung, on_the_cpu
from avatarctl.engines.sadtalker.spec import SadTalkerParams
from avatarctl.engines.worker import protocol
from avatarctl.errors import OutOfMemory, StepFailed
from avatarctl.runtime import events, session
from avatarctl.runtime.runner import Run
from avatarctl.stages.params import Params, param
from avatarctl.store.ledger import Ledger
from avatarctl.store.queue import Wanted
from avatarctl.store.store import Store
from tests import fake_engines
from tests.fake_engines import Base, spec
from tests.tools import Studio

FITS: list[tuple[str, int]] = []
"""Devices and sizes with which memory is enough."""


@dataclass(frozen=True, kw_only=True)
class HungryParams(Params):
    """Where it runs is in no key, how large is."""

    device: str = param("auto", "", choices=("auto", "cpu"), keyed=False)
    size: int = param(512, "", ge=1)


def ladder(params: HungryParams) -> tuple[Rung, ...]:
    return (
        Rung(params=replace(params, size=params.size // 2), told=f"at {params.size // 2}"),
        Rung(params=replace(params, device="cpu"), told="on the CPU"),
    )


def requires(params: HungryParams) -> Requirements:
    return Requirements(lane="gpu" if params.device == "auto" else "cpu")


class Hungry(Base):
    def run(self, job: Job) -> None:
        where = (job.params.device, job.params.size)
        fake_engines.CALLS.append(f"run {where}")
        if where not in FITS:
            raise MemoryError(f"no room for {where}")
        job.note("a smaller batch")
        self.write(job, f"{where}")


HUNGRY = spec("hungry", factory="tests.test_ladder:Hungry", params=HungryParams, ladder=ladder, requires=requires)


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    streaming = replace(HUNGRY, name="streaming", streams=True)
    table = {**registry._built_in(), ("answer", "hungry"): HUNGRY, ("answer", "streaming"): streaming}
    monkeypatch.setattr(registry, "_built_in", lambda: table)
    fake_engines.CALLS.clear()
    FITS.clear()


@pytest.fixture
def store() -> Iterator[Store]:
    with session.open_store() as opened:
        yield opened


def ask(store: Store, told: list[str] | None = None, engine: str = "hungry") -> tuple[str, Run]:
    notes = told if told is not None else []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Note):
            notes.append(event.message)

    settings = presets.resolve("lite", [f"answer.engine={engine}"])
    with session.performing(store, "test", {}, settings, listener=listen) as run:
        handle = run.step("answer", {"question": run.text("Что?")})
        run.wait(handle)
        return run.read_text(handle, "answer"), run


def test_each_rung_is_tried_told_and_kept(store: Store) -> None:
    FITS.append(("cpu", 512))
    told: list[str] = []
    answer, run = ask(store, told)
    assert answer == "('cpu', 512)"
    first, second, third = store.ledger.steps(run.id)
    assert [s.status for s in (first, second, third)] == ["failed", "failed", "done"]
    assert (first.error_code, first.error) == ("out_of_memory", "answer/hungry ran out of memory")
    assert first.notes == "memory ran out; made at 256"
    assert third.notes.splitlines() == [
        "memory ran out; made at 256",
        "memory ran out; made on the CPU",
        "a smaller batch",
    ]
    assert first.run_ms > 0 and third.index == first.index == 0
    assert told == [
        "answer/hungry: memory ran out; made at 256",
        "answer/hungry: memory ran out; made on the CPU",
        "answer/hungry: a smaller batch",
    ]
    assert run.remarks == told[:2]


def test_what_was_made_otherwise_is_never_taken_for_what_was_asked(store: Store) -> None:
    FITS.append(("cpu", 512))
    _, run = ask(store)
    first, second, third = store.ledger.steps(run.id)
    # `device` is in no key, and yet it is what tells these two apart.
    assert len({first.key, second.key, third.key}) == 3
    assert store.lookup(first.key) is None and store.lookup(third.key) is not None
    kept = store.ledger.rows("SELECT identity FROM actions WHERE key = ?", (third.key,))[0]["identity"]
    assert json.loads(kept)["instead"] == {"device": "cpu"}
    # The same again: memory may be free now. If it is not, what was made is there.
    fake_engines.CALLS.clear()
    assert ask(store)[0] == "('cpu', 512)"
    assert [call for call in fake_engines.CALLS if call.startswith("run")] == ["run ('auto', 512)", "run ('auto', 256)"]
    assert [s.status for s in store.ledger.steps(store.ledger.run("last").id)] == ["failed", "failed", "hit"]
    FITS.append(("auto", 512))
    answer, better = ask(store)
    assert answer == "('auto', 512)" and better.remarks == []
    assert [s.key for s in store.ledger.steps(better.id)] == [first.key]


def test_the_first_rung_that_fits_is_the_last_that_is_tried(store: Store) -> None:
    FITS.append(("auto", 256))
    answer, run = ask(store)
    assert answer == "('auto', 256)"
    assert [s.status for s in store.ledger.steps(run.id)] == ["failed", "done"]


def test_the_end_of_the_ladder_is_an_error(store: Store) -> None:
    with pytest.raises(OutOfMemory) as caught:
        ask(store)
    assert caught.value.why == "no room for ('cpu', 512)" and caught.value.hint and caught.value.retryable
    run = store.ledger.run("last")
    assert run.status == "failed" and run.error.startswith("out_of_memory")
    assert [s.error_code for s in store.ledger.steps(run.id)] == ["out_of_memory"] * 3


def test_what_was_streamed_is_not_made_otherwise(store: Store) -> None:
    FITS.append(("cpu", 512))
    with pytest.raises(OutOfMemory):
        ask(store, engine="streaming")
    assert fake_engines.CALLS.count("run ('auto', 512)") == 1


def test_only_what_the_machine_chose_goes_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    (rung,) = on_the_cpu(SadTalkerParams())
    assert rung.params == SadTalkerParams(device="cpu") and rung.told == "on the CPU"
    assert on_the_cpu(SadTalkerParams(device="cuda")) == on_the_cpu(SadTalkerParams(device="cpu")) == ()
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert on_the_cpu(SadTalkerParams()) == ()
    on_gpu = [s for s in registry.specs() if s.requires is not None and "device" in s.params.__dataclass_fields__]
    assert {s.name for s in on_gpu if s.ladder is None} <= {"sadtalker"}, "but its rig, which is made on the CPU"


def test_a_worker_says_that_memory_ran_out() -> None:
    error = protocol.error_of("out_of_memory", "memory ran out", "", "")
    assert isinstance(error, OutOfMemory) and isinstance(error, StepFailed)
    assert protocol.code_of(error) == "out_of_memory"


def test_the_table_says_what_is_different(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        batch = ledger.queue_batch("/f.yaml", "d", [Wanted("a", {}, "f")], lambda owner: False)
        job = ledger.claim_job([batch.id], "me")
        assert job is not None and job.remark == ""
        ledger.finish_job(job.id, "me", "done", output="/o.mp4", remark="speak/xtts: memory ran out; made on the CPU")
        (job,) = ledger.jobs(batch.id)
    assert _ending(job) == "/o.mp4 (speak/xtts: memory ran out; made on the CPU)"


def test_runs_show_prints_each_note_once(studio: Studio) -> None:
    from avatarctl.store.model import RunRecord, StepRecord

    with Ledger.open(studio.home / "ledger.sqlite") as ledger:
        ledger.start_run(RunRecord(id="R", recipe="render"))
        one = StepRecord(
            run_id="R", index=0, stage="speak", engine="xtts", key="", status="failed", notes="made on the CPU"
        )
        ledger.add_step(one)
        ledger.add_step(replace(one, status="done"))
    shown = studio.ok("runs", "show", "R").out
    assert shown.count("0 speak/xtts: made on the CPU") == 1
    assert [s["notes"] for s in studio.ok("runs", "show", "R", "--json").json["steps"]] == ["made on the CPU"] * 2
