"""A film at a glance: a picture of a moment, and how loud the sound is over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import BadInput
from avatarctl.media import ffmpeg, probe
from avatarctl.media.audio import SILENCE

_RATE = 8_000
"""Hertz at which loudness is looked at."""
_JPEG_QUALITY = 5
"""Of ffmpeg's encoder, 2 (best) to 31."""


def still(film: Path, seconds: float, width: int) -> bytes:
    """The picture at `seconds`, `width` pixels wide, as a JPEG. Equal films give equal bytes.

    Raises:
        BadInput: it is no film, or ends before.
    """
    source = ffmpeg.source(film, ffmpeg.FILM_FORMATS, ss=f"{max(0.0, seconds):.3f}")
    picture = source["V:0"].filter("scale", width, -2, flags="area")
    options = {"format": "image2pipe", "c:v": "mjpeg", "q:v": _JPEG_QUALITY, "pix_fmt": "yuvj420p", "frames:v": 1}
    jpeg, _ = ffmpeg.run(ffmpeg.to_pipe(picture, **options), what="the film cannot be looked at", blame=BadInput)
    if not jpeg:
        raise BadInput("the film cannot be looked at", why=f"it has no picture at {seconds:g} s")
    return jpeg


def loudness(film: Path, duration: float, count: int) -> NDArray[np.float32]:
    """The highest sample of each of `count` equal stretches, float32 (count,) in 0..1, in flat memory.

    Empty where nothing is to be heard.

    Args:
        duration: of the film, seconds.

    Raises:
        BadInput: it cannot be decoded.
    """
    what = "the film cannot be listened to"
    nothing = np.zeros(0, np.float32)
    formats = f"{ffmpeg.FILM_FORMATS},{ffmpeg.SOUND_FORMATS}"
    if duration <= 0 or probe.header(film, formats, what=what, blame=BadInput).sample_rate is None:
        return nothing
    stream = ffmpeg.to_pipe(ffmpeg.source(film, formats)["a:0"], format="s16le", ac=1, ar=_RATE)
    peaks = np.zeros(count, np.int32)
    at = 0
    with ffmpeg.Child(stream, what=what, blame=BadInput) as child:
        for data in child.chunks(unit=2):
            samples = np.abs(np.frombuffer(data, "<i2").astype(np.int32))
            stretch = (np.arange(at, at + samples.size) * (count / (duration * _RATE))).astype(np.int64)
            np.maximum.at(peaks, np.minimum(stretch, count - 1), samples)
            at += samples.size
        child.finish()
    found = (peaks / np.float32(32768)).astype(np.float32)
    return found if found.max() >= SILENCE else nothing
