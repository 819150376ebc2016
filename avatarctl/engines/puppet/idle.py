"""What a head does beside speaking: it sways, takes another posture, nods with stress, tilts at questions; it breathes.

All of it comes from one seeded generator, so equal sentences move equally and different ones do not.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from avatarctl.engines.puppet.phrasing import Curve, Phrasing, eased, smooth

_SWAY = {"yaw": 2.0, "pitch": 1.1, "roll": 1.1, "tx": 0.018, "ty": 0.01}
"""Largest slow motion: degrees, and u for the last two."""
_POSTURE = {"yaw": 1.9, "pitch": 0.8, "roll": 1.3, "tx": 0.012}
_SLOW, _QUICK = (0.12, 0.42), (0.6, 1.0)
"""Hertz."""
_QUICK_SHARE = 0.22
_WAVES = 5
_POSTURE_HELD, _POSTURE_TAKEN = (3.5, 8.0), (0.8, 1.6)
"""Seconds."""

_NOD_DEGREES, _NOD_WIDTH = 1.9, 0.13
_LIFT, _LIFT_BEFORE = 0.35, 0.24
"""Before a nod the chin rises a little: by that part of it, so many seconds before."""
_TILT_DEGREES = 1.5
_BROW_STRESS, _BROW_QUESTION = 0.034, 0.05

_CYCLE = (3.5, 5.0)
"""Seconds of a breath at rest."""
_INHALED = 0.4
"""Part of a cycle at rest during which the chest rises."""
_RESTING = (0.42, 0.58)
_QUICK_INHALE = (0.28, 0.55)
"""Seconds."""
_SECOND_OF_SPEECH, _SMALLEST, _LARGEST = 0.14, 0.4, 1.0
_LEFT = 0.08
"""What is left of a breath at the end of a phrase."""
_LIFTED = 0.006
"""How far a full breath lifts the head, u."""


def head(
    said: Phrasing, question: Curve, time: Curve, tempo: Curve, fps: int, random: np.random.Generator
) -> dict[str, Curve]:
    """Each head control over time; `tempo`: how fast it sways at each moment, 1 as usual."""
    clock = np.concatenate([[0.0], np.cumsum(tempo[:-1])]) / fps
    moved = sway(clock, said.silent, random)
    for name, curve in postures(said, time, random).items():
        moved[name] = moved[name] + curve
    moved["pitch"] = moved["pitch"] + nods(said, len(time), fps)
    moved["roll"] = moved["roll"] + tilt(question, random)
    return moved


def sway(clock: Curve, circular: bool, random: np.random.Generator) -> dict[str, Curve]:
    """Band-limited noise for each head control, within 1.22 of its largest slow motion; `clock` in seconds.

    A circular one has whole cycles, and is 0 at both ends.
    """
    return {
        name: size * (_noise(clock, _SLOW, circular, random) + _QUICK_SHARE * _noise(clock, _QUICK, circular, random))
        for name, size in _SWAY.items()
    }


def _noise(clock: Curve, band: tuple[float, float], circular: bool, random: np.random.Generator) -> Curve:
    """A few sine waves at random within the band; within -1..1."""
    frequencies = random.uniform(*band, _WAVES)
    phases = random.uniform(0, 2 * math.pi, _WAVES)
    weights = random.uniform(0.5, 1.0, _WAVES)
    if circular and clock[-1] > 0:
        frequencies = np.maximum(np.round(frequencies * clock[-1]), 1) / clock[-1]
    waves = np.sin(2 * math.pi * np.outer(frequencies, clock) + phases[:, None])
    total: Curve = weights @ waves / weights.sum()
    # Waves rarely agree: their sum has to be raised to fill the range.
    total = np.tanh(1.8 * total)
    return (total - total[0]) / (1 + abs(total[0])) if circular else total


def postures(said: Phrasing, time: Curve, random: np.random.Generator) -> dict[str, Curve]:
    """Now and then another posture, taken slowly where a phrase begins; 0 at both ends of a clip without speech."""
    moments, places = [0.0], [np.zeros(len(_POSTURE))]
    at = float(random.uniform(0.3, 1.0)) * _POSTURE_HELD[0]
    begins = np.array([start for start, _ in said.phrases])
    while at < said.duration - 2 * _POSTURE_TAKEN[1]:
        if len(begins) and abs(nearest := begins[np.abs(begins - at).argmin()] - at) < 1.0:
            at = max(at + float(nearest), moments[-1] + 0.1)
        takes = float(random.uniform(*_POSTURE_TAKEN))
        moments += [at, at + takes]
        places += [places[-1], random.uniform(-1, 1, len(_POSTURE))]
        at += takes + float(random.uniform(*_POSTURE_HELD))
    # The last part of a silent clip leads back to where it began.
    moments += [max(said.duration - _POSTURE_TAKEN[1], moments[-1] + 1e-3), max(said.duration, moments[-1] + 2e-3)]
    places += [places[-1], places[0] if said.silent else places[-1]]
    curves = np.array(places)
    return {
        name: size * eased(np.array(moments), curves[:, i], time) for i, (name, size) in enumerate(_POSTURE.items())
    }


def bells(centres: Curve, heights: Curve, width: float, frames: int, fps: int) -> Curve:
    """One bell for each centre, seconds; float64 (frames,)."""
    curve = np.zeros(frames)
    reach = math.ceil(3 * width * fps)
    near = np.round(centres * fps).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    heights = heights[:, None] * np.exp(-(((near / fps - centres[:, None]) / width) ** 2))
    inside = (near >= 0) & (near < frames)
    np.add.at(curve, near[inside], heights[inside])
    return curve


def nods(said: Phrasing, frames: int, fps: int) -> Curve:
    """Degrees down with the accents, after a little lift."""
    taken = said.accents > 0
    centres, accents = said.beats[taken], said.accents[taken]
    down = np.tanh(bells(centres, accents, _NOD_WIDTH, frames, fps))
    lift = bells(centres - _LIFT_BEFORE, _LIFT * accents, 0.8 * _NOD_WIDTH, frames, fps)
    return _NOD_DEGREES * (down - np.tanh(lift))


def questions(said: Phrasing, time: Curve) -> Curve:
    """Rises over the second half of each sentence that asks; 0..1."""
    curve = np.zeros(len(time))
    for start, end in said.questions:
        first, last = np.searchsorted(time, (start, end + 0.5))
        length = max(end - start, 0.2)
        rise = smooth((time[first:last] - start - 0.4 * length) / (0.4 * length))
        fall = 1 - smooth((time[first:last] - end) / 0.45)
        curve[first:last] = np.maximum(curve[first:last], rise * fall)
    return curve


def tilt(question: Curve, random: np.random.Generator) -> Curve:
    """Roll of the head at questions, degrees, to one side or the other."""
    side = 1.0 if random.uniform() < 0.5 else -1.0
    return side * float(random.uniform(0.6, 1.0)) * _TILT_DEGREES * question


def brows(said: Phrasing, question: Curve, frames: int, fps: int, random: np.random.Generator) -> Curve:
    """Rise of the brows, u: with some of the accents, and with questions."""
    raised = random.uniform(0, 1, len(said.accents)) < 0.75
    stress = np.tanh(bells(said.beats - 0.04, said.accents * raised, 1.3 * _NOD_WIDTH, frames, fps))
    return _BROW_STRESS * stress + _BROW_QUESTION * question


def breathing(said: Phrasing, time: Curve, random: np.random.Generator) -> Curve:
    """Rise of the chest, 0..1, 0 at both ends: quick before each phrase, slowly down over it, in cycles between."""
    points = [(0.0, 0.0)]
    for i, pause in enumerate(said.pauses):
        start, end = pause
        phrase = said.phrases[i] if i < len(said.phrases) else None
        full = 0.0
        if phrase is not None:
            longer = _SECOND_OF_SPEECH * (phrase[1] - phrase[0]) + float(random.uniform(-0.08, 0.08))
            full = float(np.clip(_SMALLEST + longer, _SMALLEST, _LARGEST))
        quick = float(random.uniform(*_QUICK_INHALE))
        heard = next((b for b in said.breaths if start <= b[0] < end), None)
        begins = heard[0] if heard else max(start, end - quick) if phrase is not None else end
        _cycles(points, begins, circular=said.silent, random=random)
        if phrase is None:
            break
        _add(points, begins, points[-1][1])
        peak = heard[1] if heard else max(end, begins + _QUICK_INHALE[0])
        peak = min(peak, (phrase[0] + phrase[1]) / 2) if peak > end else peak
        _add(points, peak, full)
        _add(points, phrase[1], min(_LEFT, full))
    last = points[-1][0]
    if said.duration > last:
        # Out of breath at the very end, so that clips join.
        _add(points, min(max(last + 0.05, said.duration - 0.1), said.duration), 0.0)
        points.append((said.duration + 0.1, 0.0))
    moments, values = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    return np.clip(eased(moments, values, time), 0.0, 1.0)


def _cycles(points: list[tuple[float, float]], until: float, *, circular: bool, random: np.random.Generator) -> None:
    """Whole breaths at rest from the last point until a moment, if there is time for one."""
    begins = points[-1][0]
    room = until - begins
    count = round(room / float(random.uniform(*_CYCLE)))
    if circular:
        count = max(count, 1) if room > 1.5 else 0
    elif room < _CYCLE[0]:
        count = 0
    if not count:
        return
    shares = random.uniform(0.9, 1.1, count)
    borders = begins + room * np.concatenate([[0.0], np.cumsum(shares) / shares.sum()])
    for start, end in itertools.pairwise(borders):
        height = float(random.uniform(*_RESTING))
        _add(points, start + _INHALED * (end - start), height)
        _add(points, end, 0.0)


def _add(points: list[tuple[float, float]], moment: float, value: float) -> None:
    if moment > points[-1][0] + 1e-3:
        points.append((moment, value))


def lifted(breath: Curve) -> Curve:
    """How far a breath moves the head down (it lifts it), u."""
    return -_LIFTED * breath
