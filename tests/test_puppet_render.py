"""The puppet's pictures, judged by the face mesh where a number is wanted of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.person import PersonNetwork
from avatarctl.engines.puppet import lips, rigfile
from avatarctl.engines.puppet.framing import TEXTURE_SCALE, frame, view
from avatarctl.engines.puppet.lattice import Lattice
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig, build_rig
from avatarctl.engines.puppet.smooth import monotone_cubic
from avatarctl.errors import BadInput
from tests.mouth_support import VARIANTS, Picture, gap, row
from tests.quality import paint

SIZE = 320
LOUD_A = {"open": 0.27, "jaw": 0.24, "up": 0.02}
ROUND_U = {"open": 0.085, "jaw": 0.07, "round": 1.0, "up": 0.01}
WIDE_E = {"open": 0.15, "jaw": 0.11, "wide": 0.03, "up": 0.03}
CLOSED_M = {"press": 0.75}


def eye_opening(face: Landmarks) -> float:
    """Opening of both eyes, u."""
    return float(np.mean([np.linalg.norm(face.xy[a] - face.xy[b]) for a, b in ((159, 145), (386, 374))])) / (
        face.interocular
    )


def psnr(a: Picture, b: Picture) -> float:
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))


@pytest.fixture(scope="module")
def rigs(photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork) -> dict[str, Rig]:
    return {
        name: build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42, network=network)
        for name, photo in photos.items()
    }


knots = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


@given(knots, st.floats(-1, 13))
def test_monotone_cubic_never_overshoots(values: list[float], at: float) -> None:
    x = np.arange(len(values), dtype=float)
    place = min(max(at, 0), len(values) - 1)
    around = values[int(np.floor(place))], values[int(np.ceil(place))]
    found = float(monotone_cubic(x, values, at))
    assert min(around) - 1e-3 <= found <= max(around) + 1e-3
    np.testing.assert_allclose(monotone_cubic(x, values, x), values, rtol=1e-5, atol=1e-3)


def test_fields_are_inverted_where_skin_stretches_fourfold() -> None:
    lattice = Lattice((0, 0, 200, 200), 64, 64)
    y = lattice.points[..., 1]
    forward = np.zeros_like(lattice.points)
    forward[..., 1] = 60 / (1 + np.exp(-(y - 60) / 5))  # slope up to 3
    backward = lattice.invert(forward, 5)
    arrived = backward + lattice.sample(forward, lattice.points + backward)
    assert float(np.abs(arrived[4:-4]).max()) < 0.5


def test_identity_is_exact(rig: Rig) -> None:
    lattice = rig.head.lattice()
    still = np.zeros((*rig.head.depth.shape, 2), np.float32)
    assert not lattice.invert(still, 3).any()


@settings(deadline=None)
@given(st.floats(0, 0.35), st.floats(0, 0.3), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(-0.1, 0.1))
def test_lip_edges_never_cross(
    rigs: dict[str, Rig], opening: float, jaw: float, rounding: float, press: float, tuck: float, wide: float
) -> None:
    for made in rigs.values():
        shape = lips.MouthShape(open=opening, jaw=jaw, round=rounding, press=press, tuck=tuck, wide=wide)
        motion = lips.move(made.lips, made.frame.unit, shape)
        between = motion.lower_edge - motion.upper_edge
        assert float(between.min()) >= 0
        assert float(lips.move(made.lips, made.frame.unit, replace(shape, open=0.0)).lower_edge.sum()) == float(
            lips.move(made.lips, made.frame.unit, replace(shape, open=0.0)).upper_edge.sum()
        )


def test_rest_of_a_closed_mouth_is_the_photo(rigs: dict[str, Rig]) -> None:
    """So is the background beside it; at the outline alone, it is what lies behind somebody cut out."""
    made = rigs["hopper"]
    rest = Renderer(made).render(row())
    alpha = cv2.resize(made.scene.alpha, rest.shape[1::-1], interpolation=cv2.INTER_AREA)
    person = cv2.erode(alpha, np.ones((3, 3), np.uint8)) == 255
    assert person.mean() > 0.3
    assert psnr(rest[person], made.canvas[person]) > 38
    assert psnr(rest, made.canvas) > 38


def test_rest_closes_a_smile(rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    made = rigs["astronaut"]
    assert made.lips.is_open and gap(mesh.landmarks(made.canvas)) > 0.06
    assert gap(mesh.landmarks(Renderer(made).render(row()))) < 0.02


def test_a_frame_depends_on_nothing_but_its_row(rig: Rig) -> None:
    renderer = Renderer(rig)
    rest = renderer.render(row())
    renderer.render(row(**LOUD_A, yaw=9, blink=1))
    assert np.array_equal(renderer.render(row()), rest)
    assert np.array_equal(Renderer(rig).render(row()), rest)


def test_the_far_background_is_the_photo_in_every_frame(rig: Rig) -> None:
    renderer = Renderer(rig)
    still = rig.moving == 0
    assert 0.04 < still.mean() < 0.9
    for controls in ({}, LOUD_A, {"yaw": 12.0, "pitch": 8.0, "roll": 6.0, "tx": 0.1, "blink": 1.0}):
        assert np.array_equal(renderer.render(row(**controls))[still], rig.canvas[still])


def test_p_b_m_close_the_lips(rig: Rig, mesh: FaceMesh) -> None:
    renderer = Renderer(rig)
    for pose in ({}, {"yaw": 5.0}, {"pitch": -4.0, "roll": 3.0}):
        assert gap(mesh.landmarks(renderer.render(row(**CLOSED_M, **pose)))) < 0.02


def test_opening_follows_its_control(rig: Rig, mesh: FaceMesh) -> None:
    renderer = Renderer(rig)
    wanted = [0.0, 0.04, 0.08, 0.13, 0.19, 0.27]
    found = [gap(mesh.landmarks(renderer.render(row(open=o, jaw=0.85 * o, up=0.02)))) for o in wanted]
    assert all(b > a + 0.005 for a, b in pairwise(found)), found
    assert np.corrcoef(wanted, found)[0, 1] > 0.96


def test_rounding_narrows_and_spreading_widens(rig: Rig, mesh: FaceMesh) -> None:
    def width(**controls: float) -> float:
        face = mesh.landmarks(Renderer(rig).render(row(**controls)))
        return float(np.linalg.norm(face.xy[61] - face.xy[291])) / face.interocular

    assert width(**ROUND_U) < width() - 0.05
    assert width(wide=0.06) > width() + 0.04


def test_a_blink_closes_the_eyes(rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    renderer = Renderer(rigs["astronaut"])
    opened, half, closed = (eye_opening(mesh.landmarks(renderer.render(row(blink=b)))) for b in (0.0, 0.5, 1.0))
    assert closed < 0.4 * opened < half < opened


def test_a_blink_changes_only_the_eyes(rig: Rig) -> None:
    renderer = Renderer(rig)
    changed = (renderer.render(row()) != renderer.render(row(blink=1))).any(-1)
    rows = np.flatnonzero(changed.any(1))
    assert rows.size and rows.max() < rig.frame.origin[1] - 0.35 * rig.frame.unit


def test_the_head_turns_the_way_its_controls_say(rigs: dict[str, Rig], mesh: FaceMesh) -> None:
    renderer = Renderer(rigs["astronaut"])
    rest = mesh.landmarks(renderer.render(row()))

    def nose(face: Landmarks) -> NDArray[np.float32]:
        """The tip from the middle of the temples, which lie further back."""
        tip: NDArray[np.float32] = face.xy[4] - face.xy[[234, 454]].mean(0)
        return tip

    right, down, clockwise = (
        mesh.landmarks(renderer.render(row(**{name: value}))) for name, value in (("yaw", 8), ("pitch", 6), ("roll", 5))
    )
    assert nose(right)[0] > nose(rest)[0] + 0.05 * rest.interocular
    assert nose(down)[1] > nose(rest)[1] + 0.03 * rest.interocular
    eyes, eyes_rest = clockwise.eye_centres, rest.eye_centres
    turned = np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1]) - np.arctan2(*(eyes_rest[1] - eyes_rest[0])[::-1]))
    assert 3.5 < turned < 6.5
    moved = mesh.landmarks(renderer.render(row(tx=0.08, ty=0.05))).xy.mean(0) - rest.xy.mean(0)
    np.testing.assert_allclose(moved / rest.interocular, (0.08, 0.05), atol=0.03)


def test_nothing_but_the_opening_shows_the_inside(rig: Rig) -> None:
    """A painted interior finds tears and cracks between the layers."""
    inside = rig.interior
    nothing = np.zeros_like(inside.upper_teeth)
    painted = np.zeros_like(inside.cavity)
    painted[..., 1] = 900  # stays pure green under every shade
    green = replace(
        inside, upper_teeth=nothing, lower_teeth=nothing, tongue=nothing, cavity=painted, wall=painted[0, 0]
    )
    renderer = Renderer(replace(rig, interior=green))

    def visible(**controls: float) -> Picture:
        picture = renderer.render(row(**controls)).astype(int)
        return ((picture[..., 1] - picture[..., [0, 2]].max(-1)) > 90).astype(np.uint8)

    assert not visible().any()
    assert not visible(**CLOSED_M, yaw=4).any()
    for controls in (LOUD_A, WIDE_E, ROUND_U, {**LOUD_A, "yaw": -8.0, "roll": 4.0}):
        seen = visible(**controls)
        count, _, stats, _ = cv2.connectedComponentsWithStats(seen, connectivity=8)
        assert count == 2, f"{controls}: {stats}"
        assert stats[1, cv2.CC_STAT_HEIGHT] < (controls["open"] + 0.12) * rig.frame.unit


def edges_along(picture: Picture, left: int, top: int, right: int, bottom: int) -> float:
    """Typical step across the outline of a rectangle, levels."""
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steps = [np.abs(light[y, left:right] - light[y - 1, left:right]) for y in (top, bottom)]
    steps += [np.abs(light[top:bottom, x] - light[top:bottom, x - 1]) for x in (left, right)]
    return float(np.percentile(np.concatenate(steps), 90))


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_any_photo_is_animated_without_seams(
    variant: str, name: str, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    photo = VARIANTS[variant](photos[name])
    made = build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42)
    renderer = Renderer(made)
    assert gap(mesh.landmarks(renderer.render(row(**CLOSED_M)))) < 0.025
    picture = renderer.render(row(**LOUD_A, yaw=3))
    assert gap(mesh.landmarks(picture)) > 0.15
    left, top, width, height = made.mouth.box
    at_border, nearby = (
        edges_along(picture, left + d, top + d, left + width - d, min(top + height - d, SIZE - 1)) for d in (1, -3)
    )
    assert at_border < 1.6 * nearby + 3


def test_a_grey_photo_gives_a_grey_film(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    photo = paint.grey(photos["hopper"])
    made = build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42)
    picture = Renderer(made).render(row(**LOUD_A, blink=1)).astype(int)
    assert int(np.ptp(picture, axis=-1).max()) <= 6


def test_a_rig_survives_its_file(rig: Rig, tmp_path: Path) -> None:
    rig.save(tmp_path / "a.rig")
    read = Rig.load(tmp_path / "a.rig")
    read.save(tmp_path / "b.rig")
    assert (tmp_path / "a.rig").read_bytes() == (tmp_path / "b.rig").read_bytes()
    for controls in ({}, {**LOUD_A, "yaw": 4.0, "blink": 0.6, "brow": 0.03, "smile": 0.5}):
        assert np.array_equal(Renderer(read).render(row(**controls)), Renderer(rig).render(row(**controls)))


def test_a_rig_is_the_same_every_time(
    photos: dict[str, Picture], rigs: dict[str, Rig], mesh: FaceMesh, network: PersonNetwork
) -> None:
    photo = photos["astronaut"]
    again = build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42, network=network)
    for field in ("texture", "moving"):
        assert np.array_equal(getattr(again, field), getattr(rigs["astronaut"], field))
    assert np.array_equal(again.layers.upper, rigs["astronaut"].layers.upper)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"RIFF" + data[4:],
        lambda data: data[:7] + b"\x09" + data[8:],
        lambda data: data[:8] + b"\xff" * 8 + data[16:],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:],
        lambda data: data + b"\0",
    ],
    ids=["empty", "other kind", "other version", "huge header", "truncated", "flipped bit", "longer"],
)
def test_a_damaged_rig_is_refused(rigs: dict[str, Rig], tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.rig"
    rigs["hopper"].save(path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BadInput):
        Rig.load(path)


def test_only_numbers_and_arrays_go_into_a_rig(tmp_path: Path, rigs: dict[str, Rig]) -> None:
    with pytest.raises(TypeError):
        rigfile.save(tmp_path / "a.rig", replace(rigs["hopper"], width="512"))  # type: ignore[arg-type]


def test_the_frame_keeps_to_the_photo(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Every pixel of the canvas comes from the photo when the face leaves room for it."""
    photo = photos["hopper"]
    points = mesh.landmarks(photo).points
    framed = frame(photo, points, view(photo, points, SIZE, SIZE, 0.42))
    assert framed.canvas.shape == (SIZE, SIZE, 3)
    assert framed.texture.shape == (SIZE * TEXTURE_SCALE, SIZE * TEXTURE_SCALE, 3)
    found = mesh.landmarks(framed.canvas)
    assert np.abs(found.xy - framed.landmarks[:, :2]).mean() < 0.015 * SIZE
    smaller = cv2.resize(framed.texture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert psnr(np.asarray(smaller, np.uint8), framed.canvas) > 45


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_a_tight_photo_is_continued_without_a_second_face(
    name: str, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    x0, y0, x1, y1 = (round(v) for v in mesh.landmarks(photos[name]).box)
    air = (x1 - x0) // 8
    photo = np.ascontiguousarray(photos[name][max(0, y0 - air) : y1 + air, max(0, x0 - air) : x1 + air])
    made = build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42)
    assert len(mesh.faces(made.canvas)) == 1
    inside = made.head.box
    assert inside[2] > SIZE // 2
    assert gap(mesh.landmarks(Renderer(made).render(row(**LOUD_A, yaw=6)))) > 0.15
