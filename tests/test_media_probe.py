"""What the probe measures: counted on files whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarctl.errors import BadInput, StepFailed
from avatarctl.media import ffmpeg, probe, wav
from tests.media_support import call_ffmpeg, clip, tone


@pytest.fixture
def film(tmp_path: Path) -> Path:
    wav.write(tmp_path / "sound.wav", tone(2.0, 22_050, level=0.5), 22_050)
    path = tmp_path / "film.mp4"
    sound = ("-c:a", "aac", "-ar", "48000", "-metadata:s:a:0", "language=rus")
    tags = ("-metadata", "title=Кот = «пёс»; # 1\nдва", "-metadata", "comment=s1:abc")
    call_ffmpeg(
        "-i", clip(tmp_path / "clip.mp4", 50), "-i", tmp_path / "sound.wav", "-c:v", "copy", *sound, *tags, path
    )
    return path


def test_a_film(film: Path) -> None:
    found = probe.decode_all(film, levels=True)
    assert found.video == probe.VideoFacts(50, 64, 64, 25.0, 2.0, 0.0, True)
    assert found.audio is not None
    assert (found.audio.sample_rate, found.audio.channels) == (48_000, 1)
    assert found.audio.duration == pytest.approx(2.0, abs=0.022)
    assert found.audio.peak == pytest.approx(0.5, abs=0.06)
    assert found.audio.clipped == 0.0


def test_levels_are_measured_only_when_asked_for(film: Path) -> None:
    found = probe.decode_all(film).audio
    assert found is not None
    assert (found.peak, found.clipped) == (None, None)


def test_clipped_samples_are_counted(tmp_path: Path) -> None:
    samples = np.zeros(10_000, np.float32)
    samples[:250] = 1.0
    wav.write(tmp_path / "a.wav", samples, 16_000)
    found = probe.decode_all(tmp_path / "a.wav", levels=True)
    assert found.video is None
    assert found.audio is not None
    assert found.audio.clipped == pytest.approx(0.025)
    assert found.audio.peak == pytest.approx(1.0, abs=1e-4)


def test_uneven_frames_are_noticed(tmp_path: Path) -> None:
    made = tmp_path / "vfr.mp4"
    call_ffmpeg("-i", clip(tmp_path / "a.mp4", 30), "-vf", "select='not(eq(n,12))'", "-fps_mode", "passthrough", made)
    video = probe.decode_all(made).video
    assert video is not None
    assert video.frames == 29
    assert not video.constant_step


@pytest.mark.parametrize(("rate", "suffix"), [("30000/1001", "mp4"), ("24", "mkv"), ("60", "webm")])
def test_other_rates_are_even_too(tmp_path: Path, rate: str, suffix: str) -> None:
    made = tmp_path / f"a.{suffix}"
    codec = ("-c:v", "libvpx", "-b:v", "100k") if suffix == "webm" else ()
    call_ffmpeg("-f", "lavfi", "-i", f"testsrc=s=64x64:r={rate}:d=2", "-pix_fmt", "yuv420p", *codec, made)
    video = probe.decode_all(made).video
    assert video is not None
    above, _, below = rate.partition("/")
    assert video.fps == pytest.approx(int(above) / int(below or 1), rel=2e-3)
    assert video.constant_step


def test_one_frame(tmp_path: Path) -> None:
    video = probe.decode_all(clip(tmp_path / "a.mp4", 1)).video
    assert video == probe.VideoFacts(1, 64, 64, 25.0, pytest.approx(0.04), 0.0, True)


def test_rotation_is_seen(tmp_path: Path) -> None:
    call_ffmpeg(
        "-display_rotation", "90", "-i", clip(tmp_path / "a.mp4", 3, width=96), "-c", "copy", tmp_path / "r.mp4"
    )
    video = probe.decode_all(tmp_path / "r.mp4").video
    assert video is not None
    assert (video.width, video.height) == (64, 96)


def test_a_damaged_film_fails(film: Path) -> None:
    content = bytearray(film.read_bytes())
    start = content.index(b"mdat") + 200
    content[start : start + 400] = bytes(range(200)) * 2
    film.write_bytes(content)
    with pytest.raises(StepFailed, match="does not decode"):
        probe.decode_all(film)


def test_what_was_decoded_as_clips_is_not_decoded_again(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (clip(tmp_path / name, frames) for name, frames in (("a.mp4", 20), ("b.mp4", 30)))
    (tmp_path / "list").write_text("ffconcat version 1.0\nfile 'a.mp4'\nfile 'b.mp4'\n")
    made = tmp_path / "made.mp4"
    call_ffmpeg("-f", "concat", "-safe", "0", "-auto_convert", "0", "-i", tmp_path / "list", "-c", "copy", made)
    commands: list[list[str]] = []
    command = ffmpeg.command

    def noted(*arguments: Any) -> list[str]:
        commands.append(command(*arguments))
        return commands[-1]

    monkeypatch.setattr(ffmpeg, "command", noted)

    def decodes(path: Path, joined: list[Path]) -> bool:
        commands.clear()
        assert probe.decode_all(path, joined=joined) == probe.decode_all(path)
        # The second call always does.
        return sum("wrapped_avframe" in words for words in commands) == 2

    assert not decodes(made, [first, second])
    other = clip(tmp_path / "c.mp4", 30, first=1)
    for clips in ([second, first], [first], [first, second, second], [first, other], [first, tmp_path / "list"]):
        assert decodes(made, clips)
    # With sound, which is decoded in any case.
    assert not decodes(film, [tmp_path / "clip.mp4"])
    commands.clear()
    found = probe.decode_all(film, True, joined=[tmp_path / "clip.mp4"])
    assert len(commands) == 1
    assert found == probe.decode_all(film, True)


@pytest.mark.parametrize("content", [b"", b"not a film at all", b"\x00\x00\x00\x18ftypisom" + bytes(64)])
def test_what_is_no_film_fails(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(StepFailed):
        probe.decode_all(tmp_path / "a.mp4")
    with pytest.raises(BadInput):
        probe.decode_all(tmp_path / "a.mp4", strict=False, blame=BadInput)


def test_header_tells_without_decoding(film: Path, tmp_path: Path) -> None:
    assert probe.header(film, what="x") == probe.Header(pytest.approx(2.0, abs=0.03), False, 48_000, "aac", True)
    plain = probe.header(tmp_path / "sound.wav", what="x")
    assert plain == probe.Header(2.0, False, 22_050, "pcm_s16le", False)
    assert probe.header(tmp_path / "clip.mp4", what="x").sample_rate is None


def test_a_cover_is_not_a_film_and_a_tag_is_not_a_header(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", tone(1.0, 44_100), 44_100)
    call_ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64:d=1", "-frames:v", "1", tmp_path / "cover.png")
    lie = "x\n  Duration: 09:00:00.00, start\n  Stream #0:0: Audio: fake, 1 Hz"
    call_ffmpeg(
        *("-i", tmp_path / "a.wav", "-i", tmp_path / "cover.png", "-map", "0:a", "-map", "1:v"),
        *("-disposition:v", "attached_pic", "-metadata", f"title={lie}", tmp_path / "a.mp3"),
    )
    found = probe.header(tmp_path / "a.mp3", what="x")
    assert found.duration == pytest.approx(1.0, abs=0.1)
    assert (found.sample_rate, found.sound_codec, found.has_video) == (44_100, "mp3", False)
    assert probe.decode_all(tmp_path / "a.mp3").video is None


def test_tags(film: Path) -> None:
    tags = probe.tags(film)
    assert tags["title"] == "Кот = «пёс»; # 1\nдва"
    assert tags["comment"] == "s1:abc"
    assert tags["language"] == "rus"
