"""Names for the points of the face mesh, and the points themselves.

The numbering is that of MediaPipe's face mesh (Kartynnik et al., "Real-time Facial Surface Geometry from
Monocular Video on Mobile GPUs", 2019; irises and refined lips: Grishchenko et al., "Attention Mesh", 2020).
`RIGHT` and `LEFT` are the person's own: the right eye is at the left of the picture. Every path that goes
across the face runs from the left of the picture to the right, or from the outer corner of an eye inwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COUNT = 478

LIPS_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIPS_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
MOUTH_CORNER_RIGHT, MOUTH_CORNER_LEFT = 61, 291
LIP_UPPER_INNER_MIDDLE, LIP_LOWER_INNER_MIDDLE = 13, 14

RIGHT_EYE_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_EYE_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_EYE_UPPER = (263, 466, 388, 387, 386, 385, 384, 398, 362)
LEFT_EYE_LOWER = (263, 249, 390, 373, 374, 380, 381, 382, 362)
RIGHT_EYE_OUTER, RIGHT_EYE_INNER = 33, 133
LEFT_EYE_OUTER, LEFT_EYE_INNER = 263, 362

IRIS_RIGHT_CENTRE, IRIS_LEFT_CENTRE = 468, 473
IRIS_RIGHT = (469, 470, 471, 472)
IRIS_LEFT = (474, 475, 476, 477)

BROW_RIGHT_UPPER = (70, 63, 105, 66, 107)
BROW_RIGHT_LOWER = (46, 53, 52, 65, 55)
BROW_LEFT_UPPER = (300, 293, 334, 296, 336)
BROW_LEFT_LOWER = (276, 283, 282, 295, 285)

NOSE_BRIDGE = (168, 6, 197, 195, 5)
NOSE_TIP = 4
NOSE_BASE = (98, 97, 2, 326, 327)
FOREHEAD, CHIN = 10, 152
CHEEK_RIGHT, CHEEK_LEFT = 50, 280

FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The outline, clockwise in the picture, from the middle of the hairline."""

_OVAL = np.array(FACE_OVAL)
_OUTER_CORNERS = np.array([RIGHT_EYE_OUTER, LEFT_EYE_OUTER])
_INNER_CORNERS = np.array([RIGHT_EYE_INNER, LEFT_EYE_INNER])


@dataclass(frozen=True, slots=True)
class Landmarks:
    """A face's points, float32 (478, 3): x, y in pixels of the picture, z in pixels, negative towards the camera.

    `score`: how sure the mesh is that it looks at a face, 0..1.
    """

    points: NDArray[np.float32]
    score: float

    @property
    def xy(self) -> NDArray[np.float32]:
        """float32 (478, 2), a view."""
        return self.points[:, :2]

    @property
    def eye_centres(self) -> NDArray[np.float32]:
        """float32 (2, 2): midpoints between the corners of the right and of the left eye, in pixels.

        The corners, not the irises: they do not move with the gaze.
        """
        return np.asarray((self.xy[_OUTER_CORNERS] + self.xy[_INNER_CORNERS]) / 2, np.float32)

    @property
    def interocular(self) -> float:
        """Distance between the eye centres, pixels."""
        right, left = self.eye_centres
        return float(np.hypot(*(left - right)))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 around the face oval, pixels."""
        oval = self.xy[_OVAL]
        (x0, y0), (x1, y1) = oval.min(axis=0), oval.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)


def plausible(landmarks: Landmarks) -> bool:
    """Whether the points form a face: eyes and mouth inside the oval, in order, in proportion.

    The mesh always answers with something face-like, and its score alone lets through some patterned
    cloth and foliage. The bounds are wide enough for any pose up to a profile.
    """
    import cv2

    if landmarks.score < 0.5 or not np.isfinite(landmarks.points).all():
        return False
    x0, y0, x1, y1 = landmarks.box
    size = max(x1 - x0, y1 - y0)
    if size < 8 or min(x1 - x0, y1 - y0) < 0.35 * size or not 0.12 * size < landmarks.interocular < 0.75 * size:
        return False
    right, left = landmarks.eye_centres
    mouth = landmarks.xy[[MOUTH_CORNER_RIGHT, MOUTH_CORNER_LEFT]].mean(axis=0)
    oval = landmarks.xy[_OVAL].reshape(-1, 1, 2)
    for x, y in (right, left, mouth):
        if cv2.pointPolygonTest(oval, (float(x), float(y)), False) < 0:
            return False
    across, down = left - right, mouth - (right + left) / 2
    return float(across[0] * down[1] - across[1] * down[0]) > 0
