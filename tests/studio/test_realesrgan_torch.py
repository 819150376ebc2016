"""Published weights under torch, in a worker: random networks of the true layouts, and files that must be refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarctl import models
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.realesrgan.spec import FACE_DETECTOR, SPECS, WEIGHTS, TorchParams, requires
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.errors import AvatarctlError, BadConfig, Unavailable
from avatarctl.media import image, probe
from avatarctl.stages import validators
from tests.conftest import TEST_MODELS
from tests.media_support import clip

pytestmark = pytest.mark.engine("realesrgan-torch")
SPEC = next(spec for spec in SPECS if spec.worker)

ROOT = Path(__file__).resolve().parent.parent.parent
Start = Callable[..., WorkerEngine]


@pytest.fixture(scope="module")
def files(interpreter: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of every kind; see `tiny_realesrgan`."""
    folder = tmp_path_factory.mktemp("weights")
    script = Path(__file__).with_name("tiny_realesrgan.py")
    subprocess.run([interpreter(SPEC.name), str(script), str(folder)], check=True)
    return folder


@pytest.fixture
def start(interpreter: Callable[[str], str], files: Path) -> Iterator[Start]:
    """Starts the worker with one of the files."""
    started: list[WorkerEngine] = []

    def with_file(name: str, **digests: str) -> WorkerEngine:
        worker = WorkerEngine(SPEC, interpreter(SPEC.name), digests)
        started.append(worker)
        worker.load({FACE_DETECTOR: models.path(TEST_MODELS, FACE_DETECTOR), WEIGHTS: files / name})
        return worker

    yield with_file
    for worker in started:
        worker.close()


def job(media: Path, out: Path, scale: int = 2, **options: object) -> Job:
    out.mkdir()
    given = {name: options.pop(name) for name in ("progress", "cancelled") if name in options}
    params = TorchParams(scale=scale, device="cpu", **options)  # type: ignore[arg-type]
    return Job(inputs={"media": media}, out=out, params=params, key="s1:abc", threads=1, **given)  # type: ignore[arg-type]


@pytest.fixture
def photo(portraits: dict[str, Path], tmp_path: Path) -> Path:
    """The astronaut's eyes, 61 x 45: odd sides, which networks that fold pixels have to mend; and nothing so fine that
    only learned weights could draw it."""
    rgb = image.read_photo(portraits["astronaut"])[0]
    image.write_png(tmp_path / "photo.png", cv2.resize(rgb[100:130, 190:231], (61, 45)).astype(np.uint8))
    return tmp_path / "photo.png"


@pytest.mark.parametrize("name", ["x4plus.pth", "x2plus.pth", "general.pth", "general.safetensors"])
def test_published_layouts_draw_the_picture_that_they_were_given(
    start: Start, photo: Path, tmp_path: Path, name: str
) -> None:
    worker, given = start(name), image.read_png(photo)
    for scale in (2, 4):
        out = tmp_path / f"x{scale}"
        worker.run(job(photo, out, scale, detail=1.0))
        made = image.read_png(out / "image.png")
        assert made.shape == (45 * scale, 61 * scale, 3)
        plain = cv2.resize(given, made.shape[1::-1], interpolation=cv2.INTER_LANCZOS4)
        assert np.abs(made.astype(int) - plain).mean() < 6
        back = cv2.resize(made, (61, 45), interpolation=cv2.INTER_AREA)
        assert np.abs(back.astype(int) - given).mean() < 1.5


def test_one_file_in_two_formats_draws_alike(start: Start, photo: Path, tmp_path: Path) -> None:
    made = []
    for name in ("general.pth", "general.safetensors", "x4plus.pth"):
        start(name).run(job(photo, tmp_path / str(len(made))))
        made.append((tmp_path / str(len(made)) / "image.png").read_bytes())
    assert made[0] == made[1] != made[2]


