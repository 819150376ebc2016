"""Glasses: where their frame and its glare lie over the face, which neither lids nor brows may move."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.head import FaceAxes
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, smoothstep

BRIDGE = 0.18
"""Steps down the bridge of the nose above this part of the skin's brightness are of a frame."""


def find(canvas: NDArray[np.uint8], landmarks: Array, axes: FaceAxes) -> Array:
    """How much of each pixel of the canvas, float32 (height, width) 0..1, is a frame or glare; zeros without
    glasses. `landmarks`: float32 (478, 3), canvas pixels."""
    nothing = np.zeros(canvas.shape[:2], np.float32)
    skin = skin_colour(canvas, landmarks)
    if bridge_step(canvas, landmarks, axes, skin) < BRIDGE:
        return nothing
    return frame_map(canvas, landmarks, axes, skin)


def skin_colour(canvas: NDArray[np.uint8], landmarks: Array) -> Array:
    """Of cheeks and forehead, float32 (3,)."""
    points = landmarks[list(anatomy.SKIN), :2][None]
    return np.asarray(np.maximum(np.median(remap(canvas, points)[0].astype(np.float32), 0), 1), np.float32)


def bridge_step(canvas: NDArray[np.uint8], landmarks: Array, axes: FaceAxes, skin: Array) -> float:
    """The largest step down the bridge of the nose, in the skin's brightness."""
    middle = landmarks[[i for eye in anatomy.EYES for i in eye.corners], :2].mean(0)
    down, right = np.meshgrid(np.linspace(-0.2, 0.3, 101), np.linspace(-0.07, 0.07, 15), indexing="ij")
    at = middle + (down[..., None] * axes.down + right[..., None] * axes.right) * axes.unit
    strip = remap(canvas, at.astype(np.float32)).astype(np.float32)
    profile = np.median(strip, 1)
    step = np.abs(profile[6:] - profile[:-6]).max(-1)
    return float(step.max() / skin.mean())


def frame_map(canvas: NDArray[np.uint8], landmarks: Array, axes: FaceAxes, skin: Array) -> Array:
    """Dark, oddly coloured or glaring pixels around the eyes, but for the eyes themselves."""
    rows, columns = canvas.shape[:2]
    unit = np.float32(axes.unit)
    across, down = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    at = np.stack([across, down], -1)
    eyes = [landmarks[list(eye.corners), :2].mean(0) for eye in anatomy.EYES]
    middle = (eyes[0] + eyes[1]) / 2
    right, low = ((at - middle) @ axis / unit for axis in (axes.right, axes.down))
    zone = (
        (1 - smoothstep(0.95, 1.1, np.abs(right))) * smoothstep(-0.36, -0.30, low) * (1 - smoothstep(0.45, 0.55, low))
    )
    light = cv2.GaussianBlur(canvas, (0, 0), max(0.5, 0.006 * axes.unit)).astype(np.float32)
    ratio = light / skin
    dark = 1 - smoothstep(0.36, 0.52, ratio.max(-1))
    tint = ratio / np.maximum(ratio.mean(-1, keepdims=True), 0.05)
    odd = smoothstep(0.22, 0.34, np.abs(tint - 1).max(-1)) * smoothstep(0.3, 0.5, ratio.max(-1))
    glare = smoothstep(0.85, 0.95, light.min(-1) / max(float(np.percentile(light, 99.5)), 1)) * smoothstep(
        1.25, 1.5, ratio.min(-1)
    )
    found = np.maximum(np.maximum(dark, odd), glare) * zone
    for eye in anatomy.EYES:
        corners = landmarks[list(eye.corners), :2]
        half = float(np.linalg.norm(corners[1] - corners[0]) / 2)
        outline = landmarks[list(eye.upper + eye.lower), :2]
        centre, tall = outline.mean(0), float(np.ptp(outline @ axes.down)) / 2
        x, y = ((at - centre) @ axis for axis in (axes.right, axes.down))
        away = np.hypot(x / (1.12 * half + 0.04 * unit), y / (tall + 0.10 * unit))
        found *= smoothstep(0.9, 1.1, away)
    # Specks are wrinkles; a frame is long.
    mask = (found > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = np.zeros(count, bool)
    keep[1:] = np.maximum(stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT]) > 0.12 * unit
    kept = keep[labels].astype(np.float32)
    grown = cv2.dilate(kept, np.ones((3, 3), np.uint8), iterations=max(1, round(0.012 * float(unit))))
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), max(0.5, 0.006 * float(unit))), np.float32)
