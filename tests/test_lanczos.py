"""Lanczos: every frame in its place, the sound kept, nothing invented."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.media import concat, image, probe, wav
from avatarctl.stages import validators
from avatarctl.stages.catalog import UpscaleParams
from tests.media_support import bursts, call_ffmpeg, clip, frame_times, lumas, playlists, tone


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """40 frames of 64 x 48 with a burst of sound at 0.5 s."""
    samples = np.zeros(35_280, np.float32)
    samples[11_025:11_466] = tone(0.02, 22_050, 1000.0, 0.8)
    wav.write(tmp_path / "sound.wav", samples, 22_050)
    made = tmp_path / "film.mp4"
    silent = clip(tmp_path / "silent.mp4", 40, height=48)
    call_ffmpeg("-i", silent, "-i", tmp_path / "sound.wav", "-c:v", "copy", "-c:a", "aac", "-ar", "48000", made)
    return made


def enlarge(media: Path, out: Path, scale: int = 2, **job: object) -> Path:
    out.mkdir()
    engine = registry.create(registry.get("upscale", "lanczos"))
    engine.load({})
    params = UpscaleParams(scale=scale)
    engine.run(Job(inputs={"media": media}, out=out, params=params, key="s1:abc", **job))  # type: ignore[arg-type]
    engine.close()
    outputs = {path.stem: path for path in out.iterdir()}
    validators.upscaled(outputs, {"media": media}, params)
    return next(iter(outputs.values()))


def sound(path: Path) -> probe.AudioFacts:
    found = probe.decode_all(path, levels=True).audio
    assert found is not None
    return found


def picture(path: Path) -> probe.VideoFacts:
    found = probe.decode_all(path).video
    assert found is not None
    return found


@pytest.mark.parametrize("scale", [2, 4])
def test_a_film(film: Path, tmp_path: Path, scale: int) -> None:
    done: list[tuple[float, float]] = []
    made = enlarge(film, tmp_path / "out", scale, progress=lambda n, total, unit: done.append((n, total)))
    assert made.name == "video.mp4"
    before, after = picture(film), picture(made)
    assert (after.width, after.height) == (before.width * scale, before.height * scale)
    assert frame_times(made) == pytest.approx(frame_times(film), abs=1e-9)
    assert lumas(made) == pytest.approx(lumas(film), abs=1.5)
    assert sound(made) == sound(film)
    assert bursts(made) == bursts(film)
    assert probe.tags(made)["comment"] == "s1:abc"
    assert done[0] == (0, 40)
    assert done[-1] == (40, 40)
    assert done == sorted(done)


def test_equal_films_are_equal_bytes(film: Path, tmp_path: Path) -> None:
    first = enlarge(film, tmp_path / "a").read_bytes()
    assert enlarge(film.rename(tmp_path / "%03d кот"), tmp_path / "b").read_bytes() == first
    assert b"Lavf" not in first


def test_enlarged_clips_still_join(tmp_path: Path) -> None:
    clips = [
        enlarge(clip(tmp_path / f"{n}.mp4", n, first=n), tmp_path / f"out{n}").rename(tmp_path / f"x{n}")
        for n in (7, 12)
    ]
    assert concat.frame_counts(clips, 25) == [7, 12]


def test_uneven_frames_keep_their_times(film: Path, tmp_path: Path) -> None:
    uneven = tmp_path / "vfr.mp4"
    choose = "select='not(mod(n,3))+gt(n,25)'"
    call_ffmpeg("-i", film, "-vf", choose, "-fps_mode", "passthrough", "-bf", "0", "-c:a", "copy", uneven)
    made = enlarge(uneven, tmp_path / "out")
    assert not picture(made).constant_step
    assert frame_times(made) == pytest.approx(frame_times(uneven), abs=2e-5)
    assert lumas(made) == pytest.approx(lumas(uneven), abs=1.5)


@pytest.mark.parametrize("late", ["picture", "sound"])
def test_a_track_that_begins_later_still_does(film: Path, tmp_path: Path, late: str) -> None:
    first, second = ("0:v", "1:a") if late == "picture" else ("1:v", "0:a")
    shifted = tmp_path / "late.mp4"
    call_ffmpeg("-itsoffset", "0.4", "-i", film, "-i", film, "-map", first, "-map", second, "-c", "copy", shifted)
    made = enlarge(shifted, tmp_path / "out")
    assert picture(made).start == pytest.approx(0.4 if late == "picture" else 0.0, abs=1e-4)
    assert picture(made).start == pytest.approx(picture(shifted).start, abs=1e-4)
    assert sound(made).start == pytest.approx(sound(shifted).start, abs=1e-4)


def test_rotation_and_odd_sides(tmp_path: Path) -> None:
    call_ffmpeg("-f", "lavfi", "-i", "testsrc=s=97x65:d=0.4", "-pix_fmt", "yuv444p", "-bf", "0", tmp_path / "odd.mp4")
    call_ffmpeg("-display_rotation", "90", "-i", tmp_path / "odd.mp4", "-c", "copy", tmp_path / "turned.mp4")
    made = picture(enlarge(tmp_path / "turned.mp4", tmp_path / "out"))
    assert (made.width, made.height, made.frames) == (130, 194, 10)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("mkv", ("-c:v", "copy", "-c:a", "pcm_s16le")),
        ("webm", ("-c:v", "libvpx", "-b:v", "200k", "-c:a", "libopus")),
        ("avi", ("-c:v", "mpeg4", "-c:a", "pcm_s16le")),
        ("mov", ("-c:v", "copy", "-c:a", "pcm_s16be")),
    ],
)
def test_other_containers(film: Path, tmp_path: Path, suffix: str, options: tuple[str, ...]) -> None:
    other = tmp_path / f"other.{suffix}"
    call_ffmpeg("-i", film, *options, other)
    made = enlarge(other, tmp_path / "out")
    assert picture(made).frames == 40
    assert bursts(made) == pytest.approx(bursts(film), abs=0.005)
    assert probe.header(made, what="x").sound_codec == "aac"


def test_a_film_without_sound(tmp_path: Path) -> None:
    assert probe.decode_all(enlarge(clip(tmp_path / "a.mp4", 5), tmp_path / "out")).audio is None


def test_a_picture(tmp_path: Path) -> None:
    gradient = np.linspace(0, 255, 40 * 30 * 3).reshape(30, 40, 3).astype(np.uint8)
    image.write_png(tmp_path / "a.png", gradient)
    made = enlarge(tmp_path / "a.png", tmp_path / "out", 4)
    assert made.name == "image.png"
    rgb = image.read_png(made)
    assert rgb.shape == (120, 160, 3)
    back = cv2.resize(rgb, (40, 30), interpolation=cv2.INTER_AREA)
    assert np.abs(back.astype(int) - gradient).max() <= 4


def test_what_would_be_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="8400"):
        enlarge(clip(tmp_path / "a.mp4", 2, width=2100), tmp_path / "out", 4)
    image.write_png(tmp_path / "a.png", np.zeros((4, 2100, 3), np.uint8))
    with pytest.raises(BadInput, match="8400"):
        enlarge(tmp_path / "a.png", tmp_path / "out2", 4)


@pytest.mark.parametrize("kind", [*sorted(playlists(Path("/secret"))), "sound", "empty"])
def test_what_is_neither_is_refused(film: Path, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret.mp4"
    os.mkfifo(secret)
    hostile = tmp_path / "hostile.mp4"
    if kind == "sound":
        call_ffmpeg("-i", film, "-vn", "-c", "copy", hostile)
    else:
        hostile.write_text((playlists(secret) | {"empty": ""})[kind])
    with pytest.raises(BadInput):
        enlarge(hostile, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("after", [0, 3, 6])
def test_cancelling(film: Path, tmp_path: Path, after: int) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    with pytest.raises(Cancelled):
        enlarge(film, tmp_path / "out", cancelled=cancelled)
