"""The mouth of a speaker: closures, releases, rounding to come, long sounds, loudness, and every language alive."""

from __future__ import annotations

import math
import tracemalloc
import unicodedata
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.contract import Job
from avatarctl.engines.espeak.engine import EspeakEngine
from avatarctl.engines.espeak.spec import EspeakParams
from avatarctl.errors import StepFailed
from avatarctl.media import loudness, wav
from avatarctl.text import articulation
from avatarctl.text.articulation import INDEX, LEAD
from avatarctl.text.loudness import HOP, Loudness
from avatarctl.text.phonemes import segments
from avatarctl.text.timings import Phoneme, Timings
from avatarctl.text.visemes import CLASSES, POSE, class_of, parts, viseme

SAID = {
    "ru": "Сегодня мама сшила шубу, а папа купил молоко.",
    "en": "I know how to make a boat, and my apple tree grows by the cool river.",
    "de": "Heute Morgen möchte ich Bücher über Pflanzen kaufen.",
    "fr": "Bonjour, je voudrais un bon pain et une bouteille de vin blanc pour ma mère.",
    "es": "Buenos días, me gustaría comprar un billete para mi amigo.",
    "tr": "Günaydın, bugün hava çok güzel ve büyük bir bahçede yürümek istiyorum.",
    "kk": "Сәлеметсіз бе, бүгін ауа райы өте жақсы, мен кітап оқып отырмын.",
    "uk": "Добрий день, сьогодні мама купила свіжі яблука.",
    "cmn": "今天天气很好，我和妈妈去公园散步，吃苹果。",
    "ar": "مرحبا، اليوم الجو جميل وأريد أن أذهب إلى البيت مع أمي.",
    "hi": "नमस्ते, आज मौसम बहुत अच्छा है और मैं बाज़ार जा रहा हूँ।",
    "ja": "こんにちは、ぼくはまいあさパンをたべます。",
    "fi": "Hyvää huomenta, minä haluan ostaa tuoretta leipää ja maitoa äidille pöydälle.",
    "pl": "Dzień dobry, chciałbym kupić świeży chleb i mleko dla mojej mamy.",
    "it": "Buongiorno, mamma, vorrei un po' di pane e una bottiglia di vino.",
    "el": "Καλημέρα, η μαμά μου θέλει να πάμε στην παραλία.",
}


def said(sounds: str, *, each: float = 0.09, lead: float = 0.3, tail: float = 0.4) -> Timings:
    """Sounds of equal length; `_` for a pause of 0.5 s; `'` stresses what follows; `a:0.2` takes 0.2 s."""
    time, found = lead, []
    for word in sounds.split():
        if word == "_":
            time += 0.5
            continue
        symbol, _, length = word.partition(":")
        lasts = float(length or each)
        found.append(Phoneme(time, time + lasts, symbol.lstrip("'"), 2 if symbol.startswith("'") else 0))
        time += lasts
    return Timings("xx", time + tail, "engine", tuple(found))


def curve(timings: Timings, name: str, fps: int = 100, **options: object) -> NDArray[np.float64]:
    values: NDArray[np.float64] = articulation.poses(timings, fps, **options)[:, INDEX[name]]  # type: ignore[arg-type]
    return values


def at(values: NDArray[np.float64], moment: float, fps: int = 100) -> float:
    return float(values[math.floor((moment - LEAD) * fps + 0.5)])


def middle(timings: Timings, number: int) -> float:
    phoneme = timings.phonemes[number]
    return (phoneme.start + phoneme.end) / 2


# -- closures and releases


@pytest.mark.parametrize("fps", [25, 30, 50])
@pytest.mark.parametrize("each", [0.02, 0.035, 0.06, 0.12])
@pytest.mark.parametrize("lead", [0.3, 0.311, 0.327])
def test_lips_are_shut_on_the_nearest_frame_however_fast_the_speech(fps: int, each: float, lead: float) -> None:
    timings = said("'a p 'a b 'o m 'i bʲ 'e m 'u p a", each=each, lead=lead)
    opening = curve(timings, "open", fps)
    for number, phoneme in enumerate(timings.phonemes):
        if phoneme.ipa[0] in "pbm":
            assert at(opening, middle(timings, number), fps) == 0


@pytest.mark.parametrize("fps", [25, 30, 50])
def test_lips_part_at_once_when_a_stop_is_released(fps: int) -> None:
    timings = said("'a p:0.08 'a:0.15 b:0.08 'a:0.15 t", each=0.1)
    opening = curve(timings, "open", fps)
    shut = np.flatnonzero(opening[2:-2] == 0) + 2
    for last in (f for f in shut if f + 1 not in shut and f > 0.3 * fps):
        if last / fps < timings.phonemes[4].start:
            assert opening[last + 1 : last + 3].max() >= 0.04


