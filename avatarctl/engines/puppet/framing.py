"""From a photo to the film's canvas, and to the double-size texture that the renderer samples.

Sampling a picture 1:1 makes its sharpness breathe with every sub-pixel motion. So the texture has two pixels per
pixel of the canvas, made such that reading it at rest (see `texture`) gives the canvas back (iterative
back-projection, Irani and Peleg 1991).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.smooth import Array, smoothstep
from avatarctl.engines.puppet.texture import at_half_size
from avatarctl.errors import BadInput

TEXTURE_SCALE = 2
"""Texture pixels per canvas pixel."""
LARGEST_FACE = 0.62
"""Of the canvas's shorter side: how close the frame may come in order to stay inside a photo that can be continued."""
CLOSEST_FACE = 0.85
"""The same where it cannot be: rather a close face than a smear around it. The chin still has room to drop."""
EYE_LEVEL, UPRIGHT_EYE_LEVEL = 0.44, 0.38
"""Height of the eyes in the frame, 0 top .. 1 bottom; the second in a frame that is higher than wide."""
LOWEST_EYES = 0.47
"""How low an upright frame may let them sink, so as not to reach below the photo."""
ABOVE_HEAD = 0.03
"""Air that is kept above the head, in heights of the frame."""
BLURS = (0.006, 0.02, 0.05)
"""Of what lies beyond a photo, sigma in shorter sides of the frame, one over the other, each from twice as far from its
border as the one before: what is sharp there dissolves."""
MIRRORED = 0.03
"""How deep into a photo its continuation looks, sides of the frame: any deeper, a hat's emblem would show twice."""
FAR, WIDE, LONG, DIMMED = 0.3, 0.26, 0.1, 0.85
"""Sides of the frame from which on there is but a calm light: its sigma across and down, and its brightness. What
lies beside a face is of many colours, and each would draw a stripe down to the frame's border."""
BACK_PROJECTIONS = 2
CALM, RESTORED_CALM = 0.6, 0.8
"""Blur of a texture that is finer than the canvas, and of one that was restored; its own pixels."""


@dataclass(frozen=True)
class Outline:
    """What framing has to know of a person who was cut out of the photo: `top`, y of the head's highest point;
    whether the person is cut off by the photo's top and sides."""

    top: float
    cut_above: bool
    cut_aside: bool


@dataclass(frozen=True)
class View:
    """A part of the photo that becomes the canvas: `left`, `top`, `width`, `height` in pixels of the photo,
    beyond whose borders it may reach; `columns`, `rows`: of the canvas."""

    left: int
    top: int
    width: int
    height: int
    columns: int
    rows: int

    @property
    def scale(self) -> float:
        """Pixels of the canvas per pixel of the photo."""
        return self.rows / self.height

    def margins(self, photo: NDArray[np.uint8]) -> tuple[int, int, int, int]:
        """How far it reaches beyond the photo: above, below, to the left and to the right; photo pixels."""
        height, width = photo.shape[:2]
        beyond = -self.top, self.top + self.height - height, -self.left, self.left + self.width - width
        above, below, left, right = (max(0, m) for m in beyond)
        return above, below, left, right

    def larger(self, times: int) -> View:
        """The same part of the same photo, made `times` larger."""
        return View(
            self.left * times, self.top * times, self.width * times, self.height * times, self.columns, self.rows
        )

    def points(self, landmarks: Array) -> Array:
        """Landmarks of the photo, float32 (n, 3), in pixels of the canvas."""
        placed = landmarks.astype(np.float32) * np.float32(self.scale)
        placed[:, :2] = (landmarks[:, :2] - (self.left - 0.5, self.top - 0.5)) * self.scale - 0.5
        return placed

    def from_canvas(self, scale: float, texture_scale: int) -> NDArray[np.float64]:
        """Affine map, float64 (2, 3), from texture pixels to those of a photo that was scaled by `scale`."""
        step = scale / (self.scale * texture_scale)
        first = 0.5 * step - 0.5
        return np.array([[step, 0, self.left * scale + first], [0, step, self.top * scale + first]])


