"""The skin that takes the place of the mouth's corners where round lips draw together.

Lips that are made round are shorter than the photo's: their thin ends, the line between these and the dark of the
corners would be left beside the opening like whiskers. A lattice is too coarse to light them up, so skin is laid over
them in the textures of the lip layers: from where the opening ends outwards, as far as the lips are rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.framing import TEXTURE_SCALE
from avatarctl.engines.puppet.lattice import Lattice
from avatarctl.engines.puppet.layers import LipLayers, centres
from avatarctl.engines.puppet.lips import LipMotion, MouthFrame, PhotoLips, straightened
from avatarctl.engines.puppet.mouthfield import at_columns, curve_columns
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, ramp, smoothstep

FIRST, LAST = 0.54, 1.4
"""Between these there may be skin instead of a corner, in half mouth widths from the middle of the lips."""
OVER, BELOW = 0.05, 0.06
"""How far skin is laid beyond the lips' outer edges, u: the dark of a corner reaches past them."""
OFF_DARK = 0.01, 0.03, 0.05
"""How far beyond that it is looked at for its colour, u."""
FROM_OPENING, BECOMES = 0.04, 0.20
"""How far beside the opening the skin begins, and over what it becomes all there is, in half mouth widths."""
ROUND = 0.02, 0.30
"""Of lips: how rounded they are when the skin begins to be seen, and when it hides all it can."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Corner:
    """A part of the layers' textures with one corner of the mouth. `left`, `top`: pixels of the textures. `upper`,
    `lower`: the layers with skin all over it, RGBA uint8 (h, w, 4), of the layers' own alpha. `aside`: half mouth
    widths from the middle of the lips, `cover`: how much of the skin is seen at most, 0 at the border; float32 (h, w).
    """

    left: int
    top: int
    upper: Picture
    lower: Picture
    aside: Array
    cover: Array


def find_corners(
    layers: LipLayers, frame: MouthFrame, lips: PhotoLips, released: Array, lattice: Lattice
) -> tuple[Corner, ...]:
    """Lay skin over both corners; none where a moustache hangs over them.

    Args:
        released: `Shading.released`, at the nodes of `lattice`: what lights up the skin of round lips.
    """
    if lips.hair.size:
        return ()
    height, width = layers.upper.shape[:2]
    across, down = (
        centres(start, start + n // TEXTURE_SCALE) for start, n in ((layers.left, width), (layers.top, height))
    )
    points = np.stack(np.meshgrid(across, down), -1)
    x, y = frame.local(points)
    aside = np.abs(straightened(x, lips.middle))
    top, bottom = _edges(frame, lips, x)
    lit = np.exp(lattice.sample(released, points))
    skin = _Skin(layers, frame, lips, lit)
    found = []
    reached = (aside > FIRST) & (aside < LAST) & (y > top) & (y < bottom)
    for side in (-1, 1):
        left, first, columns, rows = cv2.boundingRect((reached & (side * x > 0)).astype(np.uint8))
        if min(columns, rows) < 2:
            continue
        part = np.s_[first : first + rows, left : left + columns]
        place = (y[part] - top[part]) / (bottom[part] - top[part])
        cover = smoothstep(0, 0.2, place) * (1 - smoothstep(0.8, 1, place)) * (1 - smoothstep(1.15, LAST, aside[part]))
        laid = [
            np.clip(skin.over(x[part], y[part], seam) / lit[part] + 0.5, 0, 255).astype(np.uint8)
            for seam in (lips.upper_inner, lips.lower_inner)
        ]
        alphas = [layer[part][..., 3] for layer in (layers.upper, layers.lower)]
        upper, lower = (np.dstack([colours, alpha]) for colours, alpha in zip(laid, alphas, strict=True))
        found.append(Corner(left, first, upper, lower, aside[part], cover))
    return tuple(found)


def _edges(frame: MouthFrame, lips: PhotoLips, x: Array) -> tuple[Array, Array]:
    """Y between which there is something to be laid over."""
    upper, lower = at_columns(np.stack([lips.upper_outer, lips.lower_outer]), curve_columns(x))
    return upper - np.float32(OVER * frame.unit), lower + np.float32(BELOW * frame.unit)


class _Skin:
    """Skin continued from above and from below the lips, in the light of lips that have let go of a smile.

    `lit`: what that light is there, in lights of the layers; float32 (h, w, 3)."""

    def __init__(self, layers: LipLayers, frame: MouthFrame, lips: PhotoLips, lit: Array) -> None:
        self._layers, self._frame, self._lips = layers, frame, lips
        pixel = frame.unit * TEXTURE_SCALE
        colours = [np.asarray(layer[..., :3] * lit, np.float32) for layer in (layers.upper, layers.lower)]
        self._soft = [np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.03 * pixel), np.float32) for layer in colours]
        self._fine = [layer - cv2.GaussianBlur(layer, (0, 0), 0.015 * pixel) for layer in colours]

    def over(self, x: Array, y: Array, seam: Array) -> Array:
        """Colours at X, Y of a layer that ends at `seam`, a curve, and of what lies beyond it; float32 (h, w, 3)."""
        top, bottom = _edges(self._frame, self._lips, x)
        meeting = at_columns(seam, curve_columns(x))
        first = (y - top) / np.maximum(meeting - top, 1)
        second = (y - meeting) / np.maximum(bottom - meeting, 1)
        share = np.float32(0.5) * (np.clip(first, 0, 1) + np.clip(second, 0, 1))
        above, below = (
            np.median([self._at(soft, x, edge + way * d * self._frame.unit) for d in OFF_DARK], axis=0)
            for soft, edge, way in zip(self._soft, (top, bottom), (np.float32(-1), np.float32(1)), strict=True)
        )
        # Its grain is that of the skin on either side, mirrored.
        over, under = (self._at(fine, x, 2 * edge - y) for fine, edge in zip(self._fine, (top, bottom), strict=True))
        mix = smoothstep(0.35, 0.65, share)[..., None]
        share = smoothstep(0, 1, share)[..., None]
        return np.asarray(above + (below - above) * share + over + (under - over) * mix, np.float32)

    def _at(self, colours: Array, x: Array, y: Array) -> Array:
        origin = np.array([self._layers.left, self._layers.top], np.float32)
        places = (self._frame.canvas(x, y) - origin + np.float32(0.5)) * TEXTURE_SCALE - np.float32(0.5)
        return np.asarray(remap(colours, places.astype(np.float32)), np.float32)


class LaidOver:
    """The layers' textures of one renderer, of which the corners change from frame to frame."""

    def __init__(self, layers: LipLayers, corners: Sequence[Corner]) -> None:
        self._layers, self._corners = layers, corners
        self._drawn = layers.upper.copy(), layers.lower.copy()
        self._still = [
            [np.ascontiguousarray(layer[_part(corner)]) for layer in (layers.upper, layers.lower)] for corner in corners
        ]
        self._shown = 0.0, 1.0

    def twin(self) -> LaidOver:
        """Another one, for another thread."""
        return LaidOver(self._layers, self._corners)

    def textures(self, motion: LipMotion) -> tuple[Picture, Picture]:
        """Upper and lower layer, RGBA uint8, until the next call."""
        amount = float(smoothstep(*ROUND, motion.rounded))
        wanted = amount, motion.narrow if amount else 1.0
        if wanted != self._shown:
            for corner, still in zip(self._corners, self._still, strict=True):
                weight = ramp(0, BECOMES, corner.aside - np.float32(motion.narrow + FROM_OPENING))
                weight *= corner.cover * np.float32(amount)
                for drawn, base, skin in zip(self._drawn, still, (corner.upper, corner.lower), strict=True):
                    drawn[_part(corner)] = cv2.blendLinear(skin, base, weight, 1 - weight)
            self._shown = wanted
        return self._drawn


def _part(corner: Corner) -> tuple[slice, slice]:
    rows, columns = corner.aside.shape
    return slice(corner.top, corner.top + rows), slice(corner.left, corner.left + columns)
