"""SadTalker's engines with torch in a worker: a stand-in of its networks, and the networks themselves.

`AVATARCTL_SADTALKER_HOME` names a checkout of SadTalker for the latter. Of it `src` alone is taken; its networks are
drawn at random, in the layout of those that were published.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from avatarctl.engines.contract import Cancelled, EngineSpec, Job
from avatarctl.engines.registry import get
from avatarctl.engines.sadtalker.face import Face
from avatarctl.engines.sadtalker.spec import CHECKPOINTS, MAPPINGS, SadTalkerParams, SadTalkerRigParams
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.errors import Unavailable
from avatarctl.media import arrays, image, wav
from avatarctl.stages import validators
from tests.conftest import ROOT
from tests.tools import Studio, refused

pytestmark = pytest.mark.engine("sadtalker")

# Read before the tests' own isolation takes it away.
REAL = os.environ.get("AVATARCTL_SADTALKER_HOME", "")
TINY = Path(__file__).parent / "tiny_sadtalker.py"
BYTES_AS_PUBLISHED = 725_066_984
SIZE = 128


def build(python: str, what: str, folder: Path) -> Path:
    """Run `tiny_sadtalker.py` with the engine's own interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([python, str(TINY), what, str(folder)], env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def python(interpreter: Callable[[str], str]) -> str:
    return interpreter("sadtalker")


