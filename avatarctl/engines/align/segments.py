"""From features of a recording to sounds: five vowels, `s` for hiss, `n` for faint voice between louder sounds, `m`
where the lips seem to close, gaps for silence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import closures
from avatarctl.engines.align.features import HOP, Features
from avatarctl.text.timings import Phoneme

SILENCE, CLOSURE, HISS, FAINT = "", "m", "s", "n"
_VOWELS: dict[str, tuple[float, float, float]] = {
    "a": (-8.0, 7.0, 5.0),
    "e": (-5.0, -8.0, -18.0),
    "i": (-9.0, -22.0, -30.0),
    "o": (-14.0, 0.0, 9.0),
    "u": (-27.0, -13.0, 13.0),
}
"""`front`, `height` and `back` of each vowel, dB, between those of men and of women."""
_WEIGHTS = np.array([1.0, 1.5, 1.0], np.float32)
_USUAL_FRONT, _TILT_SHARE = -11.0, 0.7
_FAINT, _FAINT_REACH = 11.0, 0.2
"""Decibels below the loudest within so many seconds: there a voice is a consonant's, n, l or d, not a vowel's."""

_ABOVE_NOISE, _BELOW_SPEECH = 8.0, 32.0
_SMALLEST_RANGE = 12.0
"""Decibels."""
_SILENT_LEVEL = -62.0
_HISS_SHARE = 0.45
_OPENS_WITHIN = 0.06
"""Seconds behind a closure within which something is heard."""
_FAINTER, _REACH = 2.0, 0.12
"""Decibels by which a closure is fainter than the loudest that lies within so many seconds."""
_SHORTEST_CLOSURE = 0.03
_SHORTEST, _SHORTEST_SILENCE = 0.04, 0.08
"""Seconds."""
_LABELS = (SILENCE, CLOSURE, HISS, *_VOWELS, FAINT)


def find(features: Features) -> list[Phoneme]:
    """The sounds in order, seconds from the recording's beginning; empty when there is none.

    Loud vowels have primary stress, quiet ones none, so that the mouth opens with the voice.
    """
    level = features.level
    if len(level) == 0:
        return []
    smooth = _smoothed(level)
    speech = float(np.percentile(smooth, 95))
    noise = float(np.percentile(smooth, 10))
    if speech < _SILENT_LEVEL:
        return []
    # A recording without any pause has no noise to be seen: its quietest moments are speech too.
    floor = noise + _ABOVE_NOISE if speech - noise > _SMALLEST_RANGE + _ABOVE_NOISE else speech - _BELOW_SPEECH
    threshold = max(floor, speech - _BELOW_SPEECH, _SILENT_LEVEL)
    sounding = level >= threshold
    labels = np.zeros(len(level), np.int8)
    voiced = sounding & (features.hiss < _HISS_SHARE)
    labels[voiced] = _vowels(features, voiced)
    labels[sounding & ~voiced] = _LABELS.index(HISS)
    closed = _closures(features, smooth, sounding)
    labels[voiced & (smooth < _loudest_near(smooth, _FAINT_REACH) - _FAINT)] = _LABELS.index(FAINT)
    labels[closed] = _LABELS.index(CLOSURE)
    runs = _runs(labels)
    return _phonemes(runs, smooth, speech)


def _smoothed(level: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(level, 1, mode="edge")
    mean: NDArray[np.float32] = (padded[:-2] + padded[1:-1] + padded[2:]) / np.float32(3)
    return mean


def _vowels(features: Features, voiced: NDArray[np.bool_]) -> NDArray[np.int8]:
    """The label of the nearest vowel for each voiced frame."""
    front, height, back = features.front[voiced], features.height[voiced], features.back[voiced]
    if len(front) == 0:
        return np.zeros(0, np.int8)
    # Voices and microphones fall off differently towards high sound. Most of that is taken out, not all: the
    # median belongs to what was said as well as to who said it.
    tilt = _TILT_SHARE * np.clip(np.median(front) - _USUAL_FRONT, -20.0, 10.0)
    measured = np.stack([front - tilt, height, back + tilt], axis=1).astype(np.float32)
    targets = np.array(list(_VOWELS.values()), np.float32)
    distance = ((measured[:, None] - targets) ** 2 * _WEIGHTS).sum(axis=2)
    nearest: NDArray[np.int8] = (_LABELS.index("a") + distance.argmin(axis=1)).astype(np.int8)
    return nearest


def _closures(features: Features, smooth: NDArray[np.float32], sounding: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Frames in which the lips seem to be closed: fainter ones than those around. The silence before a p belongs to it,
    not that of a pause."""
    closed = np.zeros(len(sounding), np.bool_)
    around = _loudest_near(smooth, _REACH)
    for start, end in closures.spans(features.bands):
        fainter = float(around[start:end].max() - smooth[start:end].min()) >= _FAINTER
        if fainter and sounding[start : end + round(_OPENS_WITHIN / HOP)].any():
            closed[start:end] = True
    return closed


def _loudest_near(level: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
    """The maximum of what lies within `seconds` of each frame."""
    reach = round(seconds / HOP)
    return np.maximum(_running_maximum(level, reach), _running_maximum(level[::-1], reach)[::-1])


def _running_maximum(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """The maximum of each value and the `reach` before it."""
    padded = np.pad(values, (reach, 0), constant_values=-200.0)
    result: NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(padded, reach + 1).max(axis=1)
    return result


def _runs(labels: NDArray[np.int8]) -> list[tuple[int, int, str]]:
    """(first frame, frame behind the last, label) with splinters given to the vowel before them or to what follows."""
    borders = np.flatnonzero(np.diff(labels)) + 1
    starts = [0, *borders.tolist()]
    ends = [*borders.tolist(), len(labels)]
    runs = [(a, b, _LABELS[labels[a]]) for a, b in zip(starts, ends, strict=True)]
    kept: list[tuple[int, int, str]] = []
    waiting: int | None = None
    for start, end, label in runs:
        shortest = _SHORTEST_SILENCE if label == SILENCE else _SHORTEST_CLOSURE if label == CLOSURE else _SHORTEST
        outer = start == 0 or end == len(labels)
        if (end - start) * HOP < shortest - 1e-9 and not (outer and label == SILENCE):
            if kept and kept[-1][2] in _VOWELS:
                kept[-1] = (kept[-1][0], end, kept[-1][2])
            elif label != SILENCE and waiting is None:
                waiting = start
            continue
        begin = start if waiting is None or label == SILENCE else waiting
        waiting = None
        if kept and kept[-1][2] == label:
            kept[-1] = (kept[-1][0], end, label)
        else:
            kept.append((max(begin, kept[-1][1]) if kept else begin, end, label))
    return kept


def _phonemes(runs: list[tuple[int, int, str]], smooth: NDArray[np.float32], speech: float) -> list[Phoneme]:
    found = []
    for start, end, label in runs:
        if label == SILENCE:
            continue
        stress = 0
        if label in _VOWELS:
            loudest = float(smooth[start:end].max())
            stress = 2 if loudest > speech - 3 else 1 if loudest > speech - 9 else 0
        found.append(Phoneme(round(start * HOP, 4), round(end * HOP, 4), label, stress))
    return found