def view(
    photo: NDArray[np.uint8],
    landmarks: Array,
    width: int,
    height: int,
    face_fraction: float,
    outline: Outline | None = None,
) -> View:
    """Where the film looks.

    The view stays inside the photo when it can, coming closer to the face if that is enough; where it cannot, it shows
    all of the photo. With an outline it may reach over the photo's borders where only background lies there; never
    below it, if the head still fits in.

    Args:
        photo: RGB uint8 (height, width, 3).
        landmarks: float32 (478, 3), photo pixels.
        width, height: of the canvas, pixels.
        face_fraction: height of the face in shorter sides of the canvas.
        outline: of the person, if the photo can be continued behind them.
    """
    rows, columns = photo.shape[:2]
    shorter = min(width, height)
    across, down = width / shorter, height / shorter
    face = float(np.linalg.norm(landmarks[mesh.FOREHEAD, :2] - landmarks[mesh.CHIN, :2]))
    centre = float(landmarks[list(mesh.FACE_OVAL), 0].mean())
    eyes = float(landmarks[[i for eye in anatomy.EYES for i in eye.corners], 1].mean())
    level = UPRIGHT_EYE_LEVEL if height > width else EYE_LEVEL
    side, closest = face / face_fraction, face / (CLOSEST_FACE if outline is None else LARGEST_FACE)
    room = min(columns / across, rows / down)
    if side > room:
        if outline is None or width == height:
            side = max(room, closest)
        else:
            lowest = LOWEST_EYES if height > width else level
            fitting = (rows - eyes) / (1 - lowest) / down
            if outline.cut_aside:
                fitting = min(fitting, columns / across)
            if outline.cut_above:
                fitting = min(fitting, rows / down)
            head = (eyes - max(0.0, outline.top)) / (lowest - ABOVE_HEAD) / down
            side = min(side, max(fitting, closest, head))
    high = max(16, round(side * down))
    wide = high if width == height else max(16, round(high * width / height))
    left, top = round(centre - wide / 2), round(eyes - level * high)
    if wide <= columns:
        left = min(max(left, 0), columns - wide)
    elif outline is None:
        left = min(max(left, columns - wide), 0)
    if outline is not None and width != height and not outline.cut_above:
        top = min(top, rows - high)
    elif high <= rows:
        top = min(max(top, 0), rows - high)
    elif outline is None:
        top = min(max(top, rows - high), 0)
    return View(left, top, wide, high, width, height)


@dataclass(frozen=True)
class Framed:
    """A framed photo. `canvas`: RGB uint8 (height, width, 3). `texture`: RGB uint8 (2 height, 2 width, 3).
    `landmarks`: float32 (478, 3), canvas pixels."""

    canvas: NDArray[np.uint8]
    texture: NDArray[np.uint8]
    landmarks: Array


def frame(photo: NDArray[np.uint8], landmarks: Array, seen: View, detailed: NDArray[np.uint8] | None = None) -> Framed:
    """Cut the view out of the photo and scale it to the canvas.

    What lies beyond the photo's border is continued by blurred colours: mirroring would show a second face.

    Args:
        photo: RGB uint8 (height, width, 3).
        landmarks: float32 (478, 3), photo pixels.
        seen: where to cut.
        detailed: the photo again, a whole number of times larger; taken where the photo alone has fewer
            pixels than the texture.

    Raises:
        BadInput: `detailed` is not the photo made larger.
    """
    times = _times_larger(photo, detailed) if seen.height < seen.rows * TEXTURE_SCALE else 1
    if detailed is None or times == 1:
        part = _cut(photo, landmarks, seen)
    else:
        part = _cut(detailed, landmarks * np.float32(times), seen.larger(times))
    canvas = _resize(part, seen.columns, seen.rows)
    width, height = seen.columns * TEXTURE_SCALE, seen.rows * TEXTURE_SCALE
    finer = part.shape[0] > seen.rows
    texture = _consistent_texture(part, canvas, width, height, RESTORED_CALM if times > 1 else CALM if finer else 0.0)
    return Framed(canvas, texture, seen.points(landmarks))


def _times_larger(photo: NDArray[np.uint8], detailed: NDArray[np.uint8] | None) -> int:
    if detailed is None:
        return 1
    times: int = detailed.shape[0] // photo.shape[0]
    if detailed.shape[:2] != (photo.shape[0] * times, photo.shape[1] * times):
        raise BadInput("the detailed portrait is not the portrait made larger", hint="enrol the person again")
    return times


