"""Real-ESRGAN with its real weights: what it adds, and what it keeps."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl import models
from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.realesrgan import tiles
from avatarctl.engines.realesrgan.spec import SPECS, RealEsrganParams
from avatarctl.errors import BadConfig, BadInput
from avatarctl.media import concat, image, probe, wav
from avatarctl.stages import validators
from tests.conftest import TEST_MODELS
from tests.media_support import bursts, call_ffmpeg, clip, energy, frame_times, interpolated, lumas, tone

SPEC = SPECS[0]
needs_ncnn = pytest.mark.skipif(importlib.util.find_spec("ncnn") is None, reason="ncnn is not installed")

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def face(portraits: dict[str, Path]) -> Picture:
    """The astronaut's eyes and nose, 96 x 80."""
    photo = image.read_photo(portraits["astronaut"])[0]
    return np.ascontiguousarray(photo[84:164, 176:272])


def enlarge(media: Path, out: Path, *, scale: int = 2, threads: int = 2, **options: object) -> Path:
    """What the engine makes of a picture or film. Options of the job, and params."""
    out.mkdir()
    engine = registry.create(SPEC)
    engine.load({name: models.path(TEST_MODELS, name) for name in SPEC.models})
    job = {name: options.pop(name) for name in ("progress", "cancelled") if name in options}
    params = RealEsrganParams(scale=scale, **options)  # type: ignore[arg-type]
    work = Job(inputs={"media": media}, out=out, params=params, key="s1:abc", threads=threads, **job)  # type: ignore[arg-type]
    engine.run(work)
    engine.close()
    made = {path.stem: path for path in out.iterdir()}
    validators.upscaled(made, {"media": media}, params)
    return next(iter(made.values()))


def picture(folder: Path, rgb: Picture) -> Path:
    image.write_png(folder / "given.png", rgb)
    return folder / "given.png"


# -- tiles, by a network that needs no package


class Nearest:
    """Repeats pixels; remembers what it was given."""

    scale, batch, slow = 4, 3, False

    def __init__(self, side: int, offset: float = 0.0) -> None:
        self.side = side
        self.offset = offset
        self.largest = 0

    def enlarge(self, given: list[tiles.Pixels], told: Callable[[float], None]) -> list[tiles.Pixels]:
        self.largest = max(self.largest, *(side for pixels in given for side in pixels.shape[:2]))
        told(1.0)
        return [pixels.repeat(4, axis=0).repeat(4, axis=1) + np.float32(self.offset) for pixels in given]


class Stripes(Nearest):
    """Draws stripes finer than a pixel, so there is no shade that could be told from the source's; how strong ones,
    is told for each tile in turn."""

    def __init__(self, side: int, *strengths: float) -> None:
        super().__init__(side)
        self.strengths = cycle(strengths)

    def enlarge(self, given: list[tiles.Pixels], told: Callable[[float], None]) -> list[tiles.Pixels]:
        drawn = super().enlarge(given, told)
        for picture in drawn:
            stripes = np.tile(np.array([1, 1, -1, -1], np.float32), picture.shape[1] // 4)
            picture += next(self.strengths) * stripes[:, None]
        return drawn


def silent(done: float, total: int) -> None: ...


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 300), (72, 73), (217, 145)])
@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_cover_a_picture_without_a_seam(height: int, width: int, scale: int) -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (height, width, 3)).astype(np.uint8)
    network = Nearest(72)
    look = tiles.Look(scale, 1.0, 1.0, (0, 0, width, height))
    seen: list[tuple[float, int]] = []
    made = tiles.enlarge(rgb, network, look, lambda *at: seen.append(at))
    assert np.abs(made.astype(int) - rgb.repeat(scale, 0).repeat(scale, 1)).max() <= 1
    total = tiles.count(look, 72)
    assert seen[-1] == (total, total) and seen == sorted(seen)
    assert network.largest <= 72 + 2 * (tiles.FADE + tiles.CONTEXT)


def test_neighbouring_tiles_fade_into_each_other() -> None:
    flat = np.full((40, 160, 3), 100, np.uint8)
    made = tiles.enlarge(flat, Stripes(80, 0, 12), tiles.Look(4, 1.0, 0.0, (0, 0, 160, 40)), silent)
    swing = np.abs(made[80, :, 0].astype(int) - 100)
    assert (swing[0], swing[-1]) == (0, 12)
    assert np.abs(np.diff(swing)).max() == 1


