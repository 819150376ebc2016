"""The lips followed by their own look: how far apart they are where the face mesh does not see it.

The mesh knows mouths as most photos show them. Beards, brush strokes, coarse compression and paper's grain mislead it,
by as much as an open mouth taken for a shut one. But whatever lips look like, they look so in every picture of a film:
what is just above the upper one and just below the lower one is cut out of the first picture that shows the face, and
looked for in each of the others, up and down along the face. How much farther apart the two are found is how much
farther the lips are open. Nothing of this knows what is said.

Both lips together are looked for, too, as they lie on each other in that picture: a lower lip that has little drawing
of its own, as in a small film, is like the chin below it, but a shut mouth is like no other.

Matching: normalised correlation (Lewis, "Fast normalized cross-correlation", 1995), which neither light nor contrast
changes. One picture's best match may be a fold of the chin, so that the path over all pictures is chosen by dynamic
programming (Viterbi), where each jump has its price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check.face import LOWER_LIP, UPPER_LIP, axes, openings
from avatarctl.engines.check.mouth import CLOSED, closed_within, correlation, trust
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
_OFF = 0.016
"""u from where the lips meet: the shadow there is no part of a lip, and looks like an open mouth."""
_SHAPES = (
    ((1.0, 1.0), (0.85, 1.0), (0.7, 1.0), (1.0, 0.75)),
    ((1.0, 1.0), (0.85, 1.07), (0.7, 1.15), (1.0, 0.75)),
)
"""Upper and lower lip at rest, more and more rounded, and pressed: over their width and height at rest. An upper lip
that might grow would grow into a dark mouth where there is a dark beard; and a lower lip that might grow by more than
rounding makes it, half of which hangs under a moustache at rest, would be taken for itself grown where it went down."""
_ASIDE = 3
"""Pixels to either side."""
_UPPER = (-0.14, 0.06)
_LOWER = (-0.08, 0.45)
"""u by which each lip may be lower than where lips meet."""
_JUMP = 0.003
"""Price of a pixel between a picture and the next, as likeness."""
_FLAT = 1.0
"""Levels; a lip that varies less is like anything."""
_SHUT = 2
"""Percent of the pictures of speech, at the least, in which lips meet."""
_ALIKE = 0.6
"""Likeness, in the usual picture, below which it is not the lip that is followed."""
_MOUTH_HIGH = (0.08, 0.14)
"""u of both lips together, above and below where they meet."""
_MOUTH_SHAPES = ((1.0, 1.0), (0.85, 1.0), (0.7, 1.0), (1.0, 0.8), (0.85, 0.85))
"""The shut mouth: as it is, rounded, pressed, and both."""
_MOUTH_MOVES = 0.1
"""u by which a shut mouth may be higher or lower."""
_WIDE_OPEN = 0.1
"""u by which lips are farther apart than ever from which on their mouth tells how unlike a shut one an open one is."""
_AS_SHUT, _SURELY_SHUT = 0.6, 0.9
"""Part of the way from an open mouth's likeness to a perfect one from which on a mouth looks shut, and certainly does:
kinds of lips differ in how alike the two are, 0.5 under grey hair, 0.95 under dark."""
_AGAIN = 5
"""Pictures in which lips lie as in the first one, from which on these and not that one tell how far they are apart."""
_KNOWN = 0.7
"""Correlation of the mesh's opening with the followed one from which on a mouth that looks shut, and that one of them
sees shut, is shut."""
_TRUSTED = 0.95
"""Correlation of the mesh's opening with the followed one from which on the mesh knows this face."""
_FOLD = 0.06
"""u by which lips are found farther apart than the mesh sees them from which on they are not the same lips."""


