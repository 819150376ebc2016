"""The eyes: lids that come down or rise, over eyeballs that look about.

Up to a heavy lid the photo's own skin is moved, its lashes unstretched; further down that would smear
make-up over the eye, so the lid of a blink is painted once from the skin above and below with the grain
of the cheek. All of it is drawn straight from pictures of the texture's resolution, read once.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.anatomy import EyeIndices
from avatarctl.engines.puppet.eyeball import Ball, build_ball, fill, look
from avatarctl.engines.puppet.framing import TEXTURE_SCALE
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, gaussian_smooth, monotone_cubic, sigmoid, smoothstep

COLUMNS = 49
"""Places along the eye where the skin's colour is taken."""
SKIN_REACH = 1.15
"""How far to either side it is taken, in half widths of the eye."""
ABOVE_LASHES = 0.09
"""The painted lid begins this far above the lid's margin, u: lashes and liner lie below."""
LASH_BAND = 0.065
"""Height above the margin of what goes down with it, u."""
OWN_SKIN = 0.22
"""Height above the margin of the skin that stretches behind it, u, if the brow leaves as much."""
SHARP = 1.3
"""Blur of a sharp photo's edges, sigma in canvas pixels."""
REACH = 1.22
"""How far beyond its corners an eye's lids change, in half widths."""
TRAVEL = 0.9
"""Part of the eye's opening that the upper lid covers; the lower one rises by the rest."""
LID_FOLLOWS = 0.011
"""How far the upper lid goes with the eyes, in openings of the eye a degree."""
ONSET = 0.04
"""Of the lid's way, within which the photo's skin gives way to the lid's, which has no frame over it."""
HIGHEST, LOWEST = -0.35, 0.6
"""Of the upper lid beside blinks, in openings of the eye."""


@dataclass(frozen=True)
class Eye:
    """One eye in a box of the canvas; pictures are of the texture's resolution, (h, w).

    `blur`: of the photo's edges beyond a sharp one's, sigma in canvas pixels. `down`: unit vector of the
    image, from the upper lid to the lower. `places`: float32 (h, w, 4), canvas pixels but for the third:
    distance below the margin of the open upper lid; height of the opening; place along the eye, -1 and 1
    at its corners; height of the skin above the margin that moves with the lid.
    `skin`: the closed lid, RGB uint8 (h, w, 3). `own`: the photo without what lies over the eye, likewise.
    `cover`: uint8 (h, w), 255 where a frame or its glare lies over the eye. `lash`: colour, float32 (3,).
    """

    left: int
    top: int
    unit: float
    blur: float
    down: Array
    places: Array
    skin: NDArray[np.uint8]
    own: NDArray[np.uint8]
    cover: NDArray[np.uint8]
    lash: Array
    ball: Ball


def build_eyes(
    canvas: NDArray[np.uint8], texture: NDArray[np.uint8], landmarks: Array, unit: float, cover: Array
) -> tuple[Eye, ...]:
    """Both eyes, the image's left one first; `landmarks`: float32 (478, 3), canvas pixels; `cover`: as of
    `glasses.find`."""
    grain = _grain(texture, (landmarks + 0.5) * TEXTURE_SCALE - 0.5, unit * TEXTURE_SCALE)
    return tuple(_build(canvas, texture, landmarks, unit, indices, grain, cover) for indices in anatomy.EYES)


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


