"""How light on the skin around the mouth changes with its shape: folds that fade when a smile is let go,
folds that come with one, and the relief of rounded lips.

A change is the logarithm of a gain on RGB, given at the nodes of the mouth's lattice, where they lie in the
photo; so it moves with the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.lattice import Lattice
from avatarctl.engines.puppet.lips import LipMotion, MouthFrame, PhotoLips
from avatarctl.engines.puppet.mouthfield import at_columns, curve_columns
from avatarctl.engines.puppet.photolight import PhotoLight
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, smoothstep

FOLD = 0.24
"""Width of what counts as a fold, u."""
LINE, LINE_TAKEN = 0.06, 0.8
"""Of the line in a smile's fold: width of what is smooth beside it, u, and the part that layers are cut without."""
ON_LINE = 0.07, 0.18
"""Distance from the fold to which all and from which on nothing is taken for its line, u."""
DEEPEST = 0.8
"""Of a fold, in logarithms of light."""
BLOOD = np.array([0.8, 1.05, 1.15], np.float32)
"""How much a shadow on skin takes of red, green and blue: light that comes through skin is red."""
FLUSH, PALENESS = np.array([0.05, 0.15, 0.12], np.float32), 0.15
"""What the blood that comes back into a lip takes of red, green and blue, in logarithms of light, where the lip is as
much paler than `RELAXED` as this."""
PALEST = 1.4
"""In those: a little more than that of a lip of the very colour of the skin, as JPEG leaves it."""
UNDER_LIP = 0.06
"""Shadow under such a lip, which stands out again, in logarithms of light."""
RELAXED = 0.20
"""How much less green a lip at rest has beside its red than the skin below it, in logarithms: 0.1 to 0.5."""


@dataclass(frozen=True)
class Shading:
    """Logarithms of gain, float32 (rows, columns, 3). `released`: for a photo's smile that is let go
    altogether; `kept`: for one that is kept, the lines of its folds, which the layers are cut without; `smiling`: for a
    full smile that the photo does not show; `rounded`: for round lips."""

    released: Array
    kept: Array
    smiling: Array
    rounded: Array


def build_shading(
    canvas: NDArray[np.uint8],
    landmarks: Array,
    light: PhotoLight,
    frame: MouthFrame,
    lips: PhotoLips,
    lattice: Lattice,
) -> Shading:
    """Measure the photo's folds, and lay out those that it does not have."""
    blood = light.coloured(BLOOD)
    points = lattice.points
    x, y = frame.local(points)
    near = _to_folds(landmarks, frame, x, y)
    at_border = np.ones(x.shape, np.float32)
    for axis in (0, 1):
        place = np.linspace(0, 1, x.shape[axis], dtype=np.float32)
        ramp = smoothstep(0.02, 0.14, np.minimum(place, 1 - place))
        at_border *= ramp[:, None] if axis == 0 else ramp[None]
    nothing = np.zeros((*x.shape, 3), np.float32)
    # A smile that shows its teeth brought its own folds.
    strength = float(smoothstep(0.02, 0.10, lips.smile_arc))
    released = kept = nothing
    if strength > 0:
        kept = line_of_fold(landmarks, frame, lips, x, y)[..., None] * _lines(canvas, frame.unit, points)
        released = strength * _relaxed(canvas, frame, lips, points, near, kept) * at_border[..., None]
        released -= strength * light.relief * _flush(canvas, points, frame, lips, light) * at_border[..., None]
    smiling = (1 - strength) * _creased(x, y, near, frame)[..., None] * blood * at_border[..., None]
    rounded = _rounded(x, y, frame, lips)[..., None] * blood + _vermilion(canvas, points, frame, lips, light)
    rounded = rounded * at_border[..., None]
    # A drawing of flat colours has no light on it that could change.
    drawn = (released, kept, light.relief * smiling, light.relief * rounded)
    return Shading(*(np.asarray(part, np.float32) for part in drawn))


def line_of_fold(landmarks: Array, frame: MouthFrame, lips: PhotoLips, x: Array, y: Array) -> Array:
    """1 on the lines of a smile's folds, from the nose's wings to the mouth's corners, and 0 away from them and on lips
    and nose; 0 too where the photo has no open smile, or hair over it; of the shape of `x`, float32.

    `x`, `y`: the mouth's coordinates."""
    laughs = lips.is_open and not lips.hair.size
    shown = float(smoothstep(0.02, 0.10, lips.smile_arc)) if laughs else 0.0
    near = _to_folds(landmarks, frame, x, y)
    return np.asarray(shown * _beside_nose_and_lips(frame, lips, x, y) * (1 - smoothstep(*ON_LINE, near)), np.float32)


