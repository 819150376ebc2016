"""The photo as a scene: the canvas, the person's texture and alpha, and what lies behind them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.puppet import anatomy, backdrop
from avatarctl.engines.puppet.framing import TEXTURE_SCALE, View, frame, view
from avatarctl.engines.puppet.matte import Matte
from avatarctl.engines.puppet.smooth import Array


@dataclass(frozen=True)
class Scene:
    """The person apart from the background. `alpha`: of the person, uint8 (2 height, 2 width); `backdrop`: RGB
    uint8 (height, width, 3), what lies behind; both empty when they are not known. `trusted`: the head can be
    cut out. `doubt`, `moved`, `face`: see `Matte`."""

    trusted: bool
    alpha: NDArray[np.uint8]
    backdrop: NDArray[np.uint8]
    doubt: float
    moved: float
    face: float


@dataclass(frozen=True)
class Staged:
    """A framed photo and its scene. `canvas`, `texture`: see `Rig`; `landmarks`: float32 (478, 3), canvas pixels."""

    canvas: NDArray[np.uint8]
    texture: NDArray[np.uint8]
    landmarks: Array
    scene: Scene


def set_scene(
    photo: NDArray[np.uint8],
    landmarks: Array,
    size: tuple[int, int],
    face_fraction: float,
    matte: Matte | None,
    detailed: NDArray[np.uint8] | None = None,
) -> Staged:
    """Frame a photo, and take it apart if the matte allows it.

    Args:
        photo: RGB uint8 (height, width, 3).
        landmarks: float32 (478, 3), photo pixels.
        size: width and height of the canvas.
        face_fraction: height of the face in shorter sides of the canvas.
        matte: of the person, if it is known.
        detailed: the photo again, restored and larger; see `frame`.
    """
    outline = matte.silhouette(landmarks) if matte is not None and matte.trusted else None
    seen = view(photo, landmarks, *size, face_fraction, outline)
    if matte is not None and outline is not None and not _can_be_continued(matte, landmarks, seen, photo):
        outline = None
        seen = view(photo, landmarks, *size, face_fraction)
    framed = frame(photo, landmarks, seen, detailed)
    nothing = np.zeros((0, 0), np.uint8)
    if matte is None:
        scene = Scene(False, nothing, nothing, 1.0, 1.0, 0.0)
        return Staged(framed.canvas, framed.texture, framed.landmarks, scene)
    alpha = matte.on(framed.texture, seen)
    judged = matte.doubt, matte.moved, matte.face
    if outline is None:
        return Staged(framed.canvas, framed.texture, framed.landmarks, Scene(False, alpha, nothing, *judged))
    points = framed.landmarks
    left, right = (points[list(eye.corners), :2].mean(0) for eye in anatomy.EYES)
    unit = float(np.linalg.norm(right - left))
    inside = _inside(photo, seen)
    colours = backdrop.person_colours(framed.texture, alpha, unit * TEXTURE_SCALE)
    person = np.asarray(cv2.resize(colours, size, interpolation=cv2.INTER_AREA), np.uint8)
    behind, plain = backdrop.plate(framed.canvas, person, backdrop.canvas_alpha(alpha, *size), inside, unit)
    alpha = backdrop.refined_alpha(framed.texture, colours, alpha, behind, plain, unit * TEXTURE_SCALE)
    alpha = backdrop.without_specks(alpha)
    canvas = framed.canvas
    if inside != (0, 0, *size):
        x0, y0, x1, y1 = inside
        backdrop.continue_person(
            colours, alpha, (x0 * TEXTURE_SCALE, y0 * TEXTURE_SCALE, x1 * TEXTURE_SCALE, y1 * TEXTURE_SCALE),
            unit * TEXTURE_SCALE,
        )  # fmt: skip
        weight = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) * np.float32(1 / 255)
        person = np.asarray(cv2.resize(colours, size, interpolation=cv2.INTER_AREA), np.uint8)
        canvas = np.asarray(cv2.blendLinear(person, behind, weight, 1 - weight), np.uint8)
        canvas[y0:y1, x0:x1] = framed.canvas[y0:y1, x0:x1]
    return Staged(canvas, colours, points, Scene(True, alpha, behind, *judged))


def _inside(photo: NDArray[np.uint8], seen: View) -> tuple[int, int, int, int]:
    """The part of the canvas that shows the photo: x0, y0, x1, y1."""
    above, below, left, right = (int(np.ceil(m * seen.scale)) for m in seen.margins(photo))
    return left, above, seen.columns - right, seen.rows - below


def _can_be_continued(matte: Matte, landmarks: Array, seen: View, photo: NDArray[np.uint8]) -> bool:
    """Whether nothing but background and shoulders would have to be invented."""
    above, below, left, right = seen.margins(photo)
    person = matte.outline
    chin = max(1, int(landmarks[mesh.CHIN, 1] * matte.scale))
    cut = (above and person[0].any()) or (left and person[:chin, 0].any()) or (right and person[:chin, -1].any())
    return not cut and below <= 0.02 * seen.height
