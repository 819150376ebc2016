"""Where the eyes look: mostly into the camera, with small quick jumps, away before a long sentence and in pauses.

While the head turns, the eyes turn back as far, so that the look stays where it was (vestibulo-ocular reflex). A
jump takes 21 ms and 2.2 ms more for each degree (the main sequence of saccades).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarctl.engines.puppet.phrasing import Curve, Phrasing, smooth

LARGEST_X, LARGEST_Y = 14.0, 10.0
"""Degrees."""
LARGE = 5.0
"""Degrees from which on a jump makes the lids blink."""

_JUMP, _A_DEGREE = 0.021, 0.0022
"""Seconds."""
_FIXATION, _USUAL_FIXATION = (0.6, 3.0), 1.3
_AWAY_FIXATION = (0.45, 1.1)
_NEAR = 1.0
"""Degrees around the camera's middle."""
_SMALL, _AVERTED = (1.0, 3.5), (5.0, 9.0)
_SMALL_SHARE, _AVERTED_SHARE = 0.45, 0.05
"""Of all fixations; the others rest in the camera."""
_LONG_SENTENCE, _LONG_PAUSE = 4.0, 0.5
"""Seconds."""
_AVERTS_IN_SENTENCE, _AVERTS_IN_PAUSE = 0.6, 0.35
_DRIFT, _DRIFT_HERTZ = 0.07, (0.2, 0.8)
_FULL, _NONE = 8.0, 20.0
"""Degrees of a turn up to which the eyes make good for all of it, and from which on for no more."""


@dataclass(frozen=True)
class Look:
    """`moments`: when each jump begins, seconds; `places`: where it goes, (n, 2) degrees to the right and down."""

    moments: Curve
    places: Curve

    @property
    def large(self) -> Curve:
        """When the jumps begin that a blink goes with."""
        sizes = np.linalg.norm(np.diff(self.places, axis=0, prepend=np.zeros((1, 2))), axis=1)
        found: Curve = self.moments[sizes > LARGE]
        return found


def plan(said: Phrasing, random: np.random.Generator) -> Look:
    """Fixations one after another; the first and the last one look into the camera."""
    away = _aversions(said, random)
    moments: list[float] = []
    places: list[tuple[float, float]] = []
    at = float(random.uniform(0.4, 1.4))
    end = said.duration - 0.35
    while at < end:
        if away and at >= away[0][0] - 0.35:
            begins, length = away.pop(0)
            begins = max(begins, at)
            if begins + length < end:
                moments += [begins, begins + length]
                places += [_direction(random, _AVERTED), (0.0, 0.0)]
                at = begins + length
        else:
            kind = random.uniform()
            if kind < _AVERTED_SHARE:
                place = _direction(random, _AVERTED)
            elif kind < _AVERTED_SHARE + _SMALL_SHARE:
                place = _direction(random, _SMALL)
            else:
                place = _direction(random, (0.0, _NEAR))
            moments.append(at)
            places.append(place)
        averted = bool(places) and np.hypot(*places[-1]) > LARGE - 1
        at += float(random.uniform(*_AWAY_FIXATION)) if averted else _fixation(random)
    if moments:
        moments.append(max(end, moments[-1] + 0.05))
        places.append((0.0, 0.0))
    return Look(np.array(moments), np.array(places).reshape(-1, 2))


def _fixation(random: np.random.Generator) -> float:
    return float(np.clip(random.gamma(3.0, _USUAL_FIXATION / 3.0), *_FIXATION))


def _aversions(said: Phrasing, random: np.random.Generator) -> list[tuple[float, float]]:
    """(beginning, length) of looks away: as a long sentence begins, and while the speaker is silent between phrases."""
    found = []
    for start, end in said.sentences:
        if end - start > _LONG_SENTENCE and random.uniform() < _AVERTS_IN_SENTENCE:
            found.append((max(start + float(random.uniform(-0.1, 0.25)), 0.15), float(random.uniform(*_AWAY_FIXATION))))
    for start, end in said.pauses[1:-1]:
        if end - start > _LONG_PAUSE and random.uniform() < _AVERTS_IN_PAUSE:
            found.append((start + 0.1, min(end - start, _AWAY_FIXATION[1])))
    return sorted(found)


def _direction(random: np.random.Generator, sizes: tuple[float, float]) -> tuple[float, float]:
    """A place at a distance within `sizes`; sideways rather than up or down."""
    size, angle = float(random.uniform(*sizes)), float(random.uniform(0, 2 * np.pi))
    return size * float(np.cos(angle)), 0.6 * size * float(np.sin(angle))


def curves(look: Look, time: Curve) -> tuple[Curve, Curve]:
    """Degrees to the right and down over time, without the head's motion."""
    if not len(look.moments):
        return np.zeros(len(time)), np.zeros(len(time))
    before = np.vstack([np.zeros((1, 2)), look.places[:-1]])
    takes = _JUMP + _A_DEGREE * np.linalg.norm(look.places - before, axis=1)
    # Before the first jump its share is 0.
    number = np.maximum(np.searchsorted(look.moments, time, side="right") - 1, 0)
    share = smooth((time - look.moments[number]) / takes[number])[:, None]
    place = before[number] + share * (look.places[number] - before[number])
    return place[:, 0], place[:, 1]


def drift(time: Curve, random: np.random.Generator) -> tuple[Curve, Curve]:
    """The eyes are never quite still; degrees."""
    x, y = (
        sum(
            np.sin(2 * np.pi * (f * time + p))
            for f, p in zip(random.uniform(*_DRIFT_HERTZ, 3), random.uniform(size=3), strict=True)
        )
        for _ in range(2)
    )
    return _DRIFT / 3 * np.asarray(x), _DRIFT / 3 * np.asarray(y)


def held(turn: Curve) -> Curve:
    """How far the eyes turn back in a head that is turned by so many degrees: all the way for small turns."""
    size = np.abs(turn)
    over = np.clip((size - _FULL) / (_NONE - _FULL), 0, 1)
    kept = np.minimum(size, _FULL) + (_NONE - _FULL) * (over - over * over / 2)
    back: Curve = -np.sign(turn) * kept
    return back
