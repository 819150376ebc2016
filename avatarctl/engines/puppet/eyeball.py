"""Eyeballs that turn: the iris without its lids, the white behind it, and the light that they reflect.

The photo's iris is completed behind the lids and moved over a white that is continued where it was. The
lid's shadow and what the lids cover stay with the lids.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.framing import TEXTURE_SCALE
from avatarctl.engines.puppet.sampling import coloured, read, remap, split
from avatarctl.engines.puppet.smooth import Array, ramp, sigmoid, smoothstep

RADIUS = 12 / 63
"""Of the eyeball, u."""
GLINT_FOLLOWS = 0.4
"""The cornea's reflection goes this part of the iris's way: its middle lies between iris and centre."""
SHADOW, SHADOW_DEPTH = 0.24, 0.045
"""Of the upper lid on the eyeball: strength at the margin, and reach, u."""
FADE = 1.5
"""Degrees within which the photo's eye gives way to the eyeball made of it."""
PURE = 0.86
"""Part of the iris's radius within which nothing of the white is mixed into its colour."""
SMALLEST, SMALL = 12.0, 18.0
"""Width of an eye, canvas pixels, up to which it cannot look about, and from which it does freely."""


@dataclass(frozen=True)
class Ball:
    """An eyeball in the eye's box, without the lid's shadow, at 1 - SHADOW of its brightness; uint8.

    `white`: RGB (h, w, 3). `iris`: RGBA (h, w, 4), premultiplied. `glint`: RGB (h, w, 3), added, as bright
    as it is. `freedom`: 0..1, part of a gaze that is shown.
    """

    white: NDArray[np.uint8]
    iris: NDArray[np.uint8]
    glint: NDArray[np.uint8]
    freedom: float


def shadow(below: Array, unit: float) -> Array:
    """The lid's shadow at a distance below its margin; brightness, float32."""
    distance = np.maximum(below, 0) * np.float32(1 / (SHADOW_DEPTH * unit))
    return np.asarray(1 - np.float32(SHADOW) * np.exp(-distance), np.float32)


def fill(picture: Array, known: Array, finest: float) -> Array:
    """Continue a picture, float32 (h, w, 3), from where `known` is 1: by ever wider averages."""
    result = np.zeros_like(picture)
    for scale in (24, 8, 3, 1):
        weight = cv2.GaussianBlur(known, (0, 0), max(finest * scale, 0.5))
        average = cv2.GaussianBlur(picture * known[..., None], (0, 0), max(finest * scale, 0.5))
        average = average / np.maximum(weight, 1e-6)[..., None]
        trust = np.clip(4 * weight, 0, 1) if scale < 24 else np.ones_like(weight)
        result += (average - result) * np.asarray(trust, np.float32)[..., None]
    return np.asarray(result, np.float32)


