"""Which of the face mesh's 478 points outline what. "Right" is the person's right, on the image's left."""

from __future__ import annotations

from dataclasses import dataclass

UPPER_LIP_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
UPPER_LIP_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LOWER_LIP_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
MOUTH_CORNERS = (61, 291)
LIP_CENTRES = (0, 11, 12, 15, 16, 17)

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
FOREHEAD_TOP = 10
CHIN = 152
NOSE_BASE = 2
TEMPLES = (234, 454)
"""Where the oval is widest, beside the ears."""
SKIN = (50, 280, 205, 425, 151, 9, 199)
"""Cheeks, forehead and chin: points on bare skin."""
CHEEKS = ((50, 205), (280, 425))
MESH_POINTS = 468
"""Points 468-477 are the irises."""


@dataclass(frozen=True)
class EyeIndices:
    """One eye. `corners`: image left, image right; contours run from left to right."""

    corners: tuple[int, int]
    upper: tuple[int, ...]
    lower: tuple[int, ...]
    brow_bottom: tuple[int, ...]
    brow: tuple[int, ...]
    brow_inner: int


EYES = (
    EyeIndices(
        corners=(33, 133),
        upper=(33, 246, 161, 160, 159, 158, 157, 173, 133),
        lower=(33, 7, 163, 144, 145, 153, 154, 155, 133),
        brow_bottom=(46, 53, 52, 65, 55),
        brow=(70, 63, 105, 66, 107),
        brow_inner=107,
    ),
    EyeIndices(
        corners=(362, 263),
        upper=(362, 398, 384, 385, 386, 387, 388, 466, 263),
        lower=(362, 382, 381, 380, 374, 373, 390, 249, 263),
        brow_bottom=(285, 295, 282, 283, 276),
        brow=(300, 293, 334, 296, 336),
        brow_inner=336,
    ),
)
