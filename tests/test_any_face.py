"""Any face at enrolment: some 180 portraits made of two (tests/quality/variants.py), and pictures without a face.

What was measured on them, the limits in brackets (`judgement`, `mesh`):

| what | good portraits | bad ones |
|---|---|---|
| detector asked again, mean of three sizes [0.63] | 0.66..0.95 | 0.15..0.62 where there is no face |
| the same of the face turned over [below it] | 0.06..0.73, always at least 0.19 below | upside down: 0.21..0.33 above |
| lips, contrast along the mouth [0.2] | 0.35 (30 pixels wide)..1.5 | mask 0.00, cloth 0.03..0.11, hand 0.10 |
| eyes, contrast [0.3] | 0.47 (pencil), 0.62 (hard light)..5.1 | dark glasses 0.05, patch 0.00..0.04, hair 0.11..0.17 |
| the same, change along the eye [0.15] | 0.21 (tinted glasses), 0.27 (shadow)..3.7 | mirrors 0.02..0.10 |
| lower lip, part that is no lip [0.25, 0.5] | 0, a poster of four colours 0.13 | a microphone before it 0.33..0.93 |
| the chin below it [0.31] | 0..0.06, a poster of four colours 0.29 | a microphone before it 0.34..0.88 |
| what the lips hold reaches, u [0.3] | moustaches 0..0.25, a poster 0.27 | a cigarette, a straw 0.33..0.6 |
| detail along one direction, less than across it [0.55] | 0..0.39 | a camera that moved 0.6..0.75 |
| skin without any change of light [0.2: drawn] | 0..0.03, the lowest JPEG 0.13 | posters and cartoons 0.26..0.8 |
| score of what is beside a sure face [0.25] | other people 1.0 | badges, curls 0.01..0.04 |
| detector's points from the mesh's, at another look [0.27] | 0.11..0.21 | an emblem 0.34, beside a profile 0.82 |
| lids, the wider one [0.14] | 0.15 (pencil), 0.24..0.61 | closed 0.07, 0.12 |
| lips elsewhere when blurred [0.18] | 0.01..0.09, thick beards 0.12, 0.15 | cartoons 0.19, 0.33 |
| yaw read at 15, 25, 30, 45 degrees [20 warned, 35 refused] | 9..16, 18..24, 22..28 | 37 |
| pitch read at -15, 0, +15 [25, 35] | -7, +5, +18 | |
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.facemesh import judgement, portrait, quality
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.errors import BadInput, NoFace
from avatarctl.media import image
from tests.quality.nonfaces import NON_FACES
from tests.quality.variants import USUAL, VARIANTS, Sitter, portraits

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def finder(face_models: dict[str, Path]) -> FaceMesh:
    return FaceMesh(face_models)


@pytest.fixture(scope="module")
def sitters(finder: FaceMesh, portraits_read: dict[str, Image]) -> dict[str, Sitter]:
    return portraits(portraits_read, {n: finder.landmarks(p).points for n, p in portraits_read.items()})


@pytest.fixture(scope="module")
def portraits_read(request: pytest.FixtureRequest) -> dict[str, Image]:
    paths: dict[str, Path] = request.getfixturevalue("portraits")
    return {name: image.read_photo(path)[0] for name, path in paths.items()}


CASES = [(sitter, name) for name, variant in VARIANTS.items() for sitter in variant.of]


@pytest.mark.parametrize(("sitter", "name"), CASES)
def test_enrolment_says_what_is_right(finder: FaceMesh, sitters: dict[str, Sitter], sitter: str, name: str) -> None:
    variant, person = VARIANTS[name], sitters[sitter]
    photo = variant.make(person)
    photo, faces, turned = portrait.find(finder, photo)
    if variant.refused:
        with pytest.raises((BadInput, NoFace), match=variant.refused) as refused:
            judgement.refuse(judgement.measure(photo, faces[judgement.choose(faces, 0)], finder))
        assert refused.value.hint
        return
    photo, faces, around = portrait.alone(photo, faces)
    photo, faces, dots = portrait.unscreened(finder, photo, faces)
    chosen = judgement.choose(faces, 0)
    measured = judgement.measure(photo, faces[chosen], finder)
    judgement.refuse(measured)
    said = {w["code"] for w in judgement.warnings(measured, chosen, len(faces), turned, around, printed=dots > 0)}
    usual = USUAL[sitter]
    assert (usual - variant.lost) | variant.warned <= said
    assert said <= usual | variant.warned | variant.allowed


DRAWN = ("painting", "oil", "sketch", "ink", "poster 8", "poster 4", "beard", "dark", "very dark skin", "grey, dark")


@pytest.mark.parametrize("name", DRAWN)
def test_points_lie_where_they_lie_in_the_photo(finder: FaceMesh, sitters: dict[str, Sitter], name: str) -> None:
    """Light, skin, hair and brushes do not move a face."""
    for person in sitters.values():
        drawn = VARIANTS[name].make(person)
        face = finder.landmarks(drawn)
        errors = np.linalg.norm(face.xy - person.points[:, :2], axis=1) / np.ptp(person.points[:, 0])
        assert errors.mean() < 0.04
        (alike,) = finder.faces(drawn)
        assert np.linalg.norm(face.xy - alike.xy, axis=1).max() < 0.02 * np.ptp(face.xy[:, 0])


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_face_is_found_in_the_shadow_of_blinds(finder: FaceMesh, sitters: dict[str, Sitter], mirrored: bool) -> None:
    """Whichever way its stripes lean."""
    person = sitters["hopper"]
    photo = VARIANTS["blinds"].make(person)
    assert not finder.faces(photo, again=False)
    face = finder.landmarks(np.ascontiguousarray(photo[:, ::-1]) if mirrored else photo)
    centre = face.xy.mean(0)
    expected = person.points[:, :2].mean(0)
    if mirrored:
        expected[0] = photo.shape[1] - 1 - expected[0]
    assert np.hypot(*(centre - expected)) < 0.05 * face.interocular


@pytest.mark.parametrize("name", NON_FACES)
def test_no_face_where_there_is_none(finder: FaceMesh, name: str) -> None:
    picture = NON_FACES[name]()
    for quarters in range(4):
        turned = np.ascontiguousarray(np.rot90(picture, quarters))
        _, faces, _ = portrait.find(finder, turned) if quarters == 0 else (turned, finder.faces(turned, again=False), 0)
        assert faces == []
    with pytest.raises(NoFace):
        judgement.choose([], 0)


@pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
def test_yaw_is_read_with_its_sign_and_most_of_its_size(
    finder: FaceMesh, sitters: dict[str, Sitter], degrees: int
) -> None:
    for person in sitters.values():
        rest = quality.pose(finder.landmarks(person.photo))
        turned = quality.pose(finder.landmarks(VARIANTS[f"yaw {degrees:+d}"].make(person)))
        assert 0.6 < (turned.yaw - rest.yaw) / degrees < 1.1
        assert abs(turned.pitch - rest.pitch) < 8


def test_frontal_portraits_look_nearly_straight_ahead(finder: FaceMesh, sitters: dict[str, Sitter]) -> None:
    """The zero is the canonical face: with hairline and chin alone, both people seemed to look down by 8 and 10."""
    for person in sitters.values():
        pose = quality.pose(finder.landmarks(person.photo))
        assert abs(pose.yaw) < 3 and abs(pose.pitch) < 7 and abs(pose.roll) < 5
