"""What befalls a photo between the face and the file: light, colour casts, paper, print, cropping. Deterministic.

Pictures are RGB uint8 (height, width, 3); `points` are a face's landmarks, float32 (478, 3), pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from tests.quality.paint import Floats, Image, grey, mix, region, scaled, to_bytes, unit

# -- light and colour


def half_shadow(photo: Image, points: Floats, left: float = 0.28) -> Image:
    """A hard-edged shadow over the face's right half, slanted, as of a door frame."""
    u = unit(points)
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    nose = points[mesh.NOSE_TIP, :2]
    beyond = (x - nose[0]) + 0.3 * (y - nose[1])
    lit = np.clip(beyond / (0.06 * u) + 0.5, 0, 1)[..., None]
    return to_bytes(photo * (left + (1 - left) * lit))


def blinds(photo: Image, points: Floats) -> Image:
    """Stripes of shadow across the face."""
    u = unit(points)
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    wave = np.sin((y - 0.25 * x) / (0.42 * u) * 2 * np.pi)
    return to_bytes(photo * (0.7 + 0.3 * np.clip(4 * wave, -1, 1))[..., None])


def cast(photo: Image, red: float, green: float, blue: float) -> Image:
    """The light of a coloured lamp."""
    return to_bytes(photo * np.array([red, green, blue]))


def two_lamps(photo: Image, points: Floats) -> Image:
    """On a stage: a magenta lamp from one side, a cyan one from the other."""
    x = np.arange(photo.shape[1], dtype=np.float32)
    right = 1 / (1 + np.exp(-(x - points[mesh.NOSE_TIP, 0]) / (0.35 * unit(points))))[None, :, None]
    pale = 0.5 * photo + 0.5 * photo.mean(axis=2, keepdims=True)
    return to_bytes(pale * ((1 - right) * np.array([1.2, 0.25, 0.9]) + right * np.array([0.2, 0.9, 1.2])))


def contrasty(photo: Image) -> Image:
    """More contrast than there is room for: black shadows, white lights."""
    return to_bytes((photo.astype(np.float32) - 110) * 2.2 + 128)


# -- paper and print


def scan(photo: Image, points: Floats) -> Image:
    """A faded print: little contrast, the paper's grain, dust and scratches."""
    random = np.random.default_rng(5)
    u = unit(points)
    shape = photo.shape[:2]
    pale = grey(photo) * 0.4 + np.array([118.0, 108.0, 90.0])
    grain = cv2.GaussianBlur(random.normal(0, 1, shape).astype(np.float32), (0, 0), max(0.6, 0.012 * u))
    pale += (grain / grain.std() * 9)[..., None]
    marks = np.zeros(shape, np.float32)
    for _ in range(26):
        x, y = random.uniform((0, 0), shape[::-1])
        lean, length = random.normal(0, 0.3), random.uniform(0.3, 3) * u
        ends = np.rint(np.array([[x, y], [x + lean * length, y + length]]) * 16).astype(int)
        cv2.line(marks, ends[0], ends[1], 1.0, max(1, round(0.012 * u)), cv2.LINE_AA, 4)
    for _ in range(60):
        x, y = np.rint(random.uniform((0, 0), shape[::-1])).astype(int)
        cv2.circle(marks, (int(x), int(y)), max(1, round(random.uniform(0.008, 0.03) * u)), 1.0, -1, cv2.LINE_AA)
    marks = 0.8 * marks[..., None]
    return to_bytes(pale * (1 - marks) + 232 * marks)


def halftone(photo: Image, points: Floats, cell: float = 0.055) -> Image:
    """Newspaper: black dots at 45 degrees, `cell` u apart, larger where it is darker."""
    step = max(3.0, cell * unit(points))
    large = 2
    light = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), None, fx=large, fy=large, interpolation=cv2.INTER_CUBIC)
    light = cv2.GaussianBlur(light, (0, 0), 0.3 * step * large).astype(np.float32) / 255
    y, x = np.mgrid[: light.shape[0], : light.shape[1]].astype(np.float32) / (step * large) * np.pi
    screen = 0.5 + 0.25 * (np.cos(x + y) + np.cos(x - y))
    dots = np.clip((light - screen) * 5 + 0.5, 0, 1) * 255
    return grey(cv2.cvtColor(to_bytes(scaled(dots, 1 / large)), cv2.COLOR_GRAY2RGB))


def thumbnail(photo: Image, side: int, back: int = 900, percent: int = 70) -> Image:
    """Brought down to `side` pixels, kept as JPEG, and enlarged again."""
    small = scaled(photo, side / max(photo.shape[:2]))
    small = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, percent])[1], cv2.IMREAD_COLOR)
    return scaled(small, back / side)


# -- framing


def framed(photo: Image, points: Floats, left: float, top: float, right: float, bottom: float) -> Image:
    """Cut at so many u from the face's oval, outwards; beyond the photo it ends with it."""
    u = unit(points)
    oval = points[list(mesh.FACE_OVAL), :2]
    (x0, y0), (x1, y1) = oval.min(0), oval.max(0)
    x0, y0 = max(0, int(x0 - left * u)), max(0, int(y0 - top * u))
    x1, y1 = int(x1 + right * u), int(y1 + bottom * u)
    return np.ascontiguousarray(photo[y0:y1, x0:x1])


