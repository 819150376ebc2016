"""The judge of portraits: what it reports, warns of and refuses, on two photos and what is made of them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, Engine, Job
from avatarctl.engines.facemesh import judgement, quality
from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.errors import BadInput, NoFace
from avatarctl.media import image
from avatarctl.stages.catalog import STAGES, PortraitParams
from tests.quality import paint

Image = NDArray[np.uint8]
Judge = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def engine(face_models: dict[str, Path]) -> Engine:
    spec = registry.get("portrait", "facemesh")
    engine = registry.create(spec)
    engine.load({name: face_models[name] for name in spec.models})
    return engine


@pytest.fixture(scope="module")
def photos(portraits: dict[str, Path]) -> dict[str, Image]:
    return {name: image.read_photo(path)[0] for name, path in portraits.items()}


@pytest.fixture
def judge(engine: Engine, tmp_path: Path) -> Judge:
    """Enrols pixels or a file, validates the outputs as the runner would, and returns the report."""

    def run(photo: Image | Path, face: int = 0) -> dict[str, Any]:
        path = photo
        if isinstance(photo, np.ndarray):
            path = tmp_path / "photo"
            image.write_png(path, photo)
        out = tmp_path / f"step{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        job = Job(inputs={"photo": path}, out=out, params=PortraitParams(face=face))
        engine.run(job)
        outputs = {o.role: out / (o.role + o.suffix) for o in STAGES["portrait"].outputs}
        assert sorted(out.iterdir()) == sorted(outputs.values())
        STAGES["portrait"].validate(outputs, job.inputs, job.params)
        report: dict[str, Any] = json.loads(outputs["report"].read_text(encoding="utf-8"))
        return report

    return run


def codes(report: Mapping[str, Any]) -> set[str]:
    return {warning["code"] for warning in report["warnings"]}


def test_report_of_a_closed_mouth_with_glasses(judge: Judge, portraits: dict[str, Path]) -> None:
    report = judge(portraits["hopper"])
    assert report["schema"] == "portrait/1"
    assert (report["image"]["width"], report["image"]["height"], report["image"]["format"]) == (512, 600, "JPEG")
    assert [face["number"] for face in report["faces"]] == [1] and report["face"] == report["faces"][0]
    points = np.array(report["landmarks"])
    assert points.shape == (478, 3) and np.array_equal(points, points.round(2))
    assert 180 < report["face_width"] < 200 and 80 < report["interocular"] < 88
    assert all(abs(report["pose"][axis]) < limit for axis, limit in (("yaw", 4), ("pitch", 12), ("roll", 5)))
    assert report["mouth"]["state"] == "closed" and report["mouth"]["gap"] < 0.01
    assert report["glasses"]["worn"] and report["glasses"]["probability"] > 0.9
    assert not report["greyscale"] and report["covered_share"] < 0.2
    assert report["features"]["lips"] > 0.4 and min(report["features"]["eyes"]) > 1 and report["turned"] == 0
    assert codes(report) == {"glasses"}


def test_report_of_a_smile_without_glasses(judge: Judge, portraits: dict[str, Path]) -> None:
    report = judge(portraits["astronaut"])
    assert report["mouth"]["state"] == "teeth" and 0.1 < report["mouth"]["gap"] < 0.25
    assert not report["glasses"]["worn"] and report["glasses"]["probability"] < 0.1
    assert codes(report) == {"small_face", "mouth_open"}
    for warning in report["warnings"]:
        assert set(warning) == {"code", "message", "advice"} and all(warning.values())
        assert "\n" not in warning["message"] + warning["advice"]


VARIANTS: dict[str, tuple[Callable[[Image], Image], set[str]]] = {
    "mirrored": (paint.mirrored, set()),
    "rolled right": (lambda p: paint.rolled(p, 28), {"rolled"}),
    "rolled left": (lambda p: paint.rolled(p, -28), {"rolled"}),
    "slightly rolled": (lambda p: paint.rolled(p, 10), set()),
    "dark": (lambda p: paint.bright(p, 0.35), {"underexposed"}),
    "very dark": (lambda p: paint.bright(p, 0.15), {"underexposed"}),
    "washed out": (lambda p: paint.bright(p, 1.8), {"overexposed"}),
    "grey": (paint.grey, set()),
    "grey JPEG": (lambda p: paint.jpeg(paint.grey(p), 50), set()),
    "enlarged": (lambda p: paint.scaled(p, 2), set()),
    "JPEG 10": (lambda p: paint.jpeg(p, 10), set()),
    "blurred": (lambda p: cv2.GaussianBlur(p, (0, 0), 2.5), {"blurred"}),
    "grainy": (lambda p: paint.noise(p, 12), set()),
}


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(judge: Judge, photos: dict[str, Image], name: str, variant: str) -> None:
    change, expected = VARIANTS[variant]
    report = judge(change(photos[name]))
    smiling = name == "astronaut"
    usual = {"mouth_open"} if smiling else {"glasses"}
    if smiling and variant != "enlarged":
        usual.add("small_face")
    assert codes(report) == usual | expected
    assert report["mouth"]["state"] == ("teeth" if smiling else "closed")
    assert report["glasses"]["worn"] == (not smiling)
    assert report["greyscale"] == variant.startswith("grey")


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_a_covered_mouth(judge: Judge, photos: dict[str, Image], name: str) -> None:
    x0, y0, x1, y1 = (round(v) for v in judge(photos[name])["face"]["box"])
    masked = photos[name].copy()
    masked[round(0.4 * y0 + 0.6 * y1) : y1 + 10, x0 - 10 : x1 + 10] = (120, 90, 70)
    with pytest.raises(BadInput, match="mouth is covered") as refused:
        judge(masked)
    assert "mask" in refused.value.hint


def test_pose_signs_and_size(face_models: dict[str, Path], photos: dict[str, Image]) -> None:
    """The measured mesh is turned by known angles in space; the pose follows by as much."""
    points = FaceMesh(face_models).landmarks(photos["hopper"]).points.astype(np.float64)
    rest = quality.pose(Landmarks(points.astype(np.float32), 1.0))

    def after(axis: int, degrees: float) -> quality.Pose:
        angle = math.radians(degrees)
        first, second = [a for a in range(3) if a != axis]
        turned = points - points.mean(axis=0)
        a, b = turned[:, first].copy(), turned[:, second].copy()
        turned[:, first] = a * math.cos(angle) - b * math.sin(angle)
        turned[:, second] = a * math.sin(angle) + b * math.cos(angle)
        return quality.pose(Landmarks(turned.astype(np.float32), 1.0))

    assert after(2, 15).roll - rest.roll == pytest.approx(15, abs=0.1), "clockwise, since y points down"
    assert after(1, 20).yaw - rest.yaw == pytest.approx(20, abs=0.5), "image right goes away from the camera"
    assert after(0, 20).pitch - rest.pitch == pytest.approx(20, abs=0.5), "the chin goes away from the camera"


def side_by_side(photos: dict[str, Image]) -> Image:
    return np.hstack([photos["astronaut"], photos["hopper"][:512]])


def test_two_faces(judge: Judge, photos: dict[str, Image]) -> None:
    both = side_by_side(photos)
    largest = judge(both)
    assert [face["number"] for face in largest["faces"]] == [1, 2]
    assert largest["faces"][0]["box"][0] < largest["faces"][1]["box"][0]
    assert largest["face"]["number"] == 2 and largest["mouth"]["state"] == "closed"
    (warning,) = (w for w in largest["warnings"] if w["code"] == "several_faces")
    assert "2 faces" in warning["message"] and "--face" in warning["advice"]
    first = judge(both, face=1)
    assert first["face"]["number"] == 1 and first["mouth"]["state"] == "teeth"
    assert judge(both, face=2)["face"] == largest["face"]


def test_a_face_that_is_not_there(judge: Judge, photos: dict[str, Image]) -> None:
    with pytest.raises(BadInput, match="no face 3") as refused:
        judge(side_by_side(photos), face=3)
    assert "2 faces" in refused.value.why and "--face" in refused.value.hint
    with pytest.raises(BadInput, match="no face 2") as refused:
        judge(photos["hopper"], face=2)
    assert "only one" in refused.value.why


def test_no_face(judge: Judge, photos: dict[str, Image]) -> None:
    for photo in (np.full((300, 400, 3), 200, np.uint8), photos["astronaut"][230:].copy()):
        with pytest.raises(NoFace) as refused:
            judge(photo)
        assert refused.value.exit_code == 2 and refused.value.hint


@pytest.mark.parametrize("width", [20, 36])
def test_a_face_too_small(judge: Judge, photos: dict[str, Image], width: int) -> None:
    with pytest.raises(BadInput) as refused:
        judge(paint.scaled(photos["hopper"], width / 192))
    assert refused.value.hint
    assert width == 20 or "too small" in refused.value.what


def test_a_small_face_in_a_large_photo(judge: Judge, photos: dict[str, Image]) -> None:
    scene = np.full((1800, 2400, 3), (90, 110, 130), np.uint8)
    small = paint.scaled(photos["hopper"], 70 / 192)
    scene[900 : 900 + small.shape[0], 1500 : 1500 + small.shape[1]] = small
    report = judge(scene)
    assert 64 < report["face_width"] < 76 and "small_face" in codes(report)


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_a_photo_that_is_not_upright_is_turned(
    judge: Judge, photos: dict[str, Image], tmp_path: Path, name: str, quarters: int
) -> None:
    upright = judge(photos[name])
    lying = judge(np.ascontiguousarray(np.rot90(photos[name], quarters)))
    assert upright["turned"] == 0 and lying["turned"] == 90 * quarters, "clockwise, against the photo's own turn"
    assert codes(lying) == codes(upright) | {"turned_photo"}
    assert [lying["image"][side] for side in ("width", "height")] == [upright["image"][s] for s in ("width", "height")]
    errors = np.array(lying["landmarks"])[:, :2] - np.array(upright["landmarks"])[:, :2]
    assert np.linalg.norm(errors, axis=1).mean() < 0.02 * upright["face_width"]
    portraits = sorted(tmp_path.glob("step*/portrait.png"), key=lambda path: path.stat().st_mtime)
    assert (image.read_png(portraits[-1]) == photos[name]).all()


@pytest.mark.parametrize(
    ("pose", "what"),
    [
        (quality.Pose(40, 0, 0), "to the side"),
        (quality.Pose(-40, 0, 0), "to the side"),
        (quality.Pose(0, 40, 0), "too far down"),
        (quality.Pose(0, -40, 0), "too far up"),
    ],
)
def test_faces_that_look_away_are_refused(
    face_models: dict[str, Path], photos: dict[str, Image], pose: quality.Pose, what: str
) -> None:
    face = FaceMesh(face_models).landmarks(photos["hopper"])
    measured = judgement.measure(photos["hopper"], face)
    judgement.refuse(measured)
    away = judgement.Measurements(**{**{n: getattr(measured, n) for n in measured.__slots__}, "pose": pose})
    with pytest.raises(BadInput, match=what) as refused:
        judgement.refuse(away)
    assert "40 degrees" in refused.value.why
    half = quality.Pose(pose.yaw * 0.7, pose.pitch * 0.7, 0)
    turned = judgement.Measurements(**{**{n: getattr(measured, n) for n in measured.__slots__}, "pose": half})
    judgement.refuse(turned)
    expected = "turned" if pose.yaw else "tilted"
    assert expected in {w["code"] for w in judgement.warnings(turned, 0, 1)}


def with_orientation(content: bytes, orientation: int) -> bytes:
    body = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]


def test_every_orientation_gives_the_same_landmarks(judge: Judge, photos: dict[str, Image], tmp_path: Path) -> None:
    upright = photos["hopper"]
    stored = {
        1: upright,
        2: cv2.flip(upright, 1),
        3: cv2.rotate(upright, cv2.ROTATE_180),
        4: cv2.flip(upright, 0),
        5: cv2.transpose(upright),
        6: cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE),
        7: cv2.rotate(cv2.transpose(upright), cv2.ROTATE_180),
        8: cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE),
    }
    first: NDArray[np.float64] | None = None
    for orientation, pixels in stored.items():
        image.write_jpeg(tmp_path / "turned.jpg", pixels, quality=98)
        path = tmp_path / f"фото {orientation}.jpg"
        path.write_bytes(with_orientation((tmp_path / "turned.jpg").read_bytes(), orientation))
        points = np.array(judge(path)["landmarks"])[:, :2]
        first = points if first is None else first
        assert np.linalg.norm(points - first, axis=1).mean() < 1.0, orientation


def test_same_photo_same_bytes(engine: Engine, portraits: dict[str, Path], tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        engine.run(Job(inputs={"photo": portraits["astronaut"]}, out=out, params=PortraitParams()))
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert contents[0] == contents[1]
    assert (image.read_png(tmp_path / "one" / "portrait.png") == image.read_photo(portraits["astronaut"])[0]).all()


def test_preview_shows_face_and_figures(engine: Engine, photos: dict[str, Image], tmp_path: Path) -> None:
    """Tiny, huge and at the edge: the preview keeps its size, and its two parts are filled."""
    edge = np.ascontiguousarray(photos["hopper"][110:420, 120:400])
    for number, photo in enumerate((photos["astronaut"], edge, paint.scaled(photos["hopper"], 3))):
        path, out = tmp_path / f"{number}.png", tmp_path / f"out{number}"
        out.mkdir()
        image.write_png(path, photo)
        engine.run(Job(inputs={"photo": path}, out=out, params=PortraitParams()))
        preview = image.read_png(out / "preview.png")
        assert preview.shape == (540, 800, 3)
        assert preview[:, :540].std() > 20
        assert (preview[:, 540:].max(axis=2) > 120).mean() > 0.01


def test_cancelling_leaves_at_once(engine: Engine, portraits: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        engine.run(
            Job(inputs={"photo": portraits["astronaut"]}, out=tmp_path, params=PortraitParams(), cancelled=lambda: True)
        )
    assert not (tmp_path / "report.json").exists()


@settings(deadline=None)
@given(st.lists(st.floats(20, 300), max_size=6), st.integers(0, 8))
def test_choice_of_a_face(widths: list[float], wanted: int) -> None:
    faces = []
    for number, width in enumerate(widths):
        points = np.zeros((478, 3), np.float32)
        points[[263, 362], 0] = width
        points[:, 0] += 400 * number
        faces.append(Landmarks(points, 1.0))
    if not faces:
        with pytest.raises(NoFace):
            judgement.choose(faces, wanted)
    elif wanted > len(faces):
        with pytest.raises(BadInput):
            judgement.choose(faces, wanted)
    else:
        chosen = judgement.choose(faces, wanted)
        assert chosen == wanted - 1 if wanted else faces[chosen].interocular == max(f.interocular for f in faces)
