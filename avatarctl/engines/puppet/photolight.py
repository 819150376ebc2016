"""What light a photo was taken in, measured on the face, for what has to be drawn into it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, smoothstep

USUAL_BLACK = 45.0
"""Light of the darkest hundredth of a face in a full print, 0..255, at most."""

BURNT_OUT = (232.0, 250.0)
"""Light of the skin from which on a photo has lost its lights, and from which on nothing is left of them."""
MOUTH_BLACK = 0.8
"""Of the darkest tone around the mouth: what the mouth's own dark is there, where the lights are lost."""
LIGHTEST = 99.0
"""Of a hundred pixels, how many are darker than what is white in a picture, or would be but for the light's colour."""
NO_CAST, CAST = 0.9, 0.75
"""What the light leaves of its weakest colour in a photo that has white in it, and in one that certainly has a cast."""
FROM_SIDE = 0.35, 0.6
"""How much less light there is at one corner of the mouth than at the other: up to here it is the face's own shade,
from here on the light's."""
TONED_WIDTH = 160
"""Of a face whose colours are looked at, pixels."""
TONED, COLOURED = 0.006, 0.014
"""How far a face's colours stray from those of a print in one colour, over its light: toned, scanned and faded prints
0.002 to 0.005, photos 0.022 (pale skin) to 0.16."""


@dataclass(frozen=True)
class PhotoLight:
    """`strength`: of the light on the face, 1 in a well-lit photo. `cast`: what is left of red, green and blue in all
    of the picture, float32 (3,), 1 where white is white: a coloured lamp's light, an old print's brown. `tint`: the
    colour that teeth take beside this, RGB, float32 (3,), about 1. `lip`: colour of the lips, RGB, float32 (3,).
    `saturation`: 0 in a grey photo or a print in one colour, 1 in a coloured one. `blur`: sigma of the photo's
    unsharpness, pixels of the canvas. `black`: what its darkest places have in excess of those of a full print, RGB,
    float32 (3,), and `depth`: what is left of the range from there to the skin, 0..1. `relief`: 0 in a drawing of
    flat colours, 1 in a photo. `across`: what falls on the mouth from its image-left corner to the other one, in parts
    of the most, float32 (n,): 1 everywhere but in a light from the side."""

    strength: float
    cast: Array
    tint: Array
    lip: Array
    saturation: float
    blur: float
    black: Array
    depth: float
    relief: float
    across: Array

    def coloured(self, exponents: Array) -> Array:
        """Exponents or tints of red, green and blue, as far as the photo has colours."""
        return np.asarray(exponents.mean() + (exponents - exponents.mean()) * self.saturation, np.float32)


def photo_light(canvas: NDArray[np.uint8], landmarks: Array) -> PhotoLight:
    """Measure the light; `landmarks`: float32 (478, 3), canvas pixels."""
    cast = _cast(canvas)
    toned, paper = _toned(canvas, landmarks)
    cast = np.asarray(cast * (1 - toned) + paper * toned, np.float32)
    white = canvas if cast.min() == 1 else np.asarray(np.clip(canvas / cast + 0.5, 0, 255), np.uint8)
    skin = _colours(white, landmarks, anatomy.SKIN, 2)
    tone = np.median(skin, 0)
    # A warm light tints teeth as it tints skin, but teeth vary less than skins do.
    tint = np.clip(tone / max(float(tone.mean()), 1.0) / (np.array([205, 160, 138]) / 167.7), 0.75, 1.3) ** 0.5
    tint[1] = min(tint[1], (tint[0] + tint[2]) / 2)  # no light makes teeth green
    brightest = float(np.percentile(skin.mean(1), 80))
    burnt, dark = float(smoothstep(*BURNT_OUT, brightest)), _darkest_at_mouth(canvas, landmarks)
    black, depth = _tones(canvas, landmarks, brightest * float(cast.mean()), MOUTH_BLACK * burnt * dark)
    saturation = float(np.clip(np.median(np.ptp(skin, axis=1) / np.maximum(skin.max(1), 1)) / 0.2, 0, 1))
    # White skin tells nothing of colours that only its shadows have kept.
    of_dark = float(np.clip(np.ptp(dark) / max(float(dark.max()), 1.0) / 0.4, 0, 1))
    return PhotoLight(
        strength=_strength(white, landmarks, skin),
        cast=cast,
        tint=np.asarray(tint, np.float32),
        lip=np.asarray(np.median(_colours(canvas, landmarks, anatomy.LIP_CENTRES, 1), 0), np.float32),
        saturation=max(saturation, burnt * of_dark) * (1 - toned),
        blur=_unsharpness(canvas, landmarks),
        black=black,
        depth=depth,
        relief=_relief(canvas, landmarks),
        across=_across(canvas, landmarks),
    )


def _cast(canvas: NDArray[np.uint8]) -> Array:
    """See `PhotoLight.cast`. Of each colour the lightest places count, wherever they lie: one white collar, one blue
    flag in a photo, and there is none."""
    lightest = np.percentile(canvas[::2, ::2].reshape(-1, 3), LIGHTEST, axis=0)
    left = lightest / max(float(lightest.max()), 1.0)
    certain = float(smoothstep(-NO_CAST, -CAST, -left.min()))
    return np.asarray(np.maximum(1 - (1 - left) * certain, 0.05), np.float32)


