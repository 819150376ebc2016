"""What lies around a photo and is none of it: bars, frames, the keys of a screenshot; the corners beyond a round photo;
the paper around a print that lies on a table, perhaps askew.

A film would show them beside the head, bend them with it, and take them for the person's surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.facemesh.crop import Image
from avatarctl.engines.facemesh.landmarks import Landmarks

_PLAIN, _PLAIN_SHARE = 12, 0.99
"""Levels by which a bar's pixels stray from its colour, and the share of a line of them that do not stray further."""
_OTHER, _ABOVE_HEAD, _ELSEWHERE = 24, 0.6, 0.3
"""Levels by which the photo's pixels differ from a bar beside it, and the share of its first line that do, above the
head and on other sides: before a white wall, the top of a head and of a hat do, too."""
_FAINT = 14
"""The same levels beside a bar that is there for sure: a white mount within a frame, a sheet on all four sides."""
_STRIPE = 0.5
"""Share of a line inside the photo that has the bar's colours, or of one beyond the bar that has the photo's, from
which on the bar is one of many, a pattern's."""
_LEAST_BAR = 0.008
"""Breadth of a bar, sides of the picture."""
_SAMPLES = 400
"""Pixels of a line that are looked at, at least."""
_SOFT_EDGE = 8
"""Lines between a bar and the photo that are neither, at most: a block of JPEG."""
_LEAST_BELOW = 0.3
"""What is left below the chin, heights of the face: a caption on somebody's chest is not cut off."""
_BLANK, _RIM, _SEEN = 0.98, (0.9, 0.98), 0.6
"""A round photo's corners are blank to this share, and what lies between these radii is not to that one: clothes may be
of the corners' colour."""
_EVEN = 4
"""The same as `_PLAIN` for corners that are of one colour exactly: in the dark, hair is not far from black."""
_EDGE, _EDGE_SHARE = 2.5, 0.015
"""Breadth of a round photo's soft edge, pixels or parts of its radius: from there on it is continued."""
_BACK = 0.45
"""How far inwards the continuation looks for each step outwards: far enough in there would be a face."""
_EDGES_SIDE, _LEAST_EDGE, _ASKEW = 640, 0.25, 20.0
"""Of the picture in which a sheet's edges are sought: longer side, pixels; length of an edge at least, parts of that;
degrees that it may be turned by."""
_SHEETS = 3
"""As many of the commonest directions are tried."""
_BESIDE_FACE = (0.1, 1.0)
"""How far above and below the face a sheet's sides are looked for first, heights of the face."""
_TRIMMED = 0.004
"""Of a print that is turned upright, what is cut off with the paper, sides of the picture: its edge is a staircase."""
_BLURS = (0.008, 0.03)
"""Of the corners, the second from further out on; sigma in sides of the picture."""


