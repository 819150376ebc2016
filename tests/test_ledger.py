from __future__ import annotations

import re
import sqlite3
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarctl.errors import BadInput, Busy, Unavailable
from avatarctl.store import connection as connections
from avatarctl.store import ids
from avatarctl.store.faults import ledger_fault
from avatarctl.store.ledger import Ledger
from avatarctl.store.model import AvatarRecord, DocumentRecord, Manifest, RunRecord, StepRecord, new_id, now
from tests.store_support import finish, start, together


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened


def run_of(ledger: Ledger, **fields: object) -> RunRecord:
    record = RunRecord(**{"id": new_id(), "recipe": "ask", **fields})
    ledger.start_run(record)
    return record


def step_of(run: RunRecord, index: int, **fields: object) -> StepRecord:
    return StepRecord(
        **{"run_id": run.id, "index": index, "stage": "speak", "engine": "e", "key": "k", "status": "done", **fields}
    )


def avatar_of(name: str, **fields: object) -> AvatarRecord:
    return AvatarRecord(
        **{
            "id": new_id(),
            "name": name,
            "version": 0,
            "photo": "a" * 64,
            "portrait": "b" * 64,
            "preview": "c" * 64,
            "portrait_report": {"yaw": 1.5},
            **fields,
        }
    )


def test_a_run_from_start_to_end(ledger: Ledger) -> None:
    request = {"question": "Кто ты?", "avatar": "Анна"}
    run = run_of(ledger, request=request, settings={"animate": {"fps": 25}})
    assert ledger.run(run.id) == run
    ledger.update_request(run.id, {**request, "recording": "d" * 64})
    outputs = [{"path": "/tmp/фильм.mp4", "digest": "d" * 64, "role": "film"}]
    ledger.finish_run(run.id, "done", outputs=outputs)
    ended = ledger.run(run.id)
    assert (ended.status, ended.outputs, ended.error) == ("done", tuple(outputs), "")
    assert ended.request["recording"] == "d" * 64
    assert ended.ended >= run.started
    assert ledger.deliveries() == [("d" * 64, "/tmp/фильм.mp4", run.id)]
    ledger.finish_run(run.id, "failed", error="step_failed: no")
    assert ledger.run("last").error == "step_failed: no"
    with pytest.raises(ValueError, match="no run's status"):
        ledger.finish_run(run.id, "perhaps")


def test_runs_are_found_by_the_beginning_of_their_ids(ledger: Ledger) -> None:
    for run_id in ("01AAAA", "01AAAB", "01B"):
        ledger.start_run(RunRecord(id=run_id, recipe="ask", status="done" if run_id == "01B" else "running"))
    assert ledger.run("01b").id == ledger.run("last").id == "01B"
    assert ledger.run("01aaab").id == "01AAAB"
    assert [r.id for r in ledger.runs(limit=2)] == ["01B", "01AAAB"]
    assert [r.id for r in ledger.runs(limit=2, offset=2)] == ["01AAAA"]
    assert [r.id for r in ledger.runs(status="done")] == ["01B"]
    for wanted, what in (
        ("01A", "more than one"),
        ("02", "no run"),
        ("", "no run"),
        ("%", "no run"),
        ("01B0", "no run"),
    ):
        with pytest.raises(BadInput, match=what):
            ledger.run(wanted)


def test_steps_come_back_in_order(ledger: Ledger) -> None:
    run = run_of(ledger)
    steps = [
        step_of(run, 1, queue_ms=1.5, load_ms=2.5, run_ms=3.5, device="cpu", peak_memory_mb=99.5, label="Да."),
        step_of(run, 0, status="failed", error_code="step_failed", error="нет", inputs={"text": "a" * 64}),
        step_of(run, 0, status="hit", output_bytes=2**40),
    ]
    for step in steps:
        ledger.add_step(step)
    assert ledger.steps(run.id) == [steps[1], steps[2], steps[0]]
    with pytest.raises(ValueError, match="no step's status"):
        ledger.add_step(step_of(run, 2, status="good"))
    with pytest.raises(sqlite3.IntegrityError):
        ledger.add_step(step_of(replace(run, id="nobody"), 0))