def _toned(canvas: NDArray[np.uint8], landmarks: Array) -> tuple[float, Array]:
    """Whether the photo is a print in one colour, 0..1: every colour of the face then follows from its light. And
    what its light parts have of red, green and blue, as of `PhotoLight.cast`."""
    face, outline = _face(canvas, landmarks), landmarks[list(mesh.FACE_OVAL), :2]
    outline = outline - np.clip(outline.min(0).astype(int), 0, np.array(canvas.shape[1::-1]) - 8)
    times = max(1.0, face.shape[1] / TONED_WIDTH)
    small = cv2.resize(face, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
    pixels = _within(np.asarray(cv2.GaussianBlur(small, (0, 0), 0.01 * small.shape[1]), np.uint8), outline / times)
    if len(pixels) < 16:
        return 0.0, np.ones(3, np.float32)
    light = pixels.mean(1)
    terms = np.stack([np.ones_like(light), light / 255, (light / 255) ** 2], 1).astype(np.float64)
    colour = (pixels - light[:, None]).astype(np.float64)
    stray = colour - terms @ np.linalg.lstsq(terms, colour, rcond=None)[0]
    strays = float(np.sqrt((stray**2).sum(1).mean())) / max(float(light.mean()), 1.0)
    paper = np.median(pixels[light >= np.percentile(light, 70)], 0)
    return float(1 - smoothstep(TONED, COLOURED, strays)), np.asarray(paper / max(float(paper.max()), 1.0), np.float32)


def _colours(canvas: NDArray[np.uint8], landmarks: Array, points: tuple[int, ...], reach: int) -> Array:
    height, width = canvas.shape[:2]
    found = []
    for x, y in landmarks[list(points), :2].astype(int):
        if reach <= x < width - reach and reach <= y < height - reach:
            found.append(canvas[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3).mean(0))
    return np.array(found or [[170.0, 130.0, 110.0]], np.float32)


def _strength(canvas: NDArray[np.uint8], landmarks: Array, skin: Array) -> float:
    """How much light falls on the face: 1 in a well-lit photo. The whites of the eyes tell it of dark skin."""
    by_skin = float(np.percentile(skin.mean(1), 80)) / 200
    whites = []
    irises = (mesh.IRIS_RIGHT, mesh.IRIS_LEFT), (mesh.IRIS_RIGHT_CENTRE, mesh.IRIS_LEFT_CENTRE)
    for eye, iris, centre in zip(anatomy.EYES, *irises, strict=True):
        outline = landmarks[[*eye.upper, *eye.lower[::-1]], :2]
        inside = np.zeros(canvas.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.rint(outline).astype(np.int32)], (1,))
        radius = float(np.linalg.norm(landmarks[list(iris), :2] - landmarks[centre, :2], axis=1).mean())
        place = (round(float(landmarks[centre, 0])), round(float(landmarks[centre, 1])))
        cv2.circle(inside, place, round(1.15 * radius), (0,), -1)
        whites.append(canvas[inside > 0].reshape(-1, 3).mean(1))
    white = np.concatenate(whites)
    by_eyes = float(np.percentile(white, 80)) / 215 if white.size > 8 else 0.0
    return float(np.clip(max(by_skin, min(by_eyes, 2.2 * by_skin)), 0.10, 1.15))


def _face(canvas: NDArray[np.uint8], landmarks: Array) -> NDArray[np.uint8]:
    """The part of the canvas around the face."""
    points = landmarks[list(mesh.FACE_OVAL), :2]
    height, width = canvas.shape[:2]
    x0, y0 = np.clip(points.min(0).astype(int), 0, (width - 8, height - 8))
    x1, y1 = np.clip(points.max(0).astype(int), (x0 + 8, y0 + 8), (width, height))
    return np.ascontiguousarray(canvas[y0:y1, x0:x1])


def _darkest_at_mouth(canvas: NDArray[np.uint8], landmarks: Array) -> Array:
    """Mean colour of the darkest hundredth from the nose's wings to the chin, RGB, float32 (3,)."""
    right, left = anatomy.FOLDS
    outline = landmarks[[*right, mesh.CHIN, *left[::-1]], :2]
    return _darkest(_within(canvas, outline))


def _within(canvas: NDArray[np.uint8], outline: Array) -> Array:
    """The pixels inside an outline, float32 (n, 3)."""
    inside = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.rint(outline).astype(np.int32)], (1,))
    return np.asarray(canvas[inside > 0], np.float32)


def _darkest(pixels: Array) -> Array:
    """Mean colour of the darkest hundredth, float32 (3,)."""
    light = pixels.mean(1)
    return np.asarray(pixels[light <= np.percentile(light, 1)].mean(0), np.float32)


