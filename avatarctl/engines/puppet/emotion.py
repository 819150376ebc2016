"""What a face shows beside its words: each emotion is a pose over the controls, blended in and out with sentences.

The mood is what the face rests in where no emotion is named. A clip begins in what the sentence before it left on the
face, or in the mood, and ends in its own last emotion: so clips join without a jump, and two sad sentences without a
neutral face between them; and a clip depends on the past alone, since an answer is filmed while it is still written.

Poses are as strong as it takes to name them at a glance, at rest and while speaking, on a face that smiles in the
photo and on one whose glasses hide the brows: so the posture of the head is a part of each.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatarctl.engines.puppet.controls import CONTROLS, INDEX
from avatarctl.engines.puppet.phrasing import Curve, smooth
from avatarctl.text.timings import Span, Timings

RESTING = 0.75
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
    "happy": {"smile": 0.92, "cheek": 0.08, "squint": 0.055, "brow": 0.02, "pitch": -1.8, "roll": 2.6, "ty": -0.006},
    "sad": {"smile": -1.0, "brow_inner": 0.1, "furrow": 0.022, "brow": -0.014, "lid": 0.2, "gaze_y": 4.5}
    | {"pitch": 6.0, "roll": -2.8, "ty": 0.026},
    "thinking": {"smile": -0.25, "brow": 0.012, "brow_skew": 0.052, "furrow": 0.03, "squint": 0.026, "gaze_x": 9.0}
    | {"gaze_y": -6.5, "yaw": 4.0, "pitch": -1.6, "roll": 4.4},
    "surprised": {"open": 0.1, "jaw": 0.11, "round": 0.3, "brow": 0.1, "brow_inner": 0.015, "lid": -0.17}
    | {"pitch": -4.0, "ty": -0.03},
}
"""In the units of the controls, at full strength; what one does to the mouth is to be seen between phrases."""
_BOUNDS = {"smile": (-1.0, 1.0), "lid": (-0.3, 0.4), "brow": (-0.2, 0.2)}
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


def rest(name: str, mood: str, strength: float) -> Curve:
    """What the face is in where a clip begins or ends with an emotion, or with the mood itself."""
    row = _lasting(name, mood) * pose(name, strength)
    bound(row)
    return row


def _lasting(name: str, mood: str) -> float:
    """Part of an emotion that stays on the face at rest: nobody stays as surprised as they were."""
    return _REMAINS if name == "surprised" != mood else RESTING


def of_sentences(timings: Timings, mood: str, emotions: Sequence[str]) -> list[str]:
    """The emotion of each sentence. `emotions`: one for each, "" for the mood; the last one holds for those left."""
    count = len(timings.sentences) or bool(timings.phonemes)
    return [(emotions[min(i, len(emotions) - 1)] if emotions else "") or mood for i in range(count)]


def bound(rows: Curve) -> None:
    """Keep the controls of one or more rows within what a face can do, in place; (..., controls)."""
    for name, (least, most) in _BOUNDS.items():
        column = rows[..., INDEX[name]]
        rows[..., INDEX[name]] = np.clip(column, least, most)


@dataclass(frozen=True)
class Shown:
    """`rows`: what the emotions add to the controls, (frames, controls); `tempo`: of the head's motion, (frames,)."""

    rows: Curve
    tempo: Curve


def shown(timings: Timings, time: Curve, mood: str, before: str, named: Sequence[str], strength: float) -> Shown:
    """The emotions of the sentences over time, from that of the sentence before to the rest of the last one.

    Args:
        before: the emotion in which the clip begins.
        named: `of_sentences`; of a clip without any, the face stays as it is.
    """
    last = named[-1] if named else before
    begins_in, ends_in = (rest(name, mood, strength) for name in (before, last))
    rows = np.tile(begins_in, (len(time), 1))
    tempo = np.full(len(time), TEMPO[before])
    states = _states(named, timings.sentences or (Span(0.0, timings.duration, ""),)[: len(named)])
    blend = min(BLEND, float(time[-1]) / 2)
    borders = _borders(states, float(time[-1]), blend)
    risen = [smooth((time - begins) / blend) for begins in borders]
    jumped = [smooth((time - begins - blend / 2) / _JUMP) for begins in borders]
    for i, (name, start, _) in enumerate(states):
        weight, looks = risen[i] - risen[i + 1], jumped[i] - jumped[i + 1]
        strong = np.ones(len(time))
        if name == "surprised":
            strong -= (1 - _lasting(name, mood)) * smooth((time - max(start - _EARLY, 0.0) - _STARTLED) / _RECOVERS)
        whole = pose(name, strength)
        for column in np.flatnonzero((whole != 0) | (begins_in != 0)):
            share = looks if column in _EYES else weight
            rows[:, column] += share * (strong * whole[column] - begins_in[column])
        tempo += weight * (TEMPO[name] - TEMPO[before])
    if last != before:
        for column in np.flatnonzero(begins_in != ends_in):
            share = jumped[-1] if column in _EYES else risen[-1]
            rows[:, column] += share * (ends_in[column] - begins_in[column])
        tempo += risen[-1] * (TEMPO[last] - TEMPO[before])
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
