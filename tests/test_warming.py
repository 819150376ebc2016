"""Engines are loaded while the step before theirs is still performed: once, and only where a core is idle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatarctl import presets
from avatarctl.engines import registry
from avatarctl.engines.contract import Job
from avatarctl.errors import Stopped, Unavailable
from avatarctl.media import wav
from avatarctl.runtime import session
from avatarctl.runtime.executors.local import LocalExecutor
from avatarctl.runtime.runner import Run
from avatarctl.store.store import Store
from tests import fake_engines
from tests.fake_engines import CALLS, GATE, Base, spec


class Gated(Base):
    """An answer that is not written before somebody opens the gate."""

    def run(self, job: Job) -> None:
        CALLS.append("run Gated")
        if not GATE.wait(20):
            raise TimeoutError("nothing was loaded meanwhile")
        self.write(job, "Да.")


class Voice(Base):
    """Opens the gate when it has been loaded and told to get ready."""

    def get_ready(self, threads: int) -> None:
        CALLS.append(f"get ready for {threads}")
        GATE.set()

    def run(self, job: Job) -> None:
        CALLS.append("run Voice")
        wav.write(job.out / "speech.wav", np.zeros(160, np.float32), 16000)


class Lame(Base):
    """Cannot be loaded."""

    def load(self, models: Mapping[str, Path]) -> None:
        super().load(models)
        GATE.set()
        raise Unavailable("the voice is not here")


ENGINES = (
    spec("gated", factory="tests.test_warming:Gated"),
    spec("voice", stage="speak", factory="tests.test_warming:Voice"),
    spec("lame", stage="speak", factory="tests.test_warming:Lame"),
)


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {**registry._built_in(), **{(s.stage, s.name): s for s in ENGINES}}
    monkeypatch.setattr(registry, "_built_in", lambda: table)
    monkeypatch.setenv("AVATARCTL_THREADS", "2")
    CALLS.clear()
    GATE.clear()


@pytest.fixture
def store() -> Iterator[Store]:
    with session.open_store() as opened:
        yield opened


def speak(store: Store, voice: str) -> None:
    settings = presets.resolve("lite", ["answer.engine=gated", f"speak.engine={voice}"])
    with session.performing(store, "test", {}, settings) as run:
        answered = run.step("answer", {"question": run.text("Что?")})
        run.wait(run.step("speak", {"text": answered["answer"]}))


def test_the_next_engine_is_loaded_meanwhile_and_once(store: Store) -> None:
    speak(store, "voice")
    assert sorted(CALLS[:4]) == ["get ready for 2", "load Gated", "load Voice", "run Gated"]
    assert CALLS[4] == "run Voice" and sorted(CALLS[5:]) == ["close Gated", "close Voice"]
    told = store.ledger.steps(store.ledger.run("last").id)
    assert [step.status for step in told] == ["done", "done"]


def test_what_is_cached_loads_nothing(store: Store) -> None:
    speak(store, "voice")
    CALLS.clear()
    speak(store, "voice")
    assert CALLS == []


def test_what_cannot_be_loaded_is_told_by_its_step(store: Store) -> None:
    with pytest.raises(Unavailable, match="the voice is not here"):
        speak(store, "lame")
    assert "run Gated" in CALLS and CALLS.count("load Lame") == 2


def expected(executor: LocalExecutor, name: str, **changes: object) -> list[str]:
    """What is loaded when a step of an engine is expected."""
    known = replace(registry.get("speak", name), **changes)  # type: ignore[arg-type]
    executor.expect(known, known.params())
    executor.close()
    return [call for call in CALLS if call.startswith("load")]


def test_nothing_is_loaded_ahead_where_it_would_be_in_the_way(tmp_path: Path) -> None:
    assert not expected(LocalExecutor(tmp_path, threads=1), "voice")
    assert not expected(LocalExecutor.for_many(tmp_path, lambda name: "", 8), "voice")
    for elsewhere in ({"worker": True}, {"lane": "gpu", "gpu_memory_mb": 4000}, {"lane": "server"}):
        assert not expected(LocalExecutor(tmp_path, threads=2), "voice", **elsewhere)
    assert expected(LocalExecutor(tmp_path, threads=2), "voice") == ["load Voice"]


def test_a_cancelled_run_waits_for_what_is_being_loaded(store: Store) -> None:
    """No thread of it is left behind."""
    before = set(threading.enumerate())
    settings = presets.resolve("lite", ["answer.engine=gated", "speak.engine=voice"])
    with pytest.raises(KeyError), session.performing(store, "test", {}, settings) as run:
        _begin(run)
        raise KeyError
    assert set(threading.enumerate()) <= before
    assert fake_engines.CALLS.count("load Voice") == fake_engines.CALLS.count("close Voice")


def test_a_signal_as_an_engine_begins_to_load_ends_the_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting a thread takes long enough for one to come."""

    def stopped(*args: object) -> None:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(LocalExecutor, "expect", stopped)
    GATE.set()
    settings = presets.resolve("lite", ["answer.engine=gated", "speak.engine=voice"])
    with pytest.raises(Stopped), session.performing(store, "test", {}, settings) as run:
        _begin(run)
    assert store.ledger.run("last").status == "stopped"


def _begin(run: Run) -> None:
    answered = run.step("answer", {"question": run.text("Что?")})
    run.step("speak", {"text": answered["answer"]})