def build_ball(photo: NDArray[np.uint8], places: Array, points: Array, unit: float, width: float) -> Ball:
    """Take an eyeball apart. `places`: as of `Eye`; `points`: the iris, float32 (5, 2), pixels of `photo`;
    `unit`: in pixels of `photo`; `width` of the eye: in the canvas's."""
    colour = photo.astype(np.float32)
    light = colour.mean(-1)
    below, opening, x = places[..., 0] * TEXTURE_SCALE, places[..., 1] * TEXTURE_SCALE, places[..., 2]
    above = opening - below
    centre, radius = find_iris(light, below, above, points, unit)
    rows, columns = light.shape
    across, down = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    rho = np.asarray(np.hypot(across - centre[0], down - centre[1]) / radius, np.float32)
    bare = colour / shadow(below, unit)[..., None]
    visible = (below > 0.012 * unit) & (above > 0.008 * unit) & (np.abs(x) < 0.97)

    is_white = visible & (rho > 1.28) & (above > 0.02 * unit)
    is_iris = visible & (rho < 0.9)
    if is_white.sum() < 0.05 * unit or is_iris.sum() < 0.05 * unit:
        freedom, white = 0.0, bare
    else:
        white = fill(bare, is_white.astype(np.float32), 0.012 * unit)
        ratio = float(np.median(light[is_white]) / max(float(np.median(light[is_iris])), 1.0))
        freedom = float(smoothstep(1.05, 1.3, ratio) * smoothstep(SMALLEST, SMALL, width))
    near = sigmoid(np.minimum(below - 0.003 * unit, above - 0.006 * unit) / (0.003 * unit))
    kept = (smoothstep(1.26, 1.46, rho) * near)[..., None]
    white = white + (bare - white) * kept

    middle = float(np.median(light[is_iris])) if is_iris.any() else 0.0
    brightest = float(np.percentile(light, 99))
    # A glint is small: an edge of the white that a soft photo carries into the iris is not one.
    around = 2 * round(0.045 * unit) + 1
    peak = light - cv2.morphologyEx(light, cv2.MORPH_OPEN, _disc(around))
    spark = ((peak > 0.25 * (brightest - middle)) & (rho < 0.8) & visible).astype(np.uint8)
    reach = 2 * max(1, round(0.008 * unit)) + 1
    spark = cv2.dilate(spark, _disc(reach)) * (rho < 0.92)
    known = (visible & (rho < 1.25) & (spark == 0)).astype(np.float32)
    alpha = _matte(bare.mean(-1), rho, (known > 0) | (visible & (rho >= 1.25)))
    known *= rho < PURE
    rings = _rings(bare, np.minimum(rho, np.float32(PURE)), known)
    trust = smoothstep(0.0, 0.15, cv2.GaussianBlur(known, (0, 0), 0.02 * unit))[..., None]
    iris = rings + fill(bare - rings, known, 0.008 * unit) * trust
    soft = cv2.GaussianBlur((spark > 0).astype(np.float32), (0, 0), max(0.5, 0.003 * unit))
    iris = iris + (bare - iris) * (near * (1 - soft) * (1 - smoothstep(PURE - 0.1, PURE, rho)))[..., None]
    glint = np.maximum(colour - iris * shadow(below, unit)[..., None], 0) * soft[..., None]
    layer = np.dstack([iris * (1 - SHADOW) * alpha[..., None], 255 * alpha])
    return Ball(_bytes(white * (1 - SHADOW)), _bytes(layer), _bytes(np.asarray(glint, np.float32)), freedom)


def _disc(width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)), np.uint8)


def _bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(values + 0.5, 0, 255), np.uint8)


def find_iris(light: Array, below: Array, above: Array, points: Array, unit: float) -> tuple[Array, float]:
    """Centre and radius: near the mesh's, where the step from dark to light is largest (Daugman 1993). A circle that
    reaches into the white, where lids leave little to be seen of it, would take some of that along as a bright ring."""
    guess = points[0]
    size = float(np.linalg.norm(points[1:] - guess, axis=1).mean())
    usable = (below > -0.01 * unit) & (above > 0.0)
    rows, columns = light.shape
    angles = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    rays = np.stack([np.cos(angles), np.sin(angles)], -1)
    steps = np.arange(-5, 6) * 0.06
    dx, dy, scale = (
        v.ravel() for v in np.meshgrid(steps, steps, (0.8, 0.87, 0.94, 1.0, 1.06, 1.14, 1.22, 1.3), indexing="ij")
    )
    centres, radii = guess + np.stack([dx, dy], -1) * size, scale * size
    smooth = cv2.GaussianBlur(light, (0, 0), max(0.5, 0.08 * size))
    levels, seen = [], np.ones((len(radii), len(angles)), bool)
    for reach in (0.82, 1.15):
        at = centres[:, None] + (reach * radii)[:, None, None] * rays
        at = np.clip(np.rint(at).astype(int), 0, (columns - 1, rows - 1))
        levels.append(smooth[at[..., 1], at[..., 0]])
        seen &= usable[at[..., 1], at[..., 0]]
    enough = seen.sum(1) >= 16
    if not enough.any():
        return np.asarray(guess, np.float32), size
    step = np.nanmedian(np.where(seen | ~enough[:, None], levels[1] - levels[0], np.nan), 1)
    contrast = max(float(np.percentile(light, 95) - np.percentile(light, 5)), 1.0)
    score = step / contrast - 0.4 * (dx**2 + dy**2) - 1.0 * (scale - 0.95) ** 2
    best = int(np.where(enough, score, -math.inf).argmax())
    return np.asarray(centres[best], np.float32), float(radii[best])


