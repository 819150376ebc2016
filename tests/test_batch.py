"""Batches on the command line: real processes, real films, small ones."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from avatarctl import jobs
from avatarctl.errors import Unavailable
from avatarctl.jobs import Job
from avatarctl.media import wav
from avatarctl.recipes import batch, preflight
from avatarctl.store.ledger import Ledger
from avatarctl.store.queue import Wanted
from avatarctl.store.store import Store
from tests.media_support import clip, tone
from tests.tools import Result, Studio, refused

pytestmark = pytest.mark.unjudged

TEXTS = ("Раз.", "Два.", "Три.", "Четыре.")


def write(studio: Studio, text: str, name: str = "films.yaml") -> Path:
    path = studio.work / name
    path.write_text(text, encoding="utf-8")
    return path


def four(studio: Studio, extra: str = "") -> Path:
    jobs = "".join(f"  - text: {text}\n" for text in TEXTS)
    return write(studio, f"defaults: {{avatar: astronaut, preset: lite}}\njobs:\n{jobs}{extra}")


def status(studio: Studio) -> dict[str, str]:
    found = studio.ok("batch", "status", "films.yaml", "--json").json
    return {job["name"]: job["status"] for job in found["jobs"]}


def wait_until_running(studio: Studio) -> None:
    """Until a job of the batch was claimed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = studio.run("batch", "status", "films.yaml", "--json")
        if found.code == 0 and "running" in {job["status"] for job in found.json["jobs"]}:
            return
        time.sleep(0.05)
    raise AssertionError("no job was begun")


def films(studio: Studio) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((studio.work / "outputs").glob("*.mp4"))}


def steps_made_twice(studio: Studio) -> list[tuple[str, int]]:
    connection = sqlite3.connect(studio.home / "ledger.sqlite", timeout=30)
    found = connection.execute(
        "SELECT key, count(*) FROM steps WHERE status = 'done' GROUP BY key HAVING count(*) > 1"
    ).fetchall()
    connection.close()
    return found


@pytest.fixture(scope="module")
def finished(enrolled: Studio, tmp_path_factory: pytest.TempPathFactory) -> tuple[Studio, Result]:
    """A batch of four films and one that cannot be made, after its first run."""
    studio = enrolled.copy(tmp_path_factory.mktemp("batch") / "studio")
    four(studio, "  - {name: broken, text: А., avatar: nobody}\n")
    return studio, studio.run("batch", "run", "films.yaml", "--json", "--junit", "results.xml")


