"""The gate sees blinks that the face mesh does not see, and sees when they are missing or come at other times."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.check import lids
from avatarctl.engines.check.face import openings
from avatarctl.engines.check.mouth import around_blinks, correlation
from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import build_rig
from tests.mouth_support import Picture, row
from tests.quality import paint, worn

Floats = NDArray[np.float64]
SIZE = 320
FPS = 25.0
MEANT = np.zeros(44)
for start in (8, 30):
    MEANT[start : start + 6] = 0.17, 0.83, 1.0, 0.95, 0.66, 0.29
DRAWN: dict[str, Callable[[Picture, Floats], Picture]] = {
    "photo": lambda photo, _: photo,
    "painting": lambda photo, _: paint.painting(photo),
    "pencil": lambda photo, _: paint.pencil(photo),
    "ink": paint.ink,
}


def filmed(photo: Picture, mesh: FaceMesh, shut: Floats) -> tuple[Floats, Picture]:
    """How open the mesh sees the eyes of a puppet that shuts them so, nods and looks about, and their look."""
    renderer = Renderer(build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42))
    face, opened, looks = None, [], []
    for number, closed in enumerate(shut):
        nod = float(np.sin(number / 7))
        gaze = {"gaze_x": 8.0 * float(np.sin(number / 11)), "gaze_y": 4.0 * float(np.cos(number / 9))}
        picture = renderer.render(row(blink=float(closed), yaw=3 * nod, pitch=nod, tx=0.02 * nod, **gaze))
        face = mesh.landmarks(picture) if face is None else mesh.track(picture, face)
        opened.append(openings(face)[1])
        looks.append(lids.look(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8), face))
    return np.array(opened), np.array(looks)


def agreement(opened: Floats, looks: Picture) -> float:
    found = correlation(MEANT, lids.shutting(looks, opened, around_blinks(MEANT, opened, FPS)))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "kind", "least"),
    [
        ("hopper", "photo", 0.95),
        ("astronaut", "painting", 0.93),
        ("astronaut", "pencil", 0.93),
        # Black and white alone: by their look these eyes are shut before they are (0.84).
        ("astronaut", "ink", 0.88),
    ],
)
def test_blinks_are_seen_whatever_lids_look_like(
    name: str, kind: str, least: float, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    photo = photos[name]
    drawn = DRAWN[kind](photo, mesh.landmarks(photo).points)
    assert agreement(*filmed(drawn, mesh, MEANT)) > least


@pytest.mark.parametrize("shut", [np.zeros_like(MEANT), np.roll(MEANT, 5)], ids=["never", "late"])
def test_blinks_that_are_missing_or_late_are_caught(shut: Floats, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    assert agreement(*filmed(photos["hopper"], mesh, shut)) < 0.6


def test_eyes_are_known_to_be_hidden_or_closed(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """What lids do behind dark glasses and mirrors nobody can tell, nor of eyes that never open."""
    photo = photos["astronaut"]
    face = mesh.landmarks(photo)
    points = face.points.astype(np.float64)
    for seen in (photo, paint.glasses(photo, points), paint.bright(photo, 0.3), paint.ink(photo, points)):
        assert lids.shown(seen, face)
    asleep = Renderer(build_rig(photo, face.points, SIZE, 0.42)).render(row(blink=1))
    for hidden in (paint.glasses(photo, points, 0.97), worn.mirrored_glasses(photo, points), asleep):
        assert not lids.shown(hidden, mesh.landmarks(hidden))


def test_eyes_that_are_nowhere_have_no_look(photos: dict[str, Picture]) -> None:
    nowhere = Landmarks(np.zeros((478, 3), np.float32), 1.0)
    assert not lids.look(np.full((64, 64), 90, np.uint8), nowhere).any()
    unknown = lids.shutting(np.zeros((40, lids.LOOK), np.uint8), np.zeros(40), np.zeros(40, bool))
    assert np.isnan(unknown).all()
