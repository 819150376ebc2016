"""`doctor` and `models` as commands: what they print, write and ask, on a terminal and off it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarctl import models
from tests.model_servers import MODEL, TAGS, ModelServer, serving
from tests.test_machine import program
from tests.test_terminal import on_terminal
from tests.tools import Studio, refused

QUESTION = "Кто первым полетел в космос?"


@pytest.fixture
def ollama() -> Iterator[ModelServer]:
    """A server with the model of the preset cpu."""
    with serving() as server:
        server.documents["/api/tags"] = (200, TAGS)
        yield server


@pytest.fixture
def with_ollama(ollama: ModelServer, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has Ollama, and its server running."""
    program(tmp_path / "bin", "ollama", "exit 1")
    return {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "OLLAMA_HOST": ollama.address}


def settings(studio: Studio) -> dict[str, Any]:
    file = studio.home / "config" / "avatarctl.toml"
    return tomllib.loads(file.read_text()) if file.exists() else {}


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}


# -- doctor


def test_doctor_says_which_presets_can_run(bare: Studio, with_ollama: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path / "bin", "nvidia-smi", "echo 'NVIDIA GeForce RTX 3060, 12288'")
    found = bare.ok("doctor", "--json", **with_ollama).json
    checks = by_name(found["checks"])
    assert checks["gpu"]["found"] == "NVIDIA GeForce RTX 3060, 12.0 GB"
    assert MODEL in checks["ollama"]["found"]
    presets = by_name(found["presets"])
    assert list(presets) == ["lite", "cpu", "studio"]
    assert presets["lite"]["state"] == "ready" and presets["lite"]["gaps"] == []
    studio = presets["studio"]
    assert "ollama pull qwen3:8b" in studio["commands"]
    assert not [g for g in studio["gaps"] if "wants a GPU" in g["what"]]
    pulls = [c for c in studio["commands"] if c.startswith("avatarctl models pull ")]
    assert len(pulls) == 1
    assert studio["bytes"] >= sum(m.size for m in models.resolve("whisper-large-v3-turbo"))
    assert found["best"] == {"preset": "lite", "settings": {"answer": {"engine": "ollama", "model": MODEL}}}
    shown = bare.ok("doctor", **with_ollama).out
    assert "avatarctl doctor --apply" in shown and "    ollama pull qwen3:8b" in shown


def test_doctor_applies_what_is_best_and_keeps_the_rest(bare: Studio, with_ollama: dict[str, str]) -> None:
    file = bare.home / "config" / "avatarctl.toml"
    file.parent.mkdir(parents=True)
    file.write_text("# mine\n\n[animate]\nsize = 256 # small\n")
    applied = bare.ok("doctor", "--apply", "--json", **with_ollama).json["applied"]
    assert applied == {"file": str(file), "changed": True}
    text = file.read_text()
    assert text.startswith("# mine\n") and "size = 256 # small" in text
    assert settings(bare) == {
        "preset": "lite",
        "animate": {"size": 256},
        "answer": {"engine": "ollama", "model": MODEL},
    }
    again = bare.ok("doctor", "--apply", "--json", **with_ollama).json["applied"]
    assert again["changed"] is False and file.read_text() == text
    assert "your settings say so" in bare.ok("doctor", **with_ollama).out


def test_what_goes_before_the_users_file_is_said(bare: Studio, with_ollama: dict[str, str]) -> None:
    (bare.work / "avatarctl.toml").write_text('preset = "cpu"\n')
    assert "preset = 'cpu', which goes before it" in bare.ok("doctor", "--apply", **with_ollama).err
    (bare.work / "avatarctl.toml").write_text('[answer]\nengine = "extractive"\n')
    assert "another engine for answer" in bare.ok("doctor", **with_ollama).err


def test_a_file_that_cannot_be_changed_is_left_alone(bare: Studio) -> None:
    file = bare.home / "config" / "avatarctl.toml"
    file.parent.mkdir(parents=True)
    file.write_text('"preset" = "demo"\n')
    refused(bare.run("doctor", "--apply"), 3, 'preset = "lite"')
    assert file.read_text() == '"preset" = "demo"\n'


