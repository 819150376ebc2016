"""The ledger's schema, as an ordered list of steps. A step that has been released is never changed.

`sqlite_utils` is imported here and nowhere else: it takes longer to load than a cached film does.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database, Migrations
from sqlite_utils.db import ForeignKey

from avatarctl.store.connection import APPLICATION_ID, SCHEMA_VERSION

migrations = Migrations("avatarctl")


def apply(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date. The caller holds the write lock (`BEGIN IMMEDIATE`)."""
    migrations.apply(Database(connection))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _references(table: str, column: str, other: str, other_column: str, on_delete: str = "NO ACTION") -> ForeignKey:
    return ForeignKey(table, column, other, other_column, on_delete=on_delete)


@migrations()
def m001_runs_and_cache(db: Database) -> None:
    """Artefacts, the actions that made them, and the runs that asked."""
    db.table("artefacts").create(
        {"digest": str, "size": int, "media_type": str, "given": int, "made": int, "created": str},
        pk="digest",
        not_null={"size", "media_type", "given", "made", "created"},
    )
    # What an artefact comes from in the end. Kept apart from the actions, which are forgotten when they are
    # damaged, refreshed or collected, because an erasure has to find what was made before that, too.
    db.table("origins").create({"digest": str, "origin": str}, pk=("digest", "origin"), not_null={"digest", "origin"})
    db.table("origins").create_index(["origin"])
    db.table("actions").create(
        {
            "key": str,
            "stage": str,
            "engine": str,
            "manifest": str,
            "sticky": int,
            "run_ms": float,
            "created": str,
            "last_used": str,
        },
        pk="key",
        not_null={"stage", "engine", "manifest", "sticky", "created", "last_used"},
        defaults={"sticky": 0},
    )
    db.table("actions").create_index(["last_used"])
    db.table("action_inputs").create(
        {"key": str, "role": str, "digest": str},
        pk=("key", "role"),
        not_null={"key", "role", "digest"},
        foreign_keys=[_references("action_inputs", "key", "actions", "key", "CASCADE")],
    )
    db.table("action_inputs").create_index(["digest"])
    db.table("action_outputs").create(
        {"key": str, "role": str, "digest": str},
        pk=("key", "role"),
        not_null={"key", "role", "digest"},
        foreign_keys=[
            _references("action_outputs", "key", "actions", "key", "CASCADE"),
            _references("action_outputs", "digest", "artefacts", "digest"),
        ],
    )
    db.table("action_outputs").create_index(["digest"])
    db.table("runs").create(
        {
            "id": str,
            "recipe": str,
            "status": str,
            "started": str,
            "ended": str,
            "request": str,
            "settings": str,
            "outputs": str,
            "error": str,
        },
        pk="id",
        not_null={"recipe", "status", "started", "ended", "request", "settings", "outputs", "error"},
    )
    db.table("runs").create_index(["status"])
    db.table("steps").create(
        {
            "id": int,
            "run_id": str,
            "step": int,
            "stage": str,
            "engine": str,
            "key": str,
            "status": str,
            "label": str,
            "queue_ms": float,
            "load_ms": float,
            "run_ms": float,
            "device": str,
            "peak_memory_mb": float,
            "output_bytes": int,
            "error_code": str,
            "error": str,
            "inputs": str,
            "created": str,
        },
        pk="id",
        not_null={"run_id", "step", "stage", "engine", "key", "status", "inputs", "created"},
        foreign_keys=[_references("steps", "run_id", "runs", "id", "CASCADE")],
    )
    db.table("steps").create_index(["run_id", "step"])
    db.table("steps").create_index(["stage", "engine", "status"])
    db.table("steps").create_index(["key"])


@migrations()
def m002_people_and_knowledge(db: Database) -> None:
    """Who speaks, what they know, and which weights were checked."""
    db.table("avatars").create(
        {
            "id": str,
            "name": str,
            "version": int,
            "photo": str,
            "sample": str,
            "portrait": str,
            "preview": str,
            "voice": str,
            "portrait_report": str,
            "voice_report": str,
            "persona": str,
            "consent_by": str,
            "created": str,
        },
        pk="id",
        not_null={"name", "version", "photo", "portrait", "preview", "portrait_report", "created"},
    )
    db.table("avatars").create_index(["name", "version"], unique=True)
    db.table("documents").create(
        {
            "name": str,
            "digest": str,
            "media_type": str,
            "title": str,
            "language": str,
            "added": str,
            "source": str,
        },
        pk="name",
        not_null={"digest", "media_type", "added"},
    )
    db.table("models").create(
        {"path": str, "size": int, "mtime_ns": int, "inode": int, "digest": str},
        pk="path",
        not_null={"size", "mtime_ns", "inode", "digest"},
    )
    db.create_view(
        "pinned",
        """
        SELECT value AS digest, 'avatar ' || name AS owner FROM avatars,
            json_each(json_array(photo, sample, portrait, preview, voice)) WHERE value != ''
        UNION SELECT digest, 'document ' || name FROM documents
        """,
    )


