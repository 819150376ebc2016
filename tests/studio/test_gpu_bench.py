"""What `make bench` measures on a GPU, tried in the small on a CPU; and where there is a GPU, what a worker leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarctl import models
from avatarctl.engines import registry
from avatarctl.engines.realesrgan.spec import FACE_DETECTOR, WEIGHTS, TorchParams
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.machine import hardware
from avatarctl.machine.hardware import Gpu
from tests.bench import gpu
from tests.conftest import TEST_MODELS
from tests.studio.test_realesrgan_torch import job, photo

SMALL = gpu.Size("cpu", published=False, sentences=1, pictures=8, side=32, frames=3)
__all__ = ["photo"]


@pytest.mark.parametrize(
    ("engine", "measure"),
    [pytest.param(engine, measure, marks=pytest.mark.engine(engine), id=engine) for _, engine, measure in gpu.ENGINES],
)
def test_both_ways_are_measured(
    engine: str,
    measure: Callable[[str, Path, gpu.Size, Path], gpu.Measured],
    interpreter: Callable[[str], str],
    tmp_path: Path,
) -> None:
    found = measure(interpreter(engine), tmp_path, SMALL, TEST_MODELS)
    assert found.ours > 0 and found.upstream > 0
    # torch alone is larger than this.
    assert found.peak_mb > 100 and found.freed is not None
    rows = gpu.told("x", found)
    assert len(rows) == 3 and found.unit in rows[0][0]


def test_a_machine_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "gpu", lambda: None)
    assert [row[1] for row in gpu.rows(TEST_MODELS)] == ["no GPU here"]


def test_an_engine_without_an_environment_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "gpu", lambda: Gpu("a card", 12_288))
    monkeypatch.setattr(gpu, "MADE", tmp_path)
    rows = gpu.rows(TEST_MODELS)
    assert [row[1] for row in rows] == [
        f"{engine} has no environment: make test-studio" for _, engine, _ in gpu.ENGINES
    ]


@pytest.mark.engine("realesrgan-torch")
@pytest.mark.parametrize("end", ["closed", "killed at work"])
def test_when_a_worker_ends_its_gpu_memory_is_free(
    end: str, interpreter: Callable[[str], str], photo: Path, tmp_path: Path
) -> None:
    python = interpreter("realesrgan-torch")
    asked = subprocess.run([python, "-c", "import torch; print(torch.cuda.is_available())"], capture_output=True)
    if asked.stdout.strip() != b"True" or hardware.gpu_free_mb() is None:
        pytest.skip("no GPU here: whether a worker leaves memory on it was not tried")
    gpu.in_environment(python, str(Path(__file__).with_name("tiny_realesrgan.py")), str(tmp_path), "published")
    gauge = gpu.Gauge("cuda")
    worker = WorkerEngine(registry.get("upscale", "realesrgan-torch"), python)
    try:
        files = {FACE_DETECTOR: models.path(TEST_MODELS, FACE_DETECTOR), WEIGHTS: tmp_path / "x4plus.pth"}
        worker.load(files)
        order = job(photo, tmp_path / "out")
        worker.run(type(order)(inputs=order.inputs, out=order.out, params=TorchParams(scale=2, device="cuda")))
        assert worker.memory["peak"] > 30 * 2**20 and gauge.taken() > 100
        if end == "killed at work":
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            while worker.pid is not None:
                time.sleep(0.01)
    finally:
        worker.close()
    assert gauge.seconds_until_free() is not None
