"""Eyes that look about, lids, brows and glasses, judged by the face mesh where it can."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet import anatomy, glasses
from avatarctl.engines.puppet.expression import expression_field
from avatarctl.engines.puppet.framing import frame, view
from avatarctl.engines.puppet.head import face_axes
from avatarctl.engines.puppet.lids import closure, draw
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig, build_rig
from tests.mouth_support import VARIANTS, Picture, rig_of, row
from tests.quality import paint, prints

SIZE = 512
MILLIMETRES = 63.0
"""Of 1 u."""


@pytest.fixture(scope="module")
def rigs(photos: dict[str, Picture], mesh: FaceMesh) -> dict[str, Rig]:
    return {name: build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42) for name, photo in photos.items()}


@pytest.mark.parametrize("closed", [-0.2, 0.3, 0.7, 1.0])
def test_what_lies_outside_the_box_of_an_eye_stays_as_it_is(closed: float, rig: Rig) -> None:
    """Of a head that is turned, the upright part of the picture around the box shows more than the box."""
    for eye in rig.eyes:
        rows, columns = eye.places.shape[:2]
        x, y = np.meshgrid(*(np.arange(-40, n + 40, dtype=np.float32) for n in (columns, rows)))
        under = np.random.default_rng(5).integers(0, 256, (*x.shape, 3), np.uint8)
        drawn = draw(eye, under, np.dstack([x, y]), closed, (6.0, 4.0))
        outside = (x < 0) | (y < 0) | (x > columns - 1) | (y > rows - 1)
        assert np.array_equal(drawn[outside], under[outside])
        assert not np.array_equal(drawn[~outside], under[~outside])


def looking(face: Landmarks) -> NDArray[np.float64]:
    """Both irises from the middle of their corners, along the eyes and across them, mm."""
    across = face.eye_centres[1] - face.eye_centres[0]
    unit = float(np.linalg.norm(across))
    right = across / unit
    down = np.array([-right[1], right[0]])
    points = [face.xy[eye.iris[0]] - face.xy[list(eye.corners)].mean(0) for eye in anatomy.EYES]
    offset = np.mean(points, axis=0) / unit * MILLIMETRES
    return np.array([offset @ right, offset @ down])


def opening(face: Landmarks) -> float:
    pairs = ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373))
    return float(np.mean([np.linalg.norm(face.xy[a] - face.xy[b]) for a, b in pairs])) / face.interocular


def around_eyes(rig: Rig) -> tuple[slice, slice]:
    tops = [eye.top for eye in rig.eyes]
    return (
        slice(min(tops), max(eye.top + eye.places.shape[0] // 2 for eye in rig.eyes)),
        slice(rig.eyes[0].left, rig.eyes[1].left + rig.eyes[1].places.shape[1] // 2),
    )


def test_eyes_at_rest_are_the_photo(rig: Rig) -> None:
    part = around_eyes(rig)
    difference = np.abs(Renderer(rig).render(row())[part].astype(int) - rig.canvas[part])
    assert float(np.percentile(difference, 99.5)) <= 2


def test_a_small_gaze_is_a_small_change(rig: Rig) -> None:
    renderer = Renderer(rig)
    rest = renderer.render(row()).astype(int)
    for controls in ({"gaze_x": 0.02}, {"gaze_y": -0.02}, {"lid": 0.002}, {"lid": -0.002}, {"blink": 0.002}):
        assert int(np.abs(renderer.render(row(**controls)).astype(int) - rest).max()) <= 6, controls


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_irises_go_where_the_eyes_look(variant: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """12 degrees are 2.5 mm of an eyeball of 12 mm; the mesh sees a part of that."""
    photo = VARIANTS[variant](photos["astronaut"])
    renderer = Renderer(build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42))

    def seen(**controls: float) -> NDArray[np.float64]:
        return looking(mesh.landmarks(renderer.render(row(**controls))))

    left, middle, right = (seen(gaze_x=x)[0] for x in (-12, 0, 12))
    assert left < middle - 0.6 and right > middle + 0.6
    assert 1.6 < right - left < 7
    if variant != "small":
        up, down = seen(gaze_y=-8)[1], seen(gaze_y=8)[1]
        assert 0.3 < down - up < 5


def test_the_dark_of_the_eye_moves_by_the_eyeballs_radius(rigs: dict[str, Rig]) -> None:
    """What has become dark less what has become light, one iris's move apart."""
    rig = rigs["astronaut"]
    renderer = Renderer(rig)
    rows, columns = around_eyes(rig)

    def dark(gaze: float) -> float:
        half = columns.start, (columns.start + columns.stop) // 2
        light = renderer.render(row(gaze_x=gaze))[rows, half[0] : half[1]].astype(float).mean(-1)
        weight = np.clip(75 - light, 0, None)
        weight[: weight.shape[0] // 2] = 0
        return float((weight * np.arange(weight.shape[1])).sum() / weight.sum())

    moved = (dark(10) - dark(-10)) / rig.frame.unit * MILLIMETRES
    assert 2.0 < moved < 5.5


def test_lids_open_and_close(rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    renderer = Renderer(rigs["astronaut"])
    by_lid = [opening(mesh.landmarks(renderer.render(row(lid=lid)))) for lid in (-0.3, 0.0, 0.2, 0.4)]
    assert all(b < a - 0.004 for a, b in pairwise(by_lid)), by_lid
    by_blink = [opening(mesh.landmarks(renderer.render(row(blink=blink)))) for blink in (0, 0.3, 0.6, 1)]
    assert all(b < a for a, b in pairwise(by_blink)), by_blink
    assert by_blink[-1] < 0.4 * by_blink[0]
    for lid in (-0.3, 0.3):
        assert opening(mesh.landmarks(renderer.render(row(lid=lid, blink=1)))) < 0.4 * by_blink[0]


def test_a_blink_leaves_no_clump_of_lashes_at_the_outer_corner(rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    """The lashes of the open eye stand there as one dark spot; those of a closed one end in a thin line."""
    made = rigs["astronaut"]
    unit, points = made.frame.unit, mesh.landmarks(made.canvas).points

    def darkest(blink: float) -> list[float]:
        """At both corners, in lights of the skin there."""
        light = cv2.cvtColor(Renderer(made).render(row(blink=blink)), cv2.COLOR_RGB2GRAY).astype(np.float32)
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), 0.015 * unit), np.float32)
        found = []
        for eye, side in zip(anatomy.EYES, (-1, 1), strict=True):
            corners = points[list(eye.corners), :2]
            x, y = corners[np.argmax(side * corners[:, 0])]
            left, right = sorted((round(x), round(x + side * 0.12 * unit)))
            part = light[round(y - 0.10 * unit) : round(y + 0.02 * unit) + 1, left : right + 1]
            found.append(float(part.min() / np.percentile(part, 90)))
        return found

    assert max(darkest(0.0)) < 0.5
    assert min(darkest(1.0)) > 0.55


