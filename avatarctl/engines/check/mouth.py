"""Mouth and eyes as they were seen, against what was called for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check.sound import peak_between

Floats = NDArray[np.float64]

REACH = 0.4
"""Seconds by which mouth and sound may be apart and still be compared."""
FEWEST = 25
"""Pictures below which nothing is correlated."""
SURE = 0.4
"""Correlation below which a lag means nothing."""
PAUSE = 0.3
"""Seconds of silence in which the mouth has time to rest."""
CLOSED = 0.03
"""u above the gap at rest within which lips count as closed: three times the mesh's own error, and a fifth of an A."""
HIGHEST_REST = 0.03
"""u; lips that are farther apart at rest still have to meet for a p."""
EYES_SHOWN = 0.25
"""Share of the pictures that have to show an open eye for anything to be told of blinks: films of open eyes 0.8 to 1,
of closed ones and of dark glasses 0."""
BLINK = 0.6
"""Share of the film's usual opening of the eyes below which they are shut."""
MEANT = 0.05
"""Share of a shut eye from which on a blink is meant."""
NEAR_BLINK = 0.4
"""Seconds."""
AWAKE = 0.85
"""The same share from which on no lid is on its way."""

_DISAGREE, _AGREE = 0.8, 0.9
"""Correlation of what the mesh sees with what is followed by its look below which the mesh is not believed, and from
which on both are worth the same."""
_SETTLE_IN, _SETTLE_OUT = 0.15, 0.1
"""Seconds after the last and before the first sound in which the mouth still, or already, moves."""
_LONGEST_BLINK = 0.6


def correlation(one: Floats, other: Floats) -> float | None:
    """Pearson's r over the pictures where both are known; None for too few, or when `one` never changes.

    0 when only `other` never changes: it follows nothing.
    """
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < FEWEST:
        return None
    a, b = one[known] - one[known].mean(), other[known] - other[known].mean()
    energy_a, energy_b = float(np.dot(a, a)), float(np.dot(b, b))
    if energy_a < 1e-9:
        return None
    return float(np.dot(a, b)) / (energy_a * energy_b) ** 0.5 if energy_b > 1e-9 else 0.0


def trust(agreement: float | None) -> float:
    """What part, 0..0.5, the mesh has in what it and another witness saw, given their correlation."""
    return 0.5 * float(np.clip(((agreement or 0.0) - _DISAGREE) / (_AGREE - _DISAGREE), 0, 1))


def best_lag(expected: Floats, seen: Floats, fps: float) -> tuple[float | None, float | None]:
    """The highest correlation over all lags within `REACH`, and the seconds by which `seen` is late there.

    The peak is found between the frames by a parabola. The lag is None where the correlation is below `SURE`.
    """
    reach = max(1, round(REACH * fps))
    rows = []
    for lag in range(-reach, reach + 1):
        a = expected[max(0, -lag) : len(expected) - max(0, lag)]
        b = seen[max(0, lag) : len(seen) - max(0, -lag)]
        rows.append(correlation(a, b))
    known = [r for r in rows if r is not None]
    if len(known) < len(rows):
        return None, None
    values = np.array(known)
    best = int(np.argmax(values))
    if values[best] < SURE:
        return float(values[best]), None
    offset = peak_between(values, best)
    highest = values[best]
    if offset:
        highest -= (values[best - 1] - values[best + 1]) * offset / 4
    return min(1.0, float(highest)), (best + offset - reach) / fps


def closed_within(unit: float) -> float:
    """u above the gap at rest within which lips count as closed: in a small picture no less than a pixel, since nobody
    sees more. `unit`: pixels for a u."""
    return max(CLOSED, 1 / max(unit, 1.0))


def rest_gap(gap: Floats, still: NDArray[np.bool_]) -> float | None:
    """The gap of the lips at rest, u: the median over pauses, or where there are none the lowest tenth of all."""
    seen = gap[np.isfinite(gap)]
    if seen.size < FEWEST:
        return None
    rested = gap[still & np.isfinite(gap)]
    return float(np.median(rested)) if rested.size >= 5 else float(np.percentile(seen, 10))


