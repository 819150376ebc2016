"""What a photo is taken in, printed on and cut to: coloured light, one colour of ink, a frame close around the face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.facemesh import covering, screen
from avatarctl.engines.facemesh.landmarks import CHIN, FACE_OVAL, FOREHEAD, Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.person import PersonNetwork
from avatarctl.engines.puppet.framing import CLOSEST_FACE, View, frame, view
from avatarctl.engines.puppet.matte import find_matte, with_rim
from avatarctl.engines.puppet.photolight import PhotoLight, photo_light
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import build_rig
from tests.mouth_support import Picture, rig_of, row
from tests.quality import paint, prints, worn

SIZE = 192


def light_of(photo: Picture, points: NDArray[np.float32]) -> PhotoLight:
    framed = frame(photo, points, view(photo, points, SIZE, SIZE, 0.42))
    return photo_light(framed.canvas, framed.landmarks)


def tongue(photo: Picture, mesh: FaceMesh) -> NDArray[np.float32]:
    """Its colour, over the lightest of red, green and blue."""
    sprite = rig_of(photo, mesh).interior.tongue
    colour = sprite[sprite[..., 3] > 0.99][:, :3].mean(0)
    return np.asarray(colour / colour.max(), np.float32)


LAMPS = {"red": (1.0, 0.35, 0.3), "green": (0.45, 1.0, 0.5), "blue": (0.35, 0.45, 1.0)}


@pytest.mark.parametrize("lamp", LAMPS)
def test_the_light_of_a_coloured_lamp_falls_on_the_tongue(
    lamp: str, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """Under a red lamp it was grey, under a green one pink."""
    white, lit = (tongue(photo, mesh) for photo in (photos["hopper"], prints.cast(photos["hopper"], *LAMPS[lamp])))
    expected = white * LAMPS[lamp]
    assert lit == pytest.approx(expected / expected.max(), abs=0.08)


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_a_print_in_one_colour_has_a_mouth_in_that_colour(
    name: str, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """In a brown print, the tongue was pink; also where a scratch or a border of the paper is white."""
    assert tongue(paint.sepia(photos[name]), mesh) == pytest.approx([1, 0.82, 0.62], abs=0.03)
    points = mesh.landmarks(photos[name]).points
    assert light_of(prints.scan(photos[name], points), points).saturation == 0


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_white_light_is_white_on_every_skin(name: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    points = mesh.landmarks(photos[name]).points
    for photo in (
        photos[name],
        paint.complexion(photos[name], points, 0.34, 0.7, 0.8),
        paint.bright(photos[name], 0.3),
    ):
        light = light_of(photo, points)
        assert light.cast.tolist() == [1, 1, 1] and light.saturation > 0.9


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_a_shadow_on_the_mouth_falls_into_it(name: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Of a face half of which lies in the shade, the teeth there shone."""
    points = mesh.landmarks(photos[name]).points
    inside = rig_of(prints.half_shadow(photos[name], points), mesh).interior
    width = inside.tongue.shape[1]
    shaded, lit = (
        np.concatenate(
            [sprite[:, part, :3][sprite[:, part, 3] > 0.99] for sprite in (inside.tongue, inside.lower_teeth)]
        )
        for part in (slice(width // 4), slice(3 * width // 4, width))
    )
    assert shaded.mean() < 0.45 * lit.mean()
    assert inside.wall[width // 5].mean() < 0.45 * inside.wall[-width // 5].mean()
    for bare in (photos[name], paint.beard(photos[name], points, (52, 36, 26)), paint.bright(photos[name], 0.3)):
        assert light_of(bare, points).across.tolist() == [1.0] * 33


def test_no_lit_lip_is_painted_into_the_shade(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Beside a smile half of which lies in the shade, the shaded corner got a pink patch of the lit lip's colour."""
    points = mesh.landmarks(photos["astronaut"]).points
    whole, shaded = (
        Renderer(build_rig(photo, points, 256, 0.42))
        for photo in (photos["astronaut"], prints.half_shadow(photos["astronaut"], points, 0.28))
    )
    x, y = (round(float(v)) for v in whole.rig.frame.canvas(np.float32(-0.95), np.float32(0)))
    reach = round(0.1 * whole.rig.frame.unit)
    corner = np.s_[y - reach : y + 2 * reach, x - reach : x + reach]
    lit, dark = (r.render(row(smile=0.8))[corner].mean(-1) for r in (whole, shaded))
    assert (dark / lit).max() < 0.28 + 0.05


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
@pytest.mark.parametrize("around", [(0.6, 0.6, 0.6, 0.5), (0.5, 0.5, 0.5, -0.12), (0.5, -0.2, 0.5, 0.6)])
def test_a_film_of_a_close_photo_shows_nothing_but_the_photo(
    name: str, around: tuple[float, float, float, float], photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """A passport's frame, the chin cut off, the forehead cut off: all were shown within a smear."""
    points = mesh.landmarks(photos[name]).points
    seen, photo = close(photos[name], points, *around)
    assert sum(seen.margins(photo)) <= 0.03 * seen.height
    face = np.hypot(*(points[FOREHEAD] - points[CHIN])[:2])
    assert face <= (CLOSEST_FACE + 0.01) * seen.height


@pytest.mark.parametrize("around", [(0.6, 0.6, 0.6, 0.5), (0.5, 0.5, 0.5, -0.12)])
def test_what_the_frame_cuts_off_stays_at_its_border(
    around: tuple[float, float, float, float], photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """A head that turned brought its own mirrored hair into view."""
    photo, points = cut_out(photos["astronaut"], mesh.landmarks(photos["astronaut"]).points, *around)
    made = build_rig(photo, points, SIZE, 0.42)
    renderer, rest = Renderer(made), made.canvas.astype(float)
    for turned in (row(yaw=9, roll=5), row(yaw=-9, roll=-5, tx=0.05), row(pitch=-6, ty=-0.05)):
        picture = renderer.render(turned).astype(float)
        sides = ((picture[side] - rest[side]) for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]))
        assert max(float(np.abs(change).mean()) for change in sides) < 5
        assert np.abs(picture - rest)[SIZE // 4 : SIZE // 2].mean() > 3


def close(photo: Picture, points: NDArray[np.float32], *around: float) -> tuple[View, Picture]:
    """How a photo that was cut at so many u from the face is framed, and that photo."""
    cut, there = cut_out(photo, points, *around)
    return view(cut, there, SIZE, SIZE, 0.42), cut


def cut_out(photo: Picture, points: NDArray[np.float32], *around: float) -> tuple[Picture, NDArray[np.float32]]:
    """A photo cut at so many u from the face, and the landmarks in it."""
    cut = prints.framed(photo, points, *around)
    u = paint.unit(points)
    corner = points[list(FACE_OVAL), :2].min(0) - np.array(around[:2]) * u
    there = points.copy()
    there[:, :2] -= np.maximum(0, corner.astype(int))
    return cut, there


def test_a_photo_smaller_than_its_face_needs_is_shown_whole(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    points = mesh.landmarks(photos["hopper"]).points
    seen, photo = close(photos["hopper"], points, 0.03, 0.03, 0.03, 0.03)
    height, width = photo.shape[:2]
    assert seen.left <= 0 and seen.left + seen.width >= width
    assert seen.top <= 0 and seen.top + seen.height >= height


def test_no_streaks_run_from_a_photos_border() -> None:
    """Beyond it, what was a stripe is soon of one colour with its neighbours."""
    stripes = np.zeros((120, 160, 3), np.uint8)
    stripes[:, (np.arange(160) + 10) % 40 < 20] = 220
    framed = frame(stripes, np.zeros((478, 3), np.float32), View(0, -120, 160, 240, 160, 240))
    contrast = [float(np.ptp(framed.canvas[row, 40:120].mean(-1))) for row in (230, 110, 50)]
    assert contrast[0] > 200 and contrast[1] > 60
    assert contrast[2] < 15


@pytest.mark.parametrize("side", range(4))
def test_what_lies_near_a_photos_border_is_not_shown_twice(side: int) -> None:
    """Above a cap whose emblem was near the border there was the emblem again, upside down, and so on."""
    photo = np.full((160, 160, 3), 60, np.uint8)
    photo[70:90, 12:22] = 240
    marked = np.ascontiguousarray(np.rot90(photo, side))
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = 80
    wide, high = View(-160, 0, 480, 160, 480, 160), View(0, -160, 160, 480, 160, 480)
    upright = np.rot90(frame(marked, points, high if side % 2 else wide).canvas, -side)
    assert upright[70:90, 172:182].min() > 220
    assert upright[:, :156].max() < 90


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_below_a_close_photo_there_is_one_calm_light(name: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Collar, neck and wall each drew a broad stripe down to the border of an upright film."""
    whole = mesh.landmarks(photos[name]).points
    photo = prints.framed(photos[name], whole, 0.15, 0.15, 0.15, 0.15)
    points = mesh.landmarks(photo).points
    framed = frame(photo, points, view(photo, points, 216, 384, 0.42))
    last = framed.canvas[-8:].mean((0, 2))
    assert np.abs(last[12:] - last[:-12]).max() < 12


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_only_what_is_no_lip_covers_the_lip(name: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Neither red paint nor hair nor shadow does; a microphone does, unless the photo has no colours."""
    photo, face = photos[name], mesh.landmarks(photos[name])
    bare = (
        photo,
        worn.lipstick(photo, face.points),
        paint.beard(photo, face.points, (52, 36, 26)),
        prints.half_shadow(photo, face.points),
        prints.cast(photo, *LAMPS["green"]),
    )
    assert [covering.covered_lip(picture, face) for picture in bare] == [0] * len(bare)
    held = worn.microphone(photo, face.points, 0.55)
    assert covering.covered_lip(held, face) > 0.5
    assert covering.covered_lip(paint.grey(held), face) == 0
    beyond = Landmarks(face.points + np.float32(5000), face.score)
    assert covering.covered_lip(photo, beyond) == 0


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
@pytest.mark.parametrize("cell", [0.04, 0.055, 0.08])
def test_the_dots_of_a_print_are_found_and_smoothed_away(
    name: str, cell: float, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    photo, face = photos[name], mesh.landmarks(photos[name])
    printed = prints.halftone(photo, face.points, cell)
    distance = screen.pitch(printed, face)
    assert distance == pytest.approx(2**0.5 * max(3.0, cell * face.interocular), rel=0.06)
    smooth = screen.without(printed, distance)
    assert screen.pitch(smooth, face) == 0
    x, y = np.rint(face.xy[50]).astype(int)
    cheek = np.s_[y - 6 : y + 6, x - 6 : x + 6]
    assert smooth[cheek].std() < 20 < 60 < printed[cheek].std()


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_nothing_else_is_taken_for_a_print(name: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    photo, face = photos[name], mesh.landmarks(photos[name])
    others = (
        photo,
        paint.jpeg(photo, 5),
        paint.noise(photo, 25),
        paint.ink(photo, face.points),
        prints.blinds(photo, face.points),
        prints.half_shadow(photo, face.points),
        np.full_like(photo, 128),
    )
    assert [screen.pitch(picture, face) for picture in others] == [0] * len(others)
    small = Landmarks(face.points * np.float32(0.1), face.score)
    assert screen.pitch(photo[:60, :60], small) == 0


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
@pytest.mark.parametrize("colour", [(200, 30, 160), (20, 200, 60)])
def test_a_line_around_the_person_goes_with_them(
    name: str, colour: tuple[int, int, int], photos: dict[str, Picture], mesh: FaceMesh, face_models: dict[str, Path]
) -> None:
    """On posters and stickers; it stood still while the head moved."""
    network, points = PersonNetwork(face_models["person-matte"]), mesh.landmarks(photos[name]).points
    plain = find_matte(photos[name], points, network)
    person = cv2.resize(plain.outline, photos[name].shape[1::-1], interpolation=cv2.INTER_NEAREST)
    drawn = prints.outlined(paint.poster(photos[name], 8), person, colour)
    framed = build_rig(drawn, points, SIZE, 0.42, network=network)
    assert framed.scene.trusted
    line = np.abs(framed.canvas.astype(int) - colour).max(-1) < 30
    line[round(float(framed.frame.canvas(np.float32(0), np.float32(0))[1])) :] = False
    assert line.sum() > 100
    left = np.abs(framed.scene.backdrop.astype(int) - colour).max(-1) < 30
    assert (left & line).sum() < 0.2 * line.sum()


BACKGROUNDS: dict[str, Callable[[], Picture]] = {
    "wall": lambda: np.full((200, 200, 3), 240, np.uint8),
    "stripes": lambda: prints.striped((200, 200)),
    "light and shade": lambda: (
        np.repeat(np.repeat([[60], [220]], 100, 0), 200, 1)[..., None].repeat(3, 2).astype(np.uint8)
    ),
    "noise": lambda: np.random.default_rng(3).integers(0, 256, (200, 200, 3), np.uint8),
}


@pytest.mark.parametrize("behind", BACKGROUNDS)
def test_no_background_is_taken_for_such_a_line(behind: str) -> None:
    rows, columns = np.mgrid[:200, :200]
    person = (np.hypot(rows - 100, columns - 100) < 60).astype(np.uint8)
    photo = np.where(person[..., None] > 0, np.array([150, 100, 80], np.uint8), BACKGROUNDS[behind]())
    everywhere = np.ones_like(person)
    assert np.array_equal(with_rim(photo, person, everywhere, 120), person)
    drawn = prints.outlined(photo, person, (20, 200, 60), 4)
    line = (drawn != photo).any(-1)
    assert with_rim(drawn, person, everywhere, 120)[line].mean() > 0.95
