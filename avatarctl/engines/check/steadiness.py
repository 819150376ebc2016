"""How steady a film's picture is: its background, its light, its sharpness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STILL = 60.0
"""Decibels at which a background counts as perfectly still: less than a rounding of the luma."""


def decibels(errors: Floats) -> tuple[float | None, float | None]:
    """PSNR of the background of each picture against the first: the mean of all, and the lowest; at most 60 dB."""
    known = errors[np.isfinite(errors)][1:]
    if not known.size:
        return None, None
    each = 10 * np.log10(255**2 / np.maximum(known, 255**2 / 10 ** (STILL / 10)))
    return float(each.mean()), float(each.min())


def flicker(light: Floats) -> float | None:
    """How far a region's mean luma is, RMS, from the mean of the pictures before and after; levels of 255.

    What changes evenly over three pictures, as all motion nearly does, cancels out.
    """
    jump = light[1:-1] - (light[:-2] + light[2:]) / 2
    known = jump[np.isfinite(jump)]
    return float(np.sqrt((known**2).mean())) if known.size >= 10 else None


def sharpness(detail: Floats, usable: NDArray[np.bool_]) -> float | None:
    """The least of the face's detail over the most of it, 0..1, in the pictures that are `usable`.

    The 5 % at either end are left out: a single picture is not seen, what a keyframe brings and what wears off over
    the pictures after it is.
    """
    known = detail[np.isfinite(detail) & usable]
    if known.size < 10:
        return None
    least, most = np.percentile(known, (5, 95))
    return float(least / most) if most > 0 else None
