"""What lies behind the lips: teeth, tongue and cavity, built once and put together for every frame.

Sizes are in millimetres of a face whose eye centres are 63 mm apart. The sprites share one canvas; its
point (0, 0) is where the lips meet in the middle of the closed mouth, x to image right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.lips import SAMPLES, LipMotion, MouthFrame, MouthShape, PhotoLips
from avatarctl.engines.puppet.mouthfield import at_columns, curve_columns
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, sigmoid, smoothstep

EYE_DISTANCE = 63.0
"""Millimetres between the eye centres of an adult."""
WIDTH, HEIGHT = 64, 48
ORIGIN_X, ORIGIN_Y = 32, 14
"""Extent of the canvas and place of its origin, millimetres."""
SUPERSAMPLING = 8
"""Pixels per millimetre while teeth are drawn."""
UPPER_ARCH = ((0, 8.2, 14.2, 19.6, 23.6, 26.6, 28.8), (9.8, 8.9, 9.7, 8.3, 7.4, 6.6))
LOWER_ARCH = ((0, 5.0, 10.2, 15.6, 20.0, 23.6, 26.4), (8.6, 8.8, 9.2, 8.0, 7.0, 6.4))
"""Borders and heights of the teeth from the middle outwards, as seen from the front, mm (average adult)."""
SHOWN_TEETH = 2.2
"""How far the upper incisors reach below the line of the closed lips, mm."""


@dataclass(frozen=True)
class Interior:
    """`upper_teeth`, `lower_teeth`, `tongue`: RGBA float32 (h, w, 4), 0..255, colour premultiplied, alpha
    0..1. `cavity`: RGB float32 (h, w, 3). `scale`: sprite pixels per mm. `from_photo`: the upper teeth are
    the photo's own. `bite`: how far the upper teeth reach below the closed lips, mm."""

    upper_teeth: Array
    lower_teeth: Array
    tongue: Array
    cavity: Array
    scale: float
    from_photo: bool
    bite: float


def interior_places(interior: Interior, frame: MouthFrame) -> tuple[Array, Array]:
    """Of each sprite pixel: X and Y in the mouth's coordinates, Y from the meeting line; (h, w)."""
    rows, columns = interior.cavity.shape[:2]
    millimetre = frame.unit / EYE_DISTANCE
    x = ((np.arange(columns, dtype=np.float32) + 0.5) / interior.scale - ORIGIN_X) * (millimetre / frame.half_width)
    y = ((np.arange(rows, dtype=np.float32) + 0.5) / interior.scale - ORIGIN_Y) * millimetre
    across, down = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return across, down


def build_interior(canvas: NDArray[np.uint8], landmarks: Array, frame: MouthFrame, lips: PhotoLips) -> Interior:
    """Draw the sprites in the light and tint of the photo; take the teeth from it when it shows them."""
    skin = _colours(canvas, landmarks, anatomy.SKIN, 2)
    lip = np.median(_colours(canvas, landmarks, anatomy.LIP_CENTRES, 1), 0)
    light = float(np.clip(np.percentile(skin.mean(1), 80) / 200, 0.10, 1.15))
    tone = np.median(skin, 0)
    # A warm light tints teeth as it tints skin, but teeth vary less than skins do.
    tint = np.clip(tone / max(tone.mean(), 1) / (np.array([205, 160, 138]) / 167.7), 0.8, 1.25) ** 0.6
    enamel = np.array([246, 234, 212]) * min(1.0, light * 1.05) * tint
    scale = max(2.0, frame.unit / EYE_DISTANCE)
    saturation = float(np.clip(np.median(np.ptp(skin, axis=1) / np.maximum(skin.max(1), 1)) / 0.2, 0, 1))

    upper, lower = (_teeth(enamel, light, arch, up) for arch, up in ((UPPER_ARCH, True), (LOWER_ARCH, False)))
    upper = _shifted(upper, SHOWN_TEETH * SUPERSAMPLING)
    flesh = 0.3 * lip + 0.7 * np.array([188, 94, 90]) * light
    sprites = [_shrunk(sprite, scale) for sprite in (upper, lower, _tongue(flesh))]
    cavity = _cavity(light, scale)
    for sprite in (*sprites, cavity):
        grey = sprite[..., :3].mean(-1, keepdims=True)
        sprite[..., :3] = sprite[..., :3] * saturation + grey * (1 - saturation)
    drawn = Interior(sprites[0], sprites[1], sprites[2], cavity, scale, False, SHOWN_TEETH)
    if not lips.is_open:
        return drawn
    teeth, bite = _photo_teeth(canvas, frame, lips, drawn)
    return Interior(teeth, sprites[1], sprites[2], cavity, scale, True, bite)


def _colours(canvas: NDArray[np.uint8], landmarks: Array, points: tuple[int, ...], reach: int) -> Array:
    height, width = canvas.shape[:2]
    found = []
    for x, y in landmarks[list(points), :2].astype(int):
        if reach <= x < width - reach and reach <= y < height - reach:
            found.append(canvas[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3).mean(0))
    return np.array(found or [[170.0, 130.0, 110.0]], np.float32)


