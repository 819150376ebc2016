"""What lies before the mouth: a microphone, a cup, a cigarette. It would be torn when the mouth opens, or bend.

Colours tell it from skin, so nothing is known of a photo without them, nor of a hand. Lengths are in u, the distance
between the two eye centres.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.facemesh.crop import Image
from avatarctl.engines.facemesh.landmarks import Landmarks

Floats = NDArray[np.float32]

_CHEEKS = (205, 50, 207), (425, 280, 427)
_JAW = (172, 136, 150), (397, 365, 379)
_BELOW_NOSE = 2
_LESS_RED = 0.12
"""How much less red than both cheeks something is, logarithm of red over green, to be no skin, shadow or lip."""
_BEARDED, _INWARDS = 0.25, (0.06, 0.12, 0.2)
"""Part of either side of the jaw that is unlike skin from which on there is a beard, and where that is looked for."""
_MEASURED_UNIT = 64
"""Larger faces are brought down to this u, pixels, before what is held between the lips is looked for."""
_AROUND, _REACHED = 1.1, 0.07
"""How far from the mouth that is done, and how near to the lips it begins, u."""
_THICK, _LONG = (0.03, 0.16), 3.0
"""Thickness of what is held, u, and its length at least, in thicknesses: a cigarette, a straw, a pencil."""


def covered_lip(rgb: Image, landmarks: Landmarks) -> float:
    """Share of the lower lip's length that looks like something before it, 0..1: a microphone, a cup.

    Such a place is darker or lighter than the skin of either cheek, and less red than both, which neither red paint nor
    shadow nor a drawing makes of a lip; blue paint does, and so may a greyish lip below dark cheeks. In a photo without
    colours nothing can be said, and none is covered.
    """
    calm = _without_grain(rgb, landmarks)
    if _bearded(calm, landmarks):
        return 0.0
    inner, outer = (_along(landmarks.xy[list(path)]) for path in (mesh.LIPS_INNER_LOWER, mesh.LIPS_OUTER_LOWER))
    lip = np.mean([_at(calm, inner + (outer - inner) * np.float32(part)) for part in (0.3, 0.5, 0.7)], axis=0)
    return _unlike_skin(calm, landmarks, lip)


def covered_chin(rgb: Image, landmarks: Landmarks) -> float:
    """The same for the chin below the lip. A hand before it is of the skin's colour, and is not seen."""
    calm = _without_grain(rgb, landmarks)
    if _bearded(calm, landmarks):
        return 0.0
    lip, chin = landmarks.xy[mesh.LIPS_OUTER_LOWER[5]], landmarks.xy[mesh.CHIN]
    corners = landmarks.xy[[mesh.MOUTH_CORNER_RIGHT, mesh.MOUTH_CORNER_LEFT]]
    along = (corners[1] - corners[0]) / max(float(np.hypot(*(corners[1] - corners[0]))), 1e-6) * landmarks.interocular
    down, across = np.meshgrid(np.linspace(0.15, 0.95, 15), np.linspace(-0.33, 0.33, 21), indexing="ij")
    places = lip + down.reshape(-1, 1) * (chin - lip) + across.reshape(-1, 1) * along
    return _unlike_skin(calm, landmarks, _at(calm, places.astype(np.float32)))


