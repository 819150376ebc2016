"""What lies behind the lips: teeth, tongue and cavity, built once and put together for every frame.

Sprites and their coordinates are those of `teeth`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.lips import LipMotion, MouthFrame, MouthShape, PhotoLips, straightened
from avatarctl.engines.puppet.mouthfield import at_columns, curve_columns, with_corner
from avatarctl.engines.puppet.photolight import PhotoLight
from avatarctl.engines.puppet.smooth import Array, smoothstep
from avatarctl.engines.puppet.teeth import (
    EYE_DISTANCE,
    LOWER_ARCH,
    ORIGIN_X,
    ORIGIN_Y,
    REDDENING,
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

OVERBITE = 1.6
"""How far the upper incisors overlap the lower ones of a closed jaw, mm (1 to 3 are usual)."""
RESTING = 0.8
"""How much of the lower lip the upper teeth cover at f and v, mm."""
SHOWN_OVER_LIP = 2.0
"""As far below the edge of the lip there is something of the teeth there, mm."""
PROTRUDED = 3.2
"""How much further fully rounded lips reach over the teeth, mm: they are pushed forwards, and the teeth stay behind."""
PARTED = 0.03, 0.08
"""While the lips part from here to here, u. Right between them there is nothing but teeth."""
DEEPER = 0.3
"""How much darker it is behind them."""
REACHED = (-0.8, 1.2)
"""How far up and down the teeth are moved so that they rest on the lip there, mm."""
ARCH, FURTHEST_BACK, TO_HINGE = 22.0, 22.0, 120.0
"""Of the lower teeth, mm: a tooth x beside the middle stands x * x / ARCH behind the incisors, up to the furthest that
is seen, and what the jaw turns about lies as far behind them as this: beyond its joint, which slides as it opens."""
UNDER_TEETH, SHADOW = 0.7, 0.34
"""How far below their edges the upper teeth darken what lies behind them, mm, and how much."""
GLOW = np.array([0.30, 0.02, -0.02], np.float32)
"""What light the red of the mouth throws back into its shadows."""
BESIDE_LIPS = np.array([0.95, 0.85, 0.85], np.float32)
"""Of the tongue: redder and darker than the lips, for one of which it would be taken where it touches the lower one."""
WALL = 0.52
"""Light of the flesh in which the lips meet at the corners, in lights of the lips."""
ENDS = 0.64, 1.04
"""From where to where, in halves of the opening, that flesh takes the place of what lies deeper."""
ROLLED, RIM = (0.85, 0.35), 0.03
"""How much of that flesh is seen inside of round lips, which turn it outwards, at the lower and at the upper one, and
how far in, u. A hole without it looks cut out."""


@dataclass(frozen=True)
class Interior:
    """`upper_teeth`, `lower_teeth`, `tongue`: RGBA float32 (h, w, 4), 0..255, colour premultiplied, alpha
    0..1. `cavity`: RGB float32 (h, w, 3). `wall`: of the flesh at the corners, RGB float32 (w, 3). `glow`: how much
    of red, green and blue a full shadow keeps, float32 (3,). `scale`: sprite pixels per mm. `from_photo`: the
    upper teeth are the photo's own. `bite`: how far the upper teeth reach below the closed lips, mm."""

    upper_teeth: Array
    lower_teeth: Array
    tongue: Array
    cavity: Array
    wall: Array
    glow: Array
    scale: float
    from_photo: bool
    bite: float