def _millimetres(per_mm: float) -> tuple[Array, Array]:
    x = (np.arange(round(WIDTH * per_mm), dtype=np.float32) + 0.5) / per_mm - ORIGIN_X
    y = (np.arange(round(HEIGHT * per_mm), dtype=np.float32) + 0.5) / per_mm - ORIGIN_Y
    across, down = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return across, down


def _teeth(
    enamel: NDArray[np.floating], light: float, arch: tuple[tuple[float, ...], tuple[float, ...]], upper: bool
) -> Array:
    """A row of teeth with its edges near y = 0 and its gum above (`upper`) or below; premultiplied RGBA."""
    x, y = _millimetres(SUPERSAMPLING)
    into_gum = -y if upper else y
    aside = np.abs(x)
    colour, alpha = np.zeros((*x.shape, 3), np.float32), np.zeros(x.shape, np.float32)
    borders, heights = arch
    for number, height in enumerate(heights):
        centre, half = (borders[number] + borders[number + 1]) / 2, (borders[number + 1] - borders[number]) / 2
        place = (aside - centre) / (half * 0.985)
        # The arch rises towards the molars; the lateral incisors are a little shorter.
        edge = (0.0066 if upper else 0.005) * centre**2 + (0.3 if upper and number == 1 else 0.0)
        depth = into_gum - edge
        inside = (depth > (0.55 if upper else 0.7) * np.abs(place) ** 4) & (depth < height) & (np.abs(place) < 1)
        rounding = (1 - 0.20 * np.abs(place) ** 3) * (1 - 0.0011 * centre**2) * (1 - 0.25 * (centre / 28) ** 3)
        towards_gum = depth / height
        shade = (
            rounding * (1 - 0.16 * np.clip(towards_gum - 0.35, 0, 1)) * (1 - 0.10 * np.clip(1 - 7 * towards_gum, 0, 1))
        )
        shade = shade * (1.0 if upper else 0.84)
        yellowing = 1 - np.clip(towards_gum - 0.5, 0, 1)[..., None] * np.array([0.02, 0.07, 0.13], np.float32)
        painted = enamel * shade[..., None] * yellowing
        colour[inside], alpha[inside] = painted[inside], 1
    between = (aside < 28) & (alpha == 0) & (into_gum > 0.8) & (into_gum < 9)
    colour[between], alpha[between] = enamel * 0.42 * np.array([1, 0.86, 0.8]), 0.9
    gum = (aside < 28) & (into_gum > 7) & (into_gum < 15) & (alpha == 0)
    colour[gum], alpha[gum] = np.array([150, 78, 78]) * light * 0.8, 1
    colour *= (0.35 + 0.65 * (1 - smoothstep(22, 28.5, aside)))[..., None]
    return np.dstack([colour * alpha[..., None], alpha])


def _tongue(flesh: NDArray[np.floating]) -> Array:
    """A dome with its top edge at y = 0; premultiplied RGBA."""
    x, y = _millimetres(SUPERSAMPLING)
    alpha = 1 - smoothstep(0.76, 1.04, (np.abs(x) / 25) ** 2.6 + (np.abs(y - 15) / 15) ** 2.6)
    groove = 1 - 0.14 * np.exp(-((x / 1.6) ** 2)) * smoothstep(1, 6, y)
    front = 0.50 + 0.45 * smoothstep(-0.5, 9, y)
    gloss = 0.10 * np.exp(-((x / 7) ** 2 + ((y - 6.5) / 2.6) ** 2))
    shade = front * (1 - 0.55 * (np.abs(x) / 25) ** 2) * groove + gloss
    return np.dstack([flesh * shade[..., None] * alpha[..., None], alpha]).astype(np.float32)


def _cavity(light: float, scale: float) -> Array:
    """Dark in the throat, redder towards the cheeks."""
    x, y = _millimetres(scale)
    radius = np.clip(np.hypot(x / 26, (y - 8) / 18), 0, 1.3)
    red = np.array([62, 25, 24]) * light
    return (red * (0.42 + 0.95 * radius**1.5)[..., None]).astype(np.float32)


