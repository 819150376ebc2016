"""Several kinds at once, as unknown photos have them; each was wrong in a film of a mixture drawn by chance."""

from __future__ import annotations

import numpy as np
import pytest

from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet import moustache
from avatarctl.engines.puppet.head import face_axes
from avatarctl.engines.puppet.lips import mouth_frame, photo_lips
from avatarctl.errors import NoFace
from tests.mouth_support import Picture, rig_of
from tests.quality import bones, paint, prints
from tests.quality.paint import Floats


def place_of(face: Floats) -> tuple[float, float, float]:
    """Middle and width of a face's box."""
    x, y = (face.min(0) + face.max(0))[:2] / 2
    return float(x), float(y), float(np.ptp(face[:, 0]))


def test_a_face_is_found_again_where_enrolment_found_it(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """A pale face, overexposed, in a round photo: with its corners filled it was no face any more, and no film came."""
    photo = photos["astronaut"]
    face = mesh.landmarks(photo)
    blank = paint.bright(photo, 3.5)
    assert mesh.faces(blank) == []
    again = mesh.near(blank, place_of(face.points))
    assert np.linalg.norm(again.xy - face.xy, axis=1).mean() < 0.08 * face.interocular
    with pytest.raises(NoFace, match="not in the portrait"):
        mesh.near(np.full_like(photo, 128), place_of(face.points))
    for beyond in ((9e9, 50.0, 90.0), (50.0, 50.0, float("nan")), (50.0, 50.0, 1e12)):
        with pytest.raises(NoFace):
            mesh.near(blank, beyond)


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_shade_over_the_lip_is_no_moustache(name: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Under blinds a flap of skin-coloured paint hung from the corner of the mouth."""
    photo, points = photos[name], mesh.landmarks(photos[name]).points
    frame = mouth_frame(points, face_axes(points).unit)

    def hair(picture: Picture) -> int:
        return photo_lips(points, frame, picture).hair.size

    shaded = (prints.blinds(photo, points), prints.half_shadow(photo, points), paint.bright(photo, 0.3))
    assert [hair(picture) for picture in shaded] == [0] * len(shaded)
    assert hair(paint.beard(photo, points, (52, 36, 26))) == 3
    assert hair(paint.grey(paint.beard(photo, points, (52, 36, 26)))) == 3


@pytest.mark.parametrize("shape", ["same", "round"])
def test_a_beard_that_grows_up_to_the_lip_is_no_fringe(
    shape: str, photos: dict[str, Picture], mesh: FaceMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a brown beard that met the moustache beside the mouth, a part went with the upper lip, over bare paint."""
    photo, points = photos["hopper"][:, ::-1].copy(), mesh.landmarks(photos["hopper"][:, ::-1].copy()).points
    if shape == "round":
        middle = points[:468, :2].mean(0)
        photo = bones.reshaped(photo, points, middle + (points[:468, :2] - middle) * (1.12, 0.97))
        points = mesh.landmarks(photo).points
    bearded = paint.beard(photo, points, (120, 60, 30))
    reached = []
    part = moustache.take_fringe

    def take_fringe(picture: Picture, colour: Floats, aside: Floats, below: Floats, thick: Floats) -> moustache.Fringe:
        fringe = part(picture, colour, aside, below, thick)
        reached.append(float(((fringe.alpha > 0.5) & (below > 1.1 * thick) & (aside < 0.85)).sum()))
        return fringe

    monkeypatch.setattr("avatarctl.engines.puppet.layers.take_fringe", take_fringe)
    rig_of(bearded, mesh)
    assert reached == [0.0]
