"""Films made larger by a network: what is still stays, what is too small is spared, and how that is measured."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarctl import models
from avatarctl.engines import registry
from avatarctl.engines.contract import Job
from avatarctl.engines.facemesh.crop import TurnedSquare
from avatarctl.engines.facemesh.detector import Detection
from avatarctl.engines.realesrgan import tiles
from avatarctl.engines.realesrgan.faces import EVERY, Faces
from avatarctl.engines.realesrgan.spec import SPECS, RealEsrganParams
from avatarctl.engines.realesrgan.steady import Steady
from avatarctl.errors import BadConfig, StepFailed
from avatarctl.media import flicker, image
from avatarctl.media.video import Encoder
from avatarctl.stages import validators
from tests.conftest import TEST_MODELS
from tests.tools import Studio

needs_ncnn = pytest.mark.skipif(importlib.util.find_spec("ncnn") is None, reason="ncnn is not installed")


def wall(number: int, height: int = 64, width: int = 96) -> tiles.Picture:
    """A textured wall with a little noise, and a ball that moves along it."""
    rng = np.random.default_rng(7)
    picture = cv2.GaussianBlur(rng.integers(40, 200, (height, width, 3)).astype(np.float32), (0, 0), 1.5)
    picture += np.random.default_rng(number).normal(0, 0.4, picture.shape)
    cv2.circle(picture, (14 + 3 * number, 20), 8, (230.0, 60.0, 60.0), -1)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


class Nervous:
    """Draws every picture a little differently, where it is asked to."""

    scale, side, batch, slow = 4, 48, 1, False

    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)
        self.pixels = 0

    def enlarge(self, given: list[tiles.Pixels], told: Callable[[float], None]) -> list[tiles.Pixels]:
        self.pixels += sum(pixels.shape[0] * pixels.shape[1] for pixels in given)
        larger = [pixels.repeat(4, axis=0).repeat(4, axis=1) for pixels in given]
        return [picture + self.rng.normal(0, 4, picture.shape).astype(np.float32) for picture in larger]


def film(levels: float, count: int = 8) -> tuple[list[tiles.Picture], int]:
    """What a nervous network makes of the wall, and how many pixels it was shown."""
    network, steady, made = Nervous(), Steady(levels), []
    look = tiles.Look(2, 1.0, 0.0, (0, 0, 96, 64))
    for number in range(count):
        source = wall(number)
        kept = steady.kept(source)
        drawn = tiles.enlarge(source, network, look, lambda *_: None, None, kept)
        made.append(steady.settled(source, drawn, kept).copy())
    return made, network.pixels


def test_what_is_still_stays_to_the_last_bit() -> None:
    made, shown = film(2.0)
    loose, all_shown = film(0.0)
    below = slice(90, 128)
    assert all((picture[below] == made[0][below]).all() for picture in made)
    assert not (loose[1][below] == loose[0][below]).all()
    assert shown < 0.75 * all_shown
    for number, picture in enumerate(made):
        small = cv2.resize(picture, (96, 64), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(small - wall(number)).mean() < 3
        assert np.abs(small - wall(number))[8:32].max() < 40  # no ghost of the ball, which differs by 100 and more


def test_a_slow_change_is_not_missed() -> None:
    steady, given = Steady(2.0), np.full((32, 32, 3), 80, np.uint8)
    larger = given
    for step in range(40):
        source = given + np.uint8(step)
        drawn = np.full((64, 64, 3), 80 + step, np.uint8)
        larger = steady.settled(source, drawn, steady.kept(source))
        assert np.abs(larger.astype(int) - (80 + step)).max() <= 4


def test_flicker_is_measured_where_nothing_moves(tmp_path: Path) -> None:
    def clip(name: str, pictures: list[tiles.Picture]) -> Path:
        height, width = pictures[0].shape[:2]
        with Encoder(tmp_path / name, width, height, 25, crf=4) as encoder:
            for picture in pictures:
                encoder.write(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420))
        return tmp_path / name

    given = clip("given.mp4", [wall(number) for number in range(8)])
    seen = {levels: flicker.measure(given, clip(f"{levels}.mp4", film(levels)[0]), 192, 128) for levels in (0.0, 2.0)}
    loose, steady = seen[0.0], seen[2.0]
    assert loose and steady
    assert 0.5 < steady.still < 1 and steady.given == loose.given
    assert steady.made < 0.5 * loose.made
    files = {"video": tmp_path / "0.0.mp4"}, {"media": given}
    facts = validators.upscaled(*files, RealEsrganParams(scale=2))
    assert (facts["flicker"], facts["flicker_given"]) == (loose.made, loose.given)
    with pytest.raises(StepFailed, match="flickers more"):
        validators.upscaled(*files, RealEsrganParams(scale=2, max_flicker=0.1))
    validators.upscaled({"video": tmp_path / "2.0.mp4"}, {"media": given}, RealEsrganParams(scale=2, max_flicker=0.5))
    assert flicker.measure(clip("a.mp4", [wall(0)]), clip("b.mp4", [wall(0)]), 96, 64) is None


# -- faces

WHOLE = (0, 0, 420, 300)
"""All of the crowd."""


@pytest.fixture(scope="module")
def crowd(portraits: dict[str, Path]) -> tiles.Picture:
    """A face 25 pixels wide, and one of 99."""
    photo = image.read_photo(portraits["astronaut"])[0]
    made = np.full((300, 420, 3), 90, np.uint8)
    made[20:270, 10:250] = photo[:250, 110:350]
    small = cv2.resize(photo, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    made[100:200, 300:400] = small[:100, 6:106]
    return made


def test_a_small_face_is_spared_and_a_large_one_is_not(crowd: tiles.Picture, face_models: dict[str, Path]) -> None:
    faces = Faces(face_models["face-detector"], 90, WHOLE, 1)
    boxes = faces.boxes(crowd)
    small, large = sorted(box[2] - box[0] for box in boxes)
    assert 20 < small < 35 and 90 < large < 110
    spared = faces.spared(boxes, 300, 420)
    assert spared is not None
    assert spared[130, 350] == 1 and spared[130, 130] == 0 and not spared[:, :250].any()
    assert np.abs(np.diff(spared, axis=0)).max() < 0.2
    assert not faces.large(boxes)
    assert faces.spared([box for box in boxes if box[2] - box[0] > 90], 300, 420) is None
    assert Faces(face_models["face-detector"], 0, WHOLE, 1).boxes(crowd) == []
    left = Faces(face_models["face-detector"], 90, (0, 0, 300, 300), 1)
    assert [box[2] - box[0] for box in left.boxes(crowd)] == [large]
    assert left.large([(0, 0, 163, 200)]) and not left.large([(0, 0, 161, 200)])


def test_what_only_looks_like_a_small_face_is_not_spared(crowd: tiles.Picture, face_models: dict[str, Path]) -> None:
    """A patch that was left as it is, in a picture that was sharpened around it, is seen at once."""

    class Doubtful:
        nearer = 0.69

        def detect(self, rgb: tiles.Picture, thorough: bool) -> list[Detection]:
            found = (0.61, (40, 40, 90, 90)), (0.75, (200, 60, 500, 360))
            return [Detection(score, box, np.zeros((6, 2), np.float32)) for score, box in found]

        def score(self, rgb: tiles.Picture, square: TurnedSquare) -> float:
            assert square == TurnedSquare(65, 65, 100)
            return self.nearer

    faces, doubtful = Faces(face_models["face-detector"], 90, WHOLE, 1), Doubtful()
    faces._detector = doubtful  # type: ignore[assignment]
    assert faces.boxes(crowd) == [(100, 30, 250, 180)]
    doubtful.nearer = 0.85
    assert faces.boxes(crowd) == [(20, 20, 45, 45), (100, 30, 250, 180)]


def test_in_a_film_a_spared_place_fades_in(crowd: tiles.Picture, face_models: dict[str, Path]) -> None:
    faces = Faces(face_models["face-detector"], 90, WHOLE, 1)
    empty = np.full_like(crowd, 90)
    assert [faces.next(empty) for _ in range(EVERY)] == [(None, None)] * EVERY
    shares = []
    for _ in range(EVERY):
        spared, moved = faces.next(crowd)
        assert spared is not None and moved is not None and moved.max() <= 0.26
        shares.append(spared[130, 350])
    assert shares == sorted(shares) and shares[0] < 0.3 and shares[-1] > 0.9


@needs_ncnn
def test_a_picture_with_a_small_face_keeps_it(crowd: tiles.Picture, tmp_path: Path) -> None:
    image.write_png(tmp_path / "crowd.png", crowd)
    made = {}
    for smallest in (0, 90):
        out = tmp_path / str(smallest)
        out.mkdir()
        engine = registry.create(SPECS[0])
        engine.load({name: models.path(TEST_MODELS, name) for name in SPECS[0].models})
        params = RealEsrganParams(scale=2, model="video", smallest_face=smallest)
        engine.run(Job(inputs={"media": tmp_path / "crowd.png"}, out=out, params=params))
        made[smallest] = image.read_png(out / "image.png").astype(int)
    larger = cv2.resize(crowd, None, fx=2, fy=2, interpolation=cv2.INTER_LANCZOS4).astype(int)
    head = slice(230, 310), slice(675, 725)
    assert np.abs(made[90][head] - larger[head]).max() <= 1 < np.abs(made[0][head] - larger[head]).max()
    others = slice(0, 600), slice(0, 500)
    assert (made[90][others] == made[0][others]).all()


# -- the command


def test_published_names_of_networks_are_understood() -> None:
    names = {"x4plus": "photo", "x2": "video", "x4": "video", "video": "video", "auto": "auto"}
    assert {name: RealEsrganParams.parse({"model": name}, "upscale").model for name in names} == names
    with pytest.raises(BadConfig, match="x8"):
        RealEsrganParams.parse({"model": "x8"}, "upscale")


@needs_ncnn
def test_the_command_takes_an_engine_and_its_network(bare: Studio, tmp_path: Path) -> None:
    image.write_png(tmp_path / "wall.png", wall(0))
    options = ("--engine", "realesrgan", "--model", "x2", "--scale", "4", "--json")
    made = bare.ok("upscale", str(tmp_path / "wall.png"), *options).json
    assert (made["facts"]["width"], made["facts"]["height"]) == (384, 256)
    assert bare.run("upscale", str(tmp_path / "wall.png"), "--engine", "realesrgam").code == 3
    assert bare.run("upscale", str(tmp_path / "wall.png"), "--engine", "realesrgan", "--model", "x9").code == 3
