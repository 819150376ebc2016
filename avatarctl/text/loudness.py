"""How loud a speaker is over time, beside his own usual level: what opens the mouth more, and where he breathes in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOP = 0.01
"""Seconds between two values."""
LOWEST = -60.0
"""Decibels; what is quieter counts as this."""

_ABOVE_FLOOR, _BELOW_SPEECH = 6.0, -10.0
"""Decibels: a breath is louder than the silence around it, and quieter than speech."""
_SHORTEST_BREATH, _LONGEST_BREATH = 0.14, 1.5
_EDGE = 0.05
"""Seconds at either end of a pause that belong to the sounds beside it."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """`level`: float32 (n,), decibels beside the median of the speech around; value i is of the hop i. `floor`:
    the level of silence in it."""

    level: NDArray[np.float32]
    floor: float

    def over(self, starts: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean level from each start to its end, seconds; float64 like `starts`."""
        sums = np.concatenate([[0.0], np.cumsum(self.level, dtype=np.float64)])
        first = np.clip(np.round(starts / HOP).astype(np.int64), 0, len(self.level) - 1)
        last = np.clip(np.round(ends / HOP).astype(np.int64), first + 1, len(self.level))
        mean: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
        return mean

    def breath(self, start: float, end: float) -> tuple[float, float] | None:
        """When a breath is heard in the pause from `start` to `end`; None when it is silent."""
        first, last = round((start + _EDGE) / HOP), round((end - _EDGE) / HOP)
        part = self.level[first:last]
        heard = (part > max(self.floor, LOWEST + 12) + _ABOVE_FLOOR) & (part < _BELOW_SPEECH)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], heard, [False]]).astype(np.int8))).reshape(-1, 2)
        if not len(edges):
            return None
        begins, ends = edges[(edges[:, 1] - edges[:, 0]).argmax()]
        length = (ends - begins) * HOP
        if not _SHORTEST_BREATH <= length <= _LONGEST_BREATH:
            return None
        return (first + begins) * HOP, (first + ends) * HOP