@pytest.mark.parametrize("fps", [25, 30, 50])
@pytest.mark.parametrize("each", [0.05, 0.07, 0.12])
def test_the_jaw_comes_up_under_lips_that_are_shut(fps: int, each: float) -> None:
    timings = said("k 'a p 'a m 'a b 'a p a m 'o p 'a t 'a", each=each)
    made = articulation.poses(timings, fps)
    shut = (made[:, INDEX["open"]] == 0) & (made[:, INDEX["press"]] >= 0.5)
    jaw = made[:, INDEX["jaw"]]
    assert shut.sum() >= 6
    assert jaw[shut].max() <= 0.05 + 1e-9
    # It swings to get there, and is still down in the vowels between.
    assert jaw.max() > 0.09
    assert np.abs(np.diff(jaw)).max() * fps < 3.5


def test_a_release_springs_open_and_a_nasal_does_not() -> None:
    burst, none = (viseme(ipa).burst for ipa in ("p", "m"))
    assert burst > viseme("t").burst > viseme("k").burst > none == 0
    assert viseme("pʰ").burst > burst
    assert viseme("tʃ").burst == 0
    stop, nasal = (curve(said(f"t 'i:0.2 {c}:0.05 'i:0.2 t"), "open") for c in "tn")
    assert stop.max() > nasal.max() + 0.005


def test_lips_stay_shut_through_neighbours_that_shut_them() -> None:
    timings = said("'a p:0.07 m:0.07 'a")
    opening = curve(timings, "open")
    first, last = (math.floor((middle(timings, n) - LEAD) * 100 + 0.5) for n in (1, 2))
    assert not opening[first : last + 1].any()


@pytest.mark.parametrize(("sound", "double"), [("pː:0.2", "p:0.1 p:0.1"), ("bː:0.2", "b:0.1 b:0.1")])
def test_long_closures_are_held(sound: str, double: str) -> None:
    long, twice, short = (curve(said(f"'a {s} 'a"), "open") for s in (sound, double, "p:0.06"))
    shut = [int((c[25:-25] == 0).sum()) for c in (long, twice, short)]
    assert min(shut[:2]) >= 11
    assert shut[2] <= 4


@pytest.mark.parametrize("fps", [25, 50])
@pytest.mark.parametrize("sound", ["t", "dʲ", "n", "l", "ð"])
@pytest.mark.parametrize("vowel", ["a", "i", "u"])
def test_the_tongue_reaches_the_teeth_however_short_the_sound(fps: int, sound: str, vowel: str) -> None:
    timings = said(f"'{vowel}:0.12 {sound}:0.045 '{vowel}:0.12 {sound}:0.045 '{vowel}:0.12")
    tongue, opening = (curve(timings, name, fps) for name in ("tongue", "open"))
    for number in (1, 3):
        assert at(tongue, middle(timings, number), fps) > 0.5
        # Lips that are apart as little as for a sibilant would hide it.
        assert at(opening, middle(timings, number), fps) > 0.08
    assert at(tongue, middle(timings, 2), fps) < 0.3  # and lies again in the vowel between


def test_a_sibilant_closes_the_teeth_and_not_the_lips() -> None:
    timings = said("'a:0.12 s:0.08 'a:0.12 z:0.08 'a:0.12")
    jaw, opening = curve(timings, "jaw"), curve(timings, "open")
    for number in (1, 3):
        assert at(jaw, middle(timings, number)) < 0.075
        assert at(opening, middle(timings, number)) > 0.08


def test_long_consonants_keep_their_pose() -> None:
    long, twice = (curve(said(f"'a:0.15 {s} 'a:0.15"), "open") for s in ("s:0.2", "s:0.1 s:0.1"))
    assert np.allclose(long, twice)
    timings = said("'a:0.15 s:0.2 'a:0.15")
    held = [at(long, middle(timings, 1) + offset) for offset in (-0.05, 0.0, 0.05)]
    assert max(held) < 0.45 * long.max()


# -- what is to come


def test_lips_round_before_the_vowel_through_consonants_that_leave_them_free() -> None:
    plain, rounded = said("'a:0.12 s:0.08 t:0.08 'a:0.15"), said("'a:0.12 s:0.08 t:0.08 'u:0.15")
    early = rounded.phonemes[3].start - 0.12
    assert at(curve(rounded, "round"), early) > 0.35
    assert at(curve(plain, "round"), early) < 0.05
    assert at(curve(rounded, "round"), rounded.phonemes[0].start) < 0.1
    assert at(curve(rounded, "wide"), early) < at(curve(plain, "wide"), early)


