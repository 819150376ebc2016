"""How much a film flickers where nothing moves, against the film that it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.media import ffmpeg

PICTURES = 48
"""How many pictures are looked at, from the beginning: two seconds of a film."""
STILL = 2
"""Levels of 255 by which a place of the given film may differ from the picture before and still count as still."""


@dataclass(frozen=True, slots=True)
class Flicker:
    """Mean absolute differences from picture to picture where the given film is still, levels of 255: of the film
    that was `made`, and of the one that was `given`, enlarged by interpolation. `still`: share of such places."""

    made: float
    given: float
    still: float


def measure(given: Path, made: Path, width: int, height: int) -> Flicker | None:
    """Compare the brightness of two films of equally many pictures, in flat memory.

    Args:
        width, height: pixels, of `made`, as it is seen.

    Returns:
        None where there is but one picture, or nothing is still.

    Raises:
        StepFailed: one of them cannot be decoded.
    """
    changes = [0.0, 0.0]
    places = pairs = 0
    before: tuple[NDArray[np.int16], NDArray[np.int16]] | None = None
    for now in zip(_pictures(given, width, height), _pictures(made, width, height), strict=True):
        if before is not None:
            difference = [np.abs(new - old) for new, old in zip(now, before, strict=True)]
            still = difference[0] <= STILL
            for number, values in enumerate(reversed(difference)):
                changes[number] += float(values[still].sum(dtype=np.int64))
            places += int(still.sum())
            pairs += 1
        before = now
    if not places:
        return None
    share = places / (pairs * width * height)
    return Flicker(round(changes[0] / places, 4), round(changes[1] / places, 4), round(share, 4))


def _pictures(film: Path, width: int, height: int) -> Iterator[NDArray[np.int16]]:
    """The first pictures in grey, int16 (height, width), 0..255."""
    grey = ffmpeg.to_pipe(
        ffmpeg.source(film, ffmpeg.FILM_FORMATS)["V:0"].filter("scale", width, height, flags="lanczos+accurate_rnd"),
        format="rawvideo",
        pix_fmt="gray",
        fps_mode="passthrough",
        **{"frames:v": PICTURES},
    )
    size = width * height
    with ffmpeg.Child(grey, what="the film cannot be compared") as child:
        rest = bytearray()
        for data in child.chunks():
            rest += data
            while len(rest) >= size:
                yield np.frombuffer(bytes(rest[:size]), np.uint8).reshape(height, width).astype(np.int16)
                del rest[:size]
        child.finish()
