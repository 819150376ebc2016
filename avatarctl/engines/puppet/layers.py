"""The two lip layers: what each looks like, and where it covers what lies behind it.

Both are cut from the same photo. The upper layer ends at the inner edge of the upper lip, or with the hair of a
moustache below it, and is drawn over the lower layer, which begins at the inner edge of the lower lip; past the
corners both show the same skin, so no seam is to be seen there.
A mouth that is open in the photo is cleaned first: each lip's colour is continued over teeth and gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.framing import TEXTURE_SCALE
from avatarctl.engines.puppet.lattice import Box
from avatarctl.engines.puppet.lips import MouthFrame, PhotoLips, positions, straightened
from avatarctl.engines.puppet.moustache import take_fringe
from avatarctl.engines.puppet.mouthfield import at_columns, curve_columns
from avatarctl.engines.puppet.photolight import PhotoLight
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.shading import LINE, LINE_TAKEN, line_of_fold
from avatarctl.engines.puppet.smooth import Array, sigmoid, smoothstep

BESIDE_NOSE = 0.20, 0.34
"""From the middle of the mouth outwards, u: where the nose's base ends, and where its wings do."""
GLOSS = 1.2
"""Light of what shines on a lip, in median lights of both of its sides, at least."""
GRAIN, DRAWN_OUT = 0.011, 2.2
"""Of skin: sigma of its grain, u, and how much longer it becomes over the upper lip of a smile that is let go."""


@dataclass(frozen=True)
class LipLayers:
    """RGBA textures, uint8 (height, width, 4), straight alpha, `TEXTURE_SCALE` pixels per canvas pixel.
    `left`, `top`: canvas pixel at their origin. `window`: float32 (box height, box width), 1 inside the
    mouth's box and 0 at its border, where the layers give way to the whole picture."""

    upper: NDArray[np.uint8]
    lower: NDArray[np.uint8]
    left: int
    top: int
    window: Array


def mouth_box(frame: MouthFrame, lips: PhotoLips, shape: tuple[int, ...]) -> Box:
    """The part of the canvas that the layers may cover while the head is upright; it moves with the head.

    `shape`: rows and columns of the canvas.
    """
    unit, (x, y) = frame.unit, frame.origin
    wide = max(0.85 * unit, 1.5 * frame.half_width)
    low = max(float(lips.lower_outer.max()), 0.15 * unit) + 0.55 * unit
    left, right = int(max(0, x - wide)), int(min(shape[1], x + wide))
    top, bottom = int(max(0, y - 0.55 * unit)), int(min(shape[0], y + low))
    return left, top, right - left, bottom - top


def lip_layers(
    texture: NDArray[np.uint8], box: Box, landmarks: Array, frame: MouthFrame, lips: PhotoLips, light: PhotoLight
) -> LipLayers:
    """Cut the layers from the double-size `texture`, RGB uint8 (2 height, 2 width, 3).

    `landmarks`: float32 (478, 3), of the canvas.
    `light`: no edge is drawn sharper than the photo, and no lip lighter than the shadow that it lies in.
    """
    unit, scale, blur = frame.unit, TEXTURE_SCALE, light.blur
    height, width = texture.shape[0] // scale, texture.shape[1] // scale
    margin = int(0.35 * unit)
    left, top = max(0, box[0] - margin), max(0, box[1] - margin)
    right, bottom = min(width, box[0] + box[2] + margin), min(height, box[1] + box[3] + margin)
    across = centres(left, right)
    down = centres(top, bottom)
    x, y = frame.local(np.stack(np.meshgrid(across, down), -1))
    column = curve_columns(x)
    upper_inner, lower_inner = at_columns(np.stack([lips.upper_inner, lips.lower_inner]), column)
    aside = np.abs(x)
    soft = 0.5 * max(0.5, 0.0065 * unit, 0.8 * blur) * (1 + 7 * smoothstep(0.94, 1.12, aside))
    # Closed lips overlap by their soft edges, so that nothing of what lies behind shows between them.
    overlap = max((0.002 if lips.is_open else 0.004) * unit, 0.45 * max(0.5, 0.0065 * unit, 0.8 * blur))
    upper_alpha = sigmoid((upper_inner + overlap - y) / soft)
    lower_alpha = sigmoid((y - lower_inner + overlap) / soft)
    lower_alpha = np.maximum(lower_alpha, smoothstep(0.93, 1.02, aside))

    part = np.s_[top * scale : bottom * scale, left * scale : right * scale]
    upper = lower = np.ascontiguousarray(texture[part])
    if lips.is_open:
        texture = texture.copy()
        texture[part] = lower = upper = _unfolded(upper, frame, line_of_fold(landmarks, frame, lips, x, y))
        cleaner = _Cleaner(texture, frame, lips, x, y, light)
        lower = cleaner.continued(lower, lips.lower_inner, lips.lower_outer, downwards=False)
        upper = cleaner.continued(upper, lips.upper_inner, lips.upper_outer, downwards=True)
        if not lips.hair.size:
            upper = _unstreaked(upper, frame, lips, x, y)
    elif lips.hair.size:
        edges = at_columns(np.stack([lips.meeting, lips.lower_outer]), column)
        below, thick = (y - edges[0]) / np.float32(unit), (edges[1] - edges[0]) / np.float32(unit)
        fringe = take_fringe(upper, lips.hair, aside, below, thick)
        upper = np.where(((below > 0) & (aside < 1))[..., None], fringe.hair, upper)
        upper_alpha, lower = np.maximum(upper_alpha, fringe.alpha), fringe.lip
    return LipLayers(_rgba(upper, upper_alpha), _rgba(lower, lower_alpha), left, top, _window(box, 0.06 * unit))