def test_one_failure_loses_no_other(finished: tuple[Studio, Result]) -> None:
    studio, result = finished
    assert result.code == 1
    document = result.json
    assert [job["status"] for job in document["jobs"]] == ["done"] * 4 + ["failed"]
    assert sorted(films(studio)) == ["два.mp4", "раз.mp4", "три.mp4", "четыре.mp4"]
    assert document["jobs"][4]["error"]["code"] == "bad_input"
    assert not document["jobs"][4]["error"]["retryable"]
    assert all(job["media_seconds"] > 0.5 for job in document["jobs"][:4])
    error = json.loads(result.err.splitlines()[-1])
    assert error["code"] == "jobs_failed"
    suite = ElementTree.parse(studio.work / "results.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("5", "1")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["broken"]


def test_a_jobs_time_is_what_engines_worked_for_it(finished: tuple[Studio, Result]) -> None:
    studio, result = finished
    for job in result.json["jobs"][:4]:
        steps = studio.ok("runs", "show", job["run"], "--json").json["steps"]
        worked = sum(step["run_ms"] for step in steps) / 1000
        assert job["seconds"] == pytest.approx(worked, abs=0.01) and worked > 0.1


def test_a_film_of_a_batch_is_the_film_of_a_single_command(studio: Studio, finished: tuple[Studio, Result]) -> None:
    studio.ok("render", "Два.", "--avatar", "astronaut", "--out", "single.mp4")
    assert (studio.work / "single.mp4").read_bytes() == films(finished[0])["два.mp4"]


def test_the_same_file_again_makes_nothing(finished: tuple[Studio, Result], tmp_path: Path) -> None:
    studio = finished[0].copy(tmp_path / "again")
    four(studio)
    again = studio.ok("batch", "run", "films.yaml", "--jsonl")
    told = [json.loads(line) for line in again.out.splitlines()]
    assert {job["seconds"] for job in told} == {0.0}
    assert {job["name"]: (job["status"], job["cached"]) for job in told} == {
        text.lower().rstrip("."): ("done", True) for text in TEXTS
    }
    assert steps_made_twice(studio) == []
    assert len(films(studio)) == 4


def test_a_file_is_the_same_by_whatever_path_it_is_named(finished: tuple[Studio, Result], tmp_path: Path) -> None:
    studio = finished[0].copy(tmp_path / "named")
    path = four(studio)
    studio.ok("batch", "run", "films.yaml")
    (studio.work / "link.yaml").symlink_to(path)
    for named in (str(path), "link.yaml"):
        document = studio.ok("batch", "run", named, "--json").json
        assert [job["status"] for job in document["jobs"]] == ["done"] * 4
        assert document["batches"][0]["ended"], "it is told as it is in the end"
    assert len(studio.ok("batch", "status", "--json").json["batches"]) == 2, "with the one that was copied"


def test_only_what_was_edited_is_made(finished: tuple[Studio, Result], tmp_path: Path) -> None:
    studio = finished[0].copy(tmp_path / "edited")
    path = four(studio)
    path.write_text(path.read_text().replace("Три.", "Пять."))
    document = studio.ok("batch", "run", "films.yaml", "--json").json
    assert {job["name"]: job["cached"] for job in document["jobs"]} == {
        "раз": True,
        "два": True,
        "пять": False,
        "четыре": True,
    }


def test_two_processes_share_a_queue(studio: Studio) -> None:
    four(studio)
    both = [studio.start("batch", "run", "films.yaml", "--json", "--jobs", "1") for _ in range(2)]
    ended = [process.communicate(timeout=180) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    runs = [{job["run"] for job in json.loads(out)["jobs"]} for out, _ in ended]
    assert runs[0] == runs[1] and len(runs[0]) == 4
    assert steps_made_twice(studio) == []
    assert len(films(studio)) == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_stopped_and_gone_on(
    studio: Studio, finished: tuple[Studio, Result], number: signal.Signals, code: int
) -> None:
    four(studio)
    process = studio.start("batch", "run", "films.yaml", "--jobs", "2")
    wait_until_running(studio)
    asked = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert time.monotonic() - asked < 30
    assert b"Traceback" not in err
    if number == signal.SIGTERM:
        assert "running" not in status(studio).values()
    studio.ok("batch", "run", "films.yaml")
    assert set(status(studio).values()) == {"done"}
    assert steps_made_twice(studio) == []
    assert films(studio) == films(finished[0])


def test_a_job_may_take_only_so_long(studio: Studio) -> None:
    write(studio, "jobs:\n  - {text: Раз., avatar: astronaut, timeout: 0.05}\n")
    result = studio.run("batch", "run", "films.yaml", "--json", "--retries", "0")
    assert result.code == 1
    (job,) = result.json["jobs"]
    assert (job["error"]["code"], job["error"]["retryable"]) == ("timeout", True)
    assert "1 queued again" in studio.ok("batch", "retry", "films.yaml").err
    assert status(studio) == {"раз": "queued"}


def test_fail_fast_stops_at_the_first(studio: Studio) -> None:
    write(
        studio,
        "jobs:\n  - {text: Раз., avatar: astronaut}\n  - {text: Два., avatar: astronaut}\n"
        "  - {name: broken, text: А., avatar: nobody, priority: 9}\n",
    )
    result = studio.run("batch", "run", "films.yaml", "--fail-fast", "--jobs", "1", "--json")
    assert result.code == 1 and "broken: there is no avatar" in json.loads(result.err.splitlines()[-1])["message"]
    assert status(studio) == {"раз": "queued", "два": "queued", "broken": "failed"}
    assert studio.delivered() == []


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_a_reader_who_goes_away_ends_no_batch_and_hides_no_failure(studio: Studio, form: str) -> None:
    """`avatarctl batch run --jsonl | head -1`"""
    four(studio, "  - {name: broken, text: А., avatar: nobody, priority: 9}\n")
    process = studio.start("batch", "run", "films.yaml", form)
    assert process.stdout is not None and process.stderr is not None
    if form == "--jsonl":
        process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 1, err
    assert "1 of 5 films were not made" in err and "Traceback" not in err
    assert len(films(studio)) == 4


def test_a_batch_is_reported_whose_file_is_gone(finished: tuple[Studio, Result], tmp_path: Path) -> None:
    studio = finished[0].copy(tmp_path / "studio")
    source = finished[0].work / "films.yaml"
    assert not (studio.work / "films.yaml").exists()
    hidden = source.rename(source.with_name("hidden"))
    try:
        page = studio.ok("report", str(source), "--html", "page.html").out.strip()
    finally:
        hidden.rename(source)
    assert "films.yaml" in (studio.work / page).read_text(encoding="utf-8")


def test_results_are_written_although_nothing_can_be_told(finished: tuple[Studio, Result], tmp_path: Path) -> None:
    """A full disk under the log of a batch that made its films at night."""
    studio = finished[0].copy(tmp_path / "studio")
    four(studio)
    for options in (["--jsonl"], ["--junit", "results.xml"]):
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            process = subprocess.run(
                studio.command("batch", "run", "films.yaml", *options),
                cwd=studio.work,
                env=studio.environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert process.returncode in (0, 4), process.stderr.decode()
        assert b"No space left" in process.stderr or b"disk is full" in process.stderr
    assert len(films(studio)) == 4
    assert ElementTree.parse(studio.work / "results.xml").getroot().get("tests") == "4"


def test_nothing_is_performed_where_nothing_can_succeed(studio: Studio) -> None:
    write(studio, "jobs:\n  - {text: Раз., avatar: nobody}\n")
    refused(studio.run("batch", "run", "films.yaml"), 2, "no avatar 'nobody'")
    write(studio, "jobs:\n  - {text: Раз., presett: lite}\n")
    refused(studio.run("batch", "run", "films.yaml"), 3, "films.yaml:2", "did you mean 'preset'")
    assert studio.ok("batch", "status", "--json").json["batches"] == []


def test_a_report_that_cannot_be_written_is_found_out_first(studio: Studio) -> None:
    four(studio)
    (studio.work / "reports").write_text("a file stands where the folder should be")
    refused(studio.run("batch", "run", "films.yaml", "--junit", "reports/results.xml"), 4, "reports", "--junit")
    refused(studio.run("batch", "run", "films.yaml", "--junit", "."), 4, "is a folder", "--junit")
    assert studio.delivered() == []


def test_results_that_cannot_be_written_are_found_out_first(studio: Studio) -> None:
    four(studio)
    (studio.work / "taken").write_text("a file")
    for command in ("run", "check"):
        result = studio.run("batch", command, "films.yaml", "--out", "taken/films")
        assert result.code == 4 and "taken is no folder" in result.err and "--out" in result.err
    assert studio.ok("batch", "status", "--json").json["batches"] == [], "nothing was queued"
    # Of two files it is only the other one's.
    write(studio, "outputs: taken/films\ndefaults: {avatar: astronaut}\njobs: [{text: Пять.}]\n", "more.yaml")
    result = studio.run("batch", "check", "films.yaml", "more.yaml")
    assert result.code == 4 and "more.yaml:3: пять" in result.err and "films.yaml:" not in result.err


def test_films_of_another_file_are_not_replaced_in_silence(finished: tuple[Studio, Result], tmp_path: Path) -> None:
    studio = finished[0].copy(tmp_path / "other")
    first = write(studio, "defaults: {avatar: astronaut, preset: lite}\njobs: [{text: Раз., name: a}]\n", "first.yaml")
    second = write(
        studio, "defaults: {avatar: astronaut, preset: lite}\njobs: [{text: Два., name: a}]\n", "second.yaml"
    )
    assert "warning" not in studio.ok("batch", "run", "first.yaml").err
    said = studio.ok("batch", "run", "second.yaml").err
    assert f"{studio.work}/outputs/a.mp4 is a film of {first}, and will be replaced" in said
    assert "warning" not in studio.ok("batch", "run", "second.yaml", "--out", "elsewhere").err
    # Of a file that is gone nobody waits for any film; but it can still be asked what became of it.
    first.rename(studio.work / "renamed.yaml")
    assert "warning" not in studio.ok("batch", "run", "renamed.yaml", "--out", "renamed").err
    assert "a film of" not in studio.ok("batch", "run", "second.yaml").err
    assert studio.ok("batch", "status", "first.yaml", "--json").json["file"] == str(first)
    assert second.exists()


def test_two_batches_that_make_the_same_films_are_told(studio: Studio) -> None:
    """None of them is there yet when the second begins."""
    four(studio)
    with Store.open(studio.home) as store:
        wanted = [Wanted("три", {"text": "Три.", "output": "три"}, "f")]
        store.ledger.queue_batch("/jobs/other.yaml", "d", wanted, lambda owner: True, str(studio.work / "outputs"))
    said = studio.ok("batch", "run", "films.yaml").err
    (warning,) = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert f"{studio.work}/outputs/три.mp4 is a film of /jobs/other.yaml, too" in warning


def test_two_files_that_write_the_same_films_are_refused(studio: Studio) -> None:
    four(studio)
    write(studio, "jobs:\n  - {name: раз, text: Другое., avatar: astronaut}\n", "more.yaml")
    refused(studio.run("batch", "run", "films.yaml", "more.yaml"), 3, "more.yaml:2", "as the job of films.yaml:3")
    refused(studio.run("batch", "check", "films.yaml", "more.yaml"), 3, "more.yaml:2")
    assert studio.delivered() == []


def test_checking_a_file_tells_everything_and_does_nothing(studio: Studio) -> None:
    four(studio, "  - {name: broken, text: А., avatar: nobody}\n  - {name: mute, text: '...'}\n")
    result = studio.run("batch", "check", "films.yaml", "--json")
    assert result.code == 2
    report = result.json
    assert report["jobs"] == 6
    assert [problem["line"] for problem in report["problems"]] == [7, 8]
    assert report["bytes_needed"] > 0 and report["media_seconds"] > 3
    assert json.loads(result.err)["message"] == "films.yaml:7: broken: there is no avatar 'nobody' (and 1 more)"
    assert studio.ok("batch", "status", "--json").json["batches"] == []


def test_many_different_settings_ask_the_ledger_no_more_often(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand rows may have ten thousand rates of speech, or as many names that nobody has."""
    monkeypatch.setenv("AVATARCTL_HOME", str(studio.home))
    asked: Counter[str] = Counter()

    def count(name: str) -> None:
        real = getattr(Ledger, name)

        def answer(*arguments: Any, **options: Any) -> Any:
            asked[name] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(Ledger, name, answer)

    for name in ("avatar", "avatars", "history"):
        count(name)
    rates = "".join(f"  - {{text: Раз., set: {{speak.rate: {1 + n / 10}}}}}\n" for n in range(5))
    path = write(studio, f"defaults: {{avatar: astronaut}}\njobs:\n{rates}  - {{text: Два., avatar: nobody}}\n")
    with Store.open(studio.home, readonly=True) as store:
        report = preflight.look(store, jobs.read(path).jobs, {str(path): studio.work})
    assert [finding.job.avatar for finding in report.findings] == ["nobody"]
    assert asked == {"avatar": 2, "history": 4}


def test_recordings_and_their_texts_are_looked_at_first(studio: Studio) -> None:
    wav.write(studio.work / "речь.wav", tone(1.0, 16_000), 16_000)
    (studio.work / "смех.txt").write_text("[happy]\n")
    (studio.work / "пусто.txt").write_text(" \n")
    (studio.work / "слова.wav").write_text("Это слова, а не звук.")
    clip(studio.work / "немое.mp4", 3)
    wrong = ("{audio: речь.wav, text_file: смех.txt}", "{audio: речь.wav, text_file: пусто.txt}")
    lines = ["{audio: речь.wav}", *wrong, "{audio: слова.wav}", "{audio: немое.mp4}"]
    write(studio, "jobs:\n" + "".join(f"  - {line}\n" for line in lines))
    problems = studio.run("batch", "check", "films.yaml", "--json").json["problems"]
    assert [problem["line"] for problem in problems] == [3, 4, 5, 6]
    for problem, word in zip(problems, ("empty", "empty", "it is a text", "film without sound"), strict=True):
        assert word in problem["message"]


def test_films_side_by_side_are_expected_sooner(finished: tuple[Studio, Result], tmp_path: Path) -> None:
    studio = finished[0].copy(tmp_path / "expected")
    many = "".join(f"  - text: Номер {n} говорит то, чего ещё никто не слышал.\n" for n in range(30))
    write(studio, f"defaults: {{avatar: astronaut, preset: lite}}\njobs:\n{many}", "many.yaml")

    def expected(cores: int) -> float:
        found = studio.ok("batch", "check", "many.yaml", "--json", AVATARCTL_THREADS=str(cores)).json
        seconds: float = found["estimated_seconds"]
        return seconds

    alone = expected(1)
    assert alone > 1 and expected(2) == pytest.approx(alone / 2, abs=0.1)
    assert expected(8) == pytest.approx(alone / 8, abs=0.1)


def test_what_single_commands_took_is_not_divided(enrolled: Studio, tmp_path: Path) -> None:
    """A step of theirs has all cores to itself."""
    studio = enrolled.copy(tmp_path / "single")
    studio.ok("render", "Раз.", "--avatar", "astronaut", "--preset", "lite")
    path = four(studio)
    expected = [
        studio.ok("batch", "check", path.name, "--json", AVATARCTL_THREADS=cores).json["estimated_seconds"]
        for cores in ("1", "4")
    ]
    assert expected[0] / 2 < expected[1] <= expected[0]


def test_a_job_is_explained(finished: tuple[Studio, Result], tmp_path: Path) -> None:
    studio = finished[0].copy(tmp_path / "explained")
    path = four(studio)
    studio.ok("batch", "run", "films.yaml")

    def why(name: str = "раз") -> dict[str, tuple[str, str]]:
        steps = studio.ok("batch", "explain", name, "--batch", "films.yaml", "--json").json["steps"]
        return {step["stage"]: (step["verdict"], step["reason"]) for step in steps}

    assert {verdict for verdict, _ in why().values()} == {"hit"}
    text = path.read_text()
    path.write_text(text.replace("- text: Раз.", "- {text: Раз., seed: 3}"))
    assert why()["animate"] == ("run", "seed changed from 0 to 3")
    assert why()["speak"][0] == "hit"
    path.write_text(text.replace("- text: Раз.", "- {text: Раз., set: {speak.rate: 1.3}}"))
    assert why()["speak"] == ("run", "rate changed from 1.0 to 1.3")
    assert why()["animate"][0] == "unknown"
    path.write_text(text.replace("- text: Раз.", "- {name: раз, text: Раз-два.}"))
    assert why()["speak"] == ("run", "its text changed")
    path.write_text(text + "  - {name: new, text: Новое.}\n")
    assert why("new")["speak"] == ("run", "the job was never performed")


def test_a_job_whose_end_cannot_be_written_ends_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a ledger there is no queue: neither silence nor an endless wait for a job that is over."""

    def full(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    with Store.open(tmp_path / "home") as store:
        job = Job(file="f.yaml", line=1, name="a", output="a", text="А.", avatar="nobody")
        queued = store.ledger.queue_batch("/f.yaml", "d", [Wanted("a", job.as_request(), "x")], store.is_alive)
        executor = batch.local_executor(1)
        work = batch.BatchRun(store, [queued.id], executor)
        with monkeypatch.context() as patch, pytest.raises(Unavailable, match="the disk is full"):
            patch.setattr(store.ledger, "finish_job", full)
            work.perform()
        executor.close()
        assert [j.status for j in store.ledger.jobs(queued.id)] == ["queued"]


def test_the_schema_is_printed(bare: Studio) -> None:
    assert studio_schema(bare)["$defs"]["job"]["properties"]["question"]["type"] == "string"


def studio_schema(bare: Studio) -> dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]]:
    schema: dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]] = bare.ok("batch", "schema").json
    return schema


def test_what_ships_is_right() -> None:
    """The examples in jobs/ say what the program understands."""
    from avatarctl.jobs import read

    folder = Path(__file__).resolve().parent.parent / "jobs"
    assert len(read(folder / "twenty-questions.yaml").jobs) == 20
    assert [job.emotion for job in read(folder / "films.csv").jobs] == ["happy", "thinking", "sad"]
