"""What a setting is worth once another engine is chosen: what it meant to the former one is not the new one's."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarctl import config, presets
from avatarctl.stages.params import Params
from tests.tools import Studio

pytestmark = pytest.mark.usefixtures("isolated")


def params(stage: str, preset: str, *assignments: str) -> Params:
    return presets.resolve(preset, assignments).choice(stage, presets.every_role(stage)).params


@pytest.mark.parametrize(
    ("stage", "engine", "setting", "begins"),
    [
        ("speak", "heygen", "voice", ""),
        ("answer", "openai", "model", ""),
        ("answer", "gemini", "model", "gemini-3.5-flash"),
        ("transcribe", "deepgram", "model", "nova-3"),
        ("upscale", "realesrgan-torch", "model", "realesrgan-x4plus"),
    ],
)
def test_another_engine_begins_with_its_own(stage: str, engine: str, setting: str, begins: str) -> None:
    before, chosen = presets.resolve("cpu").tables[stage], f"{stage}.engine={engine}"
    assert getattr(params(stage, "cpu", f"{stage}.{setting}=photo"), setting) == "photo" != begins
    assert getattr(params(stage, "cpu", chosen), setting) == begins
    assert before.get(setting, "") != begins or stage == "upscale"
    assert getattr(params(stage, "cpu", chosen, f"{stage}.{setting}=x2"), setting) == "x2"


def test_what_means_the_same_to_both_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCTL_SPEAK_RATE", "1.2")
    monkeypatch.setenv("AVATARCTL_ANSWER_TEMPERATURE", "0.9")
    monkeypatch.setenv("AVATARCTL_UPSCALE_GRAIN", "0.1")
    assert params("speak", "cpu", "speak.engine=heygen").rate == 1.2  # type: ignore[attr-defined]
    assert params("answer", "cpu", "answer.engine=openai").temperature == 0.9  # type: ignore[attr-defined]
    kept = params("upscale", "studio", "upscale.engine=realesrgan")
    assert (kept.scale, kept.grain) == (2, 0.1)  # type: ignore[attr-defined]
    assert params("animate", "cpu", "animate.engine=sadtalker").size == 1024  # type: ignore[attr-defined]


def test_what_was_never_meant_for_the_former_engine_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCTL_SPEAK_VOICE", "the-id")
    # lite's espeak has no voices.
    assert params("speak", "lite", "speak.engine=heygen").voice == "the-id"  # type: ignore[attr-defined]
    monkeypatch.delenv("AVATARCTL_SPEAK_VOICE")
    monkeypatch.setenv("AVATARCTL_TRANSCRIBE_MODEL", "base")
    # This is the model of the engine that hears where none is named.
    heard = params("transcribe", "lite", "transcribe.engine=faster-whisper")
    assert heard.model == "base"  # type: ignore[attr-defined]
    assert params("transcribe", "lite", "transcribe.engine=deepgram").model == "nova-3"  # type: ignore[attr-defined]


def test_a_replay_changes_engines_the_same_way() -> None:
    recorded = presets.resolve("cpu").as_dict()
    changed = presets.change(recorded, None, ["speak.engine=heygen"])
    assert changed.choice("speak").params.as_dict()["voice"] == ""


def test_what_is_left_behind_is_said(bare: Studio) -> None:
    chosen = ("render", "Да.", "--avatar", "nobody", "--set", "speak.engine=silero")
    assert "another engine" not in bare.run(*chosen, "--preset", "cpu").err
    (bare.home / "config").mkdir(parents=True)
    (bare.home / "config" / config.PROJECT_FILE).write_text('[speak]\nengine = "piper"\nvoice = "denis"\nrate = 1.1\n')
    said = bare.run(*chosen).err
    assert "speak.voice was set for another engine, and silero does not take it over" in said
    assert "speak.rate" not in said


def test_presets_lay_over_each_other_the_same_way(isolated: Path) -> None:
    folder = config.paths().user_presets
    folder.mkdir(parents=True)
    (folder / "far.toml").write_text('extends = "cpu"\n[speak]\nengine = "heygen"\n')
    assert params("speak", "far").voice == ""  # type: ignore[attr-defined]
