"""What the mouth does for each control, on a smile with teeth and on closed lips, and on less easy photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet import anatomy, emotion, lips, teeth
from avatarctl.engines.puppet.controls import INDEX
from avatarctl.engines.puppet.render import SHAPE_CONTROLS, Renderer
from avatarctl.engines.puppet.rig import Rig, build_rig
from avatarctl.text.emotions import EMOTIONS
from avatarctl.text.visemes import POSE
from tests.mouth_support import (
    PARTS,
    SIZE,
    Picture,
    corners_above_middle,
    gap,
    mouth_part,
    opening,
    rig_of,
    row,
    viseme,
)
from tests.quality import paint


def test_the_opening_is_as_large_as_was_asked(rig: Rig, mesh: FaceMesh) -> None:
    renderer = Renderer(rig)
    wanted = np.array([0.0, 0.04, 0.08, 0.13, 0.19, 0.23, 0.27, 0.30])
    found = [gap(mesh.landmarks(renderer.render(row(open=o, jaw=0.85 * o, up=0.02)))) for o in wanted]
    assert np.corrcoef(wanted, found)[0, 1] > 0.98
    assert 0.9 < np.polyfit(wanted, found, 1)[0] < 1.2
    assert gap(mesh.landmarks(renderer.render(viseme("open")))) > 0.24


def mouths_in(mood: str, share: float) -> NDArray[np.float32]:
    """A loud A, as far open as `share` of it, in an emotion at full strength."""
    controls = emotion.pose(mood, 1.0).astype(np.float32)
    columns = [INDEX[name] for name in POSE]
    controls[columns] = np.float32(share) * viseme("open")[columns]
    return controls


@pytest.mark.parametrize("mood", EMOTIONS)
def test_an_open_mouth_is_read_as_one_through_every_emotion(mood: str, rig: Rig, mesh: FaceMesh) -> None:
    """From wherever one looks: a lower lip that is hardly redder than skin, below corners that hang, is taken for a
    tongue, and the opening for twice what it is."""
    renderer, unit = Renderer(rig), rig.frame.unit
    looks = [np.array([x, y, 0], np.float32) * np.float32(unit) for x, y in ((0, 0), (0.09, 0), (-0.09, 0), (0, 0.09))]
    ratios = []
    for share in (0.5, 0.7, 0.9, 1.0):
        controls = mouths_in(mood, share)
        picture = renderer.render(controls)
        face = mesh.landmarks(picture)
        seen = [gap(mesh.track(picture, Landmarks(face.points + look, face.score))) for look in looks]
        ratios.append(np.mean(seen) / controls[INDEX["open"]])
    assert min(ratios) > 0.8 and max(ratios) < 1.45, ratios
    assert max(ratios) < 1.55 * min(ratios), ratios


def test_the_lower_teeth_are_lit_by_what_is_red_around_them() -> None:
    """Beside lips and tongue a row of grey is no row of teeth."""
    enamel, gum = np.array([240, 232, 222], np.float32), np.array([160, 90, 85], np.float32)

    def colour(upper: bool) -> NDArray[np.float32]:
        row_of = teeth.drawn_teeth(enamel, gum, teeth.UPPER_ARCH if upper else teeth.LOWER_ARCH, 0.0, upper=upper)
        edges = np.abs(np.arange(row_of.shape[0]) / teeth.SUPERSAMPLING - teeth.ORIGIN_Y) < 3
        crowns = row_of[edges][row_of[edges][..., 3] > 0.95]
        return np.asarray(np.median(crowns[:, :3], 0), np.float32)

    above, below = colour(True), colour(False)
    assert 0.7 < below.mean() / above.mean() < 0.95
    assert below[0] / below[1] > 1.04 * above[0] / above[1] and below[0] / below[2] > 1.05 * above[0] / above[2]
    # Yellow that is dark is khaki: what is dark of them is rosier instead.
    assert below[2] / below[1] > above[2] / above[1]


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
    painted = replace(inside, **grey, cavity=np.zeros_like(inside.cavity), wall=np.zeros(3, np.float32))
    picture = Renderer(replace(rig, interior=painted)).render(controls).astype(int)
    return ((picture[..., 1] - picture[..., [0, 2]].max(-1)) > 60).astype(np.uint8)


def area(rig: Rig, part: str, controls: NDArray[np.float32]) -> float:
    """Square millimetres."""
    return float(seen(rig, part, controls).sum()) * (63 / rig.frame.unit) ** 2


TIP = ("dental", "alveolar", "lateral")


@pytest.mark.parametrize("name", TIP)
def test_the_tongue_is_seen_where_it_makes_the_sound(rig: Rig, name: str) -> None:
    raised, lying = viseme(name), viseme(name, tongue=0)
    assert area(rig, "tongue", raised) > 35
    tongue, inside = seen(rig, "tongue", raised) > 0, opening(rig, raised)
    middle = (slice(None), _millimetres_beside_the_middle(rig, 6))
    # A third of what is seen between the lips, in the middle, and no dark gap up to the upper teeth.
    assert (tongue & inside)[middle].sum() > 0.33 * inside[middle].sum()
    teeth = seen(rig, "upper_teeth", raised)[middle]
    gap = [np.flatnonzero(t).min() - np.flatnonzero(u).max() for t, u in zip(tongue[middle].T, teeth.T, strict=True)]
    assert float(np.median(gap)) < 1.6 * rig.frame.unit / 63
    # It is flesh, as light as something just behind the teeth is, and it was not there before.
    picture, before = (Renderer(rig).render(controls).astype(float) for controls in (raised, lying))
    there = tongue & inside
    light = picture[there].mean()
    assert light > 0.42 * picture[seen(rig, "upper_teeth", raised) > 0].mean()
    assert light > 1.12 * before[there].mean()
    assert picture[there][:, 0].mean() > 1.15 * picture[there][:, 1].mean()


def _millimetres_beside_the_middle(rig: Rig, reach: float) -> slice:
    middle = float(rig.frame.canvas(np.float32(rig.lips.middle), np.float32(rig.lips.level))[0])
    wide = reach * rig.frame.unit / 63
    return slice(round(middle - wide), round(middle + wide) + 1)


def test_teeth_are_seen_where_they_show(rig: Rig) -> None:
    for name in ("mid front", "sibilant", "close front"):
        assert area(rig, "upper_teeth", viseme(name)) > 60, name
    assert area(rig, "lower_teeth", viseme("open", smile=-0.5)) > 5
    for part in PARTS:
        assert area(rig, part, row()) == 0
        assert area(rig, part, viseme("bilabial stop", yaw=4)) == 0


def test_rounded_lips_hide_the_teeth(rig: Rig) -> None:
    """They are pushed forwards, in front of them: behind a u it is dark, behind an o there is but their edge."""
    bare = replace(rig, interior=replace(rig.interior, **{n: np.zeros_like(getattr(rig.interior, n)) for n in PARTS}))
    for name, most in (("close round", 0.25), ("mid round", 0.44)):
        inside = opening(rig, viseme(name))
        shown = Renderer(rig).render(viseme(name)).mean(-1) - Renderer(bare).render(viseme(name)).mean(-1)
        assert float((shown[inside] > 40).mean()) < most
    across = np.ptp(np.flatnonzero(opening(rig, viseme("close round")).any(0))) / rig.frame.unit
    assert across < 0.37


@pytest.mark.parametrize(("name", "least"), [("astronaut", 65), ("hopper", 32)])
def test_a_round_mouth_is_a_ring_and_no_slot_that_was_cut_out(name: str, least: float, rigs: dict[str, Rig]) -> None:
    """Its opening is short, and the inner side of the lower lip, turned outwards, leads into the dark."""
    made, controls = rigs[name], viseme("close round")
    inside = opening(made, controls)
    columns, rows = (np.flatnonzero(inside.any(axis)) for axis in (0, 1))
    assert len(columns) < 3.05 * len(rows)
    light = Renderer(made).render(controls).mean(-1)
    steps = []
    for x in columns[round(0.35 * len(columns)) : round(0.65 * len(columns))]:
        column = light[np.flatnonzero(inside[:, x]), x]
        steps.append(float(column[-max(1, round(0.12 * len(column))) :].mean() - column.min()))
    assert np.mean(steps) > least


def test_the_lower_teeth_of_a_dropped_jaw_run_along_the_lip(rigs: dict[str, Rig]) -> None:
    """Those further back drop less: the row does not dive under the lip beside its incisors."""
    for controls in (row(open=0.2, jaw=0.17), viseme("open", smile=-0.5)):
        teeth = np.flatnonzero(seen(rigs["hopper"], "lower_teeth", controls).any(0))
        assert np.ptp(teeth) > 0.6 * np.ptp(np.flatnonzero(opening(rigs["hopper"], controls).any(0)))


@pytest.mark.parametrize(("name", "least"), [("sibilant", 12), ("close front", 14), ("mid front", 14)])
def test_the_lower_teeth_stand_over_the_lip(rig: Rig, name: str, least: float) -> None:
    """In the colour of the upper ones, a little darker, and with no dark band but the gap between the rows."""
    controls = viseme(name)
    assert area(rig, "lower_teeth", controls) > least
    picture = Renderer(rig).render(controls).astype(float)
    upper, lower = (picture[seen(rig, part, controls) > 0].mean(0) for part in ("upper_teeth", "lower_teeth"))
    assert 0.6 < lower.mean() / upper.mean() < 0.97
    assert np.abs(lower / lower.mean() - upper / upper.mean()).max() < 0.15
    inside = opening(rig, controls)
    columns = _millimetres_beside_the_middle(rig, 4)
    dark = (picture.mean(-1) < 0.3 * upper.mean()) & inside
    assert dark[:, columns].sum(0).mean() * 63 / rig.frame.unit < 0.8


def test_the_rows_of_teeth_nearly_meet_for_a_sibilant(rig: Rig) -> None:
    columns = _millimetres_beside_the_middle(rig, 4)
    upper, lower = (seen(rig, part, viseme("sibilant"))[:, columns] for part in ("upper_teeth", "lower_teeth"))
    between = [np.flatnonzero(b).min() - np.flatnonzero(a).max() for a, b in zip(upper.T, lower.T, strict=True)]
    assert float(np.median(between)) * 63 / rig.frame.unit < 2


def test_the_lower_lip_rolls_in_under_the_teeth(rig: Rig) -> None:
    """Under the edges of the incisors, which rest on it; about half of what it shows at rest is left below them."""

    def lower_lip(shape: lips.MouthShape) -> tuple[float, float]:
        motion = lips.move(rig.lips, rig.frame.unit, shape)
        lower = np.stack([rig.lips.lower_inner, rig.lips.lower_outer]) + motion.curves[2:]
        inner, outer = (np.interp(rig.lips.middle, lips.positions(), curve) for curve in lower)
        return float(inner), float(outer)

    tucked = viseme("labiodental")
    shape = lips.MouthShape(**{name: float(tucked[INDEX[name]]) for name in SHAPE_CONTROLS})
    edge, rim = lower_lip(shape)
    teeth = seen(rig, "upper_teeth", tucked)
    columns, per_mm = _millimetres_beside_the_middle(rig, 6), rig.frame.unit / 63
    level = float(rig.frame.canvas(np.float32(rig.lips.middle), np.float32(0))[1])
    tips = np.array([np.flatnonzero(column).max() + 0.5 for column in teeth[:, columns].T]) - level
    at_rest = lower_lip(lips.MouthShape())
    left = (rim - float(np.median(tips))) / (at_rest[1] - at_rest[0])
    assert 0.36 < left < 0.6
    assert 0.2 < (float(np.median(tips)) - edge) / per_mm < 1.5
    # Tips, and no bar.
    tall = teeth[:, columns].sum(0) / per_mm
    assert float(np.median(tall)) < 4.5


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_a_grey_mouth_is_grey_in_every_mood(name: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    renderer = Renderer(rig_of(paint.grey(photos[name]), mesh))
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


def burnt_out(photo: Picture) -> Picture:
    return np.clip(photo * 2.2, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_the_inside_of_a_burnt_out_photo_is_no_darker_than_its_darks(
    name: str, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """Nor is it grey, where the lights have lost their colour and the darks have not."""
    points = mesh.landmarks(photos[name]).points
    plain, burnt = (build_rig(photo, points, SIZE, 0.42) for photo in (photos[name], burnt_out(photos[name])))
    dark = []
    for made in (plain, burnt):
        picture = Renderer(made).render(viseme("open"))
        inside = picture[opening(made, viseme("open"))].astype(float)
        dark.append(inside[inside.mean(1) <= np.percentile(inside.mean(1), 20)].mean(0))
    assert dark[1].mean() > 1.8 * dark[0].mean()
    assert dark[1][0] > 1.15 * dark[1][1]


def test_drawn_teeth_go_on_where_those_of_the_photo_end(rigs: dict[str, Rig]) -> None:
    made = rigs["astronaut"].interior
    assert made.from_photo
    rows = slice(round((14 + made.bite - 5) * made.scale), round((14 + made.bite - 2) * made.scale))
    band = made.upper_teeth[rows]
    light = band[..., :3].mean(-1).sum(0) / np.maximum(band[..., 3].sum(0), 1e-3)

    def tooth(start: float, end: float) -> float:
        return float(np.median(light[round((32 + start) * made.scale) : round((32 + end) * made.scale)]))

    for side in ((9.5, 13, 14.5, 18.5), (-13, -9.5, -18.5, -14.5)):
        lateral, canine = tooth(*side[:2]), tooth(*side[2:])
        assert canine > 0.76 * lateral


def test_a_drawing_of_flat_colours_is_not_shaded(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    drawing = (cv2.medianBlur(photos["hopper"], 11) // 64 * 85).astype(np.uint8)
    points = mesh.landmarks(photos["hopper"]).points
    plain, flat = (build_rig(p, points, SIZE, 0.42).shading.rounded for p in (photos["hopper"], drawing))
    assert float(np.abs(plain).max()) > 0.1
    assert float(np.abs(flat).max()) < 0.02
