"""A spoken question, from the command line to the film; which recogniser hears it; weights that params choose."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from avatarctl import config, models, presets
from avatarctl.engines import readiness, registry
from avatarctl.errors import BadConfig, Unavailable
from avatarctl.models import fetch, weights
from avatarctl.runtime.engines import EnginePool
from tests import tiny_whisper
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged

QUESTION = "Who was the first woman in space?"
WHISPER = registry.get("transcribe", "faster-whisper")


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that hears `QUESTION`, whatever is said."""
    starts = tuple(0.1 + 0.3 * i for i in range(len(QUESTION.split())))
    return tiny_whisper.write(tmp_path_factory.mktemp("whisper") / "model", QUESTION, starts, 2.4)


@pytest.fixture(scope="session")
def spoken(enrolled: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody who asks something, by the command line's own voice."""
    from tests.test_transcribe import speak

    return speak("How many people were there?", tmp_path_factory.mktemp("aloud") / "question")


def by_whisper(model: Path) -> tuple[str, ...]:
    return ("--set", "transcribe.engine=faster-whisper", "--set", f"transcribe.model={model}")


# -- the command


def test_a_spoken_question_becomes_a_film(studio: Studio, whisper: Path, spoken: Path) -> None:
    asked = studio.ok("ask", "--audio", str(spoken), "--render", *by_whisper(whisper))
    assert f"heard: {QUESTION}" in asked.err
    assert "Tereshkova" in asked.err, "the answer is shown at once"
    film = studio.work / asked.out.strip()
    assert film.is_file() and film.name.startswith("who-was-the-first-woman")

    again = studio.ok("ask", "--audio", str(spoken), "--json", *by_whisper(whisper)).json
    assert (again["question"], "Tereshkova" in again["answer"]) == (QUESTION, True)
    last = studio.ok("runs", "show", "last", "--json").json
    assert {step["status"] for step in last["steps"]} == {"hit"}

    plan = studio.ok("ask", "--audio", str(spoken), "--dry-run", "--json", *by_whisper(whisper)).json
    assert (plan["steps"][0]["stage"], plan["steps"][0]["verdict"]) == ("transcribe", "hit")

    replayed = studio.ok("replay", "last", "--json").json
    assert "Tereshkova" in json.dumps(replayed, ensure_ascii=False)


def test_a_dry_run_does_not_know_what_was_said(studio: Studio, whisper: Path, spoken: Path) -> None:
    plan = studio.ok("ask", "--audio", str(spoken), "--dry-run", "--json", *by_whisper(whisper)).json
    verdicts = {step["stage"]: step["verdict"] for step in plan["steps"]}
    assert (verdicts["transcribe"], verdicts["answer"]) == ("run", "unknown")


def test_without_a_model_the_rough_one_hears_and_says_so(studio: Studio, spoken: Path) -> None:
    asked = studio.ok("ask", "--audio", str(spoken))
    assert "heard: how many people were there" in asked.err
    assert "PocketSphinx" in asked.err and "models pull whisper-small" in asked.err


@pytest.mark.parametrize("content", [b"", b"no sound at all\n" * 50, b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_a_hostile_recording_is_refused(bare: Studio, content: bytes) -> None:
    recording = bare.work / "question.wav"
    recording.write_bytes(content)
    refused(bare.run("ask", "--audio", str(recording)), 2)
    assert bare.delivered() == []


def test_a_recording_that_is_not_there_is_refused(bare: Studio) -> None:
    refused(bare.run("ask", "--audio", "nowhere.wav"), 2, "nowhere.wav")


def test_a_model_that_is_not_there_is_named_with_what_to_type(bare: Studio, spoken: Path) -> None:
    result = bare.run("ask", "--audio", str(spoken), "--set", "transcribe.engine=faster-whisper")
    refused(result, 4, "whisper-small", "avatarctl models pull whisper-small")


# -- which engine


class _Absent:
    """Makes packages invisible, as where they are not installed."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, name: str) -> object | None:
        return None if name in self.names else object()


def heard_by(*assignments: str) -> str:
    return presets.resolve("lite", assignments).engine_name("transcribe", {"audio"})


def test_what_is_here_decides_who_hears(whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert heard_by() == "pocketsphinx"
    assert heard_by("transcribe.language=en") == "pocketsphinx"
    assert heard_by("transcribe.language=ru") == "faster-whisper", "it is said what is missing"
    assert heard_by(f"transcribe.model={whisper}") == "faster-whisper"
    shutil.copytree(whisper, config.paths().models / "whisper-mine")
    assert heard_by("transcribe.model=mine") == "faster-whisper"
    monkeypatch.setattr("importlib.util.find_spec", _Absent("faster_whisper"))
    assert heard_by(f"transcribe.model={whisper}") == "pocketsphinx"
    monkeypatch.setattr("importlib.util.find_spec", _Absent("faster_whisper", "pocketsphinx"))
    assert heard_by() == "faster-whisper"


def test_a_missing_package_is_named_with_all_that_is_to_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", _Absent("faster_whisper"))
    pool = EnginePool(config.paths().models)
    with pytest.raises(Unavailable) as caught, pool.use(WHISPER, WHISPER.params()):
        raise AssertionError("there is no engine")
    assert "faster_whisper" in caught.value.why
    assert caught.value.hint == "pip install 'avatarctl[whisper]', then avatarctl models pull whisper-small"


def test_a_package_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    monkeypatch.delitem(sys.modules, "avatarctl.engines.sphinx.engine", raising=False)
    with pytest.raises(Unavailable) as caught:
        registry.create(registry.get("transcribe", "pocketsphinx"))
    assert "avatarctl[sphinx]" in caught.value.hint


def test_the_device_decides_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    def lane(**params: object) -> tuple[str, bool]:
        found = WHISPER.requirements(WHISPER.params.parse(params, "transcribe"))
        return found.lane, found.gpu_memory_mb > 0

    monkeypatch.setattr("shutil.which", lambda name: None)
    assert (lane(), lane(device="cuda")) == (("cpu", False), ("gpu", True))
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    assert (lane(), lane(device="cpu")) == (("gpu", True), ("cpu", False))


# -- weights


def digest(model: str) -> str:
    params = WHISPER.params.parse({"model": model}, "transcribe")
    return readiness.digests(WHISPER, params, config.paths().models)["model"]


def test_a_folder_is_known_by_what_it_holds(whisper: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whisper, copy)
    assert digest(str(copy)) == digest(str(whisper))
    (copy / ".cache").mkdir()
    (copy / ".cache" / "x").write_text("x")
    assert digest(str(copy)) == digest(str(whisper)), "what download tools leave behind is no part of it"
    (copy / "config.json").write_text("{}")
    changed = digest(str(copy))
    assert changed != digest(str(whisper))
    (copy / "config.json").rename(copy / "other.json")
    assert digest(str(copy)) not in (changed, digest(str(whisper)))


def test_a_folder_is_read_once(whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = digest(str(whisper))

    def fail(file: Path) -> str:
        raise AssertionError(f"{file} was read again")

    monkeypatch.setattr(fetch, "sha256_of", fail)
    assert digest(str(whisper)) == first
    kept = next((config.paths().models / weights.KEPT).iterdir())
    kept.write_text("{", encoding="utf-8")
    with pytest.raises(AssertionError):
        digest(str(whisper))


def test_a_model_of_the_catalog_is_known_without_its_files() -> None:
    folder = config.paths().models
    assert digest("small") == digest("small") != digest("tiny")
    assert weights.state(folder, "whisper-small") == "missing"
    for one in models.resolve("whisper-small"):
        file = folder / "whisper-small" / one.file
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            stream.truncate(one.size)
    assert weights.path(folder, "whisper-small") == folder / "whisper-small"
    (folder / "whisper-small" / "config.json").write_text("{}")
    with pytest.raises(Unavailable, match="damaged") as caught:
        weights.path(folder, "whisper-small")
    assert caught.value.hint == "avatarctl models pull whisper-small"


def test_a_name_that_nobody_knows_says_where_its_files_go() -> None:
    with pytest.raises(Unavailable) as caught:
        digest("mine")
    assert str(config.paths().models / "whisper-mine") in caught.value.hint
    with pytest.raises(Unavailable, match="there is no model in"):
        digest("./mine")


def test_every_whisper_of_the_catalog_is_whole() -> None:
    for name in (g for g in models.groups if g.startswith("whisper-")):
        files = {m.file for m in models.resolve(name)}
        assert {"model.bin", "config.json", "tokenizer.json"} < files
        assert files & {"vocabulary.txt", "vocabulary.json"}
        assert len({m.folder for m in models.resolve(name)}) == 1


def test_a_temperature_goes_up_in_steps() -> None:
    from avatarctl.engines.whisper.engine import _temperatures

    assert _temperatures(0.0) == [0.0]
    assert _temperatures(0.5) == pytest.approx([0.0, 0.2, 0.4, 0.5])
    assert _temperatures(1.0) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    with pytest.raises(BadConfig):
        WHISPER.params.parse({"temperature": 1.5}, "transcribe")
