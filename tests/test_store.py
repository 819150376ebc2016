from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from avatarctl.errors import Busy, StepFailed
from avatarctl.store.model import RunRecord, new_id
from avatarctl.store.store import Store
from avatarctl.store.verify import verify
from tests.store_support import Maker, finish, key_of, start, together


def spoil(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "home") as opened:
        yield opened


def test_published_steps_are_found(store: Store) -> None:
    maker = Maker(store)
    text = store.add_bytes("Привет.".encode(), "text/plain")
    made = maker.make("speak", {"text": text.digest}, outputs={"speech": b"wave", "timings": b"{}"})
    assert store.lookup(made.key) == made
    assert made.facts == {"name": "speak"}
    assert made.outputs["speech"].media_type == "text/plain"
    assert store.cas.path(made.outputs["speech"].digest).read_bytes() == b"wave"
    (step,) = store.ledger.steps(maker.run_id)
    assert (step.status, step.output_bytes, dict(step.inputs)) == ("done", 6, {"text": text.digest})
    assert store.lookup(key_of("something else")) is None
    assert not (store.tmp_folder / maker.run_id).exists()


def test_the_first_result_is_the_result_unless_it_is_refreshed(store: Store) -> None:
    maker = Maker(store)
    first = maker.make("answer", outputs={"answer": b"one"})
    assert maker.make("answer", outputs={"answer": b"two"}) == first
    assert store.lookup(first.key) == first
    second = maker.make("answer", outputs={"answer": b"two"}, replace=True)
    assert second.outputs != first.outputs
    assert store.lookup(first.key) == second


def test_a_truncated_output_is_put_aside_and_made_again(store: Store) -> None:
    maker = Maker(store)
    made = maker.make("clip")
    digest = made.outputs["out"].digest
    spoil(store.cas.path(digest), b"")
    assert store.lookup(made.key) is None
    assert (store.cas.quarantined / digest).exists()
    assert store.ledger.find_action(made.key) is None
    again = maker.make("clip")
    assert again.outputs == made.outputs and store.lookup(made.key) == again


def test_publishing_over_a_damaged_result_replaces_it(store: Store) -> None:
    maker = Maker(store)
    first = maker.make("answer", outputs={"answer": b"one"})
    store.cas.delete(first.outputs["answer"].digest)
    second = maker.make("answer", outputs={"answer": b"two"})
    assert store.lookup(first.key) == second


def test_a_flipped_bit_is_found_by_verify(store: Store) -> None:
    maker = Maker(store)
    good, bad, gone = maker.make("good"), maker.make("bad"), maker.make("gone")
    path = store.cas.path(bad.outputs["out"].digest)
    data = bytearray(path.read_bytes())
    data[3] ^= 4
    spoil(path, bytes(data))
    store.cas.delete(gone.outputs["out"].digest)
    assert store.lookup(bad.key) == bad
    seen = verify(store, repair=False)
    assert {(d.digest, d.reason) for d in seen.damaged} == {
        (bad.outputs["out"].digest, "changed"),
        (gone.outputs["out"].digest, "missing"),
    }
    assert store.lookup(bad.key) == bad
    assert verify(store).damaged == seen.damaged
    assert store.lookup(bad.key) is None and store.lookup(gone.key) is None
    assert store.lookup(good.key) == good
    assert verify(store).damaged == ()


def test_outputs_that_are_no_files_fail_the_step(store: Store) -> None:
    maker = Maker(store)
    key = key_of("link")
    with store.workspace(maker.run_id) as folder:
        (folder / "out").symlink_to("/etc/hostname")
        with pytest.raises(StepFailed, match="is a link"):
            store.publish(
                key,
                stage="speak",
                engine="test",
                outputs={"out": (folder / "out", "text/plain")},
                inputs={},
                facts={},
                step=maker.step(key),
            )
    assert store.lookup(key) is None