def test_only_the_part_gains_detail_and_its_border_is_soft() -> None:
    flat = np.full((200, 200, 3), 100, np.uint8)
    look = tiles.Look(2, 1.0, 0.0, (60, 50, 200, 160))
    made = tiles.enlarge(flat, Stripes(72, 20), look, silent)[..., 0].astype(int)
    assert (made[:100] == 100).all() and (made[320:] == 100).all() and (made[:, :120] == 100).all()
    assert made[210, 300] == 120 and made[210, 301] == 80 and made[210, 398] == 120
    swing = np.abs(made[:, ::2] - made[:, 1::2])
    assert np.abs(np.diff(swing, axis=0)).max() <= 3 and np.abs(np.diff(swing, axis=1)).max() <= 5
    spared = np.zeros((200, 200), np.float32)
    spared[60:150, 120:180] = 1
    made = tiles.enlarge(flat, Stripes(72, 20), look, silent, spared)[..., 0].astype(int)
    assert (made[130:290, 250:350] == 100).all() and made[310, 300] != 100


def test_colour_and_shade_are_the_sources() -> None:
    ramp = np.tile(np.linspace(60, 180, 120, dtype=np.uint8)[None, :, None], (60, 1, 3))
    made = tiles.enlarge(ramp, Nearest(200, 15.0), tiles.Look(2, 1.0, 0.0, (0, 0, 120, 60)), silent)
    assert np.abs(made.astype(int) - interpolated(ramp, 2)).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(40, 60), (41, 163)])
def test_a_picture_is_drawn_from_half_its_size(height: int, width: int) -> None:
    rgb = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (height, width, 3)).astype(np.uint8), (0, 0), 3)
    network = Nearest(30)
    look = tiles.Look(2, 1.0, 1.0, (0, 0, width, height), half=True)
    made = tiles.enlarge(rgb.astype(np.uint8), network, look, silent)
    assert made.shape == (2 * height, 2 * width, 3)
    assert np.abs(made.astype(int) - interpolated(rgb.astype(np.uint8), 2)).mean() < 3
    assert network.largest <= 30 + tiles.FADE + 2 * tiles.CONTEXT + 1


def test_another_picture_than_the_given_one_is_refused() -> None:
    flat = np.full((20, 20, 3), 100, np.uint8)
    look = tiles.Look(2, 1.0, 0.0, (0, 0, 20, 20))
    for wrong in (60.0, float("nan")):
        with pytest.raises(RuntimeError, match="another picture"):
            tiles.enlarge(flat, Nearest(72, wrong), look, silent)


# -- the networks


