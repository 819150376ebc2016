"""What a batch gains by performing steps in child processes: engines of others that hang, crash or fill the disk, a
batch that is killed, and what its children take."""

from __future__ import annotations

import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from avatarctl.runtime.lanes import WIDTHS
from tests.tools import Studio

pytestmark = pytest.mark.unjudged

ROOT = Path(__file__).resolve().parent.parent

GUEST = '''
import errno, os, subprocess, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from avatarctl.engines.contract import EngineSpec
from avatarctl.engines.espeak.engine import EspeakEngine
from avatarctl.engines.espeak.spec import EspeakParams
from avatarctl.errors import BadInput


class TooSad(BadInput):
    code = "too_sad"


class Guest(EspeakEngine):
    """Speaks as espeak-ng does, after it has done what the first word of the text says."""

    def run(self, job):
        home = Path(os.environ["AVATARCTL_HOME"])
        word = job.inputs["text"].read_text(encoding="utf-8").split()[0].strip(".").lower()
        with (home / "performed").open("a", encoding="utf-8") as file:
            file.write(f"{word} {os.getpid()}\\n")
        if word == "зависни":
            # Python waits for the threads of a pool before it ends, unless the process is ended.
            ThreadPoolExecutor().submit(time.sleep, 3600).result()
        if word == "однажды" and not (home / "been-here").exists():
            (home / "been-here").touch()
            os._exit(139)
        if word == "грусти":
            raise TooSad("the text is too sad", why="it says so", hint="cheer up")
        if word == "переполни":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().run(job)


SPEC = EngineSpec(stage="speak", name="guest", summary="", cache_version=1, factory="guest:Guest", params=EspeakParams,
                  reads=("voice_report",), gives_timings=True, lane=os.environ.get("GUEST_LANE", "cpu"))
'''


@pytest.fixture
def site(tmp_path: Path) -> str:
    """A folder for PYTHONPATH with the engine `speak/guest`, which asks for no process of its own."""
    folder = tmp_path / "site"
    (folder / "guest-1.dist-info").mkdir(parents=True)
    (folder / "guest-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1\n")
    (folder / "guest-1.dist-info" / "entry_points.txt").write_text("[avatarctl.engines]\nguest = guest:SPEC\n")
    (folder / "guest.py").write_text(GUEST, encoding="utf-8")
    return f"{folder}:{ROOT}"


def write(studio: Studio, *jobs: str, voice: str = "guest") -> None:
    """A job file with small films of these texts; a job may have fields after its text."""
    lines = "".join(f"  - {{text: {job}}}\n" for job in jobs)
    defaults = f"{{avatar: astronaut, preset: lite, set: {{speak.engine: {voice}}}}}"
    (studio.work / "films.yaml").write_text(f"defaults: {defaults}\njobs:\n{lines}", encoding="utf-8")


def ended(studio: Studio) -> dict[str, dict[str, Any]]:
    found = studio.ok("batch", "status", "films.yaml", "--json").json
    return {job["name"]: job for job in found["jobs"]}


