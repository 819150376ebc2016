"""What every picture of a film shows, in a few numbers each: the mouth, the eyes, the face's light, the background.

The face is followed by the face mesh from picture to picture; nothing but the numbers is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check.film import Check, Film, first_picture, pictures
from avatarctl.engines.facemesh.landmarks import (
    CHEEK_LEFT,
    CHEEK_RIGHT,
    LEFT_EYE_INNER,
    LEFT_EYE_LOWER,
    LEFT_EYE_OUTER,
    LEFT_EYE_UPPER,
    MOUTH_CORNER_LEFT,
    MOUTH_CORNER_RIGHT,
    RIGHT_EYE_INNER,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_OUTER,
    RIGHT_EYE_UPPER,
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
_UPPER_FACE = np.array(
    [
        *(234, 127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356, 454),
        *(CHEEK_LEFT, 426, 2, 206, CHEEK_RIGHT),
    ]
)
"""From ear to ear over the forehead, and back over cheeks and below the nose: what a speaking mouth leaves alone."""
_INWARDS = 0.88
"""The upper face's outline over its middle, so that hair and background stay out of it."""
_EYE_OUTLINES = [
    np.array(upper + lower[::-1])
    for upper, lower in ((RIGHT_EYE_UPPER, RIGHT_EYE_LOWER), (LEFT_EYE_UPPER, LEFT_EYE_LOWER))
]
_EYE_MARGIN = np.array([1.3, 2.2])
"""An eye with its lids, over its opening: wider and higher."""
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
    both eyes); `light`: mean luma of forehead, nose and cheeks, 0..255; `detail`: root mean square of the Laplacian
    of the upper face's luma without its eyes; `background_error`: mean square of the background luma's difference
    from the first picture; `background_light`: its mean luma. `background_share`: of the picture that counts as
    background, 0..1.
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
    film: Film, meshes: Sequence[FaceMesh], threads: int, check: Check, progress: Callable[[int, int], None]
) -> tuple[Seen, tuple[int, int]]:
    """Measure every picture: what was seen, and the width and height at which.

    Args:
        meshes: as many as pictures are looked at side by side. The figures depend on it, and not on `threads`.
    """
    first = first_picture(film, check)
    found = _face(meshes[0], first)
    width, height = _size(first, found)
    if found is not None:
        found = _scaled(found, width / first.shape[1])
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(meshes) - 1, "look")) if threads > 1 else None
        eye = _Eye(meshes, _strips(width, height, found), found, pool)
        coming = pictures(film, width, height, threads, check)
        while some := list(islice(coming, len(meshes))):
            eye.take(some)
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
    """Takes pictures a few at a time, one for each mesh, and looks at them side by side.

    Each is tracked from the last face of those before, whether there are threads for all of them or not, so that the
    figures are the same.
    """

    def __init__(
        self,
        meshes: Sequence[FaceMesh],
        strips: list[tuple[slice, slice]],
        face: Landmarks | None,
        pool: Executor | None,
    ) -> None:
        self._meshes = meshes
        self._pool = pool
        self._strips = strips
        self._area = sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in strips)
        self._face = face
        self._first: list[Picture] = []
        self._rows: list[tuple[float, ...]] = []
        self._search = 0

    @property
    def count(self) -> int:
        return len(self._rows)

    def take(self, pictures: Sequence[Picture]) -> None:
        """I420, at most as many as there are meshes."""
        if not self._first:
            self._first = [_luma(pictures[0])[strip].copy() for strip in self._strips]
        if self._face is None:
            seen = [(picture, self._found(picture)) for picture in pictures]
            self._rows += [self._row(picture, face) for picture, face in seen]
            return
        others = [(self._meshes[i], picture, self._face) for i, picture in enumerate(pictures) if i]
        waiting = [self._pool.submit(self._tracked, *other) for other in others] if self._pool else []
        done = [self._tracked(self._meshes[0], pictures[0], self._face)]
        done += [w.result() for w in waiting] if self._pool else [self._tracked(*other) for other in others]
        self._rows += [row for _, row in done]
        self._face = done[-1][0]
        if self._face is None:
            self._search = _LOOK_AGAIN

    def _found(self, i420: Picture) -> Landmarks | None:
        """The face, looked for now and then while there is none."""
        if self._face is not None:
            self._face = _track(self._meshes[0], i420, self._face)
            if self._face is None:
                self._search = _LOOK_AGAIN
            return self._face
        self._search -= 1
        if self._search <= 0:
            self._search = _LOOK_AGAIN
            self._face = _face(self._meshes[0], _rgb(i420))
        return self._face

    def _tracked(
        self, mesh: FaceMesh, i420: Picture, previous: Landmarks
    ) -> tuple[Landmarks | None, tuple[float, ...]]:
        face = _track(mesh, i420, previous)
        return face, self._row(i420, face)

    def _row(self, i420: Picture, face: Landmarks | None) -> tuple[float, ...]:
        luma = _luma(i420)
        if face is None:
            return (*(float("nan"),) * 4, *self._background(luma))
        return (*_openings(face), _light(luma, face), _detail(luma, face), *self._background(luma))

    def _background(self, luma: Picture) -> tuple[float, float]:
        if not self._area:
            return float("nan"), float("nan")
        parts = [luma[strip] for strip in self._strips]
        errors = sum(cv2.norm(part, was, cv2.NORM_L2SQR) for part, was in zip(parts, self._first, strict=True))
        light = sum(cv2.sumElems(part)[0] for part in parts)
        return errors / self._area, light / self._area

    def seen(self, pixels: int) -> Seen:
        gap, eyes, light, detail, error, background = np.array(self._rows, np.float64).reshape(-1, 6).T
        return Seen(gap, eyes, light, detail, error, background, self._area / pixels)


