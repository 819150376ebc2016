"""The corners of the mouth and the skin over the upper lip, where a mouth that speaks is not what the photo shows."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet.controls import INDEX
from avatarctl.engines.puppet.lips import positions
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig, build_rig
from tests.mouth_support import SIZE, Picture, mouth_part, opening, rig_of, row, viseme
from tests.quality import bones, paint, worn


@pytest.mark.parametrize(("name", "smile"), [("open", 0.0), ("open", 1.0), ("mid front", 1.0), ("sibilant", 0.0)])
def test_the_opening_has_no_dark_wedges_at_its_ends(name: str, smile: float, rig: Rig) -> None:
    """What is seen there is the flesh in which the lips meet: darker than they are, and no hole."""
    controls = viseme(name, smile=smile)
    picture, inside = Renderer(rig).render(controls), opening(rig, controls)
    columns = np.flatnonzero(inside.any(0))
    reach = round(0.06 * len(columns))
    for ends in (columns[:reach], columns[-reach:]):
        there = picture[:, ends][inside[:, ends]].astype(float)
        assert 0.37 < float(np.median(there.mean(1))) / _lips(rig) < 0.8


def test_the_dark_of_a_wide_mouth_has_no_edge_beside_it(rig: Rig) -> None:
    """Light falls off into a mouth from its corners; where it fell at once, the dark looked cut out of the flesh."""
    controls = viseme("open")
    inside = opening(rig, controls)
    grey = cv2.cvtColor(Renderer(rig).render(controls), cv2.COLOR_RGB2GRAY).astype(np.float32)
    wide = np.flatnonzero(inside.sum(1) > 0.85 * inside.sum(1).max())
    darkest = min(wide, key=lambda level: float(np.median(grey[level][inside[level]])))
    light = grey[darkest][inside[darkest]]
    half = len(light) // 2
    for side in (light[:half], light[::-1][:half]):
        dark, flesh = float(np.median(side[half // 2 :])), float(side[1:4].max())
        steepest = np.abs(np.diff(side)).max() * half / (flesh - dark)
        assert steepest < 7  # 1: even from the corner to the middle


@pytest.mark.parametrize("name", ["mid round", "close round", "hushing"])
def test_nothing_dark_is_left_beside_round_lips(name: str, rig: Rig) -> None:
    """The ends of the photo's lips, the line between them and the dark of its corners stood there like whiskers."""
    controls, unit = viseme(name), rig.frame.unit
    picture, inside = Renderer(rig).render(controls), opening(rig, controls)
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.01 * unit)
    columns = np.flatnonzero(inside.any(0))
    for end, way in ((columns[0], -1), (columns[-1], 1)):
        level = round(float(np.flatnonzero(inside[:, end]).mean()))
        beside = end + way * np.arange(round(0.08 * unit), round(0.24 * unit))
        darkest = grey[level - round(0.06 * unit) : level + round(0.06 * unit), beside].min(0)
        skin = 0.5 * (grey[level - round(0.12 * unit), beside] + grey[level + round(0.14 * unit), beside])
        assert (darkest / skin).min() > 0.75


