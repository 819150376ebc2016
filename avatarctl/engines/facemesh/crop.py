"""Cutting turned squares out of a picture, as the face networks want them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TurnedSquare:
    """Centre and side in pixels; angle in radians, clockwise in the picture."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def grown(self, factor: float) -> TurnedSquare:
        """The same square with a longer side."""
        return TurnedSquare(self.x, self.y, self.side * factor, self.angle)

    def to_picture(self, pixels: int) -> NDArray[np.float64]:
        """Affine map, float64 (2, 3), from a crop of `pixels` x `pixels` to the picture.

        The crop's coordinate 0 falls on the square's corner, not half a pixel inside: so MediaPipe cuts the
        crops on which the networks were trained, and its points count the same way.
        """
        scale = self.side / pixels
        cos, sin = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        linear = np.array([[cos, -sin], [sin, cos]])
        offset = np.array([self.x, self.y]) - linear @ np.full(2, pixels / 2)
        return np.column_stack([linear, offset])


def cut(rgb: Image, square: TurnedSquare, pixels: int, *, shrink_from: float = 2.0, border: int) -> Image:
    """The square's content, uint8 (pixels, pixels, 3); `border` is OpenCV's mode for what lies outside.

    From a reduction of `shrink_from` on, the picture is first averaged down by a whole number: picking single
    pixels out of a large photo makes the points tremble with its grain.
    """
    to_picture = square.to_picture(pixels)
    scale = square.side / pixels
    if scale >= shrink_from:
        rgb, to_picture = _shrunk(rgb, square, to_picture, int(scale))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(rgb, to_picture, (pixels, pixels), flags=flags, borderMode=border)
    return patch.astype(np.uint8, copy=False)


def _shrunk(
    rgb: Image, square: TurnedSquare, to_picture: NDArray[np.float64], factor: int
) -> tuple[Image, NDArray[np.float64]]:
    height, width = rgb.shape[:2]
    reach = square.side * (abs(math.cos(square.angle)) + abs(math.sin(square.angle))) / 2 + 2 * factor
    x0, x1 = (int(np.clip(square.x + side * reach, 0, width)) for side in (-1, 1))
    y0, y1 = (int(np.clip(square.y + side * reach, 0, height)) for side in (-1, 1))
    size = (x1 - x0) // factor, (y1 - y0) // factor
    if min(size) < 1:
        return rgb, to_picture
    seen = rgb[y0 : y0 + size[1] * factor, x0 : x0 + size[0] * factor]
    smaller = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    mapped = to_picture / factor
    mapped[:, 2] += (0.5 - np.array([x0, y0])) / factor - 0.5
    return smaller, mapped
