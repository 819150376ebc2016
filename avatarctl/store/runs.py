"""Tables `runs` and `steps`: what was asked, what happened, and how long it took."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from avatarctl.errors import BadInput
from avatarctl.store.connection import LedgerFile
from avatarctl.store.faults import ledger_damage
from avatarctl.store.ids import now
from avatarctl.store.model import RUN_STATUSES, STEP_STATUSES, RunRecord, StepRecord


class RunTables(LedgerFile):
    """Runs and their steps."""

    def start_run(self, record: RunRecord) -> None:
        """Write a run's first line. Its `RunLock` must be held already, or others take it for dead."""
        row = asdict(record)
        for name in ("request", "settings", "outputs"):
            row[name] = to_json(row[name])
        with self.write() as connection:
            insert(connection, "runs", row)

    def finish_run(
        self, run_id: str, status: str, error: str | None = None, outputs: Sequence[Mapping[str, str]] = ()
    ) -> None:
        """Write how a run ended. It is on the disk when this returns."""
        if status not in RUN_STATUSES:
            raise ValueError(f"{status!r} is no run's status")
        with self.write(durable=True) as connection:
            connection.execute(
                "UPDATE runs SET status = ?, ended = ?, error = ?, outputs = ? WHERE id = ?",
                (status, now(), error or "", to_json([dict(o) for o in outputs]), run_id),
            )

    def update_request(self, run_id: str, request: Mapping[str, Any]) -> None:
        """Write what was learned about a request after its run began (the digest of a recording)."""
        with self.write() as connection:
            connection.execute("UPDATE runs SET request = ? WHERE id = ?", (to_json(dict(request)), run_id))

    def mark_lost_runs(self, is_alive: Callable[[str], bool]) -> list[str]:
        """Give runs that are `running` without a living process the status `lost`: their ids."""
        lost = [str(r["id"]) for r in self.rows("SELECT id FROM runs WHERE status = 'running'")]
        lost = [run_id for run_id in lost if not is_alive(run_id)]
        if lost:
            with self.write(durable=True) as connection:
                connection.executemany(
                    "UPDATE runs SET status = 'lost', ended = ? WHERE id = ? AND status = 'running'",
                    [(now(), run_id) for run_id in lost],
                )
        return lost

    def run(self, wanted: str) -> RunRecord:
        """A run by its id, the unique beginning of an id in any case, or `last`.

        Raises:
            BadInput: there is none, or more than one.
        """
        if wanted == "last":
            found = self.rows("SELECT * FROM runs ORDER BY rowid DESC LIMIT 1")
        else:
            start = wanted.upper()
            # An id is ASCII, so "{" (after "z") is above every continuation of `start`.
            found = self.rows("SELECT * FROM runs WHERE id >= ? AND id < ? LIMIT 2", (start, start + "{"))
        if not found or not wanted:
            raise BadInput(f"there is no run {wanted!r}", hint="avatarctl runs list")
        if len(found) > 1:
            raise BadInput(f"more than one run begins with {wanted!r}", hint="give more of its id")
        return _run(found[0])

    def runs(self, limit: int = 20, offset: int = 0, status: str | None = None) -> list[RunRecord]:
        """Runs, the newest first: as they were written, whatever clock they went by."""
        where = "WHERE status = :status" if status else ""
        found = self.rows(
            f"SELECT * FROM runs {where} ORDER BY rowid DESC LIMIT :limit OFFSET :offset",
            {"status": status, "limit": limit, "offset": offset},
        )
        return [_run(row) for row in found]

    def deliveries(self) -> list[tuple[str, str, str]]:
        """Every file that runs put somewhere: (digest, path, run id)."""
        found = self.rows("SELECT id, outputs FROM runs WHERE outputs != '[]'")
        return [(o["digest"], o["path"], row["id"]) for row in found for o in from_json(row["outputs"])]

    def add_step(self, step: StepRecord) -> None:
        """Write one attempt at a step."""
        with self.write() as connection:
            insert_step(connection, step)

    def steps(self, run_id: str) -> list[StepRecord]:
        """A run's steps in their order; several attempts at one step in the order they were made."""
        found = self.rows("SELECT * FROM steps WHERE run_id = ? ORDER BY step, id", (run_id,))
        return [_step(row) for row in found]

    def work_of_batch(self, batch_id: str) -> list[dict[str, Any]]:
        """What each engine did in the latest run of every job of a batch, the longest work first.

        Returns:
            A row for each engine: `stage`, `engine`; how many steps were `made`, `hits` and `failed`; and their
            `queue_ms`, `load_ms` and `run_ms` together.
        """
        found = self.rows(
            """
            SELECT stage, engine, sum(status = 'done') AS made, sum(status = 'hit') AS hits,
                sum(status = 'failed') AS failed, coalesce(sum(queue_ms), 0) AS queue_ms,
                coalesce(sum(load_ms), 0) AS load_ms, coalesce(sum(run_ms), 0) AS run_ms
            FROM steps WHERE run_id IN (SELECT run_id FROM jobs WHERE batch_id = ?)
            GROUP BY stage, engine ORDER BY run_ms DESC, stage, engine
            """,
            (batch_id,),
        )
        return [dict(row) for row in found]

    def worked_in(self, batch_id: str) -> dict[str, float]:
        """Milliseconds that engines loaded and worked in the latest run of every job of a batch, by the run's id."""
        found = self.rows(
            """
            SELECT run_id, sum(load_ms + run_ms) AS ms FROM steps
            WHERE run_id IN (SELECT run_id FROM jobs WHERE batch_id = ?) GROUP BY run_id
            """,
            (batch_id,),
        )
        return {str(row["run_id"]): float(row["ms"]) for row in found}

    def history(
        self, stage: str, engine: str, limit: int = 20, *, of_jobs: bool = False
    ) -> list[tuple[float, dict[str, Any]]]:
        """How long the latest steps of an engine took: (milliseconds, facts), the newest first. `of_jobs`: only those
        of runs whose request names a job of a batch."""
        found = self.rows(
            """
            SELECT steps.run_ms, manifest FROM steps JOIN actions USING (key) JOIN runs ON runs.id = steps.run_id
            WHERE steps.stage = ? AND steps.engine = ? AND steps.status = 'done'
                AND (NOT ? OR json_extract(runs.request, '$.job') IS NOT NULL)
            ORDER BY steps.id DESC LIMIT ?
            """,
            (stage, engine, of_jobs, limit),
        )
        return [(float(row["run_ms"]), from_json(row["manifest"])["facts"]) for row in found]


