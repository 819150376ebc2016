"""Tables `batches` and `jobs`: a queue that many processes share and that none of them can lose.

A batch is its job file: the same path is the same batch, and a job is its name in it. So the same file again goes on
where it was, and only what was changed in it is changed in the queue.

    queued --claim--> running --finish--> done | failed | cancelled
      ^                  | its owner died, or let it go
      +------------------+

Who owns a job holds a lock (`RunLock`) for as long as it lives. Whether an owner is dead is asked of the kernel, not
of a clock, so a clock that jumps or a process that was paused gives no job away. The heartbeat is for people to see.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avatarctl.errors import BadInput
from avatarctl.store.connection import LedgerFile
from avatarctl.store.ids import new_id, now
from avatarctl.store.model import BatchRecord, JobRecord
from avatarctl.store.runs import from_json, to_json

IsAlive = Callable[[str], bool]
OVER = ("done", "failed", "cancelled")
"""Statuses that a job keeps until somebody asks for it again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job as its file asks for it. Whoever changes it changes its `fingerprint`."""

    name: str
    request: Mapping[str, Any]
    fingerprint: str
    priority: int = 0


class QueueTables(LedgerFile):
    """Batches and their jobs."""

    def queue_batch(
        self, source: str, digest: str, wanted: Sequence[Wanted], is_alive: IsAlive, outputs: str = ""
    ) -> BatchRecord:
        """Bring a batch's queue in line with its job file: what is new or changed is queued, what is gone is removed.

        If nobody is at work on it, what failed or was cancelled is queued again; and if it had come to its end, so is
        everything: what is still right costs a look into the cache.

        Args:
            source: absolute path of the job file.
            digest: of the file's content.
            outputs: folder of the results.
        """
        with self.write(durable=True) as connection:
            batch_id = self._batch_of(connection, source, digest, outputs)
            self._free_dead(connection, is_alive, batch_id)
            ended = bool(_value(connection, "SELECT ended != '' FROM batches WHERE id = ?", batch_id))
            living = bool(
                _value(connection, "SELECT count(*) FROM jobs WHERE batch_id = ? AND status = 'running'", batch_id)
            )
            if not living:
                again = OVER if ended else ("failed", "cancelled")
                _requeue(connection, f"batch_id = ? AND status IN ({_marks(again)})", (batch_id, *again), fresh=True)
                if ended:
                    connection.execute("UPDATE batches SET ended = '', round = round + 1 WHERE id = ?", (batch_id,))
            self._match(connection, batch_id, wanted)
        return self.batch(batch_id)

    def _batch_of(self, connection: sqlite3.Connection, source: str, digest: str, outputs: str) -> str:
        found = _value(connection, "SELECT id FROM batches WHERE source = ?", source)
        if found is None:
            found = new_id()
            connection.execute(
                "INSERT INTO batches (id, source, digest, created, ended, outputs) VALUES (?, ?, ?, ?, '', ?)",
                (found, source, digest, now(), outputs),
            )
        else:
            connection.execute("UPDATE batches SET digest = ?, outputs = ? WHERE id = ?", (digest, outputs, found))
        return str(found)

    def _match(self, connection: sqlite3.Connection, batch_id: str, wanted: Sequence[Wanted]) -> None:
        rows = connection.execute("SELECT id, name, status, fingerprint FROM jobs WHERE batch_id = ?", (batch_id,))
        there = {row["name"]: row for row in rows.fetchall()}
        names = {job.name for job in wanted}
        # Positions are unique: move them out of the way before they are given anew; below those of jobs that left the
        # file while they ran, and keep theirs.
        lowest = min(0, _value(connection, "SELECT min(position) FROM jobs WHERE batch_id = ?", batch_id) or 0)
        connection.execute(
            "UPDATE jobs SET position = ? - position WHERE batch_id = ? AND position >= 0", (lowest - 1, batch_id)
        )
        for name, row in there.items():
            if name not in names and row["status"] != "running":
                connection.execute("DELETE FROM jobs WHERE id = ?", (row["id"],))
        for position, job in enumerate(wanted):
            row = there.get(job.name)
            if row is None:
                connection.execute(
                    """
                    INSERT INTO jobs (id, batch_id, position, name, status, request, fingerprint, priority, attempt)
                    VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, 0)
                    """,
                    (new_id(), batch_id, position, job.name, to_json(job.request), job.fingerprint, job.priority),
                )
                continue
            connection.execute(
                "UPDATE jobs SET position = ?, priority = ? WHERE id = ?", (position, job.priority, row["id"])
            )
            if row["fingerprint"] != job.fingerprint:
                connection.execute(
                    "UPDATE jobs SET request = ?, fingerprint = ? WHERE id = ?",
                    (to_json(job.request), job.fingerprint, row["id"]),
                )
                # One that runs is queued again by `finish_job`, which sees that it is another job now.
                _requeue(connection, "id = ? AND status != 'running'", (row["id"],), fresh=True)

    # -- owners

    def claim_job(self, batch_ids: Sequence[str], owner: str) -> JobRecord | None:
        """Take the next queued job, the highest priority first, then by place in the file; None if there is none."""
        with self.write() as connection:
            row = connection.execute(
                f"""
                UPDATE jobs SET status = 'running', owner = ?, heartbeat = ?, attempt = attempt + 1, ended = ''
                WHERE id = (
                    SELECT id FROM jobs WHERE status = 'queued' AND batch_id IN ({_marks(batch_ids)})
                    ORDER BY priority DESC, batch_id, position LIMIT 1
                ) RETURNING *
                """,
                (owner, now(), *batch_ids),
            ).fetchone()
        return _job(row) if row is not None else None

    def beat(self, owner: str) -> list[str]:
        """Say that an owner lives: the ids of its jobs that somebody wants cancelled."""
        with self.write() as connection:
            connection.execute("UPDATE jobs SET heartbeat = ? WHERE owner = ? AND status = 'running'", (now(), owner))
            rows = connection.execute(
                "SELECT id FROM jobs WHERE owner = ? AND status = 'running' AND cancel = 1", (owner,)
            ).fetchall()
        return [str(row["id"]) for row in rows]

    def begin_job(self, job_id: str, owner: str, run_id: str) -> None:
        """Write down which run performs a job. Called once the run is in the ledger."""
        with self.write() as connection:
            connection.execute("UPDATE jobs SET run_id = ? WHERE id = ? AND owner = ?", (run_id, job_id, owner))

    def finish_job(
        self,
        job_id: str,
        owner: str,
        status: str,
        *,
        error_code: str = "",
        error: str = "",
        retryable: bool = False,
        cached: bool = False,
        seconds: float = 0.0,
        media_seconds: float = 0.0,
        output: str = "",
        remark: str = "",
        fingerprint: str = "",
    ) -> bool:
        """Write how a job ended: whether it was still this owner's. It is on the disk when this returns.

        `fingerprint`: of the job as it was claimed. One that its file changed meanwhile is queued again.
        """
        if status not in OVER:
            raise ValueError(f"{status!r} is no job's end")
        with self.write(durable=True) as connection:
            done = connection.execute(
                """
                UPDATE jobs SET status = ?, error_code = ?, error = ?, retryable = ?, cached = ?, seconds = ?,
                    media_seconds = ?, output = ?, remark = ?, ended = ?, owner = NULL, cancel = 0
                WHERE id = ? AND owner = ? AND status = 'running'
                """,
                (
                    status,
                    error_code,
                    error,
                    int(retryable),
                    int(cached),
                    seconds,
                    media_seconds,
                    output,
                    remark,
                    now(),
                    job_id,
                    owner,
                ),
            )
            if done.rowcount and fingerprint and status != "cancelled":
                _requeue(connection, "id = ? AND fingerprint != ?", (job_id, fingerprint), fresh=True)
        return done.rowcount > 0

    def release_jobs(self, owner: str, job_ids: Iterable[str] | None = None) -> int:
        """Put an owner's jobs (all that run, or these) back into the queue, the attempt uncounted: how many."""
        ids = None if job_ids is None else list(job_ids)
        where = "owner = ? AND status = 'running'" + ("" if ids is None else f" AND id IN ({_marks(ids)})")
        with self.write(durable=True) as connection:
            return connection.execute(
                "UPDATE jobs SET status = 'queued', owner = NULL, attempt = max(attempt - 1, 0) WHERE " + where,
                (owner, *(ids or ())),
            ).rowcount

    def free_jobs_of_the_dead(self, is_alive: IsAlive, batch_ids: Sequence[str] = ()) -> int:
        """Put jobs whose owner died back into the queue: how many. None given: of every batch."""
        with self.write(durable=True) as connection:
            return sum(self._free_dead(connection, is_alive, b) for b in batch_ids or (None,))

    def _free_dead(self, connection: sqlite3.Connection, is_alive: IsAlive, batch_id: str | None) -> int:
        where = "status = 'running'" + ("" if batch_id is None else " AND batch_id = ?")
        values = () if batch_id is None else (batch_id,)
        owners = [r["owner"] for r in connection.execute(f"SELECT DISTINCT owner FROM jobs WHERE {where}", values)]
        dead = [owner for owner in owners if not is_alive(owner or "")]
        freed = 0
        for owner in dead:
            freed += _requeue(connection, f"{where} AND owner IS ?", (*values, owner))
        return freed

    # -- what people ask for

    def retry_jobs(self, batch_id: str, *, permanent: bool = False) -> int:
        """Queue again what failed and may succeed, or (`permanent`) all that failed or was cancelled: how many."""
        kinds = "status IN ('failed', 'cancelled')" if permanent else "status = 'failed' AND retryable = 1"
        with self.write(durable=True) as connection:
            count = _requeue(connection, f"batch_id = ? AND {kinds}", (batch_id,), fresh=True)
            if count:
                connection.execute("UPDATE batches SET ended = '' WHERE id = ?", (batch_id,))
        return count

    def requeue_job(self, job_id: str) -> bool:
        """Queue one failed job for another attempt in the same round."""
        with self.write(durable=True) as connection:
            return _requeue(connection, "id = ? AND status = 'failed'", (job_id,)) > 0

    def cancel_jobs(self, batch_id: str) -> tuple[int, int]:
        """Cancel what is queued, and ask the owners of what runs to stop it: how many of each."""
        with self.write(durable=True) as connection:
            queued = connection.execute(
                "UPDATE jobs SET status = 'cancelled', ended = ? WHERE batch_id = ? AND status = 'queued'",
                (now(), batch_id),
            ).rowcount
            running = connection.execute(
                "UPDATE jobs SET cancel = 1 WHERE batch_id = ? AND status = 'running'", (batch_id,)
            ).rowcount
        return queued, running

    def end_batch(self, batch_id: str) -> bool:
        """Write down that a batch came to its end, if it did: whether no job is queued or runs."""
        with self.write(durable=True) as connection:
            return (
                connection.execute(
                    """
                    UPDATE batches SET ended = ? WHERE id = ? AND ended = '' AND NOT EXISTS (
                        SELECT 1 FROM jobs WHERE batch_id = batches.id AND status IN ('queued', 'running'))
                    """,
                    (now(), batch_id),
                ).rowcount
                > 0
            )

    def batch(self, wanted: str) -> BatchRecord:
        """A batch by its id, the unique beginning of one, its job file's absolute path, or `last`.

        Raises:
            BadInput: there is none, or more than one.
        """
        if wanted == "last":
            found = self.rows("SELECT * FROM batches ORDER BY rowid DESC LIMIT 1")
        else:
            start = wanted.upper()
            found = self.rows(
                "SELECT * FROM batches WHERE source = ? OR (id >= ? AND id < ?) LIMIT 2", (wanted, start, start + "{")
            )
        if not found or not wanted:
            raise BadInput(f"there is no batch {wanted!r}", hint="avatarctl batch status")
        if len(found) > 1:
            raise BadInput(f"more than one batch begins with {wanted!r}", hint="give more of its id")
        return BatchRecord(**dict(found[0]))

    def batches(self, limit: int = 20) -> list[BatchRecord]:
        """Batches, the newest first: as they were written, whatever clock they went by."""
        found = self.rows("SELECT * FROM batches ORDER BY rowid DESC LIMIT ?", (limit,))
        return [BatchRecord(**dict(row)) for row in found]

    def jobs(self, batch_id: str) -> list[JobRecord]:
        """A batch's jobs in the order of its file."""
        return [_job(r) for r in self.rows("SELECT * FROM jobs WHERE batch_id = ? ORDER BY position", (batch_id,))]

    def job(self, job_id: str) -> JobRecord:
        """One job by its whole id."""
        found = self.row("SELECT * FROM jobs WHERE id = ?", (job_id,))
        if found is None:
            raise BadInput(f"there is no job {job_id!r}", hint="avatarctl batch status")
        return _job(found)

    def films(self, besides: Sequence[str]) -> dict[str, str]:
        """Paths of the films that batches have made, but for those of these job files; each with its job file."""
        found = self.rows(
            f"""
            SELECT jobs.output, batches.source FROM jobs JOIN batches ON batches.id = jobs.batch_id
            WHERE jobs.output != '' AND batches.source NOT IN ({_marks(besides)})
            """,
            tuple(besides),
        )
        return {str(row["output"]): str(row["source"]) for row in found}

    def films_to_come(self, besides: Sequence[str]) -> dict[str, str]:
        """Where batches that are not over will put their films, but for those of these; each with its job file."""
        found = self.rows(
            f"""
            SELECT batches.outputs || '/' || json_extract(jobs.request, '$.output') || '.mp4' AS film, batches.source
            FROM jobs JOIN batches ON batches.id = jobs.batch_id
            WHERE jobs.status IN ('queued', 'running') AND batches.id NOT IN ({_marks(besides)})
            """,
            tuple(besides),
        )
        return {str(row["film"]): str(row["source"]) for row in found}

    def job_counts(self, batch_id: str) -> dict[str, int]:
        """How many jobs of a batch have each status."""
        found = self.rows("SELECT status, count(*) AS n FROM jobs WHERE batch_id = ? GROUP BY status", (batch_id,))
        return {str(row["status"]): int(row["n"]) for row in found}


def _requeue(connection: sqlite3.Connection, where: str, values: tuple[Any, ...], *, fresh: bool = False) -> int:
    """`fresh`: as if it had never been tried."""
    cleared = ", attempt = 0, error_code = '', error = '', retryable = 0, cached = 0" if fresh else ""
    return connection.execute(
        f"UPDATE jobs SET status = 'queued', owner = NULL, cancel = 0{cleared} WHERE {where}", values
    ).rowcount


def _value(connection: sqlite3.Connection, sql: str, *values: Any) -> Any:
    row = connection.execute(sql, values).fetchone()
    return None if row is None else row[0]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _job(row: sqlite3.Row) -> JobRecord:
    values = dict(row)
    values["request"] = from_json(values["request"])
    for name in ("retryable", "cached", "cancel"):
        values[name] = bool(values[name])
    for name in ("owner", "run_id", "error"):
        values[name] = values[name] or ""
    return JobRecord(**values)
