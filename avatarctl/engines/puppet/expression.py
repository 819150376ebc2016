"""Brows, cheeks and lower lids: smooth bumps of displacement, one basis field a control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import cv2
import numpy as np

from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.head import FaceAxes
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array

UNDER_BROW = 0.12, 0.05
"""Below the middle of a brow, u: over how much skin its motion ends, and how far it moves as a whole. A brow that were
stretched would lose its hairs' sharpness whenever it rises."""


@dataclass(frozen=True)
class ExpressionField:
    """Displacement in pixels for a control of 1 u (`furrow`: too); float32 (rows, columns, 2) each."""

    brow: Array
    brow_inner: Array
    brow_skew: Array
    furrow: Array
    cheek: Array
    squint: Array


def expression_field(axes: FaceAxes, landmarks: Array, points: Array, frame: Array) -> ExpressionField:
    """Bases at the lattice `points`; `landmarks`: float32 (478, 3). `frame`: of glasses, as of `glasses.find`:
    it does not bend."""
    unit, right, down = axes.unit, axes.right * axes.unit, axes.down * axes.unit

    def bump(centre: Array, across: float, above: float, below: float, whole: float = 0.0) -> Array:
        offset = (points - centre) / np.float32(unit)
        x, y = offset @ axes.right / across, offset @ axes.down
        falls = np.where(y < 0, y / above, np.maximum(y - whole, 0) / below)
        return np.asarray(np.exp(-(x**2) - falls**2), np.float32)[..., None]

    brow = np.zeros_like(points)
    inner, skew, furrow, cheek, squint = (np.zeros_like(points) for _ in range(5))
    for side, eye, cheek_points in zip((-1, 1), anatomy.EYES, anatomy.CHEEKS, strict=True):
        # Slow decay upwards over the forehead, a fast one down to the lid.
        centre = landmarks[list(eye.brow), :2].mean(0)
        whole = bump(centre, 0.55, 0.55, *UNDER_BROW)
        brow -= whole * down
        # Left and right overlap over the nose: what goes up on one side and down on the other is narrower.
        skew -= side * bump(centre, 0.38, 0.5, *UNDER_BROW) * down
        end = bump(landmarks[eye.brow_inner, :2], 0.22, 0.55, *UNDER_BROW)
        inner -= bump(landmarks[eye.brow_inner, :2], 0.26, 0.5, *UNDER_BROW) * (down + 0.25 * side * right)
        furrow += end * (0.64 * down - 0.37 * side * right)
        on_cheek = bump(landmarks[list(cheek_points), :2].mean(0), 0.42, 0.34, 0.34)
        cheek += on_cheek * (0.25 * side * right - down)
        under_eye = landmarks[eye.lower[4], :2] + axes.down * np.float32(0.05 * unit)
        squint -= bump(under_eye, 0.30, 0.10, 0.10) * down
    free = _free(axes, points, frame)
    return ExpressionField(*(basis * free for basis in (brow, inner, skew, furrow, cheek, squint)))


def _free(axes: FaceAxes, points: Array, frame: Array) -> Array | np.float32:
    """How freely the skin moves at the points: not under a frame of glasses, a little beside it."""
    if not frame.any():
        return np.float32(1)
    sigma = 0.05 * axes.unit
    near = cv2.GaussianBlur(
        cv2.dilate(frame, np.ones((3, 3), np.uint8), iterations=max(1, round(sigma))), (0, 0), sigma
    )
    held = remap(np.asarray(near, np.float32), points)
    return np.asarray(1 - np.clip(1.1 * held, 0, 1), np.float32)[..., None]


def displacement(basis: ExpressionField, amounts: Mapping[str, float]) -> Array | None:
    """The sum of the bases by their amounts in u; None when all are zero."""
    total: Array | None = None
    for field in fields(basis):
        amount = amounts.get(field.name, 0.0)
        if amount:
            part: Array = getattr(basis, field.name)
            total = part * np.float32(amount) if total is None else np.asarray(cv2.scaleAdd(part, amount, total))
    return total
