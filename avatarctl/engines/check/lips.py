"""The lips followed by their own look: how far apart they are where the face mesh does not see it.

The mesh knows mouths as most photos show them. Beards, brush strokes, coarse compression and paper's grain mislead it,
by as much as an open mouth taken for a shut one. But whatever lips look like, they look so in every picture of a film:
what is just above the upper one and just below the lower one is cut out of the first picture that shows the face, and
looked for in each of the others, up and down along the face. How much farther apart the two are found is how much
farther the lips are open. Nothing of this knows what is said.

Matching: normalised correlation (Lewis, "Fast normalized cross-correlation", 1995), which neither light nor contrast
changes. One picture's best match may be a fold of the chin, so that the path over all pictures is chosen by dynamic
programming (Viterbi), where each jump has its price.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check.face import LOWER_LIP, UPPER_LIP, axes, openings
from avatarctl.engines.check.mouth import correlation
from avatarctl.engines.facemesh.landmarks import Landmarks

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
Likeness = NDArray[np.float16]

_FINE = 64
"""Pixels for a u in the upright picture in which is matched."""
_BELOW_NOSE = 2
"""The mesh's point where the nose meets the lip: it goes with the skull, and what it trembles moves both lips alike."""
_WIDE = 0.4
"""u; the middle of the lips, where they open farthest."""
_HIGH = (0.18, 0.24)
"""u; upper lip with the skin above it, lower lip with the fold below it."""
_SHAPES = (
    ((1.0, 1.0), (0.85, 1.0), (0.7, 1.0), (1.0, 0.75)),
    ((1.0, 1.0), (0.85, 1.15), (0.7, 1.3), (1.0, 0.75)),
)
"""Upper and lower lip at rest, more and more rounded, and pressed: over their width and height at rest. An upper lip
that might grow would grow into a dark mouth where there is a dark beard."""
_ASIDE = 3
"""Pixels to either side."""
_UPPER = (-0.14, 0.06)
_LOWER = (-0.08, 0.45)
"""u by which each lip may be lower than where lips meet."""
_JUMP = 0.005
"""Price of a pixel between a picture and the next, as likeness."""
_FLAT = 1.0
"""Levels; a lip that varies less is like anything."""
_ALIKE = 0.6
"""Likeness, in the usual picture, below which it is not the lip that is followed."""
_DISAGREE, _AGREE = 0.8, 0.9
"""Correlation of the mesh's opening with the followed one below which the mesh is not believed, and from which on
both are worth the same."""