def _cut(photo: NDArray[np.uint8], landmarks: Array, seen: View) -> NDArray[np.uint8]:
    left, top, wide, high = seen.left, seen.top, seen.width, seen.height
    height, width = photo.shape[:2]
    inside = np.ascontiguousarray(photo[max(top, 0) : min(top + high, height), max(left, 0) : min(left + wide, width)])
    margins = seen.margins(photo)
    if not any(margins):
        return inside
    oval = landmarks[list(mesh.FACE_OVAL), :2] - np.array([max(left, 0), max(top, 0)], np.float32)
    return _continued(inside, margins, oval)


def _continued(inside: NDArray[np.uint8], margins: tuple[int, int, int, int], oval: Array) -> NDArray[np.uint8]:
    """A part of a photo with margins of its own colours, the calmer the further away; RGB uint8.

    `margins`: above, below, left, right, pixels. `oval`: of the face, float32 (n, 2), pixels of `inside`.
    """
    high, wide = inside.shape[:2]
    above, below, left, right = margins
    (x0, y0), (x1, y1) = oval.min(0), oval.max(0)
    depth = MIRRORED * min(high + above + below, wide + left + right)
    rows = _drawn_out(high, (above, below), (y0, high - y1), depth)
    columns = _drawn_out(wide, (left, right), (x0, wide - x1), depth)
    whole = np.ascontiguousarray(inside[rows][:, columns])
    outside = np.ones(whole.shape[:2], np.uint8)
    outside[above : above + high, left : left + wide] = 0
    distance = np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 3), np.float32)
    side = int(min(outside.shape))
    light = _blurred(whole, WIDE * side, LONG * side) * np.float32(DIMMED)
    for blur in BLURS:
        whole = _faded(whole, _blurred(whole, blur * side, blur * side), distance, 2 * blur * side)
    return _faded(whole, light, distance, FAR * side)


def _drawn_out(length: int, margins: tuple[int, int], room: tuple[float, float], depth: float) -> NDArray[np.intp]:
    """Which rows, or columns, continue a picture of `length` beyond its two ends: those beside the border, backwards,
    and ever more slowly, so that they end `depth` from it, or half as far as there is `room` beside the face."""
    sides = []
    for margin, free in zip(margins, room, strict=True):
        reach = float(np.clip(min(0.5 * free, depth), 1, length))
        sides.append((reach * (1 - np.exp(-np.arange(margin) / reach))).astype(np.intp))
    return np.concatenate([sides[0][::-1], np.arange(length), length - 1 - sides[1]])


def _blurred(picture: NDArray[np.uint8], across: float, down: float) -> Array:
    """Blurred small, since nothing finer is left of it; float32 like `picture`."""
    height, width = picture.shape[:2]
    size = min(width, max(2, round(4 * width / across))), min(height, max(2, round(4 * height / down)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    sigma = across * size[0] / width, down * size[1] / height
    soft = cv2.GaussianBlur(small, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1], borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _faded(picture: NDArray[np.uint8], other: Array, distance: Array, reach: float) -> NDArray[np.uint8]:
    weight = smoothstep(0, reach, distance)[..., None]
    return np.asarray(np.clip(picture * (1 - weight) + other * weight + 0.5, 0, 255), np.uint8)


def _resize(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    method = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


def _consistent_texture(
    part: NDArray[np.uint8], canvas: NDArray[np.uint8], width: int, height: int, calm: float
) -> NDArray[np.uint8]:
    """`calm`: a blur, texture pixels; it takes out what is finer than the canvas shows, since that would flicker with
    every motion."""
    texture = _resize(part, width, height)
    # One channel at a time: at 1080 x 1920 each takes 33 MB as floats.
    for channel in range(3):
        values = texture[..., channel].astype(np.float32)
        if calm:
            values = np.asarray(cv2.GaussianBlur(values, (0, 0), calm), np.float32)
        target = canvas[..., channel].astype(np.float32)
        for _ in range(1 if calm else BACK_PROJECTIONS):
            error = target - at_half_size(values)
            values += cv2.resize(error, (width, height), interpolation=cv2.INTER_LANCZOS4)
        texture[..., channel] = np.clip(values + np.float32(0.5), 0, 255, out=values)
    return texture