def _unstreaked(
    picture: NDArray[np.uint8], frame: MouthFrame, lips: PhotoLips, x: Array, y: Array
) -> NDArray[np.uint8]:
    """The skin between a smile's upper lip and the nose, which is drawn out when the lips close, without the texture
    that would become streaks, and with a grain that is squeezed as much as it will be drawn out."""
    unit, pixel = frame.unit, frame.unit * TEXTURE_SCALE
    outer = at_columns(lips.upper_outer, curve_columns(x))
    aside = np.abs(x) * np.float32(frame.half_width / unit)
    # Beside the nose that skin reaches up to the wings.
    top = lips.nose + np.float32(0.06 * unit) - np.float32(0.17 * unit) * smoothstep(*BESIDE_NOSE, aside)
    drawn_out = smoothstep(0.0, 0.05 * unit, outer - y) * smoothstep(-0.04 * unit, 0.04 * unit, y - top)
    drawn_out *= (1 - smoothstep(0.42, 0.60, aside)) * smoothstep(0.02, 0.10, lips.smile_arc)
    soft = picture.astype(np.float32)
    fine = soft - cv2.GaussianBlur(soft, (0, 0), sigmaX=0.045 * pixel, sigmaY=0.02 * pixel)
    rough = float(np.median(np.abs(fine[drawn_out > 0.5]))) if (drawn_out > 0.5).any() else 0.0
    white = np.random.default_rng(11).standard_normal(y.shape).astype(np.float32)
    noise = cv2.GaussianBlur(white, (0, 0), sigmaX=GRAIN * pixel, sigmaY=GRAIN * pixel / DRAWN_OUT)
    grain = noise * np.float32(0.75 * rough / max(float(noise.std()), 1e-6))
    even = soft + (grain[..., None] - fine) * drawn_out[..., None]
    return np.asarray(np.clip(even + 0.5, 0, 255), np.uint8)


def _unfolded(picture: NDArray[np.uint8], frame: MouthFrame, on_fold: Array) -> NDArray[np.uint8]:
    """A smile's folds without the fine line in them, which would be left where the lips let the smile go: the field
    that lights up their shadow is too coarse for it."""
    pixel = frame.unit * TEXTURE_SCALE
    soft = picture.astype(np.float32)
    line = cv2.GaussianBlur(soft, (0, 0), 0.006 * pixel) - cv2.GaussianBlur(soft, (0, 0), LINE * pixel)
    return np.asarray(np.clip(soft - line * (LINE_TAKEN * on_fold)[..., None] + 0.5, 0, 255), np.uint8)


def centres(start: int, end: int) -> Array:
    """Where the texture's pixels lie on the canvas, from one of its pixels to before another; float32 (n,)."""
    count = (end - start) * TEXTURE_SCALE
    return ((np.arange(count, dtype=np.float32) + 0.5) / TEXTURE_SCALE - 0.5 + start).astype(np.float32)


