"""Frames to an H.264 clip, streamed: equal frames give equal bytes, and clips join without re-encoding.

No B-frames, closed groups of pictures and fixed encoder threads: so the decoding order is the order of
display, every clip can follow every other one of its size, and the encoder makes no choice that depends
on how busy the machine is.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ffmpeg as ffmpeg_python
import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import BadConfig, StepFailed
from avatarctl.media import ffmpeg

COLOUR = {"range": "tv", "color_primaries": "bt709", "color_trc": "iec61966-2-1", "colorspace": "smpte170m"}
"""What `cv2.COLOR_RGB2YUV_I420` makes of an sRGB picture: the BT.601 matrix, limited range."""


def timescale(fps: int) -> int:
    """Ticks a second of a clip's track, in which every frame's time is a whole number."""
    return fps * 512


def h264(fps: int, threads: int = 2, crf: int = 18, preset: str = "veryfast") -> dict[str, Any]:
    """The encoder's options for ffmpeg. `threads` changes the bytes, so never take it from the machine.

    Keyframes are far apart, since each one shows as a slight breath of sharpness on a still background.
    """
    return {
        "c:v": "libx264",
        "preset": preset,
        "crf": crf,
        "bf": 0,
        "g": 10 * fps,
        "pix_fmt": "yuv420p",
        "threads:v": threads,
        "flags:v": "+bitexact+cgop",
    }


class Encoder:
    """A silent MP4 from frames, one `write` each; frame i is shown at exactly i / fps seconds.

    Use it as a context manager: leaving by an exception kills the encoder. `write` may be called from
    another thread than the one that made it, one call at a time; it blocks while the encoder is behind.

    Args:
        path: the file to make.
        width, height: pixels, both even.
        fps: frames a second.
        threads: of the encoder; part of the result, so keep it constant.
        crf: x264's quality, lower is better.
        preset: x264's speed.

    Raises:
        BadConfig: a side is odd or too small for H.264.
        Unavailable: no usable ffmpeg, or the disk is full.
        StepFailed: the encoder failed, or no frame was written.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        fps: int,
        threads: int = 2,
        crf: int = 18,
        preset: str = "veryfast",
    ) -> None:
        if width % 2 or height % 2 or min(width, height) < 16:
            raise BadConfig(
                f"a film cannot be {width} x {height} pixels", hint="both sides have to be even, 16 or more"
            )
        self.frames = 0
        """Frames written so far."""
        self._frame_bytes = width * height * 3 // 2
        frames = ffmpeg_python.input(
            "pipe:0", format="rawvideo", pix_fmt="yuv420p", video_size=(width, height), framerate=fps
        )
        tagged = frames.filter("setparams", **COLOUR)
        output = ffmpeg.sink(
            tagged,
            path=path,
            format="mp4",
            video_track_timescale=timescale(fps),
            **h264(fps, threads, crf, preset),
        )
        self._child = ffmpeg.Child(output, what="the clip cannot be encoded", feed=True)

    def write(self, frame: NDArray[np.uint8] | bytes) -> None:
        """Append a frame: I420, uint8 (height * 3 // 2, width), or the same as bytes."""
        data = np.ascontiguousarray(frame).data.cast("B") if isinstance(frame, np.ndarray) else memoryview(frame)
        if data.nbytes != self._frame_bytes:
            raise StepFailed("a frame has the wrong size", why=f"{data.nbytes} bytes, not {self._frame_bytes}")
        self._child.write(data)
        self.frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self.frames == 0:
                    raise StepFailed("the clip has no frames")
                self._child.finish()
        finally:
            self._child.kill()