def insert_step(connection: sqlite3.Connection, step: StepRecord) -> None:
    """Add a row to `steps`, within a transaction."""
    if step.status not in STEP_STATUSES:
        raise ValueError(f"{step.status!r} is no step's status")
    row = asdict(step)
    row["step"] = row.pop("index")
    row["inputs"] = to_json(row["inputs"])
    row["created"] = now()
    del row["ended"]
    insert(connection, "steps", row)


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any], *, replace: bool = False) -> None:
    """Add a row whose names are columns."""
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    names = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    connection.execute(f"{verb} INTO {table} ({names}) VALUES ({places})", dict(row))


def to_json(value: object) -> str:
    """JSON for a column; readable, with the letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def from_json(text: str) -> Any:
    """What `to_json` has written.

    Raises:
        Unavailable: it is not that any more.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise ledger_damage(str(error)) from error


def _run(row: sqlite3.Row) -> RunRecord:
    values = dict(row)
    for name in ("request", "settings", "outputs"):
        values[name] = from_json(values[name])
    values["outputs"] = tuple(values["outputs"])
    return RunRecord(**values)


def _step(row: sqlite3.Row) -> StepRecord:
    values = dict(row)
    values["index"] = values.pop("step")
    values["inputs"] = from_json(values["inputs"])
    values["ended"] = values.pop("created")
    del values["id"]
    return StepRecord(**values)
