"""Killed at any moment, then the same command again: it completes, repeats nothing, and gives the same bytes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.tools import Studio, refused

TEXT = "Раз. Два."


@pytest.fixture(scope="module")
def undisturbed(enrolled: Studio, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, float]:
    """The film's bytes, and how long it took."""
    studio = enrolled.copy(tmp_path_factory.mktemp("undisturbed") / "studio")
    start = time.monotonic()
    out = studio.ok("render", TEXT).out.strip()
    return (studio.work / out).read_bytes(), time.monotonic() - start


def ledger(studio: Studio) -> sqlite3.Connection:
    return sqlite3.connect(studio.home / "ledger.sqlite", timeout=30)


def leftovers(studio: Studio) -> list[Path]:
    return [p for p in (studio.home / "tmp").rglob("*") if p.is_file()]


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_random_moments(studio: Studio, undisturbed: tuple[bytes, float], seed: int) -> None:
    whole, took = undisturbed
    chance = random.Random(seed)
    for _ in range(3):
        process = studio.start("render", TEXT)
        time.sleep(chance.uniform(0.05, took * 0.6))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        partial = [name for name in studio.delivered() if (studio.work / "outputs" / name).read_bytes() != whole]
        assert partial == [], "a film is delivered whole or not at all"
    out = studio.ok("render", TEXT).out.strip()
    assert (studio.work / out).read_bytes() == whole
    with ledger(studio) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        done = "SELECT key, count(*) FROM steps WHERE status = 'done' GROUP BY key HAVING count(*) > 1"
        assert connection.execute(done).fetchall() == [], "no finished step was made twice"
        statuses = {row[0] for row in connection.execute("SELECT status FROM runs")}
        assert statuses <= {"done", "lost", "failed"}
    connection.close()
    assert leftovers(studio) == []
    assert len(studio.delivered()) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("share", [0.15, 0.5, 0.8])
def test_stopped_by_a_signal(
    studio: Studio, undisturbed: tuple[bytes, float], number: int, code: int, share: float
) -> None:
    whole, took = undisturbed
    process = studio.start("render", TEXT)
    time.sleep(took * share)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    if process.returncode != 0:  # it may have been done by then
        assert process.returncode in (code, -number), err.decode()
        assert b"Traceback" not in err
        # A signal between delivery and exit finds the film there already, whole, and perhaps its path printed.
        assert out.decode().strip() in ("", *(f"outputs/{name}" for name in studio.delivered()))
        assert all((studio.work / "outputs" / name).read_bytes() == whole for name in studio.delivered())
        assert leftovers(studio) == []
    assert (studio.work / studio.ok("render", TEXT).out.strip()).read_bytes() == whole


def test_eight_at_once_do_each_step_once(studio: Studio, undisturbed: tuple[bytes, float]) -> None:
    processes = [studio.start("render", TEXT, "--out", f"film{i}.mp4") for i in range(8)]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err.decode()
    assert {(studio.work / f"film{i}.mp4").read_bytes() for i in range(8)} == {undisturbed[0]}
    with ledger(studio) as connection:
        made = connection.execute("SELECT key, count(*) FROM steps WHERE status = 'done' GROUP BY key").fetchall()
    connection.close()
    assert all(count == 1 for _, count in made)


def test_a_ledger_from_a_newer_version_is_refused(studio: Studio) -> None:
    with ledger(studio) as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    refused(studio.run("render", TEXT), 4, "newer")
    refused(studio.run("runs", "list"), 4, "newer")


def test_a_ledger_that_is_none_is_refused(studio: Studio) -> None:
    for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
        (studio.home / name).unlink(missing_ok=True)
    (studio.home / "ledger.sqlite").write_bytes(b"not a database at all, but long enough to be read" * 100)
    refused(studio.run("runs", "list"), 4)
    refused(studio.run("ask", "вопрос"), 4)


def test_outputs_that_cannot_be_written(studio: Studio) -> None:
    (studio.work / "outputs").write_text("a file stands where the folder should be")
    refused(studio.run("render", TEXT), 4, "outputs", "--out")


def test_the_disk_is_full(studio: Studio) -> None:
    """A file size limit stands in for a full disk: every write beyond it fails, wherever it happens."""
    import resource
    import subprocess

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = subprocess.run(
        studio.command("render", "Совсем другой текст, которого ещё не было."),
        cwd=studio.work,
        env=studio.environment(),
        capture_output=True,
        preexec_fn=limit,
        check=False,
    )
    assert done.returncode == 4, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
    assert studio.delivered() == []
    assert leftovers(studio) == []
    studio.ok("render", "Совсем другой текст, которого ещё не было.")
