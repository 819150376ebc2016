"""What lies behind the person, and how far it is from what it was in the film's first picture."""

from __future__ import annotations

from copy import copy

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.person import PersonNetwork

Picture = NDArray[np.uint8]

_SIDEWAYS, _UPWARDS = 0.4, 1.0
"""How far the person reaches beyond the face's box at least: in its widths to either side, in its heights above."""
_SURE = 0.1
"""Probability from which on a pixel is taken for the person's."""
_SWAYS = 0.16
"""How far hair and shoulders move in a film, widths of the face: pixels so near to the person are nobody's."""
_NARROWEST = 0.03
"""A strip of background has at least this share of the picture's width or height, and as many of its pixels free."""


class Background:
    """Where the first picture shows nobody: beside and above the person, as far down as the chin.

    Long hair, wide shoulders and a head that leans to one side are known by the network that cuts people out; what it
    misses, as in paintings it may, is still left out by the face's own box.

    Args:
        first: RGB uint8 (height, width, 3).
        face: in it, or None: then it is the upper corners.
    """

    def __init__(self, first: Picture, face: Landmarks | None, network: PersonNetwork) -> None:
        height, width = first.shape[:2]
        free = _free(first, face, network)
        parts = [(strip, np.ascontiguousarray(free[strip])) for strip in _strips(width, height, face)]
        self._parts = [(strip, mask) for strip, mask in parts if cv2.countNonZero(mask) > _NARROWEST * mask.size]
        self._area = sum(cv2.countNonZero(mask) for _, mask in self._parts)
        self.share = self._area / (width * height)
        """Of the picture, 0..1."""
        self._first: list[Picture] = []

    def anew(self) -> Background:
        """The same for another film, before its first picture."""
        other = copy(self)
        other._first = []
        return other

    def compare(self, luma: Picture) -> tuple[float, float]:
        """Mean square of the difference from the first luma that was given, and the mean luma; NaN where there is none.

        `luma`: uint8 (height, width).
        """
        if not self._area:
            return float("nan"), float("nan")
        shown = [luma[strip] for strip, _ in self._parts]
        if not self._first:
            self._first = [part.copy() for part in shown]
        errors = light = 0.0
        for part, was, (_, mask) in zip(shown, self._first, self._parts, strict=True):
            errors += cv2.norm(part, was, cv2.NORM_L2SQR, mask)
            light += cv2.mean(part, mask)[0] * cv2.countNonZero(mask)
        return errors / self._area, light / self._area


def _free(first: Picture, face: Landmarks | None, network: PersonNetwork) -> Picture:
    """255 where nobody is, nor comes to lie; uint8 (height, width)."""
    if face is None:
        return np.full(first.shape[:2], 255, np.uint8)
    left, top, right, bottom = face.box
    person, _ = network.looks(first, ((left + right) / 2, (top + bottom) / 2), bottom - top, mirrored=False)
    reach = max(1, round(_SWAYS * (right - left)))
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    taken = cv2.dilate((person > _SURE).astype(np.uint8), around)
    return np.asarray(np.where(taken > 0, 0, 255), np.uint8)


def _strips(width: int, height: int, face: Landmarks | None) -> list[tuple[slice, slice]]:
    """Rows and columns beside and above the face, none of them too narrow."""
    if face is None:
        x0, x1, above, below = width // 5, width - width // 5, 0, height // 3
    else:
        left, top, right, bottom = face.box
        x0 = int(np.clip(left - _SIDEWAYS * (right - left), 0, width))
        x1 = int(np.clip(right + _SIDEWAYS * (right - left), 0, width))
        above = int(np.clip(top - _UPWARDS * (bottom - top), 0, height))
        below = int(np.clip(bottom, 0, height))
    strips = [
        (slice(0, below), slice(0, x0)),
        (slice(0, below), slice(x1, width)),
        (slice(0, above), slice(x0, x1)),
    ]
    return [
        (rows, columns)
        for rows, columns in strips
        if rows.stop - rows.start > _NARROWEST * height and columns.stop - columns.start > _NARROWEST * width
    ]