def _to_folds(landmarks: Array, frame: MouthFrame, x: Array, y: Array) -> Array:
    """Distance from the nearest fold, u."""
    unit, aspect = frame.unit, frame.half_width / frame.unit
    folds = [frame.local(landmarks[list(path), :2]) for path in anatomy.FOLDS]
    return np.minimum(*(_distance(x * aspect, y / unit, fx * aspect, fy / unit) for fx, fy in folds))


def _beside_nose_and_lips(frame: MouthFrame, lips: PhotoLips, x: Array, y: Array) -> Array:
    unit = frame.unit
    upper_outer, lower_outer = at_columns(np.stack([lips.upper_outer, lips.lower_outer]), curve_columns(x))
    off_lips = smoothstep(0.03, 0.10, np.maximum(upper_outer - y, y - lower_outer) / unit)
    off_lips = np.maximum(off_lips, smoothstep(1.08, 1.3, np.abs(x)))
    off_nose = smoothstep(0.9 * lips.nose, 0.7 * lips.nose, y) if lips.nose < 0 else 1.0
    off_nose = np.maximum(off_nose, smoothstep(0.38, 0.5, np.abs(x) * frame.half_width / unit))
    return np.asarray(off_lips * off_nose, np.float32)


def _distance(x: Array, y: Array, along_x: Array, along_y: Array) -> Array:
    """From a path, u."""
    nearest = np.full(x.shape, np.inf, np.float32)
    for i in range(len(along_x) - 1):
        dx, dy = along_x[i + 1] - along_x[i], along_y[i + 1] - along_y[i]
        t = np.clip(((x - along_x[i]) * dx + (y - along_y[i]) * dy) / max(float(dx * dx + dy * dy), 1e-9), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - along_x[i] - t * dx, y - along_y[i] - t * dy))
    return nearest


def _lines(canvas: NDArray[np.uint8], unit: float, points: Array) -> Array:
    """What layers are cut without where a line is, at the nodes, in logarithms; float32 (rows, columns, 3)."""
    light = np.log(canvas.astype(np.float32) + 6)
    lines = cv2.GaussianBlur(light, (0, 0), max(0.6, 0.006 * unit)) - cv2.GaussianBlur(light, (0, 0), LINE * unit)
    return np.asarray(LINE_TAKEN * remap(np.asarray(lines, np.float32), points), np.float32)


def _relaxed(
    canvas: NDArray[np.uint8], frame: MouthFrame, lips: PhotoLips, points: Array, near: Array, kept: Array
) -> Array:
    """What fills the dark valleys near the folds that are left without their lines, `kept`."""
    unit = frame.unit
    light = np.log(canvas.astype(np.float32) + 6)
    soft = cv2.GaussianBlur(light, (0, 0), max(0.6, 0.012 * unit))
    size = max(3, round(FOLD * unit)) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    filled = cv2.GaussianBlur(cv2.morphologyEx(soft, cv2.MORPH_CLOSE, disc), (0, 0), 0.05 * unit)
    valley = np.clip(remap(np.asarray(filled - soft, np.float32), points) + kept, 0, DEEPEST)
    # A fold is one dark line; where much is dark it is a beard, which stays.
    beard = float(smoothstep(0.30, 0.50, np.mean(valley.mean(-1)[near < 0.2] > 0.2)))
    on_fold = (
        _beside_nose_and_lips(frame, lips, *frame.local(points)) * (1 - smoothstep(0.12, 0.28, near)) * (1 - beard)
    )
    return np.asarray(0.9 * valley * on_fold[..., None], np.float32)


def _creased(x: Array, y: Array, near: Array, frame: MouthFrame) -> Array:
    """A soft crease along the folds, with the cheek's bulge in the light beside it."""
    crease = 0.15 * np.exp(-((near / 0.055) ** 2)) + 0.06 * np.exp(-((near / 0.13) ** 2))
    aside = np.abs(x) * frame.half_width / frame.unit
    bulge = 0.05 * np.exp(-(((aside - 0.74) / 0.18) ** 2) - (((y / frame.unit) + 0.30) / 0.16) ** 2)
    # The corners dig into the cheeks.
    dimple = 0.10 * np.exp(-(((np.abs(x) - 1.12) / 0.12) ** 2) - ((y / frame.unit) / 0.09) ** 2)
    return np.asarray(bulge - crease - dimple, np.float32)


