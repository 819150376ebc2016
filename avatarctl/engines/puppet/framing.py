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
BLURS = (0.012, 0.045, 0.16)
"""Of what lies beyond a photo, sigma in shorter sides of the frame, each as far from its border: a streak that starts
there dissolves."""
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
    part = _cut(photo, seen) if detailed is None or times == 1 else _cut(detailed, seen.larger(times))
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


def _cut(photo: NDArray[np.uint8], seen: View) -> NDArray[np.uint8]:
    left, top, wide, high = seen.left, seen.top, seen.width, seen.height
    height, width = photo.shape[:2]
    inside = np.ascontiguousarray(photo[max(top, 0) : min(top + high, height), max(left, 0) : min(left + wide, width)])
    margins = seen.margins(photo)
    if not any(margins):
        return inside
    extended = cv2.copyMakeBorder(inside, *margins, cv2.BORDER_REPLICATE)
    outside = np.ones((high, wide), np.uint8)
    outside[margins[0] : high - margins[1], margins[2] : wide - margins[3]] = 0
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 3)
    for blur in BLURS:
        reach = blur * min(wide, high)
        # Blurred small: nothing finer is left of it.
        size = tuple(min(n, max(2, round(4 * n / reach))) for n in (wide, high))
        small = cv2.resize(extended, size, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), reach * size[1] / high, borderType=cv2.BORDER_REPLICATE)
        calm = cv2.resize(small, (wide, high), interpolation=cv2.INTER_CUBIC)
        weight = smoothstep(0, reach, distance)[..., None]
        extended = np.clip(extended * (1 - weight) + calm * weight + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(extended, np.uint8)


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
