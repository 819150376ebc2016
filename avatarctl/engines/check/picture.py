"""What every picture of a film shows, in a few numbers each: the mouth, the eyes, the face's light, the background.

The face is followed by the face mesh from picture to picture; nothing but the numbers is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check.film import Check, Film, first_picture, pictures
from avatarctl.engines.facemesh.landmarks import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    MOUTH_CORNER_LEFT,
    MOUTH_CORNER_RIGHT,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
    Landmarks,
)
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.errors import NoFace

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

FACE_HEIGHT = 200
"""Pixels of the face, hairline to chin, at which a film is measured; a smaller face is measured as it is."""
SHORTER_SIDE = 512
"""Pixels, for a film whose first picture shows no face."""

_WORTH_SHRINKING = 0.85
_LOOK_AGAIN = 12
"""Pictures between two searches for a face that is not there."""
_UPPER_LIP = [82, 13, 312]
_LOWER_LIP = [87, 14, 317]
_UPPER_LIDS, _LOWER_LIDS = [159, 386], [145, 374]
_EYES = [RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_OUTER, LEFT_EYE_INNER]
_MOUTH = [MOUTH_CORNER_RIGHT, MOUTH_CORNER_LEFT]
_PATCH = 48
"""Side of the upright face patch in which light is measured, pixels."""
_SIDEWAYS, _UPWARDS = 0.4, 1.0
"""How far the person may reach beyond the face's box: in its widths to either side, in its heights above."""
_NARROWEST = 0.03
"""A strip of background has at least this share of the picture's width or height."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One value a picture; NaN where the picture shows no face, or the film has no background to speak of.

    `gap`: between the inner lips, in u, the distance of the eye centres; `eyes`: between the lids, in u (the mean of
    both eyes); `light`: mean luma of forehead, nose and cheeks, 0..255; `detail`: mean square of the face's
    Laplacian; `background_error`: mean square of its luma's difference from the first picture;
    `background_light`: its mean luma. `background_share`: of the picture that counts as background, 0..1.
    """

    gap: Floats
    eyes: Floats
    light: Floats
    detail: Floats
    background_error: Floats
    background_light: Floats
    background_share: float

    @property
    def face(self) -> NDArray[np.bool_]:
        """Which pictures show the face."""
        return np.isfinite(self.gap)


def look(
    film: Film, mesh: FaceMesh, threads: int, check: Check, progress: Callable[[int, int], None]
) -> tuple[Seen, tuple[int, int]]:
    """Measure every picture: what was seen, and the width and height at which."""
    first = first_picture(film, check)
    found = _face(mesh, first)
    width, height = _size(first, found)
    if found is not None:
        found = _scaled(found, width / first.shape[1])
    eye = _Eye(mesh, _strips(width, height, found), found)
    for picture in pictures(film, width, height, threads, check):
        eye.take(picture)
        progress(eye.count, film.frames)
    return eye.seen(width * height), (width, height)


def _face(mesh: FaceMesh, rgb: Picture) -> Landmarks | None:
    try:
        return mesh.landmarks(rgb)
    except NoFace:
        return None


def _scaled(face: Landmarks, factor: float) -> Landmarks:
    return Landmarks((face.points * np.float32(factor)).astype(np.float32), face.score)


def _size(first: Picture, face: Landmarks | None) -> tuple[int, int]:
    height, width = first.shape[:2]
    factor = SHORTER_SIDE / min(width, height) if face is None else FACE_HEIGHT / (face.box[3] - face.box[1])
    if factor > _WORTH_SHRINKING:
        factor = 1.0
    return max(16, 2 * round(width * factor / 2)), max(16, 2 * round(height * factor / 2))


def _strips(width: int, height: int, face: Landmarks | None) -> list[tuple[slice, slice]]:
    """Where the background is: beside and above the person as far down as the chin, since shoulders may be wide.

    Without a face: the upper corners.
    """
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


