"""Other companies' machines through the command line: allowed by the user alone, counted, and no key kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from avatarctl import config
from avatarctl.errors import BadConfig
from avatarctl.media import audio
from tests.media_support import tone
from tests.model_servers import ModelServer, serving, sse
from tests.test_cloud import WHOLE, listened
from tests.tools import Studio, refused

SECRET = "hunter2-abcdef"
QUESTION = "Кто первым полетел в космос?"
GEMINI = ("--set", "answer.engine=gemini")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with serving() as made:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"http://{made.address}")
        monkeypatch.setenv("GEMINI_API_KEY", SECRET)
        monkeypatch.setenv("DEEPGRAM_API_BASE", f"http://{made.address}")
        monkeypatch.setenv("DEEPGRAM_API_KEY", SECRET)
        made.answer = sse(WHOLE)
        yield made


def test_nothing_is_sent_before_it_is_allowed(server: ModelServer, bare: Studio) -> None:
    words = ("answer/gemini sends the question", "to Google", "AVATARCTL_CLOUD_ALLOW=gemini")
    refused(bare.run("ask", QUESTION, *GEMINI), 4, *words)
    refused(bare.run("ask", QUESTION, *GEMINI, AVATARCTL_CLOUD_ALLOW="deepgram,heygen"), 4, *words)
    # A folder that somebody else wrote allows nothing, and neither does a preset.
    (bare.work / "avatarctl.toml").write_text('[cloud]\nallow = true\n[answer]\nengine = "gemini"\n')
    refused(bare.run("ask", QUESTION), 3, "a folder cannot allow")
    (bare.work / "avatarctl.toml").unlink()
    (bare.home / "config" / "presets").mkdir(parents=True)
    (bare.home / "config" / "presets" / "far.toml").write_text('extends = "lite"\n[cloud]\nallow = true\n')
    refused(bare.run("ask", QUESTION, "--preset", "far"), 3, "unknown key 'cloud'")
    assert server.posts == []
    (bare.home / "config" / "avatarctl.toml").write_text('[cloud]\nallow = ["gemini"]\n')
    result = bare.ok("ask", QUESTION, *GEMINI)
    assert "Гагарин" in result.out and "the question goes to Google" in result.err
    refused(bare.run("ask", f"{QUESTION}!", *GEMINI, AVATARCTL_CLOUD_ALLOW="off"), 4, *words)
    # What is kept is sent nowhere, so nothing stands in its way.
    (bare.home / "config" / "avatarctl.toml").unlink()
    assert bare.ok("ask", QUESTION, *GEMINI, GEMINI_API_KEY="").out == result.out
    assert len(server.posts) == 1


def test_what_was_counted_is_told(server: ModelServer, bare: Studio) -> None:
    bare.ok("ask", QUESTION, *GEMINI, AVATARCTL_CLOUD_ALLOW="1")
    assert "answer/gemini was counted: 90 input tokens, 7 output tokens" in bare.ok("runs", "show", "last").out
    (step,) = [s for s in bare.ok("runs", "show", "last", "--json").json["steps"] if s["stage"] == "answer"]
    assert step["facts"]["used"] == {"input tokens": 90, "output tokens": 7}
    # Taken from the cache, it is not counted again.
    bare.ok("ask", QUESTION, *GEMINI)
    assert "counted" not in bare.ok("runs", "show", "last").out


def test_a_question_aloud(server: ModelServer, bare: Studio) -> None:
    server.answer = lambda reply: reply.whole(200, listened())
    audio.write_wav(bare.work / "question.wav", tone(2.0, 16_000), 16_000)
    asked = ("ask", "--audio", "question.wav", "--set", "transcribe.engine=deepgram")
    refused(bare.run(*asked), 4, "transcribe/deepgram sends the recording to Deepgram")
    result = bare.ok(*asked, AVATARCTL_CLOUD_ALLOW="deepgram")
    assert "2.0 s of sound go to Deepgram" in result.err and "heard: Who flew?" in result.err
    assert "transcribe/deepgram was counted: 2 seconds of sound" in bare.ok("runs", "show", "last").out


def test_the_key_is_kept_nowhere(server: ModelServer, bare: Studio) -> None:
    bare.ok("-v", "ask", QUESTION, *GEMINI, AVATARCTL_CLOUD_ALLOW="gemini")
    server.answer = lambda reply: reply.whole(500, {"error": {"message": f"the key {SECRET} is odd"}})
    result = bare.run("-v", "ask", f"{QUESTION}?", *GEMINI, AVATARCTL_CLOUD_ALLOW="gemini")
    assert result.code == 1 and SECRET not in result.out + result.err and "***" in result.err
    kept = [p for folder in (bare.home, bare.work) for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    assert kept and [p.name for p in kept if SECRET.encode() in p.read_bytes()] == []


def test_other_machines_are_refused_offline(bare: Studio) -> None:
    result = bare.run("ask", QUESTION, *GEMINI, AVATARCTL_CLOUD_ALLOW="1", GEMINI_API_KEY=SECRET)
    refused(result, 4, "AVATARCTL_OFFLINE")


def test_doctor_says_what_a_cloud_wants(bare: Studio) -> None:
    (bare.home / "config" / "presets").mkdir(parents=True)
    preset = 'extends = "lite"\n[wants]\nmemory_gb = 1\n[answer]\nengine = "gemini"\n'
    (bare.home / "config" / "presets" / "far.toml").write_text(preset)
    said = bare.run("doctor", "--json", GEMINI_API_KEY="").out
    assert "answer/gemini sends" in said and "Google wants a key" in said and "export GEMINI_API_KEY=" in said
    said = bare.run("doctor", "--json", GEMINI_API_KEY=SECRET, AVATARCTL_CLOUD_ALLOW="gemini").out
    assert "answer/gemini sends" not in said and "Google wants a key" not in said and SECRET not in said
    assert "may send something away: gemini" in said


def test_no_preset_of_ours_chooses_a_cloud() -> None:
    from avatarctl import presets
    from avatarctl.engines import registry

    clouds = {spec.name for spec in registry.specs() if spec.cloud is not None}
    assert {"deepgram", "gemini"} <= clouds
    for name in presets.available():
        assert not clouds & {table.get("engine") for table in presets.read(name).values() if isinstance(table, dict)}


@pytest.mark.parametrize(
    "text", ['[cloud]\nallow = "gemini"', "cloud = 1", "[cloud]\nalow = true", "[cloud]\nallow=[1]"]
)
def test_an_odd_table_allows_nothing(isolated: Path, text: str) -> None:
    file = config.paths().user_file
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(BadConfig):
        config.cloud_allows("gemini")
    assert config.cloud_allows("gemini", {"AVATARCTL_HOME": str(isolated), "AVATARCTL_CLOUD_ALLOW": "yes"})