def test_skin_is_laid_over_the_corners_of_round_lips_alone(
    rig: Rig, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    renderer, bare = Renderer(rig), Renderer(replace(rig, corners=()))
    for controls in (viseme("close round"), row(), viseme("open"), viseme("hushing"), row(round=0.1), viseme("dental")):
        drawn = renderer.render(controls)
        assert np.array_equal(drawn, Renderer(rig).render(controls)), "what was drawn before is still to be seen"
        hidden = bool((drawn != bare.render(controls)).any())
        assert hidden == (controls[INDEX["round"]] > 0)
    # A moustache hangs over them, and would be parted.
    points = mesh.landmarks(photos["hopper"]).points
    hairy = paint.strokes(photos["hopper"], points, paint.moustache_region(points), (40, 28, 20), 1.5)
    bearded = build_rig(hairy, points, SIZE, 0.42)
    assert rig.corners and not bearded.corners


def test_what_shines_on_a_lip_is_no_colour_of_its_ends(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """One face's wet lips in the light of another's: the ends of the lower lip were lavender, of the window in them."""
    points = {name: mesh.landmarks(photo).points for name, photo in photos.items()}
    photo = bones.mixed(photos["hopper"], points["hopper"], photos["astronaut"], points["astronaut"], 0.3, 0.9)
    made = rig_of(photo, mesh)
    for controls in (row(), viseme("open"), viseme("mid front")):
        picture, unit, (x, y) = Renderer(made).render(controls), made.frame.unit, made.frame.origin
        under = picture[round(y - 0.02 * unit) : round(y + 0.3 * unit), round(x - 0.48 * unit) : round(x - 0.22 * unit)]
        light = under.mean(-1)
        shown = under[light > 0.7 * np.median(light)].astype(int)
        assert (shown[:, 2] > shown[:, 1]).mean() < 0.01


def _lips(rig: Rig) -> float:
    """Light of both in the photo."""
    x = np.linspace(-0.3, 0.3, 21, dtype=np.float32) + np.float32(rig.lips.middle)
    lights = []
    for inner, outer in ((rig.lips.upper_inner, rig.lips.upper_outer), (rig.lips.lower_inner, rig.lips.lower_outer)):
        y = np.interp(x, positions(), 0.5 * (inner + outer)).astype(np.float32)
        places = np.rint(rig.frame.canvas(x, y)).astype(int)
        lights.append(float(np.median(rig.canvas[places[:, 1], places[:, 0]].mean(1))))
    return float(np.mean(lights))


def test_a_poster_keeps_the_colours_of_its_open_mouth_out_of_its_lips(
    photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """In four colours the corners of a smile come out orange; lips that close leave nothing of that."""
    made = rig_of(paint.poster(photos["astronaut"], 4), mesh)
    renderer = Renderer(made)

    def orange(picture: Picture) -> float:
        """Square millimetres at the mouth."""
        unit, (x, y) = made.frame.unit, made.frame.origin
        part = picture[round(y - 0.08 * unit) : round(y + 0.35 * unit), round(x - 0.5 * unit) : round(x + 0.5 * unit)]
        red = part[..., 0].astype(int) - part[..., 1]
        return float((red > 60).sum()) * (63 / unit) ** 2

    assert orange(made.canvas) > 40
    for controls in (row(), viseme("sibilant"), viseme("close round")):
        assert orange(renderer.render(controls)) < 4


def streaks(rig: Rig, picture: Picture) -> float:
    """How much the skin beside the philtrum varies along the lip, in what it varies across it."""
    unit, (x, y) = rig.frame.unit, rig.frame.origin
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = cv2.GaussianBlur(grey, (0, 0), 0.006 * unit) - cv2.GaussianBlur(grey, (0, 0), 0.03 * unit)
    rows = slice(int(y - 0.17 * unit), int(y - 0.05 * unit))
    sides = (int(x - 0.36 * unit), int(x - 0.15 * unit)), (int(x + 0.15 * unit), int(x + 0.36 * unit))
    along, across = (
        np.mean([np.square(cv2.Sobel(fine, cv2.CV_32F, *way)[rows, a:b]).mean() for a, b in sides])
        for way in ((1, 0), (0, 1))
    )
    return float(along / across)


def test_skin_that_is_drawn_out_over_the_lip_has_no_streaks(rigs: dict[str, Rig]) -> None:
    made = rigs["astronaut"]
    renderer = Renderer(made)
    for name in ("open", "mid front", "sibilant"):
        assert streaks(made, renderer.render(viseme(name))) < 0.85, name
    # It is skin still, and not a smooth plate.
    rest = renderer.render(row())
    assert streaks(made, rest) < 0.85
    assert grain(made, rest) > 0.35 * grain(made, made.canvas)


def grain(rig: Rig, picture: Picture) -> float:
    """How rough the skin beside the philtrum is, levels."""
    unit, (x, y) = rig.frame.unit, rig.frame.origin
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 0.02 * unit))
    rows = slice(int(y - 0.15 * unit), int(y - 0.06 * unit))
    return float(np.median(fine[rows, int(x - 0.34 * unit) : int(x - 0.17 * unit)]))


@pytest.mark.parametrize("colour", [(92, 12, 34), (190, 40, 52)])
def test_the_paint_of_a_smile_does_not_reach_past_the_lips(
    colour: tuple[int, int, int], photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """Beside and above the corners of smiling painted lips the skin took their colour, as far as a clown's."""
    face = mesh.landmarks(photos["astronaut"])
    made = build_rig(worn.lipstick(photos["astronaut"], face.points, colour), face.points, SIZE, 0.42)
    for controls, widest in ((row(), 0.47), (viseme("mid round"), 0.34)):
        picture = mouth_part(made, Renderer(made).render(controls)).astype(float)
        painted = (picture[..., 0] > 1.9 * picture[..., 1]) & (picture[..., 0] > 60)
        x = np.flatnonzero(painted.sum(0) > 1) + made.mouth.box[0] - made.frame.origin[0]
        assert np.abs(x).max() < widest * made.frame.unit
