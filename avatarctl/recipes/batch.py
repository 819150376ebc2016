"""A batch: jobs claimed from the queue, many under way at once, each delivered whole or not at all.

    job file -> queue -> claim -> recipe of the job -> deliver -> finish
                  ^________________________________________|  retry, release, take over

Every job's recipe runs on a thread of its own and mostly waits; the steps of all of them meet in one executor, which
puts them into waves. The main thread claims, reaps, and says that it lives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl import config, presets
from avatarctl.engines.contract import Cancelled
from avatarctl.errors import AvatarctlError, Rejected, StepFailed
from avatarctl.jobs import Job
from avatarctl.recipes import deliveries, jobs, preflight
from avatarctl.runtime import events, session
from avatarctl.runtime.executors import ClusterLost, Executor
from avatarctl.runtime.executors.local import LocalExecutor
from avatarctl.runtime.runner import Run
from avatarctl.store.ids import new_id
from avatarctl.store.locks import Abandoned
from avatarctl.store.model import JobRecord
from avatarctl.store.queue import OVER
from avatarctl.store.store import Store

HEARTBEAT_SECONDS = 5.0
_POLL_SECONDS = 0.5
_STOPPED_SECONDS = 5.0
"""A process that has done nothing for longer was stopped (Ctrl-Z, a machine put to sleep)."""
LETTING_GO_SECONDS = 8.0
"""A process that is asked to end is expected to be gone within ten."""


class TimedOut(StepFailed):
    """A job's steps took longer than they may."""

    code = "timeout"


@dataclass(frozen=True)
class JobEnded:
    """A job came to an end in this process. `record` is as the ledger has it."""

    record: JobRecord


@dataclass(frozen=True)
class JobBegan:
    """A job was claimed."""

    record: JobRecord


Told = Callable[[JobBegan | JobEnded], None]


@dataclass
class _Open:
    """A job under way in this process."""

    record: JobRecord
    job: Job
    thread: threading.Thread | None = None
    run: Run | None = None
    stopped: float = 0.0
    """Seconds for which the process was stopped meanwhile: nobody worked then."""
    worked: float = 0.0
    """Seconds that engines worked for it."""
    made: bool = False
    """Whether any step was made for it, not taken from the cache."""
    why: AvatarctlError | None = None
    """Why it was cancelled, where that is a failure."""
    cancelled: bool = False
    released: bool = False
    over: bool = False
    untold: Exception | None = None
    """Why it has no end that could be written into the ledger."""


@dataclass(frozen=True)
class Options:
    """How a batch is performed."""

    open_jobs: int = 16
    """Jobs under way at a time: as many films move in one wave."""
    keep_going: bool = True
    retries: int = 1
    """Further attempts at a job whose error may pass."""


