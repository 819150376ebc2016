"""Photos that were printed in dots: a screen is found by its two peaks in the spectrum, and smoothed away.

Every motion of a face would bend the rows of dots, and nothing finer than they are is known of it anyway.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.crop import Image
from avatarctl.engines.facemesh.landmarks import Landmarks

_SIDE = 256
"""Of the square of the face that is looked at, pixels, at most."""
_LEAST_SIDE = 36
_COARSEST = 1 / 16, 0.1
"""The dots lie no further apart than this: dots a pixel, and parts of the face's width."""
_SHARE = 0.2
"""Of what is finer than that, the part that lies in either of both peaks. Measured on two faces and 150 variants:
printed in dots 0.33 and 0.35, anything else 0.01 to 0.07."""
_BLUR = 0.45
"""Sigma in distances between rows: a fiftieth of them is left."""


def pitch(rgb: Image, landmarks: Landmarks) -> float:
    """Distance between rows of dots in a face, pixels; 0 where it is not printed in dots.

    `rgb`: uint8 (height, width, 3). A screen has two directions at right angles, in which it is equally strong: cloth,
    blinds and the blocks of JPEG have one, or many.
    """
    x0, y0, x1, y1 = landmarks.box
    side = min(_SIDE, int(0.9 * (x1 - x0)), *rgb.shape[:2])
    if side < _LEAST_SIDE:
        return 0.0
    top, left = (
        int(np.clip((low + high - side) / 2, 0, size - side))
        for low, high, size in ((y0, y1, rgb.shape[0]), (x0, x1, rgb.shape[1]))
    )
    light = cv2.cvtColor(rgb[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY).astype(np.float64)
    power = np.abs(np.fft.fftshift(np.fft.fft2((light - light.mean()) * np.outer(np.hanning(side), np.hanning(side)))))
    down, across = np.meshgrid(*(2 * (np.fft.fftshift(np.fft.fftfreq(side)),)), indexing="ij")
    fine = np.where(np.hypot(down, across) > max(_COARSEST[0], 1 / (_COARSEST[1] * (x1 - x0))), power**2, 0)
    peaks = np.asarray(cv2.boxFilter(fine, -1, (3, 3), normalize=False), np.float64)
    first = np.unravel_index(int(peaks.argmax()), peaks.shape)
    y, x = float(down[first]), float(across[first])
    turned = np.hypot(down - x, across + y) < 2.5 / side
    # Each peak is there twice, on either side of the middle.
    second = float(peaks[turned].max()) if turned.any() else 0.0
    if 2 * second < _SHARE * max(float(fine.sum()), 1e-6):
        return 0.0
    return 1 / float(np.hypot(x, y))


def without(rgb: Image, distance: float) -> Image:
    """The photo without its dots. `distance`: see `pitch`."""
    smooth: NDArray[np.uint8] = np.asarray(cv2.GaussianBlur(rgb, (0, 0), _BLUR * distance), np.uint8)
    return smooth
