"""The gate sees lips that the face mesh does not know, and sees when they do not do what they should."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.check.face import openings
from avatarctl.engines.check.lips import Followed, Lips, joined
from avatarctl.engines.check.mouth import CLOSED, correlation
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import build_rig
from tests.mouth_support import Picture, row
from tests.quality import bones, paint, worn

Floats = NDArray[np.float64]
SIZE = 320
TIMES = np.arange(40) / 12
MEANT = np.maximum(0, 0.2 * np.sin(2 * np.pi * 0.9 * TIMES) * np.cos(2 * np.pi * 0.35 * TIMES))
"""u; shut at first, then open and shut by turns."""


def beard(photo: Picture, points: Floats) -> Picture:
    return paint.beard(photo, points, (52, 36, 26))


def moustache(photo: Picture, points: Floats) -> Picture:
    return paint.strokes(photo, points, paint.moustache_region(points), (40, 28, 20), 1.5)


KINDS: dict[str, tuple[str, Callable[[Picture, Floats], Picture]]] = {
    "plain": ("hopper", lambda photo, points: photo),
    "beard": ("hopper", beard),
    "moustache": ("astronaut", moustache),
    "painting": ("hopper", lambda photo, points: paint.painting(photo)),
    "jpeg": ("astronaut", lambda photo, points: paint.jpeg(photo, 5)),
    "lipstick": ("hopper", worn.lipstick),
    "child": ("astronaut", bones.child),
}


def spoken(
    kind: str,
    photos: dict[str, Picture],
    mesh: FaceMesh,
    meant: Floats,
    change: Callable[[Picture], None] | None = None,
    rounded: Floats | None = None,
    size: int = SIZE,
) -> tuple[Floats, Followed | None]:
    """What the mesh sees of pictures that a puppet of that kind draws, and what the lips' own look tells."""
    name, painted = KINDS[kind]
    photo = painted(photos[name], mesh.landmarks(photos[name]).points.astype(np.float64))
    renderer = Renderer(build_rig(photo, mesh.landmarks(photo).points, size, 0.42))
    face, lips, gaps, likenesses = None, None, [], []
    for number, opening in enumerate(meant):
        nod, ring = np.sin(number / 7), 0.0 if rounded is None else rounded[number]
        lips_at = {"open": opening, "jaw": 0.8 * opening, "up": 0.08 * opening, "round": ring}
        picture = renderer.render(row(**lips_at, yaw=3 * nod, tx=0.02 * nod))
        if change is not None and number:
            change(picture)
        luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        face = mesh.landmarks(picture) if face is None else mesh.track(picture, face)
        lips = lips or Lips(luma, face)
        gaps.append(openings(face)[0])
        likeness = lips.likeness(luma, face)
        assert likeness is not None
        likenesses.append(likeness)
    assert lips is not None
    return np.array(gaps), lips.followed(likenesses, np.array(gaps))


