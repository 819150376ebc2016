"""The heavy engines on a GPU, on random weights of the published sizes: how fast against the same network driven the
upstream way, how much of the GPU's memory, and how soon it is free when the worker ends.

A machine without a GPU has one row that says so. `Size` makes everything small, which tries all of this on a CPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil

from avatarctl import models
from avatarctl.engines import registry
from avatarctl.engines.contract import Job
from avatarctl.engines.realesrgan.spec import FACE_DETECTOR, WEIGHTS, TorchParams
from avatarctl.engines.sadtalker.face import Face
from avatarctl.engines.sadtalker.spec import CHECKPOINTS, MAPPING, MAPPINGS, NETWORKS, PROGRAM, SadTalkerParams
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.engines.xtts.spec import XttsParams, XttsSpeakerParams
from avatarctl.machine import hardware
from avatarctl.media import video, wav
from avatarctl.runtime import environments

ROOT = Path(__file__).resolve().parent.parent.parent
MADE = Path(os.environ.get("AVATARCTL_TEST_ENGINES", ROOT / ".venv" / "studio" / "environments"))
"""Where `make test-studio` has made the engines' environments."""
BUDGET_MB = 12_000
PATIENCE = 30.0
"""Seconds in which memory has to be free again."""
LEFT_MB = 64
"""What may be missing of it: others use the GPU too."""
TEXT = "Мастер починил часы, положил инструменты в ящик и вышел на площадь, где играла музыка."
Row = tuple[str, str, str]


@dataclass(frozen=True)
class Size:
    """How much is done. `published`: networks as large as those that were published."""

    device: str = "cuda"
    published: bool = True
    sentences: int = 2
    pictures: int = 100
    resolution: int = 256
    side: int = 256
    frames: int = 50


@dataclass(frozen=True)
class Measured:
    """Of one engine. `amount` of `unit` in `seconds`, ours and the upstream way's; memory in MB.

    freed  seconds from the worker's end until its memory was free; None where it was not after `PATIENCE`
    """

    unit: str
    ours: float
    upstream: float
    peak_mb: float
    upstream_mb: float
    freed: float | None


class Gauge:
    """Memory that was taken since it was made, MB: of the GPU as its driver counts it, contexts and all; or, to try
    this on a CPU, of the processes that this one has started."""

    def __init__(self, device: str) -> None:
        self._on_gpu = device == "cuda"
        self._before = self._now()
        self.peak = 0.0

    def _now(self) -> float:
        if self._on_gpu:
            free = hardware.gpu_free_mb()
            if free is None:
                raise RuntimeError("NVIDIA's library (libnvidia-ml) does not tell what memory is free")
            return -float(free)
        held = 0
        for child in psutil.Process().children(recursive=True):
            try:
                held += child.memory_info().rss
            except psutil.Error:
                continue  # it ended between two questions
        return held / 2**20

    def taken(self) -> float:
        """Now."""
        return self._now() - self._before

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Notes the most that is taken meanwhile."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                self.peak = max(self.peak, self.taken())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def seconds_until_free(self) -> float | None:
        """From now; None if it takes longer than `PATIENCE`."""
        begun = time.perf_counter()
        while self.taken() > LEFT_MB:
            if time.perf_counter() - begun > PATIENCE:
                return None
            time.sleep(0.01)
        return time.perf_counter() - begun


def rows(weights: Path) -> list[Row]:
    """What, measured, target. `weights`: the folder of models, of which the upscaler's face detector is taken."""
    card = hardware.gpu()
    if card is None:
        return [("XTTS, SadTalker and Real-ESRGAN on a GPU", "no GPU here", "-")]
    found: list[Row] = []
    for title, engine, measure in ENGINES:
        made = environments.read(MADE, engine)
        if made is None or made.build != "cuda":
            why = "has no environment" if made is None else "has a torch for the CPU"
            found.append((f"{title} on {card.name}", f"{engine} {why}: make test-studio", "-"))
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                one = measure(str(made.interpreter), Path(folder), Size(), weights)
            except LookupError as absent:
                found.append((f"{title} on {card.name}", f"not measured: {absent}", "-"))
            else:
                found += told(f"{title} on {card.name}, random weights", one)
    return found


