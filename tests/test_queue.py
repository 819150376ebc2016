"""The queue of jobs: shared, taken over from the dead, in line with its file."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path

import pytest

from avatarctl.errors import BadInput
from avatarctl.store.ledger import Ledger
from avatarctl.store.locks import RunLock
from avatarctl.store.model import BatchRecord
from avatarctl.store.queue import Wanted

SOURCE = "/jobs/films.yaml"


def nobody(owner: str) -> bool:
    return False


def everybody(owner: str) -> bool:
    return True


def wanted(*names: str, fingerprint: str = "f") -> list[Wanted]:
    return [Wanted(name, {"text": name}, fingerprint) for name in names]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / "ledger.sqlite")


def queue(ledger: Ledger, *names: str, alive: bool = False) -> BatchRecord:
    return ledger.queue_batch(SOURCE, "d", wanted(*names), everybody if alive else nobody)


def statuses(ledger: Ledger, batch: BatchRecord) -> dict[str, str]:
    return {job.name: job.status for job in ledger.jobs(batch.id)}


def test_jobs_come_by_priority_and_then_by_place(ledger: Ledger) -> None:
    jobs = [Wanted("a", {}, "f"), Wanted("b", {}, "f", priority=5), Wanted("c", {}, "f", priority=5)]
    batch = ledger.queue_batch(SOURCE, "d", jobs, nobody)
    order = []
    while (job := ledger.claim_job([batch.id], "me")) is not None:
        order.append(job.name)
    assert order == ["b", "c", "a"]


def test_a_job_is_given_to_one_owner_alone(ledger: Ledger) -> None:
    batch = queue(ledger, "a")
    first = ledger.claim_job([batch.id], "one")
    assert first is not None and (first.owner, first.attempt) == ("one", 1)
    assert ledger.claim_job([batch.id], "two") is None
    assert not ledger.finish_job(first.id, "two", "done")
    assert ledger.finish_job(first.id, "one", "done", output="/o.mp4")
    assert ledger.end_batch(batch.id)
    assert not ledger.end_batch(batch.id)


def test_the_same_file_again_while_others_work_changes_nothing(ledger: Ledger) -> None:
    batch = queue(ledger, "a", "b", "c")
    failed = ledger.claim_job([batch.id], "me")
    running = ledger.claim_job([batch.id], "me")
    assert failed is not None and running is not None
    ledger.finish_job(failed.id, "me", "failed", error_code="step_failed", retryable=True)
    assert queue(ledger, "a", "b", "c", alive=True).id == batch.id
    assert statuses(ledger, batch) == {"a": "failed", "b": "running", "c": "queued"}


def test_the_same_file_after_a_crash_goes_on(ledger: Ledger) -> None:
    batch = queue(ledger, "a", "b", "c", "d")
    for status in ("done", "failed"):
        job = ledger.claim_job([batch.id], "dead")
        assert job is not None
        ledger.finish_job(job.id, "dead", status)
    ledger.claim_job([batch.id], "dead")
    again = queue(ledger, "a", "b", "c", "d")
    assert (again.id, again.round) == (batch.id, 1)
    assert statuses(ledger, batch) == {"a": "done", "b": "queued", "c": "queued", "d": "queued"}


def test_a_batch_that_ended_begins_another_round(ledger: Ledger) -> None:
    batch = queue(ledger, "a")
    job = ledger.claim_job([batch.id], "me")
    assert job is not None
    ledger.finish_job(job.id, "me", "done")
    ledger.end_batch(batch.id)
    again = queue(ledger, "a")
    assert (again.id, again.round, again.ended) == (batch.id, 2, "")
    assert statuses(ledger, batch) == {"a": "queued"}


def test_an_edited_file_changes_only_what_was_edited(ledger: Ledger) -> None:
    batch = queue(ledger, "a", "b", "c")
    for _ in range(2):
        job = ledger.claim_job([batch.id], "me")
        assert job is not None
        ledger.finish_job(job.id, "me", "done")
    jobs = [Wanted("new", {}, "f"), *wanted("b", fingerprint="changed"), *wanted("a")]
    ledger.queue_batch(SOURCE, "e", jobs, nobody)
    assert statuses(ledger, batch) == {"new": "queued", "b": "queued", "a": "done"}
    assert [job.position for job in ledger.jobs(batch.id)] == [0, 1, 2]


def test_a_job_that_its_file_changed_while_it_ran_is_made_again(ledger: Ledger) -> None:
    batch = queue(ledger, "a", "b")
    claimed = [ledger.claim_job([batch.id], "me") for _ in range(2)]
    ledger.queue_batch(SOURCE, "e", [*wanted("a", fingerprint="changed"), *wanted("b")], everybody)
    assert statuses(ledger, batch) == {"a": "running", "b": "running"}
    for job in claimed:
        assert job is not None
        assert ledger.finish_job(job.id, "me", "done", fingerprint=job.fingerprint)
    assert statuses(ledger, batch) == {"a": "queued", "b": "done"}
    again = ledger.claim_job([batch.id], "me")
    assert again is not None and (again.name, again.fingerprint, again.attempt) == ("a", "changed", 1)


def test_a_job_that_left_its_file_while_it_ran_is_in_nobodys_way(ledger: Ledger) -> None:
    batch = queue(ledger, "a", "b")
    gone = ledger.claim_job([batch.id], "me")
    assert gone is not None and gone.name == "a"
    for names in (["b"], ["b", "c"], ["c", "b"], ["b"]):
        queue(ledger, *names, alive=True)
    assert list(statuses(ledger, batch)) == ["a", "b"]
    assert ledger.finish_job(gone.id, "me", "done", fingerprint="f")
    queue(ledger, "b", "c")
    assert statuses(ledger, batch) == {"b": "queued", "c": "queued"}


def test_what_was_let_go_counts_no_attempt(ledger: Ledger) -> None:
    batch = queue(ledger, "a", "b")
    job = ledger.claim_job([batch.id], "me")
    assert job is not None
    assert ledger.release_jobs("me") == 1
    again = ledger.claim_job([batch.id], "other")
    assert again is not None and (again.name, again.attempt) == ("a", 1)


def test_permanent_errors_are_not_retried(ledger: Ledger) -> None:
    batch = queue(ledger, "a", "b", "c")
    for code, retryable in (("no_face", False), ("step_failed", True)):
        job = ledger.claim_job([batch.id], "me")
        assert job is not None
        ledger.finish_job(job.id, "me", "failed", error_code=code, retryable=retryable)
    assert ledger.retry_jobs(batch.id) == 1
    assert statuses(ledger, batch) == {"a": "failed", "b": "queued", "c": "queued"}
    assert ledger.retry_jobs(batch.id, permanent=True) == 1


def test_cancelling_stops_what_waits_and_asks_what_runs(ledger: Ledger) -> None:
    batch = queue(ledger, "a", "b", "c")
    job = ledger.claim_job([batch.id], "me")
    assert job is not None
    assert ledger.cancel_jobs(batch.id) == (2, 1)
    assert ledger.beat("me") == [job.id]
    assert ledger.beat("other") == []


def test_the_living_keep_their_jobs_whatever_the_clock_says(ledger: Ledger, tmp_path: Path) -> None:
    batch = queue(ledger, "a", "b")
    with RunLock(tmp_path, "LIVING"):
        ledger.claim_job([batch.id], "LIVING")
        ledger.claim_job([batch.id], "DEAD")
        with ledger.write() as connection:
            connection.execute("UPDATE jobs SET heartbeat = '1970-01-01T00:00:00.000Z'")
        assert ledger.free_jobs_of_the_dead(lambda owner: RunLock.is_alive(tmp_path, owner)) == 1
    assert statuses(ledger, batch) == {"a": "running", "b": "queued"}


def test_batches_are_found_by_id_path_or_last(ledger: Ledger) -> None:
    batch = queue(ledger, "a")
    assert ledger.batch("last").id == ledger.batch(SOURCE).id == ledger.batch(batch.id[:20].lower()).id
    with pytest.raises(BadInput):
        ledger.batch("nothing")


def _claim_all(path: Path, owner: str, results: multiprocessing.Queue[list[str]]) -> None:
    ledger = Ledger.open(path)
    batch = ledger.batch(SOURCE)
    claimed = []
    while (job := ledger.claim_job([batch.id], owner)) is not None:
        claimed.append(job.name)
        ledger.finish_job(job.id, owner, "done")
    results.put(claimed)


def test_eight_processes_share_a_queue(ledger: Ledger, tmp_path: Path) -> None:
    names = [f"job-{i}" for i in range(64)]
    batch = queue(ledger, *names)
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[str]] = context.Queue()
    processes = [
        context.Process(target=_claim_all, args=(tmp_path / "ledger.sqlite", f"p{i}", results)) for i in range(8)
    ]
    for process in processes:
        process.start()
    claimed = [name for _ in processes for name in results.get(timeout=60)]
    for process in processes:
        process.join()
    assert Counter(claimed) == Counter(names)
    assert ledger.job_counts(batch.id) == {"done": 64}