@pytest.fixture(scope="module")
def stand_in(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with its weights."""
    return build(python, "stand-in", tmp_path_factory.mktemp("stand-in"))


@pytest.fixture(scope="module")
def engines(python: str) -> Iterator[Callable[..., WorkerEngine]]:
    """Workers by stage and checkout, kept warm."""
    made: dict[tuple[str, ...], WorkerEngine] = {}

    def worker(stage: str, home: Path, face_models: dict[str, Path], preprocess: str) -> WorkerEngine:
        slot = (stage, str(home), preprocess)
        if slot not in made:
            spec: EngineSpec = get(stage, "sadtalker")
            models = {name: face_models[name] for name in spec.models}
            models |= {"program": home / "src", "networks": home / "checkpoints" / CHECKPOINTS[256]}
            if stage == "animate":
                models["mapping"] = home / "checkpoints" / MAPPINGS[preprocess]
            made[slot] = WorkerEngine(spec, python)
            made[slot].load(models)
        return made[slot]

    yield worker
    for engine in made.values():
        engine.close()


def tone(path: Path, seconds: float) -> Path:
    time = np.arange(round(seconds * 16_000)) / 16_000
    wave = 0.5 * np.sin(2 * np.pi * 200 * time) * (1 + np.sin(2 * np.pi * 4 * time)) / 2
    wav.write(path, wave.astype(np.float32), 16_000)
    return path


@pytest.fixture
def perform(
    engines: Callable[..., WorkerEngine], face_models: dict[str, Path], portraits: dict[str, Path], tmp_path: Path
) -> Callable[..., Path]:
    """From a portrait to a clip, both in workers; the folder of all that was made."""

    def run(home: Path, seconds: float = 0.8, seed: int = 0, cancelled: Any = None, **changes: Any) -> Path:
        out = tmp_path / f"made{len(list(tmp_path.glob('made*')))}"
        (out / "rig").mkdir(parents=True)
        (out / "clip").mkdir()
        rgb, _ = image.read_photo(portraits["astronaut"])
        image.write_png(out / "portrait", rgb)
        shared = {"size": SIZE, "preprocess": "full"} | {k: changes[k] for k in ("size", "preprocess") if k in changes}
        rig = engines("rig", home, face_models, "")
        rig.run(Job(inputs={"portrait": out / "portrait"}, out=out / "rig", params=SadTalkerRigParams(**shared)))
        params = SadTalkerParams(**{"device": "cpu", **shared, **changes})
        inputs = {"speech": tone(out / "speech", seconds), "rig": out / "rig" / "rig.rig"}
        engine = engines("animate", home, face_models, params.preprocess)
        stop = cancelled or (lambda: False)
        engine.run(Job(inputs=inputs, out=out / "clip", params=params, seed=seed, threads=1, cancelled=stop))
        facts = validators.clip({"clip": out / "clip" / "clip.mp4"}, {"speech": out / "speech"}, params)
        assert facts["width"] == facts["height"] == params.size
        return out

    return run


def frames(clip: Path) -> np.ndarray:
    film = cv2.VideoCapture(str(clip))
    read = []
    while (picture := film.read())[0]:
        read.append(cv2.cvtColor(picture[1], cv2.COLOR_BGR2RGB))
    return np.stack(read).astype(int)


# -- a stand-in


def test_a_face_moves_within_its_photo(stand_in: Path, perform: Callable[..., Path]) -> None:
    made = perform(stand_in, size=256)
    face = Face.load(made / "rig" / "rig.rig")
    seen = frames(made / "clip" / "clip.mp4")
    left, top, width, height = (int(v) for v in face.place)
    outside = np.ones(seen.shape[1:3], bool)
    outside[top : top + height, left : left + width] = False
    # What differs from the photo outside of the square is the encoder's doing alone.
    assert np.abs(seen[:, outside] - face.picture[outside]).mean() < 4
    inside = seen[:, top + height // 4 : top + 3 * height // 4, left + width // 4 : left + 3 * width // 4]
    assert np.abs(inside[10] - inside[0]).mean() > 2
    for end in (0, -1):
        assert np.abs(seen[end] - face.picture).mean() < 4


def test_the_same_seed_gives_the_same_bytes(stand_in: Path, perform: Callable[..., Path]) -> None:
    def clip(**changes: Any) -> bytes:
        return (perform(stand_in, preprocess="crop", still=False, **changes) / "clip" / "clip.mp4").read_bytes()

    one = clip(seed=1)
    assert clip(seed=1) == one and clip(seed=1, batch=4) == one
    assert clip(seed=2) != one and clip(seed=1, pose_style=9) != one
    assert clip(seed=1, expression_scale=3.0) != one


def test_memory_does_not_grow_with_the_clip(
    stand_in: Path, perform: Callable[..., Path], engines: Callable[..., WorkerEngine], face_models: dict[str, Path]
) -> None:
    perform(stand_in, seconds=1.0)
    engine = engines("animate", stand_in, face_models, "full")
    before = engine.memory["resident_peak"]
    perform(stand_in, seconds=40.0)
    # A thousand squares of 256 pixels are 786 MB as the networks give them, and 197 MB as bytes.
    assert engine.memory["resident_peak"] - before < 60 * 2**20


def test_a_worker_that_draws_can_be_stopped(stand_in: Path, perform: Callable[..., Path], tmp_path: Path) -> None:
    asked = iter(range(1000))
    with pytest.raises(Cancelled):
        perform(stand_in, seconds=30.0, cancelled=lambda: next(asked) > 5)
    assert perform(stand_in)


def test_weights_of_something_else_are_never_run(
    stand_in: Path, python: str, face_models: dict[str, Path], tmp_path: Path
) -> None:
    source = stand_in / "checkpoints"
    pickled = tmp_path / "evil.tar"
    script = (
        "import os, sys, torch\n"
        "class Evil:\n"
        "    def __reduce__(self): return os.system, ('touch ' + sys.argv[2],)\n"
        "torch.save({'mapping': Evil()}, sys.argv[1])\n"
    )
    subprocess.run([python, "-c", script, str(pickled), str(tmp_path / "run")], check=True)
    half = tmp_path / "half.safetensors"
    half.write_bytes((source / CHECKPOINTS[256]).read_bytes()[:2000])
    params, spec = SadTalkerParams(device="cpu", size=SIZE), get("animate", "sadtalker")
    Face(
        *(np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((256, 256, 3), np.uint8), np.array([0, 0, 8, 8], np.int32)),
        *(np.zeros(73, np.float32), np.zeros((15, 3), np.float32), np.array(0, np.int32)),
    ).save(tmp_path / "rig")
    good = {"program": stand_in / "src", "networks": source / CHECKPOINTS[256], "mapping": source / MAPPINGS["full"]}
    inputs = {"speech": tone(tmp_path / "speech", 0.2), "rig": tmp_path / "rig"}
    for role, bad in (("mapping", pickled), ("networks", half), ("mapping", source / MAPPINGS["crop"])):
        engine = WorkerEngine(spec, python)
        engine.load({**good, role: bad})
        with pytest.raises(Unavailable, match="does not hold SadTalker's weights") as caught:
            engine.run(Job(inputs=inputs, out=tmp_path, params=params))
        assert "models pull sadtalker" in caught.value.hint
        engine.close()
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_not_there_is_missed(stand_in: Path, python: str, perform: Callable[..., Path]) -> None:
    there = subprocess.run([python, "-c", "import torch; print(torch.cuda.is_available())"], capture_output=True)
    if there.stdout.strip() == b"True":
        assert (perform(stand_in, device="cuda") / "clip" / "clip.mp4").stat().st_size
    else:
        with pytest.raises(Unavailable, match="no GPU"):
            perform(stand_in, device="cuda")


def test_a_film_has_the_speech_as_it_was_spoken(
    stand_in: Path, python: str, bare: Studio, portraits: dict[str, Path]
) -> None:
    (bare.home / "config").mkdir(parents=True)
    (bare.home / "config" / "avatarctl.toml").write_text(
        f'[engines.sadtalker]\npython = "{python}"\nhome = "{stand_in}"\n'
        '[animate]\nengine = "sadtalker"\nsize = 256\ndevice = "cpu"\n'
        '[check]\nmin_sync = "none"\nmax_lag_ms = "none"\nmin_closures = "none"\n'
    )
    bare.ok("enroll", str(portraits["astronaut"]), "--name", "a")
    bare.ok("render", "Привет, мир! Как дела?", "--avatar", "a", "--out", "film.mp4")
    steps = json.loads(bare.ok("runs", "show", "last", "--json").out)["steps"]
    assert {step["engine"] for step in steps if step["stage"] in ("rig", "animate")} == {"sadtalker"}
    figures = next(step["facts"] for step in steps if step["stage"] == "check")
    # The very sound that was spoken, where it belongs; and as long as the picture.
    assert abs(figures["sound_shift_ms"]) < 5 and abs(figures["length_difference"]) <= 0.04
    assert figures["lufs"] > -30 and figures["background_min_db"] > 30
    # What its mouth is to do nobody knows, so nothing is compared with it.
    assert figures["as_intended"] is None
    refused(bare.run("render", "Да.", "--avatar", "a", "--background", str(portraits["hopper"])), 3, "background")


# -- SadTalker itself


@pytest.fixture(scope="module")
def checkout(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the user's checkout with random weights."""
    if not REAL:
        pytest.skip("AVATARCTL_SADTALKER_HOME names no checkout of SadTalker")
    folder = tmp_path_factory.mktemp("sadtalker")
    shutil.copytree(Path(REAL) / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return build(python, "weights", folder)


def test_its_weights_are_laid_out_as_published(checkout: Path) -> None:
    sizes = {(checkout / "checkpoints" / file).stat().st_size for file in CHECKPOINTS.values()}
    assert sizes == {BYTES_AS_PUBLISHED}


def test_its_networks_take_and_give_what_they_should(checkout: Path, perform: Callable[..., Path]) -> None:
    made = perform(checkout, seconds=0.1, size=256)
    face = Face.load(made / "rig" / "rig.rig")
    assert np.isfinite(face.keypoints).all() and np.abs(face.keypoints).max() <= 1
    # The last layers of the network for coefficients begin as zeros; the alignment is our own.
    assert not face.coefficients[:70].any() and face.coefficients[70] > 0.5
    seen = frames(made / "clip" / "clip.mp4")
    left, top, width, height = (int(v) for v in face.place)
    middle = seen[:, top + height // 4 : top + 3 * height // 4, left + width // 4 : left + 3 * width // 4]
    # Noise in the square, the photo around it.
    assert np.abs(middle - face.picture[top + height // 4 : top + 3 * height // 4,
                                        left + width // 4 : left + 3 * width // 4]).mean() > 20  # fmt: skip
    outside = np.ones(seen.shape[1:3], bool)
    outside[max(top, 0) : top + height, max(left, 0) : left + width] = False
    assert np.abs(seen[:, outside] - face.picture[outside]).mean() < 5
    assert arrays.read(made / "clip" / "curves.npz")["values"].shape == (3, 1)
