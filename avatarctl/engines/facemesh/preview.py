"""The preview of an enrolment: the face with what was found on it, and the figures beside it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.facemesh.crop import Image
from avatarctl.engines.facemesh.judgement import GLASSES_PROBABILITY, Measurements
from avatarctl.engines.facemesh.landmarks import Landmarks

WIDTH, HEIGHT = 800, 540

_SUPERSAMPLING = 2
"""Everything is drawn twice as large and averaged down: OpenCV's lines and letters are coarse."""
_VIEW_FACES = 1.9
"""Height of the view over the height of the face."""

Colour = tuple[int, int, int]
_GROUND: Colour = (24, 26, 30)
_TEXT: Colour = (236, 238, 240)
_LABEL: Colour = (146, 152, 160)
_LINE: Colour = (120, 230, 214)
_LIPS: Colour = (255, 146, 130)
_AMBER: Colour = (250, 190, 90)
_QUIET: Colour = (190, 190, 190)

_PATHS: tuple[tuple[tuple[int, ...], bool, Colour], ...] = (
    (mesh.FACE_OVAL, True, _LINE),
    (mesh.BROW_RIGHT_UPPER, False, _LINE),
    (mesh.BROW_LEFT_UPPER, False, _LINE),
    (mesh.RIGHT_EYE_UPPER + mesh.RIGHT_EYE_LOWER[-2:0:-1], True, _LINE),
    (mesh.LEFT_EYE_UPPER + mesh.LEFT_EYE_LOWER[-2:0:-1], True, _LINE),
    ((*mesh.NOSE_BRIDGE, mesh.NOSE_TIP), False, _LINE),
    (mesh.NOSE_BASE, False, _LINE),
    (mesh.LIPS_OUTER_UPPER + mesh.LIPS_OUTER_LOWER[-2:0:-1], True, _LIPS),
    (mesh.LIPS_INNER_UPPER + mesh.LIPS_INNER_LOWER[-2:0:-1], True, _LIPS),
)


def draw(
    rgb: Image, faces: list[Landmarks], chosen: int, measured: Measurements, warnings: list[dict[str, str]]
) -> Image:
    """RGB, uint8 (540, 800, 3): the chosen face at the left, figures and warnings at the right."""
    canvas = np.full((HEIGHT * _SUPERSAMPLING, WIDTH * _SUPERSAMPLING, 3), _GROUND, np.uint8)
    side = HEIGHT * _SUPERSAMPLING
    canvas[:, :side] = _view(rgb, faces, chosen, side)
    _figures(canvas, side, faces, chosen, measured, warnings)
    return cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _view(rgb: Image, faces: list[Landmarks], chosen: int, side: int) -> Image:
    """The surroundings of the chosen face with all marks, uint8 (side, side, 3)."""
    x0, y0, x1, y1 = faces[chosen].box
    reach = _VIEW_FACES * max(x1 - x0, y1 - y0)
    scale = side / reach
    offset = np.array([side / 2, side * 0.52]) - scale * np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    to_view = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]], np.float64)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    view = cv2.warpAffine(rgb, to_view, (side, side), flags=method, borderValue=_GROUND).astype(np.uint8, copy=False)

    marks = view.copy()
    for number, face in enumerate(faces):
        placed = face.xy * scale + offset
        if number == chosen:
            _mesh_marks(marks, placed)
        _corners(marks, np.array(face.box).reshape(2, 2) * scale + offset, _LINE if number == chosen else _QUIET)
    return cv2.addWeighted(marks, 0.8, view, 0.2, 0).astype(np.uint8, copy=False)


def _mesh_marks(picture: Image, points: NDArray[np.floating]) -> None:
    for x, y in _fixed(points[: mesh.IRIS_RIGHT_CENTRE]):
        cv2.circle(picture, (int(x), int(y)), 22, _TEXT, -1, cv2.LINE_AA, shift=4)
    for path, closed, colour in _PATHS:
        cv2.polylines(picture, [_fixed(points[list(path)])], closed, colour, 2, cv2.LINE_AA, shift=4)
    for middle, rim in ((mesh.IRIS_RIGHT_CENTRE, mesh.IRIS_RIGHT), (mesh.IRIS_LEFT_CENTRE, mesh.IRIS_LEFT)):
        radius = float(np.linalg.norm(points[list(rim)] - points[middle], axis=1).mean())
        x, y = _fixed(points[middle])
        cv2.circle(picture, (int(x), int(y)), round(radius * 16), _LINE, 2, cv2.LINE_AA, shift=4)


def _corners(picture: Image, box: NDArray[np.floating], colour: Colour) -> None:
    """Only the corners of a box: the face stays free."""
    (x0, y0), (x1, y1) = box
    arm = 0.12 * (x1 - x0)
    for x, inward_x in ((x0, arm), (x1, -arm)):
        for y, inward_y in ((y0, arm), (y1, -arm)):
            corner = np.array([[x + inward_x, y], [x, y], [x, y + inward_y]])
            cv2.polylines(picture, [_fixed(corner)], False, colour, 4, cv2.LINE_AA, shift=4)


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Points in sixteenths of a pixel, as OpenCV draws them with `shift=4`."""
    limit = 1 << 24
    fixed: NDArray[np.int32] = np.rint(points * 16).clip(-limit, limit).astype(np.int32)
    return fixed


def _figures(
    canvas: Image,
    left: int,
    faces: list[Landmarks],
    chosen: int,
    measured: Measurements,
    warnings: list[dict[str, str]],
) -> None:
    pose = measured.pose
    rows = (
        ("width", f"{measured.width:.0f} px"),
        ("eyes apart", f"{measured.interocular:.0f} px"),
        ("turn", f"{pose.yaw:+.0f} deg"),
        ("tilt", f"{pose.pitch:+.0f} deg"),
        ("lean", f"{pose.roll:+.0f} deg"),
        ("sharpness", f"{measured.sharpness:.2f}"),
        ("skin light", f"{measured.exposure.p50:.0f} of 255"),
        ("mouth", measured.mouth.state),
        ("glasses", "yes" if measured.glasses.probability > GLASSES_PROBABILITY else "no"),
    )
    x, value_x, y = left + 48, left + 262, 84
    _write(canvas, f"face {chosen + 1} of {len(faces)}", x, y, 1.2, _TEXT, 3)
    y += 32
    for label, value in rows:
        y += 54
        _write(canvas, label, x, y, 0.8, _LABEL)
        _write(canvas, value, value_x, y, 0.8, _TEXT)
    y += 46
    cv2.line(canvas, (x, y), (canvas.shape[1] - 48, y), _LABEL, 1, cv2.LINE_AA)
    y += 12
    notes = [warning["code"].replace("_", " ") for warning in warnings]
    if not notes:
        _write(canvas, "a good photo", x, y + 48, 0.8, _LINE)
    for number, note in enumerate(notes):
        column, row = divmod(number, 6)
        _write(canvas, note, x + column * 232, y + 46 + row * 46, 0.72, _AMBER)


def _write(canvas: Image, text: str, x: int, y: int, size: float, colour: Colour, weight: int = 2) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, weight, cv2.LINE_AA)
