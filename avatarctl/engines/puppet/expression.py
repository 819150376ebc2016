"""Brows, cheeks and lower lids: smooth bumps of displacement, one basis field a control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from avatarctl.engines.puppet import anatomy
from avatarctl.engines.puppet.head import FaceAxes
from avatarctl.engines.puppet.smooth import Array


@dataclass(frozen=True)
class ExpressionField:
    """Displacement in pixels for a control of 1 u (`furrow`: too); float32 (rows, columns, 2) each."""

    brow: Array
    furrow: Array
    cheek: Array
    squint: Array


def expression_field(axes: FaceAxes, landmarks: Array, points: Array) -> ExpressionField:
    """Bases at the lattice `points`; `landmarks`: float32 (478, 3)."""
    unit, right, down = axes.unit, axes.right * axes.unit, axes.down * axes.unit

    def bump(centre: Array, across: float, above: float, below: float) -> Array:
        offset = (points - centre) / np.float32(unit)
        x, y = offset @ axes.right / across, offset @ axes.down
        return np.asarray(np.exp(-(x**2) - (y / np.where(y < 0, above, below)) ** 2), np.float32)[..., None]

    brow = np.zeros_like(points)
    furrow, cheek, squint = brow.copy(), brow.copy(), brow.copy()
    for side, eye, cheek_points in zip((-1, 1), anatomy.EYES, anatomy.CHEEKS, strict=True):
        # Slow decay upwards over the forehead, a fast one down to the lid.
        brow -= bump(landmarks[list(eye.brow), :2].mean(0), 0.55, 0.55, 0.17) * down
        inner = bump(landmarks[eye.brow_inner, :2], 0.22, 0.55, 0.17)
        furrow += inner * (0.6 * down - 0.35 * side * right)
        on_cheek = bump(landmarks[list(cheek_points), :2].mean(0), 0.42, 0.34, 0.34)
        cheek += on_cheek * (0.25 * side * right - down)
        under_eye = landmarks[eye.lower[4], :2] + axes.down * np.float32(0.05 * unit)
        squint -= bump(under_eye, 0.30, 0.10, 0.10) * down
    return ExpressionField(brow, furrow, cheek, squint)


def displacement(basis: ExpressionField, amounts: Mapping[str, float]) -> Array | None:
    """The sum of the bases by their amounts in u; None when all are zero."""
    total: Array | None = None
    for field in fields(basis):
        amount = amounts.get(field.name, 0.0)
        if amount:
            part: Array = getattr(basis, field.name) * np.float32(amount)
            total = part if total is None else total + part
    return total