class BatchRun:
    """This process's part in performing batches; other processes may have theirs."""

    def __init__(
        self,
        store: Store,
        batch_ids: Sequence[str],
        executor: Executor,
        *,
        told: Told = lambda event: None,
        listener: events.Listener = events.silent,
        options: Options = Options(),
    ) -> None:
        self._store = store
        self._batches = list(batch_ids)
        self._executor = executor
        self._told = told
        self._listener = listener
        self._options = options
        self._owner = new_id()
        self._open: dict[str, _Open] = {}
        self._changed = threading.Condition()
        self._stopping = False

    def perform(self) -> None:
        """Work until no job of these batches waits or runs anywhere. What failed is in the ledger.

        Raises:
            Stopped: a signal came. Everything under way was let go: the same command goes on.
            ClusterLost: all machines of the executor are gone. The same.
        """
        with self._store.run_lock(self._owner):
            try:
                self._work()
            finally:
                # After an orderly end nothing is left to let go.
                self._let_go()
                for batch_id in self._batches:
                    self._store.ledger.end_batch(batch_id)

    def _work(self) -> None:
        beat = tick = time.monotonic()
        while True:
            missed, tick = time.monotonic() - tick, time.monotonic()
            if missed > _STOPPED_SECONDS:
                for opened in self._open.values():
                    opened.stopped += missed
            self._reap()
            self._claim()
            if not self._open:
                if self._stopping or not self._others_work():
                    return
                self._store.ledger.free_jobs_of_the_dead(self._store.is_alive, self._batches)
            if time.monotonic() - beat > HEARTBEAT_SECONDS:
                beat = time.monotonic()
                for job_id in self._store.ledger.beat(self._owner):
                    self._cancel(self._open.get(job_id), None)
            for opened in list(self._open.values()):
                limit = opened.job.timeout
                if limit is not None and opened.run is not None and opened.run.at_work.seconds - opened.stopped > limit:
                    why = TimedOut(f"the job took longer than {limit:g} s", hint="give it a longer timeout")
                    self._cancel(opened, why)
            with self._changed:
                if not any(opened.over for opened in self._open.values()):
                    self._changed.wait(_POLL_SECONDS)

    def _claim(self) -> None:
        while not self._stopping and len(self._open) < self._options.open_jobs:
            record = self._store.ledger.claim_job(self._batches, self._owner)
            if record is None:
                return
            opened = _Open(record, Job.from_request(record.request))
            self._open[record.id] = opened
            self._told(JobBegan(record))
            opened.thread = threading.Thread(
                target=self._perform, args=(opened,), name=f"job-{record.name}", daemon=True
            )
            opened.thread.start()

    def _others_work(self) -> bool:
        """Whether jobs still run in other processes: if one of those dies, its jobs are ours."""
        counts = [self._store.ledger.job_counts(batch_id) for batch_id in self._batches]
        return any(count.get("running", 0) or count.get("queued", 0) for count in counts)

    def _reap(self) -> None:
        for job_id, opened in list(self._open.items()):
            if not opened.over:
                continue
            assert opened.thread is not None
            opened.thread.join()
            del self._open[job_id]
            if opened.untold is not None:
                # Without a ledger there is no queue, without machines no film. The job is let go with all others of
                # this owner.
                raise opened.untold
            if opened.released:
                continue
            record = self._store.ledger.job(job_id)
            if record.status not in OVER:
                continue  # Its file was changed while it ran: it waits again, as another job.
            if record.status == "failed":
                if record.retryable and record.attempt <= self._options.retries and not self._stopping:
                    self._store.ledger.requeue_job(job_id)
                    continue
                if not self._options.keep_going and not self._stopping:
                    self._stopping = True
                    for other in self._open.values():
                        other.released = True
                        self._cancel(other, None)
            self._told(JobEnded(record))

    def _cancel(self, opened: _Open | None, why: AvatarctlError | None) -> None:
        if opened is None or opened.cancelled:
            return
        opened.why, opened.cancelled = why, True
        if opened.run is not None:
            opened.run.cancel()

    def _let_go(self) -> None:
        """Stop what is under way, and put it back into the queue."""
        self._stopping = True
        for opened in self._open.values():
            opened.released = True
            self._cancel(opened, None)
        deadline = time.monotonic() + LETTING_GO_SECONDS
        for opened in self._open.values():
            if opened.thread is not None:
                opened.thread.join(max(0.0, deadline - time.monotonic()))
        self._store.ledger.release_jobs(self._owner)

    # -- one job, on its own thread

    def _perform(self, opened: _Open) -> None:
        try:
            ending = self._ending(opened)
            if ending is not None:
                claimed = opened.record
                self._store.ledger.finish_job(claimed.id, self._owner, **ending, fingerprint=claimed.fingerprint)
        except Exception as error:
            opened.untold = error
        finally:
            with self._changed:
                opened.over = True
                self._changed.notify_all()

    def _ending(self, opened: _Open) -> dict[str, Any] | None:
        """Make the job's film: what the ledger is to hold of its end; None for a job that was let go."""
        try:
            output, media_seconds = self._film(opened)
        except ClusterLost:
            # No job is at fault. The batch ends, and this one waits for the next time with all others.
            raise
        except BaseException as error:
            if opened.released:
                return None
            failed = opened.why or error
            delivered = opened.run.delivered if opened.run is not None and isinstance(error, Rejected) else []
            cancelled = opened.cancelled and opened.why is None
            return {
                "status": "cancelled" if cancelled else "failed",
                "error_code": "cancelled" if cancelled else getattr(failed, "code", type(failed).__name__),
                "error": "it was cancelled" if cancelled else _told_error(failed),
                "retryable": bool(getattr(failed, "retryable", False)),
                "seconds": opened.worked,
                "output": delivered[0]["path"] if delivered else "",
                "remark": _remark(opened),
            }
        opened.released = False
        return {
            "status": "done",
            "cached": not opened.made,
            "seconds": opened.worked,
            "media_seconds": media_seconds,
            "output": output,
            "remark": _remark(opened),
        }

    def _film(self, opened: _Open) -> tuple[str, float]:
        """Perform and deliver: path, seconds of film."""
        job, store = opened.job, self._store
        settings = jobs.settings_of(job)
        said = jobs.spoken_text(job)
        avatar = jobs.avatar_of(job, store, settings)
        request = jobs.request_of(job, avatar, store, said)
        # The queue says where, not the command of this process: another one may have asked for another folder since.
        folder = store.ledger.batch(opened.record.batch_id).outputs
        target = Path(folder) / (job.output + ".mp4")
        session.check_writable(target)
        # What would be refused in its middle is not begun.
        preflight.look_ahead_of(store, job, settings, avatar, said)
        guard = threading.Lock()

        def listen(event: events.Event) -> None:
            if isinstance(event, events.Finished):
                with guard:
                    opened.worked += event.run_ms / 1000
                    opened.made |= event.status == "done"
            self._listener(event)

        with session.performing(
            store,
            jobs.recipe_of(job),
            request,
            settings,
            listener=listen,
            seed=config.seed() if job.seed is None else job.seed,
            take=job.take,
            executor=self._executor,
            priority=job.priority,
        ) as run:
            opened.run = run
            if opened.cancelled:
                raise Cancelled
            store.ledger.begin_job(opened.record.id, self._owner, run.id)
            asked = jobs.ask_for(run, job, avatar, said, request)
            files = deliveries.film(run, asked.film, asked.moves, target, settings)
            duration = float(run.wait(asked.film.made).facts.get("duration", 0.0))
        return str(files["film"]), duration


