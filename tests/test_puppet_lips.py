"""What the lips and what grows over them do for each control: moustaches, round openings, smooth cheeks."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import FACE_OVAL
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet import anatomy, lips
from avatarctl.engines.puppet.mouthfield import displacements
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig
from avatarctl.text.visemes import CLASSES, POSE
from tests.mouth_support import PARTS, Picture, rig_of, row, viseme
from tests.quality import paint


def moustached(photo: Picture, mesh: FaceMesh, density: float, low: float) -> Picture:
    """Hair from the nose to the upper lip, and `low` u lower, in strokes up to 0.13 u long."""
    points = mesh.landmarks(photo).points
    region = paint.moustache_region(points)
    on_lip = slice(len(region) - 11, None)
    region[on_lip, 1] += low * paint.unit(points)
    return paint.strokes(photo, points, region, (48, 36, 28), density)


def between_the_edges(
    made: Rig, picture: Picture, edges: tuple[NDArray[np.float32], NDArray[np.float32]], first: float, last: float
) -> NDArray[np.float32]:
    """RGB between two curves, `first` to `last` of the way, in the middle of the mouth; float32 (rows, columns, 3)."""
    inside = np.abs(lips.positions()) < 0.45
    top, bottom = (edge[inside] for edge in edges)
    y = top + np.linspace(first, last, 24, dtype=np.float32)[:, None] * (bottom - top)
    places = made.frame.canvas(np.broadcast_to(lips.positions()[inside], y.shape), y)
    return cv2.remap(picture.astype(np.float32), places, None, cv2.INTER_LINEAR)


@pytest.mark.parametrize(("density", "low"), [(0.5, 0.0), (1.5, 0.0), (1.5, 0.06)], ids=["thin", "thick", "hanging"])
def test_a_moustache_rises_whole_with_the_upper_lip(
    density: float, low: float, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    made = rig_of(moustached(photos["hopper"], mesh, density, low), mesh)
    shape, unit = lips.MouthShape(open=0.27, jaw=0.24, up=0.02), made.frame.unit
    motion = lips.move(made.lips, unit, shape)
    no_teeth = {name: np.zeros_like(getattr(made.interior, name)) for name in PARTS}
    green = np.zeros_like(made.interior.cavity) + np.array([0, 255, 0], np.float32)
    bare = replace(made, interior=replace(made.interior, **no_teeth, cavity=green, wall=green[0, 0]))
    opened = Renderer(bare).render(viseme("open"))
    bottom = made.lips.lower_outer + motion.curves[3]
    lip = between_the_edges(made, opened, (motion.lower_edge, bottom), 0.1, 0.8)
    assert float(np.mean(lip.mean(-1) < 80)) < 0.01
    below = motion.upper_edge + np.float32(0.10 * unit)
    over = between_the_edges(made, opened, (motion.upper_edge, below), 0.1, 1.0)
    hanging = between_the_edges(made, made.canvas, (made.lips.meeting, made.lips.meeting + 0.10 * unit), 0.1, 1.0)
    hair, dark = over[..., 1] < 90, hanging.mean(-1) < 80
    assert float(hair.mean()) > 0.6 * float(dark.mean()) > 0.02
    psnr = 10 * np.log10(255**2 / np.mean((Renderer(made).render(row()).astype(float) - made.canvas) ** 2))
    assert psnr > 38


def test_teeth_under_a_moustache_are_not_taken_for_the_lower_lip(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    photo = photos["astronaut"]
    points = mesh.landmarks(photo).points
    made = rig_of(paint.beard(photo, points, (52, 36, 26)), mesh)
    assert made.lips.is_open
    unit = np.float32(made.frame.unit)
    over = (made.lips.upper_inner - np.float32(0.06) * unit, made.lips.upper_inner - np.float32(0.02) * unit)
    teeth = between_the_edges(made, made.canvas, (made.lips.upper_inner, made.lips.lower_inner), 0.3, 0.7)
    hair = between_the_edges(made, made.canvas, over, 0.0, 1.0)
    assert float(np.percentile(hair.mean(-1), 75)) < 0.75 * float(
        np.median(teeth.mean(-1))
    )  # no lip was taken of teeth
    closed = Renderer(made).render(row())
    seam = (made.lips.meeting, made.lips.meeting + np.float32(0.08 * made.frame.unit))
    assert float(np.ptp(between_the_edges(made, closed, seam, 0.2, 1.0), axis=-1).min()) > 12  # nothing white as teeth


def test_round_lips_leave_the_outline_of_a_face_that_looks_aside(rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    aside = rig_of(Renderer(rigs["hopper"]).render(row(yaw=25)), mesh)
    oval = mesh.landmarks(aside.canvas).xy[list(FACE_OVAL)]
    field = aside.head.mouth
    inside = np.s_[field.top : field.top + field.rows, field.left : field.left + field.columns]
    nodes = aside.head.lattice().points[inside].reshape(-1, 2)
    near = np.array([abs(cv2.pointPolygonTest(oval[:, None], (float(x), float(y)), True)) for x, y in nodes])
    level = np.abs(nodes[:, 1] - aside.frame.origin[1]) < 0.15 * aside.frame.unit
    pull = np.abs(field.corner)
    assert level.any() and float(pull[level & (near < 0.03 * aside.frame.unit)].max()) < 0.1
    assert float(pull[level].max()) > 0.6


def fold_lines(picture: Picture, mesh: FaceMesh) -> float:
    """How strong fine lines are, levels, where a smile has its folds: 95 % are weaker."""
    face = mesh.landmarks(picture)
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    unit = face.interocular
    lines = cv2.GaussianBlur(light, (0, 0), 0.01 * unit) - cv2.GaussianBlur(light, (0, 0), 0.06 * unit)
    near = np.zeros(light.shape, np.uint8)
    for path in anatomy.FOLDS:
        # From under the nose's wing, which has a line of its own, to over the mouth's corner.
        points = face.xy[list(path)]
        cv2.polylines(near, [np.rint(points[1:-1]).astype(np.int32)], False, (1,), max(1, round(0.2 * unit)))
    return float(np.percentile(np.abs(lines[near > 0]), 95))


@pytest.mark.parametrize("name", ["rest", "open", "close front"])
def test_a_smile_leaves_no_line_when_it_is_let_go(name: str, rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    made = rigs["astronaut"]
    left = fold_lines(Renderer(made).render(viseme(name)), mesh) / fold_lines(made.canvas, mesh)
    assert left < 0.45, f"{left:.2f} of the photo's"


def stretches(made: Rig, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the head's lattice has its nodes, in u from the middle of the mouth, and how far skin is drawn out there:
    the larger singular value of the field's Jacobian."""
    shape = lips.MouthShape(**dict(zip(POSE, CLASSES[name].pose, strict=True)))
    motion = lips.move(made.lips, made.frame.unit, shape)
    points = made.head.lattice().points
    (field,) = displacements(made.head.mouth, made.frame, motion, points.shape[:2])
    step = points[1, 1] - points[0, 0]
    down, right = (np.gradient(field, axis=axis) / step[1 - axis] for axis in (0, 1))
    jacobian = np.stack([right, down], -1) + np.eye(2, dtype=np.float32)
    return (points - made.frame.origin) / made.frame.unit, np.linalg.svd(jacobian, compute_uv=False)[..., 0]


