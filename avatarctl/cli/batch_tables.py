"""What is printed of batches and their jobs: tables for people, JSON for programs, and how a batch ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from avatarctl.amounts import duration
from avatarctl.cli import common
from avatarctl.cli.options import print_json, print_table, say, state
from avatarctl.errors import AvatarctlError
from avatarctl.store.model import BatchRecord, JobRecord

_TOLD = 100
"""Characters of an error in a table; `batch status --json` has all of them."""


class SomeFailed(AvatarctlError):
    """A batch came to its end, and not every film was made."""

    code = "jobs_failed"
    exit_code = 1


def tell(batches: Sequence[BatchRecord], jobs: Sequence[JobRecord], seconds: float) -> None:
    """What became of each job, and of all of them. `seconds`: what it took."""
    if state.json:
        print_json(
            {
                "batches": [batch_json(b) for b in batches],
                "seconds": round(seconds, 3),
                "jobs": [job_json(job) for job in jobs],
            }
        )
        return
    print_jobs(jobs)
    made = sum(job.media_seconds for job in jobs if job.status == "done")
    done = sum(job.status == "done" for job in jobs)
    cached = sum(job.cached for job in jobs)
    factor = f", real-time factor {seconds / made:.2f}" if made else ""
    say(f"{done} of {len(jobs)} done ({cached} cached), {duration(made)} of film in {duration(seconds)}{factor}")


def print_jobs(jobs: Sequence[JobRecord]) -> None:
    """A table with a line for each."""
    rows = []
    for job in jobs:
        word = "cached" if job.status == "done" and job.cached else job.status
        took = f"{job.seconds:.1f} s" if job.seconds else ""
        factor = f"{job.seconds / job.media_seconds:.2f}" if job.media_seconds and not job.cached else ""
        rows.append([job.name, word, took, factor, _ending(job)])
    print_table(["job", "status", "work", "rtf", "film, or why not"], rows)


def _ending(job: JobRecord) -> str:
    """The film, and what is different about it; or why there is none."""
    said = job.output if job.status == "done" else common.one_line(job.error, _TOLD)
    return f"{said} ({job.remark})" if job.remark else said


def raise_for(jobs: Sequence[JobRecord]) -> None:
    """Raises `SomeFailed` if a film was not made."""
    wrong = [job for job in jobs if job.status != "done"]
    if wrong:
        # With --fail-fast others may stand before it that had not begun.
        first = next((job for job in wrong if job.status == "failed"), wrong[0])
        raise SomeFailed(
            f"{len(wrong)} of {len(jobs)} films were not made",
            why=f"{first.name}: {first.error or first.status}",
            hint="the same command tries them again; avatarctl batch status last shows each",
        )


def counted(counts: Mapping[str, int]) -> str:
    """How many jobs have which status."""
    order = ("done", "failed", "cancelled", "running", "queued")
    return ", ".join(f"{counts[name]} {name}" for name in order if counts.get(name))


def state_of(batch: BatchRecord, counts: Mapping[str, int]) -> str:
    """Whether a batch is at its end, at work, or waits for somebody."""
    if batch.ended:
        return "ended"
    return "running" if counts.get("running") else "waiting"


def batch_json(batch: BatchRecord) -> dict[str, Any]:
    return {
        "batch": batch.id,
        "file": batch.source,
        "outputs": batch.outputs,
        "round": batch.round,
        "created": batch.created,
        "ended": batch.ended,
    }


def job_json(job: JobRecord) -> dict[str, Any]:
    """A job as programs read it."""
    return {
        "job": job.id,
        "name": job.name,
        "status": job.status,
        "cached": job.cached,
        "attempt": job.attempt,
        "run": job.run_id,
        "output": job.output,
        "remark": job.remark,
        "seconds": round(job.seconds, 3),
        "media_seconds": round(job.media_seconds, 3),
        "error": {"code": job.error_code, "message": job.error, "retryable": job.retryable} if job.error else None,
    }