def _rounded(x: Array, y: Array, frame: MouthFrame, lips: PhotoLips) -> Array:
    """Lips that stand out: lighter in their middle, darker where they turn away, a shadow under the lower one."""
    unit = frame.unit
    curves = [lips.upper_outer, lips.upper_inner, lips.lower_inner, lips.lower_outer]
    outer_upper, inner_upper, inner_lower, outer_lower = at_columns(np.stack(curves), curve_columns(x))
    on_upper = np.exp(-(((y - 0.5 * (outer_upper + inner_upper)) / (0.05 * unit)) ** 2))
    on_lower = np.exp(-(((y - 0.5 * (outer_lower + inner_lower)) / (0.055 * unit)) ** 2))
    middle = np.exp(-((x / 0.42) ** 2))
    light = 0.05 * middle * on_upper + 0.07 * middle * on_lower
    turned = np.exp(-(((np.abs(x) - 0.85) / 0.22) ** 2) - ((y / (0.12 * unit)) ** 2))
    below = np.exp(-(((y - outer_lower - 0.06 * unit) / (0.05 * unit)) ** 2)) * np.exp(-((x / 0.6) ** 2))
    return np.asarray(light - 0.14 * turned - 0.08 * below, np.float32)


def _vermilion(
    canvas: NDArray[np.uint8], points: Array, frame: MouthFrame, lips: PhotoLips, light: PhotoLight
) -> Array:
    """What gives a round lower lip its own colour up to its sides, where a smile drew it thin and pale."""
    unit = frame.unit
    x, y = frame.local(points)
    inner, outer = at_columns(np.stack([lips.lower_inner, lips.lower_outer]), curve_columns(x))
    thick = np.maximum(outer - inner, 1.0)
    place = (y - inner) / thick
    on_lip = smoothstep(-0.5, -0.1, place) * (1 - smoothstep(0.75, 1.15, place))
    on_lip *= smoothstep(0.15, 0.40, np.abs(x)) * (1 - smoothstep(0.55, 0.85, np.abs(x)))
    soft = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 0.03 * unit)
    local = remap(np.asarray(soft, np.float32), points)
    # Colour and not light: light tells the lip's form.
    wanted = light.lip / max(float(light.lip.mean()), 1.0)
    found = local / np.maximum(local.mean(-1, keepdims=True), 1.0)
    change = np.clip(np.log(np.maximum(wanted, 0.05) / np.maximum(found, 0.05)), -0.2, 0.2)
    change += np.clip(np.log((light.lip.mean() + 6) / (local.mean(-1, keepdims=True) + 6)), -0.12, 0.0)
    return np.asarray(float(lips.is_open) * change * on_lip[..., None], np.float32)


def _flush(canvas: NDArray[np.uint8], points: Array, frame: MouthFrame, lips: PhotoLips, light: PhotoLight) -> Array:
    """What is taken from the light of a lower lip that a smile had drawn thin and pale, when the smile is let go: blood
    comes back into it, most of all along its rim, and it stands out. Without that the lip of an open mouth can be told
    neither from the skin below it nor from the tongue above it; in logarithms, float32 (rows, columns, 3)."""
    x, y = frame.local(points)
    inner, outer = at_columns(np.stack([lips.lower_inner, lips.lower_outer]), curve_columns(x))
    place, aside = (y - inner) / np.maximum(outer - inner, 1.0), np.abs(x)
    soft = np.asarray(cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 0.03 * frame.unit), np.float32)
    red, green, _ = np.moveaxis(np.log(remap(soft, points) + 6), -1, 0)
    sides = (aside > 0.25) & (aside < 0.65)
    lip, skin = (
        float(np.median((red - green)[sides & (place > first) & (place < last)]))
        for first, last in ((0.0, 0.6), (1.0, 1.5))
    )
    pale = float(lips.is_open) * float(np.clip((RELAXED - lip + skin) / PALENESS, 0, PALEST))
    between, near = 1 - smoothstep(0.6, 0.9, aside), 1 - smoothstep(0.5, 0.8, aside)
    blood = 0.6 * smoothstep(-0.5, -0.1, place) * (1 - smoothstep(0.75, 1.1, place)) * between
    blood += 0.8 * np.exp(-(((place - 0.85) / 0.2) ** 2)) * near
    below = UNDER_LIP * np.exp(-(((place - 1.15) / 0.35) ** 2)) * near
    return np.asarray(pale * (blood[..., None] * light.coloured(FLUSH) + below[..., None]), np.float32)


def gain(shading: Shading, motion: LipMotion) -> Array | None:
    """The gain for a frame at the lattice's nodes in the photo, float32 (rows, columns, 4), 1 for
    the alpha; None when all is 1."""
    total: Array | None = None
    for part, amount in (
        (shading.released, motion.released),
        (shading.kept, 1 - motion.released if shading.kept.any() else 0.0),
        (shading.smiling, motion.smiling),
        (shading.rounded, motion.rounded),
    ):
        if amount > 0:
            change = part * np.float32(amount)
            total = change if total is None else total + change
    if total is None:
        return None
    return np.asarray(cv2.cvtColor(np.exp(total), cv2.COLOR_RGB2RGBA), np.float32)