def test_doctor_times_what_is_ready(studio: Studio) -> None:
    assert by_name(studio.ok("doctor", "--json").json["presets"])["lite"]["seconds_per_minute"] is None
    # The user's own preset hides the shipped one: small, so that this test is quick.
    own = studio.home / "config" / "presets"
    own.mkdir()
    (own / "lite.toml").write_text(
        '[answer]\nengine = "extractive"\n[speak]\nengine = "espeak"\n'
        '[rig]\ndetailed = "off"\n[animate]\nengine = "puppet"\nsize = 128\n[upscale]\nengine = "lanczos"\nscale = 1\n'
        "[wants]\nmemory_gb = 0.1\n"
    )
    timed = studio.ok("doctor", "--bench", "--json")
    lite = by_name(timed.json["presets"])["lite"]
    assert set(lite["stages"]) == {"answer", "speak", "animate", "finish", "check"}
    assert lite["seconds_per_minute"] == pytest.approx(sum(lite["stages"].values()))
    assert "cpu is" in timed.err and "not measured" in timed.err
    assert studio.delivered() == []


def test_nobody_to_be_timed(bare: Studio) -> None:
    refused(bare.run("doctor", "--bench"), 2, "nobody is enrolled")


# -- the offer


def test_the_offer_is_made_once_and_taken(studio: Studio, with_ollama: dict[str, str]) -> None:
    shown = on_terminal(studio, "render", "Да.", "--dry-run", typed="y\n", **with_ollama)
    assert shown.code == 0 and b"can do better than the preset lite" in shown.written, shown.written
    assert settings(studio)["answer"] == {"engine": "ollama", "model": MODEL}
    assert settings(studio)["animate"] == {"size": 256}
    again = on_terminal(studio, "render", "Да.", "--dry-run", **with_ollama)
    assert again.code == 0 and b"can do better" not in again.written


def test_whoever_declines_is_never_asked_again(studio: Studio, with_ollama: dict[str, str]) -> None:
    before = settings(studio)
    shown = on_terminal(studio, "render", "Да.", "--dry-run", typed="\n", **with_ollama)
    assert b"can do better" in shown.written and b"avatarctl doctor --apply" in shown.written
    assert settings(studio) == before
    again = on_terminal(studio, "render", "Да.", "--dry-run", typed="y\n", **with_ollama)
    assert b"can do better" not in again.written
    assert settings(studio) == before


def test_nobody_is_asked_off_a_terminal_or_after_a_choice(studio: Studio, with_ollama: dict[str, str]) -> None:
    off = studio.ok("render", "Да.", "--dry-run", stdin="y\n", **with_ollama)
    assert "can do better" not in off.err
    for arguments in (["--preset", "lite"], ["--quiet"], ["--json"]):
        shown = on_terminal(studio, "render", "Да.", "--dry-run", *arguments, **with_ollama)
        assert b"can do better" not in shown.written
    chosen = on_terminal(studio, "render", "Да.", "--dry-run", AVATARCTL_PRESET="lite", **with_ollama)
    assert b"can do better" not in chosen.written
    assert not (studio.home / "offer.json").exists()


def test_whoever_lacks_only_a_model_is_told_once(studio: Studio, with_ollama: dict[str, str], ollama: Any) -> None:
    ollama.documents["/api/tags"] = (200, {"models": []})
    told = b"large enough for the preset cpu: avatarctl doctor says what it lacks"
    assert told in on_terminal(studio, "render", "Да.", "--dry-run", **with_ollama).written
    marker = studio.home / "offer.json"
    assert '"told"' in marker.read_text()
    # A day later the model is there, and so it is offered.
    ollama.documents["/api/tags"] = (200, TAGS)
    assert b"can do better" not in on_terminal(studio, "render", "Да.", "--dry-run", **with_ollama).written
    marker.write_text('{"answer": "told", "when": 0}')
    assert b"can do better" in on_terminal(studio, "render", "Да.", "--dry-run", typed="n\n", **with_ollama).written


