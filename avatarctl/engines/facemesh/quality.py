"""Judging a photo of a face by measurement: pose, sharpness, exposure, mouth, glasses, what covers it.

Lengths that should not depend on the photo's size are in u, the distance between the two eye centres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import canonical
from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.facemesh.crop import Image, TurnedSquare, cut
from avatarctl.engines.facemesh.landmarks import Landmarks

Floats = NDArray[np.float32]

_MEASURED_WIDTH = 160
"""Faces are brought down to this width, pixels, before their sharpness is measured: more is never shown."""
_DARK, _BRIGHT = 20, 250
"""Below and above these, of 255, a photo keeps no detail."""
_OPEN_GAP = 0.03
"""Lips nearer than this, u, are closed: the mesh itself errs by 0.01."""
_TEETH_SHARE = 0.25
_GLASSES_EDGE = 0.15
"""As much of an edge as makes glasses as likely as not."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Degrees. yaw: face to image right; pitch: face down; roll: clockwise in the image."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """Luminance of the skin, 0..255, and the shares of it that are black or white."""

    mean: float
    p5: float
    p50: float
    p95: float
    black_share: float
    white_share: float


@dataclass(frozen=True, slots=True)
class Mouth:
    """`state`: closed, open, or teeth (open and showing them). `gap`: between the lips, u."""

    state: str
    gap: float
    teeth_share: float
    """Share of the area between the lips that is as bright as skin and less red than the lips."""


@dataclass(frozen=True, slots=True)
class Glasses:
    """`probability`: 0..1. `bridge`, `rims`: the strongest edge across the nose and below the eyes, over brightness."""

    probability: float
    bridge: float
    rims: float


def pose(landmarks: Landmarks) -> Pose:
    """Against the canonical face (`canonical`), in weak perspective: no camera is assumed.

    Yaw comes from where the points lie in the picture, since the mesh flattens its own depth as the face turns:
    at a turn of 30 degrees its z says 20, its x and y say 25. Pitch and roll come from all three coordinates.
    """
    space = canonical.rotation_in_space(landmarks.points)
    across = canonical.rotation_in_picture(landmarks.points)[:, 0]
    return Pose(
        yaw=math.degrees(math.atan2(across[2], math.hypot(across[0], across[1]))),
        pitch=math.degrees(math.atan2(space[2, 1], space[2, 2])),
        roll=math.degrees(math.atan2(space[1, 0], space[0, 0])),
    )


def sharpness(rgb: Image, landmarks: Landmarks) -> float:
    """Energy of the Laplacian over the contrast of the face, at a width of at most 160 pixels.

    Measured: 0.37 to 1.1 for sharp photos of any size, exposure and JPEG quality; below 0.16 when blurred by
    more than a hundredth of the face's width (sigma). (Laplacian energy: Pech-Pacheco et al., "Diatom autofocusing in
    brightfield microscopy", 2000; contrast and scale are divided out here.)
    """
    face = _measured_face(rgb, landmarks)
    contrast = float(face.std())
    return float(cv2.Laplacian(face, cv2.CV_32F).std()) / contrast if contrast > 0 else 0.0