def _rgba(colour: NDArray[np.uint8], alpha: Array) -> NDArray[np.uint8]:
    return np.dstack([colour, (np.clip(alpha, 0, 1) * 255 + 0.5).astype(np.uint8)])


def _window(box: Box, border: float) -> Array:
    def ramp(length: int) -> Array:
        place = np.arange(length, dtype=np.float32)
        return np.clip(np.minimum(place, place[::-1]) / border, 0, 1).astype(np.float32)

    return ramp(box[3])[:, None] * ramp(box[2])[None]


class _Cleaner:
    """Continues a lip's colour past its inner edge, column by column (inpainting would leave lines)."""

    def __init__(
        self, texture: NDArray[np.uint8], frame: MouthFrame, lips: PhotoLips, x: Array, y: Array, light: PhotoLight
    ) -> None:
        self._texture, self._frame, self._x, self._y, self._blur = texture, frame, x, y, light.blur
        self._across = light.across
        ahead, middle = straightened(x, lips.middle), lips.middle
        aside = np.abs(ahead)
        self._aside, self._ahead, self._middle = aside, ahead, middle
        # The wider apart the lips are near the corners, the further their dark reaches.
        apart = np.interp([-0.85, 0.85], positions(), lips.lower_inner - lips.upper_inner).mean() / frame.unit
        self._dark = float(smoothstep(0.01, 0.045, apart))
        # The lips' thin ends lie in the dark of the photo's mouth: their colour comes from further in.
        pulled = np.minimum(aside, 0.66 + 0.2 * np.maximum(aside - 0.66, 0))
        side = np.where(ahead < 0, np.float32(1 + middle), np.float32(1 - middle))
        self._pull = np.sign(ahead) * side * (pulled - aside) * (1 - smoothstep(0.94, 1.10, aside))
        self._near = self._up_to(aside, (1.0, 1.10), (1.06, 1.30))

    def continued(
        self, picture: NDArray[np.uint8], inner: Array, outer: Array, *, downwards: bool
    ) -> NDArray[np.uint8]:
        """`picture` with everything past the lip's `inner` edge replaced by the colour just inside the lip."""
        unit, way = self._frame.unit, np.float32(1 if downwards else -1)
        limit = self._limit(self._x, inner, outer, way)
        past = (self._y - limit) * way > 0
        x = self._x + self._pull * smoothstep(0, 0.05 * unit, (self._y - limit) * way)
        y = np.where(past, self._limit(x, inner, outer, way), self._y)
        lip, outwards = self._lip(inner, outer, way), smoothstep(0.40, 0.60, self._aside)
        found = np.asarray(self._colour(x, y) * (self._shade(self._x) / self._shade(x)), np.float32)
        found += (np.float32(0.85) * lip - found) * (_unlike(found, lip) * outwards * past)[..., None]
        clean = np.where((self._near > 0)[..., None], found, picture).astype(np.float32)
        # Past the corners is skin, of painted lips, too; only the mouth's dark that reaches there is no part of it.
        skin = smoothstep(0.97, 1.05, self._aside) * smoothstep(0.95, 1.15, picture.mean(-1) / (clean.mean(-1) + 1))
        clean += (picture - clean) * skin[..., None]
        # What is dark beside the lips' ends is the photo's open mouth, seen through their soft edge.
        inward = self._x + self._pull
        own = self._colour(inward, self._limit(inward, inner, outer, way))
        end = np.asarray(own * (self._shade(self._x) / self._shade(inward)), np.float32)
        end = np.float32(0.93) * (end + (np.float32(0.85) * lip - end) * _unlike(end, lip)[..., None])
        beside = smoothstep(0.55, 0.75, self._aside) * self._up_to(self._aside, (0.98, 1.06), (1.05, 1.22))
        beside = (beside * (1 - smoothstep(0.03 * unit, 0.09 * unit, np.abs(self._y - limit))))[..., None]
        # Its colour goes with its dark. The skin beside painted lips is of another colour, too, but lighter than they.
        missing, lighter = end - clean, clean.mean(-1) / np.maximum(end.mean(-1), 1)
        other = _unlike(clean, end) * (1 - smoothstep(1.05, 1.3, lighter))
        clean += beside * np.maximum(missing, missing * other[..., None])
        blurred = cv2.GaussianBlur(
            clean, (0, 0), sigmaX=0.025 * unit * TEXTURE_SCALE, sigmaY=0.008 * unit * TEXTURE_SCALE
        )
        only = (past & (np.abs(self._y) < 0.5 * unit)).astype(np.float32) * self._near
        weight = cv2.GaussianBlur(only, (0, 0), 0.008 * unit * TEXTURE_SCALE)[..., None]
        # Where lips touch they are in each other's shadow; it also draws the line of the closed mouth.
        depth = (self._y - limit) * way
        soft = max(0.01 * unit, self._blur)
        shade = smoothstep(-soft, 0.025 * unit + soft, depth) * (1 - smoothstep(0.78, 0.97, self._aside))
        line = np.float32(0.30 * min(1.0, 0.012 * unit / max(self._blur, 1e-3)))
        mixed = (clean * (1 - weight) + blurred * weight) * (1 - line * shade)[..., None]
        return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)

    def _lip(self, inner: Array, outer: Array, way: np.float32) -> Array:
        """Colour of the lip on either side, where no dark of the mouth reaches, at every pixel; float32 (h, w, 3)."""
        aside = np.linspace(0.2, 0.5, 31, dtype=np.float32)
        sides = []
        for side in (-1, 1):
            x = (self._middle + side * aside * (1 - side * self._middle)).astype(np.float32)
            sides.append(self._colour(x[None], self._limit(x[None], inner, outer, way))[0] / self._shade(x))
        lit = np.asarray(sides, np.float32)
        # What shines there is the light's colour and not the lip's.
        light = lit.mean(-1)
        matt = light <= np.float32(GLOSS) * np.median(light)
        left, right = (
            np.median(colours[own] if own.sum() > len(own) // 4 else lit[matt], axis=0)
            for colours, own in zip(lit, matt, strict=True)
        )
        lip = left + (right - left) * smoothstep(-0.3, 0.3, self._ahead)[..., None]
        return np.asarray(lip * self._shade(self._x), np.float32)

    def _shade(self, x: Array) -> Array:
        """What falls on the mouth there, in parts of the most; `x` with one more axis, for colours."""
        shade = np.interp(x, np.linspace(-1, 1, len(self._across)), self._across)
        return np.asarray(shade, np.float32)[..., None]

    def _up_to(self, aside: Array, light: tuple[float, float], dark: tuple[float, float]) -> Array:
        """1 falling to 0 between two places, for corners of the mouth that are `light` or `dark`."""
        start, end = (a + (b - a) * self._dark for a, b in zip(light, dark, strict=True))
        return 1 - smoothstep(start, end, aside)

    def _colour(self, x: Array, y: Array) -> NDArray[np.uint8]:
        places = (self._frame.canvas(x, y) + np.float32(0.5)) * TEXTURE_SCALE - np.float32(0.5)
        found = remap(self._texture, places)
        return np.asarray(found, np.uint8)

    def _limit(self, x: Array, inner: Array, outer: Array, way: np.float32) -> Array:
        """Y from which on the lip's colour is continued: a little inside its inner edge."""
        edge, rim = at_columns(np.stack([inner, outer]), curve_columns(x))
        aside, unit = np.abs(x), self._frame.unit
        near = self._up_to(aside, (1.0, 1.10), (1.06, 1.30))
        deep = np.minimum(0.021 * unit, 0.4 * np.maximum((edge - rim) * way, 0)) * near
        deep += (0.008 + 0.03 * self._dark) * unit * smoothstep(0.70, 0.98, aside) * near
        return np.asarray(edge - way * deep, np.float32)


def _unlike(found: Array, lip: Array) -> Array:
    """How sure it is, 0..1, that the colours `found` at a lip are none of its own: too dark, or of another hue."""
    light, usual = (np.maximum(colour.mean(-1, keepdims=True), np.float32(1)) for colour in (found, lip))
    hue = np.linalg.norm(found / light - lip / usual, axis=-1)
    return np.maximum(smoothstep(0.25, 0.50, 1 - (light / usual)[..., 0]), smoothstep(0.25, 0.60, hue))
