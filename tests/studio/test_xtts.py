"""XTTS for real, in its own environment, on a model of the published layout with small random weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.engines.xtts.spec import XttsParams, XttsSpeakerParams
from avatarctl.errors import BadInput, StepFailed, Unavailable
from avatarctl.media import wav
from tests import tiny_whisper
from tests.conftest import ROOT, TEST_MODELS
from tests.tools import Studio

pytestmark = pytest.mark.engine("xtts")

SPEC = registry.get("speak", "xtts")
SHORT = XttsParams(tries=1, lead=0.1)


@pytest.fixture(scope="session")
def model(interpreter: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """config.json, model.pth and vocab.json."""
    folder = tmp_path_factory.mktemp("tiny-xtts")
    in_environment(interpreter("xtts"), "-m", "tests.studio.tiny_xtts", str(folder))
    return folder


def in_environment(python: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([python, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def worker(model: Path, interpreter: Callable[[str], str]) -> Iterator[WorkerEngine]:
    engine = WorkerEngine(SPEC, interpreter("xtts"))
    engine.load({"model": model})
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of something like a voice."""
    t = np.arange(4 * 22_050) / 22_050
    sound = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 9)) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t))
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    wav.write(path, (0.2 * sound).astype(np.float32), 22_050)
    return path


@pytest.fixture(scope="module")
def speaker(worker: WorkerEngine, voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the model keeps of the voice."""
    out = tmp_path_factory.mktemp("speaker")
    worker.run(Job(inputs={"voice": voice}, out=out, params=XttsSpeakerParams(), threads=1))
    return out / "speaker.speaker"


def order(out: Path, speaker: Path, said: str = "Привет!", **changes: object) -> Job:
    out.mkdir()
    text = out.parent / f"{out.name}.txt"
    text.write_text(said, encoding="utf-8")
    fields = {"inputs": {"text": text, "speaker": speaker}, "out": out, "params": SHORT, "seed": 7, "threads": 1}
    return Job(**{**fields, **changes})  # type: ignore[arg-type]


def test_what_is_kept_of_a_voice_is_small_and_the_same_again(
    worker: WorkerEngine, voice: Path, speaker: Path, tmp_path: Path
) -> None:
    assert 1_000 < speaker.stat().st_size < 20_000
    worker.run(Job(inputs={"voice": voice}, out=tmp_path, params=XttsSpeakerParams(), threads=1))
    assert (tmp_path / "speaker.speaker").read_bytes() == speaker.read_bytes()


def test_the_same_seed_speaks_the_same_bytes(worker: WorkerEngine, speaker: Path, tmp_path: Path) -> None:
    told: list[float] = []
    first = order(tmp_path / "a", speaker, progress=lambda done, total, unit: told.append(done / total))
    worker.run(first)
    # Something else between, so that no state of chance is carried over.
    worker.run(order(tmp_path / "b", speaker, "Пока!", seed=8))
    worker.run(order(tmp_path / "c", speaker))
    a, b, c = ((tmp_path / name / "speech.wav").read_bytes() for name in "abc")
    assert a == c != b
    info = wav.info(tmp_path / "a" / "speech.wav")
    assert (info.sample_rate, info.channels) == (24_000, 1)
    assert 0.4 < info.duration < 4
    assert told[-1] == 1 and told == sorted(told)
    report = json.loads((tmp_path / "a" / "report.json").read_text(encoding="utf-8"))
    assert [piece["text"] for piece in report["pieces"]] == ["Привет!"] and report["tries"] == 1


def test_speed_and_pause_are_kept(worker: WorkerEngine, speaker: Path, tmp_path: Path) -> None:
    worker.run(order(tmp_path / "a", speaker, params=replace(SHORT, pause=0.0)))
    worker.run(order(tmp_path / "b", speaker, params=replace(SHORT, pause=0.0, rate=2.0)))
    worker.run(order(tmp_path / "c", speaker, params=replace(SHORT, pause=1.5)))
    usual, fast, paused = (wav.info(tmp_path / name / "speech.wav").duration for name in "abc")
    assert (fast - 0.1) / (usual - 0.1) == pytest.approx(0.5, abs=0.1)
    assert paused - usual == pytest.approx(1.5, abs=1e-3)


def test_a_bad_reading_is_tried_again_with_other_seeds(worker: WorkerEngine, speaker: Path, tmp_path: Path) -> None:
    # Noises of a second are no reading of so long a text.
    text = "Это предложение намного длиннее, чем то, что сеть со случайными весами успевает сказать за это время"
    worker.run(order(tmp_path / "a", speaker, text, params=replace(SHORT, tries=3)))
    (piece,) = json.loads((tmp_path / "a" / "report.json").read_text(encoding="utf-8"))["pieces"]
    assert piece["tries"] == 3


def test_what_cannot_be_spoken_is_refused(worker: WorkerEngine, speaker: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to speak"):
        worker.run(order(tmp_path / "a", speaker, "…"))
    with pytest.raises(BadInput, match="does not speak 'cmn'"):
        worker.run(order(tmp_path / "b", speaker, "你好世界"))
    with pytest.raises(Unavailable, match="no GPU"):
        worker.run(order(tmp_path / "c", speaker, params=replace(SHORT, device="cuda")))


def test_a_step_is_cancelled_between_two_tokens(worker: WorkerEngine, speaker: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    pid = worker.pid
    text = "Первое предложение. Второе предложение. Третье предложение. Четвёртое предложение. Пятое предложение."
    job = order(tmp_path / "a", speaker, text, cancelled=stop.is_set, progress=lambda *_: stop.set())
    with pytest.raises(Cancelled):
        worker.run(job)
    # It went by itself, and is warm for the next step.
    assert worker.pid == pid
    worker.run(order(tmp_path / "b", speaker))


def test_a_worker_that_is_gone_fails_its_step_and_is_replaced(
    worker: WorkerEngine, speaker: Path, tmp_path: Path
) -> None:
    worker.run(order(tmp_path / "a", speaker))
    pid = worker.pid
    assert pid is not None
    killed: list[int] = []

    def kill(*_: object) -> None:
        if not killed:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    with pytest.raises(StepFailed, match="died") as caught:
        worker.run(order(tmp_path / "b", speaker, progress=kill))
    assert "SIGKILL" in caught.value.why
    worker.run(order(tmp_path / "c", speaker))
    assert worker.pid not in (None, pid)
    assert (tmp_path / "c" / "speech.wav").read_bytes() == (tmp_path / "a" / "speech.wav").read_bytes()


def test_a_recogniser_listens(model: Path, interpreter: Callable[[str], str], speaker: Path, tmp_path: Path) -> None:
    # Whatever is said, it hears these words.
    hears = tiny_whisper.write(tmp_path / "whisper", "раз два три", (0.0, 0.3, 0.6), 0.9)
    params = replace(SHORT, recogniser=str(hears), tries=2)
    engine = WorkerEngine(SPEC, interpreter("xtts"))
    engine.load({"model": model, "recogniser": hears})
    try:
        engine.run(order(tmp_path / "a", speaker, "Раз, два, три!", params=params))
        engine.run(order(tmp_path / "b", speaker, "Четыре, пять!", params=params))
    finally:
        engine.close()
    right, wrong = (json.loads((tmp_path / name / "report.json").read_text(encoding="utf-8")) for name in "ab")
    assert (right["tries"], right["character_error_rate"]) == (1, 0.0)
    assert wrong["tries"] == 2 and wrong["character_error_rate"] > 0.5


# -- the model's files


def test_nothing_but_tensors_is_unpickled(
    model: Path, interpreter: Callable[[str], str], speaker: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in ("config.json", "vocab.json"):
        (bad / name).symlink_to(model / name)
    trap = tmp_path / "sprung"
    program = (
        "import sys, torch, pathlib\n"
        "class Trap:\n"
        "    def __reduce__(self):\n"
        f"        return (pathlib.Path.touch, (pathlib.Path({str(trap)!r}),))\n"
        "torch.save({'model': {}, 'config': Trap()}, sys.argv[1])\n"
    )
    in_environment(interpreter("xtts"), "-c", program, str(bad / "model.pth"))
    whole = (model / "model.pth").read_bytes()
    engine = WorkerEngine(SPEC, interpreter("xtts"))
    engine.load({"model": bad})
    try:
        with pytest.raises(Unavailable, match="is no whole XTTS model") as caught:
            engine.run(order(tmp_path / "a", speaker))
        assert "avatarctl models pull xtts-v2" in caught.value.hint
        assert not trap.exists()
        (bad / "model.pth").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(Unavailable, match="is no whole XTTS model"):
            engine.run(order(tmp_path / "b", speaker))
        (bad / "model.pth").unlink()
        with pytest.raises(Unavailable, match="is no whole XTTS model") as caught:
            engine.run(order(tmp_path / "c", speaker))
        assert caught.value.why == "model.pth missing"
    finally:
        engine.close()
    # Reading leaves the file as it is, which the package's own reader does not.
    assert (model / "model.pth").read_bytes() == whole


def test_the_stand_in_agrees_with_other_libraries(interpreter: Callable[[str], str]) -> None:
    program = (
        "import json, numpy as np, torch, soxr\n"
        "from transformers.audio_utils import mel_filter_bank, spectrogram\n"
        "from avatarctl.engines.xtts import standin\n"
        "x = np.random.default_rng(1).standard_normal(22050).astype(np.float32)\n"
        "made = standin.MelSpectrogram(22050, 2048, 1024, 256, 0, 8000, 80, norm='slaney')(torch.tensor(x)[None])[0]\n"
        "bands = mel_filter_bank(1025, 80, 0.0, 8000.0, 22050, norm='slaney', mel_scale='htk')\n"
        "want = spectrogram(x, torch.hann_window(1024).numpy(), 1024, 256, 2048, power=2.0, mel_filters=bands)\n"
        "mel = float(np.abs(made.numpy() - want).max() / want.max())\n"
        "t = np.arange(22050) / 22050\n"
        "y = (np.sin(2 * np.pi * 440 * t) + 0.5 * np.sin(2 * np.pi * 3000 * t)).astype(np.float32)\n"
        "a = standin.resample(torch.tensor(y)[None], 22050, 16000)[0].numpy()\n"
        "b = soxr.resample(y, 22050, 16000, 'VHQ')\n"
        "rate = float(np.abs(a[500:-500] - b[500:len(a) - 500]).max())\n"
        "print(json.dumps([mel, rate, len(a), sorted(standin.MelSpectrogram().state_dict())]))\n"
    )
    mel, rate, length, names = json.loads(in_environment(interpreter("xtts"), "-c", program))
    assert mel < 1e-4 and rate < 2e-2 and length == 16_000
    # As the published weights name them.
    assert names == ["mel_scale.fb", "spectrogram.window"]


# -- the whole way


def test_a_film_in_the_enrolled_voice(
    model: Path, interpreter: Callable[[str], str], voice: Path, portraits: dict[str, Path], tmp_path: Path
) -> None:
    work = tmp_path / "studio" / "work"
    work.mkdir(parents=True)
    studio = Studio(tmp_path / "studio" / "home", work, TEST_MODELS)
    python = {"AVATARCTL_ENGINES_XTTS_PYTHON": interpreter("xtts")}
    small = ["--set", "rig.size=192"]
    studio.ok("enroll", str(portraits["astronaut"]), str(voice), "--name", "she", *small)
    # Noises are no text: their timings come from the sound alone.
    options = ["--set", f"speak.model={model}", "--set", "speak.tries=1", "--set", "align.engine=sound"]
    options += ["--set", "speak.engine=xtts", "--set", "animate.size=192", "--set", "check.enabled=false"]
    made = studio.ok("render", "Да!", "-a", "she", *options, "--json", "-o", "film.mp4", **python).json
    assert (work / "film.mp4").stat().st_size > 5_000
    stages = [step["stage"] for step in studio.ok("runs", "show", made["run"], "--json").json["steps"]]
    assert stages.count("speaker") == stages.count("speak") == stages.count("align") == 1
    # Another sentence: the voice is not listened to again.
    plan = studio.ok("render", "Нет!", "-a", "she", *options, "--json", "--dry-run", **python).json
    verdicts = {step["stage"]: step["verdict"] for step in plan["steps"]}
    assert (verdicts["speaker"], verdicts["speak"]) == ("hit", "run")
