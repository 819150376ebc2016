"""What a batch's page shows: every job with its film's first picture, and what each engine did for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from avatarctl.errors import BadInput, Rejected
from avatarctl.pages.model import BatchView, JobView, WorkView
from avatarctl.recipes import report_film
from avatarctl.recipes.report import MADE_BY
from avatarctl.store.model import BatchRecord, JobRecord
from avatarctl.store.store import Store
from avatarctl.text import emotions
from avatarctl.text import language as languages

THUMBNAIL_WIDTH = 104
MOST_THUMBNAILS = 600
"""Pictures on a page: some two kilobytes each."""
_AT_A_TIME = 2


def of_batch(
    store: Store, batch: BatchRecord, page: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> BatchView:
    """Everything for the page at `page`. `progress`: pictures that were taken, and all."""
    jobs = store.ledger.jobs(batch.id)
    begins = [_began(job) for job in jobs]
    known = [(begin, begin + job.seconds) for job, begin in zip(jobs, begins, strict=True) if begin is not None]
    first = min((begin for begin, _ in known), default=0.0)
    films = [_film(store, job) for job in jobs]
    pictured = [film for film in films if film is not None][:MOST_THUMBNAILS]
    pictures = _thumbnails(pictured, progress)
    worked = store.ledger.worked_in(batch.id)
    return BatchView(
        id=batch.id,
        name=Path(batch.source).name,
        state=_state(batch, jobs),
        round=batch.round,
        created=batch.created,
        jobs=[
            _job(
                job,
                page,
                began=None if begin is None else begin - first,
                worked=worked.get(job.run_id, 0.0) / 1000,
                thumbnail=pictures.get(film, b"") if film else b"",
            )
            for job, begin, film in zip(jobs, begins, films, strict=True)
        ],
        busy=_covered(known),
        span=max((end for _, end in known), default=0.0) - first,
        work=[
            WorkView(
                stage=row["stage"],
                engine=row["engine"],
                made=row["made"],
                hits=row["hits"],
                failed=row["failed"],
                queue=row["queue_ms"] / 1000,
                load=row["load_ms"] / 1000,
                run=row["run_ms"] / 1000,
            )
            for row in store.ledger.work_of_batch(batch.id)
        ],
        thumbnails_left_out=sum(film is not None for film in films) - len(pictured),
        made_by=MADE_BY,
    )


def _began(job: JobRecord) -> float | None:
    """When a job that is over began, by the clock."""
    if not job.ended or job.status not in ("done", "failed", "cancelled"):
        return None
    return datetime.fromisoformat(job.ended).timestamp() - job.seconds


def _covered(stretches: Sequence[tuple[float, float]]) -> float:
    """Length of all stretches together, what they share counted once."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(stretches):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _state(batch: BatchRecord, jobs: Sequence[JobRecord]) -> str:
    if batch.ended:
        return "ended"
    return "running" if any(job.status == "running" for job in jobs) else "waiting"


def _film(store: Store, job: JobRecord) -> Path | None:
    """The file of a job's film, kept or delivered."""
    if not job.output or not job.run_id:
        return None
    try:
        found = report_film.find(store, store.ledger.run(job.run_id))
    except BadInput:
        return None
    return None if found is None else found.path


def _thumbnails(films: Sequence[Path], progress: Callable[[int, int], None]) -> dict[Path, bytes]:
    wanted = list(dict.fromkeys(films))
    made: dict[Path, bytes] = {}
    with ThreadPoolExecutor(_AT_A_TIME, "thumbnail") as pool:
        taken = pool.map(lambda film: report_film.thumbnail(film, THUMBNAIL_WIDTH), wanted)
        for film, picture in zip(wanted, taken, strict=True):
            made[film] = picture
            progress(len(made), len(wanted))
    return made


def _job(job: JobRecord, page: Path, *, began: float | None, worked: float, thumbnail: bytes) -> JobView:
    about = _about(job)
    status = job.status
    if status == "done" and job.cached:
        status = "cached"
    elif status == "failed" and job.error_code == Rejected.code:
        status = "rejected"
    return JobView(
        position=job.position,
        name=job.name,
        about=about,
        language=languages.detect(about) if about else "",
        status=status,
        attempt=job.attempt,
        began=began,
        seconds=job.seconds if began is not None else 0.0,
        worked=worked,
        media_seconds=job.media_seconds if job.status == "done" else 0.0,
        link=report_film.link(page, Path(job.output)) if job.output else "",
        thumbnail=thumbnail,
        error=job.error if job.status in ("failed", "cancelled") else "",
        error_code=job.error_code,
        run=job.run_id,
    )


def _about(job: JobRecord) -> str:
    """What a job is to say, unless its name says it."""
    said = str(job.request.get("question") or job.request.get("text") or "")
    text = " ".join(emotions.untagged(said).split())
    return "" if text == job.name else text
