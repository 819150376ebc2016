"""The eyes as `lids` and `eyeball` draw them: made of the photo once, with pictures of the texture's resolution.

Stretched further than a heavy lid's, the photo's skin would smear make-up over the eye, so the lid of a blink is
painted once: tones of the skin above and below, and its grain. An eye that the photo hides or shows closed stays
as it is, and a line drawing gets a plain lid with one line.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.facemesh import quality
from avatarctl.engines.facemesh.judgement import LIDS_OPEN, eyes_seen
from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.anatomy import EyeIndices
from avatarctl.engines.puppet.eyeball import Ball, build_ball, fill
from avatarctl.engines.puppet.framing import TEXTURE_SCALE
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, gaussian_smooth, monotone_cubic, smoothstep

COLUMNS = 49
"""Places along the eye where the skin's colour is taken."""
SKIN_REACH = 1.15
"""How far to either side it is taken, in half widths of the eye."""
ABOVE_LASHES = 0.09
"""The painted lid begins this far above the lid's margin, u: lashes and liner lie below."""
OWN_SKIN = 0.22
"""Height above the margin of the skin that stretches behind it, u, if the brow leaves as much."""
LEAST_LIGHT = 0.88
"""Of the lid against the skin below the eye."""
BARE_LIGHT = 1.2
"""Of the skin beyond the eye's outer corner, at most, in lights of the lid."""
GRAIN = 0.07
"""What is finer than this is the skin's grain, sigma in u."""
SHARP = 1.3
"""Blur of a sharp photo's edges, sigma in canvas pixels."""
REACH, WING_REACH = 1.22, 1.62
"""How far beyond its corners an eye's lids change, and lashes may stand out, in half widths."""
EDGE = 0.02
"""Width of the border within which an eye's box gives way to the picture around it, u."""
WINK = 0.6
"""An eye that the photo shows closed is open less than this part of the other one, however narrow both are drawn."""
TRAVEL = 0.9
"""Part of the eye's opening that the upper lid covers; the lower one rises by the rest."""
PAPER, LINES, COLOUR = 0.5, 0.2, 16
"""A line drawing: more than PAPER of the face is as bright as its paper, less than LINES of it between that and the
lines, and nearly nothing more colourful than COLOUR of 255. Sketches and ink: 0.57 to 0.66, 0.07 to 0.17 and 0; photos
0.03 to 0.5, 0.19 to 0.8; burnt out ones have the tones of drawings, but colour. (tests/quality/variants.py)"""


@dataclass(frozen=True)
class Eye:
    """One eye in a box of the canvas; pictures are of the texture's resolution, (h, w).

    `blur`: of the photo's edges beyond a sharp one's, sigma in canvas pixels. `down`: unit vector of the
    image, from the upper lid to the lower. `places`: float32 (h, w, 4), canvas pixels but for the third:
    distance below the margin of the open upper lid; height of the opening; place along the eye, -1 and 1
    at its corners; height of the skin above the margin that moves with the lid.
    `skin`: the closed lid, RGB uint8 (h, w, 3). `own`: the photo without what lies over the eye, likewise.
    `masks`: uint8 (h, w, 4): how far a place is of the painted lid, can be of the eyeball, has a frame or its glare
    over it, is within the box: 0 along its border, so that what lies outside reads as none of it. `framed`: whether any
    place has a frame over it. `drawn`: with a pen. `lash`: colour, float32 (3,).
    """

    left: int
    top: int
    unit: float
    blur: float
    down: Array
    places: Array
    skin: NDArray[np.uint8]
    own: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    framed: bool
    drawn: bool
    lash: Array
    ball: Ball


