"""What a face does beside speaking: the head sways, nods with stress, brows rise, eyes blink.

All of it comes from one seeded generator, so equal sentences move equally and different ones do not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.controls import INDEX
from avatarctl.text.timings import Timings

_SWAY = {"yaw": 2.6, "pitch": 1.5, "roll": 1.4, "tx": 0.02, "ty": 0.012}
"""Largest slow motion: degrees, and u for the last two."""
_SLOW, _QUICK = (0.12, 0.42), (0.6, 1.0)
"""Hertz."""
_QUICK_SHARE = 0.22
_WAVES = 5

_NOD_DEGREES, _NOD_WIDTH = 1.5, 0.13
_BROW_STRESS, _BROW_QUESTION = 0.022, 0.035

_CLOSING, _CLOSED, _OPENING = 0.085, 0.035, 0.16
"""Seconds of a blink's parts: lids fall faster than they rise."""
_BLINK_MARGIN = 0.1
_SHORTEST_GAP, _MEAN_GAP = 1.0, 3.1
"""Seconds between the beginnings of two blinks; 60 / 3.4 is about 18 a minute."""


def sway(frames: int, fps: int, random: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Band-limited noise for each head control, float64 (frames,), within 1.22 of its largest slow motion."""
    time = np.arange(frames) / fps
    return {
        name: size * (_noise(time, _SLOW, random) + _QUICK_SHARE * _noise(time, _QUICK, random))
        for name, size in _SWAY.items()
    }


def _noise(time: NDArray[np.float64], band: tuple[float, float], random: np.random.Generator) -> NDArray[np.float64]:
    """A few sine waves at random within the band; within -1..1."""
    frequencies = random.uniform(*band, _WAVES)
    phases = random.uniform(0, 2 * math.pi, _WAVES)
    weights = random.uniform(0.5, 1.0, _WAVES)
    waves = np.sin(2 * math.pi * np.outer(frequencies, time) + phases[:, None])
    total: NDArray[np.float64] = weights @ waves / weights.sum()
    # Waves rarely agree: their sum has to be raised to fill the range.
    return np.tanh(1.8 * total)


def nods(timings: Timings, frames: int, fps: int, random: np.random.Generator) -> NDArray[np.float64]:
    """One bell for each stressed vowel, of random strength; float64 (frames,), 0..1."""
    stressed = np.array([(p.start + p.end) / 2 for p in timings.phonemes if p.stress == 2])
    strengths = random.uniform(0.15, 1.0, len(stressed))
    curve = np.zeros(frames)
    if len(stressed) == 0:
        return curve
    reach = math.ceil(4 * _NOD_WIDTH * fps)
    near = np.round(stressed * fps).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    bells = strengths[:, None] * np.exp(-(((near / fps - stressed[:, None]) / _NOD_WIDTH) ** 2))
    inside = (near >= 0) & (near < frames)
    np.add.at(curve, near[inside], bells[inside])
    return np.tanh(curve)


def questions(timings: Timings, frames: int, fps: int) -> NDArray[np.float64]:
    """Rises over the second half of each sentence that asks; float64 (frames,), 0..1."""
    curve = np.zeros(frames)
    time = np.arange(frames) / fps
    for sentence in timings.sentences:
        if "?" in sentence.text[-4:]:
            first, last = np.searchsorted(time, (sentence.start, sentence.end + 0.5))
            length = max(sentence.end - sentence.start, 0.2)
            rise = _smooth((time[first:last] - sentence.start - 0.4 * length) / (0.4 * length))
            fall = 1 - _smooth((time[first:last] - sentence.end) / 0.45)
            curve[first:last] = np.maximum(curve[first:last], rise * fall)
    return curve


def brows(nod: NDArray[np.float64], question: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rise of the brows, u."""
    return _BROW_STRESS * nod + _BROW_QUESTION * question


def blinks(timings: Timings, frames: int, fps: int, often: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Closing of the lids, float64 (frames,), 0..1; whole blinks only, each with one fully closed frame.

    A blink is drawn to a pause of the speech nearby, as people do.
    """
    curve = np.zeros(frames)
    if often <= 0:
        return curve
    pauses = np.array(
        [(a.end + b.start) / 2 for a, b in zip(timings.phonemes, timings.phonemes[1:], strict=False)
         if b.start - a.end > 0.1]
    )  # fmt: skip
    time = np.arange(frames) / fps
    duration = (frames - 1) / fps
    moment = random.uniform(0, 1) * _gap(random, often)
    previous = -math.inf
    while moment < duration:
        centre = moment
        if len(pauses):
            nearest = pauses[np.abs(pauses - moment).argmin()]
            centre = nearest if abs(nearest - moment) < 0.35 else moment
        centre = round(centre * fps) / fps
        begins, ends = centre - _CLOSING - _CLOSED / 2, centre + _CLOSED / 2 + _OPENING
        if begins >= max(_BLINK_MARGIN, previous + 0.3) and ends <= duration - _BLINK_MARGIN:
            first, last = np.searchsorted(time, (begins, ends))
            offset = time[first:last] - centre
            falling = _smooth(1 + (offset + _CLOSED / 2) / _CLOSING)
            rising = 1 - _smooth((offset - _CLOSED / 2) / _OPENING)
            curve[first:last] = np.maximum(curve[first:last], np.minimum(falling, rising))
            previous = ends
        moment += _gap(random, often)
    return curve


def _gap(random: np.random.Generator, often: float) -> float:
    return (_SHORTEST_GAP + float(random.exponential(_MEAN_GAP - _SHORTEST_GAP))) / often


def _smooth(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth step from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def add_to(
    values: NDArray[np.float64],
    timings: Timings,
    fps: int,
    *,
    motion: float,
    often: float,
    still: bool,
    random: np.random.Generator,
) -> None:
    """Add head, brows and lids to the controls, (frames, controls), in place."""
    frames = len(values)
    head = sway(frames, fps, random)
    nod = nods(timings, frames, fps, random)
    lids = blinks(timings, frames, fps, often, random)
    if not still:
        for name, curve in head.items():
            values[:, INDEX[name]] += motion * curve
        values[:, INDEX["pitch"]] += motion * _NOD_DEGREES * nod
    values[:, INDEX["brow"]] += motion * brows(nod, questions(timings, frames, fps))
    values[:, INDEX["blink"]] = lids
