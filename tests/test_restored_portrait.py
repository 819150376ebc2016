"""A portrait is restored once per person where an upscaler is installed, and films are drawn from it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarctl import presets
from avatarctl.engines.contract import EngineSpec
from avatarctl.errors import BadInput
from avatarctl.media import image
from avatarctl.recipes import restore
from avatarctl.store.store import Store
from tests.conftest import TEST_MODELS
from tests.media_support import energy, interpolated
from tests.tools import Studio

needs_ncnn = pytest.mark.skipif(importlib.util.find_spec("ncnn") is None, reason="ncnn is not installed")


def planned(studio: Studio, *options: str, **extra: str) -> list[tuple[str, str, str]]:
    settings = {"AVATARCTL_RIG_DETAILED": "auto", **extra}
    made = studio.ok("render", "Мир.", "--dry-run", "--json", *options, **settings).json
    return [(s["stage"], s["engine"], s["verdict"]) for s in made["steps"] if s["stage"] in ("upscale", "rig")]


def only_the_face_models(studio: Studio) -> Studio:
    """The same studio where no upscaler was fetched."""
    (studio.home / "models").unlink()
    (studio.home / "models").mkdir()
    for name in ("face-detector", "face-mesh", "person-matte"):
        (studio.home / "models" / name).symlink_to(TEST_MODELS / name)
    return studio


@needs_ncnn
def test_a_portrait_is_restored_once_and_erased_with_its_person(studio: Studio) -> None:
    """Somebody is enrolled already; then the upscaler is installed."""
    restored = {
        "AVATARCTL_RIG_DETAILED": "auto",
        "AVATARCTL_UPSCALE_ENGINE": "realesrgan",
        "AVATARCTL_UPSCALE_SCALE": "1",
    }
    fast = {**restored, "AVATARCTL_UPSCALE_MODEL": "video"}
    before = studio.ok("render", "Мир.", "--json").json
    # The home is a copy of one that other tests have used: what they left without an owner goes first.
    studio.ok("cache", "gc")
    assert planned(studio, **fast) == [("upscale", "realesrgan", "run"), ("rig", "puppet", "unknown")]
    first = studio.ok("render", "Мир.", "--json", **fast)
    assert "upscale/realesrgan" in first.err
    assert first.json["outputs"]["film"] != before["outputs"]["film"]
    assert planned(studio, **fast) == [("upscale", "realesrgan", "hit"), ("rig", "puppet", "hit")]
    assert planned(studio, "--set", "rig.detailed=off", **fast) == [("rig", "puppet", "hit")]
    assert studio.ok("cache", "gc", "--json").json["freed"] == 0
    assert planned(studio, **fast)[0][2] == "hit"
    with Store.open(studio.home, readonly=True) as store:
        query = "SELECT digest FROM actions JOIN action_outputs USING (key) WHERE stage = 'upscale'"
        (row,) = store.ledger.rows(query)
        larger = store.cas.path(row["digest"])
    assert image.png_size(larger) == (2048, 2048)
    erased = studio.ok("avatars", "rm", "astronaut", "--json").json["erased"]
    assert (erased["steps"]["upscale"], erased["steps"]["rig"]) == (1, 2)
    assert not larger.exists()


@pytest.mark.parametrize(("width", "scale"), [(90, 4), (170, 4), (171, 2), (399, 2), (89, None), (400, None)])
def test_how_much_larger_a_portrait_becomes(width: float, scale: int | None) -> None:
    """What is wide enough to be drawn from half its size becomes twice as large: four times as much takes a minute."""

    class Run:
        settings = presets.resolve("lite", ["animate.size=1024", "rig.detailed=auto"])
        asked: dict[str, object] | None = None

        def usable(self, spec: EngineSpec) -> bool:
            return True

        def step(self, stage: str, inputs: object, label: str, **changes: object) -> None:
            self.asked = changes

    run = Run()
    box = (200.0, 100.0, 200.0 + width, 100.0 + 1.25 * width)
    report = {"face_width": width, "image": {"width": 900, "height": 700}, "face": {"box": box}}
    restore.restored(run, None, report, "anna")  # type: ignore[arg-type]
    assert (run.asked["scale"] if run.asked else None) == scale
    if run.asked:
        x, y, across, down = (float(number) for number in str(run.asked["part"]).split(","))
        assert x < box[0] and y < box[1] and x + across > box[2] and y + down > box[3]


def test_without_an_upscaler_nothing_changes(studio: Studio) -> None:
    assert planned(only_the_face_models(studio)) == [("rig", "puppet", "hit")]


@needs_ncnn
def test_faces_that_would_not_gain_are_left_alone(bare: Studio, portraits: dict[str, Path], tmp_path: Path) -> None:
    photo = image.read_photo(portraits["astronaut"])[0]
    image.write_png(tmp_path / "small.png", cv2.resize(photo, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA))
    made = bare.ok("enroll", str(tmp_path / "small.png"), "--set", "animate.size=256", AVATARCTL_RIG_DETAILED="auto")
    assert "too small to be restored" in made.err and "upscale" not in made.err
    assert planned(bare, "--set", "animate.size=256") == [("rig", "puppet", "hit")]
    bare.ok("enroll", str(portraits["astronaut"]), "--set", "animate.size=128")
    assert planned(bare, "--set", "animate.size=128") == [("rig", "puppet", "hit")]


def test_the_rig_takes_its_pixels_from_the_detailed_portrait(
    portraits: dict[str, Path], face_models: dict[str, Path]
) -> None:
    from avatarctl.engines.facemesh.mesh import FaceMesh
    from avatarctl.engines.puppet.framing import frame, view

    photo = image.read_photo(portraits["astronaut"])[0]
    points = FaceMesh(face_models).landmarks(photo).points
    seen, near = (view(photo, points, size, size, 0.42) for size in (256, 96))
    without = frame(photo, points, seen)
    sharper = cv2.addWeighted(
        interpolated(photo, 2), 1.8, cv2.GaussianBlur(interpolated(photo, 2), (0, 0), 1.5), -0.8, 0
    )
    with_it = frame(photo, points, seen, sharper.astype(np.uint8))
    np.testing.assert_array_equal(with_it.landmarks, without.landmarks)
    assert energy(with_it.canvas) > 1.2 * energy(without.canvas)
    difference = cv2.GaussianBlur(with_it.canvas, (0, 0), 3).astype(int) - cv2.GaussianBlur(without.canvas, (0, 0), 3)
    assert np.abs(difference).max() < 12
    # A photo with pixels enough is taken itself.
    small = frame(photo, points, near, sharper.astype(np.uint8))
    np.testing.assert_array_equal(small.texture, frame(photo, points, near).texture)
    with pytest.raises(BadInput, match="made larger"):
        frame(photo, points, seen, sharper[:-3].astype(np.uint8))