def _build(
    canvas: NDArray[np.uint8],
    texture: NDArray[np.uint8],
    landmarks: Array,
    unit: float,
    indices: EyeIndices,
    grain: Array,
    cover: Array,
) -> Eye:
    rows, columns = canvas.shape[:2]
    frame = _EyeFrame(landmarks, indices)
    x, y = (v.ravel() for v in np.meshgrid((-REACH, REACH), _heights(frame, landmarks, indices, unit)))
    corners = frame.canvas(x.astype(np.float32), y.astype(np.float32))
    left, top = (int(v) for v in np.clip(np.floor(corners.min(0)), 0, (columns - 1, rows - 1)))
    right, bottom = (int(v) for v in np.clip(np.ceil(corners.max(0)), 0, (columns - 1, rows - 1)))
    height, width = (TEXTURE_SCALE * (n + 1) for n in (bottom - top, right - left))
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    at = (np.stack([across, down], -1) + 0.5) / TEXTURE_SCALE - 0.5 + (left, top)
    x, y = frame.local(at.astype(np.float32))
    upper, lower = frame.contour(indices.upper, x), frame.contour(indices.lower, x)
    opening = np.maximum(lower - upper, 0)
    brow = float(np.median(frame.local(landmarks[list(indices.brow_bottom), :2])[1]))
    reach = np.clip(0.85 * (upper - brow), 0.06 * unit, OWN_SKIN * unit)
    places = np.stack([y - upper, opening, x, reach], -1).astype(np.float32)

    above, under = _skin_around(canvas, frame, indices, brow, unit)
    place = (np.clip((x / SKIN_REACH + 1) / 2, 0, 1) * (COLUMNS - 1)).astype(np.float32)
    on_row = np.stack([place, np.zeros_like(place)], -1)
    begin = upper - np.minimum(ABOVE_LASHES * unit, 0.8 * reach)
    t = np.clip((y - begin) / np.maximum(upper + TRAVEL * opening - begin, 1), 0, 1)[..., None]
    roundness = 1 + 0.05 * np.sin(np.pi * t) - 0.08 * np.exp(-t / 0.12) - 0.10 * t**6
    skin = (remap(above[None], on_row) * (1 - t) + remap(under[None], on_row) * t) * roundness
    skin += np.pad(grain, ((0, height), (0, width), (0, 0)), "symmetric")[:height, :width]
    part = np.s_[TEXTURE_SCALE * top :, TEXTURE_SCALE * left :]
    photo = np.ascontiguousarray(texture[part][:height, :width])
    lies_over = np.ascontiguousarray(cover[top : bottom + 1, left : right + 1])
    over = np.asarray(cv2.resize(lies_over, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    iris = landmarks[list(indices.iris), :2]
    origin = np.array([left, top], np.float32) - np.float32(0.5)
    return Eye(
        left=left,
        top=top,
        unit=unit,
        blur=_blur(photo),
        down=frame.down,
        places=places,
        skin=np.clip(skin + 0.5, 0, 255).astype(np.uint8),
        own=_uncovered(photo, over, unit),
        cover=np.clip(255 * over + 0.5, 0, 255).astype(np.uint8),
        lash=_lash_colour(canvas, landmarks, unit, indices),
        ball=build_ball(
            photo,
            places,
            (iris - origin) * TEXTURE_SCALE - np.float32(0.5),
            unit * TEXTURE_SCALE,
            2 * frame.half,
        ),
    )


def _heights(frame: _EyeFrame, landmarks: Array, indices: EyeIndices, unit: float) -> tuple[float, float]:
    """From above what a lid moves to below the eye, pixels across it."""
    y = frame.local(landmarks[list(indices.upper + indices.lower), :2])[1]
    return float(y.min()) - (OWN_SKIN + 0.01) * unit, float(y.max()) + 0.07 * unit


def _blur(photo: NDArray[np.uint8]) -> float:
    """From the steepest edge: a step of height a, blurred by sigma, has the slope a / (sigma sqrt(2 pi))."""
    light = photo.astype(np.float32).mean(-1)
    slope = np.hypot(*np.gradient(light))
    height = float(np.percentile(light, 99) - np.percentile(light, 1))
    sigma = height / (2.5 * max(float(np.percentile(slope, 99.5)), 1e-3)) / TEXTURE_SCALE
    return float(np.clip(sigma - SHARP, 0, 4))


def _uncovered(photo: NDArray[np.uint8], over: Array, unit: float) -> NDArray[np.uint8]:
    """The photo with skin where something lies over it, so that a lid does not drag that along."""
    if not (over > 0.02).any():
        return photo
    filled = fill(photo.astype(np.float32), (over < 0.02).astype(np.float32), 0.02 * unit * TEXTURE_SCALE)
    weight = smoothstep(0, 0.3, over)[..., None]
    return np.clip(photo * (1 - weight) + filled * weight + 0.5, 0, 255).astype(np.uint8)


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
        smooth = np.stack([gaussian_smooth(middle[:, channel], 9.0) for channel in range(3)], -1)
        found.append((0.6 * smooth + 0.4 * np.median(middle, 0)).astype(np.float32))
    return found[0], found[1]


def _grain(canvas: NDArray[np.uint8], landmarks: Array, unit: float) -> Array:
    """Fine texture of the cheek's skin, around zero, of about an eye's size; float32 (h, w, 3)."""
    size, (x, y) = canvas.shape[1::-1], landmarks[list(anatomy.CHEEKS[0]), :2].mean(0)
    width, height = max(8, int(0.34 * unit)), max(6, int(0.2 * unit))
    left, top = (int(np.clip(v - n / 2, 0, m - n)) for v, n, m in zip((x, y), (width, height), size, strict=True))
    patch = canvas[top : top + height, left : left + width].astype(np.float32)
    fine = patch - cv2.GaussianBlur(patch, (0, 0), 0.03 * unit)
    return np.asarray(np.clip(fine, -12, 12), np.float32)


def _lash_colour(canvas: NDArray[np.uint8], landmarks: Array, unit: float, indices: EyeIndices) -> Array:
    reach, darkest = max(1, int(0.03 * unit)), []
    last = np.array(canvas.shape[1::-1]) - 1 - reach
    for x, y in landmarks[list(indices.upper[2:-2]), :2].astype(int):
        x, y = np.clip((x, y), reach, last)
        around = canvas[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3).astype(np.float32)
        order = np.argsort(around.sum(1), kind="stable")
        darkest.append(around[order[: max(2, len(around) // 6)]].mean(0))
    return np.asarray(np.median(np.array(darkest), 0), np.float32)


def closure(lid: float, gaze_y: float, blink: float) -> float:
    """How far the upper lid is from the photo's to the closed one's place, 1 is closed, below 0 wide open."""
    rest = min(max(lid + LID_FOLLOWS * gaze_y, HIGHEST), LOWEST)
    return rest + (1 - rest) * blink


def draw(eye: Eye, under: NDArray[np.uint8], place: Array, closed: float, gaze: tuple[float, float]) -> Array:
    """One eye over what is there.

    Args:
        eye: the eye.
        under: RGB uint8 (h, w, 3), a part of the picture.
        place: where in the eye's box each of its pixels shows, float32 (h, w, 2), texture pixels.
        closed: of `closure`.
        gaze: degrees to image right and down.

    Returns:
        RGB float32 (h, w, 3).
    """
    unit = eye.unit
    places = remap(eye.places, place)
    below, opening, x, reach = (np.ascontiguousarray(places[..., i]) for i in range(4))
    inside = 1 - smoothstep(0.98, REACH, np.abs(x))
    fall = np.asarray(np.float32(TRAVEL * closed) * opening, np.float32)
    under_margin = np.asarray(below - fall, np.float32)
    lid_side = sigmoid(-under_margin / np.float32(0.7 * max(0.5, 0.006 * unit, 0.7 * eye.blur)))
    picture = look(eye.ball, under.astype(np.float32), place, (below, under_margin, opening, x), gaze, unit)
    if closed:
        colour = _lid(eye, place, closed, (below, fall, opening, reach))
        onset = smoothstep(0, ONSET, abs(closed))
        risen = smoothstep(-1, -0.85, under_margin / (reach + fall)) * inside * lid_side * onset
        picture += (colour - picture) * risen[..., None]
        thin = 0.015 * unit * (1 - 0.6 * np.clip(np.abs(x), 0, 1) ** 2)
        thickness = np.sqrt(thin * thin + 2 * eye.blur**2)
        line = np.exp(-((under_margin / thickness) ** 2)) * np.sqrt(thin / thickness)
        # Lashes hang a little below the margin of a closing lid.
        fringe = 0.45 * np.exp(-np.clip(under_margin, 0, None) / (0.022 * unit + eye.blur)) * (under_margin > 0)
        ends = 1 - np.clip(np.abs(x) / 1.02, 0, 1) ** 6
        lashes = np.maximum(line, fringe) * ends * (0.75 * smoothstep(0.15, 0.6, closed))
        picture += (eye.lash - picture) * lashes[..., None]
    if eye.cover.any():
        cover = remap(eye.cover, place).astype(np.float32)[..., None] * np.float32(1 / 255)
        picture += (under - picture) * cover
    return picture


def _lid(eye: Eye, place: Array, closed: float, at: tuple[Array, Array, Array, Array]) -> Array:
    """Colours of the lid, own skin and painted one; float32 (h, w, 3)."""
    below, fall, opening, reach = at
    band = np.minimum(np.float32(LASH_BAND * eye.unit), 0.5 * reach)
    # The lashes' band moves as a whole; above it the skin stretches, or is pressed together.
    t = np.clip((below + reach) / np.maximum(fall - band + reach, 1), 0, 1)
    moved = fall * t * t * (2 - t)
    down = eye.down * np.float32(TEXTURE_SCALE)
    own = remap(eye.own, place - moved[..., None] * down).astype(np.float32)
    painted = float(smoothstep(0.15, 0.65, closed))
    if painted == 0:
        return own
    shift = np.float32(TRAVEL) * opening - fall
    colour = remap(eye.skin, place + shift[..., None] * down).astype(np.float32)
    crease = np.minimum(np.float32(ABOVE_LASHES * eye.unit), 0.8 * reach)
    unit = np.float32(eye.unit)
    onset = smoothstep(-0.015 * unit, 0.05 * unit, below + crease)
    lash_band = smoothstep(-LASH_BAND * unit, -0.35 * LASH_BAND * unit, below - fall) * np.float32(1 - 0.6 * painted)
    return np.asarray(own + (colour - own) * (onset * (1 - lash_band) * painted)[..., None], np.float32)
