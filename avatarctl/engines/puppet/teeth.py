"""The teeth: drawn in the light of the photo, or taken from it where it shows them.

Sprites are RGBA float32 (h, w, 4), 0..255, colour premultiplied, alpha 0..1, in millimetres of a face whose
eye centres are 63 mm apart. Point (0, 0) is where the lips meet in the middle, x to image right, y down.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.lips import MouthFrame, PhotoLips
from avatarctl.engines.puppet.mouthfield import at_columns, curve_columns
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, gaussian_smooth, smoothstep

EYE_DISTANCE = 63.0
"""Millimetres between the eye centres of an adult."""
WIDTH, HEIGHT = 64, 48
ORIGIN_X, ORIGIN_Y = 32, 14
"""Extent of the sprites and place of their origin, millimetres."""
SUPERSAMPLING = 8
"""Pixels per millimetre while teeth are drawn."""
Arch = tuple[tuple[float, ...], tuple[float, ...]]
UPPER_ARCH: Arch = ((0, 8.4, 14.7, 20.4, 24.4, 27.2, 29.2), (10.2, 9.0, 10.0, 8.3, 7.4, 6.6))
LOWER_ARCH: Arch = ((0, 5.2, 10.6, 16.2, 20.8, 24.4, 27.2), (8.8, 9.0, 9.6, 8.2, 7.2, 6.4))
"""Borders and heights of the teeth from the middle outwards, as seen from the front, mm (average adult)."""
UNEVEN = (1.0, 0.985, 0.955, 0.94, 0.92, 0.90)
"""Lightness of the teeth from the middle outwards: canines are darker than incisors."""
LOWER_LIGHT = 0.87
"""Of the lower teeth beside the upper ones: they stand further back, and what light they have comes from the red of the
lower lip and of the tongue, too. Grey, they would be seen as a rim of the lip."""
REDDENING = np.array([0.75, 1.1, 1.25], np.float32)
"""Exponents of a shadow in the mouth: what light is left there came from its red walls."""
ROSY = np.array([0.65, 1.25, 1.12], np.float32)
"""The same on teeth, which are yellow: they would look khaki where they are dark."""
SHOWN_TEETH = 2.2
"""How far the upper incisors reach below the line of the closed lips, mm."""
SHOWN_BY_SMILERS = 3.0
"""The same of teeth that are taken from a smile: its lips would come to rest further down."""
SMALLEST_GAP = 3.5
"""Between the lips, mm: a narrower one shows too little of the teeth to take them from the photo."""


def millimetres(per_mm: float, middle: float = 0.0) -> tuple[Array, Array]:
    """Of each pixel of a sprite: x as it would be seen from the front, and y; (h, w)."""
    x = (np.arange(round(WIDTH * per_mm), dtype=np.float32) + 0.5) / per_mm - ORIGIN_X
    y = (np.arange(round(HEIGHT * per_mm), dtype=np.float32) + 0.5) / per_mm - ORIGIN_Y
    turned = np.where(x < 0, x / (1 + middle), x / (1 - middle))
    across, down = np.meshgrid(turned.astype(np.float32), y.astype(np.float32))
    return across, down


def arch_edge(aside: Array | float, upper: bool) -> Array:
    """How much further into their gum the edges of the outer teeth lie, mm: the arch bends backwards, and rises there.

    The lower row rises with the `upper` one, which it meets when the jaw is closed, though less: its canines are long.
    """
    return np.asarray((0.0058 if upper else -0.0025) * np.square(aside), np.float32)


def drawn_teeth(enamel: Array, gum: Array, arch: Arch, middle: float, *, upper: bool) -> Array:
    """A row of teeth with its edges near y = 0 and its gum above (`upper`) or below, `SUPERSAMPLING` fine.

    Args:
        enamel: colour of the middle teeth, RGB, 0..255.
        gum: colour of the gum.
        arch: borders and heights of the teeth.
        middle: X of the lips' middle; see `PhotoLips`.
    """
    x, y = millimetres(SUPERSAMPLING, middle)
    into_gum = -y if upper else y
    aside = np.abs(x)
    borders, heights = arch
    number = np.clip(np.searchsorted(np.array(borders[1:-1]), aside[0]), 0, len(heights) - 1)
    low, high = np.array(borders)[number], np.array(borders)[number + 1]
    place = ((aside[0] - (low + high) / 2) / ((high - low) / 2)).astype(np.float32)[None]
    height = np.array(heights, np.float32)[number][None]
    lateral = (number == 1)[None] if upper else np.zeros((1, aside.shape[1]), bool)
    depth = into_gum - arch_edge(aside, upper) - np.where(lateral, 0.5, 0.0)
    # Rounded corners, and necks narrower than the crowns: neighbours touch a little above their edges.
    outline = (0.75 if upper else 0.6) * np.abs(place) ** 3.5
    crown = smoothstep(-0.06, 0.12, depth - outline)
    to_gum = np.clip(depth / height, 0, 1)
    gumline = height - 1.1 * np.abs(place) ** 2.4
    cleft = np.abs(place) ** 9
    shade = 1 - 0.14 * np.abs(place) ** 2.5 - 0.15 * cleft * (1 - 0.4 * to_gum)
    shade *= 1 - 0.10 * np.clip(1 - depth / 1.4, 0, 1) - 0.10 * smoothstep(0.45, 1.0, to_gum)
    shade += 0.045 * np.exp(-(((place + 0.25) / 0.3) ** 2) - ((to_gum - 0.42) / 0.25) ** 2)
    shade *= np.array(UNEVEN, np.float32)[number][None] * (1 - 0.0008 * aside**2)
    warm = smoothstep(0.4, 1.0, to_gum)[..., None] * np.array([0.02, 0.06, 0.12], np.float32)
    dim = ((0.40 + 0.60 * (1 - smoothstep(13, 29, aside))) * (1.0 if upper else 0.95))[..., None] ** ROSY
    if not upper:
        dim = dim * LOWER_LIGHT**ROSY
    colour = enamel * shade[..., None] * (1 - warm) * dim
    gums = gum * (0.85 + 0.15 * np.cos(np.clip(place, -1, 1) * np.pi))[..., None] * np.ones_like(colour)
    gums *= dim
    in_gum = smoothstep(-0.25, 0.25, depth - gumline)[..., None]
    colour += (gums - colour) * in_gum
    alpha = crown * (1 - smoothstep(21, borders[-1], aside)) * (1 - smoothstep(13, 15, depth))
    return np.dstack([colour * alpha[..., None], alpha]).astype(np.float32)


def shrunk(sprite: Array, scale: float, blur: float) -> Array:
    """A finely drawn sprite at `scale` pixels per mm, as unsharp as `blur`, in pixels of the canvas."""
    soft = cv2.GaussianBlur(sprite, (0, 0), SUPERSAMPLING * float(np.hypot(0.18, blur / scale)))
    size = (round(WIDTH * scale), round(HEIGHT * scale))
    return np.array(cv2.resize(soft, size, interpolation=cv2.INTER_AREA), np.float32)


def shifted(sprite: Array, down: float) -> Array:
    """The sprite moved by pixels."""
    move = np.array([[1, 0, 0], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(sprite, move, sprite.shape[1::-1]), np.float32)


def photo_enamel(canvas: NDArray[np.uint8], frame: MouthFrame, lips: PhotoLips) -> Array | None:
    """The colour of the teeth that the photo shows; None when it shows none, or too little of them."""
    gap = float((lips.lower_inner - lips.upper_inner).max()) * EYE_DISTANCE / frame.unit
    if not lips.is_open or gap < SMALLEST_GAP:
        return None
    x = np.linspace(-0.5, 0.5, 41, dtype=np.float32) + np.float32(lips.middle)
    share = np.linspace(0.25, 0.8, 12, dtype=np.float32)[:, None]
    upper, lower = at_columns(np.stack([lips.upper_inner, lips.lower_inner]), curve_columns(x))
    inside = remap(canvas, frame.canvas(np.broadcast_to(x, (12, 41)), upper + share * (lower - upper)))
    around = np.linspace(0.2, 0.8, 7, dtype=np.float32)[:, None]
    outer = at_columns(np.stack([lips.lower_inner, lips.lower_outer]), curve_columns(x))
    lip = remap(canvas, frame.canvas(np.broadcast_to(x, (7, 41)), outer[0] + around * (outer[1] - outer[0])))
    pixels, flesh = inside.reshape(-1, 3).astype(np.float32), np.median(lip.reshape(-1, 3), 0)
    light = pixels.mean(1)
    enamel = np.median(pixels[light >= np.percentile(light, 55)], 0)
    # Teeth are as light as lips or lighter, and less red; all else is a dark mouth or a tongue.
    bright = float(np.median(light)) > 0.72 * flesh.mean()
    pale = enamel[0] / max(float(enamel.mean()), 1) < flesh[0] / max(float(flesh.mean()), 1) - 0.02
    grey = float(np.ptp(flesh)) < 12
    if not bright or not (pale or (grey and enamel.mean() > 1.1 * flesh.mean())):
        return None
    return np.asarray(enamel, np.float32)


def photo_teeth(
    canvas: NDArray[np.uint8], frame: MouthFrame, lips: PhotoLips, drawn: Array, enamel: Array, scale: float
) -> tuple[Array, float]:
    """The teeth that the photo shows, as a sprite fixed to the skull, among drawn ones that its lips hid.

    Args:
        drawn: the drawn upper teeth with their edges at y = 0, `scale` pixels per mm.
        enamel: see `photo_enamel`.

    Returns:
        The sprite, and how far the teeth reach below the middle of the closed lips, mm.
    """
    per_mm = frame.unit / EYE_DISTANCE
    x, below = millimetres(scale)
    x = x * np.float32(per_mm / frame.half_width) + np.float32(lips.middle)
    y = below * np.float32(per_mm) + np.float32(lips.level)
    photo = remap(canvas, frame.canvas(x, y)).astype(np.float32)
    upper, lower = at_columns(np.stack([lips.upper_inner, lips.lower_inner]), curve_columns(x[0]))
    reach = float(np.interp(lips.middle, x[0], lower) - lips.level) / per_mm - 0.3
    light = photo.mean(-1)
    bright = smoothstep(0.62, 0.80, light / max(float(enamel.mean()), 1.0))
    redness = photo[..., 0] / np.maximum(light, 1) - float(enamel[0] / max(float(enamel.mean()), 1.0))
    within = smoothstep(0.2, 1.0, np.minimum(y - upper, lower - y) / per_mm) * (np.abs(x) < 0.9)
    seen = within * bright * (1 - smoothstep(0.06, 0.14, redness))
    # Gaps between teeth are darker than teeth, and as much their own.
    seen = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((1, 2 * round(0.9 * scale) + 1), np.uint8)) * within
    sprite = shifted(_aligned(drawn, light, within, scale), reach * scale)
    own = cv2.GaussianBlur(np.asarray(seen, np.float32), (0, 0), 0.5 * scale) * within
    weight = (own * (1 - smoothstep(0.60, 0.85, np.abs(x))))[..., None] * sprite[..., 3:]
    sprite[..., :3] *= _matched(sprite, light, weight[..., 0], scale)[:, None]
    rim = 1 - 0.12 * np.clip(1 - (reach - arch_edge(x * frame.half_width / per_mm, True) - below) / 1.2, 0, 1)
    sprite[..., :3] += (photo * rim[..., None] - sprite[..., :3]) * weight
    return sprite, reach


def _matched(drawn: Array, light: Array, weight: Array, scale: float) -> Array:
    """What makes drawn teeth as light as the photo's own beside them, a column each; float32 (w,)."""
    ours = drawn[..., :3].mean(-1) / np.maximum(drawn[..., 3], np.float32(1e-3))
    seen = gaussian_smooth((light * weight).sum(0), 3.0 * scale)
    # Columns far from any tooth of the photo stay as they are drawn.
    held = gaussian_smooth((ours * weight).sum(0), 3.0 * scale) + np.float32(10 * scale)
    return np.clip((seen + np.float32(10 * scale)) / held, 0.8, 1.3).astype(np.float32)


