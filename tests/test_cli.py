"""The command line's contract: stdout, stderr, exit codes, JSON, precedence."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from avatarctl.cli import app
from avatarctl.engines import readiness, registry
from avatarctl.errors import Stopped, Unavailable
from avatarctl.media import wav
from tests.media_support import voice
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged

# --- without anybody enrolled


def test_help_lists_every_command(bare: Studio) -> None:
    from avatarctl.cli.app import COMMANDS

    shown = bare.ok("--help")
    assert all(f"  {name} " in shown.out for name in COMMANDS)
    assert shown.err == ""


@pytest.mark.parametrize("command", ["ask", "render", "enroll", "upscale", "replay", "doctor"])
def test_each_command_has_help(bare: Studio, command: str) -> None:
    assert "Usage: avatarctl " + command in bare.ok(command, "--help").out


@pytest.mark.parametrize("group", ["avatars", "knowledge", "runs", "presets", "models", "cache"])
def test_each_group_lists_its_commands(bare: Studio, group: str) -> None:
    shown = bare.run(group)
    assert shown.code == 2
    assert "Commands:" in shown.err


def test_lists_are_empty_and_say_so_without_making_anything(bare: Studio) -> None:
    for command in (("avatars", "list"), ("runs", "list"), ("knowledge", "list"), ("cache", "stats")):
        assert bare.ok(*command, "--json").json["schema_version"] == 1
    assert [p.name for p in bare.home.iterdir()] == ["models"]


def test_wrong_usage(bare: Studio) -> None:
    refused(bare.run("sing"), 2, "sing", "--help")
    refused(bare.run("ask"), 2, "question")
    refused(bare.run("ask", "a", "--audio", "b.wav"), 2)
    refused(bare.run("ask", "a", "--nonsense"), 2, "--nonsense")
    refused(bare.run("render"), 2)
    refused(bare.run("upscale", "film.mp4", "--scale", "9"), 2)
    refused(bare.run("upscale", "film.mp4", "--scale", "3"), 2, "--scale 4")
    refused(bare.run("ask", "x", "--subtitles"), 2, "--render")


@pytest.mark.parametrize(("given", "kept"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")])
def test_small_products_are_not_divided_among_cores(given: dict[str, str], kept: str) -> None:
    """Unless the user says so."""
    program = "import atexit, os; from avatarctl import cli\n"
    program += "atexit.register(lambda: os.write(2, os.environ['OPENBLAS_NUM_THREADS'].encode())); cli.main()"
    before = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", program, "--version"]
    done = subprocess.run(command, env={**before, **given}, capture_output=True, check=True)
    assert done.stderr.decode() == kept


def test_nobody_enrolled(bare: Studio) -> None:
    refused(bare.run("ask", "вопрос", "--render"), 2, "nobody", "avatarctl enroll photo.jpg voice.wav")
    refused(bare.run("render", "Привет."), 2, "nobody")
    refused(bare.run("avatars", "show", "Анна"), 2, "Анна")
    refused(bare.run("replay", "last"), 2, "last")
    refused(bare.run("runs", "show", "01ABC"), 2)
    assert bare.delivered() == []


def test_settings_that_do_not_exist(bare: Studio) -> None:
    refused(bare.run("ask", "x", "--preset", "litte"), 3, "did you mean 'lite'")
    refused(bare.run("ask", "x", "--set", "speak.rat=2"), 3, "did you mean 'rate'")
    refused(bare.run("ask", "x", "--set", "speek.rate=2"), 3, "did you mean 'speak'")
    refused(bare.run("ask", "x", "--set", "animate.engine=pupet"), 3, "did you mean 'puppet'")
    refused(bare.run("ask", "x", "--set", "animate.fps=24"), 3, "25, 30, 50")
    refused(bare.run("ask", "x", "--set", "animate.size=big"), 3, "int")
    refused(bare.run("ask", "x", "--set", "animate"), 3, "stage.key=value")
    refused(bare.run("ask", "x", AVATARCTL_SEED="many"), 3, "AVATARCTL_SEED")


def test_a_preset_of_the_user(bare: Studio) -> None:
    folder = bare.home / "config" / "presets"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('extends = "lite"\n[speak]\nrate = 1.5\n')
    shown = bare.ok("presets", "show", "mine", "--json").json
    assert shown["stages"]["speak"]["params"]["rate"]["value"] == 1.5
    assert shown["stages"]["animate"]["engine"] == "puppet"
    (folder / "mine.toml").write_text('extends = "lite"\n[speak]\nraet = 1.5\n')
    refused(bare.run("presets", "show", "mine"), 3, "did you mean 'rate'")
    (folder / "mine.toml").write_text('extends = "mine"\n')
    refused(bare.run("presets", "show", "mine"), 3, "itself")
    (folder / "mine.toml").write_text("[speak\n")
    refused(bare.run("presets", "show", "mine"), 3, "TOML")


def test_flag_beats_environment_beats_project_beats_user(bare: Studio) -> None:
    def rate(*arguments: str, **extra: str) -> float:
        shown = bare.ok("presets", "show", "lite", *arguments, "--json", **extra).json
        return float(shown["stages"]["speak"]["params"]["rate"]["value"])

    assert rate() == 1.0
    (bare.home / "config").mkdir(parents=True)
    (bare.home / "config" / "avatarctl.toml").write_text("[speak]\nrate = 0.6\n")
    assert rate() == 0.6
    (bare.work / "avatarctl.toml").write_text("[speak]\nrate = 0.7\n")
    assert rate() == 0.7
    assert rate(AVATARCTL_SPEAK_RATE="0.8") == 0.8
    assert rate("--set", "speak.rate=0.9", AVATARCTL_SPEAK_RATE="0.8") == 0.9
    refused(bare.run("presets", "show", "lite", AVATARCTL_SPEAK_RAET="1"), 3, "rate")


@pytest.mark.parametrize("preset", ["cpu", "studio"])
def test_presets_with_a_language_model_say_what_they_miss(bare: Studio, preset: str) -> None:
    bare.ok("presets", "show", preset)
    # Nobody listens on port 1.
    refused(bare.run("ask", "вопрос", "--preset", preset, OLLAMA_HOST="127.0.0.1:1"), 4, "ollama serve", "OLLAMA_HOST")


def test_all_that_is_missing_is_said_before_anything_is_made(studio: Studio) -> None:
    known = studio.ok("runs", "list").out
    asked = studio.run("ask", "вопрос", "--render", "--preset", "cpu", OLLAMA_HOST="127.0.0.1:1")
    refused(asked, 4, "no Ollama server", "and the model piper-irina is missing", "; then avatarctl models pull piper")
    drawn = studio.run("render", "Да.", "--set", "animate.engine=sadtalker")
    pulled = "models pull sadtalker-program sadtalker-256 sadtalker-mapping-full"
    refused(drawn, 4, f"try: avatarctl engines install sadtalker, then avatarctl {pulled}")
    assert drawn.err.count("engines install") == 1
    assert studio.ok("runs", "list").out == known and studio.delivered() == []


def test_several_models_of_an_engine_are_pulled_at_once(tmp_path: Path) -> None:
    spec = registry.get("upscale", "realesrgan")
    with pytest.raises(Unavailable, match="are not here") as caught:
        readiness.paths(spec, spec.params(), tmp_path)
    assert caught.value.hint == "avatarctl models pull face-detector upscaler"


def test_errors_as_json(bare: Studio) -> None:
    result = bare.run("ask", "x", "--set", "speak.rat=2", "--json")
    assert result.code == 3
    assert set(json.loads(result.err)) == {"code", "message", "hint"}
    assert result.out == ""


def test_texts_that_cannot_be_said(bare: Studio) -> None:
    refused(bare.run("ask", ""), 2)
    refused(bare.run("ask", " \n\t"), 2)
    refused(bare.run("ask", "-", stdin=""), 2)
    refused(bare.run("ask", "-", stdin="слово " * 40_000), 2)
    refused(bare.run("ask", "🙂🙂"), 2)
    (bare.work / "latin1.txt").write_bytes("привет".encode("cp1251"))
    refused(bare.run("render", "--file", "latin1.txt"), 2, "UTF-8")
    refused(bare.run("render", "--file", "none.txt"), 2, "none.txt")
    refused(bare.run("render", "--file", "/dev/zero"), 2, "too large")


def test_without_documents_the_answer_is_honest(bare: Studio) -> None:
    result = bare.ok("ask", "Кто первым полетел в космос?", "--json")
    assert result.json["found"] is False
    assert result.json["answer"].strip()


def test_models_say_what_is_missing(bare: Studio) -> None:
    (bare.home / "models").mkdir(parents=True)
    listed = bare.ok("models", "list", "--json").json["models"]
    assert {m["state"] for m in listed} == {"missing"}
    unpublished = {"sadtalker-program", "silero-v4-ru"}
    assert all(m["licence"] and (len(m["sha256"]) == 64 or m["name"] in unpublished) for m in listed)
    refused(bare.run("models", "pull"), 4, "offline")
    refused(bare.run("models", "pull", "fase"), 2, "face")
    assert bare.run("doctor").code == 4


# --- with somebody enrolled


def test_doctor_is_content(enrolled: Studio) -> None:
    checks = enrolled.ok("doctor", "--json").json["checks"]
    assert {c["state"] for c in checks} == {"ok"}, checks


def test_an_answer_and_its_run(studio: Studio) -> None:
    asked = studio.ok("ask", "Кто первым полетел в космос?")
    assert "Гагарин" in asked.out
    assert len(asked.out.strip().splitlines()) == 1
    again = studio.ok("ask", "Кто первым полетел в космос?", "--json").json
    assert again["answer"] == asked.out
    assert again["found"] is True
    shown = studio.ok("runs", "show", again["run"], "--json").json
    assert [(s["stage"], s["status"]) for s in shown["steps"]] == [("index", "hit"), ("answer", "hit")]
    assert shown["run"]["status"] == "done"
    assert again["run"] in studio.ok("runs", "list").out


def test_where_results_go(studio: Studio) -> None:
    def out(*arguments: str) -> str:
        path = studio.ok(*arguments).out.strip()
        assert (studio.work / path).stat().st_size > 0
        return path

    assert out("render", "Да.", "--out", "фильмы/").startswith("фильмы/да-")
    assert out("render", "Да.", "--out", "v1.2") == "v1.2.mp4"
    assert out("render", "Да.", "--out", "a.srt", "--subtitles") == "a.srt.mp4"
    assert out("ask", "Кто первым полетел в космос?", "--out", "ответ") == "ответ.txt"
    assert "Гагарин" in (studio.work / "ответ.txt").read_text(encoding="utf-8")
    refused(studio.run("render", "Да.", "--out", "/dev/null"), 2, "/dev/null")
    assert studio.delivered() == []


def test_a_replay_follows_the_settings_of_today(studio: Studio) -> None:
    studio.ok("render", "Да.", "--set", "speak.rate=1.3")
    (studio.work / "avatarctl.toml").write_text('outputs = "фильмы"\n[speak]\npitch = 90\n')
    assert studio.ok("replay", "last").out.startswith("фильмы/")
    again = studio.ok("replay", "last", "--dry-run", "--preset", "lite", "--json").json["steps"]
    spoken = next(s["params"] for s in again if s["stage"] == "speak")
    assert (spoken["rate"], spoken["pitch"]) == (1.0, 90)
    kept = studio.ok("replay", "last", "--dry-run", "--json").json["steps"]
    assert next(s["params"] for s in kept if s["stage"] == "speak")["rate"] == 1.3


def test_erasing_takes_the_recordings_that_the_face_spoke(studio: Studio, portraits: dict[str, Path]) -> None:
    def kept() -> set[str]:
        return {p.name for p in (studio.home / "cas").rglob("*") if p.is_file()}

    def speak(name: str, f0: float) -> str:
        wav.write(studio.work / name, voice(1.0, 16000, f0), 16000)
        return name

    studio.ok("enroll", str(portraits["hopper"]), "--name", "Грейс")
    own, shared = speak("own.wav", 220), speak("shared.wav", 180)
    before = kept()
    studio.ok("render", "--audio", shared, "--avatar", "astronaut")
    by_the_other = kept() - before
    before = kept()
    studio.ok("render", "--audio", shared, "--avatar", "Грейс")
    studio.ok("render", "--audio", own, "--avatar", "Грейс")
    refused(studio.run("avatars", "rm", "Грейс@1"), 2, "every version", "avatars rm")
    erased = studio.ok("avatars", "rm", "Грейс", "--json").json["erased"]
    assert erased["steps"]["align"] == 1, "one recording was its own"
    assert kept() <= before
    assert by_the_other <= kept()


def test_a_model_that_rotted_is_named(bare: Studio, portraits: dict[str, Path]) -> None:
    shutil.copytree(bare.models, bare.home / "models")
    model = next((bare.home / "models" / "face-mesh").glob("*.tflite"))
    model.chmod(0o644)
    content = bytearray(model.read_bytes())
    content[1000] ^= 0xFF
    model.write_bytes(content)
    result = bare.run("enroll", str(portraits["astronaut"]))
    refused(result, 4, "face-mesh is damaged", "avatarctl models pull face-mesh")


def test_quiet_and_pipes(studio: Studio) -> None:
    assert studio.ok("--quiet", "ask", "Кто первым полетел в космос?").err == ""
    assert studio.ok("ask", "-", "-q", stdin="Кто первым полетел в космос?").err == ""


def test_documents_come_and_go(studio: Studio) -> None:
    (studio.work / "Рецепты.md").write_text("# Борщ\n\nДля борща нужна свёкла. Свёклу варят полтора часа.\n")
    studio.ok("knowledge", "add", "Рецепты.md")
    assert "Рецепты.md" in studio.ok("knowledge", "list").out
    found = studio.ok("knowledge", "search", "свеклой", "--json").json["hits"]
    assert found[0]["document"] == "Рецепты.md"
    assert "свёкла" in studio.ok("ask", "Что нужно для борща?").out
    studio.ok("knowledge", "rm", "Рецепты.md")
    assert studio.ok("ask", "Что нужно для борща?", "--json").json["found"] is False
    refused(studio.run("knowledge", "rm", "Рецепты.md"), 2)
    (studio.work / "bad.md").write_bytes(os.urandom(2000))
    refused(studio.run("knowledge", "add", "bad.md"), 2)


def plugin(site: Path, performance: str) -> str:
    """A folder for PYTHONPATH with the engine `answer/guest`, whose `run(self, job)` is `performance`."""
    (site / "guest-1.dist-info").mkdir(parents=True)
    (site / "guest-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1\n")
    (site / "guest-1.dist-info" / "entry_points.txt").write_text("[avatarctl.engines]\nguest = guest:SPEC\n")
    (site / "guest.py").write_text(
        "from avatarctl.engines.contract import EngineSpec\n"
        "SPEC = EngineSpec(stage='answer', name='guest', summary='', cache_version=1, factory='guest:Guest')\n"
        "class Guest:\n"
        "    def load(self, models): pass\n"
        "    def run(self, job):\n"
        f"        {performance}\n"
        "    def close(self): pass\n"
    )
    return str(site)


def test_plugins_register_through_entry_points(bare: Studio, tmp_path: Path) -> None:
    site = plugin(
        tmp_path / "site",
        "(job.out / 'answer.txt').write_text(job.inputs['question'].read_text().upper()); "
        "(job.out / 'sources.json').write_text('{\"found\": true}')",
    )
    said = bare.ok("ask", "эхо", "--set", "answer.engine=guest", PYTHONPATH=site)
    assert said.out == "ЭХО\n"


@pytest.mark.parametrize(
    ("performance", "code", "word"),
    [
        ("raise OSError(28, 'No space left on device')", 4, "the disk is full"),
        ("raise OSError(5, 'Input/output error')", 4, "the disk fails"),
        ("raise ValueError('oh')", 1, "answer/guest failed"),
        ("pass", 1, "did not make its answer"),
    ],
)
def test_engines_that_fail(bare: Studio, tmp_path: Path, performance: str, code: int, word: str) -> None:
    site = plugin(tmp_path / "site", performance)
    refused(bare.run("ask", "эхо", "--set", "answer.engine=guest", PYTHONPATH=site), code, word)
    assert bare.ok("runs", "list", "--json").json["runs"][0]["status"] == "failed"


def test_a_signal_that_comes_while_a_class_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As modules are imported: Python 3.11 takes what is raised then for a fault of the class."""

    class Field:
        def __set_name__(self, owner: type, name: str) -> None:
            raise Stopped(signal.SIGTERM)

    class Command:
        def main(self, **options: object) -> None:
            type("Settings", (), {"field": Field()})

    monkeypatch.setattr(app, "get_command", lambda typed: Command())
    assert app._perform(["ask"]) == 143
    assert "stopped by a signal" in capsys.readouterr().err
