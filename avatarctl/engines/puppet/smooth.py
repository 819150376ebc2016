"""Small smooth functions of one variable that the other modules share."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
_NUMBER = (float, int)
_NOTHING, _ALL = np.float32(0), np.float32(1)


def smoothstep(start: ArrayLike, end: ArrayLike, x: ArrayLike) -> Array:
    """0 up to `start`, 1 from `end` on, and a cubic between them (3t^2 - 2t^3); float32, shape of `x`."""
    numbers: tuple[Any, Any, Any] = start, end, x
    one, other, place = numbers
    if isinstance(place, _NUMBER) and isinstance(one, _NUMBER) and isinstance(other, _NUMBER):
        # The same arithmetic, without what an array costs for a single number.
        first = np.float32(one)
        share = min(max((np.float32(place) - first) / (np.float32(other) - first), _NOTHING), _ALL)
        return np.asarray(share * share * (3 - 2 * share), np.float32)
    low, high = np.asarray(start, np.float32), np.asarray(end, np.float32)
    t = np.clip((np.asarray(x, np.float32) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def held(low: float, high: float, x: Array) -> Array:
    """`x` between `low` and `high`, in place. The method: `np.clip` takes longer to begin than for a small field."""
    return x.clip(low, high, out=x)


def ramp(start: float, end: float, x: Array) -> Array:
    """0 at `start`, 1 at `end`, straight between them and held beyond; float32, shape of `x`."""
    t = (x - np.float32(start)) * np.float32(1 / (end - start))
    return held(0, 1, t)


def sigmoid(x: ArrayLike) -> Array:
    """The logistic function; float32."""
    return (1 / (1 + np.exp(-np.clip(np.asarray(x, np.float32), -40, 40)))).astype(np.float32)


def gaussian_smooth(values: NDArray[np.floating], sigma: float) -> Array:
    """Gaussian filter of a curve, `sigma` in samples; the ends are held. float32 (n,)."""
    kernel = _bell(sigma)
    radius = len(kernel) // 2
    # `np.pad` takes longer than the filter itself.
    padded = np.concatenate([np.repeat(values[:1], radius), values, np.repeat(values[-1:], radius)])
    return np.convolve(padded, kernel, "valid").astype(np.float32)


@cache
def _bell(sigma: float) -> NDArray[np.float64]:
    """Weights of a Gaussian filter, of sum 1; float64 (2 * radius + 1,)."""
    radius = int(3 * sigma + 1)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum())


def monotone_cubic(x: ArrayLike, y: ArrayLike, at: ArrayLike) -> Array:
    """Interpolate points by a cubic that never overshoots them; held beyond the first and the last point.

    Fritsch and Carlson, "Monotone Piecewise Cubic Interpolation", SIAM J. Numer. Anal. 17 (1980), with
    the weighted harmonic mean of Fritsch and Butland (1984) for the slopes.

    Args:
        x: (n,) increasing, n >= 2.
        y: (n,) values.
        at: where to evaluate, any shape.
    """
    knots, values = np.asarray(x, np.float64), np.asarray(y, np.float64)
    where = np.clip(np.asarray(at, np.float64), knots[0], knots[-1])
    step = np.diff(knots)
    if np.any(step <= 0):
        raise ValueError("the knots do not increase")
    secant = np.diff(values) / step
    slope = np.zeros_like(values)
    left, right = secant[:-1], secant[1:]
    same_way = left * right > 0
    weight_left = 2 * step[1:] + step[:-1]
    weight_right = step[1:] + 2 * step[:-1]
    safe_left, safe_right = np.where(same_way, left, 1.0), np.where(same_way, right, 1.0)
    # The harmonic mean of slopes that are next to nothing is nothing.
    with np.errstate(over="ignore"):
        mean = (weight_left + weight_right) / (weight_left / safe_left + weight_right / safe_right)
    slope[1:-1] = np.where(same_way, mean, 0.0)
    slope[0], slope[-1] = secant[0], secant[-1]
    index = np.clip(np.searchsorted(knots, where, "right") - 1, 0, len(step) - 1)
    width = step[index]
    t = (where - knots[index]) / width
    result = (
        values[index] * (1 + 2 * t) * (1 - t) ** 2
        + slope[index] * width * t * (1 - t) ** 2
        + values[index + 1] * t * t * (3 - 2 * t)
        + slope[index + 1] * width * t * t * (t - 1)
    )
    return np.asarray(result, np.float32)
