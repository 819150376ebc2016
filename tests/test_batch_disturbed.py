"""Batches that are disturbed while they run: stopped for a while, asked for elsewhere, cancelled, run twice."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.test_batch import four, status, wait_until_running, write
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged


def test_the_time_for_which_a_batch_was_stopped_is_no_work(studio: Studio) -> None:
    """Ctrl-Z, and `fg` after longer than its job may take."""
    text = "Этот рассказ надолго прервут, и потом он пойдёт дальше. " * 2
    write(studio, f'jobs:\n  - {{text: "{text}", avatar: astronaut, timeout: 12}}\n')
    process = studio.start("batch", "run", "films.yaml", "--retries", "0")
    wait_until_running(studio)
    time.sleep(0.5)
    process.send_signal(signal.SIGSTOP)
    time.sleep(13)
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()


def test_another_folder_while_it_runs_is_the_folder_of_all(studio: Studio) -> None:
    four(studio)
    first = studio.start("batch", "run", "films.yaml", "--jobs", "1")
    wait_until_running(studio)
    second = studio.ok("batch", "run", "films.yaml", "--out", "there", "--jobs", "1")
    assert f"is being performed into {studio.work}/outputs" in second.err
    _, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    ended = studio.ok("batch", "status", "films.yaml", "--json").json["jobs"]
    assert [job["output"] for job in ended] == [f"{studio.work}/there/{job['name']}.mp4" for job in ended]
    assert len(list((studio.work / "there").iterdir())) == 4


def test_cancelled_from_outside(studio: Studio) -> None:
    four(studio)
    process = studio.start("batch", "run", "films.yaml", "--jobs", "1")
    wait_until_running(studio)
    studio.ok("batch", "cancel", "films.yaml")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert set(status(studio).values()) <= {"cancelled", "done"}
    assert "cancelled" in status(studio).values()
    assert b"the step was" not in err, "who cancelled it asks for no step"


def test_who_wants_to_be_alone_waits_and_gives_up(studio: Studio) -> None:
    four(studio)
    first = studio.start("batch", "run", "films.yaml", "--wait-lock", "0")
    wait_until_running(studio)
    refused(studio.run("batch", "run", "films.yaml", "--wait-lock", "0.2"), 75, "this batch")
    studio.ok("batch", "cancel", "films.yaml")
    first.communicate(timeout=60)


def test_lines_that_cannot_be_written_are_told_and_the_films_made(studio: Studio) -> None:
    """`--jsonl` into a full disk: who reads the lines would take what is there for all."""
    write(studio, "jobs:\n  - {text: Раз., avatar: astronaut, output: one}\n  - {text: Два., avatar: astronaut}\n")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            studio.command("batch", "run", "films.yaml", "--jsonl"),
            cwd=studio.work,
            env=studio.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 4, done.stderr
    assert "error: the disk is full" in done.stderr
    assert set(status(studio).values()) == {"done"}
    assert (studio.work / "outputs" / "one.mp4").exists()
