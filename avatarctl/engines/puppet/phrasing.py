"""What a face reacts to in speech: phrases and the pauses between them, stressed sounds, questions, breaths."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatarctl.text import articulation
from avatarctl.text.loudness import Loudness
from avatarctl.text.timings import Timings

_NOD_SHARE = 0.6
"""Part of the stressed sounds that the head beats at most."""
_NODS_APART, _BESIDE = 0.42, 5
"""Seconds between two nods, and how many stressed sounds there may be in that time."""
_A_DECIBEL = 0.05

Curve = NDArray[np.float64]
Span = tuple[float, float]


@dataclass(frozen=True)
class Phrasing:
    """Seconds from the clip's beginning. `pauses`: the silence before each phrase, and the one after the last;
    one more than `phrases`. `beats`: stressed vowels; `accents`: how strongly the head beats each, 0 for most.
    """

    duration: float
    phrases: list[Span]
    pauses: list[Span]
    beats: Curve
    accents: Curve
    sentences: list[Span]
    questions: list[Span]
    breaths: list[Span]

    @property
    def silent(self) -> bool:
        """Whether nothing is said at all: the face waits, and its clip may be played in a circle."""
        return not self.phrases

    def speaking(self, moment: float) -> bool:
        """Whether a phrase is under way."""
        return any(a <= moment <= b for a, b in self.phrases)


def phrasing(timings: Timings, loudness: Loudness | None, random: np.random.Generator) -> Phrasing:
    """Read it off the timings; which beats the head takes is left to chance."""
    spans = articulation.phrases(timings)
    borders = [0.0, *(moment for phrase in spans for moment in phrase), max(timings.duration, 0.0)]
    pauses = [(borders[i], borders[i + 1]) for i in range(0, len(borders) - 1, 2)]
    stressed = [p for p in timings.phonemes if p.stress == 2]
    starts, ends = np.array([p.start for p in stressed]), np.array([p.end for p in stressed])
    beats = (starts + ends) / 2
    return Phrasing(
        duration=timings.duration,
        phrases=spans,
        pauses=pauses,
        beats=beats,
        accents=_accents(starts, ends, spans, loudness, random),
        sentences=[(s.start, s.end) for s in timings.sentences],
        questions=[(s.start, s.end) for s in timings.sentences if _asks(s.text)],
        breaths=[b for a in pauses[1:-1] if loudness is not None and (b := loudness.breath(*a)) is not None],
    )


def _asks(text: str) -> bool:
    return any(mark in text[-4:] for mark in "?？؟")


def _accents(
    starts: Curve, ends: Curve, phrases: list[Span], loudness: Loudness | None, random: np.random.Generator
) -> Curve:
    """The head beats about every other stress: rather the loud ones, and the last one of a phrase most of all."""
    count = len(starts)
    if not count:
        return np.zeros(0)
    weights = random.uniform(0, 1, count)
    strengths = random.uniform(0.3, 1.0, count)
    if loudness is not None:
        levels = loudness.over(starts, ends)
        weights += _A_DECIBEL * np.clip(levels - np.median(levels), -8, 8)
    last = np.searchsorted(starts, [end for _, end in phrases]) - 1
    weights[last[last >= 0]] += 0.35
    accents = np.zeros(count)
    kept = np.full(count, -np.inf)
    most = math.ceil(_NOD_SHARE * count)
    for number in np.argsort(-weights, kind="stable")[:most]:
        # Sounds are in order, so the nearest that was taken is found among the ones beside it.
        beside = kept[max(number - _BESIDE, 0) : number + _BESIDE + 1]
        if np.abs(beside - starts[number]).min() >= _NODS_APART:
            kept[number] = starts[number]
            accents[number] = strengths[number] * min(max(0.6 + 0.5 * weights[number], 0.5), 1.1)
    return accents


def smooth(x: Curve) -> Curve:
    """Smooth step from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def eased(moments: Curve, values: Curve, time: Curve) -> Curve:
    """From value to value at the given moments (rising), at rest in each; float64 like `time`."""
    following = np.clip(np.searchsorted(moments, time, side="right"), 1, len(moments) - 1)
    before, after = moments[following - 1], moments[following]
    share = smooth((time - before) / np.maximum(after - before, 1e-6))
    curve: Curve = values[following - 1] + share * (values[following] - values[following - 1])
    return curve
