"""What a face shows beside its words: each emotion is a pose over the controls, blended in and out with sentences.

The mood is what the face rests in: every clip begins and ends with it, so that clips join without a jump.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatarctl.engines.puppet.controls import CONTROLS, INDEX
from avatarctl.engines.puppet.phrasing import Curve, smooth
from avatarctl.text.timings import Span, Timings

RESTING = 0.6
"""Part of an emotion that stays on the face at rest."""
BLEND = 0.45
"""Seconds from one emotion to the next."""
_JUMP = 0.05
"""Seconds in which the eyes go over to another direction: they jump."""
_EARLY = 0.15
"""Seconds by which the face is ahead of the sentence."""
_LATE = 0.1
"""Seconds for which the face keeps what it shows behind the last sentence."""
_STARTLED, _RECOVERS, _REMAINS = 1.2, 0.8, 0.5
"""Surprise is whole for so many seconds, then falls in so many, and this part of it remains."""

POSES: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {"smile": 0.7, "cheek": 0.05, "squint": 0.028, "brow": 0.012, "pitch": -0.8, "roll": 1.2, "ty": -0.004},
    "sad": {"smile": -0.5, "brow_inner": 0.045, "furrow": 0.012, "brow": -0.006, "lid": 0.16, "gaze_y": 3.0}
    | {"pitch": 3.0, "roll": -1.2, "ty": 0.012},
    "thinking": {"smile": -0.08, "brow": 0.006, "brow_skew": 0.025, "furrow": 0.018, "squint": 0.014, "gaze_x": 5.0}
    | {"gaze_y": -4.0, "yaw": 1.6, "pitch": -1.0, "roll": 2.2},
    "surprised": {"brow": 0.075, "brow_inner": 0.012, "lid": -0.24, "smile": 0.06, "pitch": -1.6, "ty": -0.014},
}
"""In the units of the controls, at full strength."""
TEMPO = {"neutral": 1.0, "happy": 1.15, "sad": 0.72, "thinking": 0.85, "surprised": 1.15}
"""Of the head's motion."""
_EYES = {INDEX["gaze_x"], INDEX["gaze_y"]}
HEAD = ("yaw", "pitch", "roll", "tx", "ty", "gaze_x", "gaze_y")


def pose(name: str, strength: float) -> Curve:
    """An emotion as a row of controls."""
    row = np.zeros(len(CONTROLS))
    for control, value in POSES[name].items():
        row[INDEX[control]] = strength * value
    return row


def rest(mood: str, strength: float) -> Curve:
    """The first and the last row of every clip."""
    return RESTING * pose(mood, strength)


@dataclass(frozen=True)
class Shown:
    """`rows`: what the emotions add to the controls, (frames, controls); `tempo`: of the head's motion, (frames,)."""

    rows: Curve
    tempo: Curve


def shown(timings: Timings, time: Curve, mood: str, emotions: Sequence[str], strength: float) -> Shown:
    """The emotions of the sentences over time, from the mood and back to it.

    Args:
        emotions: one for each sentence, "" for the mood; the last one holds for those that are left. None: the mood.
    """
    base = rest(mood, strength)
    rows = np.tile(base, (len(time), 1))
    tempo = np.full(len(time), TEMPO[mood])
    spans = timings.sentences or ((Span(0.0, timings.duration, ""),) if timings.phonemes else ())
    named = [(emotions[min(i, len(emotions) - 1)] if emotions else "") or mood for i in range(len(spans))]
    states = _states(named, spans)
    blend = min(BLEND, float(time[-1]) / 3)
    borders = _borders(states, float(time[-1]), blend)
    risen = [smooth((time - begins) / blend) for begins in borders]
    jumped = [smooth((time - begins - blend / 2) / _JUMP) for begins in borders]
    for i, (name, start, _) in enumerate(states):
        weight, looks = risen[i] - risen[i + 1], jumped[i] - jumped[i + 1]
        strong = np.ones(len(time))
        if name == "surprised":
            remains = RESTING if mood == name else _REMAINS
            strong -= (1 - remains) * smooth((time - max(start - _EARLY, 0.0) - _STARTLED) / _RECOVERS)
        whole = pose(name, strength)
        for column in np.flatnonzero((whole != 0) | (base != 0)):
            share = looks if column in _EYES else weight
            rows[:, column] += share * (strong * whole[column] - base[column])
        tempo += weight * (TEMPO[name] - TEMPO[mood])
    return Shown(rows, tempo)


def _states(named: Sequence[str], spans: Sequence[Span]) -> list[tuple[str, float, float]]:
    """(emotion, start, end); equal ones in a row are one, but a second surprise is a new one."""
    states: list[tuple[str, float, float]] = []
    for name, span in zip(named, spans, strict=True):
        if states and states[-1][0] == name and name != "surprised":
            states[-1] = (name, states[-1][1], span.end)
        else:
            states.append((name, span.start, span.end))
    return states


def _borders(states: list[tuple[str, float, float]], end: float, blend: float) -> Curve:
    """When the blend into each state begins, in order, and the one back to rest, which is over at the end."""
    if not states:
        return np.zeros(0)
    middles = [(a[2] + b[1] - blend) / 2 for a, b in itertools.pairwise(states)]
    begins = np.maximum.accumulate([max(states[0][1] - _EARLY, 0.0), *middles, states[-1][2] + _LATE])
    ordered: Curve = np.clip(begins, 0.0, end - blend)
    return ordered
