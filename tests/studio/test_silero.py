"""Silero's engine for real, in its own environment, on a package of the true interface with small random weights."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from avatarctl.engines import registry
from avatarctl.engines.contract import Job
from avatarctl.engines.silero.spec import PACKAGE, SileroParams
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.errors import BadInput, StepFailed, Unavailable
from avatarctl.models import catalog, fetch, records
from tests.conftest import ROOT
from tests.media_support import read_wav
from tests.tools import Studio, refused

pytestmark = pytest.mark.engine("silero")

SPEC = registry.get("speak", "silero")
MODEL = catalog.model("silero-v5-5-ru")
PLAIN = SileroParams(sample_rate=24_000, lead=0.1, pause=0.2)


def package(python: str, file: Path, *arguments: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [python, "-m", "tests.studio.tiny_silero", str(file), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return file


def pinned(models: Path) -> None:
    """As a user trusts other bytes than those that are published."""
    file = fetch.file_of(models, MODEL)
    records.pin(models, MODEL, fetch.sha256_of(file), file.stat().st_size)


@pytest.fixture(scope="module")
def models(interpreter: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with one, trusted."""
    folder = tmp_path_factory.mktemp("models")
    package(interpreter("silero"), fetch.file_of(folder, MODEL), "v5")
    pinned(folder)
    return folder


@pytest.fixture(scope="module")
def worker(models: Path, interpreter: Callable[[str], str]) -> Iterator[WorkerEngine]:
    engine = WorkerEngine(SPEC, interpreter("silero"))
    engine.load({PACKAGE: fetch.file_of(models, MODEL)})
    yield engine
    engine.close()


def spoken(
    worker: WorkerEngine, folder: Path, text: str, params: SileroParams = PLAIN, seed: int = 0, words: str = ""
) -> bytes:
    folder.mkdir()
    inputs = {"text": folder.parent / f"{folder.name}.txt"}
    inputs["text"].write_text(text, encoding="utf-8")
    if words:
        inputs["dictionary"] = folder.parent / f"{folder.name}.words"
        inputs["dictionary"].write_text(words, encoding="utf-8")
    worker.run(Job(inputs=inputs, out=folder, params=params, seed=seed, threads=1))
    return (folder / "speech.wav").read_bytes()


def test_it_speaks_the_same_for_the_same_seed(worker: WorkerEngine, tmp_path: Path) -> None:
    first = spoken(worker, tmp_path / "a", "Привет, мир! Это 5 книг.")
    assert spoken(worker, tmp_path / "b", "Привет, мир! Это 5 книг.") == first
    assert spoken(worker, tmp_path / "c", "Привет, мир! Это 5 книг.", seed=1) != first
    other = SileroParams(sample_rate=24_000, lead=0.1, pause=0.2, speaker="aidar")
    assert spoken(worker, tmp_path / "d", "Привет, мир! Это 5 книг.", other) != first
    samples, rate = read_wav(tmp_path / "a" / "speech.wav")
    assert rate == 24_000 and not np.any(samples[: int(0.09 * rate)]) and not np.any(samples[-int(0.19 * rate) :])


def test_speed_and_sample_rate(worker: WorkerEngine, tmp_path: Path) -> None:
    seconds = {}
    for rate in (0.5, 1.0, 2.0):
        params = SileroParams(sample_rate=8_000, lead=0, pause=0, rate=rate)
        spoken(worker, tmp_path / str(rate), "Хорошая погода сегодня", params)
        samples, hertz = read_wav(tmp_path / str(rate) / "speech.wav")
        assert hertz == 8_000
        seconds[rate] = len(samples) / hertz
    assert seconds[0.5] == pytest.approx(2 * seconds[1.0], rel=0.01)
    assert seconds[2.0] == pytest.approx(seconds[1.0] / 2, rel=0.01)


def test_a_dictionary_s_stress_reaches_the_voice(worker: WorkerEngine, tmp_path: Path) -> None:
    plain = spoken(worker, tmp_path / "a", "Это замок.")
    assert spoken(worker, tmp_path / "b", "Это замок.", words="замок = з+амок\n") != plain
    marked = spoken(worker, tmp_path / "c", "Это за\u0301мок.")
    assert marked == (tmp_path / "b" / "speech.wav").read_bytes()


def test_what_it_cannot_do_is_said(worker: WorkerEngine, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no speaker 'nobody'"):
        spoken(worker, tmp_path / "a", "Да.", SileroParams(speaker="nobody"))
    with pytest.raises(BadInput, match="does not speak 'en'"):
        spoken(worker, tmp_path / "b", "Yes.", SileroParams(language="en"))
    with pytest.raises(BadInput, match="nothing to speak"):
        spoken(worker, tmp_path / "c", "...")
    with pytest.raises(StepFailed):
        spoken(worker, tmp_path / "d", "中文")
    assert spoken(worker, tmp_path / "e", "Да."), "the worker goes on"


def test_version_4_has_fewer_settings(interpreter: Callable[[str], str], tmp_path: Path) -> None:
    file = package(interpreter("silero"), fetch.file_of(tmp_path, MODEL), "v4")
    pinned(tmp_path)
    worker = WorkerEngine(SPEC, interpreter("silero"))
    try:
        worker.load({PACKAGE: file})
        assert spoken(worker, tmp_path / "a", "Да.", SileroParams(stress=False))
    finally:
        worker.close()


def test_nothing_else_is_ever_opened(models: Path, interpreter: Callable[[str], str], tmp_path: Path) -> None:
    """Neither its pickles nor its code: this package would leave a file, and does as soon as it is trusted."""
    folder, witness = tmp_path / "models", tmp_path / "it-ran"
    file = package(interpreter("silero"), fetch.file_of(folder, MODEL), "v5", str(witness))
    shutil.copy(models / records.PINS, folder)
    worker = WorkerEngine(SPEC, interpreter("silero"))
    try:
        with pytest.raises(Unavailable, match=r"v5_5_ru\.pt is not opened"):
            worker.load({PACKAGE: file})
        assert not witness.exists()
        pinned(folder)
        worker.load({PACKAGE: file})
        assert witness.exists()
        file.write_bytes(b"no package")
        pinned(folder)
        with pytest.raises(Unavailable, match="cannot be opened"):
            worker.load({PACKAGE: file})
    finally:
        worker.close()


def test_a_film(studio: Studio, models: Path, interpreter: Callable[[str], str]) -> None:
    shared = studio.home / "models"
    files = shared.resolve()
    shared.unlink()
    shutil.copytree(files, shared)
    shutil.copytree(models, shared, dirs_exist_ok=True)
    (studio.home / "config" / "avatarctl.toml").write_text(
        f'[animate]\nsize = 128\n[check]\nenabled = false\n[engines.silero]\npython = "{interpreter("silero")}"\n'
        '[speak]\nengine = "silero"\nsample_rate = 24000\n'
    )
    made = studio.ok("render", "Хорошая погода.", "--subtitles")
    assert "Хорошая погода." in (studio.work / made.out.strip()).with_suffix(".srt").read_text(encoding="utf-8")
    steps = studio.ok("runs", "show", "last", "--json").json["steps"]
    assert [s["stage"] for s in steps if s["stage"] in ("speak", "align")] == ["speak", "align"]

    file = fetch.file_of(shared, MODEL)
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused(studio.run("render", "Плохая погода."), 4, "silero-v5-5-ru is damaged", "models pull silero-v5-5-ru")