@dataclass(frozen=True, slots=True)
class _Lip:
    """A lip's middle in several shapes, and the rows of the upright picture in which each is looked for: its edge at
    the mouth is anywhere from `highest` to `lowest`. `at_rest`: that edge where it was cut out."""

    shapes: list[Picture]
    is_upper: bool
    at_rest: int
    highest: int
    lowest: int

    @property
    def places(self) -> int:
        return self.lowest - self.highest + 1

    def likeness(self, upright: Picture) -> NDArray[np.float32]:
        """Of the best shape at each place, float32 (places,)."""
        found = []
        for shape in self.shapes:
            height = shape.shape[0]
            start = self.highest - (height if self.is_upper else 0)
            found.append(_found(upright[start : self.lowest + start - self.highest + height], shape))
        return np.asarray(np.max(found, axis=0), np.float32)


class Followed(NamedTuple):
    """`apart`: u between the lips, float64 (pictures,). `shut`: how shut the mouth looks, 0 like an open one .. 1 as it
    is in the first picture, float64 (pictures,); 0 everywhere where it is open in that one."""

    apart: Floats
    shut: Floats


class Lips:
    """Both lips as one picture shows them, to be found in others.

    Args:
        luma: uint8 (height, width).
        face: in it.
    """

    def __init__(self, luma: Picture, face: Landmarks) -> None:
        self.apart = max(0.0, openings(face)[0])
        """u between the lips in that picture, by the mesh, which may take an open mouth for a shut one."""
        self.closed = closed_within(face.interocular)
        """u within which lips count as closed in pictures of this size."""
        self._lips: list[_Lip] = []
        self._mouth: list[Picture] = []
        self._mouth_rows = slice(0)
        along = axes(face)
        if along is None:
            return
        place = np.linalg.inv(np.stack(along, axis=1)) * _FINE
        nose, above, below = (
            face.xy[points].astype(np.float64).mean(axis=0) @ place.T
            for points in ([_BELOW_NOSE], UPPER_LIP, LOWER_LIP)
        )
        upper, lower = round(float(above[1])) - _pixels(_OFF), round(float(below[1])) + _pixels(_OFF)
        # Places of the edges, so far relative to the picture as it would be upright.
        highest = (upper + _pixels(_UPPER[0]), lower + _pixels(_LOWER[0] - 1.2 * self.apart))
        lowest = (upper + _pixels(_UPPER[1]), lower + _pixels(_LOWER[1] - self.apart))
        tallest = [
            round(_pixels(high) * max(tall for _, tall in shapes)) for high, shapes in zip(_HIGH, _SHAPES, strict=True)
        ]
        top = min(highest[0] - tallest[0], highest[1])
        self._size = (_pixels(_WIDE) + 2 * _ASIDE, lowest[1] + tallest[1] - top)
        # Relative to the nose, wherever that is in another picture.
        self._corner = np.array([(above[0] + below[0] - self._size[0]) / 2, top]) - nose
        upright = self._upright(luma, face)
        if upright is None:
            return
        for number, edge in enumerate((upper - top, lower - top)):
            tall = _pixels(_HIGH[number])
            rows = slice(edge, edge + tall) if number else slice(edge - tall, edge)
            strip = upright[rows, _ASIDE:-_ASIDE]
            if strip.std() < _FLAT:
                self._lips = []
                return
            shapes = [_reshaped(strip, *shape) for shape in _SHAPES[number]]
            self._lips.append(_Lip(shapes, not number, edge, highest[number] - top, lowest[number] - top))
        rows = slice(upper - top - _pixels(_MOUTH_HIGH[0]), lower - top + _pixels(_MOUTH_HIGH[1]))
        self._mouth = [_reshaped(upright[rows, _ASIDE:-_ASIDE], *shape) for shape in _MOUTH_SHAPES]
        self._mouth_rows = slice(max(0, rows.start - _pixels(_MOUTH_MOVES)), rows.stop + _pixels(_MOUTH_MOVES))

    def likeness(self, luma: Picture, face: Landmarks) -> Likeness | None:
        """How alike each lip is at each place, -1..1, float16 (places of the upper lip, then of the lower lip), and at
        the end how alike both together are at their best place.

        None where these lips cannot be followed.
        """
        upright = self._upright(luma, face) if self._lips else None
        if upright is None:
            return None
        around = upright[self._mouth_rows]
        mouth = max(float(_found(around, shape).max()) for shape in self._mouth)
        return np.concatenate([*(lip.likeness(upright) for lip in self._lips), [mouth]]).astype(np.float16)

    def followed(self, likenesses: Sequence[Likeness], gaps: Floats) -> Followed | None:
        """The lips in pictures in a row; None where what was followed are no lips, or there is no picture.

        Args:
            likenesses: of these pictures, in their order.
            gaps: u between the lips as the mesh sees them, (pictures,).
        """
        if not likenesses:
            return None
        *_, mouth = table = np.array(likenesses, np.float32).T
        lower = []
        for lip, part in zip(self._lips, np.split(table[:-1].T, [self._lips[0].places], axis=1), strict=True):
            path, alike = _path(part)
            if np.median(alike) < _ALIKE:
                return None
            lower.append(path + lip.highest - lip.at_rest)
        moved = (lower[1] - lower[0]) / _FINE
        # One picture may mislead the mesh where all those that show the same do not.
        again = gaps[np.abs(moved) < 1 / _FINE]
        apart = min(self.apart, max(0.0, float(np.median(again)))) if len(again) >= _AGAIN else self.apart
        # Lips do not overlap: where they seem to, they were farther apart to begin with than the mesh saw.
        overlap = max(0.0, -float(np.percentile(apart + moved, _SHUT)))
        found = np.asarray(np.maximum(apart + moved + overlap, 0), np.float64)
        open_ones = mouth[found - found.min() > _WIDE_OPEN]
        begun_shut = len(open_ones) > 0 and apart + overlap < self.closed
        unlike = max(1 - float(np.median(open_ones)), 1e-3) if begun_shut else 1.0
        return Followed(found, np.asarray(begun_shut * np.maximum(1 - (1 - mouth) / unlike, 0), np.float64))

    def _upright(self, luma: Picture, face: Landmarks) -> Picture | None:
        """What is around the lips, as many pixels for a u in width and height, the nose always above the same place."""
        along = axes(face)
        if along is None:
            return None
        place = np.linalg.inv(np.stack(along, axis=1)) * _FINE
        shift = -place @ face.xy[_BELOW_NOSE].astype(np.float64) - self._corner
        move = np.column_stack([place, shift])
        return np.asarray(cv2.warpAffine(luma, move, self._size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def joined(gap: Floats, followed: Followed | None, closed: float = CLOSED) -> Floats:
    """One opening of the mesh's and of the followed lips', u each, NaN where unknown.

    Two witnesses who agree are heard alike: each sees some sounds better than the other. Who is right where they do
    not agree is told by the pictures: lips that were found again are where they were found. Only where the mesh sees a
    mouth shut that is found wide open, it may be a fold of the skin that was found there: the mesh is believed where
    the followed lips agree with it nearly always. The third witness is how shut the whole mouth looks: where it does,
    and the two agree by and large, or where it certainly does, the one of them that sees it shut is believed.
    `closed`: see `Lips.closed`.
    """
    if followed is None:
        return gap
    apart, looks = followed
    agreement = correlation(apart, gap) or 0.0
    share = trust(agreement)
    both = (1 - share) * apart + share * gap if share else apart
    at_a_fold = (agreement > _TRUSTED) & (gap < closed) & (apart - gap > _FOLD)
    least = np.minimum(gap, apart)
    shut = (least < closed) & ((looks >= _SURELY_SHUT) | ((looks >= _AS_SHUT) & (agreement > _KNOWN)))
    return np.asarray(np.where(at_a_fold | shut, least, both), np.float64)


def _found(rows: Picture, shape: Picture) -> NDArray[np.float32]:
    """How alike a shape is at each height, at its best place to either side; float32 (heights,)."""
    width = shape.shape[1]
    left = (rows.shape[1] - width) // 2 - _ASIDE
    part = rows[:, left : left + width + 2 * _ASIDE]
    return np.asarray(cv2.matchTemplate(part, shape, cv2.TM_CCOEFF_NORMED).max(axis=1), np.float32)


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
