"""The voiceprint: what it measures of voices whose truth is known, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.media import pitch, wav
from avatarctl.stages import validators
from avatarctl.stages.params import Params
from tests.media_support import STEREO, call_ffmpeg, playlists, read_wav, tone, voice


def enroll(sample: Path, out: Path, **job: object) -> dict[str, Any]:
    out.mkdir()
    engine = registry.create(registry.get("voiceprint", "voiceprint"))
    engine.load({})
    engine.run(Job(inputs={"sample": sample}, out=out, params=Params(), **job))  # type: ignore[arg-type]
    engine.close()
    outputs = {"voice": out / "voice.wav", "report": out / "report.json"}
    validators.voiceprint(outputs, {"sample": sample}, Params())
    report: dict[str, Any] = json.loads(outputs["report"].read_text(encoding="utf-8"))
    assert report["schema"] == "voiceprint/1"
    return report


def enrolled(tmp_path: Path, samples: NDArray[np.float32], rate: int) -> dict[str, Any]:
    wav.write(tmp_path / "sample.wav", samples, rate)
    return enroll(tmp_path / "sample.wav", tmp_path / "out")


def codes(report: dict[str, Any]) -> list[str]:
    assert all(warning["message"] and warning["advice"] for warning in report["warnings"])
    return [warning["code"] for warning in report["warnings"]]


@pytest.mark.parametrize(("f0", "rate"), [(85, 16_000), (120, 22_050), (180, 44_100), (240, 48_000), (330, 24_000)])
def test_a_clean_voice(tmp_path: Path, f0: int, rate: int) -> None:
    report = enrolled(tmp_path, voice(7.0, rate, f0, pause=1.0), rate)
    assert report["f0"] == pytest.approx(f0, rel=0.01)
    assert report["f0_low"] == pytest.approx(f0, rel=0.02)
    assert report["f0_high"] == pytest.approx(f0, rel=0.02)
    assert report["voiced"] > 0.8
    assert report["original_duration"] == pytest.approx(9.0)
    assert report["duration"] == pytest.approx(7.2, abs=0.1)
    assert report["sample_rate"] == rate
    assert codes(report) == []
    made, made_rate = read_wav(tmp_path / "out" / "voice.wav")
    assert made_rate == rate
    assert made.size / rate == pytest.approx(report["duration"], abs=1e-3)
    assert np.abs(made).max() <= 10 ** (-1 / 20) + 1e-3


@pytest.mark.parametrize("level", [0.02, 0.1, 0.9])
def test_loudness_is_the_same_for_all(tmp_path: Path, level: float) -> None:
    samples = np.concatenate([np.zeros(16_000, np.float32), tone(7.0, 16_000, 200.0, level)])
    enrolled(tmp_path, samples, 16_000)
    made, _ = read_wav(tmp_path / "out" / "voice.wav")
    loudness = 20 * np.log10(np.sqrt(np.mean(made[3200:-3200].astype(np.float64) ** 2)))
    assert loudness == pytest.approx(-20.0, abs=0.3)


def test_a_moving_pitch(tmp_path: Path) -> None:
    time = np.arange(8 * 24_000) / 24_000
    f0 = 150 * 2 ** (0.25 * np.sin(2 * np.pi * 0.5 * time))
    phase = 2 * np.pi * np.cumsum(f0) / 24_000
    sound = sum((np.sin(k * phase) / k for k in range(1, 20)), np.zeros_like(time)) * 0.2
    report = enrolled(tmp_path, sound.astype(np.float32), 24_000)
    assert report["f0"] == pytest.approx(150, rel=0.02)
    assert report["f0_low"] == pytest.approx(float(np.percentile(f0, 10)), rel=0.03)
    assert report["f0_high"] == pytest.approx(float(np.percentile(f0, 90)), rel=0.03)


def test_hum_and_silence_in_the_pauses_have_no_part_in_the_pitch(tmp_path: Path) -> None:
    speech = voice(6.0, 16_000, 200, pause=8.0)
    hum = tone(22.0, 16_000, 100.0, 0.004)
    assert enrolled(tmp_path, speech + hum, 16_000)["f0"] == pytest.approx(200, rel=0.01)
    report = enroll(tmp_path / "sample.wav", tmp_path / "again")
    assert report["f0_low"] == pytest.approx(200, rel=0.03)


def test_a_little_speech_in_much_silence_is_found(tmp_path: Path) -> None:
    report = enrolled(tmp_path, voice(1.3, 16_000, 110, noise=0.001, pause=15.0), 16_000)
    assert report["duration"] == pytest.approx(1.5, abs=0.15)
    assert report["f0"] == pytest.approx(110, rel=0.01)
    assert codes(report) == ["short"]


def test_noise_is_measured(tmp_path: Path) -> None:
    loud, quiet = voice(7.0, 16_000, 120, noise=0.03, pause=1.0), voice(7.0, 16_000, 120, noise=0.003, pause=1.0)
    noisy = enrolled(tmp_path, loud, 16_000)
    wav.write(tmp_path / "b.wav", quiet, 16_000)
    clean = enroll(tmp_path / "b.wav", tmp_path / "b")
    assert codes(noisy) == ["noisy"]
    assert codes(clean) == []
    assert clean["snr"] - noisy["snr"] == pytest.approx(20, abs=3)


def test_clipping_is_counted(tmp_path: Path) -> None:
    report = enrolled(tmp_path, np.clip(voice(7.0, 16_000, 120) * 6, -1, 1).astype(np.float32), 16_000)
    assert codes(report) == ["clipped"]
    assert report["peak"] == pytest.approx(1.0, abs=1e-3)
    assert 0.01 < report["clipped"] < 0.6


def test_a_telephone_is_told_apart(tmp_path: Path) -> None:
    assert codes(enrolled(tmp_path, voice(7.0, 8000, 120, pause=0.5), 8000)) == ["low_rate"]


def test_noise_is_no_voice(tmp_path: Path) -> None:
    noise = (0.1 * np.random.default_rng(3).standard_normal(16_000 * 7)).astype(np.float32)
    report = enrolled(tmp_path, noise, 16_000)
    assert report["f0"] is None
    assert "no_voice" in codes(report)


def test_a_compressed_stereo_sample_gives_the_same_person(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", voice(7.0, 44_100, 140, noise=0.001, pause=0.5), 44_100)
    call_ffmpeg("-i", tmp_path / "a.wav", *STEREO, "-b:a", "96k", tmp_path / "голос.mp3")
    plain, pressed = enroll(tmp_path / "a.wav", tmp_path / "x"), enroll(tmp_path / "голос.mp3", tmp_path / "y")
    assert pressed["f0"] == pytest.approx(plain["f0"], rel=0.01)
    assert pressed["level"] == pytest.approx(plain["level"], abs=0.5)


def test_equal_samples_are_equal_bytes(tmp_path: Path) -> None:
    enrolled(tmp_path, voice(3.0, 22_050, 120, noise=0.01, pause=0.3), 22_050)
    enroll((tmp_path / "sample.wav").rename(tmp_path / "кот.ogg"), tmp_path / "again")
    for name in ("voice.wav", "report.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_too_little_speech_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too short"):
        enrolled(tmp_path, voice(0.6, 16_000, 120, pause=5.0), 16_000)


def test_silence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="silent"):
        enrolled(tmp_path, np.zeros(160_000, np.float32), 16_000)


def test_eleven_minutes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too long"):
        enrolled(tmp_path, np.tile(tone(1.0, 8000), 660), 8000)


@pytest.mark.parametrize("kind", [*sorted(playlists(Path("/secret"))), "zero bytes"])
def test_what_is_no_sound_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    wav.write(tmp_path / "secret.wav", voice(3.0, 16_000, 120), 16_000)
    hostile = tmp_path / "voice.wav"
    hostile.write_text((playlists(tmp_path / "secret.wav") | {"zero bytes": ""})[kind])
    with pytest.raises(BadInput):
        enroll(hostile, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_cancelling(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", voice(3.0, 16_000, 120), 16_000)
    with pytest.raises(Cancelled):
        enroll(tmp_path / "a.wav", tmp_path / "out", cancelled=lambda: True)


@settings(max_examples=25, deadline=None)
@given(
    f0=st.floats(60, 400),
    rate=st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000]),
    first=st.sampled_from([1, 2]),
    noise=st.sampled_from([0.0, 0.01]),
)
def test_pitch_is_within_one_per_cent(f0: float, rate: int, first: int, noise: float) -> None:
    found = pitch.track(voice(1.5, rate, f0, noise=noise, first_harmonic=first), rate)
    assert float(np.median(found[found > 0])) == pytest.approx(f0, rel=0.01)


def test_pitch_is_in_step_with_time_in_long_recordings() -> None:
    """At 11,025 Hz ten milliseconds are no whole number of samples."""
    samples = np.zeros(11_025 * 300, np.float32)
    samples[11_025 * 298 : 11_025 * 299] = tone(1.0, 11_025, 150.0)
    voiced = np.flatnonzero(pitch.track(samples, 11_025)) * pitch.HOP_SECONDS
    assert voiced[0] == pytest.approx(298, abs=0.06)
    assert voiced[-1] == pytest.approx(299, abs=0.06)


@pytest.mark.parametrize("length", [0, 1, 100, 800])
def test_pitch_of_next_to_nothing(length: int) -> None:
    assert pitch.track(np.zeros(length, np.float32), 16_000).size == 0
