"""What people wear, hold and have on their skin. Deterministic; see `paint` for what the arguments are."""

from __future__ import annotations

import cv2
import numpy as np

from avatarctl.engines.facemesh import landmarks as mesh
from tests.quality import paint
from tests.quality.paint import Floats, Image, mix, region, strokes, to_bytes, unit

BROWS = (*mesh.BROW_RIGHT_UPPER, *mesh.BROW_LEFT_UPPER)


def mirrored_glasses(photo: Image, points: Floats) -> Image:
    """Sunglasses that reflect a bright sky above a dark ground."""
    dark = paint.glasses(photo, points, 0.999)
    u = unit(points)
    sky = np.zeros(photo.shape, np.float32)
    within = np.zeros(photo.shape[:2], np.uint8)
    for corners in ((33, 133), (263, 362)):
        x, y = np.rint(points[list(corners), :2].mean(0) + np.array([0, 0.06 * u])).astype(int)
        cv2.ellipse(within, (int(x), int(y)), (round(0.35 * u), round(0.27 * u)), 0, 0, 360, 255, -1, cv2.LINE_AA)
        rows = np.arange(photo.shape[0], dtype=np.float32)
        tone = np.where(rows < y + 0.03 * u, 150 + 60 * (y - rows) / u, 55)[:, None, None]
        band = np.abs(np.arange(photo.shape[1]) - x)[None, :, None] < 0.5 * u
        sky = np.where(band, tone * np.array([0.85, 0.95, 1.1]), sky).astype(np.float32)
    return mix(dark, sky, within[..., None].astype(np.float32) / 255)


def microphone(photo: Image, points: Floats, high: float) -> Image:
    """A dark ball on a stick, `high` u above the chin's middle."""
    u = unit(points)
    x, y = points[152, :2] - (0.15 * u, high * u)
    made = photo.copy()
    stick = np.rint(np.array([[x, y], [x - 0.5 * u, photo.shape[0]]])).astype(int)
    cv2.line(made, stick[0], stick[1], (34, 34, 38), round(0.24 * u), cv2.LINE_AA)
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    far = np.hypot(columns - x, rows - y) / (0.42 * u)
    gloss = np.clip(1 - np.hypot(columns - x + 0.12 * u, rows - y + 0.15 * u) / (0.3 * u), 0, 1)
    ball = (46 + 50 * gloss + 12 * np.sin(columns * 2.2) * np.sin(rows * 2.2))[..., None]
    return mix(made, np.repeat(ball, 3, axis=-1), np.clip((1 - far) * 0.42 * u, 0, 1)[..., None])


def hat_brim(photo: Image, points: Floats) -> Image:
    """A wide brim down to the brows, and its shadow on the face."""
    u = unit(points)
    brow = points[list(BROWS), :2]
    x, y = brow.mean(0)
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    edge = y - 0.12 * u + 0.09 * ((columns - x) / u) ** 2 * u
    lit = 0.45 + 0.55 / (1 + np.exp(-(rows - edge - 0.75 * u) / (0.08 * u)))
    shaded = to_bytes(photo * lit[..., None])
    within = np.clip(edge - rows, 0, 1) * (np.abs(columns - x) < 2.2 * u)
    felt = 52 + 22 * np.clip((edge - rows) / u, 0, 1)[..., None] * np.array([1.2, 1.0, 0.7])
    return mix(shaded, felt, within[..., None])


def cheek_hair(photo: Image, points: Floats) -> Image:
    """Long hair that falls over the face's right cheek, beside eye and mouth."""
    outer = [103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136]
    strand = points[[*outer, 210, 212, 216, 207, 187, 123, 116, 143, 156, 70], :2]
    for _ in range(3):
        photo = strokes(photo, points, strand, (70, 44, 26), 1.4)
    return photo