def test_history_joins_times_and_facts(ledger: Ledger) -> None:
    run = run_of(ledger)
    for i in range(5):
        manifest = Manifest(f"k{i}", {}, {"frames": i}, now(), float(i), "e")
        ledger.record_action(manifest, "animate", {}, step_of(run, i, stage="animate", key=f"k{i}", run_ms=float(i)))
    ledger.add_step(step_of(run, 9, stage="animate", key="k1", status="hit"))
    assert ledger.history("animate", "e", limit=2) == [(4.0, {"frames": 4}), (3.0, {"frames": 3})]
    assert ledger.history("animate", "other") == []
    assert ledger.history("animate", "e", of_jobs=True) == []
    ledger.update_request(run.id, {"job": "films/one"})
    assert len(ledger.history("animate", "e", of_jobs=True)) == 5


def test_runs_without_a_process_are_lost(ledger: Ledger) -> None:
    living, dead, done = run_of(ledger), run_of(ledger), run_of(ledger)
    ledger.finish_run(done.id, "done")
    assert ledger.mark_lost_runs(lambda run_id: run_id == living.id) == [dead.id]
    assert [ledger.run(r.id).status for r in (living, dead, done)] == ["running", "lost", "done"]


def test_enrolling_again_makes_a_new_version(ledger: Ledger) -> None:
    first = ledger.add_avatar(avatar_of("Анна й", voice_report={"f0": 210.5}))
    second = ledger.add_avatar(avatar_of("Анна и\u0306"))
    assert (first.version, second.version) == (1, 2)
    assert ledger.avatars() == [first, second]
    assert ledger.avatar("Анна й") == ledger.avatar("Анна й", 2) == ledger.avatar(second.id.lower()) == second
    assert ledger.avatar("Анна й", 1) == ledger.avatar("Анна й@1") == first
    assert first.voice_report == {"f0": 210.5} and second.voice_report is None
    assert first.files() == ("a" * 64, "b" * 64, "c" * 64)
    assert ledger.avatar_or_none("Борис") is None
    ledger.add_avatar(avatar_of("ann@work"))
    assert ledger.avatar("ann@work").name == "ann@work"
    with pytest.raises(BadInput) as caught:
        ledger.avatar("Анна ю")
    assert caught.value.hint == "did you mean 'Анна й'?"
    with pytest.raises(BadInput, match="version 3"):
        ledger.avatar("Анна й", 3)
    ledger.remove_avatar([first.id, second.id])
    assert [a.name for a in ledger.avatars()] == ["ann@work"]


def test_documents_replace_their_namesakes(ledger: Ledger) -> None:
    record = DocumentRecord(
        name="часы.md",
        digest="a" * 64,
        media_type="text/markdown",
        title="Часы",
        language="ru",
        added=now(),
        source="часы.md",
    )
    ledger.add_document(record)
    ledger.add_document(replace(record, digest="b" * 64))
    assert [d.digest for d in ledger.documents()] == ["b" * 64]
    assert ledger.owners() == {"b" * 64: "document часы.md"}
    with pytest.raises(BadInput, match="no document") as caught:
        ledger.remove_document("час.md")
    assert caught.value.hint == "did you mean 'часы.md'?"
    assert ledger.remove_document("часы.md").digest == "b" * 64
    assert ledger.documents() == []


