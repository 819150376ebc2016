"""Sound in and out: every common format, plain WAV, and what is refused."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatarctl.errors import BadInput, StepFailed
from avatarctl.media import audio, wav
from tests.media_support import STEREO, call_ffmpeg, clip, playlists, read_pcm, read_wav, tone

FORMATS = {
    "wav": (),
    "mp3": (),
    "flac": (),
    "ogg": ("-c:a", "libvorbis"),
    "opus": ("-c:a", "libopus"),
    "m4a": (),
    "aac": (),
    "webm": ("-c:a", "libopus"),
    "mkv": ("-c:a", "pcm_f32le"),
    "mp4": (),
    "aiff": (),
    "caf": (),
}


def dominant(samples: NDArray[np.float32], rate: int) -> float:
    """The strongest frequency, hertz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(spectrum.argmax() * rate / samples.size)


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_common_formats(tmp_path: Path, suffix: str) -> None:
    wav.write(tmp_path / "source.wav", tone(1.5, 44_100, 440.0), 44_100)
    # The suffix is dropped afterwards: content decides, as with the store's nameless files.
    call_ffmpeg("-i", tmp_path / "source.wav", *STEREO, *FORMATS[suffix], tmp_path / f"a.{suffix}")
    nameless = (tmp_path / f"a.{suffix}").rename(tmp_path / "голос")
    samples, rate = audio.decode(nameless)
    assert samples.dtype == np.float32
    assert rate == (48_000 if suffix in ("opus", "webm") else 44_100)
    assert samples.size / rate == pytest.approx(1.5, abs=0.06)
    assert dominant(samples, rate) == pytest.approx(440, abs=1.5)
    assert float(np.abs(samples[rate // 4 : rate]).max()) == pytest.approx(0.5, abs=0.06)


def test_a_given_rate_and_a_film(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", tone(1.0, 22_050), 22_050)
    call_ffmpeg("-i", clip(tmp_path / "v.mp4", 25), "-i", tmp_path / "a.wav", "-c:v", "copy", tmp_path / "f.mp4")
    samples, rate = audio.decode(tmp_path / "f.mp4", 16_000)
    assert rate == 16_000
    assert samples.size == pytest.approx(16_000, abs=700)
    assert dominant(samples, rate) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    "name", ["-i.wav", "$(touch x).wav", "%03d.wav", "голос: «проба».wav", "a'b\"c.wav", "a b|c.wav"]
)
def test_names_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    wav.write(tmp_path / name, tone(1.0, 16_000), 16_000)
    samples, _ = audio.decode(Path(name))
    assert samples.size == 16_000
    info = audio.decode_to_wav(Path(name), tmp_path / ("out" + name), 10.0)
    assert info.frames == 16_000
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted([name, "out" + name])


@pytest.mark.parametrize(
    "kind", [*sorted(playlists(Path("/secret"))), "empty", "folder", "missing", "text", "truncated"]
)
def test_what_is_no_sound_is_refused(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret.wav"
    wav.write(secret, tone(1.0, 16_000), 16_000)
    hostile = tmp_path / "voice.wav"
    if kind == "folder":
        hostile.mkdir()
    elif kind == "truncated":
        call_ffmpeg("-i", secret, tmp_path / "a.m4a")
        hostile.write_bytes((tmp_path / "a.m4a").read_bytes()[:2000])
    elif kind != "missing":
        texts = playlists(secret) | {"empty": "", "text": "Это не звук, а текст. " * 200}
        hostile.write_text(texts[kind])
    for read in (audio.decode, lambda path: audio.decode_to_wav(path, tmp_path / "out.wav", 60.0)):
        with pytest.raises(BadInput, match=r"voice|recording") as refusal:
            read(hostile)
        assert "\n" not in refusal.value.why


def test_a_picture_without_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refusal:
        audio.decode(clip(tmp_path / "a.mp4", 3))
    assert "without sound" in refusal.value.why
    assert refusal.value.hint


def test_silence_and_too_little_are_refused(tmp_path: Path) -> None:
    wav.write(tmp_path / "silent.wav", np.zeros(32_000, np.float32), 16_000)
    wav.write(tmp_path / "short.wav", tone(0.2, 16_000), 16_000)
    wav.write(tmp_path / "none.wav", np.zeros(0, np.float32), 16_000)
    for name, word in (("silent", "silent"), ("short", "short"), ("none", "empty")):
        with pytest.raises(BadInput, match=word):
            audio.decode(tmp_path / f"{name}.wav", min_seconds=0.3)
        with pytest.raises(BadInput, match=word):
            audio.decode_to_wav(tmp_path / f"{name}.wav", tmp_path / "out.wav", 60.0)


def sparse_wav(path: Path, seconds: int, rate: int = 8000) -> Path:
    size = seconds * rate * 2
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", size
    )
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(44 + size)
    return path


def test_two_hours_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    long = sparse_wav(tmp_path / "long.wav", 7200)
    before = psutil.Process().memory_info().rss
    with pytest.raises(BadInput, match="too long") as refusal:
        audio.decode(long, max_seconds=600)
    assert "120 min" in refusal.value.why
    assert "10 min" in refusal.value.hint
    assert psutil.Process().memory_info().rss - before < 20e6


def test_sound_longer_than_its_header_says_is_stopped(tmp_path: Path) -> None:
    """ADTS has no header at all: its length is known only by decoding."""
    wav.write(tmp_path / "a.wav", tone(30.0, 16_000), 16_000)
    call_ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.aac")
    with pytest.raises(BadInput, match="too long"):
        audio.decode(tmp_path / "a.aac", max_seconds=10)
    with pytest.raises(BadInput, match="too long"):
        audio.decode_to_wav(tmp_path / "a.aac", tmp_path / "out.wav", 10)


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_a_recording_keeps_its_rate(tmp_path: Path, rate: int) -> None:
    samples = tone(1.0, rate, level=0.4)
    wav.write(tmp_path / "a.wav", samples, rate)
    call_ffmpeg("-i", tmp_path / "a.wav", *STEREO, tmp_path / "a.flac")
    info = audio.decode_to_wav(tmp_path / "a.flac", tmp_path / "out.wav", 60.0)
    assert info == wav.info(tmp_path / "out.wav") == wav.WavInfo(1.0, rate, rate, 1)
    back, _ = read_wav(tmp_path / "out.wav")
    assert np.abs(back - samples).max() < 3e-4


def test_loud_stereo_does_not_clip_when_mixed(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", tone(1.0, 16_000, level=0.9), 16_000)
    call_ffmpeg("-i", tmp_path / "a.wav", *STEREO, tmp_path / "b.wav")
    samples, _ = audio.decode(tmp_path / "b.wav")
    assert float(np.abs(samples).max()) == pytest.approx(0.9, abs=0.02)


def test_channels_that_cancel_each_other_are_heard(tmp_path: Path) -> None:
    """One of them upside down, as from a microphone that is wired wrongly: their mean is silence."""
    samples = tone(1.0, 16_000, level=0.4)
    wav.write(tmp_path / "a.wav", samples, 16_000)
    call_ffmpeg("-i", tmp_path / "a.wav", "-af", "pan=stereo|c0=c0|c1=-1*c0", tmp_path / "b.wav")
    audio.decode_to_wav(tmp_path / "b.wav", tmp_path / "out.wav", 60.0)
    assert np.abs(read_wav(tmp_path / "out.wav")[0] - samples).max() < 3e-4


def test_a_recording_that_has_lost_its_end_is_refused(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", tone(4.0, 16_000), 16_000)
    call_ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.mp3")
    whole = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(BadInput, match="damaged") as caught:
        audio.decode_to_wav(tmp_path / "cut.mp3", tmp_path / "out.wav", 60.0)
    assert "lasts 4.0 s" in str(caught.value.why)


@pytest.mark.parametrize(("value", "why"), [(np.nan, "no numbers"), (np.inf, "no numbers"), (20_000.0, "up to 20000")])
def test_floats_that_are_no_sound_are_refused(tmp_path: Path, value: float, why: str) -> None:
    values = tone(1.0, 16_000)
    values[100:200] = value
    strange = floats(tmp_path, values)
    for read in (audio.decode, lambda path: audio.decode_to_wav(path, tmp_path / "out.wav", 60.0)):
        with pytest.raises(BadInput, match="damaged") as refusal:
            read(strange)
        assert why in refusal.value.why
        assert "16 bits" in refusal.value.hint


def test_floats_are_as_good_as_whole_numbers(tmp_path: Path) -> None:
    values = tone(1.0, 16_000)
    values[:3] = 2.0, -2.0, 0.25
    samples, rate = audio.decode(floats(tmp_path, values))
    assert rate == 16_000
    assert np.abs(samples - values.clip(-1, 32767 / 32768)).max() <= 0.5 / 32768


def floats(folder: Path, values: NDArray[np.float32]) -> Path:
    """A WAV of 32-bit floating point."""
    (folder / "a.raw").write_bytes(values.tobytes())
    call_ffmpeg("-f", "f32le", "-ar", "16000", "-ac", "1", "-i", folder / "a.raw", "-c:a", "copy", folder / "a.wav")
    return folder / "a.wav"


@pytest.mark.parametrize(
    ("beginning", "why"),
    [
        ("Это текст.".encode(), "it is a text"),
        ("я".encode() * 5000, "it is a text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(90), "it is a PNG file"),
        (b"%PDF-1.7" + bytes(90), "it is a PDF file"),
        (b"PK\x03\x04" + bytes(90), "it is a ZIP archive"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "damaged"),
        (bytes(9000), "damaged"),
    ],
)
def test_the_error_says_what_was_given_instead_of_sound(tmp_path: Path, beginning: bytes, why: str) -> None:
    (tmp_path / "речь.wav").write_bytes(beginning)
    with pytest.raises(BadInput, match="cannot be read as sound") as refusal:
        audio.decode(tmp_path / "речь.wav")
    assert why in refusal.value.why
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("channels", "rate", "why"), [(200, 16_000, "200 channels"), (1, 10**9, "samples a second"), (1, 0, "rate")]
)
def test_headers_that_cannot_be_meant_are_refused(tmp_path: Path, channels: int, rate: int, why: str) -> None:
    size = 32_000 * channels
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, channels, rate,
                       rate * 2 * channels % 2**32, 2 * channels, 16, b"data", size)  # fmt: skip
    (tmp_path / "a.wav").write_bytes(head + bytes(range(256)) * (size // 256))
    with pytest.raises(BadInput, match="cannot be read as sound") as refusal:
        audio.decode(tmp_path / "a.wav")
    assert why in refusal.value.why
    assert refusal.value.hint


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=200), st.sampled_from([8000, 22_050, 48_000]))
def test_wav_round_trip(tmp_path_factory: pytest.TempPathFactory, values: list[int], rate: int) -> None:
    path = tmp_path_factory.getbasetemp() / "round.wav"
    samples = np.array(values, np.float32) / np.float32(32768)
    wav.write(path, samples, rate)
    back, read_rate = read_wav(path)
    assert read_rate == rate
    assert np.array_equal(back, samples)
    assert np.array_equal(read_pcm(path), np.array(values, np.int16))


def test_what_is_beyond_full_scale_is_clipped(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", np.array([2.0, -2.0, 0.0], np.float32), 16_000)
    assert read_pcm(tmp_path / "a.wav").tolist() == [32767, -32768, 0]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\x10\x00\x00\x00WAVEfmt ", b"ID3" + bytes(500)])
def test_a_file_that_is_no_wav_fails_the_step(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    for read in (wav.info, read_wav, read_pcm):
        with pytest.raises(StepFailed):
            read(tmp_path / "a.wav")


def test_eight_bits_are_not_ours(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(1)
        stream.setframerate(8000)
        stream.writeframes(bytes(100))
    with pytest.raises(StepFailed, match="16-bit"):
        wav.info(tmp_path / "a.wav")