def _tones(canvas: NDArray[np.uint8], landmarks: Array, skin: float, lifted: Array) -> tuple[Array, float]:
    """The excess of the face's darkest places over `USUAL_BLACK`, and the range that it leaves up to the skin.

    `lifted`: the least excess, RGB.
    """
    dark = _darkest(_within(canvas, landmarks[list(mesh.FACE_OVAL), :2]))
    excess = max(0.0, float(dark.mean()) - USUAL_BLACK)
    if float(lifted.mean()) > excess:
        # Half of its colour is that of blood and of make-up, which are no light.
        excess, dark = float(lifted.mean()), np.asarray(0.5 * (lifted + lifted.mean()), np.float32)
    # A face without eyes, brows and nostrils in it would be a blank: darkest places are never near the skin.
    excess = min(excess, 0.7 * skin)
    black = dark * (excess / max(float(dark.mean()), 1.0))
    return np.asarray(black, np.float32), 1 - excess / max(skin, 1.0)


def _relief(canvas: NDArray[np.uint8], landmarks: Array) -> float:
    """Whether light changes gradually on the face: of a photo it does nearly everywhere."""
    grey = cv2.cvtColor(_face(canvas, landmarks), cv2.COLOR_RGB2GRAY).astype(np.int16)
    step = max(2, round(0.03 * grey.shape[1]))
    here = grey[:-step, :-step]
    flat = (np.abs(grey[step:, :-step] - here) < 1) & (np.abs(grey[:-step, step:] - here) < 1)
    return float(1 - smoothstep(0.06, 0.22, flat.mean()))


def _across(canvas: NDArray[np.uint8], landmarks: Array) -> Array:
    """See `PhotoLight.across`: by the skin right above and below the lips, of which a beard leaves one."""
    corners = landmarks[[mesh.MOUTH_CORNER_RIGHT, mesh.MOUTH_CORNER_LEFT], :2]
    width = float(np.linalg.norm(corners[1] - corners[0]))
    along = (corners[1] - corners[0]) / max(width, 1.0)
    down = np.array([-along[1], along[0]], np.float32) * np.float32(0.1 * width)
    first = np.clip((corners.min(0) - width).astype(int), 0, np.array(canvas.shape[1::-1]) - 2)
    last = (corners.max(0) + width + 2).astype(int)
    around = canvas[first[1] : max(last[1], first[1] + 2), first[0] : max(last[0], first[0] + 2)]
    calm = np.asarray(cv2.GaussianBlur(around, (0, 0), max(0.5, 0.03 * width)), np.uint8)
    where = np.linspace(0, 1, 33, dtype=np.float32)
    sides = []
    for path, away in ((mesh.LIPS_OUTER_UPPER, -down), (mesh.LIPS_OUTER_LOWER, down)):
        outline = landmarks[list(path), :2]
        places = (outline + away - first).astype(np.float32)
        light = remap(calm, places[None])[0].astype(np.float32).mean(-1)
        sides.append(np.interp(where, (outline - corners[0]) @ along / max(width, 1.0), light))
    light = np.maximum(*sides)
    ends = float(np.median(light[:11])), float(np.median(light[-11:]))
    most, least = max(*ends, 1.0), min(ends)
    from_side = float(smoothstep(*FROM_SIDE, 1 - least / most))
    return np.asarray(1 - from_side * (1 - np.clip(light, least, most) / most), np.float32)


def _unsharpness(canvas: NDArray[np.uint8], landmarks: Array) -> float:
    """How unsharp the face is, as the sigma of a blur in pixels; 0 when it is as sharp as a canvas can be."""
    grey = cv2.cvtColor(_face(canvas, landmarks), cv2.COLOR_RGB2GRAY).astype(np.float32)
    octaves = [grey, *(cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1.0, 2.0, 4.0, 8.0))]
    bands = [float(np.std(fine - coarse)) for fine, coarse in pairwise(octaves)]
    for number, sigma in ((2, 2.2), (1, 1.2), (0, 0.6)):
        # Of a sharp picture an octave holds about 0.7 of what the next coarser one does.
        if bands[number] < 0.38 * bands[number + 1]:
            return max(sigma, _smear(grey))
    return _smear(grey)


def _smear(grey: Array) -> float:
    """The same along the direction that a moving camera or head has smeared, if one has.

    Differences between places twice as far apart are twice as large where all is smooth, and hardly larger where it
    is sharp: of a photo blurred by a sigma of 2 pixels, those 2 pixels apart are 0.51 to 0.55 of those 4 apart, of
    sharp ones 0.6 to 0.8.
    """
    margin = 8
    height, width = (side - 2 * margin for side in grey.shape)
    if min(height, width) < 2 * margin:
        return 0.0

    def part(across: int, down: int) -> Array:
        return grey[margin + down :, margin + across :][:height, :width]

    def ratio(across: int, down: int, step: int) -> float:
        near, far = (float(np.std(part(across * n, down * n) - part(0, 0))) for n in (step, 2 * step))
        return near / max(far, 1e-3)

    directions = ((1, 0), (1, 1), (0, 1), (-1, 1))
    fine, coarse = (min(ratio(*direction, step) for direction in directions) for step in (2, 4))
    if fine > 0.555:
        return 0.0
    return 2.2 if coarse < 0.595 and fine < 0.545 else 1.2
