"""Blinks: a lid painted once from the skin around the eye, drawn down over it.

Stretching the photo's own lid would smear its lashes and make-up over the eye. So the lid is made of the
skin above and below with the grain of the cheek, and only a narrow band with the lashes is the photo's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.anatomy import EyeIndices
from avatarctl.engines.puppet.sampling import Scalar, remap
from avatarctl.engines.puppet.smooth import Array, gaussian_smooth, monotone_cubic, sigmoid, smoothstep

COLUMNS = 49
"""Places along the eye where the skin's colour is taken."""
SKIN_REACH = 1.15
"""How far to either side it is taken, in half widths of the eye."""
ABOVE_LASHES = 0.09
"""The painted lid begins this far above the lid's margin, u: lashes and liner lie below."""
LASH_BAND = 0.065
"""Height above the margin of what goes down with it, u."""
TRAVEL = 0.9
"""Part of the eye's opening that the upper lid covers; the lower one rises by the rest."""


@dataclass(frozen=True)
class Eye:
    """One eye in a box of the canvas; maps are float32 (h, w), in pixels where they are lengths.

    `down`: unit vector of the image, from the upper lid to the lower. `x`: place along the eye, -1 and 1
    at its corners. `y`: place across it. `margin`: y of the open upper lid. `travel`: how far it comes
    down to close. `crease`: how far above it the painted lid begins. `inside`: 1 over the eye, 0 beyond
    its corners. `skin`: the closed lid, RGB float32 (h, w, 3). `open_eye`: the photo, RGB uint8 (h, w, 3).
    `lash`: colour of the lashes, float32 (3,).
    """

    left: int
    top: int
    unit: float
    down: Array
    x: Array
    y: Array
    margin: Array
    travel: Array
    crease: Array
    inside: Array
    skin: Array
    open_eye: NDArray[np.uint8]
    lash: Array


def build_eyes(canvas: NDArray[np.uint8], landmarks: Array, unit: float) -> tuple[Eye, ...]:
    """Both eyes, the image's left one first; `landmarks`: float32 (478, 3), canvas pixels."""
    grain = _grain(canvas, landmarks, unit)
    return tuple(_build(canvas, landmarks, unit, indices, grain) for indices in anatomy.EYES)


class _EyeFrame:
    """An eye's own coordinates: x along it, in half widths from its middle; y across it, pixels, downwards."""

    def __init__(self, landmarks: Array, indices: EyeIndices) -> None:
        corners = landmarks[list(indices.corners), :2]
        self._landmarks = landmarks
        self.centre: Array = corners.mean(0)
        self.half = float(np.linalg.norm(corners[1] - corners[0]) / 2)
        self.across: Array = ((corners[1] - corners[0]) / (2 * self.half)).astype(np.float32)
        self.down = np.array([-self.across[1], self.across[0]], np.float32)

    def local(self, points: Array) -> tuple[Array, Array]:
        offset = points - self.centre
        along = np.asarray(offset @ self.across, np.float32) / np.float32(self.half)
        return along, np.asarray(offset @ self.down, np.float32)

    def canvas(self, x: Array, y: Array) -> Array:
        places = self.centre + (x * self.half)[..., None] * self.across + y[..., None] * self.down
        return np.asarray(places, np.float32)

    def contour(self, points: tuple[int, ...], at: Array) -> Array:
        """y of the curve through mesh points at x; held beyond the corners."""
        x, y = self.local(self._landmarks[list(points), :2])
        order = np.argsort(x)
        x, y = x[order], y[order]
        inner = (x > -0.98) & (x < 0.98) & np.r_[True, np.diff(x) > 1e-3]
        return monotone_cubic(np.r_[-1, x[inner], 1], np.r_[y[0], y[inner], y[-1]], np.clip(at, -1, 1))


