"""What lies behind the lips: teeth, tongue and cavity, built once and put together for every frame.

Sprites and their coordinates are those of `teeth`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.lips import LipMotion, MouthFrame, MouthShape, PhotoLips, straightened
from avatarctl.engines.puppet.mouthfield import at_columns, curve_columns
from avatarctl.engines.puppet.photolight import PhotoLight
from avatarctl.engines.puppet.smooth import Array, smoothstep
from avatarctl.engines.puppet.teeth import (
    EYE_DISTANCE,
    LOWER_ARCH,
    ORIGIN_X,
    ORIGIN_Y,
    SHOWN_BY_SMILERS,
    SHOWN_TEETH,
    SUPERSAMPLING,
    UPPER_ARCH,
    drawn_teeth,
    millimetres,
    photo_enamel,
    photo_teeth,
    shifted,
    shrunk,
)

LOWER_BEHIND = 0.9
"""How far the edges of the lower teeth lie below the line of the closed lips, mm."""
LIP_OVER_TOOTH = 2.0
"""How much of the lower lip the upper teeth cover at f and v, mm."""
GLOW = np.array([0.20, 0.04, -0.03], np.float32)
"""What light the red of the mouth throws back into its shadows."""


@dataclass(frozen=True)
class Interior:
    """`upper_teeth`, `lower_teeth`, `tongue`: RGBA float32 (h, w, 4), 0..255, colour premultiplied, alpha
    0..1. `cavity`: RGB float32 (h, w, 3). `glow`: how much of red, green and blue a full shadow keeps,
    float32 (3,). `scale`: sprite pixels per mm. `from_photo`: the upper teeth are the photo's own. `bite`:
    how far the upper teeth reach below the closed lips, mm."""

    upper_teeth: Array
    lower_teeth: Array
    tongue: Array
    cavity: Array
    glow: Array
    scale: float
    from_photo: bool
    bite: float


def build_interior(canvas: NDArray[np.uint8], light: PhotoLight, frame: MouthFrame, lips: PhotoLips) -> Interior:
    """Draw the sprites in the light and tint of the photo; take the teeth from it when it shows them."""
    shown = photo_enamel(canvas, frame, lips)
    enamel = np.asarray(np.array([240, 226, 203]) * min(1.0, light.strength * 1.05) * light.tint, np.float32)
    if shown is not None:
        enamel = shown
    scale = max(2.0, frame.unit / EYE_DISTANCE)
    blur = light.blur * scale * EYE_DISTANCE / frame.unit

    gum = np.asarray(0.25 * light.lip + 0.75 * np.array([158, 88, 85]) * light.strength, np.float32)
    flesh = np.asarray(0.35 * light.lip + 0.65 * np.array([198, 106, 102]) * light.strength, np.float32)
    upper, lower = (
        shrunk(drawn_teeth(enamel, gum, arch, lips.middle, upper=up), scale, blur)
        for arch, up in ((UPPER_ARCH, True), (LOWER_ARCH, False))
    )
    tongue = shrunk(_tongue(flesh, lips.middle), scale, blur)
    cavity = _cavity(light.strength, scale)
    for sprite in (upper, lower, tongue, cavity):
        grey = sprite[..., :3].mean(-1, keepdims=True)
        sprite[..., :3] = sprite[..., :3] * light.saturation + grey * (1 - light.saturation)
        cover = sprite[..., 3:] if sprite.shape[-1] == 4 else np.float32(1)
        sprite[..., :3] = sprite[..., :3] * np.float32(light.depth) + light.black * cover
    bite = SHOWN_TEETH
    if shown is None:
        upper = shifted(upper, bite * scale)
    else:
        upper, reach = photo_teeth(canvas, frame, lips, upper, shown, scale)
        bite = min(reach, SHOWN_BY_SMILERS)
        upper = shifted(upper, (bite - reach) * scale)
    # A shadow in a faded print ends at its black.
    glow = light.coloured(GLOW) + np.float32(0.8 * (1 - light.depth)) * (1 - light.coloured(GLOW))
    return Interior(upper, lower, tongue, cavity, np.asarray(glow, np.float32), scale, shown is not None, bite)


def _tongue(flesh: Array, middle: float) -> Array:
    """A dome with its top edge at y = 0; premultiplied RGBA."""
    x, y = millimetres(SUPERSAMPLING, middle)
    alpha = 1 - smoothstep(0.78, 1.02, (np.abs(x) / 25) ** 2.4 + (np.abs(y - 15) / 15) ** 2.4)
    groove = 1 - 0.10 * np.exp(-((x / 2.2) ** 2)) * smoothstep(1, 7, y)
    front = 0.60 + 0.37 * smoothstep(-0.5, 8, y)
    grain = cv2.GaussianBlur(np.random.default_rng(7).standard_normal(x.shape).astype(np.float32), (0, 0), 4.0)
    gloss = 0.09 * np.exp(-(((np.abs(x) - 5.5) / 3.5) ** 2) - ((y - 5.5) / 2.2) ** 2)
    shade = front * (1 - 0.55 * (np.abs(x) / 25) ** 2) * groove * (1 + 0.5 * grain) + gloss
    return np.dstack([flesh * shade[..., None] * alpha[..., None], alpha]).astype(np.float32)


def _cavity(light: float, scale: float) -> Array:
    """Dark in the throat, redder towards the cheeks."""
    x, y = millimetres(scale)
    radius = np.clip(np.hypot(x / 27, (y - 8) / 18), 0, 1.35)
    red = np.array([70, 27, 25]) * light
    return np.asarray(red * (0.40 + 0.75 * radius**1.4)[..., None], np.float32)


class Mouth:
    """Puts the interior together, frame by frame; only the rows that the opening can show are drawn."""

    def __init__(self, interior: Interior, frame: MouthFrame, lips: PhotoLips) -> None:
        self._interior, self._unit, self._pixels = interior, frame.unit, frame.unit / EYE_DISTANCE
        x, y = millimetres(interior.scale)
        across = x[0] * np.float32(self._pixels / frame.half_width) + np.float32(lips.middle)
        self._columns, self._aside = curve_columns(across), np.abs(straightened(across, lips.middle))
        self._between = self._aside < 1
        self._y = (y[:, :1] * np.float32(self._pixels) + np.float32(lips.level)).astype(np.float32)
        self._unlit = np.asarray(cv2.convertScaleAbs(interior.cavity), np.uint8)

    def _rows(self, first: Array, last: Array) -> slice:
        """The rows from one curve to another with a margin for soft edges, two at least."""
        margin = 1.5 * self._pixels
        top, bottom = float(first[self._between].min()) - margin, float(last[self._between].max()) + margin
        start, stop = np.searchsorted(self._y[:, 0], (top, bottom))
        begin = min(int(start), len(self._y) - 2)
        return slice(begin, max(int(stop), begin + 2))

    def compose(self, motion: LipMotion, shape: MouthShape) -> NDArray[np.uint8]:
        """The interior as the opening of this frame shows it, RGB uint8 (h, w, 3)."""
        interior, unit = self._interior, np.float32(self._unit)
        upper, lower = at_columns(np.stack([motion.upper_edge, motion.lower_edge]), self._columns)
        rows = self._rows(upper, lower)
        picture = interior.cavity[rows].copy()
        jaw = shape.jaw * EYE_DISTANCE
        teeth_down = 0.85 * jaw + LOWER_BEHIND
        # The tongue lies low and back behind rounded lips, high and forward behind spread ones.
        rest_down = 0.36 * jaw + 0.6 + 2.5 * shape.round - 25 * min(max(shape.wide, 0.0), 0.06)
        lift = float(smoothstep(0.0, 0.9, shape.tongue))
        between = float(smoothstep(0.6, 1.0, shape.tongue))
        raised_down = interior.bite - 1.0 - 1.0 * between + 0.06 * jaw
        down = rest_down + (raised_down - rest_down) * lift
        in_front = float(smoothstep(0.25, 0.65, shape.tongue))
        tongue = (down, 1 - 0.36 * lift, 1 - 0.2 * lift, 1 + 0.25 * lift)
        if in_front < 1:
            self._over(picture, rows, interior.tongue, *tongue)
        self._over(picture, rows, interior.lower_teeth, teeth_down)
        if in_front > 0:
            self._over(picture, rows, interior.tongue, *tongue, opacity=in_front)
        self._over(picture, rows, interior.upper_teeth, 0.0)
        tip = float(smoothstep(0.5, 0.85, shape.tongue))
        if tip > 0:
            self._over(picture, rows, interior.tongue, down, 0.46, *tongue[2:], opacity=tip)

        under_lip = np.clip(self._y[rows] - upper, 0, None)
        over_lip = np.clip(lower - self._y[rows], 0, None)
        gap = np.maximum(lower - upper, np.float32(0.5))
        # A shadow is no deeper than the opening lets it be: the light comes from in front.
        depth = 0.24 if interior.from_photo else 0.34
        shade = 1 - np.float32(depth) * np.exp(under_lip * (-1 / (0.032 * unit)))
        shade *= 1 - np.float32(0.22) * np.exp(over_lip * (-1 / (0.022 * unit)))
        sides = 1 - 0.36 * np.clip(self._aside / max(motion.narrow, 0.2), 0, 1) ** 3
        shade *= sides * (0.62 + 0.38 * np.clip(gap / (0.05 * unit), 0, 1))
        shade = np.asarray(shade, np.float32)[..., None]
        picture *= shade + (1 - shade) * interior.glow
        whole = self._unlit.copy()
        whole[rows] = cv2.convertScaleAbs(picture)
        return whole

    def biting(self, motion: LipMotion, shape: MouthShape) -> NDArray[np.uint8]:
        """The edges of the upper teeth where they rest on the tucked lower lip, RGBA uint8, straight alpha."""
        soft = np.float32(0.012 * self._unit)
        lower = at_columns(motion.lower_edge, self._columns)
        tucked = float(smoothstep(0.05, 0.75, shape.tuck) * smoothstep(0.0, 0.03, shape.open))
        covered = np.float32(LIP_OVER_TOOTH * self._pixels * tucked) * (1 - smoothstep(0.30, 0.75, self._aside))
        rows = self._rows(lower, lower + covered)
        sprite, below = self._interior.upper_teeth[rows], self._y[rows] - lower
        inside = np.clip(0.5 + (covered - below) / soft, 0, 1) * np.clip(1.5 + below / soft, 0, 1)
        alpha = sprite[..., 3] * inside * smoothstep(0.0, 0.5 * self._pixels, covered)
        colour = sprite[..., :3] * (np.float32(0.92) / np.maximum(sprite[..., 3:], np.float32(1e-3)))
        whole = np.zeros((*self._unlit.shape[:2], 4), np.uint8)
        whole[rows] = np.dstack([colour, alpha * 255]).clip(0, 255)
        return whole

    def _over(
        self,
        picture: Array,
        rows: slice,
        sprite: Array,
        down: float,
        wide: float = 1.0,
        high: float = 1.0,
        gain: float = 1.0,
        opacity: float = 1.0,
    ) -> None:
        """Lay the sprite, moved down by mm and scaled about its origin, over `rows` of the picture."""
        if down or wide != 1 or high != 1:
            scale = self._interior.scale
            x, y = ORIGIN_X * scale, ORIGIN_Y * scale
            downwards = down * scale + y * (1 - high) - rows.start
            place = np.array([[wide, 0, x * (1 - wide)], [0, high, downwards]], np.float32)
            size = (sprite.shape[1], len(picture))
            moved = np.asarray(cv2.warpAffine(sprite, place, size, flags=cv2.INTER_LINEAR), np.float32)
        else:
            moved = sprite[rows]
        picture *= 1 - moved[..., 3:] * np.float32(opacity)
        picture += moved[..., :3] * np.float32(gain * opacity)