def lipstick(photo: Image, points: Floats, colour: tuple[int, int, int] = (92, 12, 34)) -> Image:
    """Dark paint on both lips, the light of the lips kept."""
    outline = points[list(mesh.LIPS_OUTER_UPPER + mesh.LIPS_OUTER_LOWER[::-1]), :2]
    inner = points[list(mesh.LIPS_INNER_UPPER + mesh.LIPS_INNER_LOWER[::-1]), :2]
    u = unit(points)
    light = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 150
    weight = region(photo, outline, 0.012 * u) * (1 - region(photo, inner, 0.01 * u))
    return mix(photo, light * np.array(colour), 0.85 * weight)


def freckles(photo: Image, points: Floats) -> Image:
    """Many small brown spots on cheeks, nose and forehead."""
    random = np.random.default_rng(4)
    u = unit(points)
    face = region(photo, points[list(mesh.FACE_OVAL), :2])[..., 0]
    large = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    spots = np.zeros(large.shape[:2], np.uint8)
    oval = points[list(mesh.FACE_OVAL), :2]
    for _ in range(420):
        x, y = random.uniform(oval.min(0), oval.max(0))
        if 0 <= y < photo.shape[0] and 0 <= x < photo.shape[1] and face[int(y), int(x)] > 0.5:
            radius = max(1, round(4 * u * random.uniform(0.008, 0.022)))
            cv2.circle(spots, (round(4 * x), round(4 * y)), radius, int(random.uniform(90, 190)), -1, cv2.LINE_AA)
    weight = cv2.GaussianBlur(spots, (0, 0), 1.2).astype(np.float32)[..., None] / 255
    made = mix(large, large * np.array([0.62, 0.46, 0.38]), weight)
    return cv2.resize(made, photo.shape[1::-1], interpolation=cv2.INTER_AREA)


def fist(photo: Image, points: Floats) -> Image:
    """A thinker's fist before chin and lower lip, of the skin's colour."""
    u = unit(points)
    colour = np.median(photo[region(photo, points[[50, 6, 280], :2])[..., 0] > 0.5], axis=0)
    x, y = points[17, :2] + (0.05 * u, 0.3 * u)
    made = photo
    for at in (-0.36, -0.12, 0.12, 0.36):
        centre = np.array([x + at * u, y])
        angles = np.linspace(0, 2 * np.pi, 40)[:, None]
        knuckle = centre + np.hstack([0.15 * u * np.cos(angles), 0.34 * u * np.sin(angles)])
        made = mix(made, np.broadcast_to(colour * 0.6, photo.shape), region(photo, knuckle, 0.03 * u))
        inner = centre + 0.85 * (knuckle - centre)
        made = mix(made, np.broadcast_to(colour * 0.97, photo.shape), region(photo, inner, 0.03 * u))
    return made


def cigarette(photo: Image, points: Floats, side: int = 1) -> Image:
    """Between the lips, pointing down to the face's left (1) or right (-1)."""
    return _stick(photo, points, (0.12 * side, 0.0), (0.87 * side, 0.22), 0.085, (238, 238, 234), (205, 140, 70))


def straw(photo: Image, points: Floats) -> Image:
    """Green, from between the lips down over the chin."""
    return _stick(photo, points, (0.0, 0.0), (-0.1, 1.2), 0.06, (40, 160, 80), (40, 160, 80))


def _stick(
    photo: Image,
    points: Floats,
    start: tuple[float, float],
    end: tuple[float, float],
    thick: float,
    colour: tuple[int, int, int],
    first: tuple[int, int, int],
) -> Image:
    """From `start` to `end`, u from the middle of the mouth; `first`: colour of its first third."""
    u = unit(points)
    eyes = [points[list(c), :2].mean(0) for c in ((33, 133), (263, 362))]
    right = (eyes[1] - eyes[0]) / u
    down = np.array([-right[1], right[0]])
    a, b = (points[13, :2] + u * (x * right + y * down) for x, y in (start, end))
    large = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    places = [np.rint(4 * (a + part * (b - a))).astype(int) for part in (0, 0.3, 1)]
    for begin, stop, tint in ((places[1], places[2], colour), (places[0], places[1], first)):
        cv2.line(large, begin, stop, tint, max(2, round(4 * thick * u)), cv2.LINE_AA)
    return cv2.resize(large, photo.shape[1::-1], interpolation=cv2.INTER_AREA)