def test_given_bytes_are_written_once(store: Store) -> None:
    one = store.add_bytes(b"text", "text/plain")
    inode = store.cas.path(one.digest).stat().st_ino
    assert store.add_bytes(b"text", "text/plain") == one == store.artefact(one.digest)
    assert store.cas.path(one.digest).stat().st_ino == inode
    store.cas.delete(one.digest)
    assert store.artefact(one.digest) is None


def test_use_is_noted_when_the_store_is_closed(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        made = Maker(store).make("x")
        store.ledger.touch([made.key], "2020-01-01T00:00:00.000Z")
        with store.ledger.write() as connection:
            connection.execute("UPDATE actions SET last_used = '2020-01-01T00:00:00.000Z'")
        store.lookup(made.key)
    with Store.open(tmp_path, readonly=True) as store:
        row = store.ledger.row("SELECT last_used FROM actions")
        assert row is not None and row["last_used"] >= made.created


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Sizes and times of everything but SQLite's own working files."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.stat().st_size)
        for p in folder.rglob("*")
        if not p.name.endswith(("-wal", "-shm"))
    }


def test_reading_writes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Store.open(home) as store:
        good, damaged = Maker(store).make("good"), Maker(store).make("damaged")
        store.cas.delete(damaged.outputs["out"].digest)
    before = state(home)
    with Store.open(home, readonly=True) as store:
        assert store.lookup(good.key) == good
        assert store.lookup(damaged.key) is None
        assert store.ledger.find_action(damaged.key) == damaged
        assert len(store.ledger.runs()) == 2
        with pytest.raises(RuntimeError):
            store.add_bytes(b"new", "text/plain")
    after = state(home)
    assert {p: after[p] for p in before} == before


def test_reading_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "home", readonly=True) as store:
        assert store.lookup(key_of("x")) is None
        assert store.ledger.runs() == [] and store.ledger.avatars() == []
    assert not (tmp_path / "home").exists()


PUBLISH = """
from pathlib import Path
from avatarctl.store.locks import key_lock
from avatarctl.store.store import Store
from tests.store_support import Maker, key_of
go()
with Store.open(Path(sys.argv[1])) as store:
    maker = Maker(store)
    for i in range(5):
        if sys.argv[2] == "race":
            made = maker.make(str(i), outputs={"out": sys.argv[-1].encode()})
        else:
            key = key_of(str(i), [])
            with key_lock(store.locks_folder, key, 60):
                made = store.lookup(key)
                if made is None:
                    made = maker.make(str(i), outputs={"out": sys.argv[-1].encode()})
                    print("made", file=sys.stderr)
        print(made.outputs["out"].digest)
print(sum(s.status == "done" for s in Store.open(Path(sys.argv[1])).ledger.steps(maker.run_id)), file=sys.stderr)
"""


def test_eight_processes_publish_the_same_steps(tmp_path: Path) -> None:
    outputs = together(PUBLISH, 8, tmp_path / "home", "race")
    assert len(set(outputs)) == 1
    with Store.open(tmp_path / "home") as store:
        found = [store.lookup(key_of(i, [])) for i in range(5)]
        assert [m.outputs["out"].digest for m in found if m] == outputs[0].splitlines()
        assert len(store.ledger.runs(limit=100)) == 8
        assert verify(store).damaged == ()


def test_eight_processes_make_each_step_once(tmp_path: Path) -> None:
    assert len(set(together(PUBLISH, 8, tmp_path / "home", "locked"))) == 1
    with Store.open(tmp_path / "home") as store:
        row = store.ledger.row("SELECT count(*) AS made FROM steps")
        assert row is not None and row["made"] == 5


WORK = """
from pathlib import Path
from avatarctl.store.store import Store
from tests.store_support import Maker
store = Store.open(Path(sys.argv[1]))
maker = Maker(store)
store.run_lock(maker.run_id).__enter__()
if sys.argv[2] == "between":
    # Die when every file is in the cache and no row is in the ledger.
    import os, signal
    store.ledger.record_action = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
print(maker.run_id, flush=True)
for i in range(100_000):
    maker.make(f"{sys.argv[2]} {i}", outputs={"a": b"a" * i, "b": str(i).encode() * 1000})
"""


