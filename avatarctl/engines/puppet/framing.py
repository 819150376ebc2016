"""From a photo to the film's square canvas, and to the double-size texture that the renderer samples.

Sampling a picture 1:1 bilinearly makes its sharpness breathe with every sub-pixel motion; sampling one of
twice the size does not. So the texture has two pixels per pixel of the canvas, made such that averaging
2 x 2 of them gives the canvas back (iterative back-projection, Irani and Peleg 1991).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.smooth import Array, smoothstep
from avatarctl.errors import BadInput

TEXTURE_SCALE = 2
"""Texture pixels per canvas pixel."""
LARGEST_FACE = 0.62
"""Of the canvas's height: how close the frame may come in order to stay inside the photo."""
EYE_LEVEL = 0.44
"""Height of the eyes in the frame, 0 top .. 1 bottom."""
BACK_PROJECTIONS = 2
CALM = 0.8
"""Blur of a texture that was restored, its own pixels."""


@dataclass(frozen=True)
class Framed:
    """A framed photo. `canvas`: RGB uint8 (size, size, 3). `texture`: RGB uint8 (2 size, 2 size, 3).
    `landmarks`: float32 (478, 3), canvas pixels."""

    canvas: NDArray[np.uint8]
    texture: NDArray[np.uint8]
    landmarks: Array


def frame(
    photo: NDArray[np.uint8],
    landmarks: Array,
    size: int,
    face_fraction: float,
    detailed: NDArray[np.uint8] | None = None,
) -> Framed:
    """Cut a square with the face in it and scale it to `size`.

    The square stays inside the photo when it can, coming closer to the face if that is enough. What lies
    beyond the photo's border is continued by blurred colours: mirroring would show a second face.

    Args:
        photo: RGB uint8 (height, width, 3).
        landmarks: float32 (478, 3), photo pixels.
        size: side of the canvas, pixels.
        face_fraction: height of the face in heights of the canvas.
        detailed: the photo again, a whole number of times larger; taken where the photo alone has fewer
            pixels than the texture.

    Raises:
        BadInput: `detailed` is not the photo made larger.
    """
    left, top, side = _square(photo.shape[0], photo.shape[1], landmarks, face_fraction)
    times = _times_larger(photo, detailed) if side < size * TEXTURE_SCALE else 1
    source = photo if detailed is None or times == 1 else detailed
    square = _cut(source, left * times, top * times, side * times)
    canvas = _resize(square, size)
    texture = _consistent_texture(square, canvas, size * TEXTURE_SCALE, calm=times > 1)
    scale = size / side
    points = landmarks.astype(np.float32) * np.float32(scale)
    points[:, :2] = (landmarks[:, :2] - (left - 0.5, top - 0.5)) * scale - 0.5
    return Framed(canvas, texture, points)


def _times_larger(photo: NDArray[np.uint8], detailed: NDArray[np.uint8] | None) -> int:
    if detailed is None:
        return 1
    times: int = detailed.shape[0] // photo.shape[0]
    if detailed.shape[:2] != (photo.shape[0] * times, photo.shape[1] * times):
        raise BadInput("the detailed portrait is not the portrait made larger", hint="enrol the person again")
    return times


def _square(height: int, width: int, landmarks: Array, face_fraction: float) -> tuple[int, int, int]:
    face = float(np.linalg.norm(landmarks[mesh.FOREHEAD, :2] - landmarks[mesh.CHIN, :2]))
    side = face / face_fraction
    room = min(height, width)
    if side > room:
        side = max(room, face / LARGEST_FACE)
    side_px = max(16, round(side))
    centre = float(landmarks[list(mesh.FACE_OVAL), 0].mean())
    eyes = float(landmarks[[i for eye in anatomy.EYES for i in eye.corners], 1].mean())
    left, top = round(centre - side_px / 2), round(eyes - EYE_LEVEL * side_px)
    if side_px <= width:
        left = min(max(left, 0), width - side_px)
    if side_px <= height:
        top = min(max(top, 0), height - side_px)
    return left, top, side_px


def _cut(photo: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    height, width = photo.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    inside = np.ascontiguousarray(photo[y0:y1, x0:x1])
    margins = (y0 - top, top + side - y1, x0 - left, left + side - x1)
    if not any(margins):
        return inside
    extended = cv2.copyMakeBorder(inside, *margins, cv2.BORDER_REPLICATE)
    blurred = cv2.GaussianBlur(extended, (0, 0), 0.04 * side, borderType=cv2.BORDER_REPLICATE)
    outside = np.ones((side, side), np.uint8)
    outside[margins[0] : side - margins[1], margins[2] : side - margins[3]] = 0
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 3)
    weight = smoothstep(0, 0.04 * side, distance)[..., None]
    return np.clip(extended * (1 - weight) + blurred * weight + 0.5, 0, 255).astype(np.uint8)


def _resize(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    method = cv2.INTER_AREA if size < picture.shape[0] else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(picture, (size, size), interpolation=method), np.uint8)


def _consistent_texture(
    square: NDArray[np.uint8], canvas: NDArray[np.uint8], size: int, *, calm: bool
) -> NDArray[np.uint8]:
    """`calm`: what is finer than the canvas shows is taken out, since it would flicker with every motion."""
    texture = _resize(square, size).astype(np.float32)
    if calm:
        texture = cv2.GaussianBlur(texture, (0, 0), CALM).astype(np.float32)
    target = canvas.astype(np.float32)
    for _ in range(1 if calm else BACK_PROJECTIONS):
        error = target - cv2.resize(texture, target.shape[1::-1], interpolation=cv2.INTER_AREA)
        texture += cv2.resize(error, (size, size), interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(np.clip(texture + 0.5, 0, 255), np.uint8)
