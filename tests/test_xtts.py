"""XTTS without its packages: what it is given to read, how its tries are judged and joined, and where it stands."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines import registry
from avatarctl.engines.xtts import engine, reading
from avatarctl.engines.xtts.spec import XttsParams, XttsSpeakerParams
from avatarctl.errors import BadConfig
from avatarctl.media import spoken as sound
from avatarctl.media import wav
from avatarctl.media.level import LEVEL
from avatarctl.stages import validators
from avatarctl.text.compare import character_error_rate
from tests.tools import Studio, refused

RATE = 24_000


def texts(text: str, language: str = "ru") -> list[str]:
    return [piece.text for piece in reading.pieces(text, language)]


# -- what it reads


def test_a_text_is_written_as_it_is_said() -> None:
    assert texts("Сегодня 5 марта — хороший день.") == ["Сегодня пятое марта, хороший день"]
    assert texts("За́мок «на горе»… Или замо́к?") == ["Замок на горе", "Или замок?"]
    assert texts("Rock & roll.", "en") == ["Rock and roll"]
    assert texts("Да!") == ["Да!"]
    assert texts("…") == []


def test_no_piece_is_longer_than_its_language_allows() -> None:
    chance = random.Random(5)
    words = ["дом", "электричество", "и", "на", "1968", "г.", "«слово»,", "что", "10%", "кто-то", "конец."]
    for language, limit in reading.LIMITS.items():
        for _ in range(8):
            text = " ".join(chance.choice(words) for _ in range(chance.randrange(1, 120)))
            made = reading.pieces(text, language)
            assert all(0 < len(piece.text) <= limit for piece in made), (language, text)
            assert all(piece.pause >= 0 and not piece.text.endswith((".", ",", " ")) for piece in made)
    assert reading.LIMITS["ru"] == 182


def test_cutting_loses_no_word() -> None:
    sentence = "Он долго шёл по берегу, думая о том, что будет дальше, когда кончится лето, и начнутся дожди"
    text = f"{sentence}, а потом остановился, и {sentence.lower()}."
    made = texts(text)
    assert len(made) > 1
    assert "".join(made).replace(",", "").replace(" ", "") == text.rstrip(".").replace(",", "").replace(" ", "")


def test_languages_of_the_engine_are_those_that_it_can_read() -> None:
    assert registry.get("speak", "xtts").languages == tuple(sorted(reading.LIMITS))


# -- how tries are judged


@pytest.mark.parametrize(
    ("wanted", "heard", "rate"),
    [
        ("Привет, мир!", "привет мир", 0.0),
        ("ёлка", "елка", 0.0),
        ("йод", "иод", 1 / 3),
        ("Café", "cafe", 0.0),
        ("дом", "", 1.0),
        ("", "что-то", 1.0),
        ("!", "", 0.0),
        ("дом", "домдомдом", 2.0),
        ("kitten", "sitting", 3 / 6),
    ],
)
def test_character_error_rate(wanted: str, heard: str, rate: float) -> None:
    assert character_error_rate(wanted, heard) == pytest.approx(rate)


def test_a_reading_that_is_far_too_long_or_short_is_wrong() -> None:
    assert engine._misfit(5.0, 70) == 0
    assert engine._misfit(0.5, 3) == 0
    assert engine._misfit(0.7, 70) > 1
    assert engine._misfit(25.0, 70) > engine._misfit(15.0, 70) > 1
    assert engine._misfit(0.0, 70) == float("inf")


def test_each_piece_and_try_has_a_seed_of_its_own() -> None:
    seeds = [engine._seed(seed, piece, again) for seed in (0, 1) for piece in range(20) for again in range(5)]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**32 for seed in seeds)
    assert engine._seed(0, 0, 0) == seeds[0]


def test_what_was_tried_is_a_fact_of_the_step(tmp_path: Path) -> None:
    pieces = [
        {"text": "a" * 30, "seconds": 1.0, "tries": 1, "seed": 1, "character_error_rate": 0.0},
        {"text": "b" * 10, "seconds": 1.0, "tries": 3, "seed": 2, "character_error_rate": 0.4},
    ]
    engine._report(tmp_path / "report.json", "ru", pieces)
    wav.write_pcm(tmp_path / "speech.wav", np.ones(2400, np.int16), RATE)
    files = {"speech": tmp_path / "speech.wav", "report": tmp_path / "report.json"}
    facts = validators.speech(files, {}, None)
    assert facts == {"duration": 0.1, "sample_rate": RATE, "tries": 4, "character_error_rate": 0.1}
    engine._report(tmp_path / "report.json", "ru", [{**piece, "character_error_rate": None} for piece in pieces])
    assert "character_error_rate" not in validators.speech(files, {}, None)
    assert json.loads((tmp_path / "report.json").read_text())["pieces"][1]["seed"] == 2


# -- how they are joined


def spoken(level: float, seconds: float = 1.0) -> NDArray[np.float32]:
    """A tone that comes and goes, in silence."""
    t = np.arange(round(seconds * RATE)) / RATE
    voice = level * np.sin(2 * np.pi * 150 * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    silence = np.zeros(RATE // 2)
    return np.concatenate([silence, voice, silence]).astype(np.float32)


def rms(samples: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean((samples / 32767.0) ** 2)))


def test_pieces_are_trimmed_and_equally_loud() -> None:
    loud, quiet = sound.trimmed(spoken(0.9), RATE), sound.trimmed(spoken(0.01), RATE)
    for samples in (loud, quiet):
        assert 1.0 < len(samples) / RATE < 1.1
        assert rms(samples) == pytest.approx(LEVEL, rel=0.08)
        assert abs(int(samples[0])) < 50 and abs(int(samples[-1])) < 50
    assert rms(loud) == pytest.approx(rms(quiet), rel=0.01)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.zeros(0), np.full(RATE, np.nan)])
def test_nothing_is_made_of_silence_or_nonsense(samples: NDArray[np.float64]) -> None:
    assert len(sound.trimmed(samples.astype(np.float32), RATE)) == 0


def test_parts_lie_between_silences() -> None:
    part = np.full(RATE, 1000, np.int16)
    whole = sound.joined([(part, 0.25), (part, 0.5)], RATE, 0.1)
    assert len(whole) == round((0.1 + 1 + 0.25 + 1 + 0.5) * RATE)
    assert not whole[: RATE // 10].any() and whole[RATE // 10] == 1000 and not whole[-RATE // 2 :].any()


# -- where it stands


def test_the_model_is_in_the_key_by_its_content_alone() -> None:
    spec = registry.get("speak", "xtts")
    assert spec.worker and spec.uses_seed and not spec.deterministic and spec.needs == ("speaker",)
    params = XttsParams(model="/a/folder", recogniser="small")
    assert spec.requirements(params).weights == {"model": "/a/folder", "recogniser": "whisper-small"}
    assert params.keyed() == {**XttsParams().keyed()}
    assert registry.get("speaker", "xtts").requirements(XttsSpeakerParams()).weights == {"model": "xtts-v2"}
    on_gpu = spec.requirements(XttsParams(device="cuda"))
    assert on_gpu.lane == "gpu" and 2000 < on_gpu.gpu_memory_mb < 6000
    assert spec.requirements(XttsParams(device="cpu")).gpu_memory_mb == 0
    with pytest.raises(BadConfig, match="temperature"):
        XttsParams.parse({"temperature": 0}, "speak")


def test_a_voice_is_needed_to_clone_one(studio: Studio) -> None:
    result = studio.run("render", "Привет!", "--set", "speak.engine=xtts")
    refused(result, 2, "astronaut was enrolled without a voice", "enroll the photo again", "speak.engine=espeak")


def test_the_speaker_comes_once_and_timings_come_after(studio: Studio, portraits: dict[str, Path]) -> None:

    t = np.arange(4 * RATE) / RATE
    wav.write(studio.work / "голос.wav", (0.3 * np.sin(2 * np.pi * 140 * t)).astype(np.float32), RATE)
    studio.ok("enroll", str(portraits["astronaut"]), "голос.wav", "--name", "cloned")
    (studio.work / "model").mkdir()
    (studio.work / "model" / "model.pth").write_bytes(b"weights")
    options = ["--avatar", "cloned", "--set", "speak.engine=xtts", "--set", f"speak.model={studio.work}/model"]
    plan = studio.ok("render", "Привет! Как дела?", *options, "--dry-run", "--json").json
    stages = [(step["stage"], step["engine"]) for step in plan["steps"]]
    assert stages.count(("speaker", "xtts")) == 1
    assert stages.count(("speak", "xtts")) == stages.count(("align", "dtw")) == 2
    # Nothing is installed here: one clear sentence, before any film.
    result = studio.run("render", "Привет!", *options)
    refused(result, 4, "xtts cannot start", "avatarctl engines install xtts")
    assert studio.delivered() == ["cloned-preview.png"]