def test_a_blink_closes_from_wherever_the_lid_is() -> None:
    assert closure(0, 0, 0) == 0
    for lid in (-0.3, 0.0, 0.4):
        values = [closure(lid, 0, blink) for blink in np.linspace(0, 1, 11)]
        assert all(b > a for a, b in pairwise(values)) and values[-1] == 1
    assert closure(0, 8, 0) > 0 > closure(0, -8, 0)


def test_partial_blinks_have_no_specks(rig: Rig) -> None:
    """No pixel far brighter or darker than its surroundings that the photo does not have."""
    renderer = Renderer(rig)
    part = around_eyes(rig)

    def rough(picture: Picture) -> float:
        light = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)[part]
        return float(np.percentile(np.abs(light.astype(float) - cv2.medianBlur(light, 3)), 99.5))

    before = rough(rig.canvas)
    for blink in (0.15, 0.3, 0.6, 0.85):
        assert rough(renderer.render(row(blink=blink))) <= before + 3


def test_glasses_are_told_from_bare_faces(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    for name, photo in photos.items():
        for variant, change in VARIANTS.items():
            picture = change(photo)
            points = mesh.landmarks(picture).points
            framed = frame(picture, points, view(picture, points, SIZE, SIZE, 0.42))
            found = glasses.find(framed.canvas, framed.landmarks, face_axes(framed.landmarks))
            assert bool(found.any()) == (name == "hopper"), variant


def test_a_brow_rises_as_a_whole_and_leaves_the_lid(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Its hairs are not stretched, so a face that raises its brows is as sharp as before."""
    points = mesh.landmarks(photos["astronaut"]).points
    axes = face_axes(points)
    for eye in anatomy.EYES:
        upper, lower = points[eye.brow[2], :2], points[eye.brow_bottom[2], :2]
        places = np.stack([upper, lower, points[eye.upper[4], :2]])[None]
        basis = expression_field(axes, points, places, np.zeros((1, 1), np.uint8)).brow
        above, below, lid = (float(np.linalg.norm(moved)) for moved in basis[0])
        assert below > 0.995 * above and lid < 0.2 * above


def test_a_frame_of_glasses_neither_bends_nor_is_covered(
    rigs: dict[str, Rig], photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    rig = rigs["hopper"]
    points = mesh.landmarks(photos["hopper"]).points
    framed = frame(photos["hopper"], points, view(photos["hopper"], points, SIZE, SIZE, 0.42))
    found = glasses.find(framed.canvas, framed.landmarks, face_axes(framed.landmarks)) > 0.95
    assert 0.1 < found.sum() / rig.frame.unit**2 < 1
    renderer = Renderer(rig)
    rest = renderer.render(row()).astype(int)
    for controls in (
        {"blink": 1.0},
        {"lid": -0.3},
        {"gaze_x": 12.0, "gaze_y": -8.0},
        {"brow": 0.1},
        {"brow_inner": 0.06, "furrow": 0.05},
        {"brow_skew": 0.05, "cheek": 0.08, "squint": 0.03},
    ):
        change = np.abs(renderer.render(row(**controls)).astype(int) - rest).max(-1)[found]
        assert float(np.percentile(change, 98)) < 40, controls
        assert float(change.mean()) < 4, controls


def brow_heights(face: Landmarks) -> NDArray[np.float64]:
    """Left brow's outer and inner end, right brow's inner and outer end, above the line of the eyes, u."""
    across = face.eye_centres[1] - face.eye_centres[0]
    up = np.array([across[1], -across[0]]) / face.interocular
    ends = ((70, 63), (55, 107), (285, 336), (300, 293))
    middle = face.eye_centres.mean(0)
    return np.array([(face.xy[list(end)].mean(0) - middle) @ up for end in ends]) / face.interocular


def test_brows_follow_their_controls(rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    renderer = Renderer(rigs["astronaut"])

    def risen(**controls: float) -> NDArray[np.float64]:
        return brow_heights(mesh.landmarks(renderer.render(row(**controls)))) - rest

    rest = brow_heights(mesh.landmarks(renderer.render(row())))
    assert risen(brow=0.1).min() > 0.03
    inner = risen(brow_inner=0.06)
    assert inner[1:3].mean() > 0.015 and inner[1:3].mean() > inner[[0, 3]].mean() + 0.005
    skew = risen(brow_skew=0.05)
    assert skew[2:].mean() > 0.008 and skew[:2].mean() < -0.008
    assert risen(furrow=0.05)[1:3].mean() < -0.008


def test_a_sad_mouth_leaves_the_cheeks(rigs: dict[str, Rig]) -> None:
    """Corners down do not pull the lower lids down."""
    rig = rigs["astronaut"]
    part = around_eyes(rig)
    renderer = Renderer(rig)
    sad, happy = (np.abs(renderer.render(row(smile=s))[part].astype(int) - rig.canvas[part]).mean() for s in (-1, 1))
    assert sad < 0.2 * happy


def with_colour(photo: Picture, polygon: NDArray[np.floating], colour: tuple[int, int, int]) -> Picture:
    changed = photo.copy()
    cv2.fillConvexPoly(changed, cv2.convexHull(np.rint(polygon).astype(np.int32)), colour)
    return changed


def around(points: NDArray[np.floating], eye: anatomy.EyeIndices, grow: float) -> NDArray[np.float64]:
    outline = np.asarray(points[list(eye.upper + eye.lower), :2], np.float64)
    middle = outline.mean(0)
    return np.asarray(middle + (outline - middle) * (grow, 2 * grow), np.float64)


MOVED: tuple[dict[str, float], ...] = ({"blink": 1.0}, {"blink": 0.5}, {"gaze_x": 12.0, "gaze_y": 5.0}, {"lid": -0.3})


@pytest.mark.parametrize("side", [0, 1])
def test_nothing_is_drawn_over_a_hidden_eye(side: int, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    photo = photos["astronaut"]
    points = mesh.landmarks(photo).points
    patched = build_rig(with_colour(photo, around(points, anatomy.EYES[side], 1.6), (40, 36, 36)), points, SIZE, 0.42)
    bare = build_rig(photo, points, SIZE, 0.42)
    (seen,) = patched.eyes
    assert (seen.left, seen.top) == (bare.eyes[1 - side].left, bare.eyes[1 - side].top)
    hidden = bare.eyes[side]
    rows, columns = (n // 2 for n in hidden.places.shape[:2])
    part = np.s_[hidden.top : hidden.top + rows, hidden.left : hidden.left + columns]
    renderer = Renderer(patched)
    for controls in MOVED:
        # What moves under a patch in a blink is the cheek.
        cheek = row(squint=0.012 * controls.get("blink", 0.0))
        assert np.array_equal(renderer.render(row(**controls))[part], renderer.render(cheek)[part]), controls


def test_eyes_behind_dark_glasses_stay(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    photo = photos["astronaut"]
    points = mesh.landmarks(photo).points
    for eye in anatomy.EYES:
        photo = with_colour(photo, around(points, eye, 1.6), (22, 20, 20))
    assert build_rig(photo, points, SIZE, 0.42).eyes == ()


def test_both_of_a_drawings_narrow_eyes_blink(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """The mesh sees one narrower than an eye of a photo is when it is open, but not narrower than the other."""
    drawing = paint.pencil(photos["astronaut"])
    assert len(build_rig(drawing, mesh.landmarks(drawing).points, 320, 0.42).eyes) == 2


def test_an_eye_closed_in_the_photo_gets_no_second_lid(rig: Rig, mesh: FaceMesh) -> None:
    asleep = Renderer(rig).render(row(blink=1))
    closed = build_rig(asleep, mesh.landmarks(asleep).points, SIZE, 0.42)
    assert closed.eyes == ()
    renderer = Renderer(closed)
    rest = renderer.render(row()).astype(int)
    for controls in ({"gaze_x": 12.0}, {"lid": 0.4}, {"lid": -0.3}):
        assert np.array_equal(renderer.render(row(**controls)), rest), controls


@pytest.mark.parametrize("light", [1.6, 0.15])
def test_nothing_wraps_around_in_the_brightest_and_the_darkest_picture(
    light: float, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """Above 255 comes no black, below 0 no white: a closing lid stays between the photo's own tones."""
    points = mesh.landmarks(photos["astronaut"]).points
    photo = np.clip(photos["astronaut"] * light, 0, 255).astype(np.uint8)
    bright = build_rig(photo, points, SIZE, 0.42)
    part = around_eyes(bright)
    renderer = Renderer(bright)
    lowest, highest = (int(f(bright.canvas[part].astype(int).sum(-1))) for f in (np.min, np.max))
    # The glint in a dark iris stands out, too, and goes with it.
    glint = np.abs(bright.canvas[part].astype(int) - cv2.medianBlur(np.ascontiguousarray(bright.canvas[part]), 5)).max()
    for controls in (*MOVED, {"blink": 0.25}, {"blink": 0.75}, {"blink": 0.9, "gaze_x": -12.0}):
        drawn = renderer.render(row(**controls))[part]
        light_of = drawn.astype(int).sum(-1)
        assert lowest - 30 <= light_of.min() and light_of.max() <= highest + 30, controls
        calm = cv2.medianBlur(drawn, 5).astype(int)
        assert np.abs(drawn.astype(int) - calm).max() < max(160, 1.1 * glint), controls
    lid = renderer.render(row(blink=1))
    for eye in bright.eyes:
        below, opening, x = (eye.places[::2, ::2, i] for i in range(3))
        on_lid = (below > 0.1 * opening) & (below < 0.5 * opening) & (np.abs(x) < 0.6)
        shown = lid[eye.top : eye.top + x.shape[0], eye.left : eye.left + x.shape[1]][on_lid].mean(-1)
        usual = eye.skin[::2, ::2][on_lid].mean()
        assert float(np.abs(shown - usual).max()) < 0.35 * usual + 8


def test_a_line_drawing_blinks_in_its_own_two_tones(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    photo = photos["astronaut"]
    points = mesh.landmarks(photo).points
    light = cv2.GaussianBlur(paint.grey(photo)[..., 0].astype(np.float32), (0, 0), 1)
    lines = np.where(light < cv2.GaussianBlur(light, (0, 0), 6) - 6, 0, 255).astype(np.uint8)
    drawing = build_rig(np.dstack([lines] * 3), points, SIZE, 0.42)
    assert drawing.eyes and all(eye.drawn for eye in drawing.eyes)
    renderer = Renderer(drawing)
    for controls in ({"gaze_x": 12.0}, {"lid": -0.3}):
        assert np.array_equal(renderer.render(row(**controls)), renderer.render(row())), controls
    closed = renderer.render(row(blink=1))
    for eye in drawing.eyes:
        below, opening, x = (eye.places[::2, ::2, i] for i in range(3))
        on_lid = (below > 0.1 * opening) & (below < 0.5 * opening) & (np.abs(x) < 0.7)
        assert closed[eye.top : eye.top + x.shape[0], eye.left : eye.left + x.shape[1]][on_lid].min() > 240


def test_the_lid_has_the_grain_of_the_skin(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    photo = photos["astronaut"]
    points = mesh.landmarks(photo).points

    def grain(picture: Picture) -> float:
        eye = build_rig(picture, points, SIZE, 0.42).eyes[0]
        fine = eye.skin.astype(np.float32) - cv2.GaussianBlur(eye.skin, (0, 0), 4)
        return float(fine.std())

    noise = np.random.default_rng(1).normal(0, 25, photo.shape)
    assert grain(np.clip(photo + noise, 0, 255).astype(np.uint8)) > 4 * grain(photo)


def test_no_hair_and_no_rim_of_glasses_is_taken_for_grain(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """A closed lid has no stripes across it, whatever is seen of a beard or of glasses on the cheeks."""
    points = mesh.landmarks(photos["hopper"]).points
    bearded = paint.beard(photos["hopper"], points, (170, 165, 160))
    for eye in rig_of(bearded, mesh).eyes:
        skin, lid = eye.skin.astype(np.float32), eye.masks[..., 0] > 200
        fine = skin - cv2.GaussianBlur(skin, (0, 0), 0.1 * eye.unit)
        rows = np.flatnonzero(lid.mean(1) > 0.5)
        stripes = fine[rows][:, lid[rows].all(0)].mean(0)
        assert float(np.abs(stripes).max()) < 7.5


def test_a_tiny_eye_stays_still_without_failing(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    photo = photos["astronaut"]
    tiny = build_rig(photo, mesh.landmarks(photo).points, 64, 0.42)
    assert max(eye.ball.freedom for eye in tiny.eyes) < 0.2
    renderer = Renderer(tiny)
    for controls in ({"gaze_x": 15.0, "gaze_y": 10.0}, {"blink": 1.0}, {"lid": -0.3}):
        assert renderer.render(row(**controls)).shape == tiny.canvas.shape


def test_the_grain_of_a_lid_in_the_shade_is_as_faint_as_its_light(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Behind tinted glasses the lids were a mosaic, in a painting they were striped; beside a shadow across the face
    they were like crocodile's skin, for the calmest place was the one in the dark."""
    points = mesh.landmarks(photos["hopper"]).points
    tinted = paint.glasses(photos["hopper"], points, 0.75)
    smooth = mesh.landmarks(photos["astronaut"]).points
    shaded = prints.half_shadow(photos["astronaut"], smooth)
    for picture, at, size, most in (
        (tinted, points, 256, 0.08),
        (paint.painting(photos["hopper"]), points, 256, 0.15),
        (shaded, smooth, SIZE, 0.05),
    ):
        made = build_rig(picture, at, size, 0.42)
        for eye in made.eyes:
            skin, lid = eye.skin.astype(np.float32), eye.masks[..., 0] > 200
            fine = skin - cv2.GaussianBlur(skin, (0, 0), 0.06 * made.frame.unit)
            assert fine[lid].std() < most * skin[lid].mean()