@pytest.mark.parametrize("name", ["close round", "mid round", "open"])
def test_the_cheek_follows_the_lips_without_a_crease(name: str, rig: Rig) -> None:
    """Where a field falls off steeply, the cheek is drawn out into folds: it was by 2.7 beside a smile's corners."""
    places, drawn_out = stretches(rig, name)
    beside = np.abs(places[..., 0]) > 1.05 * rig.frame.half_width / rig.frame.unit
    assert float(drawn_out[beside].max()) < 1.95


@pytest.mark.parametrize("name", ["close round", "mid round", "open"])
def test_the_lower_edge_of_the_opening_is_round(name: str, rig: Rig) -> None:
    """Between its ends it hangs as an ellipse does, neither flat as a trapezoid nor pointed."""
    shape = lips.MouthShape(**dict(zip(POSE, CLASSES[name].pose, strict=True)))
    motion = lips.move(rig.lips, rig.frame.unit, shape)
    x = lips.positions()
    inside = np.flatnonzero((motion.lower_edge - motion.upper_edge) > 0.02 * rig.frame.unit)
    places, edge = x[inside], motion.lower_edge[inside]
    ends = np.interp(places, places[[0, -1]], edge[[0, -1]])
    depth = edge - ends
    across = (2 * places - places[0] - places[-1]) / (places[-1] - places[0])
    assert float(depth.max()) > 0.35 * float((motion.lower_edge - motion.upper_edge).max())
    hangs = (
        np.interp([-0.5, 0.5], across, depth) / depth.max()
    )  # of an ellipse 0.87, of a trapezoid 1, of a triangle 0.5
    assert float(hangs.min()) > 0.6 and float(hangs.max()) < 0.93


