"""Blinks: a lid painted once from the skin around the eye, drawn down over it.

Stretching the photo's own lid would smear its lashes and make-up over the eye. So the closed lid is made
of the skin above and below, with the grain of the cheek and a line of lashes, and follows its margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.anatomy import EyeIndices
from avatarctl.engines.puppet.smooth import Array, gaussian_smooth, monotone_cubic, sigmoid, smoothstep

COLUMNS = 49
"""Places along the eye where the skin's colour is taken."""
ABOVE_LASHES = 0.09
"""The painted lid begins this far above the lid's margin, u: lashes and liner lie below."""


@dataclass(frozen=True)
class Eye:
    """One eye in a box of the canvas; maps are float32 (h, w), in pixels where they are lengths.

    `down`: unit vector of the image, from the upper lid to the lower. `x`: place along the eye, -1 and 1
    at its corners. `y`: place across it. `margin`: y of the open upper lid. `travel`: how far it comes
    down to close. `inside`: 1 over the eye, 0 beyond its corners. `skin`: the closed lid, RGB float32
    (h, w, 3). `lash`: colour of the lashes, float32 (3,).
    """

    left: int
    top: int
    unit: float
    down: Array
    x: Array
    y: Array
    margin: Array
    travel: Array
    inside: Array
    skin: Array
    lash: Array


def build_eyes(canvas: NDArray[np.uint8], landmarks: Array, unit: float) -> tuple[Eye, ...]:
    """Both eyes, the image's left one first; `landmarks`: float32 (478, 3), canvas pixels."""
    grain = _grain(canvas, landmarks, unit)
    return tuple(_build(canvas, landmarks, unit, indices, grain) for indices in anatomy.EYES)


