"""Coarse lattices that carry displacement fields, and their inversion.

Pixel (i, j) has its centre at (i, j); node centres tile the box, so resizing a field with bilinear
interpolation puts it on the box's pixels without a shift.
"""

from __future__ import annotations

import cv2
import numpy as np

from avatarctl.engines.puppet.sampling import near, read, remap, split
from avatarctl.engines.puppet.smooth import Array, held

Box = tuple[int, int, int, int]
"""x, y, width and height in pixels of the canvas."""


TILE_COLUMNS, TILE_ROWS = 4, 8
"""Nodes of a tile: the head's lattice consists of whole ones. Few rows of them, since each costs some calls."""

SMALLEST_AREA = 0.35
"""Skin squeezed to less than this part of its area is folding over; Newton's steps stay bounded there."""

LONGEST_STEP = 4.0
"""Of Newton's iteration, in steps of the lattice."""


class Lattice:
    """Nodes over a box of the canvas. `points`: float32 (rows, columns, 2), x and y in pixels."""

    def __init__(self, box: Box, columns: int, rows: int) -> None:
        x, y, width, height = box
        self.box = box
        self.shape = (rows, columns)
        # For every node, as everything of two channels here: to broadcast two numbers takes ten times as long.
        self._step = np.full((rows, columns, 2), (width / columns, height / rows), np.float32)
        across, down = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        self._across, self._down = across, down
        self._nodes = np.stack([across, down], -1)
        self._origin = np.array([x - 0.5, y - 0.5], np.float32)
        self.points: Array = (self._nodes + np.float32(0.5)) * self._step + self._origin
        self._still_maps: dict[tuple[int, tuple[int, int]], Array] = {}

    def invert(self, displacement: Array, iterations: int) -> Array:
        """The backward field b of a forward field d: x = p + b(p) solves x + d(x) = p.

        Newton's method with the field's own Jacobian: plain fixed-point iteration diverges where skin
        stretches to more than twice its length, as it does around a wide-open mouth.
        Both are float32 (rows, columns, 2) in pixels; held at the box's border.
        """
        # Plane by plane, since NumPy is quick on whole rows only.
        x, y = split(displacement / self._step)
        slope = _inverse_jacobian(x, y)
        back_x, back_y = -x, -y
        for _ in range(iterations):
            across, down = self._across + back_x, self._down + back_y
            error_x, error_y = read(x, across, down), read(y, across, down)
            error_x += back_x
            error_y += back_y
            # That of the nearest node leads as quickly to the place as one between the nodes would.
            x_by_x, x_by_y, y_by_x, y_by_y = split(near(slope, across, down))
            back_x -= held(-LONGEST_STEP, LONGEST_STEP, x_by_x * error_x + x_by_y * error_y)
            back_y -= held(-LONGEST_STEP, LONGEST_STEP, y_by_x * error_x + y_by_y * error_y)
        return np.asarray(cv2.merge((back_x, back_y)) * self._step, np.float32)

    def source_map(self, backward: Array, scale: int, origin: tuple[int, int], out: Array | None = None) -> Array:
        """For each pixel of the box, where to read a texture; float32 (height, width, 2) in its pixels.

        The texture has `scale` pixels per pixel of the canvas, and begins at `origin` on the canvas. `out`: taken
        for the result.
        """
        still = self._still_map(scale, origin)
        source = cv2.scaleAdd(backward, scale, still)
        return np.asarray(cv2.resize(source, self.box[2:], out, interpolation=cv2.INTER_LINEAR), np.float32)

    def _still_map(self, scale: int, origin: tuple[int, int]) -> Array:
        """Where the nodes themselves lie in such a texture."""
        if (scale, origin) not in self._still_maps:
            shift = np.array(origin, np.float32) - np.float32(0.5)
            self._still_maps[scale, origin] = (self.points - shift) * np.float32(scale) - np.float32(0.5)
        return self._still_maps[scale, origin]

    def carried(self, values: Array, backward: Array) -> Array:
        """`values` at the nodes of the photo, float32 (rows, columns, ...), as a backward field carries them."""
        return np.asarray(remap(values, self._nodes + backward / self._step), np.float32)

    def sample(self, field: Array, points: Array) -> Array:
        """A field given at the nodes, float32 (rows, columns, ...), read at other pixels, bilinearly."""
        where = (points - self._origin) / self._step[0, 0] - np.float32(0.5)
        return np.asarray(
            remap(field, where.astype(np.float32)),
            np.float32,
        )


def _inverse_jacobian(x: Array, y: Array) -> Array:
    """Inverse of the Jacobian of the place plus (x, y), float32 (rows, columns, 4), row by row; in lattice steps."""
    x_right, y_right, x_down, y_down = (_slope(values, *along) for along in ((1, 0), (0, 1)) for values in (x, y))
    x_right += 1
    y_down += 1
    area = 1 / np.maximum(x_right * y_down - x_down * y_right, np.float32(SMALLEST_AREA))
    return np.asarray(cv2.merge((y_down * area, -x_down * area, -y_right * area, x_right * area)), np.float32)


def _slope(values: Array, across: int, down: int) -> Array:
    found = cv2.Sobel(values, cv2.CV_32F, across, down, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)