def build_eyes(
    canvas: NDArray[np.uint8], texture: NDArray[np.uint8], landmarks: Array, unit: float, cover: Array
) -> tuple[Eye, ...]:
    """The eyes that can be moved, the image's left one first: neither hidden nor closed, as enrolment judges them.

    `landmarks`: float32 (478, 3), canvas pixels; `cover`: as of `glasses.find`."""
    face = Landmarks(landmarks, 1.0)
    seen = quality.features(canvas, face)
    paper = _paper(canvas, face)
    wider = max(seen.lids)
    least = min(LIDS_OPEN, WINK * wider) if wider >= LIDS_OPEN else LIDS_OPEN
    grain = _grain(texture, (landmarks[list(anatomy.SKIN), :2] + 0.5) * TEXTURE_SCALE, unit * TEXTURE_SCALE)
    return tuple(
        _build(canvas, texture, landmarks, unit, indices, grain, cover, paper)
        for indices, shown, opening in zip(anatomy.EYES, eyes_seen(seen), seen.lids, strict=True)
        if shown and opening >= least
    )


def _paper(canvas: NDArray[np.uint8], face: Landmarks) -> Array | None:
    """The colour of the paper that a face is drawn on with lines only, float32 (3,); None of any other picture."""
    oval = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(oval, [np.rint(face.xy[list(mesh.FACE_OVAL)]).astype(np.int32)], 1)
    inside = canvas[oval > 0].astype(np.float32)
    if not len(inside):
        return None
    light = inside.mean(-1)
    low, bright, high = np.percentile(light, (1, 90, 99))
    blank = np.abs(light - bright) < 6
    between = (light > low + 0.2 * (high - low)) & (light < low + 0.8 * (high - low))
    colour = float(np.percentile(np.ptp(inside, -1), 95))
    if float(blank.mean()) < PAPER or float(between.mean()) > LINES or colour > COLOUR:
        return None
    return np.asarray(np.median(inside[blank], 0), np.float32)


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
    paper: Array | None,
) -> Eye:
    rows, columns = canvas.shape[:2]
    frame = _EyeFrame(landmarks, indices)
    ends = (-WING_REACH, REACH) if indices is anatomy.EYES[0] else (-REACH, WING_REACH)
    x, y = (v.ravel() for v in np.meshgrid(ends, _heights(frame, landmarks, indices, unit)))
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

    part = np.s_[TEXTURE_SCALE * top :, TEXTURE_SCALE * left :]
    photo = np.ascontiguousarray(texture[part][:height, :width])
    lies_over = np.ascontiguousarray(cover[top : bottom + 1, left : right + 1])
    over = np.asarray(cv2.resize(lies_over, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    own = _uncovered(photo, over, unit)
    crease = np.minimum(ABOVE_LASHES * unit, 0.8 * reach)
    lid = smoothstep(-0.015 * unit, 0.05 * unit, y - upper + crease)
    above, under = _skin_around(canvas, frame, indices, brow, unit, cover)
    place = (np.clip((x / SKIN_REACH + 1) / 2, 0, 1) * (COLUMNS - 1)).astype(np.float32)
    on_row = np.stack([place, np.zeros_like(place)], -1)
    inside = 1 - smoothstep(0.98, REACH, np.abs(x))
    if paper is not None:
        skin = np.broadcast_to(paper, own.shape).astype(np.float32)
        inside, lid = (np.abs(x) < 1.04).astype(np.float32), (y - upper + crease > 0).astype(np.float32)
        wing = np.zeros_like(lid)
    else:
        t = np.clip((y - upper + crease) / np.maximum(TRAVEL * opening + crease, 1), 0, 1)[..., None]
        roundness = 1 + 0.05 * np.sin(np.pi * t) - 0.06 * np.exp(-t / 0.12) - 0.08 * t**6
        skin = (remap(above[None], on_row) * (1 - t) + remap(under[None], on_row) * t) * roundness
        outwards = np.float32(-1 if indices is anatomy.EYES[0] else 1)
        wing, bare = _wing(own, skin, places, unit, outwards)
        inside = np.maximum(inside, wing)
        skin += (bare - skin) * np.maximum(1 - lid, wing)[..., None]
        # Past the outer corner only what lashes darken is painted.
        lid = lid * (1 - smoothstep(0.94, 1.12, outwards * x))
        skin += np.pad(grain, ((0, height), (0, width), (0, 0)), "symmetric")[:height, :width] * skin.mean(
            -1, keepdims=True
        )
    near = (places[..., 0] > -0.4 * opening - 0.03 * unit) & (places[..., 0] < opening + 0.08 * unit)
    masks = (
        np.maximum(lid, wing) * inside,
        (1 - smoothstep(0.92, 1.04, np.abs(x))) * near,
        over,
        smoothstep(0.0, EDGE * unit * TEXTURE_SCALE, _to_border(height, width)),
    )
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
        own=own,
        masks=np.clip(255 * np.dstack(masks) + 0.5, 0, 255).astype(np.uint8),
        framed=bool(over.any()),
        drawn=paper is not None,
        lash=_lash_colour(canvas, landmarks, unit, indices),
        ball=build_ball(
            photo,
            places,
            (iris - origin) * TEXTURE_SCALE - np.float32(0.5),
            unit * TEXTURE_SCALE,
            2 * frame.half,
        ),
    )


def _to_border(height: int, width: int) -> Array:
    """How far each pixel is from the border of a picture, whose own pixels are at 0; float32 (height, width)."""
    down, across = (np.minimum(n := np.arange(length, dtype=np.float32), n[::-1]) for length in (height, width))
    return np.minimum(down[:, None], across[None])


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


def _wing(
    own: NDArray[np.uint8], skin: NDArray[np.floating], places: Array, unit: float, outwards: np.float32
) -> tuple[Array, Array]:
    """Lashes that stand out above the outer corner, which no painted lid would cover: how far each place is of them,
    float32 (h, w), and the skin without them, float32 (h, w, 3)."""
    colour = own.astype(np.float32)
    below, x, reach = places[..., 0], places[..., 2] * outwards, places[..., 3]
    at_corner = smoothstep(0.4, 0.7, x) * (1 - smoothstep(1.42, WING_REACH, x)) * smoothstep(-0.9, -0.7, below / reach)
    # Lashes are narrow: beside them is skin, which may lie in the shadow of the temple.
    across = 2 * max(1, round(0.08 * unit * TEXTURE_SCALE)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    light = cv2.GaussianBlur(colour.mean(-1), (0, 0), 0.008 * unit * TEXTURE_SCALE)
    beside = np.minimum(cv2.morphologyEx(light, cv2.MORPH_CLOSE, disc), np.maximum(skin.mean(-1), 1))
    dark = (light < 0.90 * beside).astype(np.uint8)
    size = 2 * max(1, round(0.02 * unit * TEXTURE_SCALE)) + 1
    dark = np.asarray(cv2.dilate(dark, np.ones((size, size), np.uint8)), np.uint8)
    skin_seen = ((below < -0.04 * unit) | (x > 1.05)) & (dark == 0)
    bare = fill(colour, skin_seen.astype(np.float32), 0.012 * unit * TEXTURE_SCALE)
    # What is seen beside tinted glasses is not the skin behind them.
    bare *= np.minimum(1, BARE_LIGHT * (skin.mean(-1) + 1) / (bare.mean(-1) + 1))[..., None]
    soft = cv2.GaussianBlur(dark.astype(np.float32), (0, 0), 0.025 * unit * TEXTURE_SCALE)
    # On the lid they go down with the margin; at the corner, where they would be left in a clump, they go.
    end = smoothstep(0.80, 0.95, x)
    standing = 1 - smoothstep(-0.08 * unit * (1 - end), 0.06 * unit * end, below)
    return np.asarray(soft * at_corner * standing, np.float32), bare


def _skin_around(
    canvas: NDArray[np.uint8], frame: _EyeFrame, indices: EyeIndices, brow: float, unit: float, cover: Array
) -> tuple[Array, Array]:
    """Colours of the skin above and below the eye along it, smoothed; float32 (COLUMNS, 3) each.

    Of every column the brighter places, since what is darker is brow, lash, fold or shadow; none under a frame.
    """
    along = np.linspace(-SKIN_REACH, SKIN_REACH, COLUMNS, dtype=np.float32)
    upper, lower = frame.contour(indices.upper, along), frame.contour(indices.lower, along)
    free = np.minimum(upper - brow, 0.30 * unit)
    strips = (
        (upper - 0.85 * free, upper - np.minimum(0.06 * unit, 0.4 * free)),
        (lower + 0.05 * unit, lower + 0.14 * unit),
    )
    calm = np.asarray(cv2.GaussianBlur(canvas, (0, 0), max(0.5, 0.02 * unit)), np.uint8)
    found = []
    for first, last in strips:
        spread = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
        y = (first + (last - first) * spread).astype(np.float32)
        places = frame.canvas(np.broadcast_to(along, y.shape), y)
        colours = remap(calm, places).astype(np.float32)
        free_of_frame = remap(cover, places) < 0.02
        light = np.where(free_of_frame, colours.sum(-1), -1)
        order = np.argsort(-light, axis=0, kind="stable")[1:4]
        known = np.take_along_axis(free_of_frame, order, 0).all(0)
        column = np.take_along_axis(colours, order[..., None], 0).mean(0)
        if known.any():
            spots = np.flatnonzero(known)
            column = np.stack([np.interp(np.arange(COLUMNS), spots, column[spots, c]) for c in range(3)], -1)
        smooth = np.stack([gaussian_smooth(column[:, channel], 5.0) for channel in range(3)], -1)
        found.append((0.75 * smooth + 0.25 * np.median(column, 0)).astype(np.float32))
    # Deep-set eyes, brows and frames darken all that is above some eyes.
    return np.maximum(found[0], np.float32(LEAST_LIGHT) * found[1]), found[1]


def _grain(texture: NDArray[np.uint8], points: Array, unit: float) -> Array:
    """Fine texture of the skin, of about an eye's size: pores, wrinkles, noise, traces of JPEG; around zero, in parts
    of the light there, float32 (h, w, 3). Taken at one of the `points` that are calm, where the least stands out of
    it: a hair or the rim of glasses would be seen on the lids, and mirrored there."""
    size = texture.shape[1::-1]
    width, height = (min(n, m) for n, m in zip((max(8, int(0.34 * unit)), max(6, int(0.24 * unit))), size, strict=True))
    found, lights = [], []
    for x, y in points:
        left, top = (int(np.clip(v - n / 2, 0, m - n)) for v, n, m in zip((x, y), (width, height), size, strict=True))
        patch = texture[top : top + height, left : left + width].astype(np.float32)
        fine = patch - cv2.GaussianBlur(patch, (0, 0), GRAIN * unit)
        found.append(fine - fine.mean(0) - fine.mean(1)[:, None] + fine.mean((0, 1)))
        lights.append(max(float(patch.mean()), 8.0))
    # Over the light: else the calmest were whatever lies in the shade, hair and the shadow's edge among it.
    strength = [float(np.abs(fine).mean()) / light for fine, light in zip(found, lights, strict=True)]
    calm = [n for n, strong in enumerate(strength) if strong <= np.median(strength)]
    usual = {n: 1.4826 * float(np.median(np.abs(found[n]))) for n in calm}
    best = min(calm, key=lambda n: float(np.percentile(np.abs(found[n]), 99.5)) / max(usual[n], 0.5))
    return np.asarray(np.clip(found[best], -3 * usual[best], 3 * usual[best]) / lights[best], np.float32)


def _lash_colour(canvas: NDArray[np.uint8], landmarks: Array, unit: float, indices: EyeIndices) -> Array:
    reach, darkest = max(1, int(0.03 * unit)), []
    last = np.array(canvas.shape[1::-1]) - 1 - reach
    for x, y in landmarks[list(indices.upper[2:-2]), :2].astype(int):
        x, y = np.clip((x, y), reach, last)
        around = canvas[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3).astype(np.float32)
        order = np.argsort(around.sum(1), kind="stable")
        darkest.append(around[order[: max(2, len(around) // 6)]].mean(0))
    return np.asarray(np.median(np.array(darkest), 0), np.float32)
