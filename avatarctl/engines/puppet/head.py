"""The head as a thing in space: its depth, what moves with it, and its rotation.

Depth comes from the face mesh, continued around the head by a thin-plate spline. z grows away from the
camera and is in pixels of the canvas, like x and y.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.smooth import Array, smoothstep

RINGS = ((1.3, 0.3), (1.7, 0.65), (2.2, 0.9), (3.2, 1.0))
"""Copies of the face's oval that continue its depth: their size in ovals, and how far behind it, in u."""
SPLINE_STIFFNESS = 2e-3


@dataclass(frozen=True)
class FaceAxes:
    """The face in the canvas. `unit` (u): distance of the eye centres, pixels. `right`, `down`: unit vectors
    of the image, float32 (2,), along the eyes and from forehead to chin. `centre`, `top`, `chin`: float32
    (2,). `half_width`, `half_height`: of the face's oval, pixels."""

    unit: float
    right: Array
    down: Array
    centre: Array
    top: Array
    chin: Array
    half_width: float
    half_height: float


def face_axes(landmarks: Array) -> FaceAxes:
    """Measure the face. `landmarks`: float32 (478, 3), canvas pixels."""
    left, right = (landmarks[list(eye.corners), :2].mean(0) for eye in anatomy.EYES)
    unit = float(np.linalg.norm(right - left))
    across = ((right - left) / unit).astype(np.float32)
    top, chin = landmarks[mesh.FOREHEAD, :2], landmarks[mesh.CHIN, :2]
    temples = landmarks[list(anatomy.TEMPLES), :2]
    return FaceAxes(
        unit=unit,
        right=across,
        down=np.array([-across[1], across[0]], np.float32),
        centre=temples.mean(0).astype(np.float32),
        top=top.astype(np.float32),
        chin=chin.astype(np.float32),
        half_width=float(np.linalg.norm(temples[1] - temples[0]) / 2),
        half_height=float(np.linalg.norm(top - chin) / 2),
    )


class Depth:
    """Depth of the face and its surroundings: a thin-plate spline (Duchon 1977) through the mesh."""

    def __init__(self, landmarks: Array, unit: float) -> None:
        oval = landmarks[list(mesh.FACE_OVAL)].astype(np.float64)
        centre, rim = oval[:, :2].mean(0), float(oval[:, 2].mean())
        face = landmarks[: anatomy.MESH_POINTS].astype(np.float64)
        places, depths = [face[:, :2]], [face[:, 2]]
        for size, behind in RINGS:
            places.append(centre + (oval[:, :2] - centre) * size)
            depths.append(np.full(len(oval), rim + behind * unit))
        self._unit = unit
        self._centres = np.concatenate(places) / unit
        z = np.concatenate(depths) / unit
        n = len(z)
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = self._kernel(self._centres) + SPLINE_STIFFNESS * np.eye(n)
        system[:n, n:] = np.c_[np.ones(n), self._centres]
        system[n:, :n] = system[:n, n:].T
        self._weights = np.linalg.solve(system, np.r_[z, 0, 0, 0])
        self._range = (float(z.min()), rim / unit + 1)

    def _kernel(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = (points**2).sum(1)[:, None] + (self._centres**2).sum(1) - 2 * points @ self._centres.T
        squares = np.maximum(squares, 0)
        return np.asarray(0.5 * squares * np.log(squares + 1e-9), np.float64)

    def at(self, points: Array) -> Array:
        """Depth in pixels at canvas points; float32 (rows, columns, 2) -> (rows, columns)."""
        n = len(self._centres)
        scaled = points.reshape(-1, 2).astype(np.float64) / self._unit
        depth = np.empty(len(scaled))
        for start in range(0, len(scaled), 2048):
            part = scaled[start : start + 2048]
            spline = self._kernel(part) @ self._weights[:n]
            depth[start : start + 2048] = spline + self._weights[n] + part @ self._weights[n + 1 :]
        return (np.clip(depth, *self._range) * self._unit).astype(np.float32).reshape(points.shape[:-1])


def head_weight(axes: FaceAxes, points: Array) -> Array:
    """How much of the head's motion a point follows: 1 on the head, 0 on shoulders and background.

    What lies between bends; it is no wider than hair and hats are, so that more of the background stands still.
    """
    unit, chin = axes.unit, float(axes.chin @ axes.down)
    middle = (float(axes.top @ axes.down) + chin) / 2 - 0.15 * unit
    across = points @ axes.right - float(axes.centre @ axes.right)
    down = points @ axes.down
    radius = np.hypot(across / (1.3 * axes.half_width), (down - middle) / (1.3 * axes.half_height))
    around = 1 - smoothstep(1.05, 1.65, radius)
    neck = 1 - smoothstep(chin - 0.05 * unit, chin + 0.95 * unit, down)
    return (around * neck).astype(np.float32)


def within_frame(points: Array, width: int, height: int) -> Array:
    """0 at the borders of the frame, 1 further in: what the frame cuts off stays at its border, where nothing is known
    of what would come into view. The lower border holds less, for the sake of the chin."""
    x, y = points[..., 0], points[..., 1]
    inwards = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, 2 * (height - 1 - y)))
    return smoothstep(0, HELD * min(width, height), inwards)


