"""Which of the face mesh's points the puppet uses for what, in the image's order from left to right."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.facemesh import landmarks as mesh

MOUTH_CORNERS = (mesh.MOUTH_CORNER_RIGHT, mesh.MOUTH_CORNER_LEFT)
LIP_CENTRES = (0, 11, 12, 15, 16, 17)
"""Down the middle of both lips."""
NOSE_BASE = mesh.NOSE_BASE[2]
TEMPLES = (234, 454)
"""Where the oval is widest, beside the ears."""
SKIN = (50, 280, 205, 425, 151, 9, 199)
"""Cheeks, forehead and chin: points on bare skin."""
CHEEKS = ((50, 205), (280, 425))
FOLDS = ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432))
"""From each wing of the nose to beside and below the corner of the mouth."""
MESH_POINTS = 468
"""The points behind these are the irises."""


@dataclass(frozen=True)
class EyeIndices:
    """One eye. `corners`: image left, image right. `iris`: its centre, then four points of its edge."""

    corners: tuple[int, int]
    upper: tuple[int, ...]
    lower: tuple[int, ...]
    brow_bottom: tuple[int, ...]
    brow: tuple[int, ...]
    brow_inner: int
    iris: tuple[int, ...]


EYES = (
    EyeIndices(
        corners=(mesh.RIGHT_EYE_OUTER, mesh.RIGHT_EYE_INNER),
        upper=mesh.RIGHT_EYE_UPPER,
        lower=mesh.RIGHT_EYE_LOWER,
        brow_bottom=mesh.BROW_RIGHT_LOWER,
        brow=mesh.BROW_RIGHT_UPPER,
        brow_inner=107,
        iris=(468, 469, 470, 471, 472),
    ),
    EyeIndices(
        corners=(mesh.LEFT_EYE_INNER, mesh.LEFT_EYE_OUTER),
        upper=mesh.LEFT_EYE_UPPER,
        lower=mesh.LEFT_EYE_LOWER,
        brow_bottom=mesh.BROW_LEFT_LOWER,
        brow=mesh.BROW_LEFT_UPPER,
        brow_inner=336,
        iris=(473, 474, 475, 476, 477),
    ),
)
