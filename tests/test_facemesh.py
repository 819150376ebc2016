"""The detector and the mesh on real photos: accuracy, stability, small faces, several faces, false faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as names
from avatarctl.engines.facemesh.attention import sample
from avatarctl.engines.facemesh.landmarks import Landmarks, plausible
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.errors import NoFace, Unavailable
from avatarctl.media import image

Image = NDArray[np.uint8]
Points = NDArray[np.floating]

GOLDEN_NUMBERS = (10, 152, 33, 133, 362, 263, 61, 291, 13, 14, 0, 17, 4, 468, 473)
GOLDEN = {
    "astronaut": (
        *((226.4, 68.6), (221.7, 177.7), (195.1, 100.6), (213.4, 103.6), (236.5, 104.9), (255.7, 104.2)),
        *((202.1, 139.3), (245.1, 140.7), (223.3, 143.4), (222.8, 150.4), (223.4, 140.5), (222.6, 155.5)),
        *((223.5, 125.8), (203.5, 101.1), (246.5, 103.4)),
    ),
    "hopper": (
        *((262.5, 132.0), (271.0, 334.7), (203.7, 193.2), (242.2, 193.9), (287.8, 192.4), (323.9, 188.2)),
        *((232.9, 280.8), (301.9, 276.9), (266.4, 279.3), (266.5, 279.1), (265.8, 272.6), (267.1, 291.7)),
        *((268.8, 237.5), (222.2, 191.1), (306.0, 188.0)),
    ),
}
"""Pixels, measured here and checked by eye on the previews: they hold the crop and the operators in place."""

MIRROR_PAIRS = (
    *((33, 263), (133, 362), (159, 386), (145, 374), (70, 300), (105, 334), (107, 336)),
    *((61, 291), (78, 308), (50, 280), (234, 454), (127, 356), (93, 323), (132, 361), (58, 288)),
    *((172, 397), (136, 365), (150, 379), (98, 327), (54, 284), (103, 332), (67, 297)),
)
"""The same place on the right and on the left half of the face."""


@pytest.fixture(scope="module")
def face_mesh(face_models: dict[str, Path]) -> FaceMesh:
    return FaceMesh(face_models)


@pytest.fixture(scope="module")
def photos(portraits: dict[str, Path]) -> dict[str, Image]:
    return {name: image.read_photo(path)[0] for name, path in portraits.items()}


@pytest.fixture(scope="module")
def measured(face_mesh: FaceMesh, photos: dict[str, Image]) -> dict[str, Landmarks]:
    return {name: face_mesh.landmarks(photo) for name, photo in photos.items()}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_landmarks(measured: dict[str, Landmarks], name: str) -> None:
    face = measured[name]
    assert face.points.dtype == np.float32 and face.points.shape == (478, 3)
    assert face.score > 0.99
    for number, point in zip(GOLDEN_NUMBERS, GOLDEN[name], strict=True):
        assert np.hypot(*(face.xy[number] - point)) < 0.5, number
    assert face.points[names.NOSE_TIP, 2] < face.points[[234, 454], 2].min(), "the nose is nearer than the ears"


def scaled(photo: Image, factor: float) -> tuple[Image, Callable[[Points], Points]]:
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(photo, None, fx=factor, fy=factor, interpolation=method), lambda p: (p + 0.5) / factor - 0.5


def turned(photo: Image, degrees: float) -> tuple[Image, Callable[[Points], Points]]:
    height, width = photo.shape[:2]
    forth = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    back = cv2.invertAffineTransform(forth)
    moved = cv2.warpAffine(photo, forth, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return moved, lambda p: p @ back[:, :2].T + back[:, 2]


VARIANTS: dict[str, Callable[[Image], tuple[Image, Callable[[Points], Points]]]] = {
    "shifted": lambda photo: (np.roll(photo, (7, 11), (0, 1)), lambda p: p - np.array([11, 7])),
    "larger": lambda photo: scaled(photo, 2),
    "smaller": lambda photo: scaled(photo, 0.7),
    "turned": lambda photo: turned(photo, 12),
    "on its side": lambda photo: (np.ascontiguousarray(photo.swapaxes(0, 1)[::-1]), lambda p: _upright(p, photo)),
    "dark": lambda photo: ((photo * 0.4).astype(np.uint8), lambda p: p),
}


def _upright(points: Points, photo: Image) -> Points:
    return np.stack([photo.shape[1] - 1 - points[:, 1], points[:, 0]], axis=1)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("variant", VARIANTS)
def test_same_points_on_a_changed_photo(
    face_mesh: FaceMesh, photos: dict[str, Image], measured: dict[str, Landmarks], name: str, variant: str
) -> None:
    photo, back = VARIANTS[variant](photos[name])
    face = face_mesh.landmarks(photo)
    assert face.score > 0.95
    errors = np.linalg.norm(back(face.xy) - measured[name].xy, axis=1) / measured[name].interocular
    assert errors.mean() < 0.014
    assert np.percentile(errors, 95) < 0.035


@pytest.mark.parametrize("name", GOLDEN)
def test_mirrored_photo_gives_mirrored_points(
    face_mesh: FaceMesh, photos: dict[str, Image], measured: dict[str, Landmarks], name: str
) -> None:
    face = face_mesh.landmarks(np.ascontiguousarray(photos[name][:, ::-1]))
    right, left = np.array(MIRROR_PAIRS).T
    swapped = face.xy.copy()
    swapped[right], swapped[left] = face.xy[left], face.xy[right]
    swapped[:, 0] = photos[name].shape[1] - 1 - swapped[:, 0]
    pairs = np.concatenate([right, left])
    errors = np.linalg.norm(swapped[pairs] - measured[name].xy[pairs], axis=1) / measured[name].interocular
    assert errors.mean() < 0.03


def test_named_paths_are_where_they_say(measured: dict[str, Landmarks]) -> None:
    for face in measured.values():
        x, y = face.xy[:, 0], face.xy[:, 1]
        assert (np.diff(x[list(names.LIPS_OUTER_UPPER)]) > 0).all()
        assert (y[list(names.LIPS_OUTER_UPPER[1:-1])] < y[list(names.LIPS_OUTER_LOWER[1:-1])]).all()
        assert y[list(names.LIPS_INNER_UPPER[1:-1])].mean() <= y[list(names.LIPS_INNER_LOWER[1:-1])].mean() + 0.5
        for upper, lower, iris, rim in (
            (names.RIGHT_EYE_UPPER, names.RIGHT_EYE_LOWER, names.IRIS_RIGHT_CENTRE, names.IRIS_RIGHT),
            (names.LEFT_EYE_UPPER, names.LEFT_EYE_LOWER, names.IRIS_LEFT_CENTRE, names.IRIS_LEFT),
        ):
            assert upper[0] == lower[0] and upper[-1] == lower[-1]
            assert y[list(upper[1:-1])].mean() < y[iris] + 1 and y[iris] < y[list(lower[1:-1])].mean() + 1
            assert np.hypot(*(face.xy[list(rim)].mean(axis=0) - face.xy[iris])) < 0.05 * face.interocular
        assert x[names.IRIS_RIGHT_CENTRE] < x[names.NOSE_TIP] < x[names.IRIS_LEFT_CENTRE]
        for upper, lower in (
            (names.BROW_RIGHT_UPPER, names.BROW_RIGHT_LOWER),
            (names.BROW_LEFT_UPPER, names.BROW_LEFT_LOWER),
        ):
            assert y[list(upper)].mean() < y[list(lower)].mean() < face.eye_centres[:, 1].mean()
        oval = face.xy[list(names.FACE_OVAL)]
        assert cv2.contourArea(oval) > 0.6 * np.prod(np.ptp(oval, axis=0))
        for right, left in MIRROR_PAIRS:
            assert x[right] < x[left]


def test_detection(face_mesh: FaceMesh, photos: dict[str, Image], measured: dict[str, Landmarks]) -> None:
    for name, photo in photos.items():
        (found,) = face_mesh.detect(photo)
        assert found.score > 0.9 and found.keypoints.shape == (6, 2)
        x0, y0, x1, y1 = found.box
        assert x0 < measured[name].xy[names.NOSE_TIP, 0] < x1 and y0 < measured[name].xy[names.NOSE_TIP, 1] < y1
        gaze = found.keypoints[:2] - measured[name].eye_centres
        assert np.abs(gaze).max() < 0.15 * measured[name].interocular
        assert np.allclose(face_mesh.landmarks(photo, found).points, measured[name].points, atol=1e-3)


def patterned(height: int, width: int) -> Image:
    """Cloth-like noise without a face."""
    noise = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 5)


@pytest.mark.parametrize(("name", "width"), [("astronaut", 64), ("hopper", 64), ("hopper", 90)])
def test_small_face_in_a_large_photo(
    face_mesh: FaceMesh, photos: dict[str, Image], measured: dict[str, Landmarks], name: str, width: int
) -> None:
    x0, _, x1, _ = measured[name].box
    small, _ = scaled(photos[name], width / (x1 - x0))
    scene = patterned(2000, 3000)
    scene[1311 : 1311 + small.shape[0], 1733 : 1733 + small.shape[1]] = small
    (face,) = face_mesh.faces(scene)
    expected = (measured[name].xy + 0.5) * width / (x1 - x0) - 0.5 + np.array([1733, 1311])
    assert np.linalg.norm(face.xy - expected, axis=1).mean() < 0.03 * width
    assert np.abs(face_mesh.landmarks(scene).xy - face.xy).mean() < 0.03 * width


def test_two_faces_from_left_to_right(
    face_mesh: FaceMesh, photos: dict[str, Image], measured: dict[str, Landmarks]
) -> None:
    both = np.hstack([photos["astronaut"], photos["hopper"][:512]])
    left, right = face_mesh.faces(both)
    assert np.linalg.norm(left.xy - measured["astronaut"].xy, axis=1).mean() < 0.8
    assert np.linalg.norm(right.xy - measured["hopper"].xy - [512, 0], axis=1).mean() < 1.5
    assert np.allclose(face_mesh.landmarks(both).box, right.box, atol=3), "the larger one"


def test_a_group(face_mesh: FaceMesh, photos: dict[str, Image]) -> None:
    group = np.hstack([np.vstack([photos["astronaut"]] * 2)] * 4)
    assert len(face_mesh.faces(group)) == 8


def test_no_false_faces(face_mesh: FaceMesh, photos: dict[str, Image]) -> None:
    """Enlarged photos hold plenty of folds and badges that the detector alone takes for faces."""
    for photo in photos.values():
        large = cv2.resize(photo, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
        assert len(face_mesh.faces(large)) == 1
    without = photos["astronaut"][230:].copy()
    assert face_mesh.faces(without) == []
    assert face_mesh.faces(patterned(900, 1200)) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (40, 2000), (300, 300)])
def test_no_face(face_mesh: FaceMesh, shape: tuple[int, int]) -> None:
    grey = np.full((*shape, 3), 128, np.uint8)
    assert face_mesh.faces(grey) == []
    with pytest.raises(NoFace) as missing:
        face_mesh.landmarks(grey)
    assert missing.value.hint


def test_tracking_follows_and_finds_again(
    face_mesh: FaceMesh, photos: dict[str, Image], measured: dict[str, Landmarks]
) -> None:
    photo, face = photos["astronaut"], measured["astronaut"]
    for step in range(1, 6):
        face = face_mesh.track(np.roll(photo, (2 * step, 3 * step), (0, 1)), face)
        shifted = measured["astronaut"].xy + np.array([3 * step, 2 * step])
        assert np.linalg.norm(face.xy - shifted, axis=1).mean() < 1.0
    found = face_mesh.track(np.roll(photo, 230, 1), face)
    assert np.linalg.norm(found.xy - measured["astronaut"].xy - [230, 0], axis=1).mean() < 1.0
    with pytest.raises(NoFace):
        face_mesh.track(np.zeros_like(photo), face)


def test_plausibility(measured: dict[str, Landmarks]) -> None:
    face = measured["hopper"]
    assert plausible(face)
    assert not plausible(Landmarks(face.points, 0.3))
    assert not plausible(Landmarks(face.points * np.array([1, 0.05, 1], np.float32), 1.0))
    assert not plausible(Landmarks(face.points * np.array([-1, 1, 1], np.float32), 1.0)), "inside out"
    assert not plausible(Landmarks(np.full((478, 3), np.nan, np.float32), 1.0))
    assert not plausible(Landmarks(face.points * np.float32(0.01), 1.0))
    eyes_outside = face.points.copy()
    eyes_outside[[33, 133, 263, 362], 1] -= 2 * face.interocular
    assert not plausible(Landmarks(eyes_outside, 1.0))


def test_results_do_not_depend_on_threads_or_instance(
    face_models: dict[str, Path], photos: dict[str, Image], measured: dict[str, Landmarks]
) -> None:
    again = FaceMesh(face_models, threads=2).landmarks(photos["hopper"])
    assert (again.points == measured["hopper"].points).all()


def test_bilinear_sampling_counts_from_cell_centres() -> None:
    row, column = np.mgrid[:6, :8].astype(np.float32)
    features = np.stack([column, row], axis=-1)
    same = sample(features, [np.array([[1, 0, 0], [0, 1, 0]], np.float32)], 6)[0]
    assert np.allclose(same, features[:, :6])
    halved = sample(features, [np.array([[0.5, 0, 1], [0, 0.5, 1]], np.float32)], 6)[0]
    assert np.allclose(halved[2, 3], [1 + 0.5 * 3.5 - 0.5, 1 + 0.5 * 2.5 - 0.5])
    assert (sample(features, [np.array([[1, 0, 50], [0, 1, 0]], np.float32)], 6)[0] == 0).all()


def test_wrong_model_files(tmp_path: Path, face_models: dict[str, Path]) -> None:
    broken = tmp_path / "model.tflite"
    broken.write_bytes(b"not a model at all")
    for models in (
        {**face_models, "face-mesh": broken},
        {**face_models, "face-detector": broken},
        {**face_models, "face-mesh": face_models["face-detector"]},
    ):
        with pytest.raises(Unavailable) as refused:
            FaceMesh(models)
        assert "models" in refused.value.hint


def test_the_runtime_says_nothing(
    face_models: dict[str, Path], photos: dict[str, Image], capfd: pytest.CaptureFixture[str]
) -> None:
    FaceMesh(face_models).landmarks(photos["astronaut"])
    assert capfd.readouterr() == ("", "")
