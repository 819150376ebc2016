"""Pictures without a face, some of which look a little like one. Deterministic."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from tests.quality.paint import Image, to_bytes

SIDE = 512


def _noise(sigma: float, grey: bool = False) -> Image:
    random = np.random.default_rng(7)
    channels = 1 if grey else 3
    picture = random.normal(0, 1, (SIDE, SIDE, channels))
    if sigma:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma).reshape(SIDE, SIDE, channels)
    return to_bytes(np.broadcast_to(128 + 50 * picture / picture.std(), (SIDE, SIDE, 3)))


def _fractal() -> Image:
    """Clouds."""
    random = np.random.default_rng(5)
    total = sum(
        cv2.resize(random.normal(0, 1, (n, n)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) / n
        for n in (4, 8, 16, 32, 64, 128)
    )
    return to_bytes(np.dstack([total * 300 + 130, total * 260 + 150, total * 200 + 170]))


def _stripes(angle: float, period: float) -> Image:
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    return to_bytes(np.repeat(128 + 100 * wave[..., None], 3, axis=2))


def _gradient() -> Image:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return to_bytes(np.dstack([255 * x, 200 * y, 255 * (1 - x)]))


def _text() -> Image:
    page = np.full((SIDE, SIDE, 3), 245, np.uint8)
    for row in range(22):
        cv2.putText(
            page, "The quick brown fox jumps over 0123456789"[row % 7 :], (12, 24 + row * 22), 0, 0.55, (20,) * 3
        )
    return page


def _dots(eyes: float, mouth: float) -> Image:
    """Two dots and a bar."""
    page = np.full((SIDE, SIDE, 3), 210, np.uint8)
    for x in (256 - eyes, 256 + eyes):
        cv2.circle(page, (int(x), 210), 22, (30, 30, 30), -1, cv2.LINE_AA)
    cv2.line(page, (int(256 - mouth), 330), (int(256 + mouth), 330), (30, 30, 30), 12, cv2.LINE_AA)
    return page


def _smiley() -> Image:
    page = np.full((SIDE, SIDE, 3), 255, np.uint8)
    cv2.circle(page, (256, 256), 180, (250, 215, 60), -1, cv2.LINE_AA)
    cv2.circle(page, (256, 256), 180, (60, 50, 10), 6, cv2.LINE_AA)
    for x in (190, 322):
        cv2.ellipse(page, (x, 210), (18, 30), 0, 0, 360, (40, 30, 10), -1, cv2.LINE_AA)
    cv2.ellipse(page, (256, 270), (105, 85), 0, 15, 165, (40, 30, 10), 9, cv2.LINE_AA)
    return page


def _socket() -> Image:
    wall = to_bytes(np.full((SIDE, SIDE, 3), 225.0) + np.random.default_rng(2).normal(0, 2, (SIDE, SIDE, 3)))
    cv2.rectangle(wall, (150, 130), (362, 382), (245, 245, 240), -1)
    cv2.rectangle(wall, (150, 130), (362, 382), (150, 150, 150), 3)
    for x in (205, 307):
        cv2.rectangle(wall, (x - 8, 200), (x + 8, 250), (40, 40, 40), -1)
    cv2.circle(wall, (256, 310), 18, (40, 40, 40), -1, cv2.LINE_AA)
    return wall


def _car() -> Image:
    """Two head lamps, a grille."""
    page = cv2.resize(_gradient(), (SIDE, SIDE))
    cv2.rectangle(page, (70, 150), (442, 400), (150, 20, 30), -1)
    for x in (140, 372):
        cv2.circle(page, (x, 230), 40, (240, 240, 220), -1, cv2.LINE_AA)
        cv2.circle(page, (x, 230), 18, (90, 90, 100), -1, cv2.LINE_AA)
    for y in range(290, 360, 14):
        cv2.line(page, (170, y), (342, y), (20, 20, 20), 6)
    return cv2.GaussianBlur(page, (0, 0), 1.5)


def _building() -> Image:
    page = cv2.GaussianBlur(_gradient(), (0, 0), 30)
    for y in range(60, 460, 80):
        for x in range(60, 460, 70):
            cv2.rectangle(page, (x, y), (x + 34, y + 48), (40, 50, 70), -1)
            cv2.rectangle(page, (x, y), (x + 34, y + 48), (220, 220, 220), 2)
    return page


def _ball() -> Image:
    """A shaded ball of the colour of skin."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = np.clip(1 - np.hypot(x - 256, (y - 256) * 0.8) / 170, 0, 1) ** 0.5
    light = np.clip(0.5 + 0.5 * inside - 0.0006 * (x - 200), 0, 1.1)
    skin = np.array([224, 172, 140]) * light[..., None]
    return to_bytes(np.where(inside[..., None] > 0, skin, (90, 110, 130)))


def _fruit() -> Image:
    """Apples on a table."""
    page = np.full((SIDE, SIDE, 3), (140, 100, 70), np.uint8)
    for x, y, r, colour in (
        (180, 210, 70, (200, 40, 40)),
        (330, 210, 72, (60, 160, 50)),
        (256, 350, 80, (220, 170, 40)),
    ):
        for k in range(r, 0, -2):
            shade = 0.5 + 0.5 * (1 - k / r)
            cv2.circle(page, (x - (r - k) // 4, y - (r - k) // 4), k, [c * shade for c in colour], -1, cv2.LINE_AA)
    return page


def _chess() -> Image:
    y, x = np.mgrid[:SIDE, :SIDE] // 64
    return to_bytes(np.repeat(((x + y) % 2 * 200 + 30.0)[..., None], 3, axis=2))


def _leaves() -> Image:
    random = np.random.default_rng(11)
    page = np.full((SIDE, SIDE, 3), (30, 50, 20), np.uint8)
    for _ in range(900):
        centre = random.integers(0, SIDE, 2).tolist()
        axes = (int(random.integers(6, 26)), int(random.integers(3, 9)))
        colour = [float(v) for v in random.uniform((20, 70, 10), (120, 190, 70))]
        cv2.ellipse(page, centre, axes, float(random.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return page


NON_FACES: dict[str, Callable[[], Image]] = {
    "white": lambda: np.full((SIDE, SIDE, 3), 255, np.uint8),
    "black": lambda: np.zeros((SIDE, SIDE, 3), np.uint8),
    "noise": lambda: _noise(0),
    "soft noise": lambda: _noise(4),
    "softer noise": lambda: _noise(12),
    "softest noise": lambda: _noise(30),
    "grey noise": lambda: _noise(8, grey=True),
    "clouds": _fractal,
    "stripes": lambda: _stripes(0.3, 24),
    "wide stripes": lambda: _stripes(1.5, 90),
    "gradient": _gradient,
    "text": _text,
    "dots": lambda: _dots(60, 60),
    "wide dots": lambda: _dots(90, 40),
    "smiley": _smiley,
    "socket": _socket,
    "car": _car,
    "building": _building,
    "ball": _ball,
    "fruit": _fruit,
    "chess": _chess,
    "leaves": _leaves,
}
