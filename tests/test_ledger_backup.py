"""Backups of the ledger: of one moment, checked, whole or not at all; and the way back."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from avatarctl.errors import BadInput, Unavailable
from avatarctl.store import backup as copies
from avatarctl.store.ledger import FILE_NAME, Ledger
from avatarctl.store.model import RunRecord, new_id
from avatarctl.store.store import Store
from tests.store_support import Maker, finish, start
from tests.tools import Studio, refused

WRITER = """
import itertools
from pathlib import Path
from avatarctl.store.store import Store
from tests.store_support import Maker
with Store.open(Path(sys.argv[1])) as store:
    maker = Maker(store)
    with store.run_lock(maker.run_id):
        print("begun", flush=True)
        threading = __import__("threading")
        stop = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
        for i in itertools.count():
            maker.make(f"late {i}")
            if stop.is_set():
                break
print(i)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "home") as store:
        maker = Maker(store)
        for i in range(3):
            maker.make(f"step {i}")
    return tmp_path / "home"


def runs(path: Path) -> int:
    with Ledger.open(path, readonly=True) as ledger:
        return len(ledger.runs(-1))


def test_a_copy_is_the_whole_ledger(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "new" / "копия.sqlite"
    made = copies.backup(home / FILE_NAME, place)
    assert (made.rows["steps"], made.rows["actions"], made.problems) == (3, 3, ())
    assert made.bytes == place.stat().st_size
    assert [p.name for p in place.parent.iterdir()] == [place.name]
    with Ledger.open(place, readonly=True) as copy, Ledger.open(home / FILE_NAME, readonly=True) as ledger:
        for table in ("runs", "steps", "actions", "artefacts", "origins"):
            assert list(map(tuple, copy.rows(f"SELECT * FROM {table}"))) == list(
                map(tuple, ledger.rows(f"SELECT * FROM {table}"))
            )


def test_a_file_that_is_there_stays_unless_it_is_forced(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "copy.sqlite"
    place.write_bytes(b"something else")
    with pytest.raises(BadInput, match="there already"):
        copies.backup(home / FILE_NAME, place)
    assert place.read_bytes() == b"something else"
    copies.backup(home / FILE_NAME, place, force=True)
    assert runs(place) == 1
    (tmp_path / "link.sqlite").hardlink_to(home / FILE_NAME)
    for itself in (home / FILE_NAME, tmp_path / "link.sqlite"):
        with pytest.raises(BadInput, match="the ledger itself"):
            copies.backup(home / FILE_NAME, itself, force=True)
    assert runs(home / FILE_NAME) == 1


def test_a_copy_beside_a_writer_is_of_one_moment(home: Path, tmp_path: Path) -> None:
    writer = start(WRITER, home)
    assert writer.stdout is not None and writer.stdin is not None
    assert writer.stdout.readline() == "begun\n"
    seen = []
    for i in range(6):
        made = copies.backup(home / FILE_NAME, tmp_path / f"{i}.sqlite")
        # A step, its action and its artefact are written together, or not yet.
        assert made.rows["steps"] == made.rows["actions"] == made.rows["artefacts"]
        seen.append(made.rows["steps"])
    assert seen == sorted(seen) and seen[-1] > seen[0]
    writer.stdin.write("stop\n")
    writer.stdin.flush()
    assert int(finish(writer)) >= seen[-1] - 4


def test_a_damaged_ledger_gives_no_copy(home: Path, tmp_path: Path) -> None:
    with sqlite3.connect(home / FILE_NAME) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM runs")
    connection.close()
    assert "refers to a row of runs" in copies.look_over(home / FILE_NAME).problems[0]
    with pytest.raises(Unavailable, match="damaged"):
        copies.backup(home / FILE_NAME, tmp_path / "copies" / "copy.sqlite")
    assert list((tmp_path / "copies").iterdir()) == []
    content = bytearray((home / FILE_NAME).read_bytes())
    content[4096 * 4 : 4096 * 12] = b"\xff" * 4096 * 8
    (home / FILE_NAME).write_bytes(content)
    with pytest.raises(Unavailable, match="damaged"):
        copies.backup(home / FILE_NAME, tmp_path / "copies" / "copy.sqlite")
    assert list((tmp_path / "copies").iterdir()) == []


def test_there_and_back(home: Path, tmp_path: Path) -> None:
    copies.backup(home / FILE_NAME, tmp_path / "copy.sqlite")
    with Store.open(home) as store:
        store.ledger.start_run(RunRecord(id=new_id(), recipe="later"))
        # Still open elsewhere, with a log: nothing of it may reach the copy that takes its place.
        put, before = copies.restore(home / FILE_NAME, tmp_path / "copy.sqlite")
    assert put.rows["runs"] == 1 == runs(home / FILE_NAME)
    assert before is not None and runs(before) == 2
    with Store.open(home) as store:
        assert len(store.ledger.runs()) == 1
    with pytest.raises(BadInput, match="no file"):
        copies.restore(home / FILE_NAME, tmp_path / "nothing.sqlite")
    (tmp_path / "text.sqlite").write_text("words " * 1000)
    with pytest.raises(Unavailable):
        copies.restore(home / FILE_NAME, tmp_path / "text.sqlite")
    assert runs(home / FILE_NAME) == 1
    assert not [p for p in home.iterdir() if p.name.endswith(".part")]


def test_on_the_command_line(bare: Studio) -> None:
    refused(bare.run("ledger", "backup", "copy.sqlite"), 2, "no ledger yet")
    bare.ok("knowledge", "add", "--demo")
    assert bare.ok("ledger", "backup", "a/copy.sqlite").out == "a/copy.sqlite\n"
    refused(bare.run("ledger", "backup", "a/copy.sqlite"), 2, "there already", "--force")
    refused(bare.run("ledger", "backup", "a"), 2, "is a folder")
    assert bare.ok("ledger", "backup", "a/copy.sqlite", "--force", "--json").json["rows"]["documents"] == 7
    assert bare.ok("ledger", "check", "a/copy.sqlite", "--json").json["problems"] == []
    bare.ok("knowledge", "rm", "moon.md")
    assert bare.ok("ledger", "check", "--json").json["rows"]["documents"] == 6
    bare.ok("ledger", "restore", "a/copy.sqlite")
    assert bare.ok("ledger", "check", "--json").json["rows"]["documents"] == 7
    # While a command that writes is at work, the ledger is not taken away from under it.
    with Store.open(bare.home):
        refused(bare.run("ledger", "restore", "a/copy.sqlite", AVATARCTL_LOCK_TIMEOUT="0.1"), 75, "cache")


def test_copies_at_the_same_time_do_not_meet(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "copy.sqlite"
    ends: list[str] = []

    def copy() -> None:
        try:
            copies.backup(home / FILE_NAME, place)
            ends.append("done")
        except BadInput:
            ends.append("refused")

    threads = [threading.Thread(target=copy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["done", "refused", "refused", "refused"]
    assert runs(place) == 1 and [p.name for p in tmp_path.iterdir() if p.is_file()] == ["copy.sqlite"]