@migrations()
def m003_jobs_and_conversations(db: Database) -> None:
    """Batches of jobs, which runs perform, and conversations."""
    db.table("batches").create(
        {"id": str, "source": str, "digest": str, "created": str, "ended": str},
        pk="id",
        not_null={"source", "digest", "created"},
    )
    db.table("jobs").create(
        {
            "id": str,
            "batch_id": str,
            "position": int,
            "status": str,
            "request": str,
            "owner": str,
            "lease_until": str,
            "attempt": int,
            "run_id": str,
            "error": str,
        },
        pk="id",
        not_null={"batch_id", "position", "status", "request", "attempt"},
        defaults={"status": "queued", "attempt": 0},
        foreign_keys=[
            _references("jobs", "batch_id", "batches", "id", "CASCADE"),
            _references("jobs", "run_id", "runs", "id", "SET NULL"),
        ],
    )
    db.table("jobs").create_index(["batch_id", "position"], unique=True)
    db.table("jobs").create_index(["status", "lease_until"])
    db.table("conversations").create(
        {"id": str, "avatar_id": str, "title": str, "created": str},
        pk="id",
        not_null={"created"},
        foreign_keys=[_references("conversations", "avatar_id", "avatars", "id", "SET NULL")],
    )
    db.table("messages").create(
        {"id": str, "conversation_id": str, "role": str, "text": str, "run_id": str, "created": str},
        pk="id",
        not_null={"conversation_id", "role", "text", "created"},
        foreign_keys=[
            _references("messages", "conversation_id", "conversations", "id", "CASCADE"),
            _references("messages", "run_id", "runs", "id", "SET NULL"),
        ],
    )
    db.table("messages").create_index(["conversation_id", "id"])


@migrations()
def m004_views(db: Database) -> None:
    """What people ask of the ledger, readable in Datasette."""
    db.create_view(
        "run_steps",
        """
        SELECT run_id, step, stage, engine, label, status, round(queue_ms, 1) AS queue_ms,
            round(load_ms, 1) AS load_ms, round(run_ms, 1) AS run_ms, output_bytes, device, key, error
        FROM steps ORDER BY run_id DESC, step, id
        """,
    )
    db.create_view(
        "run_times",
        """
        SELECT runs.id, recipe, runs.status, started,
            round((julianday(nullif(ended, '')) - julianday(started)) * 86400, 3) AS seconds,
            count(steps.id) AS steps, coalesce(sum(steps.status = 'hit'), 0) AS hits,
            round(coalesce(sum(steps.run_ms), 0) / 1000, 3) AS engine_seconds
        FROM runs LEFT JOIN steps ON steps.run_id = runs.id GROUP BY runs.id ORDER BY runs.id DESC
        """,
    )
    db.create_view(
        "cache_by_stage",
        """
        SELECT stage, engine, count(DISTINCT actions.key) AS actions, count(artefacts.digest) AS files,
            coalesce(sum(size), 0) AS bytes, max(last_used) AS last_used
        FROM actions LEFT JOIN action_outputs USING (key) LEFT JOIN artefacts USING (digest)
        GROUP BY stage, engine ORDER BY bytes DESC
        """,
    )


@migrations()
def m005_queue(db: Database) -> None:
    """What a queue of jobs needs that several processes share, and what every made step was made of."""
    batches = db.table("batches")
    batches.add_column("outputs", str, not_null_default="")
    batches.add_column("round", int, not_null_default=1)
    # Nothing wrote batches before: whatever a hand put there becomes a batch that came to its end.
    db.execute("UPDATE batches SET ended = created WHERE ended IS NULL")
    jobs = db.table("jobs")
    for name in ("name", "fingerprint", "heartbeat", "error_code", "output", "ended"):
        jobs.add_column(name, str, not_null_default="")
    for name in ("priority", "cancel", "retryable", "cached"):
        jobs.add_column(name, int, not_null_default=0)
    for name in ("seconds", "media_seconds"):
        jobs.add_column(name, float, not_null_default=0.0)
    db.execute("UPDATE jobs SET name = id, error = coalesce(error, '')")
    db.execute("UPDATE jobs SET status = 'queued', owner = NULL WHERE status = 'running'")
    # A lease would end by the clock; who lives is asked of the kernel instead.
    db.execute("DROP INDEX idx_jobs_status_lease_until")
    db.execute("ALTER TABLE jobs DROP COLUMN lease_until")
    jobs.create_index(["batch_id", "name"], unique=True)
    jobs.create_index(["batch_id", "status", "priority", "position"])
    db.table("actions").add_column("identity", str, not_null_default="")


@migrations()
def m006_remarks(db: Database) -> None:
    """What was made otherwise than asked, where memory ran out."""
    db.table("steps").add_column("notes", str, not_null_default="")
    db.table("jobs").add_column("remark", str, not_null_default="")
    db.create_view(
        "run_steps",
        """
        SELECT run_id, step, stage, engine, label, status, round(queue_ms, 1) AS queue_ms,
            round(load_ms, 1) AS load_ms, round(run_ms, 1) AS run_ms, output_bytes, device, key, error, notes
        FROM steps ORDER BY run_id DESC, step, id
        """,
        replace=True,
    )


@migrations()
def m007_pins(db: Database) -> None:
    """Runs whose steps are to stay in the cache."""
    db.table("pins").create(
        {"run_id": str, "since": str},
        pk="run_id",
        not_null={"run_id", "since"},
        foreign_keys=[_references("pins", "run_id", "runs", "id", "CASCADE")],
    )
