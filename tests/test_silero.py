"""Silero without torch: what it is given to read, which files it may be, and the speed of speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatarctl.engines import registry
from avatarctl.engines.silero import reading, trusted
from avatarctl.engines.silero.spec import MODELS, SileroParams
from avatarctl.errors import BadConfig, Unavailable
from avatarctl.media import spoken
from avatarctl.models import catalog, fetch, records
from tests.tools import Studio, refused

SPEC = registry.get("speak", "silero")
RATE = 24_000


def texts(text: str) -> list[str]:
    return [piece.text for piece in reading.pieces(text, lambda word: "əlˈɑːmə")]


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("За\u0301мок и замо\u0301к.", ["З+амок и зам+ок."]),
        ("«Привет», — сказал он (тихо)", ["Привет , — сказал он тихо."]),
        ("2 + 2 = 4", ["Два плюс два равно четыре."]),
        ("Правда?!", ["Правда?!"]),
        ("да, но,", ["Да, но."]),
        ("...", []),
    ],
)
def test_a_text_in_its_letters(written: str, given: list[str]) -> None:
    assert texts(written) == given


def test_latin_words_are_said_in_russian_letters() -> None:
    assert all(not any("a" <= c <= "z" for c in text.lower()) for text in texts("Это Ollama и GPU."))


def test_no_piece_is_too_long() -> None:
    made = texts("Очень длинное предложение, " * 60)
    assert len(made) > 3 and max(map(len, made)) <= reading.LIMIT + 1


def test_models_have_no_paths() -> None:
    for model in MODELS:
        (name,) = SPEC.requirements(SileroParams(model=model)).weights.values()
        (entry,) = catalog.resolve(name)
        assert entry.file == f"{model}.pt" and entry.licence.accept
    with pytest.raises(BadConfig, match="not possible"):
        SileroParams.parse({"model": "/tmp/other.pt"}, "speak")


@pytest.mark.parametrize("case", ["changed", "not pinned", "another name", "not there"])
def test_only_bytes_that_are_known_are_opened(case: str, tmp_path: Path) -> None:
    entry = catalog.model("silero-v5-5-ru")
    file = fetch.file_of(tmp_path, entry)
    file.parent.mkdir()
    file.write_bytes(b"a package")
    # As the user may overrule a digest that others publish.
    records.trust(tmp_path, entry, fetch.sha256_of(file))
    assert trusted.read(file) == b"a package"
    if case == "changed":
        file.write_bytes(b"a Package")
    elif case == "not pinned":
        records.forget(tmp_path, [entry.name])
    elif case == "another name":
        file = file.rename(file.with_name("v3_ru.pt"))
    else:
        file.unlink()
    with pytest.raises(Unavailable):
        trusted.read(file)


def test_what_was_pinned_at_first_use_is_not_believed(tmp_path: Path) -> None:
    entry = catalog.model("silero-v4-ru")
    file = fetch.file_of(tmp_path, entry)
    file.parent.mkdir()
    file.write_bytes(b"whatever a server gave")
    records.pin(tmp_path, entry, fetch.sha256_of(file), 22)
    with pytest.raises(Unavailable, match="not opened"):
        trusted.read(file)


def test_it_says_what_to_install_and_what_to_accept(studio: Studio) -> None:
    refused(studio.run("render", "Да.", "--set", "speak.engine=silero"), 4, "engines install silero", "silero-v5-5-ru")
    refused(studio.run("models", "pull", "silero-v5-5-ru"), 4, "CC-BY-NC-SA-4.0")


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.0, 1.3, 2.0])
def test_another_speed_has_the_same_pitch(speed: float) -> None:
    times = np.arange(2 * RATE) / RATE
    tone = (8000 * np.sin(2 * np.pi * 200 * times)).astype(np.int16)
    made = spoken.stretched(tone, RATE, speed)
    assert len(made) == pytest.approx(len(tone) / speed, abs=1)
    spectrum = np.abs(np.fft.rfft(made.astype(np.float64))) ** 2
    frequencies = np.fft.rfftfreq(len(made), 1 / RATE)
    near = (frequencies > 190) & (frequencies < 210)
    assert spectrum[near].sum() > 0.99 * spectrum.sum()
    assert np.abs(made).max() == pytest.approx(8000, rel=0.05)


@pytest.mark.parametrize("length", [0, 1, 100])
def test_hardly_any_sound_can_be_stretched(length: int) -> None:
    assert len(spoken.stretched(np.ones(length, np.int16), RATE, 2.0)) == round(length / 2)
