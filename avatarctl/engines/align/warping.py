"""Dynamic time warping in a band, with limits on the slope and with pauses that either side may lack.

The path visits each frame of the recording once (Sakoe and Chiba, 1978, asymmetric form) and moves through the
states of the reference: its frames, and between words a silent state in which the path may rest as long as it
likes, or which it may pass by. At other states it rests at most `MOST_RESTS` frames, and no step skips more than
two: the recording is between three times as fast and four times as slow as the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_RESTS = 3
MOST_STEPS = 3
_REST, _SKIP = np.float32(0.12), np.float32(0.2)
"""What a frame of rest or a skipped state costs; a mismatch costs about 1."""
_INTO_SILENCE = np.float32(0.6)
_ROWS_A_CHECK = 500
_NEVER = np.float32(np.inf)


@dataclass(frozen=True, slots=True)
class Path:
    """For each frame of the recording its state, int32 (frames,), and what it cost there, float32 (frames,)."""

    states: NDArray[np.int32]
    costs: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sides:
    """What is to be warped. Features float32 (frames or states, features).

    `silent` (states,): where the path may rest. `pause` (frames,): frames of an obvious pause.
    `loud` (frames,): frames that are no silence. `expected` (frames,): the state that an even speed would lead to.
    """

    recording: NDArray[np.float32]
    reference: NDArray[np.float32]
    silent: NDArray[np.bool_]
    pause: NDArray[np.bool_]
    loud: NDArray[np.bool_]
    expected: NDArray[np.float64]


_SPEECH_IN_A_PAUSE, _SILENCE_IN_SPEECH = np.float32(1.0), np.float32(1.0)


def _distances(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of rows of features from each other, root mean square, float32 (rows,)."""
    difference = one - other
    distances: NDArray[np.float32] = np.sqrt(
        np.einsum("ij,ij->i", difference, difference) / np.float32(difference.shape[1])
    )
    return distances


def _costs(sides: Sides, row: int, low: int, high: int) -> NDArray[np.float32]:
    """Distance of one frame to the states of the band, float32 (high - low,)."""
    cost = _distances(sides.reference[low:high], sides.recording[row])
    if sides.pause[row]:
        cost[~sides.silent[low:high]] += _SPEECH_IN_A_PAUSE
    elif sides.loud[row]:
        cost[sides.silent[low:high]] += _SILENCE_IN_SPEECH
    return cost


def _step_prices(silent: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What it costs to arrive at each state by a step of 0, 1, 2 or 3 states, float32 (4, states)."""
    count = len(silent)
    prices = np.zeros((MOST_STEPS + 1, count), np.float32)
    prices[0] = np.where(silent, np.float32(0), _NEVER)
    passed = np.zeros(count, np.float32)
    for step in range(2, MOST_STEPS + 1):
        skipped = np.concatenate([np.zeros(step - 1, np.bool_), silent[: count - step + 1]])[:count]
        passed = passed + np.where(skipped, np.float32(0), _SKIP)
        prices[step] = passed
    prices[1:, silent] += _INTO_SILENCE
    return prices


def warp(sides: Sides, half_width: int, *, to_the_end: bool, check: Callable[[], None] = lambda: None) -> Path | None:
    """The cheapest path from the first state, through every frame; None when the slope limits allow none.

    Memory: two bytes for each frame and each state of the band, of 2 * `half_width` states.

    Args:
        sides: the recording and the reference.
        half_width: states on either side of the expected one.
        to_the_end: whether it has to end at the last states, or may end anywhere.
        check: called now and then; may raise to stop.
    """
    rows, count = len(sides.recording), len(sides.reference)
    width = min(2 * half_width, count)
    lows = np.clip(np.round(sides.expected).astype(np.int64) - half_width, 0, count - width)
    lows = np.maximum.accumulate(lows)
    prices = _step_prices(sides.silent)
    arrivals = np.zeros((rows, width), np.uint8)
    rests = np.zeros((rows, width), np.uint8)
    # One layer for each number of frames that the path has rested; states before the first are never reached.
    layers = np.full((MOST_RESTS + 1, count), _NEVER, np.float32)
    best = np.full(count + MOST_STEPS, _NEVER, np.float32)
    for row in range(rows):
        if row % _ROWS_A_CHECK == 0:
            check()
        low = int(lows[row])
        high = low + width
        cost = _costs(sides, row, low, high)
        if row == 0:
            arrived = np.full(width, _NEVER, np.float32)
            arrived[: MOST_STEPS - 1] = cost[: MOST_STEPS - 1]
            taken = np.zeros(width, np.uint8)
        else:
            arrived, taken = _arrivals(best, prices, low, high)
            arrived += cost
            rested = cost + _REST
            for number in range(MOST_RESTS, 0, -1):
                np.add(layers[number - 1, low:high], rested, out=layers[number, low:high])
        layers[0, low:high] = arrived
        layers[:, :low] = _NEVER
        window = layers[:, low:high]
        fewest = window.argmin(axis=0)
        best[: low + MOST_STEPS] = _NEVER
        window.min(axis=0, out=best[low + MOST_STEPS : high + MOST_STEPS])
        arrivals[row], rests[row] = taken, fewest
    final = best[MOST_STEPS:]
    last = count - MOST_STEPS + 1 + int(final[count - MOST_STEPS + 1 :].argmin()) if to_the_end else int(final.argmin())
    if not np.isfinite(final[last]):
        return None
    return _traced(sides, lows, arrivals, rests, last)


def _arrivals(
    best: NDArray[np.float32], prices: NDArray[np.float32], low: int, high: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The cheapest way to each state of the band, and by how many states it came."""
    cheapest = best[low + MOST_STEPS : high + MOST_STEPS] + prices[0, low:high]
    taken = np.zeros(high - low, np.uint8)
    for step in range(1, MOST_STEPS + 1):
        origin = low + MOST_STEPS - step
        way = best[origin : origin + high - low] + prices[step, low:high]
        shorter = way < cheapest
        np.copyto(cheapest, way, where=shorter)
        np.copyto(taken, step, where=shorter)
    return cheapest, taken


def _traced(
    sides: Sides, lows: NDArray[np.int64], arrivals: NDArray[np.uint8], rests: NDArray[np.uint8], last: int
) -> Path:
    rows = len(arrivals)
    states = np.zeros(rows, np.int32)
    state = last
    resting = int(rests[rows - 1, state - lows[rows - 1]])
    for row in range(rows - 1, -1, -1):
        states[row] = state
        if row == 0:
            break
        if resting:
            resting -= 1
            continue
        state -= int(arrivals[row, state - lows[row]])
        resting = int(rests[row - 1, state - lows[row - 1]])
    costs = _distances(sides.reference[states], sides.recording)
    silent = sides.silent[states]
    costs[sides.pause & ~silent] += _SPEECH_IN_A_PAUSE
    costs[~sides.pause & sides.loud & silent] += _SILENCE_IN_SPEECH
    return Path(states, costs)