def killed(home: Path, mode: str, delay: float | None) -> str:
    process = start(WORK, home, mode)
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    if delay is not None:
        time.sleep(delay)
        process.kill()
    finish(process, -signal.SIGKILL)
    return run_id


def test_killed_between_file_and_row(tmp_path: Path) -> None:
    run_id = killed(tmp_path, "between", None)
    assert (tmp_path / "tmp" / run_id).exists()
    with Store.open(tmp_path) as store:
        assert store.lookup(key_of("between 0", [])) is None
        assert len(list(store.cas)) == 2
        assert not (tmp_path / "tmp" / run_id).exists()
        assert not (store.locks_folder / "runs" / run_id).exists()
        assert store.ledger.run(run_id).status == "lost"
        made = Maker(store).make("between 0", outputs={"a": b"", "b": b"0" * 1000})
        assert store.lookup(made.key) == made


def test_killed_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(7)
    for round_number in range(6):
        run_id = killed(tmp_path, f"round {round_number}", chance.uniform(0.0, 0.15))
        with Store.open(tmp_path) as store:
            assert store.ledger.run(run_id).status == "lost"
            assert verify(store).damaged == ()
            for row in store.ledger.rows("SELECT key FROM actions"):
                assert store.lookup(row["key"]) is not None
            row = store.ledger.row("PRAGMA integrity_check")
            assert row is not None and row[0] == "ok"
            assert store.stale_folders() == []


def test_workspaces_of_the_living_are_left_alone(tmp_path: Path) -> None:
    with Store.open(tmp_path) as one:
        run_id = new_id()
        with one.run_lock(run_id):
            one.ledger.start_run(RunRecord(id=run_id, recipe="ask"))
            with one.workspace(run_id) as folder, one.workspace(run_id) as other:
                assert folder != other and folder.is_dir()
                with Store.open(tmp_path) as two:
                    assert two.is_alive(run_id)
                    assert folder.is_dir()
                    assert two.ledger.run(run_id).status == "running"
        assert not folder.exists()
        assert not one.is_alive(run_id)


def test_a_store_waits_for_a_collection(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, store.alone(0):
        with pytest.raises(Busy):
            Store.open(tmp_path, lock_timeout=0.02)
        with Store.open(tmp_path, readonly=True) as reader:
            assert reader.ledger.runs() == []
    with Store.open(tmp_path, lock_timeout=0.02):
        pass


def test_files_on_their_way_in_are_cleared_by_who_is_alone_or_after_a_day(tmp_path: Path) -> None:
    incoming = tmp_path / "cas" / "incoming"
    with Store.open(tmp_path):
        incoming.mkdir(parents=True, exist_ok=True)
        (incoming / "new").write_bytes(b"x")
        (incoming / "old").write_bytes(b"x")
        os.utime(incoming / "old", (0, 0))
        with Store.open(tmp_path):
            assert [p.name for p in incoming.iterdir()] == ["new"], "another is at work, and it may be its file"
    with Store.open(tmp_path):
        assert list(incoming.iterdir()) == []


def test_rows_that_lost_their_action_are_in_nobodys_way(store: Store) -> None:
    """As after a flipped bit in an action's key."""
    maker = Maker(store)
    made = maker.make("x", {"in": "0" * 64})
    path = store.home / "ledger.sqlite"
    with sqlite3.connect(path) as connection:  # without foreign keys
        connection.execute("UPDATE actions SET key = 's1:other' WHERE key = ?", (made.key,))
    connection.close()
    assert store.lookup(made.key) is None
    assert maker.make("x", {"in": "0" * 64}).outputs == made.outputs
