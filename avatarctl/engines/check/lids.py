"""The lids followed by the face mesh and by their own look: how far the eyes are shut.

The mesh knows lids as photos show them; drawn ones, and those of glasses and of stripes of shadow, it hardly sees
come down. But a blink changes the look of an eye more than anything else does, and always in the same way: what is
around both eyes is kept of every picture in a few grey levels, and how far each picture is from the usual look on its
way to the farthest ones is how far the eyes are shut. In a picture of black and white alone an eye is soon far from
its usual look, and there it is the mesh that sees how far. Nothing of this knows how, nor when, a blink is meant.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check.face import axes
from avatarctl.engines.check.mouth import correlation, trust
from avatarctl.engines.facemesh import quality
from avatarctl.engines.facemesh.judgement import LIDS_OPEN, eyes_seen
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


def shown(rgb: Picture, face: Landmarks) -> bool:
    """Whether an eye is to be seen, open, as enrolment judges it: neither closed nor hidden by glasses or hair."""
    found = quality.features(rgb, face)
    return any(seen and lids >= LIDS_OPEN for seen, lids in zip(eyes_seen(found), found.lids, strict=True))


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


def shutting(looks: Picture, openings: Floats, near: NDArray[np.bool_]) -> Floats:
    """How far the eyes are shut around blinks, 0 open .. 1 shut, NaN elsewhere.

    Each stretch of pictures is held against how its eyes are most of the time: happy ones are narrower than surprised
    ones all along, and shut no less. Where mesh and look agree, both count alike; where they do not, the look does.

    Args:
        looks: uint8 (pictures, LOOK).
        openings: of the lids as the mesh sees them, any unit, (pictures,).
        near: which pictures are around a blink, and show a face.
    """
    found = np.full(len(looks), np.nan)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]]).astype(np.int8))).reshape(-1, 2)
    if not len(edges):
        return found
    away = np.concatenate([_away(looks[start:end].astype(np.float32)) for start, end in edges])
    by_look = _on_its_way(away)
    by_mesh = np.concatenate([_shut(openings[start:end]) for start, end in edges])
    share = trust(correlation(by_look, by_mesh))
    found[near] = (1 - share) * by_look + share * by_mesh if share else by_look
    return found


def _away(seen: NDArray[np.floating]) -> NDArray[np.floating]:
    """From what is usual in a stretch of pictures; (pictures, values)."""
    return np.asarray(seen - np.median(seen, axis=0))


def _shut(openings: Floats) -> Floats:
    """Part of the usual opening of a stretch of pictures that is gone, (pictures,)."""
    usual = float(np.median(openings))
    return 1 - openings / usual if usual > 0 else np.zeros(len(openings))


def _on_its_way(away: NDArray[np.floating]) -> Floats:
    """How far each picture is on the way to the farthest ones, 0..1, (pictures,); 0 where nothing ever moves."""
    far = np.einsum("ij,ij->i", away, away)
    shut = np.argsort(far, kind="stable")[-max(_FEWEST_SHUT, round(_SHUT * len(far))) :]
    way = away[shut].mean(axis=0)
    length = float(way @ way)
    return np.asarray(away @ way / length if length > 0 else np.zeros(len(away)), np.float64)
