"""Coarse lattices that carry displacement fields, and their inversion.

Pixel (i, j) has its centre at (i, j); node centres tile the box, so resizing a field with bilinear
interpolation puts it on the box's pixels without a shift.
"""

from __future__ import annotations

import cv2
import numpy as np

from avatarctl.engines.puppet.smooth import Array

Box = tuple[int, int, int, int]
"""x, y, width and height in pixels of the canvas."""


class Lattice:
    """Nodes over a box of the canvas. `points`: float32 (rows, columns, 2), x and y in pixels."""

    def __init__(self, box: Box, columns: int, rows: int) -> None:
        x, y, width, height = box
        self.box = box
        self.shape = (rows, columns)
        self._step = np.array([width / columns, height / rows], np.float32)
        across, down = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        self._nodes = np.stack([across, down], -1)
        self._origin = np.array([x - 0.5, y - 0.5], np.float32)
        self.points: Array = (self._nodes + np.float32(0.5)) * self._step + self._origin

    def invert(self, displacement: Array, iterations: int) -> Array:
        """The backward field b of a forward field d: x = p + b(p) solves x + d(x) = p.

        Fixed-point iteration b <- -d(p + b); it converges where the field's slope stays below 1.
        Both are float32 (rows, columns, 2) in pixels; held at the box's border.
        """
        to_nodes = 1 / self._step
        backward = -displacement
        for _ in range(iterations):
            where = self._nodes + backward * to_nodes
            backward = cv2.remap(displacement, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            np.negative(backward, out=backward)
        return np.asarray(backward, np.float32)

    def source_map(self, backward: Array, scale: int, origin: tuple[int, int]) -> Array:
        """For each pixel of the box, where to read a texture; float32 (height, width, 2) in its pixels.

        The texture has `scale` pixels per pixel of the canvas, and begins at `origin` on the canvas.
        """
        shift = np.array(origin, np.float32) - np.float32(0.5)
        source = (self.points + backward - shift) * np.float32(scale) - np.float32(0.5)
        return np.asarray(cv2.resize(source, self.box[2:], interpolation=cv2.INTER_LINEAR), np.float32)

    def sample(self, field: Array, points: Array) -> Array:
        """A field given at the nodes, float32 (rows, columns, ...), read at other pixels, bilinearly."""
        where = (points - self._origin) / self._step - np.float32(0.5)
        return np.asarray(
            cv2.remap(field, where.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.float32,
        )
