"""espeak-ng as a stage: sound and timings agree, words as written, pitch, levels, determinism, bad input."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import wave
from itertools import pairwise
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.espeak import events, library, pitch
from avatarctl.engines.espeak.engine import EspeakEngine
from avatarctl.engines.espeak.spec import SPECS, EspeakParams
from avatarctl.errors import BadConfig, BadInput, StepFailed, Unavailable
from avatarctl.media.level import LEVEL, PEAK, gain, scaled
from avatarctl.text.phonemes import is_vowel
from avatarctl.text.sentences import CLOSING_PAUSE, speakable
from avatarctl.text.timings import Timings

RATE = 22050
GREETING = "Здравствуйте! Сегодня мы поговорим о космосе."
TEXTS = [
    GREETING,
    "Папа и мама пьют чай.",
    "В 1961 году Юрий Гагарин полетел со скоростью 28 000 км/ч.",
    "Он купил iPhone 15 за 99 990 руб. в Google Store.",
    "Hello, I am your avatar; it is 9:07 and 25 % done.",
    "Was ist das? Ein schöner Tag und nicht mehr.",
    "Привіт, як справи? Що нового?",
    "你好世界",
]


def speak(out: Path, text: str, report: object = None, **params: object) -> tuple[NDArray[np.int16], Timings]:
    out.mkdir(exist_ok=True)
    source = out / "text"
    source.write_text(text, encoding="utf-8")
    inputs = {"text": source}
    if report is not None:
        inputs["voice_report"] = out / "voice_report"
        inputs["voice_report"].write_text(report if isinstance(report, str) else json.dumps(report), encoding="utf-8")
    EspeakEngine().run(Job(inputs=inputs, out=out, params=EspeakParams(**params)))  # type: ignore[arg-type]
    with wave.open(str(out / "speech.wav"), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples, Timings.read(out / "timings.json")


def loudness(samples: NDArray[np.int16], start: float, end: float) -> float:
    part = samples[max(round(start * RATE), 0) : round(end * RATE)].astype(np.float64) / 32768
    return float(np.sqrt((part**2).mean())) if len(part) else 0.0


def f0_of(samples: NDArray[np.int16]) -> float:
    """Median F0 by plain autocorrelation of 60 ms windows, independent of the engine's own."""
    found = []
    length, first, last = round(0.06 * RATE), RATE // 400, RATE // 60
    for begin in range(0, len(samples) - length, RATE // 50):
        part = samples[begin : begin + length].astype(np.float64)
        if part.std() < 1000:
            continue
        part -= part.mean()
        half = length // 2
        scores = [
            np.dot(part[:half], part[lag : lag + half])
            / np.sqrt(np.dot(part[:half], part[:half]) * np.dot(part[lag : lag + half], part[lag : lag + half]) + 1)
            for lag in range(first, last)
        ]
        best = max(scores)
        if best > 0.7:
            lag = next(i for i, s in enumerate(scores) if s >= 0.93 * best)
            while lag + 1 < len(scores) and scores[lag + 1] > scores[lag]:
                lag += 1
            found.append(RATE / (first + lag))
    return float(np.median(found))


@pytest.mark.parametrize("text", TEXTS, ids=lambda t: t[:16])
def test_timings_are_in_order_and_fit_the_sound(tmp_path: Path, text: str) -> None:
    samples, timings = speak(tmp_path, text)
    assert timings.source == "engine"
    assert timings.duration == pytest.approx(len(samples) / RATE, abs=1e-5)
    last = 0.0
    for phoneme in timings.phonemes:
        assert last - 1e-4 <= phoneme.start < phoneme.end <= timings.duration
        assert phoneme.start - last < 1e-3 or phoneme.start - last >= 0.055
        assert phoneme.ipa
        assert not set(phoneme.ipa) & set("ˈˌ()_ ")
        assert phoneme.ipa[0] not in "ʲː"
        last = phoneme.end
    for spans in (timings.words, timings.sentences):
        moments = [m for s in spans for m in (s.start, s.end)]
        assert moments == sorted(moments)
    assert any(p.stress == 2 for p in timings.phonemes)


@pytest.mark.parametrize("text", TEXTS, ids=lambda t: t[:16])
def test_words_are_those_that_were_written(tmp_path: Path, text: str) -> None:
    _, timings = speak(tmp_path, text)
    assert [w.text for w in timings.words] == [t for t in text.split() if speakable(t)]
    assert " ".join(s.text for s in timings.sentences) == text
    assert timings.sentences[0].start == pytest.approx(timings.phonemes[0].start, abs=2e-4)
    assert timings.sentences[-1].end == pytest.approx(timings.phonemes[-1].end, abs=2e-4)


def test_phonemes_agree_with_the_sound(tmp_path: Path) -> None:
    """Sound sets in with the first phoneme, after the lead and after a pause, and ends with the last one."""
    samples, timings = speak(tmp_path, "Сначала одно слово. Затем другое слово, и ещё много слов.", lead=0.3)
    level = np.array([loudness(samples, t, t + 0.005) for t in np.arange(0, timings.duration, 0.005)])
    loud = level > 0.02 * level.max()
    onsets = [0.005 * i for i in range(12, len(loud)) if loud[i] and not loud[i - 12 : i].any()]
    starts = [timings.phonemes[0].start]
    for before, after in zip(timings.phonemes, timings.phonemes[1:], strict=False):
        if after.start - before.end > 0.1:
            starts.append(after.start)
    assert len(starts) >= 2
    for start in starts:
        assert min(abs(start - onset) for onset in onsets) < 0.02
    assert abs(0.005 * (np.flatnonzero(loud)[-1] + 1) - timings.phonemes[-1].end) < 0.06


@pytest.mark.parametrize(
    ("text", "firsts"),
    [
        ("Он ушёл, а Иван и Оля ели у озера.", "ушёл,:u Иван:ɪ и:ɪ Оля:o ели:j у:u озера.:ʌ"),
        ("An old man in Ohio won one iron again.", "old:o man:m in:ɪ Ohio:o won:w one:w iron:a again.:ɐ"),
    ],
)
def test_a_word_begins_with_its_own_sound(tmp_path: Path, text: str, firsts: str) -> None:
    """Also behind a word that ends in n or l, which espeak-ng draws over to it."""
    _, timings = speak(tmp_path, text)
    for pair in firsts.split():
        word, _, sound = pair.partition(":")
        start = next(w.start for w in timings.words if w.text == word)
        first = next(p for p in timings.phonemes if abs(p.start - start) < 1e-3)
        assert first.ipa[0] == sound, word


def test_vowels_begin_where_they_are_heard(tmp_path: Path) -> None:
    """Behind a nasal, too: there the sound grows brighter before espeak-ng says so, and short vowels had 15 ms left."""
    samples, timings = speak(tmp_path, "Мама мыла раму. Нина и няня, именно мне минуту!", pitch=40)
    brighter = np.diff(samples.astype(np.float64), prepend=0.0)
    levels = np.array([loudness(brighter, t - 0.008, t + 0.008) for t in np.arange(0, timings.duration, 0.002)])
    off = []
    for nasal, vowel in pairwise(timings.phonemes):
        if nasal.ipa in ("m", "n") and is_vowel(vowel.ipa) and vowel.start == nasal.end:
            first, last = round((vowel.start - 0.05) / 0.002), round((vowel.start + 0.03) / 0.002)
            rise = levels[first + 5 : last] - levels[first : last - 5]
            off.append((first + 2.5 + int(rise.argmax())) * 0.002 - vowel.start)
            assert vowel.end - vowel.start >= 0.03
    assert len(off) >= 6 and abs(np.median(off)) < 0.012


@pytest.mark.parametrize("language", ["fo", "kaa"])
def test_a_language_without_its_dictionary_is_not_spoken(tmp_path: Path, language: str) -> None:
    with pytest.raises(BadInput, match="does not speak"):
        speak(tmp_path, "Mama papa", language=language)


def test_vowels_are_louder_than_stops(tmp_path: Path) -> None:
    samples, timings = speak(tmp_path, "Папа поёт, а мама копает картошку под окном.")

    def mean(symbols: str) -> float:
        return float(np.mean([loudness(samples, p.start, p.end) for p in timings.phonemes if p.ipa[0] in symbols]))

    assert mean("aɑoɵe") > 2 * mean("ptk")


def test_russian_sounds_are_named_rightly(tmp_path: Path) -> None:
    _, timings = speak(tmp_path, "Мы мыли тётю, часы и яблоко.")
    ipa = [p.ipa for p in timings.phonemes]
    assert ipa.count("ɨ") >= 3
    assert not {"y", "ø"} & set(ipa)
    assert "tʲ" in ipa
    assert "tʃʲ" in ipa
    assert ipa[ipa.index("j") + 1] in ("a", "ɑ")


def test_digits_belong_to_the_words_as_written(tmp_path: Path) -> None:
    _, timings = speak(tmp_path, "В 1961 году было 25 %.")
    year = next(w for w in timings.words if w.text == "1961")
    assert year.end - year.start > 1.2
    assert [w.text for w in timings.words] == ["В", "1961", "году", "было", "25"]


def test_silence_before_and_after(tmp_path: Path) -> None:
    samples, timings = speak(tmp_path, GREETING, lead=0.25, pause=0.8)
    assert timings.phonemes[0].start == pytest.approx(0.25, abs=0.001)
    assert not samples[: round(0.25 * RATE)].any()
    assert not samples[-round(0.8 * RATE) :].any()
    assert 0.8 <= timings.duration - timings.phonemes[-1].end <= 0.85
    _, timings = speak(tmp_path, GREETING)
    assert CLOSING_PAUSE <= timings.duration - timings.phonemes[-1].end <= CLOSING_PAUSE + 0.05


@pytest.mark.parametrize("variant", ["", "f1", "m3", "f4"])
def test_the_level_is_the_same_for_every_voice(tmp_path: Path, variant: str) -> None:
    samples, timings = speak(tmp_path, GREETING, variant=variant)
    assert np.abs(samples).max() <= PEAK * 32767 + 1
    spoken = np.concatenate([samples[round(p.start * RATE) : round(p.end * RATE)] for p in timings.phonemes])
    rms = float(np.sqrt((spoken.astype(np.float64) ** 2).mean())) / 32768
    assert 0.5 * LEVEL < rms < 1.2 * LEVEL


def test_levelling_leaves_silence_alone() -> None:
    assert gain(np.zeros(1000, np.int16), RATE) == 1.0
    assert gain(np.zeros(0, np.int16), RATE) == 1.0


def test_levelling_keeps_below_the_peak() -> None:
    clicks = np.zeros(RATE, np.int16)
    clicks[::2000] = -32768
    assert np.abs(scaled(clicks, gain(clicks, RATE)).astype(int)).max() == pytest.approx(PEAK * 32767, abs=1.5)


@pytest.mark.parametrize("f0", [90.0, 120.0, 165.0, 210.0])
@pytest.mark.parametrize("text", [GREETING, "Good morning, we are going to a long evening now."])
def test_the_wanted_pitch_is_met(tmp_path: Path, f0: float, text: str) -> None:
    samples, _ = speak(tmp_path, text, f0=f0)
    assert f0_of(samples) == pytest.approx(f0, rel=0.12)


def test_the_enrolled_voice_is_followed_unless_the_setting_says_otherwise(tmp_path: Path) -> None:
    high, timings = speak(tmp_path, GREETING, report={"f0": 200.0})
    assert f0_of(high) == pytest.approx(200, rel=0.12)
    assert timings.extra["voice"] == "ru+f1"
    low, _ = speak(tmp_path, GREETING, report={"f0": 200.0}, f0=100.0)
    assert f0_of(low) == pytest.approx(100, rel=0.12)
    _, unknown = speak(tmp_path, GREETING, report={"f0": None})
    assert unknown.extra == {"voice": "ru", "pitch": 50}


@pytest.mark.parametrize("report", ["not json", "[1]", '{"f0": "high"}'])
def test_a_broken_report_is_a_failed_step(tmp_path: Path, report: str) -> None:
    with pytest.raises(StepFailed, match="report"):
        speak(tmp_path, GREETING, report=report)


def test_rate_and_pitch(tmp_path: Path) -> None:
    normal, _ = speak(tmp_path, GREETING)
    fast, _ = speak(tmp_path, GREETING, rate=1.6)
    high, _ = speak(tmp_path, GREETING, pitch=90)
    assert len(fast) < 0.85 * len(normal)
    assert f0_of(high) > 1.2 * f0_of(normal)


def test_language_is_found_or_given(tmp_path: Path) -> None:
    assert speak(tmp_path, "Привет")[1].language == "ru"
    assert speak(tmp_path, "Hello there")[1].language == "en"
    assert speak(tmp_path, "Bonjour", language="fr")[1].language == "fr"
    with pytest.raises(BadInput, match="does not speak"):
        speak(tmp_path, "Hello", language="xx")


@pytest.mark.parametrize("variant", ["nobody", "../ru", "f1/../m3", "f2", "whisper"])
def test_an_unknown_variant_is_bad_config(tmp_path: Path, variant: str) -> None:
    with pytest.raises(BadConfig, match="variant"):
        speak(tmp_path, GREETING, variant=variant)


@pytest.mark.parametrize("text", ["***", "", "  ...", "🙂"])
def test_nothing_to_speak(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="nothing to speak"):
        speak(tmp_path, text)


@pytest.mark.parametrize(
    "text", ["ʲ", "م", "a", "ъ", "1", "[[test]] <b>да</b>", "й" * 400, "да " * 3000, "\u202eда\u202c"]
)
def test_strange_text_is_spoken_or_refused(tmp_path: Path, text: str) -> None:
    try:
        samples, timings = speak(tmp_path, text)
    except (BadInput, StepFailed):
        return
    assert len(samples) / RATE == pytest.approx(timings.duration, abs=1e-5)
    assert timings.phonemes


def test_the_same_text_gives_the_same_bytes_whatever_was_said_before(tmp_path: Path) -> None:
    first = speak(tmp_path / "a", GREETING)[0].tobytes()
    speak(tmp_path / "b", "Something quite different, and longer.", variant="f4", rate=1.3)
    assert speak(tmp_path / "c", GREETING)[0].tobytes() == first
    assert (tmp_path / "a" / "timings.json").read_bytes() == (tmp_path / "c" / "timings.json").read_bytes()


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    speak(tmp_path / "a", GREETING, f0=140.0)
    script = f"""
from pathlib import Path
from avatarctl.engines.contract import Job
from avatarctl.engines.espeak.engine import EspeakEngine
from avatarctl.engines.espeak.spec import EspeakParams
out = Path({str(tmp_path / "b")!r}); out.mkdir()
text = Path({str(tmp_path / "a" / "text")!r})
EspeakEngine().run(Job(inputs={{"text": text}}, out=out, params=EspeakParams(f0=140.0)))
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    for name in ("speech.wav", "timings.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_threads_take_turns(tmp_path: Path) -> None:
    alone = {text: speak(tmp_path / f"alone{i}", text)[0].tobytes() for i, text in enumerate(TEXTS)}
    together: dict[str, bytes] = {}

    def work(index: int, text: str) -> None:
        together[text] = speak(tmp_path / f"together{index}", text)[0].tobytes()

    threads = [threading.Thread(target=work, args=item) for item in enumerate(TEXTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_it_can_be_stopped_and_used_again(tmp_path: Path) -> None:
    source = tmp_path / "text"
    source.write_text("много разных слов " * 200, encoding="utf-8")
    job = Job(inputs={"text": source}, out=tmp_path, params=EspeakParams(), cancelled=lambda: True)
    with pytest.raises(Cancelled):
        EspeakEngine().run(job)
    assert not (tmp_path / "speech.wav").exists()
    assert speak(tmp_path / "again", GREETING)[1].phonemes


def test_a_missing_library_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "no.so"))
    with pytest.raises(Unavailable, match="cannot be loaded"):
        speak(tmp_path, GREETING)
    monkeypatch.undo()
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(Unavailable, match="cannot start"):
        speak(tmp_path, GREETING)
    monkeypatch.undo()
    assert speak(tmp_path, GREETING)[1].phonemes


def test_a_broken_callback_is_a_failed_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bool:
        raise RuntimeError("no")

    with library.opened() as espeak:
        espeak.choose("ru")
        with pytest.raises(StepFailed):
            espeak.synthesise(GREETING, broken)


def test_silent_speech_is_a_failed_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = library.Spoken(np.zeros(0, np.int16), RATE, [], [])
    monkeypatch.setattr(library.Espeak, "synthesise", lambda *_: nothing)
    with pytest.raises(StepFailed, match="said nothing"):
        speak(tmp_path, GREETING)


def test_events_merge_modifiers_and_joints() -> None:
    rows = [
        (0, "(en)"),
        (0, "t"),
        (100, "ʲ"),
        (200, "ˈja"),
        (1200, ""),
        (1300, "s"),
        (2300, ""),
        (5300, "o"),
        (6300, ""),
    ]
    spoken = library.Spoken(np.zeros(7000, np.int16), 10_000, rows, [])
    found = [(p.ipa, round(p.start, 3), round(p.end, 3), p.stress) for p in events.heard(spoken, "ru")]
    rows = [(0, "o"), (1000, ""), (5000, ""), (5100, "o"), (6000, "")]
    pause = events.heard(library.Spoken(np.zeros(6000, np.int16), 10_000, rows, []), "ru")
    assert [(p.start, p.end) for p in pause] == [(0.0, 0.1), (0.51, 0.6)]
    assert [f[0] for f in found] == ["tʲ", "j", "a", "s", "o"]
    assert found[0][1:3] == (0.0, 0.02)
    assert found[2][2] == 0.13
    assert [f[3] for f in found] == [0, 0, 2, 0, 0]
    assert found[3][2] == 0.23
    assert found[4][1] == 0.53


def test_pitch_of_a_tone_and_of_noise() -> None:
    time = np.arange(RATE) / RATE
    tone = np.sum([np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 8)], axis=0)
    assert pitch.median_f0((8000 * tone).astype(np.int16), RATE) == pytest.approx(130, rel=0.02)
    assert pitch.median_f0(np.zeros(RATE, np.int16), RATE) is None
    assert pitch.median_f0(np.zeros(10, np.int16), RATE) is None


def test_the_spec_is_light_and_found() -> None:
    (spec,) = SPECS
    assert (spec.stage, spec.name, spec.lane) == ("speak", "espeak", "light")
    assert spec.reads == ("voice_report", "dictionary")
    code = "import avatarctl.engines.espeak.spec, avatarctl.engines.align.spec, sys; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_every_usable_variant_sounds_the_same_in_every_process(tmp_path: Path) -> None:
    script = (
        "import sys, hashlib; from avatarctl.engines.espeak import library\n"
        "for name in sorted(n for n, same in library.variants().items() if same):\n"
        "    with library.opened() as espeak:\n"
        "        espeak.choose('ru+' + name)\n"
        "        print(name, hashlib.sha256(espeak.synthesise('Мама мыла раму.').samples.tobytes()).hexdigest())\n"
    )
    command = [sys.executable, "-c", script]
    said = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    assert said[0].stdout == said[1].stdout == said[2].stdout
    assert len(said[0].stdout.splitlines()) > 20
