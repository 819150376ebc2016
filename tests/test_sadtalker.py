"""SadTalker's engines around networks that are numpy here: what reaches them, what is made of what they draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.sadtalker import alignment, hearing, motion
from avatarctl.engines.sadtalker.engine import AnimateEngine
from avatarctl.engines.sadtalker.face import Face
from avatarctl.engines.sadtalker.paste import Paste
from avatarctl.engines.sadtalker.rig import RigEngine
from avatarctl.engines.sadtalker.spec import SadTalkerParams, SadTalkerRigParams
from avatarctl.errors import BadConfig, BadInput
from avatarctl.media import arrays, image, probe, video, wav
from avatarctl.stages import validators

STANDARD = np.array(
    [[-0.31, 0.29, 0.13], [0.31, 0.29, 0.13], [0.0, -0.05, 0.55], [-0.25, -0.38, 0.22], [0.25, -0.38, 0.22]]
)
SIZE = 128


class Reader:
    """Stands for the networks that look at a photo."""

    def __init__(self) -> None:
        self.faces: list[np.ndarray] = []

    def coefficients(self, face: np.ndarray) -> np.ndarray:
        self.faces.append(face)
        return np.linspace(-1, 1, 70, dtype=np.float32)

    def keypoints(self, crop: np.ndarray) -> np.ndarray:
        return np.linspace(-0.5, 0.5, 45, dtype=np.float32).reshape(15, 3)

    def standard_points(self) -> np.ndarray:
        return STANDARD

    def close(self) -> None:
        return


class Networks:
    """Stands for those that hear, move and draw: keypoints are coefficients, and a picture shows its keypoints."""

    sequence, latent, on_gpu = 32, 4, False

    def __init__(self, fits: int = 1000) -> None:
        self.fits = fits
        self.heard: list[tuple[Any, ...]] = []
        self.posed: list[tuple[Any, ...]] = []
        self.semantics: list[np.ndarray] = []
        self.batches: list[int] = []
        self.before: Callable[[], None] = lambda: None

    def set_threads(self, threads: int) -> None:
        self.threads = threads

    def expressions(self, mels: np.ndarray, reference: np.ndarray, blinks: np.ndarray) -> np.ndarray:
        self.heard.append((mels, reference, blinks))
        return np.tile(mels.mean((1, 2))[:, None], (1, 64)).astype(np.float32)

    def poses(self, mels: np.ndarray, reference: np.ndarray, noise: np.ndarray, style: int) -> np.ndarray:
        self.posed.append((mels, reference, noise, style))
        return np.tile(noise.mean() + np.arange(6), (32, 1)).astype(np.float32)

    def keypoints(self, semantics: np.ndarray, canonical: np.ndarray) -> np.ndarray:
        self.semantics.append(semantics)
        return canonical + semantics[:, 25:70, motion.RADIUS].reshape(-1, 15, 3)

    def pictures(self, crop: np.ndarray, source: np.ndarray, driving: np.ndarray, tell: Any) -> np.ndarray:
        self.before()
        self.batches.append(len(driving))
        if len(driving) > self.fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        moved = np.abs(driving - source).mean(axis=(1, 2))
        return np.stack([np.clip(crop + 80 * m / (1 + m), 0, 255).astype(np.uint8) for m in moved])

    def close(self) -> None:
        return


@pytest.fixture(scope="module")
def rigs(face_models: dict[str, Path], portraits: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Builds a rig of the astronaut; each kind once."""
    folder = tmp_path_factory.mktemp("rigs")
    made: dict[str, Path] = {}
    rgb, _ = image.read_photo(portraits["astronaut"])
    image.write_png(folder / "portrait.png", rgb)

    def build(**changes: Any) -> Path:
        out = folder / str(sorted(changes.items()))
        if str(out) not in made:
            out.mkdir()
            engine = RigEngine(lambda program, weights: Reader())
            engine.load({**face_models, "program": Path("src"), "networks": Path("weights")})
            params = SadTalkerRigParams(**{"size": SIZE, **changes})
            engine.run(Job(inputs={"portrait": folder / "portrait.png"}, out=out, params=params))
            engine.close()
            made[str(out)] = out / "rig.rig"
        return made[str(out)]

    return build


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A second and a bit of sound, not a whole number of pictures."""
    time = np.arange(round(1.23 * 22_050)) / 22_050
    wave = 0.4 * np.sin(2 * np.pi * 300 * time) * (1 + np.sin(2 * np.pi * 4 * time)) / 2
    wav.write(tmp_path / "speech", wave.astype(np.float32), 22_050)
    return tmp_path / "speech"


@dataclasses.dataclass
class Made:
    """What a step left behind."""

    out: Path
    networks: Networks
    notes: list[str]
    told: list[tuple[float, float, str]]

    @property
    def clip(self) -> Path:
        return self.out / "clip.mp4"


@pytest.fixture
def animate(rigs: Any, speech: Path, tmp_path: Path) -> Callable[..., Made]:
    """Performs a step on the astronaut."""

    def perform(networks: Networks | None = None, seed: int = 0, cancelled: Any = None, **changes: Any) -> Made:
        networks = networks or Networks()
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        out.mkdir()
        params = SadTalkerParams(**{"size": SIZE, "still": False, **changes})
        shared = {k: v for k, v in changes.items() if k in ("preprocess", "size", "aspect")}
        engine = AnimateEngine(lambda program, weights, mapping, params: networks)
        engine.load({"program": tmp_path, "networks": tmp_path, "mapping": tmp_path})
        made = Made(out, networks, [], [])
        job = Job(
            inputs={"speech": speech, "rig": rigs(**shared)},
            out=out,
            params=params,
            seed=seed,
            note=made.notes.append,
            progress=lambda *at: made.told.append(at),
            cancelled=cancelled or (lambda: False),
        )
        engine.run(job)
        engine.close()
        return made

    return perform


# -- the photo


def test_the_square_lies_in_the_picture_where_it_is_pasted(rigs: Any) -> None:
    face = Face.load(rigs(size=256))
    assert face.picture.shape == (256, 256, 3) and face.crop.shape == (256, 256, 3)
    assert face.coefficients.shape == (73,) and face.keypoints.shape == (15, 3) and not face.whole
    left, top, width, height = (int(v) for v in face.place)
    assert 60 < width == height < 256 and left > 0 and top > 0
    shown = alignment.cut(face.picture, left, top, width, height, 64, 64).astype(float)
    seen = alignment.cut(face.crop, 0, 0, 256, 256, 64, 64).astype(float)
    assert np.abs(shown - seen).mean() < 2
    # A pixel's shift of either would show.
    assert np.abs(np.roll(shown, 1, 1) - seen).mean() > 4


def test_a_film_of_the_square_shows_nothing_else(rigs: Any) -> None:
    face = Face.load(rigs(preprocess="crop"))
    assert face.whole and face.place.tolist() == [0, 0, SIZE, SIZE]
    seen = alignment.cut(face.crop, 0, 0, 256, 256, SIZE, SIZE).astype(float)
    assert np.abs(seen - face.picture).mean() < 3
    with pytest.raises(BadConfig, match="9:16"):
        rigs(preprocess="crop", aspect="9:16")


def test_shapes_of_film_that_the_photo_allows(rigs: Any) -> None:
    assert Face.load(rigs(aspect="9:16")).picture.shape == (228, SIZE, 3)
    assert Face.load(rigs(aspect="16:9")).picture.shape == (SIZE, 228, 3)


def test_the_face_is_laid_over_the_average_one(face_models: dict[str, Path], portraits: dict[str, Path]) -> None:
    rgb, _ = image.read_photo(portraits["astronaut"])
    points = alignment.five_points(FaceMesh(face_models).landmarks(rgb))
    left, top, side = alignment.square(points)
    crop = alignment.cut(rgb, left, top, side, side, 256, 256)
    inside = (points - (left, top) + 0.5) * (256 / side) - 0.5
    laid, (scale, x, y) = alignment.aligned(crop, inside, STANDARD)
    assert laid.shape == (224, 224, 3) and 0 <= laid.min() < laid.max() <= 1
    # The average face's origin comes to lie in the middle, its eyes 102 pixels to the unit apart.
    moved = (inside - (x, 255 - y)) * scale + 112
    assert np.abs(moved[:2].mean(0) - (112, 112 - 102 * 0.29)).max() < 8
    assert np.hypot(*(moved[1] - moved[0])) == pytest.approx(102 * 0.62, rel=0.15)


def test_a_cut_is_where_it_should_be() -> None:
    ramp = np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (100, 1, 3))
    assert np.abs(alignment.cut(ramp, 20, 10, 50, 50, 50, 50)[25, :, 0].astype(int) - np.arange(20, 70)).max() == 0
    halves = alignment.cut(ramp, 20, 10, 50, 50, 25, 25)[12, :, 0].astype(float)
    assert np.abs(halves - (20 + 2 * np.arange(25) + 0.5)).max() <= 1
    assert alignment.cut(ramp, -30, -30, 60, 60, 20, 20).shape == (20, 20, 3)


def test_only_a_rig_of_ones_own_is_read(tmp_path: Path) -> None:
    arrays.write(tmp_path / "other", {"schema": np.array(99)})
    (tmp_path / "puppet").write_bytes(b"AVARIG\x00\x03" + bytes(100))
    for name in ("other", "puppet"):
        with pytest.raises(BadInput, match="not a rig of SadTalker"):
            Face.load(tmp_path / name)


# -- the speech


def test_mels_are_those_of_the_training(tmp_path: Path) -> None:
    time = np.arange(32_000) / 16_000
    tone = np.where(time < 1, 0.5 * np.sin(2 * np.pi * 1000 * time), 0).astype(np.float32)
    wav.write(tmp_path / "tone", tone, 16_000)
    mels = hearing.mel_spectrogram(tmp_path / "tone", 60)
    assert mels.shape == (1 + 60 * 640 // 200, 80)
    # On Slaney's scale 1 kHz is 15 mel. Of 82 edges from 0.8 to 44.5 mel, the middle of band 25 comes nearest.
    assert set(mels[5:75].argmax(axis=1)) == {25}
    assert mels[90:].max() == -4 and mels.max() < 4
    windows = hearing.windows(mels, 0, 60)
    assert windows.shape == (60, 80, 16)
    assert np.array_equal(windows[20], mels[57:73].T)
    assert np.array_equal(windows[0][:, :7], np.repeat(mels[:1], 7, axis=0).T)


def test_the_same_sound_at_another_rate_is_heard_alike(tmp_path: Path) -> None:
    for rate in (16_000, 24_000):
        time = np.arange(rate) / rate
        wav.write(tmp_path / str(rate), (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32), rate)
    one, other = (hearing.mel_spectrogram(tmp_path / str(rate), 20) for rate in (16_000, 24_000))
    assert np.abs(one[:, :20] - other[:, :20]).mean() < 0.1


# -- what reaches the networks


def test_settings_reach_the_networks(animate: Callable[..., Made]) -> None:
    plain = animate()
    assert {style for *_, style in plain.networks.posed} == {0}
    assert plain.networks.threads == 2
    other = animate(pose_style=7, expression_scale=2.0, blinks=0)
    # Other blinks are not other poses.
    assert np.array_equal(plain.networks.posed[0][2], other.networks.posed[0][2])
    assert {style for *_, style in other.networks.posed} == {7}
    assert not any(blinks.any() for *_, blinks in other.networks.heard)
    middle = slice(motion.RADIUS, motion.RADIUS + 1)
    ones, twos = (made.networks.semantics[1][:, :64, middle] for made in (plain, other))
    assert np.allclose(2 * ones, twos)
    # The photo's own expression is told to the network that hears.
    assert np.array_equal(plain.networks.heard[0][1], np.linspace(-1, 1, 70, dtype=np.float32)[:64])


def test_whoever_sits_still_keeps_the_pose_of_the_photo(animate: Callable[..., Made]) -> None:
    own = np.linspace(-1, 1, 70, dtype=np.float32)[64:]
    moving, still = animate(), animate(still=True)
    assert not still.networks.posed
    assert np.abs(still.networks.semantics[1][:, 64:70] - own[:, None]).max() == 0
    poses = moving.networks.semantics[1][:, 64:70, motion.RADIUS]
    assert np.abs(poses[[0, -1]] - own).max() < 1e-5
    assert np.abs(poses[10] - own).max() > 1


def test_the_whole_photo_needs_to_know_where_the_face_lies(animate: Callable[..., Made], rigs: Any) -> None:
    assert animate().networks.semantics[1].shape[1:] == (73, 27)
    place = Face.load(rigs()).coefficients[70:]
    assert np.array_equal(animate().networks.semantics[1][3, 70:, 0], place)
    assert animate(preprocess="crop").networks.semantics[1].shape[1:] == (70, 27)


def test_a_seed_decides_and_nothing_else(animate: Callable[..., Made]) -> None:
    np.random.seed(1)
    one = animate(seed=3)
    np.random.seed(2)
    again, other = animate(seed=3), animate(seed=4)
    assert one.clip.read_bytes() == again.clip.read_bytes()
    assert (one.out / "curves.npz").read_bytes() == (again.out / "curves.npz").read_bytes()
    assert not np.array_equal(one.networks.posed[0][2], other.networks.posed[0][2])
    assert one.clip.read_bytes() != other.clip.read_bytes()


def test_a_clip_begins_and_ends_as_the_photo_is() -> None:
    face = Face(*(np.zeros(1, np.uint8),) * 2, np.zeros(4, np.int32), np.zeros(73, np.float32),
                np.zeros((15, 3), np.float32), np.array(0, np.int32))  # fmt: skip
    mels = np.random.default_rng(0).uniform(-4, 4, (300, 80)).astype(np.float32)
    for fps, heard, pictures in ((25, 80, 80), (50, 80, 159), (30, 80, 96), (25, 1, 1), (25, 2, 2)):
        params = SadTalkerParams(fps=fps, still=False)
        moves = motion.plan(Networks(), face, mels, params, heard, pictures, np.random.default_rng(0), lambda: None)
        assert moves.driving.shape == (pictures, 15, 3) and np.isfinite(moves.driving).all()
        assert np.array_equal(moves.driving[0], moves.source) and np.array_equal(moves.driving[-1], moves.source)
        if pictures > 2:
            assert np.abs(moves.driving[pictures // 2] - moves.source).max() > 0.02
    fast = motion.plan(Networks(), face, mels, SadTalkerParams(fps=50), 80, 160, np.random.default_rng(0), lambda: None)
    slow = motion.plan(Networks(), face, mels, SadTalkerParams(), 80, 80, np.random.default_rng(0), lambda: None)
    assert np.allclose(fast.driving[40:120:2], slow.driving[20:60], atol=1e-5)


def test_eyes_blink_as_often_as_they_are_told() -> None:
    counts = [(motion.blinks(25 * 600, often, np.random.default_rng(5)) == 1).sum() for often in (0, 0.5, 1, 2)]
    assert counts[0] == 0 and counts[1] * 1.6 < counts[2] < counts[3] / 1.6
    assert 250 < counts[2] < 420


# -- what is made of what they draw


def test_a_clip_passes_its_stage(animate: Callable[..., Made], speech: Path) -> None:
    for changes in ({}, {"fps": 30}, {"fps": 50, "preprocess": "crop"}):
        made = animate(**changes)
        params = SadTalkerParams(size=SIZE, **changes)
        facts = validators.clip({"clip": made.clip}, {"speech": speech}, params)
        assert facts["frames"] == -(-123 * params.fps // 100) and facts["width"] == facts["height"] == SIZE
        assert made.told[-1] == (facts["frames"], facts["frames"], "frames")
        # The film's sound is the speech itself: the clip brings none that could take its place.
        assert probe.decode_all(made.clip).audio is None
        curves = arrays.read(made.out / "curves.npz")
        assert curves["names"].tolist() == ["blink"] and curves["values"].shape == (facts["frames"], 1)


def test_pictures_are_drawn_a_few_at_a_time(animate: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    write = video.Encoder.write

    def counted(self: video.Encoder, frame: Any) -> None:
        nonlocal written
        written += 1
        write(self, frame)

    monkeypatch.setattr(video.Encoder, "write", counted)
    networks = Networks()

    def before() -> None:
        # The first is the photo at rest, which is not shown. All others are in the encoder before more are drawn.
        assert sum(networks.batches) - bool(networks.batches) - written == 0

    networks.before = before
    animate(networks, batch=5)
    assert set(networks.batches[:-1]) == {5} and sum(networks.batches) == 32
    assert animate().networks.batches == [1] * 32


def test_what_memory_cannot_hold_is_drawn_by_halves(animate: Callable[..., Made]) -> None:
    made = animate(Networks(fits=2), batch=8)
    assert made.networks.batches == [8, 4, *[2] * 16]
    assert made.notes == [
        "8 pictures at a time do not fit into memory: from now on 4",
        "4 pictures at a time do not fit into memory: from now on 2",
    ]
    assert made.clip.read_bytes() == animate(batch=3).clip.read_bytes()
    with pytest.raises(MemoryError):
        animate(Networks(fits=0), batch=2)


def test_a_step_is_cancelled_between_pictures(animate: Callable[..., Made]) -> None:
    networks = Networks()
    with pytest.raises(Cancelled):
        animate(networks, cancelled=lambda: len(networks.batches) > 6)
    assert len(networks.batches) == 7


def test_the_photo_stays_as_it_is_around_the_face(rigs: Any) -> None:
    face = Face.load(rigs(size=256))
    noise = np.random.default_rng(0).integers(0, 256, face.crop.shape, np.uint8)
    frame = Paste(face, face.crop).frame(noise)
    left, top, width, height = (int(v) for v in face.place)
    outside = np.ones(frame.shape[:2], bool)
    outside[top : top + height, left : left + width] = False
    assert np.array_equal(frame[outside], face.picture[outside])
    edge = max(1, width // 100)
    ring = np.zeros_like(outside)
    ring[top : top + height, left : left + width] = True
    ring[top + edge : top + height - edge, left + edge : left + width - edge] = False
    assert np.array_equal(frame[ring], face.picture[ring])
    middle = frame[top + height // 4 : top + 3 * height // 4, left + width // 4 : left + 3 * width // 4]
    under = face.picture[top + height // 4 : top + 3 * height // 4, left + width // 4 : left + 3 * width // 4]
    assert np.abs(middle.astype(int) - under).mean() > 25


def test_a_face_at_rest_is_the_photo_even_if_the_networks_tint_it(rigs: Any) -> None:
    for changes in ({"size": 256}, {"preprocess": "crop"}):
        face = Face.load(rigs(**changes))
        tinted = np.clip(face.crop.astype(int) * 0.9 + (12, -6, 3), 0, 255).astype(np.uint8)
        frame = Paste(face, tinted).frame(tinted).astype(int)
        before = np.abs(tinted.astype(int) - face.crop).mean()
        assert np.abs(frame - face.picture).mean() < before / 2


def test_a_rig_of_another_film_is_refused(
    animate: Callable[..., Made], rigs: Any, speech: Path, tmp_path: Path
) -> None:
    for changes in ({"size": 256}, {"resolution": 512}, {"preprocess": "crop"}):
        engine = AnimateEngine(lambda *unused: Networks())
        engine.load({"program": tmp_path, "networks": tmp_path, "mapping": tmp_path})
        params = SadTalkerParams(**{"size": SIZE, **changes})
        with pytest.raises(BadInput, match="another film"):
            engine.run(Job(inputs={"speech": speech, "rig": rigs()}, out=tmp_path, params=params))
    assert not (tmp_path / "clip.mp4").exists()
