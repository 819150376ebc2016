"""Eyes of every kind: turned and in the shade, drawn with a pen, behind mirrors and tinted glass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet import eyeball
from avatarctl.engines.puppet.eyeball import find_iris
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import build_rig
from tests.mouth_support import Picture, row
from tests.quality import bones, paint, worn

Floats = NDArray[np.floating[Any]]
SIZE = 256


IRISES: dict[str, Callable[[Picture, Floats], Picture]] = {
    "plain": lambda photo, _: photo,
    "dark skin": lambda photo, points: paint.complexion(photo, points, 0.5, 0.85, 1.0),
    "turned": lambda photo, points: bones.turned_in_space(photo, points, 25, 0),
    "child": bones.child,
}


@pytest.mark.parametrize("kind", IRISES)
def test_the_irises_of_a_face_are_of_one_size(
    kind: str, photos: dict[str, Picture], mesh: FaceMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One was found a third larger, far to the side; looking aside, it had white arcs on it."""
    found: list[float] = []

    def noted(*eye: Any) -> tuple[Floats, float]:
        centre, radius = find_iris(*eye)
        usual = float(np.linalg.norm(eye[3][1:] - eye[3][0], axis=1).mean())
        assert np.abs(centre - eye[3][0]).max() < 0.27 * usual
        found.append(radius / usual)
        return centre, radius

    monkeypatch.setattr(eyeball, "find_iris", noted)
    photo = photos["astronaut"]
    photo = IRISES[kind](photo, mesh.landmarks(photo).points)
    build_rig(photo, mesh.landmarks(photo).points, 512, 0.42)
    assert len(found) == 2 and max(found) < 1.15 * min(found)


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_no_lid_falls_over_a_mirror(name: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """The horizon that glasses mirrored was taken for an eye, and lids of its colour came and went over it."""
    points = mesh.landmarks(photos[name]).points
    mirrored = worn.mirrored_glasses(photos[name], points.astype(np.float64))
    assert build_rig(mirrored, mesh.landmarks(mirrored).points, SIZE, 0.42).eyes == ()


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_the_line_over_a_drawn_eye_goes_down_with_its_lid(
    name: str, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """It vanished when a blink began, and so half of what a blink changes changed at once, in grey."""
    points = mesh.landmarks(photos[name]).points
    drawing = build_rig(paint.ink(photos[name], points.astype(np.float64)), points, 320, 0.42)
    assert drawing.eyes and all(eye.drawn for eye in drawing.eyes)
    renderer = Renderer(drawing)
    open_eyes = renderer.render(row()).astype(int)
    began, on, closed = (np.abs(renderer.render(row(blink=way)) - open_eyes).sum() for way in (0.03, 0.17, 1.0))
    assert began < 0.3 * closed and on < 0.45 * closed


def test_no_skin_from_beside_tinted_glasses_is_on_the_lids(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    tinted = paint.glasses(photos["hopper"], mesh.landmarks(photos["hopper"]).points, 0.75)
    rig = build_rig(tinted, mesh.landmarks(tinted).points, 512, 0.42)
    closed = Renderer(rig).render(row(blink=1)).mean(-1)
    for eye in rig.eyes:
        below, opening, x = (eye.places[::2, ::2, i] for i in range(3))
        part = closed[eye.top : eye.top + x.shape[0], eye.left : eye.left + x.shape[1]]
        lid, aside = (below > -0.12 * eye.unit) & (below < 0.8 * opening) & (eye.masks[::2, ::2, 2] == 0), np.abs(x)
        assert part[lid & (aside > 0.5) & (aside < 1.1)].max() < 1.45 * np.median(part[lid & (aside < 0.5)])
