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
_LEAVE, _PASS_BY = np.float32(4.0), np.float32(3.0)
"""What it costs to leave the reference, and to pass a sentence by."""
_ENTERED, _PASSED = 4, 5
"""Beside the number of states that a step goes: arrivals from outside the reference, and past a sentence."""
_ROWS_A_CHECK = 500
_NEVER = np.float32(np.inf)


@dataclass(frozen=True, slots=True)
class Path:
    """For each frame of the recording its state, int32 (frames,), what it cost there, float32 (frames,), and whether
    it is outside the reference, bool (frames,); its state is the one to which it then returns."""

    states: NDArray[np.int32]
    costs: NDArray[np.float32]
    outside: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sides:
    """What is to be warped. Features float32 (frames or states, features).

    `silent` (states,): where the path may rest. `pause` (frames,): frames of an obvious pause.
    `loud` (frames,): frames that are no silence. `expected` (frames,): the state that an even speed would lead to.
    `borders`: int64, ascending, the silent states before each sentence and behind the last. `strange`: what a frame
    outside the reference costs; infinite: the path may not leave it.
    """

    recording: NDArray[np.float32]
    reference: NDArray[np.float32]
    silent: NDArray[np.bool_]
    pause: NDArray[np.bool_]
    loud: NDArray[np.bool_]
    expected: NDArray[np.float64]
    borders: NDArray[np.int64]
    strange: float = float("inf")


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
    outside = _Outside(sides, rows)
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
            arrived[: MOST_STEPS - 1] = 0
            taken = np.zeros(width, np.uint8)
        else:
            arrived, taken = _arrivals(best, prices, low, high)
            rested = cost + _REST
            for number in range(MOST_RESTS, 0, -1):
                np.add(layers[number - 1, low:high], rested, out=layers[number, low:high])
        outside.step(row, best[MOST_STEPS:], arrived, taken, low)
        arrived += cost
        layers[0, low:high] = arrived
        layers[:, :low] = _NEVER
        window = layers[:, low:high]
        fewest = window.argmin(axis=0)
        best[: low + MOST_STEPS] = _NEVER
        window.min(axis=0, out=best[low + MOST_STEPS : high + MOST_STEPS])
        arrivals[row], rests[row] = taken, fewest
    final = best[MOST_STEPS:]
    last = count - MOST_STEPS + 1 + int(final[count - MOST_STEPS + 1 :].argmin()) if to_the_end else int(final.argmin())
    away = outside.ending(to_the_end)
    if away is not None and outside.costs[away] < final[last]:
        return _traced(sides, lows, arrivals, rests, outside, int(sides.borders[away]), away)
    if not np.isfinite(final[last]):
        return None
    return _traced(sides, lows, arrivals, rests, outside, last, None)


class _Outside:
    """The cheapest paths that are outside the reference now, one at each border between sentences."""

    def __init__(self, sides: Sides, rows: int) -> None:
        self._sides = sides
        self.costs = np.full(len(sides.borders), _NEVER, np.float32)
        self.left = np.zeros((rows, len(sides.borders)), np.bool_)
        """Whether the path at a border left the reference at that row, or was outside before."""

    def step(
        self, row: int, best: NDArray[np.float32], arrived: NDArray[np.float32], taken: NDArray[np.uint8], low: int
    ) -> None:
        """One frame further. Ways from outside, and past a whole sentence, are put into `arrived` and `taken`.

        Args:
            row: the frame.
            best: the cheapest path to each state, the frame before; nothing in it counts before the first frame.
            arrived: the cheapest way to each state of the band, without the frame's own cost.
            taken: how it came.
            low: the band's first state.
        """
        sides, before = self._sides, self.costs
        if not np.isfinite(sides.strange):
            return
        borders = sides.borders
        here = best[borders] if row else np.where(borders == 0, np.float32(0), _NEVER)
        first, last = (int(i) for i in np.searchsorted(borders, (low, low + len(arrived))))
        if row:
            at = borders[first:last] - low
            for ways, code in ((before[first:last], _ENTERED), (self._passing(here)[first:last], _PASSED)):
                shorter = ways < arrived[at]
                arrived[at[shorter]], taken[at[shorter]] = ways[shorter], code
        entered = here + _LEAVE
        self.left[row] = entered < before
        self.costs = np.minimum(entered, before) + np.float32(sides.strange)

    @staticmethod
    def _passing(here: NDArray[np.float32]) -> NDArray[np.float32]:
        """From the border before."""
        return np.concatenate([np.full(1, _NEVER, np.float32), here[:-1] + _PASS_BY])

    def ending(self, to_the_end: bool) -> int | None:
        """The border at which the cheapest path is still outside."""
        if not len(self.costs):
            return None
        found = len(self.costs) - 1 if to_the_end else int(self.costs.argmin())
        return found if np.isfinite(self.costs[found]) else None


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
    sides: Sides,
    lows: NDArray[np.int64],
    arrivals: NDArray[np.uint8],
    rests: NDArray[np.uint8],
    outside: _Outside,
    last: int,
    border: int | None,
) -> Path:
    """Back from the last frame, which is at the state `last`, or outside the reference at that border."""
    rows = len(arrivals)
    states = np.zeros(rows, np.int32)
    away = np.zeros(rows, np.bool_)
    state = last
    resting = 0 if border is not None else int(rests[rows - 1, state - lows[rows - 1]])
    for row in range(rows - 1, -1, -1):
        states[row], away[row] = state, border is not None
        if row == 0:
            break
        if border is not None:
            if outside.left[row, border]:
                border = None
                resting = int(rests[row - 1, state - lows[row - 1]])
            continue
        if resting:
            resting -= 1
            continue
        step = int(arrivals[row, state - lows[row]])
        if step == _ENTERED:
            border = int(np.searchsorted(sides.borders, state))
            continue
        state = int(sides.borders[np.searchsorted(sides.borders, state) - 1]) if step == _PASSED else state - step
        resting = int(rests[row - 1, state - lows[row - 1]])
    costs = _distances(sides.reference[states], sides.recording)
    silent = sides.silent[states]
    costs[sides.pause & ~silent] += _SPEECH_IN_A_PAUSE
    costs[~sides.pause & sides.loud & silent] += _SILENCE_IN_SPEECH
    return Path(states, costs, away)
