"""What the mouth does for each control, on a smile with teeth and on closed lips, and on less easy photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import FACE_OVAL, Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet import anatomy, lips
from avatarctl.engines.puppet.controls import INDEX
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig, build_rig
from avatarctl.text.visemes import CLASSES, POSE

SIZE = 384

Picture = NDArray[np.uint8]


def row(**controls: float) -> NDArray[np.float32]:
    values = np.zeros(len(INDEX), np.float32)
    for name, value in controls.items():
        values[INDEX[name]] = value
    return values


def viseme(name: str, **controls: float) -> NDArray[np.float32]:
    return row(**{**dict(zip(POSE, CLASSES[name].pose, strict=True)), **controls})


def gap(face: Landmarks) -> float:
    """Opening between the lips, u."""
    pairs = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
    return float(np.mean([np.linalg.norm(face.xy[a] - face.xy[b]) for a, b in pairs]) / face.interocular)


def corners_above_middle(face: Landmarks) -> float:
    """u."""
    return float(face.xy[[13, 14], 1].mean() - face.xy[[61, 291], 1].mean()) / face.interocular


def rig_of(photo: Picture, mesh: FaceMesh) -> Rig:
    return build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42)


@pytest.fixture(scope="module")
def mesh(face_models: dict[str, Path]) -> FaceMesh:
    return FaceMesh(face_models)


@pytest.fixture(scope="module")
def photos(portraits: dict[str, Path]) -> dict[str, Picture]:
    return {name: cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for name, path in portraits.items()}


@pytest.fixture(scope="module")
def rigs(photos: dict[str, Picture], mesh: FaceMesh) -> dict[str, Rig]:
    return {name: rig_of(photo, mesh) for name, photo in photos.items()}


@pytest.fixture(params=["astronaut", "hopper"])
def rig(request: pytest.FixtureRequest, rigs: dict[str, Rig]) -> Rig:
    """A smile with teeth; a closed mouth behind glasses."""
    return rigs[request.param]


def test_the_opening_is_as_large_as_was_asked(rig: Rig, mesh: FaceMesh) -> None:
    renderer = Renderer(rig)
    wanted = np.array([0.0, 0.04, 0.08, 0.13, 0.19, 0.23, 0.27, 0.30])
    found = [gap(mesh.landmarks(renderer.render(row(open=o, jaw=0.85 * o, up=0.02)))) for o in wanted]
    assert np.corrcoef(wanted, found)[0, 1] > 0.98
    assert 0.9 < np.polyfit(wanted, found, 1)[0] < 1.2
    assert gap(mesh.landmarks(renderer.render(viseme("open")))) > 0.24


shapes = st.fixed_dictionaries(
    {name: st.floats(0, 1) for name in ("round", "press", "tuck", "tongue")}
    | {"jaw": st.floats(0, 0.3), "up": st.floats(0, 0.05), "wide": st.floats(-0.1, 0.1), "smile": st.floats(-1, 1)}
)


@given(shapes, st.floats(0, 0.35))
def test_lips_never_cross_and_close_exactly_in_every_mood(
    rigs: dict[str, Rig], shape: dict[str, float], opening: float
) -> None:
    for made in rigs.values():
        motion = lips.move(made.lips, made.frame.unit, lips.MouthShape(**shape, open=opening))
        photo = (made.lips.upper_outer, made.lips.upper_inner, made.lips.lower_inner, made.lips.lower_outer)
        moved = np.stack(photo) + motion.curves
        assert float(np.diff(moved, axis=0).min()) > -1e-3
        closed = lips.move(made.lips, made.frame.unit, lips.MouthShape(**shape))
        assert np.array_equal(closed.upper_edge, closed.lower_edge)


def test_moods_lift_and_drop_the_corners_and_leave_the_lips_closed(rig: Rig, mesh: FaceMesh) -> None:
    renderer = Renderer(rig)
    sad, rest, happy = (mesh.landmarks(renderer.render(row(smile=s))) for s in (-1.0, 0.0, 1.0))
    assert corners_above_middle(sad) < corners_above_middle(rest) - 0.03
    assert corners_above_middle(happy) > corners_above_middle(rest) + 0.03
    assert max(gap(face) for face in (sad, rest, happy)) < 0.02


def test_a_smile_shows_in_speech(rig: Rig, mesh: FaceMesh) -> None:
    renderer = Renderer(rig)
    for name in ("open", "mid front"):
        plain, happy = (mesh.landmarks(renderer.render(viseme(name, smile=s))) for s in (0.0, 1.0))
        assert corners_above_middle(happy) > corners_above_middle(plain) + 0.02


def fold_depth(rig: Rig, picture: Picture) -> float:
    """How dark the darkest line beside the nose is, levels."""
    unit, (x, y) = rig.frame.unit, rig.frame.origin
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), 0.015 * unit)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (round(0.2 * unit) | 1,) * 2)
    valley = cv2.subtract(cv2.morphologyEx(grey, cv2.MORPH_CLOSE, disc), grey)
    rows = slice(int(y - 0.45 * unit), int(y - 0.10 * unit))
    sides = (int(x - 0.75 * unit), int(x - 0.42 * unit)), (int(x + 0.42 * unit), int(x + 0.75 * unit))
    return float(np.mean([np.percentile(valley[rows, a:b], 97) for a, b in sides]))


def test_the_folds_of_a_smile_fade_when_it_is_let_go(rigs: dict[str, Rig]) -> None:
    made = rigs["astronaut"]
    renderer = Renderer(made)
    smiling = fold_depth(made, made.canvas)
    assert fold_depth(made, renderer.render(row())) < 0.6 * smiling
    assert fold_depth(made, renderer.render(viseme("open"))) < 0.6 * smiling
    assert fold_depth(made, renderer.render(row(smile=1))) > 0.8 * smiling


def test_a_smile_brings_folds_to_a_face_without_them(rigs: dict[str, Rig]) -> None:
    shading = rigs["hopper"].shading
    assert not shading.released.any()
    assert float(shading.smiling.min()) < -0.05
    assert not rigs["astronaut"].shading.smiling.any()


PARTS = ("upper_teeth", "lower_teeth", "tongue")


def seen(rig: Rig, part: str, controls: NDArray[np.float32]) -> Picture:
    """Where a part of the inside can be seen: it alone is painted green."""
    inside = rig.interior
    grey = {
        name: np.dstack([np.zeros_like(sprite[..., :3]), sprite[..., 3]])
        for name in PARTS
        for sprite in (getattr(inside, name),)
    }
    alpha = getattr(inside, part)[..., 3:]
    grey[part] = np.dstack([alpha * np.array([0, 400, 0], np.float32), alpha])
    painted = replace(inside, **grey, cavity=np.zeros_like(inside.cavity))
    picture = Renderer(replace(rig, interior=painted)).render(controls).astype(int)
    return ((picture[..., 1] - picture[..., [0, 2]].max(-1)) > 60).astype(np.uint8)


def area(rig: Rig, part: str, controls: NDArray[np.float32]) -> float:
    """Square millimetres."""
    return float(seen(rig, part, controls).sum()) * (63 / rig.frame.unit) ** 2


def test_the_tongue_is_seen_where_it_makes_the_sound(rig: Rig) -> None:
    for name in ("dental", "alveolar", "lateral"):
        assert area(rig, "tongue", viseme(name)) > 15, name
    middle = slice(int(rig.frame.origin[0] - 0.1 * rig.frame.unit), int(rig.frame.origin[0] + 0.1 * rig.frame.unit))
    raised, lying = (seen(rig, "tongue", viseme("lateral", tongue=t))[:, middle] for t in (1, 0))
    rise = np.flatnonzero(lying.any(1)).min() - np.flatnonzero(raised.any(1)).min()
    assert rise >= 1  # up to and over the edges of the upper teeth, which hide a tongue that lies


def test_teeth_are_seen_where_they_show(rig: Rig) -> None:
    for name in ("mid front", "sibilant", "close front"):
        assert area(rig, "upper_teeth", viseme(name)) > 60, name
    assert area(rig, "lower_teeth", viseme("open", smile=-0.5)) > 5
    for part in PARTS:
        assert area(rig, part, row()) == 0
        assert area(rig, part, viseme("bilabial stop", yaw=4)) == 0


def test_the_lower_lip_rolls_in_under_the_teeth(rig: Rig) -> None:
    def thickness(shape: lips.MouthShape) -> float:
        motion = lips.move(rig.lips, rig.frame.unit, shape)
        lower = np.stack([rig.lips.lower_inner, rig.lips.lower_outer]) + motion.curves[2:]
        return float((lower[1] - lower[0])[lips.SAMPLES // 2])

    tucked = {"open": 0.045, "up": 0.035}
    assert thickness(lips.MouthShape(**tucked, tuck=0.75)) < 0.65 * thickness(lips.MouthShape(**tucked))
    over, behind = (seen(rig, "upper_teeth", viseme("labiodental", tuck=tuck)) for tuck in (0.75, 0.04))
    lowest = [np.flatnonzero(s.any(1)).max() for s in (over, behind)]
    assert over.sum() > 0 and lowest[0] >= lowest[1]


def mouth_part(rig: Rig, picture: Picture) -> Picture:
    left, top, width, height = rig.mouth.box
    return picture[top : top + height, left : left + width]


def moustached(photo: Picture, mesh: FaceMesh) -> Picture:
    """Hair from the nose to a little over the line of the lips, in strokes."""
    face = mesh.landmarks(photo)
    unit, (x, y) = face.interocular, face.xy[[13, 14]].mean(0)
    out, random = photo.copy(), np.random.default_rng(3)
    for _ in range(1500):
        across = random.uniform(-0.5, 0.5) * unit
        start = (round(x + across), round(y + random.uniform(-0.22, -0.06) * unit))
        end = (round(x + 1.1 * across), round(start[1] + random.uniform(0.06, 0.11) * unit))
        shade = random.uniform(0.6, 1.4)
        cv2.line(out, start, end, tuple(shade * c for c in (48, 36, 28)), 1, cv2.LINE_AA)
    return out


def test_no_hair_stays_on_the_lower_lip_when_a_moustache_rises(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    photo = moustached(photos["hopper"], mesh)
    made = rig_of(photo, mesh)
    plain = rig_of(photos["hopper"], mesh)
    middle = np.abs(lips.positions()) < 0.5
    lower = (made.lips.upper_inner - plain.lips.upper_inner)[middle] / made.frame.unit
    assert float(lower.mean()) > 0.005
    x = lips.positions()[middle]
    below = made.frame.canvas(x, made.lips.lower_inner[middle] + 0.02 * made.frame.unit)
    light = cv2.cvtColor(made.canvas, cv2.COLOR_RGB2GRAY)[below[:, 1].astype(int), below[:, 0].astype(int)]
    assert float(np.mean(light < 80)) < 0.1
    psnr = 10 * np.log10(255**2 / np.mean((Renderer(made).render(row()).astype(float) - made.canvas) ** 2))
    assert psnr > 38


def grey(photo: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_a_grey_mouth_is_grey_in_every_mood(name: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    renderer = Renderer(rig_of(grey(photos[name]), mesh))
    for controls in (viseme("open"), viseme("lateral"), viseme("labiodental"), viseme("open", smile=1), row(smile=-1)):
        assert int(np.ptp(renderer.render(controls).astype(int), axis=-1).max()) <= 6


def darkened(photo: Picture) -> Picture:
    return np.asarray(255 * (photo / 255.0) ** np.array([1.8, 2.0, 2.1]), np.uint8)


def dim(photo: Picture) -> Picture:
    return (photo * 0.4).astype(np.uint8)


@pytest.mark.parametrize("change", [np.copy, darkened, dim], ids=["as it is", "dark skin", "dim light"])
def test_teeth_are_lit_like_the_face(
    change: Callable[[Picture], Picture], photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    made = rig_of(change(photos["hopper"]), mesh)
    inside = seen(made, "upper_teeth", viseme("mid front")) > 0
    teeth = np.median(Renderer(made).render(viseme("mid front"))[inside], 0)
    face = mesh.landmarks(made.canvas).xy[list(anatomy.SKIN)].astype(int)
    skin = np.percentile(made.canvas[face[:, 1], face[:, 0]].mean(1), 80)
    assert 0.45 * skin < teeth.mean() < 1.5 * skin
    assert teeth[0] >= teeth[1] >= teeth[2] - 3  # ivory, neither green nor blue


def test_a_face_that_looks_aside_has_its_teeth_in_the_middle_of_its_lips(rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    ahead = rigs["hopper"]
    aside = rig_of(Renderer(ahead).render(row(yaw=25)), mesh)
    assert aside.lips.middle > ahead.lips.middle + 0.1
    teeth = np.flatnonzero(seen(aside, "upper_teeth", viseme("mid front")).any(0))
    middle = float(aside.frame.canvas(np.float32(aside.lips.middle), np.float32(0))[0])
    assert teeth.min() < middle - 0.15 * aside.frame.unit and teeth.max() > middle + 0.1 * aside.frame.unit
    assert gap(mesh.landmarks(Renderer(aside).render(row(press=0.75)))) < 0.025


@pytest.mark.parametrize("opening", [0.045, 0.08])
def test_slightly_parted_lips_close(opening: float, rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    photo = Renderer(rigs["hopper"]).render(row(open=opening, up=0.01, jaw=0.02))
    made = rig_of(photo, mesh)
    assert made.lips.is_open
    renderer = Renderer(made)
    assert gap(mesh.landmarks(renderer.render(row()))) < 0.02
    assert gap(mesh.landmarks(renderer.render(viseme("open")))) > 0.22


def test_the_inside_of_a_faded_print_is_faded(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    def darkest(photo: Picture) -> float:
        made = rig_of(photo, mesh)
        return float(np.percentile(mouth_part(made, Renderer(made).render(viseme("open"))).mean(-1), 0.5))

    photo = photos["astronaut"]
    assert darkest((photo * 0.35 + 120).astype(np.uint8)) > 90
    assert darkest(photo) < 60


def test_a_drawing_of_flat_colours_is_not_shaded(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    drawing = (cv2.medianBlur(photos["hopper"], 11) // 64 * 85).astype(np.uint8)
    points = mesh.landmarks(photos["hopper"]).points
    plain, flat = (build_rig(p, points, SIZE, 0.42).shading.rounded for p in (photos["hopper"], drawing))
    assert float(np.abs(plain).max()) > 0.1
    assert float(np.abs(flat).max()) < 0.02


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
