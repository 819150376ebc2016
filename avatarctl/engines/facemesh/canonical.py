"""The zero of a head's pose: MediaPipe's canonical face, looking straight ahead, and how a measured face is turned
against it.

Points that stay where they are whatever the face says or feels, in centimetres: x to the person's left, y up, z to
the camera (canonical_face_model.obj of MediaPipe, Apache-2.0). Lips, lids and the jaw are not among them, so an open
mouth does not tilt the head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MIDDLE = {
    10: (0.0, 8.262, 4.482),
    151: (0.0, 6.545, 5.027),
    9: (0.0, 4.886, 5.385),
    168: (0.0, 3.271, 5.236),
    6: (0.0, 2.473, 5.789),
    197: (0.0, 1.728, 6.317),
    195: (0.0, 1.059, 6.775),
    5: (0.0, 0.366, 7.243),
    4: (0.0, -0.463, 7.587),
    1: (0.0, -1.127, 7.476),
    2: (0.0, -2.089, 6.058),
}
_RIGHT_AND_LEFT = {
    (33, 263): (4.446, 2.664, 3.173),
    (133, 362): (1.856, 2.585, 3.758),
    (193, 417): (1.780, 2.860, 3.882),
    (98, 327): (1.406, -1.714, 5.241),
    (129, 358): (1.786, -0.978, 4.850),
    (36, 266): (2.845, -0.721, 4.433),
    (101, 330): (3.327, 0.105, 4.114),
    (50, 280): (4.766, -0.702, 3.535),
    (118, 347): (4.432, 0.722, 3.523),
    (117, 346): (5.259, 0.946, 2.974),
    (116, 345): (6.465, 0.937, 1.690),
    (108, 337): (1.620, 6.599, 4.921),
    (69, 299): (3.064, 6.566, 4.530),
    (104, 333): (4.539, 6.320, 3.683),
    (68, 298): (5.600, 5.715, 2.724),
    (67, 297): (3.524, 8.006, 3.729),
    (103, 332): (5.133, 7.486, 2.660),
    (54, 284): (6.279, 6.615, 1.426),
    (21, 251): (7.088, 5.435, 0.100),
    (162, 389): (7.556, 4.107, -0.992),
    (127, 356): (7.743, 2.365, -2.005),
    (234, 454): (7.664, 0.673, -2.436),
    (93, 323): (7.542, -1.049, -2.431),
}

NUMBERS = np.array([*_MIDDLE, *(n for pair in _RIGHT_AND_LEFT for n in pair)], np.intp)

_SHAPE = np.array([*_MIDDLE.values(), *(s for x, y, z in _RIGHT_AND_LEFT.values() for s in ((-x, y, z), (x, y, z)))])
_SHAPE = (_SHAPE - _SHAPE.mean(axis=0)) * np.array([1.0, -1.0, -1.0])
"""In the picture's axes: x right, y down, z away; centred."""

Matrix = NDArray[np.float64]


def rotation_in_space(points: NDArray[np.float32]) -> Matrix:
    """The rotation from the canonical face to a mesh (478, 3): Procrustes, all three coordinates."""
    face = points[NUMBERS].astype(np.float64)
    u, _, v = np.linalg.svd(_SHAPE.T @ (face - face.mean(axis=0)))
    proper = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    turn: Matrix = (u @ proper @ v).T
    return turn


def rotation_in_picture(points: NDArray[np.float32]) -> Matrix:
    """The same from x and y alone: the scaled orthographic projection of the canonical face that lies nearest
    (POS of DeMenthon and Davis, "Model-based object pose in 25 lines of code", 1995)."""
    face = points[NUMBERS, :2].astype(np.float64)
    projection = np.linalg.lstsq(_SHAPE, face - face.mean(axis=0), rcond=None)[0].T
    u, _, v = np.linalg.svd(projection, full_matrices=False)
    rows = u @ v
    turn: Matrix = np.vstack([rows, np.cross(rows[0], rows[1])])
    return turn