@pytest.mark.parametrize("kind", KINDS)
def test_lips_are_followed_whatever_they_look_like(kind: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    seen, followed = spoken(kind, photos, mesh, MEANT)
    assert followed is not None
    found = joined(seen, followed)
    # A beard hangs over the lower lip, so that of a small opening less is seen.
    hidden = kind == "beard"
    assert (correlation(MEANT, found) or 0) > (0.9 if hidden else 0.96)
    assert float(np.polyfit(MEANT, found, 1)[0]) == pytest.approx(0.7 if hidden else 1, abs=0.3)
    assert np.abs(found[MEANT == 0]).max() < 0.06


def test_a_lip_half_under_a_moustache_is_not_taken_for_one_that_grew(
    photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """It comes out whole where it goes down, and lips that are made round grow only a little."""
    rounded = np.clip(np.sin(2 * np.pi * 0.55 * TIMES + 1), 0, 1) * (MEANT > 0)
    _, followed = spoken("beard", photos, mesh, MEANT, rounded=rounded)
    assert followed is not None
    assert (correlation(MEANT, followed.apart) or 0) > 0.967
    assert float(np.polyfit(MEANT, followed.apart, 1)[0]) > 0.66


def test_the_mesh_alone_does_not_see_a_mouth_in_a_beard(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Else there would be no need for more."""
    seen, _ = spoken("beard", photos, mesh, MEANT)
    assert (correlation(MEANT, seen) or 0) < 0.8


@pytest.mark.parametrize("kind", ["plain", "moustache", "beard"])
def test_from_a_picture_with_an_open_mouth_too(kind: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    begins_open = np.roll(MEANT, -int(MEANT.argmax()))
    seen, followed = spoken(kind, photos, mesh, begins_open)
    if kind != "beard":
        # The mesh sees a third of what a moustache hangs over; but lips do not overlap when they meet again.
        found = joined(seen, followed)
        assert (correlation(begins_open, found) or 0) > 0.95
        assert float(np.polyfit(begins_open, found, 1)[0]) == pytest.approx(1, abs=0.3)
    else:  # Where it takes an open mouth for a shut one, other things than lips are cut out: no film passes so.
        assert followed is None or (correlation(begins_open, joined(seen, followed)) or 0) < 0.9


@pytest.mark.parametrize("kind", ["plain", "moustache"])
def test_lips_that_never_meet_are_caught(kind: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """A puppet whose jaw hangs: it rests with its lips together, and they stay apart in all its speech."""
    hanging = np.where(np.arange(len(MEANT)) > 2, np.maximum(MEANT, 0.09), 0)
    seen, followed = spoken(kind, photos, mesh, hanging)
    assert joined(seen, followed)[6:].min() > joined(seen, followed)[0] + 0.03


@pytest.mark.parametrize("kind", ["plain", "beard"])
def test_lips_that_move_at_other_times_are_caught(kind: str, photos: dict[str, Picture], mesh: FaceMesh) -> None:
    seen, followed = spoken(kind, photos, mesh, MEANT[::-1].copy())
    assert (correlation(MEANT, joined(seen, followed)) or 0) < 0.5


def test_what_covers_the_mouth_is_not_followed(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)

    def cover(picture: Picture) -> None:
        face = mesh.landmarks(picture)
        x, y = np.rint(face.xy[[13, 14]].mean(axis=0)).astype(int)
        reach = round(0.5 * face.interocular)
        part = (slice(max(0, y - reach), y + 2 * reach), slice(max(0, x - reach), x + reach))
        picture[part] = noise[part]

    _, followed = spoken("plain", photos, mesh, MEANT[:12], cover)
    assert followed is None


def test_lips_without_any_drawing_are_not_followed(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    face = mesh.landmarks(photos["hopper"])
    even = np.full(photos["hopper"].shape[:2], 128, np.uint8)
    assert Lips(even, face).likeness(even, face) is None


NEVER = np.zeros(40)


def test_two_witnesses_who_agree_are_heard_alike() -> None:
    mesh, apart = MEANT + 0.01, MEANT * 1.1
    assert joined(mesh, Followed(apart, NEVER)) == pytest.approx((mesh + apart) / 2)
    assert joined(-MEANT, Followed(apart, NEVER)) == pytest.approx(apart)
    assert joined(mesh, None) is mesh


def test_a_fold_is_told_from_a_mouth_that_the_mesh_sees_too_wide_open() -> None:
    """By a mesh that knows the face: where it sees a shut mouth, lips found apart are a fold; elsewhere they count."""
    apart = np.tile(MEANT, 4)
    mesh = 1.02 * apart
    shut, wide = int(MEANT.argmin()), int(MEANT.argmax())
    apart[shut] = 0.1
    mesh[wide] += 0.07
    found = joined(mesh, Followed(apart, np.tile(NEVER, 4)))
    assert found[shut] == mesh[shut]
    assert found[wide] == pytest.approx((mesh[wide] + apart[wide]) / 2)


def test_that_a_mouth_looks_shut_counts_with_whoever_sees_it_shut_alone() -> None:
    apart, looks = np.tile(MEANT, 4), np.zeros(160)
    mesh = apart + 0.06 * np.sin(np.arange(160))
    shut, wide = int(MEANT.argmin()), int(MEANT.argmax())
    mesh[shut], apart[shut] = 0.0, 0.1
    looks[[shut, wide]] = 0.7
    found = joined(mesh, Followed(apart, looks))
    assert found[shut] == 0.0
    assert found[wide] > 0.15, "the mesh sees that it is open"
    assert joined(mesh, Followed(apart, np.tile(NEVER, 4)))[shut] > 0.08
    unknown = np.where(np.arange(160) % 3, mesh, 0.0)
    assert joined(unknown, Followed(apart, looks))[shut] > 0.08, "a mesh that does not know these lips"
    looks[shut] = 0.95
    assert joined(unknown, Followed(apart, looks))[shut] == unknown[shut]
    apart[shut] = 0.0
    agreeing = np.where(np.arange(160) == shut, 0.1, apart)
    assert joined(agreeing, Followed(apart, looks))[shut] == 0.0
    assert joined(agreeing, Followed(apart, np.tile(NEVER, 4)))[shut] > CLOSED


SNAPPED = np.where(np.arange(48) % 6 == 5, 0.0, np.where(np.arange(48) < 4, 0.0, 0.13))
"""u; open, and shut for a single picture now and then, as at a p between two vowels."""


@pytest.mark.parametrize("size", [128, 160])
def test_a_mouth_that_shuts_for_one_picture_is_seen_in_a_small_film(
    size: int, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """There a lower lip is as smooth as the chin, on which it was found again. One that stays open is seen open."""

    def at_closures(meant: Floats) -> Floats:
        found = joined(*spoken("child", photos, mesh, meant, blurred, size=size))
        return np.asarray(found[(SNAPPED == 0) & (np.arange(48) > 4)])

    def blurred(picture: Picture) -> None:
        picture[:] = paint.jpeg(picture, 60)

    assert at_closures(SNAPPED).max() < CLOSED
    assert at_closures(np.where(np.arange(48) < 4, 0.0, 0.13)).min() > 2 * CLOSED