def test_digests_of_models_are_remembered_until_the_file_changes(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    assert ledger.model_digest(path) is None
    ledger.remember_model(path, "a" * 64)
    assert ledger.model_digest(path) == "a" * 64
    path.write_bytes(b"WEIGHTS and more")
    assert ledger.model_digest(path) is None


def test_an_error_undoes_the_whole_write(ledger: Ledger) -> None:
    run = run_of(ledger)
    with pytest.raises(KeyboardInterrupt), ledger.write():
        ledger.add_step(step_of(run, 0))
        raise KeyboardInterrupt
    assert ledger.steps(run.id) == []
    with pytest.raises(sqlite3.IntegrityError):
        ledger.record_action(Manifest("k", {}, {}, now(), 1.0, "e"), "speak", {}, step_of(replace(run, id="no"), 0))
    assert ledger.find_action("k") is None


def test_threads_write_at_once(ledger: Ledger) -> None:
    run = run_of(ledger)

    def work(number: int) -> None:
        for i in range(50):
            ledger.add_step(step_of(run, number * 50 + i))
            ledger.steps(run.id)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [s.index for s in ledger.steps(run.id)] == list(range(300))


def test_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    code = """
from pathlib import Path
from types import SimpleNamespace
from avatarctl.store.faults import ledger_fault
from avatarctl.store.ledger import Ledger
from avatarctl.store.model import RunRecord, new_id
go()
with Ledger.open(Path(sys.argv[1])) as ledger:
    for _ in range(50):
        run = RunRecord(id=new_id(), recipe="ask")
        ledger.start_run(run)
        ledger.finish_run(run.id, "done")
"""
    together(code, 4, path)
    with Ledger.open(path) as ledger:
        assert len(ledger.runs(limit=1000, status="done")) == 200


def test_a_busy_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.02)
    with Ledger.open(tmp_path / "l") as one, Ledger.open(tmp_path / "l") as two, one.write():
        with pytest.raises(Busy, match="busy"), two.write():
            pass
        assert two.runs() == []


@pytest.mark.parametrize("readonly", [False, True])
def test_what_is_no_ledger_is_refused(tmp_path: Path, readonly: bool) -> None:
    text = tmp_path / "text"
    text.write_text("this is not a database, and long enough to look at" * 30)
    with pytest.raises(Unavailable, match="damaged") as caught:
        Ledger.open(text, readonly=readonly)
    assert "move it away" in caught.value.hint
    other = tmp_path / "other.sqlite"
    sqlite3.connect(other).executescript("CREATE TABLE photos (id)").close()
    before = other.read_bytes()
    with pytest.raises(Unavailable, match="not a ledger"):
        Ledger.open(other, readonly=readonly)
    assert other.read_bytes() == before


def test_a_torn_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        run_of(ledger)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(Unavailable, match="damaged"), Ledger.open(path) as ledger:
        ledger.runs()


@pytest.mark.parametrize("text", [b"\xc2\x28", b'{"a": [1, }'])
@pytest.mark.parametrize(
    ("table", "column"),
    [("runs", "request"), ("steps", "inputs"), ("actions", "manifest"), ("avatars", "portrait_report")],
)
def test_a_flipped_bit_in_a_column_is_told(tmp_path: Path, table: str, column: str, text: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        run = run_of(ledger)
        ledger.add_step(step_of(run, 0))
        ledger.record_action(Manifest("k", {}, {}, now(), 1.0, "e"), "speak", {})
        ledger.add_avatar(avatar_of("Anna"))
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE {table} SET {column} = CAST(? AS TEXT)", (text,))
    connection.commit()
    connection.close()
    with Ledger.open(path) as ledger:
        read = {
            "runs": ledger.runs,
            "steps": lambda: ledger.steps(run.id),
            "actions": lambda: ledger.find_action("k"),
            "avatars": ledger.avatars,
        }[table]
        with pytest.raises(Unavailable, match="damaged") as caught:
            read()
    assert "backup" in caught.value.hint


def test_a_file_system_without_wal_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(sqlite3.Connection):
        def execute(self, sql: str, *rest: object) -> sqlite3.Cursor:
            return super().execute("PRAGMA journal_mode" if "WAL" in sql else sql, *rest)

    real = sqlite3.connect
    monkeypatch.setattr(connections.sqlite3, "connect", lambda *a, **k: real(*a, **k, factory=Refusing))
    with pytest.raises(Unavailable, match="cannot be shared") as caught:
        Ledger.open(tmp_path / "ledger.sqlite")
    assert "local disk" in caught.value.hint


FULL = """
import resource
from pathlib import Path
from types import SimpleNamespace
from avatarctl.errors import Unavailable
from avatarctl.store.faults import ledger_fault
from avatarctl.store.ledger import Ledger
from avatarctl.store.model import RunRecord, new_id
path = Path(sys.argv[1])
with Ledger.open(path) as ledger:
    ledger.start_run(RunRecord(id=new_id(), recipe="first"))
ledger = Ledger.open(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    for _ in range(1000):
        ledger.start_run(RunRecord(id=new_id(), recipe="x" * 5000))
except Unavailable as error:
    print(error.code)
"""


def test_a_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    assert finish(start(FULL, path)) == "unavailable"
    with Ledger.open(path) as ledger:
        runs = ledger.runs(limit=10_000)
        assert runs[-1].recipe == "first"
        assert all(r.recipe == "x" * 5000 for r in runs[:-1])


def test_a_full_disk_is_told_from_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says "disk I/O error" where it cannot enlarge the memory that its users share."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    path = tmp_path / "ledger.sqlite"
    assert "cannot be used" in ledger_fault(error, path).what
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(total=2**20, used=2**20, free=0))
    assert "the disk is full" in ledger_fault(error, path).what


