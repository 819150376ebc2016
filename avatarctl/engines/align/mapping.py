"""Positions in the reference to moments of the recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align.reference import Reference
from avatarctl.engines.align.spectrum import HOP
from avatarctl.engines.align.windows import Alignment
from avatarctl.text.timings import Phoneme, Span


class Clock:
    """The moments of positions. A pause makes two of one position: the end of one sound, the start of another."""

    def __init__(self, found: Alignment) -> None:
        speaking = ~found.silent
        edges = np.flatnonzero(np.diff(np.concatenate([[False], speaking, [False]]).astype(np.int8))).reshape(-1, 2)
        self._runs: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        starts: list[float] = []
        for first, last in edges:
            positions, rows = found.frames[first:last].astype(np.float64), np.arange(first, last) + 0.5
            whole, index = np.unique(positions, return_inverse=True)
            middles = np.bincount(index, rows) / np.bincount(index)
            begins = float(found.frames[first - 1]) if first and found.silent[first - 1] else whole[0]
            starts.append(begins)
            behind = whole[-1] + 1
            self._runs.append(
                (
                    np.concatenate([[min(begins, whole[0])], whole + 0.5, [behind]]),
                    np.concatenate([[first], middles, [last]]).astype(np.float64),
                )
            )
        self._starts = np.array(starts)

    def start(self, position: float) -> float:
        """When what begins at the position begins, seconds."""
        return self._moment(int(np.searchsorted(self._starts, position + 1e-6, side="right")) - 1, position)

    def end(self, position: float) -> float:
        """When what ends at the position ends, seconds."""
        return self._moment(int(np.searchsorted(self._starts, position - 1e-6, side="right")) - 1, position)

    def _moment(self, run: int, position: float) -> float:
        positions, rows = self._runs[max(run, 0)]
        return float(np.interp(position, positions, rows)) * HOP


def phonemes(clock: Clock, spoken: Reference) -> list[Phoneme]:
    """The reference's phonemes in seconds of the recording, in order and without overlap."""
    made: list[Phoneme] = []
    last = 0.0
    for phoneme in spoken.phonemes:
        start = max(clock.start(phoneme.start), last)
        end = max(clock.end(phoneme.end), start)
        made.append(replace(phoneme, start=start, end=end))
        last = end
    return [p for p in made if p.end > p.start]


def spans(clock: Clock, given: Sequence[Span]) -> list[Span]:
    """Words or sentences in seconds of the recording."""
    moved = [replace(s, start=clock.start(s.start), end=clock.end(s.end)) for s in given]
    return [replace(s, end=max(s.end, s.start)) for s in moved]


def sentence_costs(found: Alignment, spoken: Reference) -> list[float]:
    """Mean cost of each sentence's frames; infinite where it has none."""
    borders = spoken.breaks[spoken.firsts]
    speaking = ~found.silent
    number = np.searchsorted(borders, found.frames[speaking], side="right") - 1
    count = len(spoken.sentences)
    totals = np.bincount(number, found.costs[speaking], minlength=count)[:count]
    frames = np.bincount(number, minlength=count)[:count]
    return [float(t / n) if n else float("inf") for t, n in zip(totals, frames, strict=True)]
