"""Speech to text: Whisper on a model that the tests write, PocketSphinx on speech that espeak-ng speaks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, Engine, Job
from avatarctl.engines.whisper import windows
from avatarctl.errors import BadConfig, BadInput, Unavailable
from avatarctl.media import wav
from tests import tiny_whisper
from tests.media_support import read_wav

TEXT = "Who was the first woman in space?"
STARTS = (0.1, 0.4, 0.7, 1.0, 1.4, 1.8, 2.2)
END = 2.6
RATE = 16_000

Perform = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that hears `TEXT`."""
    return tiny_whisper.write(tmp_path_factory.mktemp("whisper") / "model", TEXT, STARTS, END)


def speak(text: str, folder: Path, **params: object) -> Path:
    spec = registry.get("speak", "espeak")
    engine = registry.create(spec)
    engine.load({})
    folder.mkdir()
    (folder / "text").write_text(text, encoding="utf-8")
    chosen = spec.params.parse({"language": "en", **params}, "speak")
    engine.run(Job(inputs={"text": folder / "text"}, out=folder, params=chosen))
    return folder / "speech.wav"


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A question in English."""
    return speak("How many people were there?", tmp_path_factory.mktemp("spoken") / "question")


def written(path: Path, samples: NDArray[np.float64]) -> Path:
    wav.write(path, samples.astype(np.float32), RATE)
    return path


def noise(seconds: float) -> NDArray[np.float64]:
    return 0.1 * np.random.default_rng(1).standard_normal(round(seconds * RATE))


def hear(
    engine_name: str,
    models: Mapping[str, Path],
    recording: Path,
    out: Path,
    engine: Engine | None = None,
    params: Mapping[str, object] | None = None,
    **job: Any,
) -> dict[str, Any]:
    """The list of words that an engine makes, with the text under `text`."""
    spec = registry.get("transcribe", engine_name)
    if engine is None:
        engine = registry.create(spec)
        engine.load(models)
    out.mkdir()
    chosen = spec.params.parse(params or {}, "transcribe")
    engine.run(Job(inputs={"audio": recording}, out=out, params=chosen, threads=1, **job))
    words: dict[str, Any] = json.loads((out / "words.json").read_text(encoding="utf-8"))
    return {**words, "text": (out / "text.txt").read_text(encoding="utf-8").strip()}


@pytest.fixture
def by_whisper(whisper: Path, tmp_path: Path) -> Iterator[Perform]:
    numbers = iter(range(100))

    def perform(recording: Path, model: Path = whisper, **options: Any) -> dict[str, Any]:
        options["params"] = {"device": "cpu", **options.get("params", {})}
        return hear("faster-whisper", {"model": model}, recording, tmp_path / f"out{next(numbers)}", **options)

    yield perform


# -- Whisper


def test_whisper_gives_text_language_and_the_times_of_words(by_whisper: Perform, tmp_path: Path) -> None:
    recording = written(tmp_path / "sound.wav", noise(3.0))
    heard = by_whisper(recording, params={"vad": False})
    assert heard["schema"] == "transcript/1"
    assert heard["text"] == TEXT
    assert (heard["language"], heard["language_probability"]) == ("en", 1.0)
    (segment,) = heard["segments"]
    assert [word["text"] for word in segment["words"]] == TEXT.split()
    for word, start in zip(segment["words"], STARTS, strict=True):
        assert abs(word["start"] - start) < 0.16
        assert word["start"] < word["end"] <= 3.0
        assert word["probability"] > 0.99


def test_whisper_makes_the_same_bytes_again(by_whisper: Perform, spoken: Path, tmp_path: Path) -> None:
    by_whisper(spoken)
    by_whisper(spoken, params={"temperature": 0.4}, seed=7)
    texts = {(tmp_path / f"out{i}" / "words.json").read_bytes() for i in range(2)}
    assert len(texts) == 1, "a hotter try is made only where the first made no sense"


def test_what_is_drawn_by_lot_follows_the_seed(by_whisper: Perform, tmp_path: Path) -> None:
    unsure = tiny_whisper.write(tmp_path / "unsure", TEXT, STARTS, END, certainty=0.35)
    recording = written(tmp_path / "sound.wav", noise(3.0))
    engine = registry.create(registry.get("transcribe", "faster-whisper"))
    engine.load({"model": unsure})
    params = {"vad": False, "temperature": 0.9}
    texts = [by_whisper(recording, engine=engine, params=params, seed=seed)["text"] for seed in (1, 2, 1)]
    assert texts[0] == texts[2] != texts[1]


def test_the_language_is_taken_as_given(by_whisper: Perform, spoken: Path) -> None:
    heard = by_whisper(spoken, params={"language": "ru"})
    assert (heard["language"], heard["language_probability"]) == ("ru", 1.0)


def test_a_language_that_there_is_not_is_refused(by_whisper: Perform, spoken: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="'rus'") as caught:
        by_whisper(spoken, params={"language": "rus"})
    assert "'ru'" in caught.value.hint
    english = tiny_whisper.write(tmp_path / "en", TEXT, STARTS, END, english_only=True)
    assert by_whisper(spoken, english)["text"] == TEXT
    with pytest.raises(BadConfig) as caught:
        by_whisper(spoken, english, params={"language": "ru"})
    assert "English only" in caught.value.hint


@pytest.mark.parametrize("samples", [np.zeros(2 * RATE), noise(3.0)], ids=["silence", "noise"])
def test_where_nothing_is_said_nothing_is_invented(
    by_whisper: Perform, tmp_path: Path, samples: NDArray[np.float64]
) -> None:
    recording = written(tmp_path / "nothing.wav", samples)
    with pytest.raises(BadInput, match="nothing was said"):
        by_whisper(recording)
    assert by_whisper(recording, params={"vad": False})["text"] == TEXT, "the voice detection made the difference"


def test_a_long_recording_is_heard_window_by_window(
    by_whisper: Perform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "LONGEST", 6.0)
    monkeypatch.setattr(windows, "SEARCH", 3.0)
    samples = noise(17.0)
    for gap in (4.5, 9.0, 14.0):
        samples[round(gap * RATE) : round((gap + 0.4) * RATE)] = 0
    recording = written(tmp_path / "long.wav", samples)
    begins = [offset for offset, _ in windows.windows(recording)]
    assert np.allclose(begins, [0, 4.7, 9.2, 14.2], atol=0.15)
    whole = np.concatenate([part for _, part in windows.windows(recording)])
    assert np.array_equal(whole, read_wav(recording)[0]), "no sample is lost or heard twice"

    told: list[tuple[float, float, str]] = []
    heard = by_whisper(recording, params={"vad": False}, progress=lambda *said: told.append(said))
    assert heard["text"] == " ".join([TEXT] * 4)
    starts = [segment["start"] for segment in heard["segments"]]
    assert all(abs(start - begin) < 0.5 for start, begin in zip(starts, begins, strict=True))
    times = [word["start"] for segment in heard["segments"] for word in segment["words"]]
    assert times == sorted(times) and times[-1] <= 17.0
    assert told[0] == (0, 17.0, "seconds") and told[-1] == (17.0, 17.0, "seconds")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)

    with pytest.raises(Cancelled):
        by_whisper(recording, params={"vad": False}, cancelled=lambda: len(told) > len(heard["segments"]))


def test_a_model_is_read_once(
    whisper: Path, by_whisper: Perform, spoken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faster_whisper

    read: list[str] = []

    class Counted(faster_whisper.WhisperModel):  # type: ignore[misc]
        def __init__(self, path: str, **options: Any) -> None:
            read.append(options["compute_type"])
            super().__init__(path, **options)

    monkeypatch.setattr(faster_whisper, "WhisperModel", Counted)
    engine = registry.create(registry.get("transcribe", "faster-whisper"))
    engine.load({"model": whisper})
    by_whisper(spoken, engine=engine)
    by_whisper(spoken, engine=engine, params={"beam_size": 2})
    assert read == ["int8"]
    by_whisper(spoken, engine=engine, params={"compute_type": "float32"})
    assert read == ["int8", "float32"]


def test_a_device_that_is_not_there_is_refused(by_whisper: Perform, spoken: Path) -> None:
    with pytest.raises(BadConfig, match="float64") as caught:
        by_whisper(spoken, params={"compute_type": "float64"})
    assert "int8" in caught.value.hint
    import ctranslate2

    if ctranslate2.get_cuda_device_count() == 0:
        with pytest.raises(Unavailable, match="no GPU"):
            by_whisper(spoken, params={"device": "cuda"})


@pytest.mark.parametrize("file", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
@pytest.mark.parametrize("fault", ["missing", "cut"])
def test_a_damaged_model_is_refused_and_never_fetched(
    whisper: Path,
    by_whisper: Perform,
    spoken: Path,
    tmp_path: Path,
    file: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import faster_whisper

    monkeypatch.setattr(faster_whisper.transcribe.tokenizers.Tokenizer, "from_pretrained", None, raising=False)
    model = tmp_path / "damaged"
    shutil.copytree(whisper, model)
    if fault == "missing":
        (model / file).unlink()
    else:
        (model / file).write_bytes((whisper / file).read_bytes()[:100])
    with pytest.raises(Unavailable) as caught:
        by_whisper(spoken, model)
    assert str(model) in caught.value.what
    if fault == "missing":
        assert file in caught.value.why


# -- PocketSphinx


def test_sphinx_hears_english(spoken: Path, tmp_path: Path) -> None:
    engine = registry.create(registry.get("transcribe", "pocketsphinx"))
    engine.load({})
    heard = [hear("pocketsphinx", {}, spoken, tmp_path / name, engine) for name in "ab"]
    assert heard[0] == heard[1], "one step must not change how the next is heard"
    assert heard[0]["text"] == "how many people were there"
    words = heard[0]["segments"][0]["words"]
    assert [word["text"] for word in words] == heard[0]["text"].split()
    duration = wav.info(spoken).duration
    assert all(0 <= a["start"] < a["end"] <= b["start"] + 0.011 for a, b in pairwise(words))
    assert duration / 2 < words[-1]["end"] <= duration


@pytest.mark.parametrize(
    "samples",
    [np.zeros(2 * RATE), noise(3.0), 0.3 * np.sin(0.2 * np.arange(4 * RATE)), noise(0.01)],
    ids=["silence", "noise", "tone", "click"],
)
def test_sphinx_hears_nothing_where_nothing_is_said(tmp_path: Path, samples: NDArray[np.float64]) -> None:
    with pytest.raises(BadInput, match="nothing was said"):
        hear("pocketsphinx", {}, written(tmp_path / "nothing.wav", samples), tmp_path / "out")


def test_sphinx_can_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        hear("pocketsphinx", {}, written(tmp_path / "n.wav", noise(5)), tmp_path / "out", cancelled=lambda: True)


def test_sphinx_takes_no_other_language(spoken: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig):
        hear("pocketsphinx", {}, spoken, tmp_path / "out", params={"language": "ru"})