def _luma(i420: Picture) -> Picture:
    return i420[: len(i420) * 2 // 3]


def _rgb(i420: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8)


def _track(mesh: FaceMesh, i420: Picture, previous: Landmarks) -> Landmarks | None:
    try:
        return mesh.track(_rgb(i420), previous)
    except NoFace:
        return None


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


def _light(luma: Picture, face: Landmarks) -> float:
    """Mean luma of the skin that neither speaks nor blinks."""
    patch = cv2.warpAffine(luma, _patch_of(face), (_PATCH, _PATCH), borderMode=cv2.BORDER_REPLICATE)
    skin = patch[_PATCH * 5 // 12 : _PATCH * 7 // 12, _PATCH // 5 : _PATCH - _PATCH // 5]
    return float(cv2.mean(skin)[0])


def _detail(luma: Picture, face: Landmarks) -> float:
    """Root mean square of the Laplacian of the upper face without the eyes; the region goes with the face."""
    xy = face.xy
    outline = xy[_UPPER_FACE]
    middle = outline.mean(axis=0)
    outline = middle + _INWARDS * (outline - middle)
    low, high = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int)
    x0, y0 = (int(v) for v in np.maximum(low, 0))
    part = luma[y0 : max(int(high[1]), 0), x0 : max(int(high[0]), 0)]
    if min(part.shape) < 8:
        return float("nan")
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(outline - (x0, y0)).astype(np.int32)], 255)
    for eye in _EYE_OUTLINES:
        lids = xy[eye]
        centre = lids.mean(axis=0)
        cv2.fillPoly(mask, [np.rint(centre + _EYE_MARGIN * (lids - centre) - (x0, y0)).astype(np.int32)], 0)
    count = cv2.countNonZero(mask)
    if not count:
        return float("nan")
    energy = cv2.norm(cv2.Laplacian(part, cv2.CV_16S), cv2.NORM_L2SQR, mask)
    return float(np.sqrt(energy / count))