def closed(gap: Floats, moments: Floats, fps: float, rest: float, above_rest: float = CLOSED) -> tuple[int, int]:
    """How many of the closures were seen closed within a frame on either side, and how many were to be seen.

    Args:
        gap: of the lips, u, (pictures,).
        moments: of the closures, seconds.
        fps: pictures a second.
        rest: see `rest_gap`.
        above_rest: u within which lips count as closed; see `closed_within`.
    """
    threshold = min(rest, HIGHEST_REST) + above_rest
    met, counted = 0, 0
    for moment in moments:
        near = gap[around(moment, fps)]
        if near.size == 0 or not np.isfinite(near).all():  # no face there
            continue
        counted += 1
        met += bool(near.min() <= threshold)
    return met, counted


def around(moment: float, fps: float) -> slice:
    """The pictures within a frame of a moment of the film."""
    frame = int(np.floor(moment * fps + 0.5))
    return slice(max(0, frame - 1), max(0, frame + 2))


def still_frames(pauses: list[tuple[float, float]], fps: float, frames: int) -> NDArray[np.bool_]:
    """Which pictures lie so deep in a pause that the mouth should rest."""
    times = np.arange(frames) / fps
    still = np.zeros(frames, bool)
    for start, end in pauses:
        still |= (times >= start + _SETTLE_IN) & (times <= end - _SETTLE_OUT)
    return still


def silence_motion(gap: Floats, still: NDArray[np.bool_]) -> float | None:
    """How fast the lips move in pauses over how fast they move otherwise, both RMS of the gap's change.

    The change over two pictures, since every second one may be unknown.
    """
    change = gap[2:] - gap[:-2]
    resting = change[still[2:] & still[:-2] & np.isfinite(change)]
    moving = change[~(still[2:] | still[:-2]) & np.isfinite(change)]
    if resting.size < 5 or moving.size < FEWEST:
        return None
    fast = float(np.sqrt((moving**2).mean()))
    return float(np.sqrt((resting**2).mean())) / fast if fast > 1e-9 else None


def awake(eyes: Floats) -> NDArray[np.bool_]:
    """Which pictures show eyes that are not in a blink, nor next to one: as open as nearly always."""
    seen = eyes[np.isfinite(eyes)]
    if not seen.size:
        return np.zeros(len(eyes), bool)
    lowered = np.nan_to_num(eyes, nan=0.0) < AWAKE * float(np.median(seen))
    beside = np.zeros_like(lowered)
    beside[1:] |= lowered[:-1]
    beside[:-1] |= lowered[1:]
    return ~(lowered | beside)


def around_blinks(meant: Floats, eyes: Floats, fps: float) -> NDArray[np.bool_]:
    """Which pictures are within `NEAR_BLINK` of a blink, meant (0..1) or seen (the opening of the eyes)."""
    seen = eyes[np.isfinite(eyes)]
    if not seen.size:
        return np.zeros(len(eyes), bool)
    shut = (np.nan_to_num(meant) > MEANT) | (np.nan_to_num(eyes, nan=np.inf) < BLINK * float(np.median(seen)))
    times = np.flatnonzero(shut)
    near = np.zeros(len(eyes), bool)
    reach = round(NEAR_BLINK * fps)
    for time in times:
        near[max(0, time - reach) : time + reach + 1] = True
    return near


def blinks(eyes: Floats, fps: float) -> int | None:
    """How often the eyes shut and opened again within 0.6 s. The usual opening is the film's median."""
    seen = eyes[np.isfinite(eyes)]
    if seen.size < FEWEST:
        return None
    usual = float(np.median(seen))
    shut = np.concatenate([[False], np.nan_to_num(eyes, nan=usual) < BLINK * usual, [False]])
    edges = np.flatnonzero(np.diff(shut.astype(np.int8)))
    lengths = (edges[1::2] - edges[::2]) / fps
    return int(np.count_nonzero(lengths <= _LONGEST_BLINK))