def _shifted(sprite: Array, down: float) -> Array:
    move = np.array([[1, 0, 0], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(sprite, move, sprite.shape[1::-1]), np.float32)


def _shrunk(sprite: Array, scale: float) -> Array:
    soft = cv2.GaussianBlur(sprite, (0, 0), 1.44)
    size = (round(WIDTH * scale), round(HEIGHT * scale))
    return np.array(cv2.resize(soft, size, interpolation=cv2.INTER_AREA), np.float32)


def _photo_teeth(canvas: NDArray[np.uint8], frame: MouthFrame, lips: PhotoLips, drawn: Interior) -> tuple[Array, float]:
    """The teeth that the photo shows, as a sprite fixed to the skull; and their reach below the meeting, mm."""
    unit, scale = frame.unit, drawn.scale
    x, below = interior_places(drawn, frame)
    middle = float(lips.meeting[SAMPLES // 2])
    y = below + np.float32(middle)
    photo = remap(canvas, frame.canvas(x, y))
    photo = photo.astype(np.float32)
    upper_edge, lower_edge = at_columns(np.stack([lips.upper_inner, lips.lower_inner]), curve_columns(x))
    margin = 0.012 * unit
    core = (y > upper_edge + margin) & (y < lower_edge - margin) & (np.abs(x) < 0.93)
    some = core.any(0)
    rows, columns = core.shape
    height = np.arange(rows)[:, None]
    first = np.where(some, core.argmax(0), rows // 3)
    last = np.where(some, rows - 1 - core[::-1].argmax(0), rows // 3)
    teeth = photo[np.clip(height, first, last), np.arange(columns)[None]]
    # Under the lip the teeth go on, in its shadow, until the gum.
    teeth *= (1 - 0.35 * np.clip((first - height) / (4 * scale), 0, 1))[..., None]
    mask = sigmoid((lower_edge - 0.0096 * unit - y) / (0.005 * unit)) * smoothstep(0.0, 0.08, 0.95 - np.abs(x))
    mask = mask * some[None] * (height > first - 5 * scale)
    reach = float(lips.lower_inner[SAMPLES // 2] - lips.meeting[SAMPLES // 2]) * EYE_DISTANCE / unit
    return np.dstack([teeth * mask[..., None], mask]).astype(np.float32), reach


class Mouth:
    """Puts the interior together, frame by frame."""

    def __init__(self, interior: Interior, frame: MouthFrame, lips: PhotoLips) -> None:
        self._interior, self._unit = interior, frame.unit
        x, below = interior_places(interior, frame)
        self._columns, self._aside = curve_columns(x[0]), np.abs(x[0])
        self._y = (below[:, :1] + np.float32(lips.meeting[SAMPLES // 2])).astype(np.float32)

    def compose(self, motion: LipMotion, shape: MouthShape) -> NDArray[np.uint8]:
        """The interior as the opening of this frame shows it, RGB uint8 (h, w, 3)."""
        interior, unit = self._interior, self._unit
        picture = interior.cavity.copy()
        jaw = shape.jaw * EYE_DISTANCE
        teeth_down = 0.85 * jaw + 0.4 * interior.bite
        rest_down = 0.34 * jaw - 0.5 + 0.3 * interior.bite
        raised_down = interior.bite - 1.5 + 0.10 * jaw
        lift = float(smoothstep(0.0, 1.0, shape.tongue))
        down = rest_down + (raised_down - rest_down) * lift
        teeth_in_front = 1 - float(smoothstep(0.3, 0.7, shape.tongue))
        if teeth_in_front < 1:
            self._over(picture, interior.lower_teeth, teeth_down)
        self._over(picture, interior.tongue, down, 1 - 0.26 * lift, 1 - 0.15 * lift, 1 + 0.15 * lift)
        if teeth_in_front > 0:
            self._over(picture, interior.lower_teeth, teeth_down, opacity=teeth_in_front)
        self._over(picture, interior.upper_teeth, 0.0)

        upper, lower = at_columns(np.stack([motion.upper_edge, motion.lower_edge]), self._columns)
        under_lip = np.clip(self._y - upper, 0, None)
        over_lip = np.clip(lower - self._y, 0, None)
        if interior.from_photo:
            shade = 1 - 0.28 * np.exp(under_lip * (-1 / (0.028 * unit)))
        else:
            shade = 1 - 0.42 * np.exp(under_lip * (-1 / (0.035 * unit)))
        shade *= 1 - 0.28 * np.exp(over_lip * (-1 / (0.03 * unit)))
        gap = np.maximum(lower - upper, 0.5)
        sides = 1 - 0.55 * np.clip(self._aside / max(motion.narrow, 0.2), 0, 1) ** 3
        shade *= sides * (0.55 + 0.45 * np.clip(gap / (0.05 * unit), 0, 1))
        picture *= shade[..., None]
        return np.asarray(cv2.convertScaleAbs(picture), np.uint8)

    def _over(
        self,
        picture: Array,
        sprite: Array,
        down: float,
        wide: float = 1.0,
        high: float = 1.0,
        gain: float = 1.0,
        opacity: float = 1.0,
    ) -> None:
        scale = self._interior.scale
        x, y = ORIGIN_X * scale, ORIGIN_Y * scale
        place = np.array([[wide, 0, x * (1 - wide)], [0, high, down * scale + y * (1 - high)]], np.float32)
        moved = cv2.warpAffine(sprite, place, sprite.shape[1::-1], flags=cv2.INTER_LINEAR)
        picture *= 1 - moved[..., 3:] * np.float32(opacity)
        picture += moved[..., :3] * np.float32(gain * opacity)