def test_a_machine_that_can_do_no_better_is_not_asked(studio: Studio, with_ollama: dict[str, str]) -> None:
    elsewhere = {**with_ollama, "OLLAMA_HOST": "http://192.0.2.1"}  # and AVATARCTL_OFFLINE forbids it
    shown = on_terminal(studio, "render", "Да.", "--dry-run", **elsewhere)
    assert b"can do better" not in shown.written and b"large enough" not in shown.written
    assert '"nothing"' in (studio.home / "offer.json").read_text()


# -- models


def test_a_licence_is_asked_for_on_a_terminal(bare: Studio, tmp_path: Path) -> None:
    own = {"AVATARCTL_HOME": str(tmp_path / "own")}
    refused(bare.run("models", "pull", "xtts-v2", **own), 4, "CPML", "commercially", "--accept-licence CPML")
    declined = on_terminal(bare, "models", "pull", "xtts-v2", typed="n\n", **own)
    assert declined.code == 4 and b"has to be accepted" in declined.written
    accepted = on_terminal(bare, "models", "pull", "xtts-v2", typed="y\n", **own)
    assert b"Do you accept it?" in accepted.written
    assert accepted.code == 4 and b"the network is not allowed" in accepted.written
    # It is remembered, and said once.
    refused(bare.run("models", "pull", "xtts-v2", **own), 4, "the network is not allowed")


def test_a_licence_is_accepted_off_a_terminal(bare: Studio, tmp_path: Path) -> None:
    own = {"AVATARCTL_HOME": str(tmp_path / "own")}
    refused(bare.run("models", "pull", "xtts-v2", "--accept-licence", "CPLM", **own), 2, "CPML")
    refused(bare.run("models", "pull", "xtts-v2", "--accept-licence", "CPML", **own), 4, "network is not allowed")


def test_models_from_a_mirror_listed_and_taken_away(bare: Studio, tmp_path: Path) -> None:
    own = {"AVATARCTL_HOME": str(tmp_path / "own"), "AVATARCTL_MODELS_MIRRORS": str(bare.models)}
    pulled = bare.ok("models", "pull", "lite", **own)
    assert [Path(line).parent.name for line in pulled.out.splitlines()] == models.groups["face"]
    assert "fetching  face-mesh  2.5 MB" in pulled.err
    listed = bare.ok("models", "list", "--json", **own).json
    face = [m for m in listed["models"] if m["name"] in models.groups["face"]]
    assert {m["state"] for m in face} == {"ok"}
    assert listed["on_disk"] == sum(m.size for m in models.resolve("face"))
    assert by_name(listed["models"])["xtts-v2-weights"]["verified"] is False
    table = bare.ok("models", "list", **own).out.splitlines()
    assert len([line for line in table if line.startswith("xtts-v2")]) == 1
    assert len(bare.ok("models", "list", "--files", **own).out.splitlines()) == len(models.CATALOG) + 1
    bare.ok("models", "verify", "face", **own)
    gone = bare.ok("models", "rm", "face", "--json", **own).json
    assert list(gone["removed"]) == models.groups["face"]
    refused(bare.run("models", "rm", "fase", **own), 2, "face")
    assert "none of them is here" in bare.ok("models", "rm", "face", **own).err


def test_a_pull_on_a_terminal_shows_bars(bare: Studio, tmp_path: Path) -> None:
    own = {"AVATARCTL_HOME": str(tmp_path / "own"), "AVATARCTL_MODELS_MIRRORS": str(bare.models)}
    shown = on_terminal(bare, "models", "pull", "face", **own)
    assert shown.code == 0 and shown.cursor_is_shown
    assert b"face-mesh" in shown.written


def test_trust_is_for_one_model_in_doubt(bare: Studio, tmp_path: Path) -> None:
    own = {"AVATARCTL_HOME": str(tmp_path / "own")}
    refused(bare.run("models", "pull", "face", "--trust", "a" * 64, **own), 2, "one model")
    refused(bare.run("models", "pull", "face-mesh", "--trust", "a" * 64, **own), 2, "not in doubt")
    refused(bare.run("models", "pull", "whisper-tiny-model", "--trust", "abc", **own), 2, "SHA-256")
