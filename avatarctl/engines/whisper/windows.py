"""A long recording in windows that memory can hold, cut where it is quietest.

Whisper looks at 30 seconds at a time, but faster-whisper takes the spectrum of all it is given at once, with
160 kB of intermediate results for each second.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.media import audio

RATE = 16_000
"""Samples a second that Whisper was trained on."""
LONGEST = 120.0
"""Seconds of a window."""
SEARCH = 30.0
"""Seconds before a window's longest end in which its end is looked for."""
_QUIET = 0.3
"""Seconds whose mean power is compared: a gap between words, not between sounds."""
_FRAME = 320
"""Samples in which power is measured, 20 ms."""


def windows(path: Path) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Where each window begins, in seconds, and its samples, float32 (samples,) in [-1, 1] at `RATE`."""
    held = np.zeros(0, np.int16)
    begun = 0
    for block in audio.pcm_blocks(path, RATE):
        held = np.concatenate([held, block])
        while held.size >= LONGEST * RATE:
            end = _quietest(held[: int(LONGEST * RATE)])
            yield begun / RATE, _floats(held[:end])
            held = held[end:]
            begun += end
    if held.size:
        yield begun / RATE, _floats(held)


def _quietest(samples: NDArray[np.int16]) -> int:
    """The middle of the quietest gap in the last `SEARCH` seconds, as an index."""
    first = samples.size - int(SEARCH * RATE)
    tail = samples[first:].astype(np.float64)
    frames = tail[: tail.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    width = round(_QUIET * RATE / _FRAME)
    power = np.convolve((frames**2).mean(axis=1), np.full(width, 1 / width), "valid")
    return first + int((int(power.argmin()) + width / 2) * _FRAME)


def _floats(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    return samples.astype(np.float32) / np.float32(32768)