def told(title: str, one: Measured) -> list[Row]:
    """The rows of an engine."""
    freed = f"not after {PATIENCE:.0f} s" if one.freed is None else f"{one.freed:.1f} s"
    return [
        (
            f"{title}: {one.unit}",
            f"{one.ours:.2f}; driven the upstream way {one.upstream:.2f}",
            "as the upstream way",
        ),
        (
            f"{title}: GPU memory at its peak",
            f"{one.peak_mb:.0f} MB; torch in the upstream way {one.upstream_mb:.0f} MB",
            f"<= {BUDGET_MB} MB",
        ),
        (f"{title}: memory free after the worker's end", freed, "all of it"),
    ]


def in_environment(python: str, *arguments: str) -> str:
    """Standard output of a Python of an engine's environment. Raises `RuntimeError` with its last words."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run([python, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.stdout


def upstream(python: str, *arguments: str) -> dict[str, float]:
    """See `upstream.py`."""
    said = in_environment(python, str(Path(__file__).with_name("upstream.py")), *arguments)
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def performed(engine: WorkerEngine, files: Mapping[str, Path], jobs: list[Job], size: Size) -> tuple[float, Gauge]:
    """Load, perform every job once to warm up and once against the clock, end. Seconds, and the gauge."""
    gauge = Gauge(size.device)
    try:
        with gauge.watching():
            engine.load(files)
            for job in jobs:
                engine.run(job)
            begun = time.perf_counter()
            for job in jobs:
                engine.run(job)
            seconds = time.perf_counter() - begun
    finally:
        engine.close()
    return seconds, gauge


def xtts(python: str, folder: Path, size: Size, weights: Path) -> Measured:
    """Sentences that the network speaks until it has said all that it can."""
    model, voice = folder / "model", folder / "voice.wav"
    in_environment(python, "-m", "tests.studio.tiny_xtts", str(model), *(["published"] if size.published else []))
    hum = np.sin(2 * np.pi * 140 * np.arange(6 * 22_050) / 22_050)
    wav.write(voice, (0.3 * hum).astype(np.float32), 22_050)
    listened = folder / "listened"
    listened.mkdir()
    first = WorkerEngine(registry.get("speaker", "xtts"), python)
    first.load({"model": model})
    first.run(Job(inputs={"voice": voice}, out=listened, params=XttsSpeakerParams(device=size.device)))
    first.close()
    jobs = []
    for number in range(size.sentences):
        text, out = folder / f"{number}.txt", folder / str(number)
        text.write_text(TEXT, encoding="utf-8")
        out.mkdir()
        inputs = {"text": text, "speaker": listened / "speaker.speaker"}
        jobs.append(Job(inputs=inputs, out=out, params=XttsParams(tries=1, device=size.device), seed=number))
    seconds, gauge = performed(WorkerEngine(registry.get("speak", "xtts"), python), {"model": model}, jobs, size)
    freed = gauge.seconds_until_free()
    reports = [json.loads((job.out / "report.json").read_text(encoding="utf-8")) for job in jobs]
    said = [(piece["text"], report["language"], piece["seed"]) for report in reports for piece in report["pieces"]]
    # The same pieces with the same seeds are the same tokens; ours are told without the silence around them.
    plain = upstream(python, "xtts", str(model), str(voice), json.dumps(said), size.device)
    speed = plain["amount"] / seconds
    return Measured("seconds of speech a second", speed, _speed(plain), gauge.peak, plain["peak_mb"], freed)


def sadtalker(python: str, folder: Path, size: Size, weights: Path) -> Measured:
    """A clip of a face that was never seen; ours with its hearing, pasting and encoding, theirs without."""
    home, tiny = folder / "sadtalker", str(ROOT / "tests" / "studio" / "tiny_sadtalker.py")
    if size.published:
        real = os.environ.get("AVATARCTL_SADTALKER_HOME", "")
        if not real:
            raise LookupError("AVATARCTL_SADTALKER_HOME names no checkout of SadTalker")
        home.mkdir()
        (home / "src").symlink_to(Path(real).absolute() / "src")
        in_environment(python, tiny, "weights", str(home))
    else:
        in_environment(python, tiny, "stand-in", str(home))
    random = np.random.default_rng(1)
    side = size.resolution
    Face(
        picture=random.integers(0, 256, (512, 512, 3), np.uint8),
        crop=random.integers(0, 256, (side, side, 3), np.uint8),
        place=np.array([128, 128, 256, 256], np.int32),
        coefficients=np.append(np.zeros(70), [0.5, 112, 112]).astype(np.float32),
        keypoints=random.uniform(-0.5, 0.5, (15, 3)).astype(np.float32),
        whole=np.array(0, np.int32),
    ).save(folder / "rig")
    wave = 0.3 * np.sin(2 * np.pi * 200 * np.arange(size.pictures * 640) / 16_000)
    wav.write(folder / "speech", wave.astype(np.float32), 16_000)
    out = folder / "out"
    out.mkdir()
    params = SadTalkerParams(size=512, resolution=side, device=size.device)
    job = Job(inputs={"speech": folder / "speech", "rig": folder / "rig"}, out=out, params=params)
    checkpoints = home / "checkpoints"
    files = {PROGRAM: home / "src", NETWORKS: checkpoints / CHECKPOINTS[side], MAPPING: checkpoints / MAPPINGS["full"]}
    seconds, gauge = performed(WorkerEngine(registry.get("animate", "sadtalker"), python), files, [job], size)
    freed = gauge.seconds_until_free()
    plain = upstream(python, "sadtalker", str(home / "src"), str(side), str(size.pictures), size.device)
    speed = size.pictures / seconds
    return Measured(f"pictures of {side} a second", speed, _speed(plain), gauge.peak, plain["peak_mb"], freed)


def realesrgan(python: str, folder: Path, size: Size, weights: Path) -> Measured:
    """A film in which everything moves, four times larger, to a film in both ways."""
    script = str(ROOT / "tests" / "studio" / "tiny_realesrgan.py")
    in_environment(python, script, str(folder), *(["published"] if size.published else []))
    film, out = folder / "film.mp4", folder / "out"
    out.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (size.side // 8, size.side // 8, 3), np.uint8)
    picture = cv2.resize(noise, (size.side, size.side), interpolation=cv2.INTER_CUBIC)
    with video.Encoder(film, size.side, size.side, 25) as encoder:
        for number in range(size.frames):
            moved = np.ascontiguousarray(np.roll(picture, 3 * number, axis=1))
            encoder.write(np.asarray(cv2.cvtColor(moved, cv2.COLOR_RGB2YUV_I420), np.uint8))
    # Without what our own way adds: faces that are looked for, and places that are not drawn anew.
    params = TorchParams(scale=4, device=size.device, smallest_face=0, still=0.0)
    job = Job(inputs={"media": film}, out=out, params=params)
    files = {FACE_DETECTOR: models.path(weights, FACE_DETECTOR), WEIGHTS: folder / "x4plus.pth"}
    seconds, gauge = performed(WorkerEngine(registry.get("upscale", "realesrgan-torch"), python), files, [job], size)
    freed = gauge.seconds_until_free()
    plain = upstream(python, "realesrgan", str(folder / "x4plus.pth"), str(film), size.device)
    unit = f"pictures of {size.side} to {4 * size.side} a second"
    return Measured(unit, plain["amount"] / seconds, _speed(plain), gauge.peak, plain["peak_mb"], freed)


def _speed(plain: Mapping[str, float]) -> float:
    return plain["amount"] / plain["seconds"]


ENGINES: tuple[tuple[str, str, Callable[[str, Path, Size, Path], Measured]], ...] = (
    ("XTTS-v2", "xtts", xtts),
    ("SadTalker", "sadtalker", sadtalker),
    ("Real-ESRGAN x4plus", "realesrgan-torch", realesrgan),
)
"""Title, the engine that has an environment, how it is measured."""
