"""Piper's voices on a small network of the same form: phonemes, times, chance by seed, files that are no voices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.espeak import library
from avatarctl.engines.piper import onnxfile, reading
from avatarctl.engines.piper.engine import PiperEngine
from avatarctl.engines.piper.spec import CONFIG, VOICE, PiperParams
from avatarctl.engines.piper.voice import Settings, Voice
from avatarctl.errors import BadInput, Unavailable
from avatarctl.models import catalog
from avatarctl.text.timings import Timings
from tests import tiny_piper
from tests.media_support import read_wav
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged

SPEC = registry.get("speak", "piper")
TEXT = "Привет, мир! Это 5 книг."


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_piper.write(tmp_path_factory.mktemp("voice"))


def loaded(voice: Path) -> PiperEngine:
    engine = PiperEngine()
    engine.load({VOICE: voice, CONFIG: Path(f"{voice}.json")})
    return engine


def spoken(engine: PiperEngine, folder: Path, text: str = TEXT, *, seed: int = 0, **params: object) -> bytes:
    """The WAV; `timings.json` lies beside it in `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "text").write_text(text, encoding="utf-8")
    inputs = {"text": folder / "text"}
    if "words" in params:
        (folder / "words").write_text(str(params.pop("words")), encoding="utf-8")
        inputs["dictionary"] = folder / "words"
    engine.run(Job(inputs=inputs, out=folder, params=PiperParams(**params), seed=seed, threads=1))  # type: ignore[arg-type]
    return (folder / "speech.wav").read_bytes()


def times(folder: Path) -> Timings:
    return Timings.read(folder / "timings.json")


def said(folder: Path) -> str:
    return "".join("ˈ" * (p.stress == 2) + p.ipa for p in times(folder).phonemes)


# -- the file


def test_noise_becomes_an_input_and_lengths_an_output() -> None:
    changed = onnxfile.changed(tiny_piper.network())
    assert len(changed.noise) == 2 and changed.lengths == "w_ceil"
    assert onnxfile.changed(tiny_piper.network(lengths=False)).lengths == ""
    # A network that draws nothing any more is left as it is.
    assert onnxfile.changed(changed.model).noise == ()


@pytest.mark.parametrize(
    "data", [b"", b"no model", bytes(400), tiny_piper.broken(), tiny_piper.network()[:900], b"\xff" * 64]
)
def test_what_is_no_network_is_refused(data: bytes, tmp_path: Path, voice: Path) -> None:
    file = tmp_path / "voice.onnx"
    file.write_bytes(data)
    with pytest.raises(Unavailable, match=r"voice\.onnx is no voice"):
        Voice(file, Settings.read(Path(f"{voice}.json")), 1)


def test_chance_that_cannot_be_kept_in_hand_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as error:
        Voice(tiny_piper.write(tmp_path, chance="RandomUniformLike"), Settings.read(tmp_path / "voice.onnx.json"), 1)
    assert "RandomUniformLike" in error.value.why


@pytest.mark.parametrize(
    "changes",
    [
        {"audio": {}},
        {"audio": {"sample_rate": 1}},
        {"phoneme_id_map": []},
        {"phoneme_id_map": {"a": [1]}},
        {"phoneme_type": "pinyin"},
        {"espeak": None},
        {"inference": {"noise_scale": "much"}},
    ],
)
def test_settings_that_are_none_are_refused(changes: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "voice.onnx.json"
    file.write_text(json.dumps({**tiny_piper.settings(), **changes}), encoding="utf-8")
    with pytest.raises(Unavailable):
        Settings.read(file)
    file.write_bytes(b"\xff\xfe{")
    with pytest.raises(Unavailable):
        Settings.read(file)


# -- speech


def test_the_same_seed_gives_the_same_bytes_whatever_was_said_before(voice: Path, tmp_path: Path) -> None:
    engine = loaded(voice)
    first = spoken(engine, tmp_path / "a")
    other = spoken(engine, tmp_path / "b", seed=1)
    assert spoken(engine, tmp_path / "c") == first != other
    assert spoken(loaded(voice), tmp_path / "d") == first, "another process would not differ"
    assert (tmp_path / "a" / "timings.json").read_bytes() == (tmp_path / "c" / "timings.json").read_bytes()


def test_times_are_those_of_the_sound(voice: Path, tmp_path: Path) -> None:
    spoken(loaded(voice), tmp_path, lead=0.2, pause=0.5)
    samples, rate = read_wav(tmp_path / "speech.wav")
    found = times(tmp_path)
    assert (rate, found.source, found.language) == (tiny_piper.RATE, "engine", "ru")
    assert found.duration == pytest.approx(len(samples) / rate, abs=1e-4)
    assert [word.text for word in found.words] == ["Привет,", "мир!", "Это", "5", "книг."]
    assert [sentence.text for sentence in found.sentences] == ["Привет, мир!", "Это 5 книг."]
    assert said(tmp_path).startswith("prʲivʲˈet")
    assert all(a.end <= b.start + 1e-4 for a, b in zip(found.phonemes, found.phonemes[1:], strict=False))
    assert not np.any(samples[: int(0.16 * rate)]) and not np.any(samples[-int(0.45 * rate) :])
    loud = np.abs(samples) > 0.02
    assert loud.argmax() / rate == pytest.approx(found.phonemes[0].start, abs=0.05)
    assert (len(loud) - loud[::-1].argmax()) / rate == pytest.approx(found.phonemes[-1].end, abs=0.05)


def test_rate_and_speaker_and_noise_are_heard(tmp_path: Path) -> None:
    engine = loaded(tiny_piper.write(tmp_path / "voice", speakers=3))
    plain = spoken(engine, tmp_path / "plain", rhythm=0)
    for name, rate in (("slow", 0.5), ("usual", 1.0)):
        spoken(engine, tmp_path / name, "Привет, мир!", rhythm=0, rate=rate)
    slow, usual = (times(tmp_path / name).phonemes for name in ("slow", "usual"))
    assert slow[-1].end - slow[0].start == pytest.approx(2 * (usual[-1].end - usual[0].start), rel=0.05)
    assert spoken(engine, tmp_path / "first", rhythm=0, speaker="p0") == plain
    assert spoken(engine, tmp_path / "second", rhythm=0, speaker="p1") != plain
    assert spoken(engine, tmp_path / "number", rhythm=0, speaker="1") == (tmp_path / "second/speech.wav").read_bytes()
    clean = spoken(engine, tmp_path / "clean", rhythm=0, noise=0)
    assert clean == spoken(engine, tmp_path / "again", rhythm=0, noise=0, seed=7) != plain
    for wrong in ("p3", "3", "-1", "nobody"):
        with pytest.raises(BadInput, match="no speaker"):
            spoken(engine, tmp_path / "wrong", speaker=wrong)


def test_a_dictionary_and_stress_marks_are_followed(voice: Path, tmp_path: Path) -> None:
    engine = loaded(voice)
    spoken(engine, tmp_path / "plain", "Это замок, большая Ollama.")
    spoken(engine, tmp_path / "told", "Это замок, большая Ollama.", words="замок = з+амок\nOllama = оллама\n")
    assert "zamˈok" in said(tmp_path / "plain") and "zˈɑmʌk" in said(tmp_path / "told")
    assert [word.text for word in times(tmp_path / "told").words] == ["Это", "замок,", "большая", "Ollama."]


def test_a_voice_without_lengths_is_aligned(tmp_path: Path) -> None:
    spoken(loaded(tiny_piper.write(tmp_path / "voice", lengths=False)), tmp_path / "out", "Привет, мир.", rhythm=0)
    found = times(tmp_path / "out")
    assert found.source == "aligned" and [word.text for word in found.words] == ["Привет,", "мир."]


def test_a_voice_of_letters_needs_no_phonemes(tmp_path: Path) -> None:
    spoken(loaded(tiny_piper.write(tmp_path / "voice", language="en", kind="text")), tmp_path / "out", "hello world")
    assert [word.text for word in times(tmp_path / "out").words] == ["hello", "world"]


@pytest.mark.parametrize(
    ("text", "params"), [("...", {}), ("Hello.", {"language": "en"}), ("Привет.", {"speaker": "2"})]
)
def test_what_cannot_be_spoken_is_refused(text: str, params: dict[str, str], voice: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        spoken(loaded(voice), tmp_path / "out", text, **params)
    assert not (tmp_path / "out" / "speech.wav").exists()


def test_it_stops_when_it_is_asked_to(voice: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    job = Job(inputs={"text": tmp_path / "text"}, out=tmp_path, params=PiperParams(), cancelled=lambda: True)
    with pytest.raises(Cancelled):
        loaded(voice).run(job)


def test_english_in_an_english_voice(tmp_path: Path) -> None:
    spoken(loaded(tiny_piper.write(tmp_path / "voice", language="en")), tmp_path / "out", "Is it 5 o'clock? I am.")
    assert said(tmp_path / "out").startswith("ɪzɪtfˈaɪv")
    assert [word.text for word in times(tmp_path / "out").words] == ["Is", "it", "5", "o'clock?", "I", "am."]


def test_clauses_end_as_they_are_written(voice: Path) -> None:
    settings = Settings.read(Path(f"{voice}.json"))
    with library.opened() as espeak:
        espeak.choose("ru")
        made = reading.sentences("Да — нет; «да»?! Конец…", settings, espeak)
    assert ["".join(sentence.symbols) for sentence in made] == ["dˈɑ, nʲˈet; dˈɑ?", "kʌnʲˈets."]
    assert [[position for _, position, _ in sentence.words] for sentence in made] == [[0, 5, 10], [17]]


# -- the whole


def test_the_catalog_has_its_voices() -> None:
    assert SPEC.requirements(PiperParams()).weights == {VOICE: "piper-irina"}
    for name in ("irina", "dmitri", "denis", "ljspeech"):
        network, settings = catalog.resolve(f"piper-{name}")
        assert settings.file == f"{network.file}.json" and network.licence.url.endswith("/MODEL_CARD")


def test_a_film_in_a_voice_by_path(studio: Studio) -> None:
    voice = tiny_piper.write(studio.work / "голоса")
    chosen = ("--set", "speak.engine=piper", "--set", f"speak.voice={voice}")
    made = studio.ok("render", "Привет.", "--subtitles", *chosen)
    assert "Привет." in (studio.work / made.out.strip()).with_suffix(".srt").read_text(encoding="utf-8")
    again = studio.ok("render", "Привет.", "--dry-run", "--json", *chosen).json
    assert {s["verdict"] for s in again["steps"] if s["stage"] == "speak"} == {"hit"}
    tiny_piper.write(studio.work / "голоса", speakers=2)
    changed = studio.ok("render", "Привет.", "--dry-run", "--json", *chosen).json
    assert {s["verdict"] for s in changed["steps"] if s["stage"] == "speak"} == {"run"}, "its bytes are in the key"
    refused(studio.run("render", "Привет.", "--set", "speak.engine=piper"), 4, "piper-irina", "models pull")
    refused(studio.run("render", "Привет.", *chosen, "--set", "speak.voice=./none.onnx"), 4, "none.onnx")