def _measured_face(rgb: Image, landmarks: Landmarks) -> Floats:
    """Light of the face's box, at a width of at most 160 pixels."""
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = landmarks.box
    rows = slice(round(np.clip(y0, 0, height - 2)), round(np.clip(y1, 2, height)))
    columns = slice(round(np.clip(x0, 0, width - 2)), round(np.clip(x1, 2, width)))
    face = _luminance(rgb[rows, columns])  # whole pixels, since sampling between them would blur
    reduction = _MEASURED_WIDTH / (x1 - x0)
    if reduction < 1:
        size = max(1, round(face.shape[1] * reduction)), max(1, round(face.shape[0] * reduction))
        face = cv2.resize(face, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    return face


def smeared(rgb: Image, landmarks: Landmarks) -> float:
    """How much more detail there is across some direction than along it, 0..1: a camera or head that moved.

    Measured: sharp photos 0 to 0.39 (a beard of straight hairs), blurred along 0.12 u 0.51 to 0.75, whichever way.
    """
    face = _measured_face(rgb, landmarks)
    strength = []
    for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
        kernel = np.zeros((3, 3), np.float32)
        kernel[1, 1] = -1
        kernel[1 + dy, 1 + dx] = kernel[1 - dy, 1 - dx] = 0.5
        strength.append(float(cv2.filter2D(face, cv2.CV_32F, kernel).std()))
    pairs = strength[:2], strength[2:]
    return max(1 - min(pair) / max(*pair, 1e-6) for pair in pairs)


def flat_share(rgb: Image, landmarks: Landmarks) -> float:
    """Share of the skin in which light does not change at all from place to place, 0..1: a drawing in flat colours.

    Measured: photos 0 to 0.03, of the lowest JPEG quality 0.13, a painting 0.09, posters and cartoons 0.26 to 0.8.
    """
    light = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.int16)
    x0, _, x1, _ = landmarks.box
    step = max(2, round(0.03 * (x1 - x0)))
    if min(light.shape) <= step:
        return 0.0
    here = light[:-step, :-step]
    flat = (light[step:, :-step] == here) & (light[:-step, step:] == here)
    seen = skin_mask(light.shape, landmarks)[:-step, :-step] & (here > _DARK // 4) & (here < _BRIGHT)
    return float(flat[seen].mean()) if seen.any() else 0.0


def skin_mask(shape: tuple[int, int], landmarks: Landmarks) -> NDArray[np.bool_]:
    """bool (height, width): the face oval, less eyes, brows and mouth."""
    mask = np.zeros(shape, np.uint8)
    oval = landmarks.xy[list(mesh.FACE_OVAL)]
    centre = oval.mean(axis=0)
    cv2.fillPoly(mask, [_rounded(centre + 0.93 * (oval - centre))], 1)
    for path in (
        mesh.LIPS_OUTER_UPPER + mesh.LIPS_OUTER_LOWER,
        mesh.RIGHT_EYE_UPPER + mesh.RIGHT_EYE_LOWER,
        mesh.LEFT_EYE_UPPER + mesh.LEFT_EYE_LOWER,
        mesh.BROW_RIGHT_UPPER + mesh.BROW_RIGHT_LOWER,
        mesh.BROW_LEFT_UPPER + mesh.BROW_LEFT_LOWER,
    ):
        hull = cv2.convexHull(_rounded(landmarks.xy[list(path)]))
        cv2.fillConvexPoly(mask, hull, 0)
        cv2.polylines(mask, [hull], True, 0, max(1, round(landmarks.interocular * 0.08)))
    return mask.astype(bool)


def exposure(rgb: Image, landmarks: Landmarks) -> Exposure:
    """Over the skin as the photo shows it."""
    skin = _luminance(rgb)[skin_mask(rgb.shape[:2], landmarks)]
    if not len(skin):
        skin = _luminance(rgb).ravel()
    p5, p50, p95 = (float(v) for v in np.percentile(skin, (5, 50, 95)))
    return Exposure(float(skin.mean()), p5, p50, p95, float((skin <= _DARK).mean()), float((skin >= _BRIGHT).mean()))


def colourless(rgb: Image, landmarks: Landmarks) -> bool:
    """Whether the face has no colour at all: a black-and-white photo, up to what JPEG adds."""
    skin = rgb[skin_mask(rgb.shape[:2], landmarks)].astype(np.int16)
    return len(skin) > 0 and float(np.mean(skin.max(axis=1) - skin.min(axis=1))) < 4.0


def mouth(rgb: Image, landmarks: Landmarks) -> Mouth:
    """Open from a gap of 0.03 u on. Teeth are bright and, against the lips around them, not red."""
    upper, lower = landmarks.xy[mesh.LIP_UPPER_INNER_MIDDLE], landmarks.xy[mesh.LIP_LOWER_INNER_MIDDLE]
    gap = float(np.hypot(*(lower - upper))) / landmarks.interocular
    if gap < _OPEN_GAP:
        return Mouth("closed", gap, 0.0)
    inside = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillPoly(inside, [_rounded(landmarks.xy[list(mesh.LIPS_INNER_UPPER + mesh.LIPS_INNER_LOWER[::-1])])], 1)
    outline = landmarks.xy[list(mesh.LIPS_OUTER_UPPER + mesh.LIPS_OUTER_LOWER[::-1])]
    lips = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillPoly(lips, [_rounded(outline)], 1)
    within, around = inside.astype(bool), lips.astype(bool) & ~inside.astype(bool)
    if not within.any() or not around.any():
        return Mouth("open", gap, 0.0)
    luminance = _luminance(rgb)
    redness = rgb[..., 0].astype(np.float32) - luminance
    skin = float(np.median(luminance[skin_mask(rgb.shape[:2], landmarks)]))
    bright = luminance[within] > 0.75 * skin
    pale = redness[within] <= np.median(redness[around]) + 1
    share = float((bright & pale).mean())
    return Mouth("teeth" if share > _TEETH_SHARE else "open", gap, share)


def glasses(rgb: Image, landmarks: Landmarks) -> Glasses:
    """Frames cross the nose between the eyes, and run below them: both are edges that bare skin lacks.

    Both have to be there, so their geometric mean decides. Measured on two faces and their variants: 0.11 to
    0.45 with glasses, 0.03 to 0.1 without. Rimless glasses are not seen.
    """
    scale = 64
    right, left = landmarks.eye_centres
    x, y = (right + left) / 2
    angle = math.atan2(left[1] - right[1], left[0] - right[0])
    square = TurnedSquare(float(x), float(y), 2 * landmarks.interocular, angle)
    face = _luminance(cut(rgb, square, 2 * scale, border=cv2.BORDER_REPLICATE))

    def edge(centre: float, width: float, top: float, bottom: float) -> float:
        """The strongest change of brightness down a strip, over its mean. All in u from between the eyes."""
        rows = slice(int((1 + top) * scale), int((1 + bottom) * scale))
        columns = slice(int((1 + centre - width / 2) * scale), int((1 + centre + width / 2) * scale))
        profile = face[rows, columns].mean(axis=1)
        return float(np.abs(profile[3:] - profile[:-3]).max() / (profile.mean() + 8))

    bridge = edge(0, 0.16, -0.3, 0.35)
    below = [edge(side * at, 0.12, 0.22, 0.7) for side in (-1, 1) for at in (0.38, 0.5, 0.65)]
    rims = float(np.median(below))
    evidence = math.sqrt(bridge * rims)
    return Glasses(1 / (1 + (_GLASSES_EDGE / max(evidence, 1e-6)) ** 4), bridge, rims)


def covered_share(rgb: Image, landmarks: Landmarks) -> float:
    """Share of the face between brows and mouth that looks unlike the skin of cheeks and nose, 0..1: hair, a hand.

    Forehead and jaw are left out, where a fringe and a beard belong. Lines are blurred away, and light from the side
    too, be it of two colours: light and tint are measured against the planes that fit them best.
    """
    u = landmarks.interocular
    calm = cv2.medianBlur(rgb, min(255, 2 * round(0.05 * u) + 1))
    lab = cv2.cvtColor(cv2.GaussianBlur(calm, (0, 0), max(0.5, 0.03 * u)), cv2.COLOR_RGB2LAB).astype(np.float32)
    shape = rgb.shape[:2]
    band = np.zeros(shape, np.uint8)
    brows = landmarks.xy[[*mesh.BROW_RIGHT_LOWER, *mesh.BROW_LEFT_LOWER[::-1]]]
    sides = landmarks.xy[[356, 454, 323, 361, 288, 410, 164, 186, 58, 132, 93, 234, 127]]
    cv2.fillPoly(band, [_rounded(np.concatenate([brows, sides]))], 1)
    mask = skin_mask(shape, landmarks) & band.astype(bool)
    sure = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(sure, _rounded(landmarks.xy[[mesh.CHEEK_RIGHT, mesh.NOSE_BRIDGE[1], mesh.CHEEK_LEFT]]), 1)
    known = mask & sure.astype(bool)
    if known.sum() < 8:
        return 0.0
    rows, columns = np.nonzero(mask)
    light = lab[..., 0] + 1
    place = np.stack([columns, rows, np.ones(len(rows))], axis=1) - [*landmarks.xy[mesh.NOSE_TIP], 0]
    logs = np.log(light[mask].astype(np.float64))
    off = np.abs(_beside_plane(place, logs, 0.2))
    tint = np.hypot(*(_beside_plane(place, lab[mask][:, channel], 8.0) for channel in (1, 2)))
    return float(((off > 0.5) | (tint > 16)).mean())


def _beside_plane(place: NDArray[np.float64], values: NDArray[Any], spread: float) -> NDArray[np.float64]:
    """What is left of values, (n,), beside the plane that fits most of them. `place`: (n, 3), x, y and 1; what lies
    further off than `spread` counts little."""
    weights: NDArray[np.float64] = np.ones(len(values))
    left: NDArray[np.float64] = np.zeros(len(values))
    for _ in range(4):
        left = values - place @ np.linalg.lstsq(place * weights[:, None], values * weights, rcond=None)[0]
        weights = 1 / (1 + (left / spread) ** 2)
    return left


@dataclass(frozen=True, slots=True)
class Features:
    """Whether the parts that move can be seen. Contrasts are in contrasts of the face, so light does not matter.

    `lips`: how much the picture changes along the mouth: corners, teeth, the bow of the upper lip. `eyes`: range of
    brightness in the right and in the left eye. `along`: how much the picture changes along each of them: an iris
    between whites does, a horizon that glasses mirror does not. `lids`: opening of both over their width. `outside`:
    share of the face's width by which it reaches beyond the picture.
    """

    lips: float
    eyes: tuple[float, float]
    along: tuple[float, float]
    lids: tuple[float, float]
    outside: float


def features(rgb: Image, landmarks: Landmarks, beyond: float = 0.0) -> Features:
    """Measured in an upright crop of one size. `beyond`: see `Features.outside`."""
    pixels = 48
    right, left = landmarks.eye_centres
    x, y = (right + left) / 2
    square = TurnedSquare(
        float(x), float(y), 4 * landmarks.interocular, math.atan2(left[1] - right[1], left[0] - right[0])
    )
    to_crop = cv2.invertAffineTransform(square.to_picture(4 * pixels))
    face = _luminance(cut(rgb, square, 4 * pixels, border=cv2.BORDER_REPLICATE))
    face = cv2.GaussianBlur(face, (0, 0), 0.02 * pixels).astype(np.float32, copy=False)
    points = landmarks.points.copy()
    points[:, :2] = landmarks.xy @ to_crop[:, :2].T + to_crop[:, 2]
    placed = Landmarks(points.astype(np.float32), landmarks.score)
    oval = _filled(face, placed.xy[list(mesh.FACE_OVAL)])
    contrast = float(face[oval].std()) + 1 if oval.any() else 1.0

    outline = placed.xy[list(mesh.LIPS_OUTER_UPPER + mesh.LIPS_OUTER_LOWER[::-1])]
    lips = _filled(face, outline.mean(axis=0) + 1.1 * (outline - outline.mean(axis=0)))
    along = np.abs(cv2.Sobel(face, cv2.CV_32F, 1, 0, ksize=3))
    eyes, changes, lids = [], [], []
    for upper, lower in (
        (mesh.RIGHT_EYE_UPPER, mesh.RIGHT_EYE_LOWER),
        (mesh.LEFT_EYE_UPPER, mesh.LEFT_EYE_LOWER),
    ):
        outline = placed.xy[list(upper + lower[::-1])]
        eye = _filled(face, outline.mean(axis=0) + 1.25 * (outline - outline.mean(axis=0)))
        low, high = np.percentile(face[eye], (5, 90)) if eye.any() else (0.0, 0.0)
        eyes.append(float(high - low) / contrast)
        changes.append(float(along[eye].mean()) / contrast if eye.any() else 0.0)
        gap = np.hypot(*(placed.xy[upper[4]] - placed.xy[lower[4]]))
        lids.append(float(gap / max(np.hypot(*(placed.xy[upper[0]] - placed.xy[upper[-1]])), 1e-6)))
    return Features(
        lips=float(along[lips].mean()) / contrast if lips.any() else 0.0,
        eyes=(eyes[0], eyes[1]),
        along=(changes[0], changes[1]),
        lids=(lids[0], lids[1]),
        outside=beyond,
    )


def outside_share(shape: tuple[int, int], landmarks: Landmarks) -> float:
    """How far the face reaches beyond a picture of `shape` (height, width), in widths of the face."""
    x0, y0, x1, y1 = landmarks.box
    return max(0.0, -x0, -y0, x1 - shape[1], y1 - shape[0]) / max(x1 - x0, 1e-6)


def _filled(picture: Floats, polygon: Floats) -> NDArray[np.bool_]:
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [_rounded(polygon)], 1)
    return mask.astype(bool)


def _luminance(rgb: Image) -> Floats:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _rounded(points: Floats) -> NDArray[np.int32]:
    return np.rint(points).astype(np.int32)
