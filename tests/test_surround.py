"""What lies around a photo in its file: bars, frames and keys are cut off, the corners of a round one are filled."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.facemesh import portrait, quality, surround
from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.surround import Surround
from avatarctl.media import image
from tests.quality import paint, prints

Image = NDArray[np.uint8]
SITTERS = ["astronaut", "hopper"]


@pytest.fixture(scope="module")
def faces(photos: dict[str, Image], mesh: FaceMesh) -> dict[str, Landmarks]:
    return {name: mesh.landmarks(photo) for name, photo in photos.items()}


def placed(face: Landmarks, x: float, y: float, scale: float = 1.0) -> Landmarks:
    """The same face in a picture that shows its photo there."""
    points = face.points * np.float32(scale)
    points[:, :2] += (x, y)
    return Landmarks(points, face.score)


@pytest.mark.parametrize("name", SITTERS)
def test_a_frame_is_cut_off_on_all_sides(name: str, photos: dict[str, Image], faces: dict[str, Landmarks]) -> None:
    photo = photos[name]
    framed = prints.captioned(photo)
    around = surround.find(framed, placed(faces[name], 52, 52))
    for found, there in zip((around.left, around.top, around.right, around.bottom), (52, 52, 52, 102), strict=True):
        assert there <= found <= there + 8
    alone = surround.without(framed, around)
    assert np.array_equal(alone, photo[around.top - 52 :, around.left - 52 :][: len(alone), : alone.shape[1]])
    moved = surround.moved(placed(faces[name], 52, 52), around, framed.shape)
    assert np.allclose(moved.xy, faces[name].xy - (around.left - 52, around.top - 52), atol=1e-3)


@pytest.mark.parametrize("degrees", [-12.0, 0.0, 2.5])
@pytest.mark.parametrize("name", SITTERS)
def test_a_print_on_a_table_is_turned_upright_and_cut_out(
    name: str, degrees: float, photos: dict[str, Image], faces: dict[str, Landmarks], mesh: FaceMesh
) -> None:
    """A photo of a polaroid kept its paper, which bent with the head."""
    photo = prints.polaroid(photos[name], degrees)
    lying = mesh.landmarks(photo)
    around = surround.find(photo, lying)
    assert around.tilt == pytest.approx(-degrees, abs=0.15)
    alone = surround.without(photo, around)
    height, width = photos[name].shape[:2]
    assert 0.94 * height < alone.shape[0] <= height
    assert 0.94 * width < alone.shape[1] <= width
    paper = np.abs(alone.astype(int) - (242, 240, 232)).max(-1) < 6
    assert max(paper[0].mean(), paper[-1].mean(), paper[:, 0].mean(), paper[:, -1].mean()) < 0.3
    there = surround.moved(lying, around, photo.shape)
    assert abs(quality.pose(there).roll - quality.pose(faces[name]).roll) < 1
    assert np.hypot(*(mesh.landmarks(alone).xy - there.xy).mean(0)) < 0.02 * there.interocular


def test_bars_that_jpeg_has_blurred(photos: dict[str, Image], faces: dict[str, Landmarks]) -> None:
    boxed = paint.jpeg(prints.letterbox(photos["astronaut"]), 60)
    around = surround.find(boxed, placed(faces["astronaut"], 0, 120))
    assert (around.left, around.right) == (0, 0)
    assert 120 <= around.top <= 136 and 120 <= around.bottom <= 136


def test_the_keys_of_a_screenshot(photos: dict[str, Image], faces: dict[str, Landmarks]) -> None:
    photo = photos["astronaut"]
    scale = 720 / photo.shape[1]
    around = surround.find(prints.screenshot(photo), placed(faces["astronaut"], 0, 300, scale))
    assert 300 <= around.top <= 308 and 300 <= around.bottom <= 308


@pytest.mark.parametrize("name", SITTERS)
def test_nothing_of_a_photo_is_taken_for_a_frame(
    name: str, photos: dict[str, Image], faces: dict[str, Landmarks]
) -> None:
    """Neither a white wall nor striped paper behind the person, nor a caption across the chest."""
    photo, face = photos[name], faces[name]
    height, width = photo.shape[:2]
    chin = round(float(face.box[3] + 0.1 * face.interocular))
    across = photo.copy()
    across[chin : chin + 60] = 0
    oval = face.xy.mean(0)
    rows, columns = np.mgrid[:height, :width]
    body = np.abs(columns - oval[0]) < 2 * (rows - chin)
    head = np.hypot((columns - oval[0]) / 1.1, (rows - oval[1]) / 1.5) < face.interocular
    person = (body | head)[..., None]
    for picture in (
        photo,
        across,
        *(
            np.where(person, photo, behind).astype(np.uint8)
            for behind in (
                np.full_like(photo, 252),
                prints.striped(photo.shape),
                prints.striped(photo.shape, level=True),
                prints.striped(photo.shape, 60),
            )
        ),
    ):
        assert surround.find(picture, face) == Surround()


@pytest.mark.parametrize("name", SITTERS)
@pytest.mark.parametrize("corner", [255.0, 0.0])
def test_a_round_photo_has_its_corners_filled(
    name: str, corner: float, photos: dict[str, Image], faces: dict[str, Landmarks], mesh: FaceMesh
) -> None:
    """They bent with the head, like a lemon."""
    shown = prints.round_photo(photos[name], faces[name].points, corner=corner)
    alone, found, around = portrait.alone(shown, [mesh.landmarks(shown)])
    assert around.round
    height, width = alone.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    far = np.hypot((columns + 0.5) / (width / 2) - 1, (rows + 0.5) / (height / 2) - 1)
    kept = shown[around.top :, around.left :][:height, :width]
    assert np.array_equal(alone[far < 0.9], kept[far < 0.9])
    # Nothing of the corners' colour is left, which may be that of a collar, nor a line of it where the edge was.
    strange = (np.abs(alone.astype(int) - round(corner)).max(-1) <= 8)[far > 0.95].mean()
    assert strange < (0.01 if corner else 0.1)
    rim, within = (np.abs(far - at) < 2.5 / width for at in (1, 0.92))
    assert np.abs(alone[rim].mean(0) - kept[within].mean(0)).max() < 25
    assert np.array_equal(found[0].points[:, 2], mesh.landmarks(shown).points[:, 2])


def test_a_transparent_corner_is_one(
    photos: dict[str, Image], faces: dict[str, Landmarks], mesh: FaceMesh, tmp_path: Path
) -> None:
    """As a messenger saves it: PNG, the corners transparent."""
    shown = prints.round_photo(photos["hopper"], faces["hopper"].points)
    alpha = np.where((shown == 255).all(-1), np.uint8(0), np.uint8(255))
    path = tmp_path / "round.png"
    cv2.imwrite(str(path), np.dstack([shown[..., ::-1], alpha]))
    read, notes = image.read_photo(path)
    assert notes["alpha"]
    assert portrait.alone(read, [mesh.landmarks(read)])[2].round
