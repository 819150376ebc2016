"""Speech to one loudness, so that sentences of a film match."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL = 10 ** (-19 / 20)
"""Root mean square of the spoken parts, of full scale."""
PEAK = 10 ** (-1 / 20)
_BLOCK = 0.05
_GATE = 0.05
"""Blocks below this part of the loudest are pauses and do not count."""
_CHUNK = 1 << 20
_FULL_SCALE = 32767


def gain(samples: NDArray[np.int16], rate: int) -> float:
    """What to multiply `samples` with to bring them to `LEVEL`, or as near as `PEAK` allows; 1 for silence."""
    block = max(int(_BLOCK * rate), 1)
    step = _CHUNK // block * block
    powers, peak = [np.zeros(1)], 0
    for start in range(0, len(samples), step):
        part = samples[start : start + step].astype(np.float64)
        peak = max(peak, int(np.abs(part).max()))
        powers.append(np.add.reduceat(part**2, np.arange(0, len(part), block)) / block)
    power = np.concatenate(powers)
    if peak == 0:
        return 1.0
    spoken = power[power >= _GATE**2 * power.max()]
    return min(LEVEL * _FULL_SCALE / float(np.sqrt(spoken.mean())), PEAK * _FULL_SCALE / peak)


def scaled(samples: NDArray[np.int16], factor: float) -> NDArray[np.int16]:
    """`samples` times `factor`, rounded, without a copy in a larger type."""
    made = np.empty_like(samples)
    for start in range(0, len(samples), _CHUNK):
        part = samples[start : start + _CHUNK].astype(np.float32)
        made[start : start + _CHUNK] = np.round(part * np.float32(factor))
    return made