def test_sounds_that_need_spread_lips_are_not_rounded_as_early() -> None:
    free, spread = (said(f"'a:0.12 {c} 'u:0.15", each=0.12) for c in ("t", "tʲ"))
    moment = middle(free, 1)
    assert at(curve(spread, "round"), moment) < 0.75 * at(curve(free, "round"), moment)


# -- vowels


def test_a_compound_diphthong_glides_through_both_vowels() -> None:
    timings = said("t 'aɪ:0.24 t")
    opening, wide = curve(timings, "open"), curve(timings, "wide")
    start = timings.phonemes[1].start
    assert at(opening, start + 0.07) > 1.5 * at(opening, start + 0.2)
    assert at(wide, start + 0.2) > at(wide, start + 0.05) + 0.01
    rounds = curve(said("t 'oʊ:0.24 t"), "round")
    assert at(rounds, start + 0.18) > at(rounds, start + 0.06) > 0.4
    assert len(parts("eɪ")) == 2
    assert sum(share for _, share in parts("aʊə")) == pytest.approx(1)


def test_reduced_vowels_open_less_than_full_ones() -> None:
    opened = {ipa: viseme(ipa, 1).pose[POSE.index("open")] for ipa in "aəɐɪʌ"}
    assert opened["a"] > 1.3 * opened["ɐ"] > opened["ə"] > opened["ɪ"]
    assert viseme("ə").vertical < viseme("a").vertical


def test_diacritics_count() -> None:
    opening, rounding = POSE.index("open"), POSE.index("round")
    assert viseme("ɔ̃", 1).pose[opening] > viseme("ɔ", 1).pose[opening]
    assert viseme("i̥", 1).pose[opening] < viseme("i", 1).pose[opening]
    assert viseme("ɯᵝ").pose[rounding] > viseme("ɯ").pose[rounding]
    assert viseme("l̩").pose[opening] >= 0.11
    assert viseme("n̩").pose[opening] > viseme("n").pose[opening]
    assert viseme("m̩").closes and viseme("m̩").pose[opening] == 0
    assert viseme("kʷ").pose[rounding] > 0.3 > viseme("k").pose[rounding]
    assert viseme("aː").long and not viseme("a").long


# -- loudness


def loud(levels: dict[int, float], timings: Timings) -> Loudness:
    """0 dB, but for some phonemes."""
    level = np.zeros(round(timings.duration / HOP) + 1, np.float32)
    for number, decibels in levels.items():
        phoneme = timings.phonemes[number]
        level[round(phoneme.start / HOP) : round(phoneme.end / HOP)] = decibels
    return Loudness(level, -60.0)


def test_loud_vowels_open_more_and_quiet_ones_less_within_bounds() -> None:
    timings = said("t 'a t 'a t 'a t 'a t 'a t", each=0.14)
    plain = curve(timings, "open")
    heard = curve(timings, "open", loudness=loud({3: 20.0, 7: -30.0}, timings))
    same, louder, quieter = (at(heard, middle(timings, n)) / at(plain, middle(timings, n)) for n in (5, 3, 7))
    assert same == pytest.approx(1, abs=0.02)
    assert 1.04 < louder <= articulation.MOST / 1.12 + 0.01
    assert articulation.LEAST / 1.12 - 0.01 <= quieter < 0.85


def test_a_breath_that_is_heard_parts_the_lips_and_a_silent_pause_does_not() -> None:
    timings = said("'a p 'a _ _ 'a p 'a", tail=0.6)
    pause = (timings.phonemes[2].end, timings.phonemes[3].start)
    level = np.full(round(timings.duration / HOP) + 1, -60, np.float32)
    for phoneme in timings.phonemes:
        level[round(phoneme.start / HOP) : round(phoneme.end / HOP)] = 0
    silent = curve(timings, "open", loudness=Loudness(level.copy(), -60.0))
    level[round((pause[0] + 0.3) / HOP) : round((pause[0] + 0.7) / HOP)] = -28
    heard = Loudness(level, -60.0)
    assert heard.breath(*pause) == pytest.approx((pause[0] + 0.3, pause[0] + 0.7), abs=0.02)
    breathing = curve(timings, "open", loudness=heard)
    moment = pause[0] + 0.5
    assert at(silent, moment) < 0.005
    assert 0.03 < at(breathing, moment) < 0.1
    assert at(breathing, pause[0] + 0.22) < 0.02


