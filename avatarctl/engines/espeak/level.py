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


def levelled(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """`samples` (float32, -1..1) at `LEVEL`, or as near as `PEAK` allows. Silence stays silence."""
    block = max(int(_BLOCK * rate), 1)
    whole = np.zeros(-(-len(samples) // block) * block, np.float64)
    whole[: len(samples)] = samples
    levels = np.sqrt((whole.reshape(-1, block) ** 2).mean(axis=1)) if len(whole) else np.zeros(1)
    loudest = float(levels.max())
    if loudest < 1e-6:
        return samples
    spoken = levels[levels >= _GATE * loudest]
    gain = min(LEVEL / float(np.sqrt((spoken**2).mean())), PEAK / float(np.abs(samples).max()))
    return (samples * np.float32(gain)).astype(np.float32)
