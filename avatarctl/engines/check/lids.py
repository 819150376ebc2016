"""The lids followed by their own look: how far the eyes are shut where the face mesh does not see it.

The mesh knows lids as photos show them; drawn ones, and those of glasses and of stripes of shadow, it hardly sees
come down. But a blink changes the look of an eye more than anything else does, and always in the same way: what is
around both eyes is kept of every picture in a few grey levels, and how far each picture is from the usual look on its
way to the farthest ones is how far the eyes are shut. Nothing of this knows how, nor when, a blink is meant.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check.face import axes
from avatarctl.engines.facemesh.landmarks import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
    Landmarks,
)

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

_EYES = ([RIGHT_EYE_OUTER, RIGHT_EYE_INNER], [LEFT_EYE_INNER, LEFT_EYE_OUTER])
_COLUMNS, _ROWS = 14, 8
_WIDE, _HIGH = 0.5, 0.36
"""u; an eye with its lids."""
LOOK = len(_EYES) * _ROWS * _COLUMNS
"""Grey levels in the look of both eyes."""
_SHUT = 0.05
"""Share of the pictures around blinks in which eyes are all but shut."""
_FEWEST_SHUT = 3


def look(luma: Picture, face: Landmarks) -> Picture:
    """Both eyes upright, the image's left one first, uint8 (LOOK,); all 0 where the mesh has no eyes."""
    along = axes(face)
    if along is None:
        return np.zeros(LOOK, np.uint8)
    place = np.stack(along, axis=1) * (_WIDE / _COLUMNS, _HIGH / _ROWS)
    found = []
    for corners in _EYES:
        corner = face.xy[corners].astype(np.float64).mean(axis=0) - place @ ((_COLUMNS - 1) / 2, (_ROWS - 1) / 2)
        move = np.column_stack([place, corner])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        found.append(cv2.warpAffine(luma, move, (_COLUMNS, _ROWS), flags=flags, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(np.concatenate(found).ravel(), np.uint8)


def shutting(looks: Picture, near: NDArray[np.bool_]) -> Floats:
    """How far the eyes are shut around blinks, 0 open .. 1 shut, NaN elsewhere.

    Each stretch of pictures is held against what its eyes look like most of the time: happy ones are narrower than
    surprised ones all along, and shut no less.

    Args:
        looks: uint8 (pictures, LOOK).
        near: which pictures are around a blink, and show a face.
    """
    found = np.full(len(looks), np.nan)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]]).astype(np.int8))).reshape(-1, 2)
    if not len(edges):
        return found
    stretches = [looks[start:end].astype(np.float32) for start, end in edges]
    away = np.concatenate([seen - np.median(seen, axis=0) for seen in stretches])
    far = np.einsum("ij,ij->i", away, away)
    shut = np.argsort(far, kind="stable")[-max(_FEWEST_SHUT, round(_SHUT * len(far))) :]
    way = away[shut].mean(axis=0)
    length = float(way @ way)
    if length > 0:
        found[near] = away @ way / length
    return found
