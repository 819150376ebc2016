"""The person, warped, over a picture that stands still.

Most of a frame is plainly person or plainly background. So the lattice is looked at in tiles first: a tile where
nothing but background can come to lie is left as it is, one where all is person needs no blending.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.framing import TEXTURE_SCALE
from avatarctl.engines.puppet.lattice import TILE_COLUMNS, TILE_ROWS, Box, Lattice
from avatarctl.engines.puppet.sampling import nearest
from avatarctl.engines.puppet.smooth import Array
from avatarctl.engines.puppet.texture import Texture

Picture = NDArray[np.uint8]
OUTSIDE, RIM, INSIDE = 0, 1, 2
"""What a tile shows: background, both, the person."""
BLOCK = 8
"""Side of the blocks of alpha whose least and greatest value are kept, texture pixels."""


class Cutout:
    """Draws the person of a rig over `behind`.

    Args:
        colours: of the person, RGB uint8 (texture height, texture width, 3).
        alpha: of the person, uint8 (texture height, texture width).
        behind: RGB uint8 (height, width, 3).
        box: the part of the canvas that moves.
        lattice: over it, whole tiles.
    """

    def __init__(self, colours: Picture, alpha: NDArray[np.uint8], behind: Picture, box: Box, lattice: Lattice) -> None:
        self._texture = Texture(colours, alpha)
        self._behind, self._box, self._lattice = behind, box, lattice
        self._alpha = np.zeros(behind.shape[:2], np.uint8)
        rows, columns = lattice.shape
        left, top, width, height = box
        self._across = [left + round(i * width * TILE_COLUMNS / columns) for i in range(columns // TILE_COLUMNS + 1)]
        self._down = [top + round(i * height * TILE_ROWS / rows) for i in range(rows // TILE_ROWS + 1)]
        step = TEXTURE_SCALE * max(width / columns, height / rows)
        # A node speaks for its cell, which may be read from twice as wide a place, and with what is beside it.
        reach = int(np.ceil((step + 2) / BLOCK))
        self._least, self._most = _extremes(alpha, reach)

    def twin(self) -> Cutout:
        """Another one for another thread."""
        other = copy(self)
        other._alpha = np.zeros_like(self._alpha)
        return other

    def tiles(self, backward: Array) -> NDArray[np.uint8]:
        """What each tile shows; uint8 (rows, columns). `backward`: of the lattice, canvas pixels."""
        # Half a block less, because the nearest block is read and not the one that a place lies in.
        places = self._lattice.points + backward + np.float32(0.5)
        blocks = places * np.float32(TEXTURE_SCALE / BLOCK) - np.float32(0.5)
        least = _by_tile(nearest(self._least, blocks), np.minimum)
        most = _by_tile(nearest(self._most, blocks), np.maximum)
        found = np.full(least.shape, RIM, np.uint8)
        found[most == 0] = OUTSIDE
        found[least == 255] = INSIDE
        return found

    def person(self, picture: Picture, source: Array, tiles: NDArray[np.uint8]) -> None:
        """Draw the background, and the person wherever there is some; `source`: where to read, of the box's pixels."""
        np.copyto(picture, self._behind)
        left, top = self._box[:2]
        for row in range(len(tiles)):
            columns = np.flatnonzero(tiles[row] != OUTSIDE)
            if len(columns):
                y0, y1 = self._down[row], self._down[row + 1]
                x0, x1 = self._across[columns[0]], self._across[columns[-1] + 1]
                read = self._texture.read(source[y0 - top : y1 - top, x0 - left : x1 - left])
                cv2.cvtColor(read, cv2.COLOR_RGBA2RGB, picture[y0:y1, x0:x1])
                cv2.extractChannel(read, 3, self._alpha[y0:y1, x0:x1])

    def put_behind(self, picture: Picture, tiles: NDArray[np.uint8]) -> None:
        """Blend the background in around the person that was drawn last; in place."""
        for state, x0, y0, x1, y1 in self._runs(tiles):
            here = np.s_[y0:y1, x0:x1]
            if state == OUTSIDE:
                picture[here] = self._behind[here]
            elif state == RIM:
                # Two products of bytes: `cv2.blendLinear` takes twice as long.
                alpha = cv2.cvtColor(self._alpha[here], cv2.COLOR_GRAY2RGB)
                over = cv2.multiply(picture[here], alpha, scale=1 / 255)
                under = cv2.multiply(self._behind[here], cv2.bitwise_not(alpha), scale=1 / 255)
                cv2.add(over, under, picture[here])

    def _runs(self, tiles: NDArray[np.uint8]) -> Iterator[tuple[int, int, int, int, int]]:
        """Neighbours in a row that show the same: state, x0, y0, x1, y1."""
        for row, states in enumerate(tiles.tolist()):
            column = 0
            for state, group in groupby(states):
                length = len(list(group))
                yield (
                    state, self._across[column], self._down[row], self._across[column + length], self._down[row + 1]
                )  # fmt: skip
                column += length


def _by_tile(values: NDArray[np.uint8], extreme: np.ufunc) -> NDArray[np.uint8]:
    """The extreme value of each tile's nodes, uint8 (tile rows, tile columns)."""
    rows, columns = values.shape
    # Rows first: they are whole, so that it is quick.
    lines = extreme.reduce(values.reshape(rows // TILE_ROWS, TILE_ROWS, columns), axis=1)
    return np.asarray(extreme.reduce(lines.reshape(-1, columns // TILE_COLUMNS, TILE_COLUMNS), axis=2), np.uint8)


def _extremes(alpha: NDArray[np.uint8], reach: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Least and greatest alpha around each block of `BLOCK` x `BLOCK` pixels, up to `reach` blocks away."""
    block, around = np.ones((BLOCK, BLOCK), np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    least = cv2.erode(alpha, block, anchor=(0, 0))[::BLOCK, ::BLOCK]
    most = cv2.dilate(alpha, block, anchor=(0, 0))[::BLOCK, ::BLOCK]
    least = cv2.erode(np.ascontiguousarray(least), around)
    most = cv2.dilate(np.ascontiguousarray(most), around)
    return np.asarray(least, np.uint8), np.asarray(most, np.uint8)
