"""A contact sheet of a rig: everything that a puppet does, drawn straight from controls, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.controls import INDEX
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig
from avatarctl.text.visemes import CLASSES, POSE

Image = NDArray[np.uint8]

VISEMES = {
    "A": "open",
    "E": "mid front",
    "I": "close front",
    "O": "mid round",
    "U": "close round",
    "M": "bilabial stop",
    "F": "labiodental",
    "L": "lateral",
    "S": "sibilant",
    "SH": "hushing",
}
POSES: dict[str, dict[str, float]] = {
    "yaw -8": {"yaw": -8},
    "yaw +8": {"yaw": 8},
    "pitch -6": {"pitch": -6},
    "pitch +6": {"pitch": 6},
    "roll -5": {"roll": -5},
    "roll +5": {"roll": 5},
    "happy": {"smile": 0.7, "cheek": 0.02, "squint": 0.015},
    "sad": {"smile": -0.6, "brow_inner": 0.05, "lid": 0.15},
    "surprised": {"brow": 0.07, "lid": -0.3, "open": 0.08, "jaw": 0.07},
    "thinking": {"furrow": 0.03, "brow_skew": 0.03, "gaze_x": 10, "gaze_y": -8},
    "happy A": {"smile": 0.7, "open": 0.25, "jaw": 0.22, "up": 0.02},
}
EYES: dict[str, dict[str, float]] = {
    "rest": {},
    **{f"blink {amount}": {"blink": amount} for amount in (0.25, 0.5, 0.75, 1.0)},
    "gaze left": {"gaze_x": -14},
    "gaze right": {"gaze_x": 14},
    "gaze up": {"gaze_y": -10},
    "gaze down": {"gaze_y": 10},
    "wide": {"lid": -0.3},
    "heavy": {"lid": 0.4},
}
TILE = 208


def row(values: Mapping[str, float]) -> NDArray[np.float32]:
    """A row of controls; what this version of the puppet does not know is left out."""
    made = np.zeros(len(INDEX), np.float32)
    for name, value in values.items():
        if name in INDEX:
            made[INDEX[name]] = value
    return made


def sheet(rig: Rig, points: NDArray[np.floating], title: str) -> Image:
    """RGB. `points`: landmarks of the rig at rest, (478, 2), pixels of its picture."""
    renderer = Renderer(rig)
    visemes: dict[str, dict[str, float]] = {"rest": {}}
    for label, name in VISEMES.items():
        visemes[label] = dict(zip(POSE, CLASSES[name].pose, strict=True))
    drawn = {label: renderer.render(row(values)) for label, values in visemes.items()}
    eyes = {label: renderer.render(row(values)) for label, values in EYES.items()}
    oval = points[[10, 152, 234, 454]]
    around = _square(oval.mean(axis=0), 1.45 * np.ptp(oval[:, 1]))
    unit = float(np.hypot(*(points[[263, 362]].mean(axis=0) - points[[33, 133]].mean(axis=0))))
    mouth = _square(points[[13, 14]].mean(axis=0) + np.array([0, 0.1 * unit]), 1.7 * unit)
    eye_band = _square(points[[33, 133, 263, 362]].mean(axis=0), 2.2 * unit)
    rows = [
        [_tile(p, around, label) for label, p in drawn.items()],
        [_tile(p, mouth, label) for label, p in drawn.items()],
        [_tile(p, eye_band, label, 0.55) for label, p in eyes.items()],
        [_tile(renderer.render(row(v)), around, label) for label, v in POSES.items()],
    ]
    body = np.vstack([np.hstack(r) for r in rows])
    head = np.full((26, body.shape[1], 3), 30, np.uint8)
    cv2.putText(head, title, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([head, body])


def _square(centre: NDArray[np.floating], side: float) -> tuple[float, float, float]:
    return float(centre[0]), float(centre[1]), float(side)


def _tile(picture: Image, place: tuple[float, float, float], label: str, flat: float = 1.0) -> Image:
    """A square of the picture, or its middle band, `flat` of the height."""
    x, y, side = place
    scale = TILE / side
    height = round(TILE * flat)
    move = np.array([[scale, 0, TILE / 2 - scale * x], [0, scale, height / 2 - scale * y]])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    made = cv2.warpAffine(picture, move, (TILE, height), flags=method, borderMode=cv2.BORDER_CONSTANT)
    cv2.putText(made, label, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(made, label, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
    return np.asarray(made, np.uint8)