def _matte(light: Array, rho: Array, known: NDArray[np.bool_]) -> Array:
    """How much of each place is iris, float32 (h, w): its blurred edge, mixed of iris and white.

    Taken with its mixed colours, the edge would go along as a bright ring. The share is read off the median
    brightness at each distance from the middle, which falls between the white's and the iris's.
    """
    edges = np.arange(0.7, 1.6, 0.06)
    at = np.digitize(rho, edges)
    levels = [
        float(np.median(light[ring])) if (ring := known & (at == i)).sum() >= 4 else math.nan
        for i in range(1, len(edges))
    ]
    found, middles = np.array(levels), (edges[:-1] + edges[1:]) / 2
    there = ~np.isnan(found)
    dark, bright = found[there & (middles < 0.85)], found[there & (middles > 1.25)]
    if not (len(dark) and len(bright)) or bright.mean() < dark.mean() + 8:
        return 1 - smoothstep(0.94, 1.16, rho)
    share = np.clip((bright.mean() - found[there]) / (bright.mean() - dark.mean()), 0, 1)
    share = np.minimum.accumulate(share)
    held = np.interp(rho, middles[there], share) * (1 - smoothstep(1.15, 1.35, rho))
    return np.asarray(np.where(rho < 0.75, 1, held), np.float32)


def _rings(colour: Array, rho: Array, known: Array) -> Array:
    """The iris's median colour at each distance from its middle."""
    edges = np.linspace(0, 1.3, 14)
    levels = np.full((13, 3), np.nan)
    for i in range(13):
        ring = (known > 0) & (rho >= edges[i]) & (rho < edges[i + 1])
        if ring.sum() >= 4:
            levels[i] = np.median(colour[ring], 0)
    middles, there = (edges[:-1] + edges[1:]) / 2, ~np.isnan(levels[:, 0])
    if not there.any():
        return colour
    return np.stack([np.interp(rho, middles[there], levels[there, c]) for c in range(3)], -1).astype(np.float32)


def look(
    ball: Ball,
    under: NDArray[np.uint8],
    place: Array,
    at: tuple[Array, Array, Array, NDArray[np.uint8]],
    gaze: tuple[float, float],
    unit: float,
) -> NDArray[np.uint8]:
    """The eyeball in the opening of the lids, over `under`, RGB uint8 (h, w, 3); a new array.

    `place`: where in the eye's box; `at`: distances below the open and the moved margin, the height of the
    opening, canvas pixels, float32 (h, w) each, and uint8 (h, w), how far a place is one of the eyeball.
    `gaze`: degrees.
    """
    below, margin, opening, zone = at
    shade = shadow(margin, unit)
    turned = float(smoothstep(0, FADE, math.hypot(*gaze))) if ball.freedom else 0.0
    if turned == 0 and not (ball.freedom and bool((margin > below).any())):
        lit = cv2.multiply(under, coloured(shade / shadow(below, unit)), dtype=cv2.CV_8U)
        return np.asarray(lit, np.uint8)
    reach = RADIUS * unit * TEXTURE_SCALE * ball.freedom
    move = np.array([reach * math.sin(math.radians(degrees)) for degrees in gaze], np.float32)
    x, y = split(place)
    iris = remap(ball.iris, place - move, cv2.BORDER_CONSTANT)
    light = shade * np.float32(1 / (1 - SHADOW))
    bare = coloured(light * (1 - iris[..., 3] * np.float32(1 / 255)))
    picture = cv2.multiply(read(ball.white, x, y), bare, dtype=cv2.CV_32F)
    over = cv2.multiply(cv2.cvtColor(iris, cv2.COLOR_RGBA2RGB), coloured(light), dtype=cv2.CV_32F)
    follow = np.float32(GLINT_FOLLOWS) * move
    glint = read(ball.glint, x - follow[0], y - follow[1])
    drawn = np.asarray(cv2.add(cv2.add(picture, over), glint, dtype=cv2.CV_8U), np.uint8)
    soft = 2.8 * max(0.5, 0.006 * unit)
    window = ramp(-soft / 2, soft / 2, np.minimum(opening - below, margin)) * (zone * np.float32(1 / 255))
    if turned < 1:
        # The photo's own eye gives way to the parts within a small turn, or where the lid bares some.
        window *= turned + (1 - turned) * ramp(0, 0.01 * unit, margin - below)
    return np.asarray(cv2.blendLinear(drawn, under.copy(), window, 1 - window), np.uint8)