def steps(studio: Studio, query: str) -> list[Any]:
    connection = sqlite3.connect(studio.home / "ledger.sqlite", timeout=30)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def running(studio: Studio) -> list[str]:
    """Processes that were started for this home and still work."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("AVATARCTL_HOME") == str(studio.home):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_engines_of_others_fail_alone_in_the_children_of_a_batch(studio: Studio, site: str) -> None:
    write(studio, "Зависни.", "Однажды.", "Грусти.", "Переполни.", "Раз.", "Два.")
    path = studio.work / "films.yaml"
    path.write_text(path.read_text().replace("text: Зависни.", "text: Зависни., timeout: 2, priority: 9"))
    result = studio.run("batch", "run", "films.yaml", "--retries", "1", "--json", PYTHONPATH=site)
    assert result.code == 1 and "Traceback" not in result.err
    jobs = ended(studio)
    assert {name: job["status"] for name, job in jobs.items()} == {
        "зависни": "failed",
        "однажды": "done",
        "грусти": "failed",
        "переполни": "failed",
        "раз": "done",
        "два": "done",
    }
    assert jobs["зависни"]["error"]["code"] == "timeout"
    assert (jobs["грусти"]["error"]["code"], jobs["грусти"]["error"]["retryable"]) == ("bad_input", False)
    assert jobs["переполни"]["error"]["message"].startswith("the disk is full")
    performed = (studio.home / "performed").read_text(encoding="utf-8").split()
    # What may pass was tried again, what may not was not.
    assert {word: performed.count(word) for word in ("однажды", "грусти")} == {"однажды": 2, "грусти": 1}
    assert running(studio) == []


def test_nothing_outlives_a_batch_that_is_killed(studio: Studio, site: str) -> None:
    write(studio, "Зависни.", "Раз два три четыре пять шесть семь восемь девять десять.")
    process = studio.start("batch", "run", "films.yaml", PYTHONPATH=site)
    deadline = time.monotonic() + 60
    # One child hangs in a voice, the other draws and feeds an encoder.
    while time.monotonic() < deadline and sum("ffmpeg" in command for command in running(studio)) < 1:
        time.sleep(0.01)
    commands = running(studio)
    assert sum("worker/start.py" in command for command in commands) == 2 and any("ffmpeg" in c for c in commands)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and running(studio):
        time.sleep(0.02)
    assert running(studio) == []


def stopped(studio: Studio, number: signal.Signals, *command: str, **environment: str) -> str:
    """What a command says that is stopped while its engine hangs, and that it ends in time."""
    process = studio.start(*command, **environment)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (studio.home / "performed").exists():
        time.sleep(0.02)
    asked = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert time.monotonic() - asked < 10, "what hangs is killed, or given up"
    assert b"Traceback" not in err and running(studio) == []
    return err.decode()


@pytest.mark.parametrize(
    ("number", "lane"), [(signal.SIGTERM, "cpu"), (signal.SIGINT, "cpu"), (signal.SIGTERM, "light")]
)
def test_a_batch_in_which_an_engine_hangs_lets_go_in_time(
    studio: Studio, site: str, number: signal.Signals, lane: str
) -> None:
    write(studio, "Зависни.")
    stopped(studio, number, "batch", "run", "films.yaml", PYTHONPATH=site, GUEST_LANE=lane)
    assert {job["status"] for job in ended(studio).values()} == {"queued"}


def test_a_single_command_whose_engine_hangs_lets_go_in_time(studio: Studio, site: str) -> None:
    said = stopped(studio, signal.SIGTERM, "render", "Зависни.", "--set", "speak.engine=guest", PYTHONPATH=site)
    assert "the same command goes on" in said
    assert steps(studio, "SELECT status FROM runs ORDER BY id DESC LIMIT 1") == [("stopped",)]


@pytest.mark.parametrize("lane", ["light", "server", "gpu"])
def test_what_hangs_in_this_process_is_given_up_with_its_job(studio: Studio, site: str, lane: str) -> None:
    # As many as have room in the lane: whoever comes after them would wait for ever.
    names = ("один", "два")[: WIDTHS[lane]]
    write(studio, *(f"'Зависни {name}.', timeout: 2, priority: 9" for name in names), "Раз.")
    result = studio.run("batch", "run", "films.yaml", "--retries", "0", PYTHONPATH=site, GUEST_LANE=lane)
    assert result.code == 1 and "Traceback" not in result.err
    jobs = ended(studio)
    assert {name: job["status"] for name, job in jobs.items()} == {
        **{f"зависни-{name}": "failed" for name in names},
        "раз": "done",
    }
    assert {job["error"]["code"] for job in jobs.values() if job["error"]} == {"timeout"}
    assert running(studio) == []


def test_children_are_warm_few_and_counted(studio: Studio) -> None:
    write(studio, *(f"Номер {n}." for n in ("один", "два", "три", "четыре", "пять")), voice="espeak")
    studio.ok("batch", "run", "films.yaml", AVATARCTL_THREADS="2")
    drawn = steps(studio, "SELECT load_ms, peak_memory_mb FROM steps WHERE stage = 'animate' AND status = 'done'")
    assert len(drawn) == 5 and sum(load > 0 for load, _ in drawn) <= 2, "each child loads the engine once"
    assert all(20 < peak < 400 for _, peak in drawn), drawn