def _build(canvas: NDArray[np.uint8], landmarks: Array, unit: float, indices: EyeIndices, grain: Array) -> Eye:
    (height, width), frame = canvas.shape[:2], _EyeFrame(landmarks, indices)
    wide, high = 1.35 * frame.half + 0.1 * unit, 0.75 * frame.half + 0.16 * unit
    left, right = (int(np.clip(frame.centre[0] + side * wide, 0, width - 1)) for side in (-1, 1))
    top, bottom = (int(np.clip(frame.centre[1] + side * high, 0, height - 1)) for side in (-1, 1))
    rows, columns = np.mgrid[top : bottom + 1, left : right + 1].astype(np.float32)
    x, y = frame.local(np.stack([columns, rows], -1))
    upper, lower = frame.contour(indices.upper, x), frame.contour(indices.lower, x)
    travel = (TRAVEL * np.maximum(lower - upper, 0)).astype(np.float32)
    brow = float(np.median(frame.local(landmarks[list(indices.brow_bottom), :2])[1]))
    crease = np.minimum(ABOVE_LASHES * unit, np.maximum(0.7 * (upper - brow), 0.03 * unit)).astype(np.float32)

    above, under = _skin_around(canvas, frame, indices, brow, unit)
    place = (np.clip((x / SKIN_REACH + 1) / 2, 0, 1) * (COLUMNS - 1)).astype(np.float32)
    on_row = np.stack([place, np.zeros_like(place)], -1)
    begin = upper - crease
    t = np.clip((y - begin) / np.maximum(upper + travel - begin, 1), 0, 1)[..., None]
    roundness = 1 + 0.05 * np.sin(np.pi * t) - 0.08 * np.exp(-t / 0.12) - 0.10 * t**6
    skin = (remap(above[None], on_row) * (1 - t) + remap(under[None], on_row) * t) * roundness
    return Eye(
        left=left,
        top=top,
        unit=unit,
        down=frame.down,
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        margin=upper,
        travel=travel,
        crease=crease,
        inside=1 - smoothstep(0.98, 1.22, np.abs(x)),
        skin=(skin + cv2.resize(grain, skin.shape[1::-1], interpolation=cv2.INTER_LINEAR)).astype(np.float32),
        open_eye=np.ascontiguousarray(canvas[top : bottom + 1, left : right + 1]),
        lash=_lash_colour(canvas, landmarks, unit, indices),
    )


def _skin_around(
    canvas: NDArray[np.uint8], frame: _EyeFrame, indices: EyeIndices, brow: float, unit: float
) -> tuple[Array, Array]:
    """Colours of the skin above and below the eye along it, smoothed; float32 (COLUMNS, 3) each."""
    along = np.linspace(-SKIN_REACH, SKIN_REACH, COLUMNS, dtype=np.float32)
    upper, lower = frame.contour(indices.upper, along), frame.contour(indices.lower, along)
    free = np.minimum(upper - brow, 0.30 * unit)
    strips = (
        (upper - 0.85 * free, upper - np.minimum(0.06 * unit, 0.4 * free)),
        (lower + 0.05 * unit, lower + 0.12 * unit),
    )
    found = []
    for first, last in strips:
        spread = np.linspace(0, 1, 7, dtype=np.float32)[:, None]
        y = (first + (last - first) * spread).astype(np.float32)
        middle = np.median(remap(canvas, frame.canvas(np.broadcast_to(along, y.shape), y)), 0)
        smooth = np.stack([gaussian_smooth(middle[:, channel], 6.0) for channel in range(3)], -1)
        found.append((0.7 * smooth + 0.3 * np.median(middle, 0)).astype(np.float32))
    return found[0], found[1]


def _grain(canvas: NDArray[np.uint8], landmarks: Array, unit: float) -> Array:
    """Fine texture of the cheek's skin, around zero, of about an eye's size; float32 (h, w, 3)."""
    sizes, (x, y) = canvas.shape[1::-1], landmarks[list(anatomy.CHEEKS[0]), :2].mean(0)
    width, height = max(8, int(0.34 * unit)), max(6, int(0.2 * unit))
    left, top = (
        int(np.clip(v - n / 2, 0, size - n)) for v, n, size in zip((x, y), (width, height), sizes, strict=True)
    )
    patch = canvas[top : top + height, left : left + width].astype(np.float32)
    fine = patch - cv2.GaussianBlur(patch, (0, 0), 0.03 * unit)
    return np.asarray(np.clip(fine, -12, 12), np.float32)


def _lash_colour(canvas: NDArray[np.uint8], landmarks: Array, unit: float, indices: EyeIndices) -> Array:
    reach, size, darkest = max(1, int(0.03 * unit)), np.array(canvas.shape[1::-1]), []
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
    here = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)

    def shifted(picture: NDArray[Scalar], by: Array) -> Array:
        return remap(picture, here + by[..., None] * eye.down).astype(np.float32)

    colour = shifted(eye.skin, eye.travel * np.float32(1 - blink))
    # The photo's own lashes ride on the margin; as they turn downwards, less of them is seen above it.
    lash_band = smoothstep(-LASH_BAND * unit, -0.35 * LASH_BAND * unit, below) * np.float32(1 - 0.6 * blink)
    own = shifted(eye.open_eye, eye.travel * np.float32(-blink))
    colour += (own - colour) * lash_band[..., None]
    soft = max(0.5, 0.006 * unit)
    from_crease = eye.y - (eye.margin - eye.crease)
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
