"""When the lids close: 15 to 20 times a minute, rather in pauses, at ends of sentences and when the look jumps."""

from __future__ import annotations

import math

import numpy as np

from avatarctl.engines.puppet.phrasing import Curve, Phrasing, smooth

_CLOSING, _CLOSED, _OPENING = 0.085, 0.035, 0.16
"""Seconds of a blink's parts: lids fall faster than they rise."""
_MARGIN = 0.1
_SHORTEST_GAP, _MEAN_GAP = 1.0, 3.8
"""Seconds between the beginnings of two blinks."""
_PAUSE = 0.1
_DRAWN = 0.45
"""Seconds over which something draws a blink to it."""
_BEAT = 0.13
"""Seconds around a beat of the head that stay free of blinks."""
_DOUBLE, _INCOMPLETE = 0.07, 0.05
_DOUBLE_AFTER, _APART = 0.34, 0.3
"""Seconds from the middle of a blink to its double's; least seconds between two that are none."""
_DEPTH = (0.55, 0.8)


def blinks(said: Phrasing, jumps: Curve, frames: int, fps: int, often: float, random: np.random.Generator) -> Curve:
    """Closing of the lids, float64 (frames,), 0..1; each begins and ends within the clip.

    Args:
        jumps: when the look jumps far, seconds.
        often: factor of how many blinks there are.
    """
    curve = np.zeros(frames)
    if often <= 0:
        return curve
    time = np.arange(frames) / fps
    duration = (frames - 1) / fps
    beats = said.beats[said.accents > 0]
    drawing = _drawing(said, jumps)
    moment = float(random.uniform(0.2, 1.2)) * _gap(random, often)
    previous = -math.inf
    while moment < duration:
        centre = _freed(_drawn(moment, drawing), beats)
        chance, depth = float(random.uniform()), float(random.uniform(*_DEPTH))
        size = depth if chance < _INCOMPLETE else 1.0
        double = centre + _DOUBLE_AFTER
        centres = [centre, double] if chance > 1 - _DOUBLE and _freed(double, beats) == double else [centre]
        for number, at in enumerate(centres):
            free = previous + (0.0 if number else _APART)
            previous = _one(curve, time, round(at * fps) / fps, size, free, duration) or previous
        moment += _gap(random, often)
    return curve


def _one(curve: Curve, time: Curve, centre: float, size: float, free: float, duration: float) -> float | None:
    """Add a blink and return when it ends, if there is room for it. Its middle frame is closed."""
    begins, ends = centre - _CLOSING - _CLOSED / 2, centre + _CLOSED / 2 + _OPENING
    if begins < max(_MARGIN, free) or ends > duration - _MARGIN:
        return None
    first, last = np.searchsorted(time, (begins, ends))
    offset = time[first:last] - centre
    falling = smooth(1 + (offset + _CLOSED / 2) / _CLOSING)
    rising = 1 - smooth((offset - _CLOSED / 2) / _OPENING)
    curve[first:last] = np.maximum(curve[first:last], size * np.minimum(falling, rising))
    return ends


def _drawing(said: Phrasing, jumps: Curve) -> Curve:
    """Moments that draw a blink to them."""
    pauses = [(a + b) / 2 for a, b in said.pauses[1:-1] if b - a > _PAUSE]
    ends = [end + 0.08 for _, end in said.sentences]
    return np.sort(np.concatenate([np.array(pauses), np.array(ends), jumps + 0.02]))


def _drawn(moment: float, drawing: Curve) -> float:
    if not len(drawing):
        return moment
    nearest = float(drawing[np.abs(drawing - moment).argmin()])
    return nearest if abs(nearest - moment) < _DRAWN else moment


def _freed(moment: float, beats: Curve) -> float:
    """The same moment, or one just behind a beat of the head that it would fall upon."""
    for _ in range(4):
        if not len(beats) or abs(nearest := float(beats[np.abs(beats - moment).argmin()]) - moment) >= _BEAT:
            break
        moment += nearest + _BEAT
    return moment


def _gap(random: np.random.Generator, often: float) -> float:
    return (_SHORTEST_GAP + float(random.exponential(_MEAN_GAP - _SHORTEST_GAP))) / often
