"""Judging a photo of a face by measurement: pose, sharpness, exposure, mouth, glasses, what covers it.

Lengths that should not depend on the photo's size are in u, the distance between the two eye centres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

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
    """From the mesh's own geometry: no camera is assumed, since the mesh is in weak perspective.

    The axis across the face is the sum of the vectors between mirrored points; the axis down the face runs
    from hairline to chin, which in the canonical face model stand vertically above each other to within a
    degree, made perpendicular to the first.
    """
    points = landmarks.points.astype(np.float64)
    right, left = np.array(mesh.MIRROR_PAIRS).T
    across = (points[left] - points[right]).sum(axis=0)
    across /= np.linalg.norm(across)
    down = points[mesh.CHIN] - points[mesh.FOREHEAD]
    down -= across * (across @ down)
    down /= np.linalg.norm(down)
    inward = np.cross(across, down)
    return Pose(
        yaw=math.degrees(math.atan2(across[2], math.hypot(across[0], across[1]))),
        pitch=math.degrees(math.atan2(down[2], inward[2])),
        roll=math.degrees(math.atan2(across[1], across[0])),
    )


def sharpness(rgb: Image, landmarks: Landmarks) -> float:
    """Energy of the Laplacian over the contrast of the face, at a width of at most 160 pixels.

    Measured: 0.37 to 1.1 for sharp photos of any size, exposure and JPEG quality; below 0.16 when blurred by
    more than a hundredth of the face's width (sigma). (Laplacian energy: Pech-Pacheco et al., "Diatom autofocusing in
    brightfield microscopy", 2000; contrast and scale are divided out here.)
    """
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = landmarks.box
    rows = slice(round(np.clip(y0, 0, height - 2)), round(np.clip(y1, 2, height)))
    columns = slice(round(np.clip(x0, 0, width - 2)), round(np.clip(x1, 2, width)))
    face = _luminance(rgb[rows, columns])  # whole pixels, since sampling between them would blur
    reduction = _MEASURED_WIDTH / (x1 - x0)
    if reduction < 1:
        size = max(1, round(face.shape[1] * reduction)), max(1, round(face.shape[0] * reduction))
        face = cv2.resize(face, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    contrast = float(face.std())
    return float(cv2.Laplacian(face, cv2.CV_32F).std()) / contrast if contrast > 0 else 0.0


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
    """Share of the skin's area that looks unlike the skin between eyes and mouth, 0..1: hair, a hand, a mask."""
    calm = cv2.GaussianBlur(rgb, (0, 0), max(0.5, 0.03 * landmarks.interocular))
    lab = cv2.cvtColor(calm, cv2.COLOR_RGB2LAB).astype(np.float32)
    mask = skin_mask(rgb.shape[:2], landmarks)
    sure = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillConvexPoly(sure, _rounded(landmarks.xy[[mesh.CHEEK_RIGHT, mesh.NOSE_BRIDGE[1], mesh.CHEEK_LEFT]]), 1)
    reference = lab[mask & sure.astype(bool)]
    if not len(reference) or not mask.any():
        return 0.0
    usual = np.median(reference, axis=0)
    away = np.abs(lab[mask] - usual)
    unlike = (away[:, 0] > 0.45 * usual[0]) | (np.hypot(away[:, 1], away[:, 2]) > 16)
    return float(unlike.mean())


def _luminance(rgb: Image) -> Floats:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _rounded(points: Floats) -> NDArray[np.int32]:
    return np.rint(points).astype(np.int32)
