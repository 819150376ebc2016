"""One picture of a face by the mesh's points: how far lips and lids are open, its light and its detail."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import (
    CHEEK_LEFT,
    CHEEK_RIGHT,
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    MOUTH_CORNER_LEFT,
    MOUTH_CORNER_RIGHT,
    NOSE_TIP,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
    Landmarks,
)

Picture = NDArray[np.uint8]
Vector = NDArray[np.float64]

UPPER_LIP = [82, 13, 312]
LOWER_LIP = [87, 14, 317]
"""Their inner edges, in the middle."""
_UPPER_LIDS, _LOWER_LIDS = [159, 386], [145, 374]
_EYES = [RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_OUTER, LEFT_EYE_INNER]
_MOUTH = [MOUTH_CORNER_RIGHT, MOUTH_CORNER_LEFT]
_UPPER_FACE = np.array(
    [
        *(234, 127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356, 454),
        *(CHEEK_LEFT, 266, NOSE_TIP, 36, CHEEK_RIGHT),
    ]
)
"""From ear to ear over the forehead, and back below the eyes and over the tip of the nose: what a speaking mouth leaves
alone. The folds beside the nose, further down, are drawn out by every vowel, and what lies on them with them."""
_INWARDS = 0.88
"""The upper face's outline over its middle, so that hair and background stay out of it."""
_EYES_OUTER_INNER = ((RIGHT_EYE_OUTER, RIGHT_EYE_INNER), (LEFT_EYE_OUTER, LEFT_EYE_INNER))
_EYE_SPAN = np.array([0.65, 0.36])
"""Half the width and height of an eye with its lids, in widths of its opening."""
_IRISES = 468
"""Points of the mesh from this one on turn with the gaze."""
_FRACTION = 4
"""Bits behind the point of a polygon's corners."""
_PATCH = 48
"""Side of the upright face patch in which light is measured, pixels."""


def axes(face: Landmarks) -> tuple[Vector, Vector] | None:
    """Where one u to the side and one u down lead in the picture, as they would be seen from the front; pixels, (2,).

    u is the distance of the eyes. The head's turn shortens what lies across, and its nod everything vertical: both are
    made good by the mesh's depth. None where the mesh has eyes and mouth in one place.
    """
    points = face.points.astype(np.float64)
    eyes = points[_EYES]
    right, left = (eyes[0] + eyes[1]) / 2, (eyes[2] + eyes[3]) / 2
    unit = float(np.linalg.norm(left - right))
    down = points[_MOUTH].mean(axis=0) - (left + right) / 2
    across, down = (left - right)[:2], down[:2] * unit / float(np.linalg.norm(down) or 1.0)
    if abs(float(across[0] * down[1] - across[1] * down[0])) < 1e-6:
        return None
    return across, down


def openings(face: Landmarks) -> tuple[float, float]:
    """Mouth and eyes, in u."""
    along = axes(face)
    if along is None:
        return float("nan"), float("nan")
    points, down = face.xy.astype(np.float64), along[1] / (along[1] @ along[1])
    gap = (points[LOWER_LIP] - points[UPPER_LIP]) @ down
    lids = (points[_LOWER_LIDS] - points[_UPPER_LIDS]) @ down
    return float(gap.mean()), float(lids.mean())


def _patch_of(face: Landmarks) -> NDArray[np.float64]:
    """Affine map, float64 (2, 3), from the picture to an upright patch: eyes at a third, mouth at three quarters."""
    right, left = face.eye_centres
    mouth = face.xy[_MOUTH].mean(axis=0)
    third, side = _PATCH / 3, float(_PATCH)
    wanted = np.array([[0.28 * side, third], [0.72 * side, third], [0.5 * side, 0.75 * side]], np.float32)
    return np.asarray(cv2.getAffineTransform(np.array([right, left, mouth], np.float32), wanted), np.float64)


def light(luma: Picture, face: Landmarks) -> float:
    """Mean luma of the skin that neither speaks nor blinks."""
    patch = cv2.warpAffine(luma, _patch_of(face), (_PATCH, _PATCH), borderMode=cv2.BORDER_REPLICATE)
    skin = patch[_PATCH * 5 // 12 : _PATCH * 7 // 12, _PATCH // 5 : _PATCH - _PATCH // 5]
    return float(cv2.mean(skin)[0])


class UpperFace:
    """What neither speaks nor blinks: one and the same part of the skull in all pictures of a film.

    The mesh moves its cheeks with the jaw, and widens its eyes with the lids. Were the region to follow, a fold or a
    strand of hair that comes in at its border with every vowel would pass for sharpness. So its shape is that of one
    picture, carried by the affine map that fits the mesh above the tip of the nose: so many points that their shaking
    cancels out.

    Args:
        face: in a picture of the film, best the first.
    """

    def __init__(self, face: Landmarks) -> None:
        xy = face.xy.astype(np.float64)
        outline = xy[_UPPER_FACE]
        middle = outline.mean(axis=0)
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        round_eye = np.stack([np.cos(angles), np.sin(angles)], 1) * _EYE_SPAN
        parts = [middle + _INWARDS * (outline - middle)]
        for outer, inner in _EYES_OUTER_INNER:
            across = xy[inner] - xy[outer]
            parts.append((xy[outer] + xy[inner]) / 2 + round_eye @ [across, [-across[1], across[0]]])
        corners = np.concatenate(parts)
        self._cuts = np.cumsum([len(part) for part in parts])[:-1]
        across = xy[LEFT_EYE_OUTER] - xy[RIGHT_EYE_OUTER]
        height = xy[:_IRISES] @ [across[1], -across[0]]
        self._skull = np.flatnonzero(height > height[NOSE_TIP])
        # The map that fits best, applied to the corners: one product with where the points are later.
        points = np.column_stack([xy[self._skull], np.ones(len(self._skull))])
        self._carry = np.column_stack([corners, np.ones(len(corners))]) @ np.linalg.pinv(points)

    def detail(self, luma: Picture, face: Landmarks) -> float:
        """Root mean square of the Laplacian there, in a picture that shows the face; NaN where too little of it is."""
        corners = self._carry @ face.xy[self._skull].astype(np.float64)
        outline, *eyes = np.split(corners, self._cuts)
        low, high = np.floor(outline.min(axis=0)).astype(int) - 1, np.ceil(outline.max(axis=0)).astype(int) + 2
        corner = np.maximum(low, 0)
        part = luma[corner[1] : max(int(high[1]), 0), corner[0] : max(int(high[0]), 0)]
        if min(part.shape) < 8:
            return float("nan")
        # By parts of a pixel: a border that jumped over a strand of hair or a brow would be taken for a breath.
        mask = np.zeros(part.shape, np.uint8)
        _fill(mask, outline - corner, 255)
        for eye in eyes:
            _fill(mask, eye - corner, 0)
        weight = mask.astype(np.float32)
        total = float(weight.sum())
        if not total:
            return float("nan")
        laplacian = cv2.Laplacian(part, cv2.CV_32F)
        return float(np.sqrt(cv2.multiply(laplacian, laplacian).ravel() @ weight.ravel() / total))


def _fill(mask: Picture, outline: NDArray[np.floating], value: int) -> None:
    """Fill a polygon whose corners lie between the pixels; its border is soft. In place."""
    corners = np.rint(outline * 2**_FRACTION).astype(np.int32)
    cv2.fillPoly(mask, [corners], value, cv2.LINE_AA, _FRACTION)