@needs_ncnn
@pytest.mark.parametrize("model", ["photo", "video"])
def test_a_face_gains_detail_and_stays_the_same_face(face: Picture, tmp_path: Path, model: str) -> None:
    small = face[10:58, 8:72] if model == "photo" else face
    given = picture(tmp_path, small)
    made = {scale: image.read_png(enlarge(given, tmp_path / f"x{scale}", scale=scale, model=model)) for scale in (2, 4)}
    for scale, rgb in made.items():
        assert rgb.shape == (small.shape[0] * scale, small.shape[1] * scale, 3)
        assert energy(rgb) > 1.15 * energy(interpolated(small, scale))
        back = cv2.resize(rgb, small.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(back.astype(int) - small).mean() < 4
    none = image.read_png(enlarge(given, tmp_path / "none", model=model, detail=0.0))
    assert np.abs(none.astype(int) - interpolated(small, 2)).max() <= 1


@needs_ncnn
@pytest.mark.parametrize("model", ["photo", "video"])
def test_threads_do_not_change_the_result(face: Picture, tmp_path: Path, model: str) -> None:
    small = face[:40, :48] if model == "photo" else face
    given = picture(tmp_path, small)
    results = {enlarge(given, tmp_path / f"{n}", model=model, threads=n).read_bytes() for n in (1, 2, 3)}
    assert len(results) == 1


@needs_ncnn
def test_no_seam_shows_between_tiles(face: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avatarctl.engines.realesrgan import engine

    given = picture(tmp_path, face)
    whole = image.read_png(enlarge(given, tmp_path / "whole", model="video")).astype(int)
    monkeypatch.setitem(engine.LAYOUTS, "video", replace(engine.LAYOUTS["video"], side=24))
    tiled = image.read_png(enlarge(given, tmp_path / "tiled", model="video")).astype(int)
    difference = np.abs(tiled - whole)
    assert difference.mean() < 0.3 and difference.max() <= 16


@needs_ncnn
def test_a_film_keeps_its_frames_its_times_and_its_sound(tmp_path: Path) -> None:
    samples = np.zeros(11_025, np.float32)
    samples[5_512:5_953] = tone(0.02, 22_050, 1000.0, 0.8)
    wav.write(tmp_path / "sound.wav", samples, 22_050)
    silent = clip(tmp_path / "silent.mp4", 12, height=48)
    film = tmp_path / "film.mp4"
    call_ffmpeg("-i", silent, "-i", tmp_path / "sound.wav", "-c:v", "copy", "-c:a", "aac", "-ar", "48000", film)
    done: list[tuple[float, float]] = []
    made = enlarge(film, tmp_path / "out", progress=lambda n, total, unit: done.append((n, total)))
    before, after = probe.decode_all(film), probe.decode_all(made)
    assert before.video and after.video
    assert (after.video.width, after.video.height) == (128, 96)
    assert (after.video.duration, after.video.constant_step) == (before.video.duration, True)
    assert frame_times(made) == pytest.approx(frame_times(film), abs=1e-9)
    assert lumas(made) == pytest.approx(lumas(film), abs=2)
    assert after.audio == before.audio and bursts(made) == bursts(film)
    assert probe.tags(made)["comment"] == "s1:abc"
    assert (done[0], done[-1]) == ((0, 12), (12, 12))
    assert enlarge(film, tmp_path / "again", threads=1).read_bytes() == made.read_bytes()


@needs_ncnn
def test_uneven_frames_keep_their_times(tmp_path: Path) -> None:
    film = clip(tmp_path / "a.mp4", 24)
    uneven = tmp_path / "vfr.mp4"
    choose = "select='not(mod(n,3))+gt(n,15)'"
    call_ffmpeg("-i", film, "-vf", choose, "-fps_mode", "passthrough", "-bf", "0", uneven)
    made = enlarge(uneven, tmp_path / "out")
    assert frame_times(made) == pytest.approx(frame_times(uneven), abs=2e-5)
    assert lumas(made) == pytest.approx(lumas(uneven), abs=2)


@needs_ncnn
def test_enlarged_clips_still_join(tmp_path: Path) -> None:
    clips = [
        enlarge(clip(tmp_path / f"{n}.mp4", n, first=n), tmp_path / f"out{n}").rename(tmp_path / f"x{n}")
        for n in (3, 5)
    ]
    assert concat.frame_counts(clips, 25) == [3, 5]


@needs_ncnn
def test_stopping_between_tiles_and_between_frames(
    face: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatarctl.engines.realesrgan import engine

    monkeypatch.setitem(engine.LAYOUTS, "video", replace(engine.LAYOUTS["video"], side=24))
    done: list[float] = []
    given = picture(tmp_path, face)
    with pytest.raises(Cancelled):
        enlarge(
            given,
            tmp_path / "out",
            model="video",
            progress=lambda n, total, unit: done.append(n),
            cancelled=lambda: done[-1:] == [2],
        )
    assert done[0] == 0 and done[-1] == 2 and done == sorted(done)
    frames: list[float] = []
    with pytest.raises(Cancelled):
        enlarge(
            clip(tmp_path / "a.mp4", 9),
            tmp_path / "film",
            progress=lambda n, total, unit: frames.append(n),
            cancelled=lambda: frames[-1:] == [4],
        )
    assert frames[-1] == 4 and frames == sorted(frames)


@needs_ncnn
@pytest.mark.parametrize("part", ["1,2,3", "a,b,c,d", "nan,0,9,9", "500,0,9,9", "0,0,0,5"])
def test_a_part_that_is_none_is_refused(face: Picture, tmp_path: Path, part: str) -> None:
    with pytest.raises(BadConfig, match=r"upscale\.part"):
        enlarge(picture(tmp_path, face), tmp_path / "out", part=part)


@needs_ncnn
def test_what_cannot_be_enlarged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="8400"):
        enlarge(picture(tmp_path, np.zeros((4, 2100, 3), np.uint8)), tmp_path / "large", scale=4)
    (tmp_path / "text").write_text("#EXTM3U\n/etc/passwd\n")
    with pytest.raises(BadInput):
        enlarge(tmp_path / "text", tmp_path / "out")
    wav.write(tmp_path / "sound.wav", tone(0.2, 22_050), 22_050)
    call_ffmpeg("-i", tmp_path / "sound.wav", tmp_path / "sound.mp4")
    with pytest.raises(BadInput, match="no picture"):
        enlarge(tmp_path / "sound.mp4", tmp_path / "out2")


@needs_ncnn
def test_damaged_weights_are_noticed(face: Picture, tmp_path: Path) -> None:
    files = {name: models.path(TEST_MODELS, name) for name in SPEC.models}
    damaged = tmp_path / "weights.bin"
    damaged.write_bytes(b"\x7f" * files["realesrgan-video"].stat().st_size)
    engine = registry.create(SPEC)
    engine.load({**files, "realesrgan-video": damaged})
    (tmp_path / "out").mkdir()
    params = RealEsrganParams(scale=2, model="video")
    with pytest.raises(RuntimeError):
        engine.run(Job(inputs={"media": picture(tmp_path, face)}, out=tmp_path / "out", params=params))
    assert list((tmp_path / "out").iterdir()) == []


def test_the_spec_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SPEC.restores and SPEC.packages == ("ncnn",)
    program = (
        "import sys; import avatarctl.engines.realesrgan.spec; print('ncnn' in sys.modules, 'numpy' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "False"]
    for name in [n for n in sys.modules if n.startswith("avatarctl.engines.realesrgan.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ncnn", None)
    with pytest.raises(Exception, match="cannot start") as caught:
        registry.create(SPEC)
    assert "avatarctl[realesrgan]" in caught.value.hint  # type: ignore[attr-defined]
