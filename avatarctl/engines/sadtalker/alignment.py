"""Where the networks look: a square around the face, and the face laid over an average one.

Five points of our face mesh (eyes, tip of the nose, corners of the mouth) stand for the 68 of the detectors that
SadTalker brings. The square is that of FFHQ (Karras et al., CVPR 2019), upright; the 3DMM network wants the face as
Deep3DFaceReconstruction aligns it (Deng et al., CVPRW 2019): scaled orthography, fitted by least squares.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import MOUTH_CORNER_LEFT, MOUTH_CORNER_RIGHT, NOSE_TIP, Landmarks

Image = NDArray[np.uint8]
Points = NDArray[np.float64]

FACE_SIDE = 224
"""Pixels of the picture that the 3DMM network takes."""
_FACE_SCALE = 102.0
"""Pixels there of one unit of the average face."""
_SOFT = 0.5
"""Blur against aliasing, sigma in pixels of the smaller picture."""


def five_points(face: Landmarks) -> Points:
    """Eyes, nose and mouth corners as the picture shows them from left to right, float64 (5, 2), pixels."""
    eyes = face.eye_centres
    rest = face.xy[[NOSE_TIP, MOUTH_CORNER_RIGHT, MOUTH_CORNER_LEFT]]
    return np.concatenate([eyes, rest]).astype(np.float64)


def square(points: Points) -> tuple[float, float, float]:
    """Left, top and side of the square that the networks see, pixels; it may reach beyond the picture."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    across, down = points[1] - points[0], mouth - eyes
    axis = across + np.array([down[1], -down[0]])
    half = max(2.0 * math.hypot(*across), 1.8 * math.hypot(*down))
    # A tilted head's square is tilted; the upright one around it is what is cut out.
    half *= float(np.abs(axis).sum() / np.hypot(*axis))
    x, y = eyes + 0.1 * down
    return float(x) - half, float(y) - half, 2 * half


def cut(picture: Image, left: float, top: float, width: float, height: float, columns: int, rows: int) -> Image:
    """A part of an RGB picture, resampled to uint8 (rows, columns, 3).

    Edges of pixels fall on edges: pixel (0, 0) of the picture covers [0, 1) x [0, 1). What lies beyond the picture
    mirrors it.
    """
    step = np.array([width / columns, height / rows])
    reach = 2 + math.ceil(3 * _SOFT * float(step.max()))
    x0, y0 = (max(0, math.floor(v) - reach) for v in (left, top))
    x1, y1 = math.ceil(left + width) + reach, math.ceil(top + height) + reach
    part = picture[y0:y1, x0:x1]
    sigma = [_SOFT * math.sqrt(max(s * s - 1, 0.0)) for s in step]
    if max(sigma) > 0.1:
        part = np.asarray(cv2.GaussianBlur(part, (0, 0), max(sigma[0], 0.1), sigmaY=max(sigma[1], 0.1)), np.uint8)
    offset = np.array([left - x0, top - y0]) + 0.5 * step - 0.5
    matrix = np.array([[step[0], 0, offset[0]], [0, step[1], offset[1]]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    made = cv2.warpAffine(part, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(made, np.uint8)


def fit(points: Points, standard: Points) -> tuple[float, float, float]:
    """The scale, and the place of the average face's origin in the picture, under which it covers these points best.

    Args:
        points: float64 (5, 2), y upwards.
        standard: float64 (5, 3), the average face.
    """
    known = np.column_stack([standard, np.ones(len(standard))])
    # One row for each axis of the picture: three of a scaled rotation, and where the origin comes to lie.
    solved = np.linalg.lstsq(known, points, rcond=None)[0].T
    scale = float(np.linalg.norm(solved[:, :3], axis=1).mean())
    return _FACE_SCALE / scale, float(solved[0, 3]), float(solved[1, 3])


def aligned(crop: Image, points: Points, standard: Points) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The face as the 3DMM network takes it, and how it was laid.

    Args:
        crop: RGB uint8 (side, side, 3).
        points: the five points in it, float64 (5, 2), pixels, y downwards.

    Returns:
        float32 (224, 224, 3) in [0, 1], black beyond the crop; float32 (3,): scale, x and y of the origin in the
        crop, y upwards.
    """
    height, width = crop.shape[:2]
    upwards = np.column_stack([points[:, 0], height - 1 - points[:, 1]])
    scale, x, y = fit(upwards, standard)
    columns, rows = max(1, int(width * scale)), max(1, int(height * scale))
    sized = cv2.resize(crop, (columns, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left = int(columns / 2 - FACE_SIDE / 2 + (x - width / 2) * scale)
    top = int(rows / 2 - FACE_SIDE / 2 + (height / 2 - y) * scale)
    canvas = np.zeros((FACE_SIDE, FACE_SIDE, 3), np.float32)
    x0, y0 = max(left, 0), max(top, 0)
    part = sized[y0 : max(top + FACE_SIDE, 0), x0 : max(left + FACE_SIDE, 0)]
    canvas[y0 - top : y0 - top + part.shape[0], x0 - left : x0 - left + part.shape[1]] = part / np.float32(255)
    return canvas, np.array([scale, x, y], np.float32)