def in_a_scene(photo: Image, points: Floats, face: float, size: tuple[int, int], at: tuple[float, float]) -> Image:
    """The photo, its face `face` pixels wide, somewhere (`at`, parts of the room that is left) in a large picture."""
    oval = points[list(mesh.FACE_OVAL), 0]
    small = scaled(photo, face / np.ptp(oval))
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    scene = np.stack([90 + 60 * y / height, 120 + 30 * x / width, 100 + 40 * np.sin(x / 90) * np.sin(y / 70)], axis=-1)
    small = small[: min(small.shape[0], height), : min(small.shape[1], width)]
    left, top = int(at[0] * (width - small.shape[1])), int(at[1] * (height - small.shape[0]))
    made = to_bytes(scene + np.random.default_rng(2).normal(0, 4, scene.shape))
    made[top : top + small.shape[0], left : left + small.shape[1]] = small
    return made


def vignette(photo: Image, points: Floats) -> Image:
    """An oval cut-out on white, as in a locket."""
    oval = points[list(mesh.FACE_OVAL), :2]
    centre = oval.mean(0) - (0, 0.15 * unit(points))
    return mix(
        photo, np.full(photo.shape, 250.0), 1 - region(photo, centre + 1.5 * (oval - centre), 0.08 * unit(points))
    )


# -- what is around a photo


def round_photo(photo: Image, points: Floats, radius: float = 1.75, corner: float = 255.0) -> Image:
    """A circle of `radius` u about the face, as messengers show their users, in its square."""
    u = unit(points)
    x, y = points[mesh.NOSE_TIP, :2] - (0, 0.2 * u)
    reach = min(radius * u, x, y)
    x0, y0, side = int(x - reach), int(y - reach), int(2 * reach)
    part = photo[y0 : y0 + side, x0 : x0 + side]
    rows, columns = np.mgrid[: part.shape[0], : part.shape[1]].astype(np.float32)
    beyond = np.clip(np.hypot(columns + x0 - x, rows + y0 - y) - reach + 1, 0, 1)[..., None]
    return mix(part, np.full(part.shape, corner), beyond)


def letterbox(photo: Image, bar: int = 120) -> Image:
    return cv2.copyMakeBorder(photo, bar, bar, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def captioned(photo: Image) -> Image:
    """In a passe-partout and a wooden frame, with a name below."""
    inner = cv2.copyMakeBorder(photo, 12, 12, 12, 12, cv2.BORDER_CONSTANT, value=(240, 240, 235))
    made = cv2.copyMakeBorder(inner, 40, 90, 40, 40, cv2.BORDER_CONSTANT, value=(110, 70, 30))
    return cv2.putText(made, "ANNA 1987", (60, made.shape[0] - 30), 0, 1.3, (250, 240, 220), 3, cv2.LINE_AA)


def polaroid(photo: Image, degrees: float) -> Image:
    """On white paper, broader below, that lies on a wooden table, turned clockwise."""
    side = round(0.06 * min(photo.shape[:2]))
    made = cv2.copyMakeBorder(photo, side, 4 * side, side, side, cv2.BORDER_CONSTANT, value=(242, 240, 232))
    made = cv2.copyMakeBorder(made, *[6 * side] * 4, cv2.BORDER_CONSTANT, value=(96, 70, 46))
    height, width = made.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    made = cv2.warpAffine(made, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    grain = np.random.default_rng(9).normal(0, 4, (height // 8 + 1, width)).repeat(8, 0)[:height, :, None]
    wood = np.abs(made.astype(np.int16) - (96, 70, 46)).max(-1, keepdims=True) < 10
    return to_bytes(made + grain * wood)


def screenshot(photo: Image) -> Image:
    """Of a telephone: clock, the name of an album, the photo, keys."""
    width, top = 720, 300
    shown = scaled(photo, width / photo.shape[1])
    page = np.full((top + shown.shape[0] + 300, width, 3), 18, np.uint8)
    page[top : top + shown.shape[0]] = shown
    page[60:150] = (30, 60, 110)
    cv2.putText(page, "12:41  87%", (20, 42), 0, 0.9, (240, 240, 240), 2, cv2.LINE_AA)
    cv2.putText(page, "Summer", (20, 118), 0, 1.2, (255, 255, 255), 2, cv2.LINE_AA)
    for x in (80, 170, 260):
        cv2.circle(page, (x, len(page) - 120), 28, (230, 60, 90), 3, cv2.LINE_AA)
    return page


def outlined(photo: Image, person: NDArray[np.uint8], colour: tuple[int, int, int], breadth: int = 3) -> Image:
    """With a line around the person, uint8 (height, width), 0 or 1, as on a poster."""
    line = cv2.dilate(person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * breadth + 1,) * 2)) - person
    return np.where(line[..., None] > 0, np.array(colour, np.uint8), photo)


def striped(shape: tuple[int, ...], breadth: int = 18, *, level: bool = False) -> Image:
    """Wallpaper."""
    place = np.arange(shape[0] if level else shape[1]) // breadth % 2
    lines = np.where(place[:, None], np.array([230, 225, 215]), np.array([60, 80, 130])).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(lines[:, None] if level else lines[None], (*shape[:2], 3)))