def build_interior(canvas: NDArray[np.uint8], light: PhotoLight, frame: MouthFrame, lips: PhotoLips) -> Interior:
    """Draw the sprites in the light and tint of the photo; take the teeth from it when it shows them."""
    shown = photo_enamel(canvas, frame, lips)
    enamel = np.asarray(np.array([240, 226, 203]) * min(1.0, light.strength * 1.05) * light.tint, np.float32)
    if shown is not None:
        enamel = shown / light.cast
    scale = max(2.0, frame.unit / EYE_DISTANCE)
    blur = light.blur * scale * EYE_DISTANCE / frame.unit

    lip = light.lip / light.cast
    gum = np.asarray(0.25 * lip + 0.75 * np.array([158, 88, 85]) * light.strength, np.float32)
    flesh = np.asarray(0.35 * lip + 0.65 * np.array([192, 106, 107]) * light.strength, np.float32)
    flesh *= light.coloured(BESIDE_LIPS)
    upper, lower = (
        shrunk(drawn_teeth(enamel, gum, arch, lips.middle, upper=up), scale, blur)
        for arch, up in ((UPPER_ARCH, True), (LOWER_ARCH, False))
    )
    tongue = shrunk(_tongue(flesh, lips.middle), scale, blur)
    cavity = _cavity(light.strength, scale)
    place = millimetres(scale)[0][0] * np.float32(frame.unit / EYE_DISTANCE / frame.half_width) + lips.middle
    across = np.interp(place, np.linspace(-1, 1, len(light.across)), light.across).astype(np.float32)[:, None]
    for sprite in (upper, lower, tongue, cavity):
        grey = sprite[..., :3].mean(-1, keepdims=True)
        sprite[..., :3] = (sprite[..., :3] * light.saturation + grey * (1 - light.saturation)) * light.cast
        sprite[..., :3] *= across
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
    wall = light.black + (light.lip - light.black) * across * WALL ** light.coloured(REDDENING)
    return Interior(
        upper_teeth=upper,
        lower_teeth=lower,
        tongue=tongue,
        cavity=cavity,
        wall=np.asarray(wall, np.float32),
        glow=np.asarray(glow, np.float32),
        scale=scale,
        from_photo=shown is not None,
        bite=bite,
    )


def _tongue(flesh: Array, middle: float) -> Array:
    """A dome with its top edge at y = 0; premultiplied RGBA."""
    x, y = millimetres(SUPERSAMPLING, middle)
    alpha = 1 - smoothstep(0.78, 1.02, (np.abs(x) / 25) ** 2.4 + (np.abs(y - 15) / 15) ** 2.4)
    groove = 1 - 0.10 * np.exp(-((x / 2.2) ** 2)) * smoothstep(1, 7, y)
    front = 0.68 + 0.29 * smoothstep(-0.5, 7, y)
    grain = cv2.GaussianBlur(np.random.default_rng(7).standard_normal(x.shape).astype(np.float32), (0, 0), 4.0)
    gloss = 0.09 * np.exp(-(((np.abs(x) - 5.5) / 3.5) ** 2) - ((y - 5.5) / 2.2) ** 2)
    shade = front * (1 - 0.55 * (np.abs(x) / 25) ** 2) * groove * (1 + 0.5 * grain) + gloss
    return np.dstack([flesh * shade[..., None] * alpha[..., None], alpha]).astype(np.float32)


def _cavity(light: float, scale: float) -> Array:
    """Dark in the throat, redder towards the cheeks."""
    x, y = millimetres(scale)
    radius = np.clip(np.hypot(x / 27, (y - 8) / 18), 0, 1.35)
    red = np.array([70, 27, 25]) * light
    return np.asarray(red * (0.42 + 0.90 * radius**1.5)[..., None], np.float32)


