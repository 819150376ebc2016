"""Long recordings in windows that meet between sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align.common import Activity, Common
from avatarctl.engines.align.reference import Reference
from avatarctl.engines.align.spectrum import HOP
from avatarctl.engines.align.warping import Path, Sides, warp

WINDOW, OVERLAP = 40.0, 8.0
"""Seconds of a window, and how much of its end is not trusted."""
_HALF_BAND = 8.0
AHEAD = 10.0
"""Seconds of reference beyond what an even speed would need."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """For each frame of the recording: `frames` int32, the reference's frame, or the one that follows the pause;
    `silent` bool; `costs` float32, the distance there; `outside` bool, where something is said that the text has not,
    which is `silent` too."""

    frames: NDArray[np.int32]
    silent: NDArray[np.bool_]
    costs: NDArray[np.float32]
    outside: NDArray[np.bool_]


def through(
    logs: NDArray[np.float32],
    active: Activity,
    spoken: Reference,
    common: Common,
    *,
    pace: float,
    strange: float = float("inf"),
    limit: float | None = None,
    told: Callable[[float], None],
) -> Alignment | None:
    """Align the whole recording, or its first `limit` seconds; None when the text does not fit.

    Args:
        logs: log powers of the recording, float32 (frames, BANDS).
        active: which of its frames sound.
        spoken: the reference.
        common: brings both to features.
        pace: frames of the reference for each sounding frame of the recording.
        strange: what a frame costs that is not in the text; infinite: all are.
        limit: seconds after which to stop, at the first window.
        told: told how many seconds are done, several times a window; may raise to stop.
    """
    total = len(logs)
    end = len(spoken.breaks) - 1
    progress = np.concatenate([[0.0], np.cumsum(active.sounding)])
    found = Alignment(
        np.zeros(total, np.int32), np.zeros(total, np.bool_), np.zeros(total, np.float32), np.zeros(total, np.bool_)
    )
    row, sentence, seconds = 0, 0, limit or WINDOW
    while row < total:
        stop = min(row + round(seconds / HOP), total)
        first = int(spoken.firsts[sentence])
        wanted = spoken.breaks[first] + pace * (progress[stop] - progress[row]) + AHEAD / HOP
        last_sentence = int(np.searchsorted(spoken.breaks[spoken.firsts], wanted, side="left"))
        last_sentence = len(spoken.firsts) - 1 if stop == total else min(last_sentence, len(spoken.firsts) - 1)
        last = int(spoken.firsts[last_sentence])
        final = stop == total
        frames, silent = _states(spoken.breaks[first : last + 1])
        borders = np.flatnonzero(silent)[spoken.firsts[sentence : last_sentence + 1] - first]
        sides = _sides(logs, active, spoken, common, row, stop, frames, silent, pace, progress, borders, strange)
        path = warp(sides, round(_HALF_BAND / HOP), to_the_end=final, check=partial(told, row * HOP))
        if path is None:
            return None
        until, next_sentence = _trusted(path, frames, silent, spoken, sentence, stop - row, final or limit is not None)
        if next_sentence is None:
            if stop == total:
                return None
            seconds *= 2
            continue
        found.frames[row : row + until] = frames[path.states[:until]]
        found.silent[row : row + until] = silent[path.states[:until]]
        found.costs[row : row + until] = path.costs[:until]
        found.outside[row : row + until] = path.outside[:until]
        row, sentence, seconds = row + until, next_sentence, WINDOW
        told(row * HOP)
        if limit is not None:
            return Alignment(found.frames[:row], found.silent[:row], found.costs[:row], found.outside[:row])
        if sentence >= len(spoken.firsts) - 1:
            # Nothing is left to be said.
            found.frames[row:], found.silent[row:] = spoken.breaks[end], True
            found.outside[row:] = active.sounding[row:] & np.isfinite(strange)
            break
    return found


def _states(breaks: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Frame of the reference of each state, and whether the state is the silence before that frame."""
    first, last = int(breaks[0]), int(breaks[-1])
    frames = np.concatenate([np.arange(first, last), breaks])
    silent = np.concatenate([np.zeros(last - first, np.bool_), np.ones(len(breaks), np.bool_)])
    order = np.lexsort((~silent, frames))
    return frames[order].astype(np.int32), silent[order]


def _sides(
    logs: NDArray[np.float32],
    active: Activity,
    spoken: Reference,
    common: Common,
    row: int,
    stop: int,
    frames: NDArray[np.int32],
    silent: NDArray[np.bool_],
    pace: float,
    progress: NDArray[np.float64],
    borders: NDArray[np.int64],
    strange: float,
) -> Sides:
    features = np.empty((len(frames), common.silence().shape[1]), np.float32)
    features[silent] = common.silence()
    features[~silent] = common.reference(spoken.logs[frames[0] : frames[-1]])
    expected = frames[0] + pace * (progress[row + 1 : stop + 1] - progress[row])
    return Sides(
        common.recording(logs[row:stop]),
        features,
        silent,
        active.pause[row:stop],
        active.loud[row:stop],
        np.searchsorted(frames, expected, side="left").astype(np.float64),
        borders,
        strange,
    )


def _trusted(
    path: Path,
    frames: NDArray[np.int32],
    silent: NDArray[np.bool_],
    spoken: Reference,
    sentence: int,
    rows: int,
    final: bool,
) -> tuple[int, int | None]:
    """How many frames of the window are taken, and with which sentence the next one begins."""
    if final:
        return rows, len(spoken.firsts) - 1
    reached = frames[path.states]
    borders = spoken.breaks[spoken.firsts]
    for following in range(len(spoken.firsts) - 1, sentence, -1):
        # The middle of the silence before the sentence, or its first frame where there is no silence.
        begins = int(np.searchsorted(reached, borders[following], side="left"))
        if begins >= rows - round(OVERLAP / HOP):
            continue
        resting = np.flatnonzero(silent[path.states[begins:]] & (reached[begins:] == borders[following]))
        if resting.size:
            begins += int(resting.size) // 2
        if begins > 0:
            return begins, following
    return 0, None