def held(rgb: Image, landmarks: Landmarks) -> float:
    """How far from the lips a thin straight thing reaches that begins at them, u; 0 where there is none.

    Only what is less red than the skin is seen. Moustaches are, too, but do not reach far.
    """
    unit = landmarks.interocular
    scale = min(1.0, _MEASURED_UNIT / unit)
    if scale < 1:
        size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    points = ((landmarks.xy + np.float32(0.5)) * np.float32(scale) - np.float32(0.5)).astype(np.float32)
    unit *= scale
    calm = np.asarray(cv2.GaussianBlur(cv2.medianBlur(rgb, 3), (0, 0), max(0.5, 0.012 * unit)), np.float32)
    lips = _within(rgb, points[list(mesh.LIPS_OUTER_UPPER + mesh.LIPS_OUTER_LOWER[::-1])])
    mouth = _within(rgb, points[list(mesh.LIPS_INNER_UPPER + mesh.LIPS_INNER_LOWER[::-1])])
    face = _within(rgb, points[list(mesh.FACE_OVAL)])
    if not lips.any():
        return 0.0
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    nose, down = points[_BELOW_NOSE], points[mesh.CHIN] - points[mesh.FOREHEAD]
    below = (columns - nose[0]) * down[0] + (rows - nose[1]) * down[1] > 0
    away = cv2.distanceTransform(1 - lips.astype(np.uint8), cv2.DIST_L2, 5) / np.float32(unit)
    strange = (_red(calm) < _red(_of_cheeks(calm, points)).min() - _LESS_RED) & face & ~mouth & below & (away < _AROUND)
    open_ = cv2.morphologyEx(strange.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    count, labels = cv2.connectedComponents(open_, connectivity=8)
    reach = 0.0
    for number in range(1, count):
        part = labels == number
        beyond = part & (away > _REACHED)
        if (part & ~beyond).any() and _thin(beyond, unit):
            reach = max(reach, float(away[beyond].max()))
    return reach


def _thin(part: NDArray[np.bool_], unit: float) -> bool:
    rows, columns = np.nonzero(part)
    if len(rows) < 4:
        return False
    places = np.stack([columns, rows], axis=1) - np.array([columns.mean(), rows.mean()])
    along = np.linalg.eigh(places.T @ places)[1][:, 1]
    length = float(np.ptp(places @ along)) + 1
    thickness = len(rows) / length
    return _THICK[0] * unit < thickness < _THICK[1] * unit and length > _LONG * thickness


def _without_grain(rgb: Image, landmarks: Landmarks) -> Floats:
    calm = cv2.GaussianBlur(cv2.medianBlur(rgb, 3), (0, 0), max(0.5, 0.02 * landmarks.interocular))
    return np.asarray(calm, np.float32)


def _unlike_skin(picture: Floats, landmarks: Landmarks, colours: Floats) -> float:
    """Share of some colours, (n, 3), that are darker or lighter than the skin of either cheek, and less red."""
    cheeks = _of_cheeks(picture, landmarks.xy)
    light, lights = (np.log(of.mean(axis=1) + 12) for of in (colours, cheeks))
    beyond = np.maximum(lights.min() - light, light - lights.max())
    return float(((beyond > 0.25) & (_red(colours) < _red(cheeks).min() - _LESS_RED)).mean())


def _bearded(picture: Floats, landmarks: Landmarks) -> bool:
    """Whether what covers the chin goes on along the jaw on both sides: white and grey beards are no less unlike skin
    than things are."""
    nose = landmarks.xy[mesh.NOSE_TIP]
    for side in _JAW:
        jaw = landmarks.xy[list(side)]
        within = np.concatenate([jaw + np.float32(part) * (nose - jaw) for part in _INWARDS])
        if _unlike_skin(picture, landmarks, _at(picture, within)) < _BEARDED:
            return False
    return True


def _of_cheeks(picture: Floats, points: Floats) -> Floats:
    """Colours of both cheeks, float32 (2, 3)."""
    return np.stack([np.median(_at(picture, points[list(side)]), axis=0) for side in _CHEEKS]).astype(np.float32)


def _red(colours: Floats) -> Floats:
    """Of colours, (..., 3): the logarithm of red over green."""
    return np.asarray(np.log((colours[..., 0] + 8) / (colours[..., 1] + 8)), np.float32)


def _within(rgb: Image, polygon: Floats) -> NDArray[np.bool_]:
    mask = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)
    return mask.astype(bool)


def _along(path: Floats) -> Floats:
    """Fifteen places on a lip's edge, evenly spaced, off its corners; float32 (15, 2)."""
    steps = np.hypot(*np.diff(path, axis=0).T)
    length = np.concatenate([[0], np.cumsum(steps)]) / max(float(steps.sum()), 1e-6)
    where = np.linspace(0.12, 0.88, 15)
    return np.stack([np.interp(where, length, path[:, axis]) for axis in (0, 1)], axis=-1).astype(np.float32)


def _at(picture: Floats, places: Floats) -> Floats:
    """Colours at some places, float32 (n, 3); beyond the border the border's."""
    x, y = np.ascontiguousarray(places[None], np.float32).transpose(2, 0, 1)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0], np.float32)