class Mouth:
    """Puts the interior together, frame by frame; only the rows that the opening can show are drawn."""

    def __init__(self, interior: Interior, frame: MouthFrame, lips: PhotoLips) -> None:
        self._interior, self._unit, self._pixels = interior, frame.unit, frame.unit / EYE_DISTANCE
        x, y = millimetres(interior.scale)
        self._across = millimetres(interior.scale, lips.middle)[0][0]
        across = x[0] * np.float32(self._pixels / frame.half_width) + np.float32(lips.middle)
        self._columns, self._aside = curve_columns(across), np.abs(straightened(across, lips.middle))
        self._between = self._aside < 1
        self._half_width = frame.half_width
        self._middle, self._level = curve_columns(np.array([lips.middle], np.float32)), lips.level
        self._y = (y[:, :1] * np.float32(self._pixels) + np.float32(lips.level)).astype(np.float32)
        self._unlit = np.asarray(cv2.convertScaleAbs(interior.cavity), np.uint8)
        self._cavity = _planes(interior.cavity)
        self._cover = np.ascontiguousarray(interior.upper_teeth[..., 3])
        self._wall, self._glow = np.atleast_2d(interior.wall).T[:, None], interior.glow[:, None, None]
        back = np.minimum(self._across**2 / ARCH, FURTHEST_BACK)
        self._raised = np.asarray(back / TO_HINGE * interior.scale, np.float32)
        """How far each column of the lower teeth stays up when the jaw drops, pixels a mm."""
        self._pixel = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in interior.lower_teeth.shape[1::-1]))

    def _rows(self, first: Array, last: Array) -> slice:
        """The rows from one curve to another with a margin for soft edges, two at least."""
        margin = 1.5 * self._pixels
        top, bottom = float(first[self._between].min()) - margin, float(last[self._between].max()) + margin
        start, stop = np.searchsorted(self._y[:, 0], (top, bottom))
        begin = min(int(start), len(self._y) - 2)
        return slice(begin, max(int(stop), begin + 2))

    def compose(self, motion: LipMotion, shape: MouthShape) -> NDArray[np.uint8]:
        """The interior as the opening of this frame shows it, RGB uint8 (h, w, 3).

        It is painted plane by plane: NumPy is slow where each pixel's three colours take one factor.
        """
        interior, unit = self._interior, np.float32(self._unit)
        upper, lower = at_columns(np.stack([motion.upper_edge, motion.lower_edge]), self._columns)
        in_front = float(smoothstep(0.05, 0.6, shape.tuck))
        rows = self._rows(upper, lower + np.float32(SHOWN_OVER_LIP * self._pixels * (in_front > 0)))
        picture = self._cavity[:, rows].copy()
        jaw = shape.jaw * EYE_DISTANCE
        # The tongue lies low and back behind rounded lips, high and forward behind spread ones.
        lying = 0.36 * jaw + 0.6 + 2.5 * shape.round - 25 * min(max(shape.wide, 0.0), 0.06)
        # Its tip rises behind the upper teeth for t, d, n and l, and comes forward between the rows for th.
        lift = float(smoothstep(0.0, 0.75, shape.tongue))
        between = float(smoothstep(0.82, 0.98, shape.tongue))
        raised = interior.bite - 2.5 + 0.9 * between
        down = lying + (raised - lying) * lift
        tongue = (down, 1 - 0.06 * lift - 0.04 * between, 1 - 0.2 * lift, 1.08 + 0.06 * lift)
        if between < 1:
            self._over(picture, rows, interior.tongue, *tongue)
        covered = PROTRUDED * motion.rounded * float(smoothstep(*PARTED, shape.open))
        self._over(picture, rows, self._swung(jaw), interior.bite - OVERBITE + (0.8 + 0.004 * jaw) * jaw + covered)
        if between > 0:
            self._over(picture, rows, interior.tongue, *tongue, opacity=between)
        resting = self._resting(motion, shape) - covered
        teeth = _planes(self._moved(interior.upper_teeth, rows, resting))
        behind = self._moved(self._cover, rows, resting + UNDER_TEETH)
        picture *= 1 - np.float32(SHADOW) * behind
        picture *= 1 - teeth[3]
        picture += teeth[:3]

        under_lip = np.clip(self._y[rows] - upper, 0, None)
        over_lip = np.clip(lower - self._y[rows], 0, None)
        gap = np.maximum(lower - upper, np.float32(0.5))
        # A shadow is no deeper than the opening lets it be: the light comes from in front.
        depth = (0.24 if interior.from_photo else 0.34) + DEEPER * motion.rounded
        shade = 1 - np.float32(depth) * np.exp(under_lip * (-1 / ((0.032 + 0.03 * motion.rounded) * unit)))
        shade *= 1 - np.float32(0.4 * (1 - in_front)) * np.exp(over_lip * (-1 / (0.02 * unit)))
        # The corners of the mouth carry the ends of the opening with them.
        end = max(motion.narrow + float(with_corner(motion.narrow)) * motion.corner / self._half_width, 0.2)
        side = np.clip(self._aside / end, 0, 1)
        shade *= (1 - 0.36 * side**3) * (0.62 + 0.38 * np.clip(gap / (0.05 * unit), 0, 1))
        # At the corners nothing is deep: the lips' own flesh is in the light there, around what is left of the dark.
        off_middle = (2 * self._y[rows] - upper - lower) / max(float(gap[self._between].max()), 1.0)
        start, stop = ENDS
        start += 0.06 * motion.rounded
        meeting = smoothstep(start, stop, np.sqrt(side**2 + 0.45 * np.minimum(off_middle**2, 1)))
        if motion.rounded > 0:
            meeting = np.maximum(meeting, self._rolled(under_lip, over_lip, motion.rounded, shape.open))
        picture += (self._wall - picture) * meeting
        shade += (1 - shade) * meeting
        picture *= shade + (1 - shade) * self._glow
        whole = self._unlit.copy()
        whole[rows] = cv2.convertScaleAbs(cv2.merge(tuple(picture)))
        return whole

    def _rolled(self, under_lip: Array, over_lip: Array, rounded: float, opening: float) -> Array:
        """How much of the flesh of lips that are pushed forwards is seen at pixels so far from their edges, 0..1."""
        reach = np.float32(RIM * self._unit)
        parted = float(smoothstep(*PARTED, opening))
        low, high = (np.float32(share * rounded * parted) for share in ROLLED)
        return np.asarray(low * np.exp(-((over_lip / reach) ** 2)) + high * np.exp(-((under_lip / reach) ** 2)))

    def biting(self, composed: NDArray[np.uint8], motion: LipMotion, shape: MouthShape) -> NDArray[np.uint8]:
        """The upper teeth once more, to be laid over the tucked lower lip: RGBA uint8, straight alpha.

        `composed`: the interior of the same frame.
        """
        interior, soft = self._interior, np.float32(0.012 * self._unit)
        upper, lower = at_columns(np.stack([motion.upper_edge, motion.lower_edge]), self._columns)
        rows = self._rows(upper, lower + np.float32(SHOWN_OVER_LIP * self._pixels))
        resting = self._resting(motion, shape)
        # Past the canines the lip meets its fellow, and the teeth are behind both.
        shown = np.clip((self._y[rows] - upper) / soft, 0, 1) * (1 - smoothstep(0.34, 0.72, self._aside))
        shown *= smoothstep(0.05, 0.35, shape.tuck) * smoothstep(0.0, 0.03, shape.open)
        # They keep the light from the lip that they rest on.
        shadow = self._moved(self._cover, rows, resting + UNDER_TEETH)
        shadow = np.float32(0.8 * SHADOW) * shown * cv2.GaussianBlur(shadow, (0, 0), 0.4 * interior.scale)
        teeth = self._moved(self._cover, rows, resting) * shown
        covered = teeth + shadow * (1 - teeth)
        whole = np.zeros((*composed.shape[:2], 4), np.uint8)
        share = np.asarray(teeth / np.maximum(covered, np.float32(1e-3)), np.float32)
        whole[rows] = np.dstack([composed[rows] * share[..., None], covered * 255]).clip(0, 255)
        return whole

    def _resting(self, motion: LipMotion, shape: MouthShape) -> float:
        """How far down the upper teeth are moved to rest on a tucked lower lip, mm."""
        if shape.tuck <= 0:
            return 0.0
        middle = float(at_columns(motion.lower_edge, self._middle)[0] - self._level) / self._pixels
        wanted = min(max(middle + RESTING - self._interior.bite, REACHED[0]), REACHED[1])
        return float(smoothstep(0.05, 0.6, shape.tuck)) * wanted

    def _moved(self, sprite: Array, rows: slice, down: float) -> Array:
        """Those rows of the sprite moved down by mm."""
        if not down:
            return sprite[rows]
        place = np.array([[1, 0, 0], [0, 1, down * self._interior.scale - rows.start]], np.float32)
        size = (sprite.shape[1], rows.stop - rows.start)
        return np.asarray(cv2.warpAffine(sprite, place, size, flags=cv2.INTER_LINEAR), np.float32)

    def _swung(self, jaw: float) -> Array:
        """The lower teeth of a jaw that dropped by mm: it turns about a hinge, so the teeth further back drop less."""
        sprite = self._interior.lower_teeth
        if jaw <= 0:
            return sprite
        columns, down = self._pixel
        return np.asarray(
            cv2.remap(sprite, columns, down + np.float32(jaw) * self._raised, cv2.INTER_LINEAR), np.float32
        )

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
        """Lay the sprite, moved down by mm and scaled about its origin, over `rows` of a picture in planes."""
        scale = self._interior.scale
        x, y = ORIGIN_X * scale, ORIGIN_Y * scale
        downwards = down * scale + y * (1 - high) - rows.start
        place = np.array([[wide, 0, x * (1 - wide)], [0, high, downwards]], np.float32)
        size = (sprite.shape[1], picture.shape[1])
        moved = _planes(np.asarray(cv2.warpAffine(sprite, place, size, flags=cv2.INTER_LINEAR), np.float32))
        picture *= 1 - moved[3] * np.float32(opacity)
        picture += moved[:3] * np.float32(gain * opacity)


def _planes(picture: Array) -> Array:
    """(h, w, channels) as (channels, h, w)."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1))