def test_a_round_lower_lip_keeps_its_width(rigs: dict[str, Rig]) -> None:
    """A smile is drawn together by half: its ends give way, not the full middle that is seen as the lip."""
    made = rigs["astronaut"]
    motion = lips.move(
        made.lips, made.frame.unit, lips.MouthShape(**dict(zip(POSE, CLASSES["close round"].pose, strict=True)))
    )
    points = made.mouth.lattice().points
    lower = displacements(made.mouth.mouth, made.frame, motion, points.shape[:2])[1]
    half = made.frame.half_width
    at = made.frame.canvas(np.array([[-0.5, 0.5]], np.float32), np.float32(made.lips.level + 0.1 * made.frame.unit))
    (middle,) = at + made.mouth.lattice().sample(lower, at)
    width, mouth = float(np.linalg.norm(middle[1] - middle[0])), 2 * (half + motion.corner)
    assert width > 0.57 * mouth


def test_teeth_are_not_of_all_lengths_under_a_wavy_lip(rigs: dict[str, Rig]) -> None:
    """An upper lip is more even drawn up than where it rests on the other; its outer edge keeps its bow."""
    rig = rigs["hopper"]
    within, x = np.abs(lips.positions()) < 0.7, lips.positions()

    def waves(edge: NDArray[np.float32]) -> float:
        """Of a line between the corners, u."""
        parabola = np.polynomial.Polynomial.fit(x[within], edge[within], 2)
        return float(np.std(edge[within] - parabola(x[within]))) / rig.frame.unit

    for name in ("close front", "mid front", "open"):
        motion = lips.move(rig.lips, rig.frame.unit, shape_of(name))
        assert waves(motion.upper_edge) < 0.65 * waves(rig.lips.meeting), name
        assert waves(rig.lips.upper_outer + motion.curves[0]) > 0.6 * waves(rig.lips.upper_outer), name


def test_the_lips_of_an_open_mouth_end_thin_when_they_close(rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    """Those of a photo that shows somebody speaking run steeply to their corners: laid level they were blunt."""
    speaking = rig_of(Renderer(rigs["astronaut"]).render(viseme("open")), mesh)
    shown, ends = speaking.lips, ends_of(speaking)
    assert shown.is_open
    for one, other in ((0, 1), (2, 3)):
        photo = (shown.upper_outer, shown.upper_inner, shown.lower_inner, shown.lower_outer)
        heights = {}
        for name in ("rest", "open"):
            curves = lips.move(shown, speaking.frame.unit, shape_of(name)).curves
            height = photo[other] + curves[other] - photo[one] - curves[one]
            heights[name] = float(height[ends].mean() / height[np.abs(lips.positions()) < 0.3].mean())
        assert heights["rest"] < 0.45 and heights["open"] > heights["rest"]


def ends_of(rig: Rig) -> NDArray[np.bool_]:
    """Samples right beside the corners."""
    return np.asarray((rig.lips.aside() > 0.85) & (rig.lips.aside() < 0.93))


def shape_of(name: str) -> lips.MouthShape:
    return lips.MouthShape(**dict(zip(POSE, CLASSES[name].pose, strict=True)))
