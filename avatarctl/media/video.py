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


CRF = 20
"""x264's quality where none is asked for."""
EVEN_DETAIL = {
    # Intra noise sharpens a smooth face, and residues too small to be coded soften every frame after.
    "deadzone-intra": 12,
    "deadzone-inter": 14,
    # A block of a face that sways goes on from whichever of the last three pictures shows it best. The search is a
    # nearer one, which makes good most of the time that this takes.
    "ref": 3,
    "me": "dia",
    # One quantiser for all blocks of a film and for all its frames. Else a face that moves is softer than one at rest,
    # the busy parts of it are softer than the smooth ones, and a clip's end is starved, which no frame follows.
    "aq-mode": 0,
    "no-mbtree": 1,
    "qcomp": 1,
    # The very first frame is not given x264's `ipratio` of 1.4, as later keyframes are. Were it coarser than the next
    # one, that would code anew all that stands still; and of dark skin, whose detail is faint, it would show a tenth
    # less than the frames after it.
    "zones": "0,0,b=1.8",
    # Faces have no edge of a block in them: a stronger filter takes noise, and most of it from keyframes.
    "deblock": "2,2",
}
"""Of x264: the same detail in keyframes, in the frames after them and at a clip's end.

With x264's own values a face has 11 to 17 % more detail (RMS of its Laplacian) in a keyframe than in the frame before:
sentences are clips, so it breathed with each of them. With these it has up to 7 % more. Over a whole film the detail
that is left varies by 2 to 3 % instead of 6 to 8 (its 5 % quantile against its 95 %), by 5 instead of 15 in a dark one;
for the same `crf` in about half as many bytes again.
"""


def h264(fps: int, threads: int = 2, crf: int = CRF, preset: str = "veryfast") -> dict[str, Any]:
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
        "x264-params": ":".join(f"{name}={value}" for name, value in EVEN_DETAIL.items()),
    }


class Encoder:
    """A silent MP4 from frames, one `write` each; frame i is shown at exactly i / fps seconds.

    Use it as a context manager: leaving by an exception kills the encoder. `write` may be called from
    another thread than the one that made it, one call at a time; it blocks while the encoder is behind.

    Args:
        path: the file to make.
        width, height: pixels, both even.
        fps: frames a second.
        threads: of the encoder; part of the result, so keep it constant. A frame takes longer to draw than to encode,
            so one is enough, and two cost 4 to 8 % more processor time.
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
        threads: int = 1,
        crf: int = CRF,
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