def test_a_film_and_its_progress(start: Start, tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []
    film = clip(tmp_path / "a.mp4", 9)
    worker = start("general.pth")
    worker.run(job(film, tmp_path / "out", progress=lambda done, total, unit: told.append((done, total))))
    made = probe.decode_all(tmp_path / "out" / "video.mp4").video
    assert made is not None and (made.frames, made.constant_step) == (9, True)
    validators.upscaled({"video": tmp_path / "out" / "video.mp4"}, {"media": film}, TorchParams(scale=2))
    assert told[-1] == (9, 9)
    with pytest.raises(Cancelled):
        worker.run(job(film, tmp_path / "stopped", cancelled=lambda: True))
    worker.run(job(film, tmp_path / "again"))
    assert (tmp_path / "again" / "video.mp4").read_bytes() == (tmp_path / "out" / "video.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("trap.pth", Unavailable, "nothing of it was executed"),
        ("old-trap.pth", Unavailable, "nothing of it was executed"),
        ("truncated.pth", Unavailable, "cannot be read"),
        ("truncated.safetensors", Unavailable, "cannot be read"),
        ("list.pth", Unavailable, "holds no weights"),
        ("misshapen.pth", BadConfig, "does not fit"),
        ("unknown.pth", BadConfig, "unknown architecture"),
    ],
)
def test_what_is_no_network_is_refused_and_never_executed(
    start: Start, files: Path, name: str, kind: type[AvatarctlError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        start(name)
    assert said in caught.value.as_dict()["message"] and caught.value.hint
    assert not (files / "executed").exists()


def test_other_bytes_than_the_catalogs_are_never_opened(start: Start, files: Path) -> None:
    with pytest.raises(Unavailable, match="is damaged"):
        start("trap.pth", weights=models.model("realesrgan-x4plus").sha256)
    assert not (files / "executed").exists()


SHORT_OF_MEMORY = """
import sys
from pathlib import Path
import torch
from avatarctl.engines.contract import Job
from avatarctl.engines.realesrgan.pytorch.engine import TorchEngine
from avatarctl.engines.realesrgan.pytorch.network import TorchNetwork
from avatarctl.engines.realesrgan.spec import TorchParams

detector, weights, photo, out = map(Path, sys.argv[1:])
together = TorchNetwork._together

def short(self, pixels):
    print("tile", max(pixels.shape[1:3]))
    if max(pixels.shape[1:3]) > 130:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return together(self, pixels)

TorchNetwork._together = short
engine = TorchEngine()
engine.load({"face-detector": detector, "weights": weights})
for name in ("first", "second"):
    (out / name).mkdir()
    params = TorchParams(scale=2, device="cpu", half="off")
    engine.run(Job(inputs={"media": photo}, out=out / name, params=params, threads=1, note=print))
"""


def test_where_memory_runs_out_tiles_become_smaller(
    interpreter: Callable[[str], str], files: Path, portraits: dict[str, Path], tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    image.write_png(photo, np.ascontiguousarray(image.read_photo(portraits["astronaut"])[0][:250, :250]))
    arguments = [models.path(TEST_MODELS, FACE_DETECTOR), files / "general.pth", photo, tmp_path]
    command = [interpreter(SPEC.name), "-c", SHORT_OF_MEMORY, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()
    notes = [line for line in said if not line.startswith("tile ")]
    assert notes == [
        f"tiles of {side} pixels do not fit into memory: from now on smaller ones" for side in (256, 192, 128)
    ]
    # What did not fit is not tried again.
    assert sum(int(line.split()[1]) > 130 for line in said if line not in notes) == 3
    made = [(tmp_path / name / "image.png").read_bytes() for name in ("first", "second")]
    assert made[0] == made[1]


def test_a_gpu_that_is_not_there_is_said(start: Start, photo: Path, tmp_path: Path) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("there is one")
    order = job(photo, tmp_path / "out")
    with pytest.raises(Unavailable, match="torch finds no GPU") as caught:
        start("general.pth").run(Job(inputs=order.inputs, out=order.out, params=TorchParams(scale=2, device="cuda")))
    assert "upscale.device=auto" in caught.value.hint


def test_weights_are_chosen_by_name_or_path() -> None:
    assert requires(TorchParams(device="cpu")).weights == {WEIGHTS: "realesrgan-x4plus"}
    wanted = requires(TorchParams(model="./own.pth", device="cuda", memory_mb=2000))
    assert (wanted.weights, wanted.lane, wanted.gpu_memory_mb) == ({WEIGHTS: "./own.pth"}, "gpu", 2000)
