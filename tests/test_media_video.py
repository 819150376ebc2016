"""The encoder: every frame in its place, the right colours, the same bytes, nothing left open."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from avatarctl.errors import BadConfig, StepFailed
from avatarctl.media import ffmpeg, probe
from avatarctl.media.video import Encoder
from tests.media_support import clip, frame_times, grey, lumas, rgb_to_i420


@pytest.mark.parametrize("fps", [25, 30, 50])
def test_every_frame_is_where_it_belongs(tmp_path: Path, fps: int) -> None:
    made = clip(tmp_path / "клип.mp4", 61, fps, 80, 48)
    video = probe.decode_all(made).video
    assert video is not None
    assert (video.frames, video.width, video.height, video.fps) == (61, 80, 48, fps)
    assert video.constant_step
    assert frame_times(made) == pytest.approx([i / fps for i in range(61)], abs=1e-9)
    assert lumas(made) == pytest.approx([30 + 3 * (i % 60) for i in range(61)], abs=2.5)


def test_arrays_and_bytes_are_the_same_frames(tmp_path: Path) -> None:
    with Encoder(tmp_path / "a.mp4", 32, 32, 25) as a, Encoder(tmp_path / "b.mp4", 32, 32, 25) as b:
        for level in range(30, 200, 10):
            frame = grey(32, 32, level)
            a.write(frame[:, ::-1][:, ::-1])  # a view that is not contiguous
            b.write(frame.tobytes())
    assert a.frames == 17
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_equal_frames_are_equal_bytes_without_a_version_or_time(tmp_path: Path) -> None:
    first, second = clip(tmp_path / "a.mp4", 40), clip(tmp_path / "b.mp4", 40)
    assert first.read_bytes() == second.read_bytes()
    assert b"Lavf" not in first.read_bytes()


def test_colours_survive(tmp_path: Path) -> None:
    colours = [(200, 60, 90), (30, 160, 60), (40, 60, 210), (235, 200, 170), (20, 20, 20)]
    for number, colour in enumerate(colours):
        made = tmp_path / f"{number}.mp4"
        with Encoder(made, 64, 64, 25, crf=10) as encoder:
            for _ in range(3):
                encoder.write(rgb_to_i420(colour, 64))
        command = [ffmpeg.binary(), "-v", "error", "-i", made, "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]
        raw = subprocess.run(command, capture_output=True, check=True).stdout
        decoded = np.frombuffer(raw, np.uint8).reshape(3, 64, 64, 3)[1].mean(axis=(0, 1))
        assert np.abs(decoded - colour).max() <= 4, colour


@pytest.mark.parametrize(("light", "contrast", "most"), [(140, 14, 1.2), (40, 4, 1.235)])
def test_detail_does_not_breathe_where_clips_meet(tmp_path: Path, light: int, contrast: int, most: float) -> None:
    """Skin that sways from rest to rest, light or dark: the next clip's keyframe shows of it what the last clip's end
    showed, and not much less than the frames after it."""
    side, frames = 192, 60
    noise = np.random.default_rng(3).normal(0, 1, (side + 16, side + 16))
    grain = np.sum([s * cv2.GaussianBlur(noise, (0, 0), s) for s in (1.4, 4.0, 12.0)], axis=0)
    skin = (light + contrast * grain / grain.std()).astype(np.float32)
    drawn = np.zeros((frames, side, side), np.uint8)
    for i in range(frames):
        sway = 3 * math.sin(2 * math.pi * i / (frames - 1)) - 8
        place = np.array([[1, 0, sway], [0, 1, 0.4 * sway]], np.float32)
        drawn[i] = np.clip(cv2.warpAffine(skin, place, (side, side)) + 0.5, 16, 235)
    with Encoder(tmp_path / "a.mp4", side, side, 25) as encoder:
        for picture in drawn:
            frame = grey(side, side, 0)
            frame[:side] = picture
            encoder.write(frame)
    command = [ffmpeg.binary(), "-v", "error", "-i", str(tmp_path / "a.mp4"), "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    raw = subprocess.run([*command, "pipe:1"], capture_output=True, check=True).stdout
    coded = np.frombuffer(raw, np.uint8).reshape(frames, -1, side)[:, :side]

    def detail(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.array([np.sqrt((cv2.Laplacian(p[8:-8, 8:-8], cv2.CV_64F) ** 2).mean()) for p in pictures])

    kept = detail(coded) / detail(drawn)
    assert kept[0] / kept[-3:].mean() < 1.08
    assert 0.87 < kept[0] / np.median(kept) < 1.08
    assert 0.95 < kept.min() <= kept.max() < most


def test_what_stands_still_is_coded_once(tmp_path: Path) -> None:
    """A wall with the grain of a photo does not change with the second frame."""
    side = 192
    wall = cv2.GaussianBlur(np.random.default_rng(5).normal(0, 1, (side, side)), (0, 0), 0.8)
    frame = grey(side, side, 0)
    frame[:side] = np.clip(120 + 10 * wall / wall.std(), 16, 235)
    with Encoder(tmp_path / "a.mp4", side, side, 25) as encoder:
        for _ in range(12):
            encoder.write(frame)
    command = [ffmpeg.binary(), "-v", "error", "-i", str(tmp_path / "a.mp4"), "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    raw = subprocess.run([*command, "pipe:1"], capture_output=True, check=True).stdout
    coded = np.frombuffer(raw, np.uint8).reshape(12, -1, side)[:, :side].astype(np.float32)
    assert ((coded[1:] - coded[0]) ** 2).mean((1, 2)).max() < 0.5


@pytest.mark.parametrize(("width", "height"), [(65, 64), (64, 65), (8, 64)])
def test_sizes_that_h264_cannot_have_are_refused(tmp_path: Path, width: int, height: int) -> None:
    with pytest.raises(BadConfig):
        Encoder(tmp_path / "a.mp4", width, height, 25)
    assert not (tmp_path / "a.mp4").exists()


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="wrong size"), Encoder(tmp_path / "a.mp4", 64, 64, 25) as encoder:
        encoder.write(grey(32, 32, 100))


def test_no_frames_are_no_clip(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="no frames"), Encoder(tmp_path / "a.mp4", 64, 64, 25):
        pass


def test_leaving_by_an_exception_leaves_no_process_and_no_pipe(tmp_path: Path) -> None:
    me = psutil.Process()
    handles, processes = me.num_fds(), len(me.children())
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), Encoder(tmp_path / "a.mp4", 64, 64, 25) as encoder:
            encoder.write(grey(64, 64, 100))
            1 / 0  # noqa: B018
    assert (me.num_fds(), len(me.children())) == (handles, processes)


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(StepFailed) as failure, Encoder(tmp_path / "none" / "a.mp4", 64, 64, 25) as encoder:
        for _ in range(2000):
            encoder.write(grey(64, 64, 100))
    assert os.linesep not in failure.value.why
    assert "No such file" in failure.value.why
