"""One contract for engines in process and in workers; and what a run does when a worker breaks it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from avatarctl.engines.contract import Cancelled, Engine, EngineSpec, Job
from avatarctl.engines.worker import host, memory, process, protocol
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.errors import AvatarctlError, BadInput, NoFace, StepFailed, Unavailable
from avatarctl.store.faults import disk_is_full
from tests import fake_workers
from tests.fake_workers import Actor, Orders

FACTORY = "tests.fake_workers:Actor"
SPEC = EngineSpec(stage="speak", name="actor", summary="", cache_version=1, factory=FACTORY, params=Orders, extra="act")


@pytest.fixture(params=["in process", "worker"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made: Engine = Actor() if request.param == "in process" else WorkerEngine(SPEC)
    yield made
    made.close()


@pytest.fixture
def worker() -> Iterator[WorkerEngine]:
    made = WorkerEngine(SPEC)
    made.load({})
    yield made
    made.close()


def order(folder: Path, act: str = "copy", **changes: object) -> Job:
    folder.mkdir(exist_ok=True)
    text = folder.parent / "text"
    text.write_text("Привет, мир", encoding="utf-8")
    fields = {"inputs": {"text": text}, "out": folder, "params": Orders(act=act), "key": "k", "seed": 7, **changes}
    return Job(**fields)  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A zombie has ended too.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


# -- the contract


def test_a_step_reads_and_writes_files_and_tells_how_far_it_is(engine: Engine, tmp_path: Path) -> None:
    model = tmp_path / "weights"
    model.write_text("0.5", encoding="utf-8")
    engine.load({"small": model})
    heard: list[str] = []
    told: list[tuple[float, float, str]] = []
    out = tmp_path / "имя с пробелом"
    engine.run(order(out, threads=1, emit=heard.append, progress=lambda *at: told.append(at)))
    assert (out / "text.txt").read_text(encoding="utf-8") == "Привет, мир|7|k|1|1|{'small': '0.5'}"
    assert heard == ["Привет,", "мир"]
    assert told[-1] == (2, 2, "words")


def test_an_engine_stays_warm(engine: Engine, tmp_path: Path) -> None:
    engine.load({})
    for number in (1, 2, 3):
        engine.run(order(tmp_path / str(number)))
        assert f"|{number}|" in (tmp_path / str(number) / "text.txt").read_text(encoding="utf-8")


def test_errors_keep_their_kind_and_words(engine: Engine, tmp_path: Path) -> None:
    engine.load({})
    with pytest.raises(NoFace) as caught:
        engine.run(order(tmp_path / "a", "no_face"))
    assert caught.value.as_dict() == {
        "code": "no_face",
        "message": "nobody is in the photo (it is a landscape)",
        "hint": "take another one",
    }
    engine.run(order(tmp_path / "b"))


def test_a_step_is_cancelled(engine: Engine, tmp_path: Path) -> None:
    engine.load({})
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Cancelled):
        engine.run(order(tmp_path / "a", "wait", cancelled=stop.is_set))
    engine.run(order(tmp_path / "b"))


def test_what_a_service_counts_and_where_it_ran_arrive(engine: Engine, tmp_path: Path) -> None:
    engine.load({})
    used: dict[str, float] = {}
    notes: list[str] = []
    engine.run(order(tmp_path / "a", "pay", used=used.__setitem__, note=notes.append))
    assert (used, notes, getattr(engine, "device", "")) == ({"characters": 11}, ["it costs something"], "abacus")


def test_a_full_disk_is_the_machines_fault(engine: Engine, tmp_path: Path) -> None:
    engine.load({})
    with pytest.raises(OSError) as caught:
        engine.run(order(tmp_path / "a", "disk"))
    assert disk_is_full(caught.value)


# -- workers alone


def test_a_worker_of_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "source_digest", lambda factory: "f" * 64)
    made = WorkerEngine(replace(SPEC, extra="", worker=True))
    with pytest.raises(Unavailable, match="runs other code than this") as caught:
        made.load({})
    assert caught.value.hint == "avatarctl engines install actor --again" and made.pid is None


def test_errors_keep_the_nearest_kind_that_both_sides_know() -> None:
    class Blurred(BadInput):
        code = "blurred"

    assert protocol.code_of(Blurred("the photo is blurred")) == "bad_input"
    assert protocol.code_of(AvatarctlError("who knows")) == "step_failed"


def test_an_engines_own_fault_is_a_failed_step_with_its_trace(worker: WorkerEngine, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="speak/actor failed") as caught:
        worker.run(order(tmp_path / "a", "bug"))
    assert caught.value.why == "ZeroDivisionError: an engine's own fault"
    assert "fake_workers.py" in str(caught.value.__cause__)


def test_memory_that_runs_out_is_named(worker: WorkerEngine, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="memory ran out"):
        worker.run(order(tmp_path / "a", "memory"))


def test_a_missing_package_says_what_to_install(worker: WorkerEngine, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        worker.run(order(tmp_path / "a", "import"))
    assert "heavy" in caught.value.why and caught.value.hint == "pip install 'avatarctl[act]'"


def test_a_missing_engine_says_what_to_install() -> None:
    spec = EngineSpec(
        stage="speak", name="none", summary="", cache_version=1, factory="tests.fake_workers:Nobody", extra="act"
    )
    with pytest.raises((Unavailable, StepFailed)):
        WorkerEngine(spec).load({})
    missing = WorkerEngine(SPEC, python="/nonexistent/python")
    with pytest.raises(Unavailable, match="cannot start"):
        missing.load({})


@pytest.mark.parametrize(("act", "why"), [("segfault", "SIGSEGV: about to die"), ("leave", "exit code 139")])
def test_a_worker_that_dies_fails_its_step_alone(worker: WorkerEngine, tmp_path: Path, act: str, why: str) -> None:
    first = worker.pid
    with pytest.raises(StepFailed, match="died") as caught:
        worker.run(order(tmp_path / "a", act))
    assert why in caught.value.why
    worker.run(order(tmp_path / "b"))
    assert worker.pid not in (None, first)


def test_a_worker_killed_from_outside_is_replaced(worker: WorkerEngine, tmp_path: Path) -> None:
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert until(lambda: worker.pid is None)
    worker.run(order(tmp_path / "a"))


def test_a_deaf_worker_is_killed_when_cancelled(
    worker: WorkerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "GRACE", 0.3)
    pid = worker.pid
    assert pid is not None
    with pytest.raises(Cancelled):
        worker.run(order(tmp_path / "a", "deaf", cancelled=lambda: True))
    assert gone(pid)


def test_what_a_worker_started_goes_with_it(worker: WorkerEngine, tmp_path: Path) -> None:
    worker.run(order(tmp_path / "a", "child"))
    child = int((tmp_path / "a" / "text.txt").read_text())
    assert not gone(child)
    worker.close()
    assert until(lambda: gone(child))
    assert worker.pid is None


def test_a_damaged_model_is_never_loaded(tmp_path: Path) -> None:
    model = tmp_path / "small" / "weights"
    model.parent.mkdir()
    model.write_text("0.5", encoding="utf-8")
    made = WorkerEngine(SPEC, digests={"role": "0" * 64})
    with pytest.raises(Unavailable, match="the model small is damaged") as caught:
        made.load({"role": model})
    assert caught.value.hint == "avatarctl models pull small"
    made.close()


def test_memory_is_reported(worker: WorkerEngine, tmp_path: Path) -> None:
    worker.run(order(tmp_path / "a"))
    assert worker.memory["device"] == "cpu"
    assert 5_000_000 < worker.memory["resident_peak"] < 500_000_000


@pytest.mark.parametrize("fault", sorted(fake_workers.RAW))
def test_broken_rules_fail_the_step(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "SILENCE", 0.5)
    for side in (host, process):
        monkeypatch.setattr(side, "GRACE", 0.2)
    program = tmp_path / "python"
    program.write_text(fake_workers.PROGRAM.format(python=sys.executable, body=fake_workers.RAW[fault]))
    program.chmod(0o755)
    made = WorkerEngine(SPEC, python=str(program))
    with pytest.raises((StepFailed, Unavailable)) as caught:
        made.load({})
        made.run(order(tmp_path / "out"))
    assert caught.value.why
    assert made.pid is None or fault in ("half-a-file", "file-outside")
    made.close()
    assert made.pid is None


def test_a_worker_ends_with_its_run(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "from tests.test_worker import SPEC, order; from avatarctl.engines.worker.host import WorkerEngine;"
        "made = WorkerEngine(SPEC); made.load({}); print(made.pid, flush=True);"
        "made.run(order(Path(sys.argv[2]) / 'out', 'deaf'))"
    )
    root = str(Path(__file__).resolve().parent.parent)
    run = subprocess.Popen([sys.executable, "-c", script, root, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    worker = int(run.stdout.readline())
    time.sleep(0.3)
    run.kill()
    run.wait()
    run.stdout.close()
    assert until(lambda: gone(worker))


# -- memory


def test_the_ladder_goes_down_until_it_fits() -> None:
    tried: list[int] = []
    told: list[int] = []

    def attempt(size: int) -> int:
        tried.append(size)
        if size > 2:
            raise RuntimeError("CUDA out of memory")
        return size

    assert memory.ladder((8, 4, 2, 1), attempt, told.append) == 2
    assert (tried, told) == ([8, 4, 2], [8, 4])
    with pytest.raises(MemoryError):
        memory.ladder((8, 4), attempt, told.append)
    with pytest.raises(ZeroDivisionError):
        memory.ladder((8,), lambda size: size // 0, told.append)


def test_a_line_that_never_ends_fills_no_memory(worker: WorkerEngine, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StepFailed) as caught:
        worker.run(order(tmp_path / "out", "hum"))
    assert "exit code 7: the end" in caught.value.why
    assert str(caught.value.__cause__).startswith("humming mmm")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64_000, "KB"