class Lips:
    """Both lips as one picture shows them, to be found in others.

    Args:
        luma: uint8 (height, width).
        face: in it.
    """

    def __init__(self, luma: Picture, face: Landmarks) -> None:
        self.apart = max(0.0, openings(face)[0])
        """u between the lips in that picture, by the mesh."""
        self._strips: list[list[Picture]] = []
        self._areas: list[tuple[slice, slice]] = []
        self._lowest: list[int] = []
        self._size, self._corner = (1, 1), np.zeros(2)
        along = axes(face)
        if along is None:
            return
        place = np.linalg.inv(np.stack(along, axis=1)) * _FINE
        nose, upper, lower = (
            face.xy[points].astype(np.float64).mean(axis=0) @ place.T
            for points in ([_BELOW_NOSE], UPPER_LIP, LOWER_LIP)
        )
        reach = [_pixels(_UPPER[0]), _pixels(_LOWER[0] - 1.2 * self.apart)]
        room = [_pixels(_UPPER[1]), _pixels(_LOWER[1] - self.apart)]
        tallest = [round(_pixels(high) * max(tall for _, tall in _SHAPES[lip])) for lip, high in enumerate(_HIGH)]
        top = round(float(upper[1])) - tallest[0] + reach[0]
        bottom = round(float(lower[1])) + tallest[1] + room[1]
        across = _pixels(_WIDE) + 2 * _ASIDE
        # Relative to the nose, wherever that is in another picture.
        self._corner = np.array([(upper[0] + lower[0]) / 2 - across / 2, top]) - nose
        self._size = (across, bottom - top)
        upright = self._upright(luma, face)
        if upright is None:
            return
        edges = (round(float(upper[1])) - top, round(float(lower[1])) - top)
        for lip, (edge, high) in enumerate(zip(edges, _HIGH, strict=True)):
            tall = _pixels(high)
            rows = slice(edge, edge + tall) if lip else slice(edge - tall, edge)
            strip = upright[rows, _ASIDE : across - _ASIDE]
            if strip.std() < _FLAT:
                self._strips = []
                return
            self._strips.append([_reshaped(strip, *shape) for shape in _SHAPES[lip]])
        self._edges, self._reach, self._room = edges, reach, room

    def likeness(self, luma: Picture, face: Landmarks) -> Likeness | None:
        """How alike each lip is at each place, -1..1, float16 (places of the upper lip, then of the lower lip).

        None where these lips cannot be followed.
        """
        upright = self._upright(luma, face) if self._strips else None
        if upright is None:
            return None
        found = []
        for number, strips in enumerate(self._strips):
            rows = []
            for strip in strips:
                high, wide = strip.shape
                start = self._edges[number] + self._reach[number] - (high if number == 0 else 0)
                stop = start + high + self._room[number] - self._reach[number]
                aside = (self._size[0] - wide) // 2 - _ASIDE
                part = upright[start:stop, aside : aside + wide + 2 * _ASIDE]
                rows.append(cv2.matchTemplate(part, strip, cv2.TM_CCOEFF_NORMED).max(axis=1))
            found.append(np.max(rows, axis=0))
        return np.concatenate(found).astype(np.float16)

    def followed(self, likenesses: Sequence[Likeness]) -> Floats | None:
        """u between the lips in pictures in a row; None where what was followed are no lips, or there is no picture."""
        if not likenesses:
            return None
        places = self._room[0] - self._reach[0] + 1
        table = np.array(likenesses, np.float32)
        down = []
        for part, reach in ((table[:, :places], self._reach[0]), (table[:, places:], self._reach[1])):
            path, alike = _path(part)
            if np.median(alike) < _ALIKE:
                return None
            down.append(path + reach)
        return np.asarray(np.maximum(self.apart + (down[1] - down[0]) / _FINE, 0), np.float64)

    def _upright(self, luma: Picture, face: Landmarks) -> Picture | None:
        """What is around the lips, as many pixels for a u in width and height, the nose always above the same place."""
        along = axes(face)
        if along is None:
            return None
        place = np.linalg.inv(np.stack(along, axis=1)) * _FINE
        shift = -place @ face.xy[_BELOW_NOSE].astype(np.float64) - self._corner
        move = np.column_stack([place, shift])
        return np.asarray(cv2.warpAffine(luma, move, self._size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def joined(gap: Floats, followed: Floats | None) -> Floats:
    """One opening of the mesh's and of the followed lips', u each, NaN where unknown.

    Two witnesses who agree are heard alike: each sees some sounds better than the other. Who is right where they do
    not agree is told by the pictures: lips that were found again are where they were found.
    """
    if followed is None:
        return gap
    agreement = correlation(followed, gap) or 0.0
    share = 0.5 * float(np.clip((agreement - _DISAGREE) / (_AGREE - _DISAGREE), 0, 1))
    return np.asarray((1 - share) * followed + share * gap, np.float64) if share else followed


def _pixels(u: float) -> int:
    return round(u * _FINE)


def _reshaped(strip: Picture, wide: float, high: float) -> Picture:
    height, width = strip.shape
    # As far from even as the strip itself, so that it has the same middle.
    size = (width - 2 * round(width * (1 - wide) / 2), round(height * high))
    return np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA), np.uint8)


def _path(likeness: NDArray[np.float32]) -> tuple[Floats, NDArray[np.float32]]:
    """The likeliest places, to a part of a pixel, and how alike it is there; `likeness`: (pictures, places)."""
    pictures, places = likeness.shape
    every = np.arange(places, dtype=np.float32)
    price = _JUMP * np.abs(every[:, None] - every)
    came = np.zeros((pictures, places), np.int16)
    total = likeness[0].copy()
    for number in range(1, pictures):
        options = total - price
        came[number] = options.argmax(axis=1)
        total = options.max(axis=1) + likeness[number]
    path = np.zeros(pictures, np.intp)
    path[-1] = int(total.argmax())
    for number in range(pictures - 1, 0, -1):
        path[number - 1] = came[number, path[number]]
    row = np.arange(pictures)
    alike = likeness[row, path]
    inner = np.clip(path, 1, places - 2)
    before, after = likeness[row, inner - 1], likeness[row, inner + 1]
    bend = before - 2 * alike + after
    peak = (inner == path) & (bend < -1e-6)
    offset = np.where(peak, np.clip(0.5 * (before - after) / np.where(peak, bend, -1), -0.5, 0.5), 0)
    return np.asarray(path + offset, np.float64), alike