def test_ids_grow_even_if_the_clock_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [new_id() for _ in range(1000)]
    assert made == sorted(set(made))
    assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", i) for i in made)
    monkeypatch.setattr(ids.time, "time_ns", lambda: 0)
    later = [new_id() for _ in range(1000)]
    assert later == sorted(set(later)) and later[0] > made[-1]
    assert later[0][:10] == made[-1][:10]


def test_the_newest_is_what_was_written_last_whatever_the_clock_said(tmp_path: Path) -> None:
    """A clock that was a year ahead for a night must not hide a year's runs, batches and people."""
    ahead, right = "7" + "Z" * 25, "0" * 26
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        for id, created in ((ahead, "2999-01-01T00:00:00.000Z"), (right, "2026-01-01T00:00:00.000Z")):
            ledger.start_run(RunRecord(id=id, recipe="test", started=created))
            ledger.add_avatar(avatar_of(f"name {id[0]}", id=id, created=created))
            with ledger.write() as connection:
                connection.execute("INSERT INTO batches VALUES (?, ?, '', ?, '', '', 1)", (id, id, created))
        assert ledger.run("last").id == ledger.runs()[0].id == right
        assert ledger.batch("last").id == ledger.batches()[0].id == right
        assert ledger.newest_avatars()[0].id == right


@given(st.datetimes(timezones=st.timezones()))
def test_times_are_utc_with_milliseconds(moment) -> None:
    if 1 < moment.year < 9999:
        text = ids.iso(moment)
        assert len(text) == 24 and text[10] == "T" and text[19] == "." and text[-1] == "Z"


def test_opening_a_ledger_of_this_version_loads_no_sqlite_utils(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite"):
        pass
    code = """
from pathlib import Path
from types import SimpleNamespace
from avatarctl.store import erase, gc, verify
from avatarctl.store.store import Store
Store.open(Path(sys.argv[1])).close()
Store.open(Path(sys.argv[1]), readonly=True).close()
print([name for name in ("sqlite_utils", "numpy", "cv2", "asyncio") if name in sys.modules])
"""
    assert finish(start(code, tmp_path)) == "[]"
    assert "sqlite_utils" in sys.modules


def test_views_that_people_read(ledger: Ledger) -> None:
    run = run_of(ledger)
    ledger.record_action(Manifest("k", {}, {}, now(), 1.0, "e"), "speak", {}, step_of(run, 0, run_ms=1500.0))
    ledger.add_step(step_of(run, 1, status="hit"))
    ledger.finish_run(run.id, "done")
    (times,) = ledger.rows("SELECT * FROM run_times")
    assert (times["steps"], times["hits"], times["engine_seconds"]) == (2, 1, 1.5)
    assert times["seconds"] >= 0
    assert [r["status"] for r in ledger.rows("SELECT * FROM run_steps")] == ["done", "hit"]
    (stage,) = ledger.rows("SELECT * FROM cache_by_stage")
    assert (stage["stage"], stage["actions"], stage["bytes"]) == ("speak", 1, 0)