@dataclass(frozen=True, slots=True)
class Surround:
    """What was around a photo. `left`, `top`, `right`, `bottom`: pixels that were cut off; `round`: whether it was an
    ellipse whose corners were filled; `sheet`: whether it was a print on paper, which was turned clockwise by `tilt`
    degrees, about the picture's middle, before that was cut off."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0
    round: bool = False
    sheet: bool = False
    tilt: float = 0.0

    @property
    def bars(self) -> bool:
        """Whether anything was cut off."""
        return any((self.left, self.top, self.right, self.bottom))


def find(rgb: Image, face: Landmarks) -> Surround:
    """What is around the photo, uint8 (height, width, 3), that shows this face."""
    height, width = rgb.shape[:2]
    ellipse = _ellipse(rgb, face)
    if ellipse is not None:
        x0, y0, x1, y1 = ellipse
        return Surround(x0, y0, width - x1, height - y1, True)
    x0, y0, x1, y1 = 0, 0, width, height
    left, top, right, bottom = face.box
    below = bottom + _LEAST_BELOW * (bottom - top)
    # Twice, since a photo's bars at its sides hide the plainness of those above and below it.
    for _ in range(2):
        other = _FAINT if (x0, y0, x1, y1) != (0, 0, width, height) else _OTHER
        y0 += _bar(rgb[y0:y1, x0:x1].swapaxes(0, 1)[:, : max(0, round(top) - y0)][:, ::-1], _ABOVE_HEAD, other)
        y1 -= _bar(rgb[y0:y1, x0:x1].swapaxes(0, 1)[:, max(0, round(below) - y0) :], other=other)
        x0 += _bar(rgb[y0:y1, x0:x1][:, : max(0, round(left) - x0)][:, ::-1], other=other)
        x1 -= _bar(rgb[y0:y1, x0:x1][:, max(0, round(right) - x0) :], other=other)
    found = Surround(x0, y0, width - x1, height - y1)
    return found if found.bars else _sheet(rgb, face)


def without(rgb: Image, around: Surround) -> Image:
    """The photo alone, its corners filled if it was round."""
    rgb = _turned(rgb, around.tilt)
    height, width = rgb.shape[:2]
    inside = rgb[around.top : height - around.bottom, around.left : width - around.right]
    return _filled(np.ascontiguousarray(inside)) if around.round else np.ascontiguousarray(inside)


def moved(face: Landmarks, around: Surround, shape: tuple[int, ...]) -> Landmarks:
    """The same face in the photo alone. `shape`: rows and columns of the picture with what surrounds it."""
    points = face.points.copy()
    if around.tilt:
        turn, _ = _turn(shape, around.tilt)
        points[:, :2] = points[:, :2] @ turn[:, :2].T + turn[:, 2]
    points[:, :2] -= (around.left, around.top)
    return replace(face, points=points)


def _bar(outwards: Image, share: float = _ELSEWHERE, other: int = _OTHER) -> int:
    """How many columns to cut off at the end of a part of the picture that begins beside the face, uint8 (h, w, 3):
    from the nearest bar on. `share`, `other`: see `_ABOVE_HEAD` and `_OTHER`."""
    high, wide = outwards.shape[:2]
    breadth = max(4, round(_LEAST_BAR * max(high, wide)))
    if wide < breadth or not high:
        return 0
    outwards = outwards[:: max(1, high // _SAMPLES)]
    colours = np.median(outwards, axis=0).astype(np.int16)
    apart = np.abs(outwards.astype(np.int16) - colours).max(axis=2)
    plain = (apart <= _PLAIN).mean(axis=0) >= _PLAIN_SHARE
    for first in range(_SOFT_EDGE, wide - breadth + 1):
        run = slice(first, first + breadth)
        if not plain[run].all() or np.ptp(colours[run], axis=0).max() > _PLAIN:
            continue
        photo = outwards[:, first - _SOFT_EDGE].astype(np.int16)
        if (np.abs(photo - colours[first]).max(axis=1) > other).mean() < share:
            continue
        inside = np.abs(outwards[:, : first - _SOFT_EDGE + 1].astype(np.int16) - colours[first])
        again = np.abs(outwards[:, first + breadth :].astype(np.int16) - photo[:, None])
        alike = [(apart.max(axis=2) <= _PLAIN).mean(axis=0).max(initial=0) for apart in (inside, again)]
        if max(alike) <= _STRIPE:
            return int(wide - first + _SOFT_EDGE)
    return 0


def _sheet(rgb: Image, face: Landmarks) -> Surround:
    """The paper around a print, and all that lies around that; nothing unless it is there on all four sides."""
    shape = rgb.shape[:2]
    scale = min(1.0, _EDGES_SIDE / max(shape))
    size = max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else rgb
    there = replace(face, points=face.points * np.float32(scale))
    for tilt in _directions(small):
        if _cut(small, there, tilt) is None:
            continue
        sides = _cut(rgb, face, tilt)
        if sides is not None:
            return Surround(*sides, sheet=True, tilt=tilt)
    return Surround()


def _directions(rgb: Image) -> list[float]:
    """Degrees by which to turn the picture clockwise for its longest straight edges to stand upright or lie level."""
    least = _LEAST_EDGE * min(rgb.shape[:2])
    edges = cv2.Canny(cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 1.0), 30, 90)
    lines = cv2.HoughLinesP(edges, 1, np.pi / 720, max(20, round(0.5 * least)), minLineLength=least, maxLineGap=6)
    if lines is None:
        return []
    x0, y0, x1, y1 = lines.reshape(-1, 4).T.astype(np.float64)
    lean = (np.degrees(np.arctan2(y1 - y0, x1 - x0)) + 45) % 90 - 45
    length = np.hypot(x1 - x0, y1 - y0) * (np.abs(lean) <= _ASKEW)
    found: list[float] = []
    while len(found) < _SHEETS and length.any():
        near = np.exp(-(((lean[:, None] - lean) / 0.5) ** 2)) * (np.abs(lean[:, None] - lean) < 2)
        best = int((near @ length).argmax())
        found.append(0.0 - round(float((near[best] * length * lean).sum() / (near[best] * length).sum()), 2))
        length = length * (np.abs(lean - lean[best]) > 2)
    return found


def _cut(rgb: Image, face: Landmarks, tilt: float) -> tuple[int, int, int, int] | None:
    """What to cut off the turned picture at the left, top, right and bottom to be rid of a sheet around the face."""
    seen = _turned(rgb, tilt)
    height, width = seen.shape[:2]
    x0, y0, x1, y1 = (round(v) for v in moved(face, Surround(tilt=tilt), rgb.shape).box)
    if not (0 < x0 < x1 < width and 0 < y0 < y1 < height):
        return None
    below = min(height, y1 + round(_LEAST_BELOW * (y1 - y0)))
    trimmed = round(_TRIMMED * max(width, height)) if tilt else 0
    for beside in _BESIDE_FACE:
        rows = slice(max(0, y0 - round(beside * (y1 - y0))), y1 + round(beside * (y1 - y0)))
        # What lies beside the sheet hides that it is plain above and below, and the other way round.
        for _ in range(2):
            left, right = (_bar(part, other=_FAINT) for part in (seen[rows, :x0][:, ::-1], seen[rows, x1:]))
            columns = seen[:, left : width - right].swapaxes(0, 1)
            top, bottom = (_bar(part, other=_FAINT) for part in (columns[:, :y0][:, ::-1], columns[:, below:]))
            rows = slice(top, height - bottom)
        if left and right and top and bottom:
            return left + trimmed, top + trimmed, right + trimmed, bottom + trimmed
    return None


def _turn(shape: tuple[int, ...], degrees: float) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """How a picture is turned clockwise about its middle onto a canvas that holds all of it, and the canvas's size."""
    height, width = shape[:2]
    turn = np.asarray(cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1), np.float64)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    size = round(width * cos + height * sin), round(height * cos + width * sin)
    turn[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    return turn, size


def _turned(rgb: Image, degrees: float) -> Image:
    if not degrees:
        return rgb
    turn, size = _turn(rgb.shape, degrees)
    return np.asarray(cv2.warpAffine(rgb, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _ellipse(rgb: Image, face: Landmarks) -> tuple[int, int, int, int] | None:
    """The box of an ellipse, x0, y0, x1, y1, beyond which there are only corners of one colour; None if there are
    none."""
    corners = rgb[[0, 0, -1, -1], [0, -1, 0, -1]].astype(np.int16)
    apart = np.abs(rgb.astype(np.int16) - np.median(corners, axis=0)).max(axis=2)
    found = (_within(apart <= most, face) for most in (_PLAIN, _EVEN) if np.ptp(corners, axis=0).max() <= most)
    return next((box for box in found if box is not None), None)


def _within(plain: NDArray[np.bool_], face: Landmarks) -> tuple[int, int, int, int] | None:
    """The box of the ellipse that is left of a picture, (height, width), when all that is plain from its corners on is
    taken away."""
    _, labels = cv2.connectedComponents(plain.astype(np.uint8), connectivity=4)
    blank = np.isin(labels, labels[[0, 0, -1, -1], [0, -1, 0, -1]])
    x0, y0, wide, high = cv2.boundingRect((~blank).astype(np.uint8))
    if min(wide, high) < 16:
        return None
    radius = _radius((high, wide))
    beyond = blank[y0 : y0 + high, x0 : x0 + wide]
    rim = (radius > _RIM[0]) & (radius < _RIM[1])
    corner = radius > 1 + 2 * _EDGE / min(wide, high)
    if beyond[corner].mean() < _BLANK or 1 - beyond[rim].mean() < _SEEN:
        return None
    x, y = face.xy[mesh.NOSE_TIP] - (x0, y0)
    held = 0 <= x < wide and 0 <= y < high and radius[int(y), int(x)] < 1
    return (x0, y0, x0 + wide, y0 + high) if held else None


def _radius(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Distance from the middle in radii of the ellipse that fits in, float32 (height, width)."""
    height, width = shape
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5)) / np.float32(height / 2) - 1
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(width / 2) - 1
    return np.asarray(np.hypot(x[None], y[:, None]), np.float32)


def _filled(rgb: Image) -> Image:
    """A round photo in its box with its corners filled by what lies inside its edge, the blurrier the further out."""
    height, width = rgb.shape[:2]
    radius = _radius((height, width))
    within = np.float32(1 - max(_EDGE_SHARE, 2 * _EDGE / min(height, width)))
    back = np.where(radius > within, (within - _BACK * (radius - within)) / np.maximum(radius, 1e-3), 1)
    down, across = np.mgrid[:height, :width].astype(np.float32)
    x, y = ((at - m) * back + m for at, m in ((across, width / 2 - 0.5), (down, height / 2 - 0.5)))
    whole = np.asarray(cv2.remap(rgb, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR), np.float32)
    far = radius - within
    for number, blur in enumerate(_BLURS):
        calm = cv2.GaussianBlur(whole, (0, 0), blur * min(height, width))
        weight = np.clip((far - 0.06 * number) / 0.12, 0, 1)[..., None]
        whole = whole + (calm - whole) * weight
    return np.where(radius[..., None] > within, np.clip(whole + 0.5, 0, 255), rgb).astype(np.uint8)
