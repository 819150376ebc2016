"""Sounds found in recordings: synthetic vowels, silences, rates, long files, broken files."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.align import heard as hearing
from avatarctl.engines.align.engine import SoundEngine
from avatarctl.engines.align.spec import SPECS, SoundParams
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.text.timings import Timings

FORMANTS = {
    "a": (750, 1250, 2500),
    "e": (480, 1850, 2500),
    "i": (280, 2250, 2900),
    "o": (570, 880, 2500),
    "u": (310, 700, 2300),
}


def vowel(name: str, seconds: float, rate: int, f0: float = 120.0) -> NDArray[np.float64]:
    """A buzz of falling harmonics through resonators in cascade (Fant 1960)."""
    time = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(len(time))
    for pitch in np.arange(f0, min(rate / 2, 4000), f0):
        resonances = [f**2 / np.hypot(f**2 - pitch**2, (50 + 0.04 * f) * pitch) for f in FORMANTS[name]]
        sound += np.prod(resonances) * f0 / pitch * np.sin(2 * np.pi * pitch * time + pitch)
    ramp = np.minimum(1, np.minimum(np.arange(len(time)), np.arange(len(time))[::-1]) / (0.01 * rate))
    made: NDArray[np.float64] = 0.3 * ramp * sound / np.abs(sound).max()
    return made


def hiss(seconds: float, rate: int) -> NDArray[np.float64]:
    noise = np.random.default_rng(1).normal(size=round(seconds * rate))
    return 0.05 * np.diff(np.diff(noise, prepend=0.0), prepend=0.0)


def silence(seconds: float, rate: int) -> NDArray[np.float64]:
    return np.zeros(round(seconds * rate))


def save(path: Path, sound: NDArray[np.float64], rate: int, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(sound.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path


def load(path: Path) -> tuple[NDArray[np.int16], int]:
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def align_file(path: Path, out: Path, **params: float) -> Timings:
    out.mkdir(exist_ok=True)
    SoundEngine().run(Job(inputs={"audio": path}, out=out, params=SoundParams(**params)))
    return Timings.read(out / "timings.json")


def heard(timings: Timings, moment: float) -> str:
    return next((p.ipa for p in timings.phonemes if p.start <= moment < p.end), "")


@pytest.mark.parametrize("rate", [11025, 16000, 22050, 48000])
@pytest.mark.parametrize("f0", [110.0, 200.0])
def test_vowels_hiss_and_silence(tmp_path: Path, rate: int, f0: float) -> None:
    parts = [silence(0.5, rate)]
    for name in "aiou":
        parts += [vowel(name, 0.3, rate, f0), silence(0.3, rate)]
    parts += [hiss(0.3, rate), silence(0.8, rate)]
    timings = align_file(save(tmp_path / "in.wav", np.concatenate(parts), rate), tmp_path / "out")
    assert [heard(timings, 0.65 + 0.6 * i) for i in range(5)] == ["a", "i", "o", "u", "s"]
    assert [heard(timings, 0.95 + 0.6 * i) for i in range(5)] == [""] * 5
    assert timings.source == "sound"
    assert abs(timings.phonemes[0].start - 0.5) < 0.03
    assert abs(timings.phonemes[-1].end - 3.2) < 0.03


def test_loudness_becomes_stress(tmp_path: Path) -> None:
    rate = 16000
    loud, quiet = vowel("a", 0.3, rate), 0.2 * vowel("a", 0.3, rate)
    sound = np.concatenate([loud, silence(0.3, rate), quiet, silence(0.3, rate), loud])
    timings = align_file(save(tmp_path / "in.wav", sound, rate), tmp_path / "out")
    assert [p.stress for p in timings.phonemes if p.ipa == "a"] == [2, 0, 2]


def test_silence_is_added_at_the_ends_and_the_sound_kept(tmp_path: Path) -> None:
    rate = 16000
    sound = np.concatenate([vowel("a", 0.5, rate), vowel("o", 0.5, rate)])
    source = save(tmp_path / "in.wav", sound, rate)
    timings = align_file(source, tmp_path / "out", lead=0.2, pause=0.5)
    given, made = load(source)[0], load(tmp_path / "out" / "speech.wav")[0]
    lead = round(timings.phonemes[0].start * rate)
    assert abs(lead / rate - 0.2) < 0.001
    assert not made[: lead - 400].any()
    start = np.flatnonzero(made)[0] - np.flatnonzero(given)[0]
    assert np.array_equal(made[start : start + len(given)], given)
    assert len(made) / rate == pytest.approx(timings.duration)
    assert timings.duration - timings.phonemes[-1].end == pytest.approx(0.5, abs=0.001)


def test_silence_that_is_there_already_is_not_doubled(tmp_path: Path) -> None:
    rate = 16000
    sound = np.concatenate([silence(0.6, rate), vowel("a", 0.5, rate), silence(1.0, rate)])
    source = save(tmp_path / "in.wav", sound, rate)
    align_file(source, tmp_path / "out")
    assert (tmp_path / "out" / "speech.wav").read_bytes() == source.read_bytes()


def noisy_speech(seconds: float, rate: int) -> NDArray[np.float64]:
    random = np.random.default_rng(5)
    parts: list[NDArray[np.float64]] = []
    while sum(map(len, parts)) < seconds * rate:
        parts += [vowel(str(random.choice(list("aeiou"))), 0.12, rate), hiss(0.08, rate)]
        if random.random() < 0.2:
            parts.append(silence(0.3, rate))
    whole = np.concatenate(parts)[: round(seconds * rate)]
    return whole + random.normal(scale=0.001, size=len(whole))


@pytest.mark.parametrize("rate", [11025, 16000, 44100])
def test_windows_leave_no_trace(tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(tmp_path / "in.wav", noisy_speech(25, rate), rate)
    found = align_file(source, tmp_path / "a")
    monkeypatch.setattr(hearing, "_WINDOW", 1.7)
    again = align_file(source, tmp_path / "b")
    assert len(found.phonemes) > 100
    assert found.to_json() == again.to_json()


def test_timings_are_in_order_and_deterministic(tmp_path: Path) -> None:
    source = save(tmp_path / "in.wav", noisy_speech(12, 16000), 16000)
    first, second = (align_file(source, tmp_path / name) for name in "ab")
    assert first == second
    last = 0.0
    for phoneme in first.phonemes:
        assert last <= phoneme.start < phoneme.end <= first.duration
        last = phoneme.end
    assert (tmp_path / "a" / "speech.wav").read_bytes() == (tmp_path / "b" / "speech.wav").read_bytes()


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.02, 3.0])
def test_silence_is_refused(tmp_path: Path, seconds: float) -> None:
    source = save(tmp_path / "in.wav", silence(seconds, 16000), 16000)
    with pytest.raises(BadInput, match="nothing can be heard"):
        align_file(source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_other_forms_are_refused(tmp_path: Path) -> None:
    stereo = save(tmp_path / "stereo.wav", vowel("a", 1, 16000), 16000, channels=2)
    with pytest.raises(BadInput, match="wrong form"):
        align_file(stereo, tmp_path / "out")
    (tmp_path / "no.wav").write_bytes(b"not a wav at all")
    with pytest.raises(BadInput, match="not a WAV"):
        align_file(tmp_path / "no.wav", tmp_path / "out")


def test_it_can_be_stopped(tmp_path: Path) -> None:
    source = save(tmp_path / "in.wav", noisy_speech(2, 16000), 16000)
    with pytest.raises(Cancelled):
        SoundEngine().run(Job(inputs={"audio": source}, out=tmp_path, params=SoundParams(), cancelled=lambda: True))


def test_the_spec_is_found() -> None:
    spec = next(s for s in SPECS if s.name == "sound")
    assert (spec.stage, spec.needs) == ("align", ())
    assert spec.gives_timings


def test_faint_voice_between_vowels_is_a_consonant(tmp_path: Path) -> None:
    rate = 16000
    faint = 0.2 * vowel("e", 0.08, rate)
    sound = np.concatenate(
        [silence(0.4, rate), vowel("a", 0.2, rate), faint, vowel("a", 0.2, rate), silence(0.7, rate)]
    )
    timings = align_file(save(tmp_path / "in.wav", sound, rate), tmp_path / "out")
    assert [p.ipa for p in timings.phonemes] == ["a", "n", "a"]
    assert timings.phonemes[1].stress == 0