def carried_weight(axes: FaceAxes, points: Array) -> Array:
    """The same for a person who is cut out: all of the head and its hair follow as one, the neck less and less.

    Background does not matter here, so nothing has to fade out around the head.
    """
    unit, chin = axes.unit, float(axes.chin @ axes.down)
    aside = np.abs(points @ axes.right - float(axes.centre @ axes.right)) / np.float32(axes.half_width)
    jaw = chin - unit * (0.05 + 0.2 * smoothstep(0.3, 1.2, aside))
    below = (points @ axes.down - jaw) * (1 + 1.5 * smoothstep(1.0, 2.2, aside))
    return (1 - smoothstep(0, 1.05 * unit, below)).astype(np.float32)


HELD = 0.12
"""How far a frame holds what it cuts off, shorter sides of it."""
BREATH, SPREAD, RIDE = 0.026, 0.009, 0.3
"""A full breath raises the shoulders and spreads them, in u; the head rides up by that part of the rise."""
FOLLOW = 0.12
"""Part of the head's turns and shifts that the shoulders follow."""


def breath_field(axes: FaceAxes, points: Array, weight: Array, *, everywhere: bool) -> Array:
    """Where a full breath moves the body, float32 (rows, columns, 2), pixels. `weight`: the head's.

    `everywhere`: shoulders too; otherwise only what lies below the face, where no background can bend.
    """
    unit = np.float32(axes.unit)
    aside = (points @ axes.right - np.float32(axes.centre @ axes.right)) / unit
    below = (points @ axes.down - np.float32(axes.chin @ axes.down)) / unit
    strength = smoothstep(0.0, 0.8, below) * (1 - 0.5 * smoothstep(1.4, 4.0, below)) * (1 - weight)
    if not everywhere:
        strength = strength * (1 - smoothstep(0.35, 1.0, np.abs(aside))) * smoothstep(0.2, 1.0, below)
    up = -BREATH * unit * strength[..., None] * axes.down
    outward = SPREAD * unit * (strength * np.tanh(aside / 1.5))[..., None] * axes.right
    return np.asarray(up + outward, np.float32)


@dataclass(frozen=True)
class Pose:
    """Rotation about the neck, then a shift in the image plane. `rotation`: float32 (3, 3); `shift`:
    float32 (2,), pixels; `pivot`: float32 (3,), pixels. `body`: what the shoulders do meanwhile; `breath`:
    0..1."""

    rotation: Array
    shift: Array
    pivot: Array
    body: Pose | None = None
    breath: float = 0.0

    def apply(self, points: Array, depth: Array) -> Array:
        """Where points of the head come to lie; float32 (..., 2) and (...) -> (..., 2). Orthographic."""
        turn = self.rotation
        from_start = self.pivot[:2] + self.shift - turn[:2] @ self.pivot
        moved = np.empty(points.shape, np.float32)
        # By axis: NumPy's matrix product is slow for two by two.
        x, y = np.ascontiguousarray(points[..., 0]), np.ascontiguousarray(points[..., 1])
        for axis in (0, 1):
            moved[..., axis] = turn[axis, 0] * x + turn[axis, 1] * y + turn[axis, 2] * depth + from_start[axis]
        return moved

    def motion(self, axis: int, x: Array, y: Array, depth: Array) -> Array:
        """How far points go along one axis of the image, float32; all of one shape (rows, columns)."""
        along = self.rotation[axis].tolist()
        start = self.pivot[axis] + self.shift[axis] - self.rotation[axis] @ self.pivot
        along[axis] -= 1
        flat = cv2.addWeighted(x, along[0], y, along[1], float(start))
        return np.asarray(cv2.scaleAdd(depth, along[2], flat), np.float32)


def neck_pivot(axes: FaceAxes, landmarks: Array) -> Array:
    """The joint that the head turns about: below the chin, at the depth of the ears; float32 (3,)."""
    along = float((axes.chin - axes.centre) @ axes.down) + 0.55 * axes.unit
    place = axes.centre + axes.down * np.float32(along)
    return np.array([place[0], place[1], landmarks[list(anatomy.TEMPLES), 2].mean()], np.float32)


def chest_pivot(axes: FaceAxes, neck: Array) -> Array:
    """The point that the shoulders turn about; float32 (3,)."""
    place = neck[:2] + axes.down * np.float32(2.4 * axes.unit)
    return np.array([place[0], place[1], neck[2]], np.float32)


def pose(pivot: Array, yaw: float, pitch: float, roll: float, shift: tuple[float, float]) -> Pose:
    """Angles in degrees (`yaw` to image right, `pitch` down, `roll` clockwise), `shift` in pixels."""
    y, p, r = np.deg2rad([yaw, pitch, roll])
    cy, sy, cp, sp, cr, sr = np.cos(y), np.sin(y), np.cos(p), np.sin(p), np.cos(r), np.sin(r)
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return Pose((about_z @ about_x @ about_y).astype(np.float32), np.array(shift, np.float32), pivot)


def stance(
    neck: Array,
    chest: Array,
    unit: float,
    angles: tuple[float, float, float],
    shift: tuple[float, float],
    breath: float,
) -> Pose:
    """The head's pose with what the shoulders do meanwhile.

    Args:
        neck, chest: what head and shoulders turn about; float32 (3,).
        unit: u, pixels.
        angles: yaw, pitch and roll, degrees.
        shift: pixels.
        breath: 0..1.
    """
    yaw, pitch, roll = angles
    body = pose(chest, FOLLOW * yaw, 0.0, FOLLOW * roll, (FOLLOW * shift[0], 0.0))
    ridden = shift[0], shift[1] - RIDE * BREATH * breath * unit
    return replace(pose(neck, yaw, pitch, roll, ridden), body=body, breath=breath)