def _aligned(drawn: Array, light: Array, within: Array, scale: float) -> Array:
    """The drawn teeth shifted and stretched sideways so that their gaps lie where the photo is darkest."""
    columns = np.arange(drawn.shape[1])
    centre = ORIGIN_X * scale
    near = np.exp(-(((columns - centre) / (11 * scale)) ** 2))
    weight = within.sum(0) + 1e-3

    def gaps(profile: NDArray[np.floating]) -> Array:
        return gaussian_smooth(profile, 0.4 * scale) - gaussian_smooth(profile, 2.0 * scale)

    seen = gaps((light * within).sum(0) / weight) * near
    rows = slice(round((ORIGIN_Y - 7) * scale), round((ORIGIN_Y - 2) * scale))
    profile = gaps(drawn[rows, :, :3].mean((0, 2)))
    best, found = 0.35, (1.0, 0.0)
    for stretch in np.linspace(0.86, 1.14, 15):
        for shift in np.linspace(-3.5, 3.5, 29) * scale:
            moved = np.interp((columns - centre - shift) / stretch + centre, columns, profile) * near
            fit = float(seen @ moved / (np.linalg.norm(seen) * np.linalg.norm(moved) + 1e-6))
            if fit > best:
                best, found = fit, (float(stretch), float(shift))
    stretch, shift = found
    move = np.array([[stretch, 0, centre * (1 - stretch) + shift], [0, 1, 0]], np.float32)
    return np.array(cv2.warpAffine(drawn, move, drawn.shape[1::-1]), np.float32)