class _Eye:
    """Takes picture after picture."""

    def __init__(self, mesh: FaceMesh, strips: list[tuple[slice, slice]], face: Landmarks | None) -> None:
        self._mesh = mesh
        self._strips = strips
        self._area = sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in strips)
        self._face = face
        self._first: list[Picture] = []
        self._rows: list[tuple[float, ...]] = []
        self._search = 0

    @property
    def count(self) -> int:
        return len(self._rows)

    def take(self, i420: Picture) -> None:
        luma = i420[: len(i420) * 2 // 3]
        self._follow(i420)
        nothing = float("nan")
        face = (nothing,) * 4 if self._face is None else (*_openings(self._face), *_light(luma, self._face))
        self._rows.append((*face, *self._background(luma)))

    def _follow(self, i420: Picture) -> None:
        rgb: Picture | None = None
        if self._face is None:
            self._search -= 1
            if self._search > 0:
                return
            self._search = _LOOK_AGAIN
        rgb = np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8)
        if self._face is None:
            self._face = _face(self._mesh, rgb)
            return
        try:
            self._face = self._mesh.track(rgb, self._face)
        except NoFace:
            self._face, self._search = None, _LOOK_AGAIN

    def _background(self, luma: Picture) -> tuple[float, float]:
        if not self._area:
            return float("nan"), float("nan")
        parts = [luma[strip] for strip in self._strips]
        if not self._first:
            self._first = [part.copy() for part in parts]
        errors = sum(cv2.norm(part, was, cv2.NORM_L2SQR) for part, was in zip(parts, self._first, strict=True))
        light = sum(cv2.sumElems(part)[0] for part in parts)
        return errors / self._area, light / self._area

    def seen(self, pixels: int) -> Seen:
        gap, eyes, light, detail, error, background = np.array(self._rows, np.float64).reshape(-1, 6).T
        return Seen(gap, eyes, light, detail, error, background, self._area / pixels)


def _openings(face: Landmarks) -> tuple[float, float]:
    """Mouth and eyes, in u, as they would be seen from the front.

    The head's turn shortens the distance of the eyes, and its nod everything vertical: both are made good by the
    mesh's depth.
    """
    points = face.points.astype(np.float64)
    eyes = points[_EYES]
    right, left = (eyes[0] + eyes[1]) / 2, (eyes[2] + eyes[3]) / 2
    unit = float(np.linalg.norm(left - right))
    down = points[_MOUTH].mean(axis=0) - (left + right) / 2
    seen = float(np.hypot(down[0], down[1]))
    if unit <= 0 or seen <= 0:
        return float("nan"), float("nan")
    scale = float(np.linalg.norm(down)) / seen / unit
    down = down[:2] / seen
    gap = float(((points[_LOWER_LIP, :2] - points[_UPPER_LIP, :2]) @ down).mean())
    lids = float(((points[_LOWER_LIDS, :2] - points[_UPPER_LIDS, :2]) @ down).mean())
    return gap * scale, lids * scale


def _patch_of(face: Landmarks) -> NDArray[np.float64]:
    """Affine map, float64 (2, 3), from the picture to an upright patch: eyes at a third, mouth at three quarters."""
    right, left = face.eye_centres
    mouth = face.xy[_MOUTH].mean(axis=0)
    third, side = _PATCH / 3, float(_PATCH)
    wanted = np.array([[0.28 * side, third], [0.72 * side, third], [0.5 * side, 0.75 * side]], np.float32)
    return np.asarray(cv2.getAffineTransform(np.array([right, left, mouth], np.float32), wanted), np.float64)


def _light(luma: Picture, face: Landmarks) -> tuple[float, float]:
    """Mean luma of the skin that neither speaks nor blinks, and the energy of the face's detail."""
    patch = cv2.warpAffine(luma, _patch_of(face), (_PATCH, _PATCH), borderMode=cv2.BORDER_REPLICATE)
    skin = patch[_PATCH * 5 // 12 : _PATCH * 7 // 12, _PATCH // 5 : _PATCH - _PATCH // 5]
    x0, y0, x1, y1 = (int(v) for v in face.box)
    part = luma[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if min(part.shape) < 8:
        return float(skin.mean()), float("nan")
    detail = cv2.Laplacian(part, cv2.CV_16S)
    return float(skin.mean()), float(cv2.norm(detail, cv2.NORM_L2SQR)) / part.size