def recording(path: Path, parts: list[tuple[float, float]], rate: int = 22050) -> Path:
    """Noise: (seconds, amplitude) after another."""
    random = np.random.default_rng(0)
    pieces = [random.normal(0, a, round(s * rate)) if a else np.zeros(round(s * rate)) for s, a in parts]
    wav.write(path, np.concatenate(pieces).astype(np.float32), rate)
    return path


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_loudness_is_measured_beside_the_speech_around(tmp_path: Path, rate: int) -> None:
    parts = [(0.5, 0.0), (1.0, 0.1), (0.5, 0.2), (1.0, 0.1), (0.6, 0.003), (1.0, 0.1), (0.5, 0.0)]
    found = loudness.measure(recording(tmp_path / "a.wav", parts, rate))
    assert found is not None
    assert abs(len(found.level) * HOP - 5.1) < 0.03
    middles = np.array([1.0, 1.75, 2.5, 3.3, 0.25])
    level = found.over(middles - 0.1, middles + 0.1)
    assert level[:4] == pytest.approx([0, 6, 0, -30.5], abs=1.2)
    assert level[4] == found.floor == -60
    assert found.breath(3.0, 3.6) == pytest.approx((3.05, 3.55), abs=0.06)


def test_a_voice_that_comes_nearer_is_no_shout(tmp_path: Path) -> None:
    found = loudness.measure(recording(tmp_path / "a.wav", [(60.0, 0.02), (60.0, 0.2)]))
    assert found is not None
    assert np.abs(found.level[:4000]).max() < 3
    assert np.abs(found.level[8500:]).max() < 3


def test_silence_has_no_loudness(tmp_path: Path) -> None:
    assert loudness.measure(recording(tmp_path / "a.wav", [(1.0, 0.0)])) is None
    wav.write_pcm(tmp_path / "b.wav", np.zeros(0, np.int16), 22050)
    assert loudness.measure(tmp_path / "b.wav") is None
    (tmp_path / "c.wav").write_bytes(b"RIFF")
    with pytest.raises(StepFailed):
        loudness.measure(tmp_path / "c.wav")


def test_loudness_of_a_long_recording_takes_little_memory(tmp_path: Path) -> None:
    """10 minutes: 26 MB of samples."""
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22050)
        noise = (np.random.default_rng(0).normal(0, 2000, 22050 * 10)).astype("<i2").tobytes()
        for _ in range(60):
            file.writeframes(noise)
    tracemalloc.start()
    try:
        found = loudness.measure(tmp_path / "long.wav")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None and len(found.level) == 60_000
    assert peak < 20e6


# -- languages


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Timings, Loudness]]:
    found = {}
    for language, text in SAID.items():
        folder = tmp_path_factory.mktemp(language)
        (folder / "text").write_text(text, encoding="utf-8")
        engine = EspeakEngine()
        engine.load({})
        engine.run(Job(inputs={"text": folder / "text"}, out=folder, params=EspeakParams(language=language)))
        heard = loudness.measure(folder / "speech.wav")
        assert heard is not None
        found[language] = (Timings.read(folder / "timings.json"), heard)
    return found


@pytest.mark.parametrize("language", sorted(SAID))
def test_every_language_is_alive(voices: dict[str, tuple[Timings, Loudness]], language: str) -> None:
    timings, heard = voices[language]
    values = articulation.poses(timings, 25, 1.0, heard)
    spoken = values[round(timings.phonemes[0].start * 25) : round(timings.phonemes[-1].end * 25)]
    opening, rounding = spoken[:, INDEX["open"]], spoken[:, INDEX["round"]]
    assert np.isfinite(values).all()
    assert opening.std() > 0.035
    assert 0.17 < opening.max() <= 0.27 * articulation.MOST
    assert rounding.std() > 0.12 and rounding.max() <= 1
    shut = [p for p in timings.phonemes if p.ipa[0] in "pbm"]
    assert shut
    for phoneme in shut:
        assert values[math.floor(((phoneme.start + phoneme.end) / 2 - LEAD) * 25 + 0.5), INDEX["open"]] == 0
    # Of a symbol that nobody knows only a weak consonant is left: there must be none.
    for phoneme in timings.phonemes:
        assert unicodedata.category(phoneme.ipa[0]).startswith("L"), phoneme
        made = viseme(phoneme.ipa)
        velar = phoneme.ipa[0] in "kɡgxɣŋɰɠqɢɴχʛɧ"
        assert velar or made.pose != CLASSES["velar"].pose, phoneme


@pytest.mark.parametrize(("written", "meant"), [("fεst", "mid front"), ("sɯN", "velar"), ("Apə", "open")])
def test_symbols_that_espeak_miswrites_are_known(written: str, meant: str) -> None:
    """Of Danish, Kyrgyz and Irish; the Greek letter of a Danish e was taken for a velar consonant."""
    assert meant in [class_of(sound.ipa) for sound in segments(written)]