def local_executor(open_jobs: int) -> LocalExecutor:
    """An executor for the batches of one process on this machine; `open_jobs` under way at a time."""
    settings = presets.resolve()
    return LocalExecutor.for_many(config.paths().models, settings.interpreter, open_jobs, settings.servers)


def ray_executor(open_jobs: int) -> Executor:
    """The same on the machines of a Ray cluster: `config.ray`.

    Raises:
        Unavailable: Ray is not installed, or its cluster or store cannot be used.
        BadConfig: the settings are wrong.
    """
    from avatarctl.runtime.executors.ray.executor import RayExecutor

    wanted = config.ray()
    return RayExecutor(local_executor(open_jobs), config.paths().models, wanted["address"], wanted["store"])


EXECUTORS: Mapping[str, Callable[[int], Executor]] = {"local": local_executor, "ray": ray_executor}
"""By the name that `batch run --executor` takes."""


def _remark(opened: _Open) -> str:
    """How the film was made otherwise than asked, each once."""
    return "; ".join(dict.fromkeys(opened.run.remarks)) if opened.run is not None else ""


def _told_error(error: BaseException) -> str:
    if isinstance(error, Cancelled | Abandoned):
        return "it was cancelled"
    if isinstance(error, AvatarctlError):
        return " - ".join(filter(None, [error.what, error.why, error.hint]))
    return f"{type(error).__name__}: {error}"