def _build(canvas: NDArray[np.uint8], landmarks: Array, unit: float, indices: EyeIndices, grain: Array) -> Eye:
    size = canvas.shape[0]
    corners = landmarks[list(indices.corners), :2]
    centre = corners.mean(0)
    half = float(np.linalg.norm(corners[1] - corners[0]) / 2)
    across = ((corners[1] - corners[0]) / (2 * half)).astype(np.float32)
    down = np.array([-across[1], across[0]], np.float32)

    def local(points: Array) -> tuple[Array, Array]:
        offset = points - centre
        return (offset @ across) / np.float32(half), offset @ down

    def contour(points: tuple[int, ...], at: Array) -> Array:
        x, y = local(landmarks[list(points), :2])
        order = np.argsort(x)
        x, y = x[order], y[order]
        inner = (x > -0.98) & (x < 0.98) & np.r_[True, np.diff(x) > 1e-3]
        return monotone_cubic(np.r_[-1, x[inner], 1], np.r_[y[0], y[inner], y[-1]], np.clip(at, -1, 1))

    reach = 1.35 * half + 0.1 * unit
    left, right = (int(np.clip(centre[0] + s * reach, 0, size - 1)) for s in (-1, 1))
    top, bottom = (int(np.clip(centre[1] + s * (0.75 * half + 0.16 * unit), 0, size - 1)) for s in (-1, 1))
    rows, columns = np.mgrid[top : bottom + 1, left : right + 1].astype(np.float32)
    x, y = local(np.stack([columns, rows], -1))
    upper, lower = contour(indices.upper, x), contour(indices.lower, x)
    gap = np.maximum(lower - upper, 0)
    travel = 0.9 * gap

    along = np.linspace(-1.15, 1.15, COLUMNS, dtype=np.float32)
    upper_along, lower_along = contour(indices.upper, along), contour(indices.lower, along)
    brow = float(np.median(local(landmarks[list(indices.brow_bottom), :2])[1]))

    def strip(first: Array, last: Array) -> Array:
        spread = np.linspace(0, 1, 7, dtype=np.float32)[:, None]
        places = (along * half)[None, :, None] * across + (first + (last - first) * spread)[..., None] * down + centre
        colours = cv2.remap(
            canvas, places.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float32)
        middle = np.median(colours, 0)
        smooth = np.stack([gaussian_smooth(middle[:, channel], 6.0) for channel in range(3)], -1)
        return 0.7 * smooth + 0.3 * np.median(middle, 0)

    free = np.minimum(upper_along - brow, 0.30 * unit)
    above = strip(upper_along - 0.85 * free, upper_along - np.minimum(0.06 * unit, 0.4 * free))
    under = strip(lower_along + 0.05 * unit, lower_along + 0.12 * unit)
    closed = upper + travel
    begin = upper - ABOVE_LASHES * unit
    t = np.clip((y - begin) / np.maximum(closed - begin, 1), 0, 1)[..., None]
    place = (np.clip((x + 1.15) / 2.3, 0, 1) * (COLUMNS - 1)).astype(np.float32)
    still = np.zeros_like(place)
    above_here, under_here = (
        cv2.remap(colours[None].astype(np.float32), place, still, cv2.INTER_LINEAR) for colours in (above, under)
    )
    roundness = 1 + 0.05 * np.sin(np.pi * t) - 0.10 * t**6
    skin = (above_here * (1 - t) + under_here * t) * roundness
    texture = cv2.resize(grain, skin.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    inside = 1 - smoothstep(0.98, 1.22, np.abs(x))
    return Eye(
        left=left,
        top=top,
        unit=unit,
        down=down,
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        margin=upper,
        travel=travel.astype(np.float32),
        inside=inside,
        skin=(skin + texture).astype(np.float32),
        lash=_lash_colour(canvas, landmarks, unit, indices),
    )


def _grain(canvas: NDArray[np.uint8], landmarks: Array, unit: float) -> Array:
    """Fine texture of the cheek's skin, around zero, of about an eye's size; float32 (h, w, 3)."""
    size, (x, y) = canvas.shape[0], landmarks[list(anatomy.CHEEKS[0]), :2].mean(0)
    width, height = max(8, int(0.34 * unit)), max(6, int(0.2 * unit))
    left, top = (int(np.clip(v - n / 2, 0, size - n)) for v, n in ((x, width), (y, height)))
    patch = canvas[top : top + height, left : left + width].astype(np.float32)
    fine = patch - cv2.GaussianBlur(patch, (0, 0), 0.03 * unit)
    return np.asarray(np.clip(fine, -12, 12), np.float32)


def _lash_colour(canvas: NDArray[np.uint8], landmarks: Array, unit: float, indices: EyeIndices) -> Array:
    reach, size, darkest = max(1, int(0.03 * unit)), canvas.shape[0], []
    for x, y in landmarks[list(indices.upper[2:-2]), :2].astype(int):
        x, y = np.clip((x, y), reach, size - 1 - reach)
        around = canvas[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3).astype(np.float32)
        order = np.argsort(around.sum(1), kind="stable")
        darkest.append(around[order[: max(2, len(around) // 6)]].mean(0))
    return np.asarray(np.median(np.array(darkest), 0), np.float32)


def lid(eye: Eye, blink: float) -> Array:
    """The lid of a blink (0 open .. 1 closed) over the photo: RGBA float32 (h, w, 4), colour premultiplied,
    in the photo's own place."""
    unit = eye.unit
    margin = eye.margin + eye.travel * np.float32(blink)
    below = eye.y - margin
    rows, columns = eye.x.shape
    still_to_go = eye.travel * np.float32(1 - blink)
    places = np.empty((rows, columns, 2), np.float32)
    places[..., 0] = np.arange(columns, dtype=np.float32) + still_to_go * eye.down[0]
    places[..., 1] = np.arange(rows, dtype=np.float32)[:, None] + still_to_go * eye.down[1]
    colour = cv2.remap(eye.skin, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = max(0.5, 0.006 * unit)
    from_crease = eye.y - (eye.margin - np.float32(ABOVE_LASHES * unit))
    onset = min(1.0, blink / 0.15)
    alpha = sigmoid(-below / (0.7 * soft)) * smoothstep(-0.015 * unit, 0.05 * unit, from_crease) * eye.inside * onset
    thickness = 0.015 * unit * (1 - 0.6 * np.clip(np.abs(eye.x), 0, 1) ** 2)
    line = np.exp(-((below / thickness) ** 2))
    # Lashes hang a little below the margin of a closing lid.
    fringe = 0.45 * np.exp(-np.clip(below, 0, None) / (0.022 * unit)) * (below > 0)
    ends = 1 - np.clip(np.abs(eye.x) / 1.02, 0, 1) ** 6
    lashes = np.maximum(line, fringe) * ends * min(1.0, blink / 0.3) * 0.75
    picture = np.empty((rows, columns, 4), np.float32)
    picture[..., :3] = colour * (alpha * (1 - lashes))[..., None] + eye.lash * lashes[..., None]
    picture[..., 3] = alpha + lashes - alpha * lashes
    return picture
