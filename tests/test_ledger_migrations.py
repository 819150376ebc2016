"""Every earlier schema, with rows in it, becomes the present one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from avatarctl.errors import Unavailable
from avatarctl.store.connection import APPLICATION_ID, SCHEMA_VERSION
from avatarctl.store.ledger import Ledger
from avatarctl.store.migrations import migrations
from tests.store_support import together

NAMES = [step.name for step in migrations.pending(Database(memory=True))]

ROWS = {
    "m001_runs_and_cache": """
        INSERT INTO artefacts VALUES ('d1', 3, 'text/plain', 1, 0, '2030'), ('d2', 4, 'audio/wav', 0, 1, '2030');
        INSERT INTO actions (key, stage, engine, manifest, sticky, run_ms, created, last_used)
            VALUES ('k', 'speak', 'e',
            '{"key":"k","outputs":{"speech":["d2",4,"audio/wav"]},"facts":{},"created":"2030","run_ms":1,"engine":"e"}',
            0, 1.0, '2030', '2030');
        INSERT INTO action_inputs VALUES ('k', 'text', 'd1');
        INSERT INTO action_outputs VALUES ('k', 'speech', 'd2');
        INSERT INTO origins VALUES ('d2', 'd1');
        INSERT INTO runs VALUES ('R', 'ask', 'done', '2030-01-01T00:00:00.000Z', '', '{"question":"?"}', '{}', '[]',
            '');
        INSERT INTO steps (run_id, step, stage, engine, key, status, label, queue_ms, load_ms, run_ms, device,
            peak_memory_mb, output_bytes, error_code, error, inputs, created)
            VALUES ('R', 0, 'speak', 'e', 'k', 'done', 'Да.', 0, 0, 1, 'cpu', 1, 4, '', '', '{"text":"d1"}', '2030');
    """,
    "m002_people_and_knowledge": """
        INSERT INTO avatars VALUES ('A', 'Анна', 1, 'p1', '', 'p2', 'p3', '', '{}', NULL, '', '', '2030');
        INSERT INTO documents VALUES ('d.md', 'd1', 'text/markdown', 't', 'ru', '2030', 'd.md');
        INSERT INTO models VALUES ('/m', 1, 2, 3, 'd3');
    """,
    "m003_jobs_and_conversations": """
        INSERT INTO batches (id, source, digest, created) VALUES ('B', 'jobs.toml', 'd4', '2030');
        INSERT INTO jobs (id, batch_id, position, status, request, attempt, run_id)
            VALUES ('J', 'B', 0, 'done', '{}', 1, 'R');
        INSERT INTO conversations VALUES ('C', 'A', 'title', '2030');
        INSERT INTO messages VALUES ('M', 'C', 'user', 'Кто ты?', 'R', '2030');
    """,
    "m007_pins": "INSERT INTO pins VALUES ('R', '2030');",
}


def make(path: Path, version: int) -> None:
    """A ledger as version `version` of the schema left it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    database = Database(connection)
    if version:
        migrations.apply(database, stop_before=NAMES[version:])
    for name in NAMES[:version]:
        connection.executescript(ROWS.get(name, ""))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID if version else 0}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


def schema(path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return found


def check(ledger: Ledger, version: int) -> None:
    if version >= 1:
        found = ledger.find_action("k")
        assert found is not None and found.outputs["speech"].digest == "d2"
        assert ledger.run("R").request == {"question": "?"}
        assert (ledger.steps("R")[0].inputs, ledger.steps("R")[0].notes) == ({"text": "d1"}, "")
        assert [r["id"] for r in ledger.rows("SELECT id FROM run_times")] == ["R"]
    if version >= 2:
        assert ledger.avatar("Анна").portrait == "p2"
        assert ledger.owners() == {"p1": "avatar Анна", "p2": "avatar Анна", "p3": "avatar Анна", "d1": "document d.md"}
    if version >= 3:
        assert ledger.rows("SELECT run_id FROM jobs")[0]["run_id"] == "R"
        (job,) = ledger.jobs("B")
        assert (job.status, job.run_id, job.remark) == ("done", "R", "")
        assert ledger.batch("B").round == 1
    if 3 <= version < 5:
        assert (ledger.jobs("B")[0].name, ledger.batch("B").ended) == ("J", "2030")
        assert ledger.rows("SELECT text FROM messages")[0]["text"] == "Кто ты?"
    assert [p.run_id for p in ledger.pins()] == (["R"] if version >= 7 else [])
    assert ledger.rows("PRAGMA foreign_key_check") == []


def test_the_version_counts_the_steps() -> None:
    assert len(NAMES) == SCHEMA_VERSION
    assert sorted(NAMES) == NAMES


@pytest.mark.parametrize("version", range(len(NAMES) + 1))
def test_from_every_earlier_schema(tmp_path: Path, version: int) -> None:
    path, fresh = tmp_path / "ledger.sqlite", tmp_path / "fresh.sqlite"
    make(path, version)
    with Ledger.open(path) as ledger:
        check(ledger, version)
    with Ledger.open(fresh):
        pass
    assert schema(path) == schema(fresh)
    with Ledger.open(path) as ledger:
        check(ledger, version)


@pytest.mark.parametrize("version", range(len(NAMES)))
def test_an_older_ledger_can_be_read_without_changing_it(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite"
    make(path, version)
    before = path.read_bytes()
    with Ledger.open(path, readonly=True) as ledger:
        check(ledger, version)
    assert path.read_bytes() == before


@pytest.mark.parametrize("readonly", [False, True])
def test_a_newer_ledger_is_refused(tmp_path: Path, readonly: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    make(path, SCHEMA_VERSION)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="newer avatarctl") as caught:
        Ledger.open(path, readonly=readonly)
    assert caught.value.exit_code == 4 and "update avatarctl" in caught.value.hint
    assert path.read_bytes() == before


RACE = """
from pathlib import Path
from avatarctl.store import migrations
from avatarctl.store.ledger import Ledger
go()
for i in range(6):
    with Ledger.open(Path(sys.argv[1]) / f"{i}.sqlite") as ledger:
        print(ledger.row("PRAGMA user_version")[0], ledger.row("PRAGMA journal_mode")[0], len(ledger.runs()))
"""


def test_eight_processes_migrate_at_once(tmp_path: Path) -> None:
    for i in range(3):
        make(tmp_path / f"{i}.sqlite", i)
    expected = [f"{SCHEMA_VERSION} wal {1 if i in (1, 2) else 0}" for i in range(6)]
    assert together(RACE, 8, tmp_path) == ["\n".join(expected)] * 8


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    make(path, 1)
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE jobs (mine)")
    connection.close()
    before = schema(path)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        Ledger.open(path)
    assert schema(path) == before
