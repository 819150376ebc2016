"""The sounds of a recording of unknown words, in windows of flat memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import recording, segments
from avatarctl.engines.align.features import HOP, Features, margin, measure
from avatarctl.engines.contract import Job
from avatarctl.media import wav
from avatarctl.text.timings import Phoneme

_WINDOW = recording.WINDOW


def sounds(path: Path, rate: int, frames: int, job: Job, told: Callable[[float], None]) -> list[Phoneme]:
    """What `segments.find` finds in a recording, seconds from its beginning.

    Args:
        path: a mono WAV of 16 bits.
        rate: its samples a second.
        frames: its samples.
        job: may be cancelled, which raises `Cancelled`.
        told: told how many seconds are done.
    """
    return segments.find(_features(path, rate, frames, job, told))


def _features(path: Path, rate: int, frames: int, job: Job, told: Callable[[float], None]) -> Features:
    """Features of the whole recording; only they, a few numbers for each hop, stay in memory."""
    edge = margin(rate)
    per_window = round(_WINDOW / HOP)
    count = -(-frames * 100 // rate)
    parts: list[Features] = []
    with wav.reader(path) as file:
        buffer = np.zeros(edge, np.float32)
        begins, done = -edge, 0
        for data in recording.blocks(file, round(_WINDOW * rate), job):
            buffer = np.concatenate([buffer, np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)])
            ready = min(per_window, int((begins + len(buffer) - edge) / (HOP * rate) - 0.5) - done)
            if ready > 0:
                parts.append(_measured(buffer, begins, done, ready, rate))
                done += ready
                keep = int(done * HOP * rate) - edge - begins
                buffer, begins = buffer[keep:], begins + keep
            told(done * HOP)
        rest = count - done
        if rest > 0:
            buffer = np.concatenate([buffer, np.zeros(2 * edge + round(2 * HOP * rate), np.float32)])
            parts.append(_measured(buffer, begins, done, rest, rate))
    return Features.joined(parts)


def _measured(buffer: NDArray[np.float32], begins: int, done: int, count: int, rate: int) -> Features:
    """`count` frames from number `done`; `buffer` begins at sample `begins` of the recording."""
    offset = round(done * HOP * rate) - margin(rate) - begins
    return measure(buffer[offset:], rate, count)
