"""Known text in recordings: times against the truth, pauses, windows, wrong texts, and films made of it."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatarctl import presets
from avatarctl.engines.align import windows
from avatarctl.engines.align.warping import MOST_RESTS, MOST_STEPS, Sides, warp
from avatarctl.engines.contract import Cancelled
from avatarctl.errors import BadConfig, BadInput
from avatarctl.media import ffmpeg
from avatarctl.text import sentences
from avatarctl.text.timings import Phoneme, Timings
from tests.bench.alignment import CASES, TEXTS, Case, align, errors, save, speak
from tests.media_support import read_pcm
from tests.test_films import curves
from tests.tools import Studio, refused

MEDIAN, MOST = 0.025, 0.080
"""Seconds that half of the boundaries, and 95 % of them, may be off."""


PLAIN, PAUSED = Case("ru", "f1"), Case("en", "m4", pauses=0.3)
NOISY = Case("en", "m2", rate=1.3, resample=0.87, noise=20.0, pauses=0.2)


def recorded(folder: Path, case: Case) -> Path:
    samples, rate, _ = speak(case, TEXTS[case.language])
    return save(folder / "in.wav", samples, rate)


Aligned = Callable[[Case], tuple[Path, Timings]]


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Aligned:
    """The recording of a case and what is found in it; `timings.json` lies beside the recording. Not to be changed."""
    known: dict[Case, tuple[Path, Timings]] = {}

    def found(case: Case) -> tuple[Path, Timings]:
        if case not in known:
            folder = tmp_path_factory.mktemp("aligned")
            wav = recorded(folder, case)
            known[case] = wav, align(wav, TEXTS[case.language], folder)
        return known[case]

    return found


@pytest.mark.parametrize("case", CASES[1:-1:2], ids=str)
def test_boundaries_are_where_they_are(aligned: Aligned, case: Case) -> None:
    _, found = aligned(case)
    off = errors(found, speak(case, TEXTS[case.language])[2])
    assert np.median(off) <= MEDIAN
    assert np.mean(off <= MOST) >= 0.95
    assert min(found.extra["confidence"]) > 0.5


@pytest.mark.parametrize("language", TEXTS)
def test_words_and_sentences_are_those_of_the_text(aligned: Aligned, language: str) -> None:
    _, found = aligned(Case(language, "m4", pauses=0.3))
    assert (found.source, found.language) == ("aligned", language)
    assert [s.text for s in found.sentences] == [s.text for s in sentences.split(TEXTS[language])]
    assert " ".join(w.text for w in found.words) == TEXTS[language]
    assert len(found.extra["confidence"]) == len(found.sentences)
    last = 0.0
    for span in found.words:
        assert last <= span.start + 1e-3 and span.start < span.end <= found.duration
        last = span.end
    for before, after in zip(found.sentences, found.sentences[1:], strict=False):
        assert after.start - before.end > 0.2, "the pause between them"


def test_lips_rest_in_pauses(tmp_path: Path) -> None:
    """No phoneme spans a pause that was cut into the middle of a sentence, nor the silence at the ends."""
    samples, rate, _ = speak(Case("en", "f1"), TEXTS["en"])
    found = align(save(tmp_path / "in.wav", samples, rate), TEXTS["en"], tmp_path / "a")
    word = next(w for w in found.words if w.text == "steppe,")
    cut = round(word.end * rate)
    longer = np.concatenate([np.zeros(2 * rate), samples[:cut], np.zeros(3 * rate), samples[cut:], np.zeros(2 * rate)])
    again = align(save(tmp_path / "in.wav", longer, rate), TEXTS["en"], tmp_path / "b")
    assert all(p.end - p.start < 0.5 for p in again.phonemes)
    assert not [p for p in again.phonemes if p.start < word.end + 4.9 and p.end > word.end + 2.1]
    assert abs(again.phonemes[0].start - found.phonemes[0].start - 2) < 0.02
    assert abs(again.phonemes[-1].end - found.phonemes[-1].end - 5) < 0.02


def _hum(seconds: float, rate: int) -> NDArray[np.float64]:
    """A plucked chord every 0.4 s."""
    time = np.arange(round(seconds * rate)) / rate
    since = time % 0.4
    chord = sum(np.sin(2 * np.pi * f * h * time) / h for f in (220, 277, 330) for h in (1, 2, 3, 4))
    return np.asarray(chord * np.exp(-3 * since))


@pytest.mark.parametrize("heard", ["noise", "music", "noise before it"])
def test_pauses_that_something_fills_are_pauses(tmp_path: Path, heard: str) -> None:
    samples, rate, truth = speak(PLAIN, TEXTS["ru"])
    before = 20.0 if heard == "noise before it" else 0.0
    samples = np.concatenate([np.zeros(round(before * rate)), samples])
    made = np.random.default_rng(3).normal(size=len(samples))
    if heard == "music":
        made = _hum(len(samples) / rate, rate)[: len(samples)]
    speech = np.mean(samples[np.abs(samples) > 0.01] ** 2)
    samples = samples + made * np.sqrt(0.1 * speech / np.mean(made**2))
    found = align(save(tmp_path / "in.wav", 0.7 * samples / np.abs(samples).max(), rate), TEXTS["ru"], tmp_path / "out")
    late = [Phoneme(p.start + before, p.end + before, p.ipa, p.stress) for p in truth]
    off = errors(found, late)
    assert np.median(off) <= MEDIAN
    assert np.mean(off <= MOST) >= 0.98
    pauses = [(a.end + b.start) / 2 for a, b in itertools.pairwise(late) if b.start - a.end > 0.2]
    assert len(pauses) >= 3
    assert not [m for m in pauses if any(p.start < m < p.end for p in found.phonemes)]


def test_windows_leave_little_trace(aligned: Aligned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wav, whole = aligned(Case("ru", "m4", pauses=0.3))
    monkeypatch.setattr(windows, "WINDOW", 6.0)
    monkeypatch.setattr(windows, "OVERLAP", 2.0)
    parts = align(wav, TEXTS["ru"], tmp_path / "b")
    off = np.abs([a.start - b.start for a, b in zip(whole.phonemes, parts.phonemes, strict=True)])
    assert np.median(off) < 0.002
    assert off.max() < 0.1


def test_equal_inputs_give_equal_bytes(aligned: Aligned, tmp_path: Path) -> None:
    wav, _ = aligned(NOISY)
    align(wav, TEXTS["en"], tmp_path)
    assert (tmp_path / "timings.json").read_bytes() == (wav.parent / "timings.json").read_bytes()


def test_the_recording_is_kept_and_silence_added(tmp_path: Path) -> None:
    samples, rate, _ = speak(Case("en"), "Hello there, my friend.")
    body = samples[np.flatnonzero(np.abs(samples) > 0.02)[0] : np.flatnonzero(np.abs(samples) > 0.02)[-1]]
    source = save(tmp_path / "in.wav", body, rate)
    found = align(source, "Hello there, my friend.", tmp_path / "out", lead=0.3, pause=0.5)
    made, given_ = read_pcm(tmp_path / "out" / "speech.wav"), read_pcm(source)
    first = int(np.flatnonzero(made)[0]) - int(np.flatnonzero(given_)[0])
    assert np.array_equal(made[first : first + len(given_)], given_)
    assert len(made) / rate == pytest.approx(found.duration)
    assert found.phonemes[0].start == pytest.approx(0.3, abs=0.001)
    assert found.duration - found.phonemes[-1].end == pytest.approx(0.5, abs=0.02)


# -- texts that do not fit


def test_another_text_has_no_confidence(aligned: Aligned, tmp_path: Path) -> None:
    wav, right = aligned(PLAIN)
    other = (
        "Сегодня на улице идёт сильный дождь, поэтому мы остались дома. Бабушка испекла пирог! "
        "Дети смотрели старый фильм про собаку и долго смеялись. Завтра будет ясно, и мы пойдём гулять?"
    )
    wrong = align(wav, other, tmp_path)
    assert min(right.extra["confidence"]) > 0.8
    assert max(wrong.extra["confidence"]) < 0.4


def test_a_voice_unlike_the_references_is_not_doubted(aligned: Aligned, tmp_path: Path) -> None:
    """How far two voices differ tells nothing of what they say."""
    wav, right = aligned(Case("ru", "UniRobot"))
    assert not right.doubtful
    said = [s.text for s in sentences.split(TEXTS["ru"])]
    text = " ".join([said[0], "Кошка спала на печке и видела сны!", *said[2:]])
    assert [s.text for s in align(wav, text, tmp_path).doubtful] == ["Кошка спала на печке и видела сны!"]


def test_a_sentence_that_was_not_said_has_no_confidence(tmp_path: Path) -> None:
    wav = recorded(tmp_path, Case("en", "linda"))
    said = [s.text for s in sentences.split(TEXTS["en"])]
    text = " ".join([*said[:2], "Grandmother baked an apple pie.", *said[2:]])
    confidence = align(wav, text, tmp_path / "out").extra["confidence"]
    assert confidence[2] == min(confidence) < 0.3
    assert min(confidence[0], *confidence[3:]) > 0.8


def test_a_text_of_another_length_is_refused(tmp_path: Path) -> None:
    wav = recorded(tmp_path, Case("en"))
    with pytest.raises(BadInput, match="not what the recording says"):
        align(wav, TEXTS["en"] * 8, tmp_path / "out")
    with pytest.raises(BadInput, match="not what the recording says"):
        align(wav, "No.", tmp_path / "out")


@pytest.mark.parametrize("text", ["", " \n", "?!"])
def test_a_text_without_words_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput):
        align(recorded(tmp_path, Case("en")), text, tmp_path / "out")


@pytest.mark.parametrize("seconds", [0.0, 0.004, 0.02, 3.0])
def test_silence_is_refused(tmp_path: Path, seconds: float) -> None:
    source = save(tmp_path / "in.wav", np.zeros(round(seconds * 16000)), 16000)
    with pytest.raises(BadInput, match="nothing can be heard"):
        align(source, "Hello.", tmp_path / "out")


def test_noise_instead_of_speech_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).normal(scale=0.1, size=16000 * 2)
    with pytest.raises(BadInput, match="not what the recording says"):
        align(save(tmp_path / "in.wav", noise, 16000), "This is not what is heard here.", tmp_path / "out")


def _recited(parts: list[str], case: Case) -> tuple[NDArray[np.float64], int, list[list[Phoneme]]]:
    """Sentences one after another, and the true times of the phonemes of each."""
    chunks, truth, now = list[NDArray[np.float64]](), list[list[Phoneme]](), 0.0
    for part in parts:
        samples, rate, own = speak(case, part)
        truth.append([Phoneme(p.start + now, p.end + now, p.ipa, p.stress) for p in own])
        chunks.append(samples)
        now += len(samples) / rate
    return np.concatenate(chunks), rate, truth


SAID = [s.text for s in sentences.split(TEXTS["ru"])]
ELSE = "Дети смотрели старый фильм про собаку и долго смеялись."


@pytest.mark.parametrize("place", [0, 2, 4])
def test_what_the_text_lacks_is_left_to_the_sound(tmp_path: Path, place: int) -> None:
    """It takes nothing from the sentences beside it, and the lips move there all the same."""
    parts = [*SAID[:place], ELSE, *SAID[place:]]
    samples, rate, truth = _recited(parts, Case("ru", "m3"))
    found = align(save(tmp_path / "in.wav", samples, rate), TEXTS["ru"], tmp_path / "out")
    assert min(found.extra["confidence"]) > 0.9
    own = [p for index, part in enumerate(truth) if index != place for p in part]
    [(start, end)] = found.extra["by_sound"]
    assert abs(start - truth[place][0].start) < 0.3 and abs(end - truth[place][-1].end) < 0.3
    told = [p for p in found.phonemes if not found.is_guessed(p)]
    off = errors(Timings("ru", found.duration, "aligned", tuple(told)), own)
    assert np.median(off) <= MEDIAN and np.mean(off <= MOST) >= 0.95
    heard = [p for p in found.phonemes if found.is_guessed(p)]
    assert len(heard) >= 0.5 * len(truth[place])
    assert sum(p.end - p.start for p in heard) > 0.6 * (end - start)


def test_a_sentence_that_is_left_out_takes_no_time(tmp_path: Path) -> None:
    samples, rate, truth = _recited(SAID, Case("ru", "f4"))
    text = " ".join([*SAID[:2], ELSE, *SAID[2:]])
    found = align(save(tmp_path / "in.wav", samples, rate), text, tmp_path / "out")
    confidence = found.extra["confidence"]
    assert confidence[2] == 0 and min(*confidence[:2], *confidence[3:]) > 0.9
    assert found.sentences[2].text == ELSE and found.sentences[2].start == found.sentences[2].end
    assert not [w for w in found.words if w.text == "фильм"]
    off = errors(found, [p for part in truth for p in part])
    assert np.median(off) <= MEDIAN and np.mean(off <= MOST) >= 0.95


def test_a_sentence_in_other_words_is_left_to_the_sound(aligned: Aligned, tmp_path: Path) -> None:
    wav, right = aligned(PLAIN)
    found = align(wav, " ".join([SAID[0], "Кошка спала на печке!", *SAID[2:]]), tmp_path)
    assert [s.text for s in found.doubtful] == ["Кошка спала на печке!"]
    second = right.sentences[1]
    inside = [p for p in found.phonemes if second.start < (p.start + p.end) / 2 < second.end]
    assert len(inside) >= 8 and all(found.is_guessed(p) for p in inside)
    sure = align(wav, TEXTS["ru"], tmp_path, sure=True)
    assert sure.phonemes == right.phonemes and sure.extra["by_sound"] == []


@pytest.mark.parametrize("before", [True, False])
def test_silence_that_a_program_added_is_no_measure_of_noise(tmp_path: Path, before: bool) -> None:
    samples, rate, truth = speak(PLAIN, TEXTS["ru"])
    speech = np.mean(samples[np.abs(samples) > 0.01] ** 2)
    samples = samples + np.random.default_rng(3).normal(scale=np.sqrt(0.01 * speech), size=len(samples))
    added = np.zeros(3 * rate)
    shift = 3.0 if before else 0.0
    samples = np.concatenate([added, samples] if before else [samples, added])
    found = align(save(tmp_path / "in.wav", 0.7 * samples / np.abs(samples).max(), rate), TEXTS["ru"], tmp_path / "out")
    off = errors(found, [Phoneme(p.start + shift, p.end + shift, p.ipa, p.stress) for p in truth])
    assert np.median(off) <= MEDIAN
    assert np.mean(off <= MOST) >= 0.98


def test_it_can_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        align(recorded(tmp_path, Case("en")), TEXTS["en"], tmp_path / "out", cancelled=lambda: True)


# -- the warping itself


def sides(recording: NDArray[np.float32], reference: NDArray[np.float32], silent: NDArray[np.bool_]) -> Sides:
    rows = len(recording)
    none = np.zeros(rows, np.bool_)
    borders = np.zeros(0, np.int64)
    return Sides(recording, reference, silent, none, none, np.linspace(0, len(reference) - 1, rows), borders)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 60), st.floats(0.4, 2.5), st.integers(5, 80))
def test_paths_keep_to_their_limits(seed: int, rows: int, pace: float, half_width: int) -> None:
    random = np.random.default_rng(seed)
    count = max(round(rows * pace), 4)
    silent = random.random(count) < 0.1
    given_ = sides(
        random.normal(size=(rows, 6)).astype(np.float32), random.normal(size=(count, 6)).astype(np.float32), silent
    )
    path = warp(given_, half_width, to_the_end=True)
    if path is None:
        return
    steps = np.diff(path.states)
    assert path.states[0] < MOST_STEPS - 1 and path.states[-1] > count - MOST_STEPS
    assert steps.min(initial=0) >= 0 and steps.max(initial=0) <= MOST_STEPS
    longest = np.bincount(path.states, minlength=count)
    assert (longest[~silent] <= MOST_RESTS + 1).all()


def test_a_path_too_steep_is_none() -> None:
    random = np.random.default_rng(0)
    reference = random.normal(size=(200, 6)).astype(np.float32)
    assert warp(sides(reference[::4], reference, np.zeros(200, np.bool_)), 200, to_the_end=True) is None


def test_a_path_finds_itself() -> None:
    reference = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
    none = np.zeros(90, np.bool_)
    same = warp(sides(reference, reference, none), 20, to_the_end=True)
    slow = warp(sides(np.repeat(reference, 2, axis=0), reference, none), 20, to_the_end=True)
    assert same is not None and slow is not None
    assert np.array_equal(same.states, np.arange(90))
    assert np.array_equal(slow.states, np.repeat(np.arange(90), 2))


# -- through settings and the command line


def test_the_engine_follows_from_what_is_known() -> None:
    chosen = presets.resolve("lite", ["align.language=ru", "align.lead=0.4"])
    assert chosen.choice("align", {"audio", "text"}).spec.needs == ("text",)
    assert chosen.choice("align", {"audio", "text"}).params.as_dict()["language"] == "ru"
    assert chosen.choice("align", {"audio"}).spec.needs == ()
    assert chosen.choice("align", {"audio"}).params.as_dict()["lead"] == 0.4
    assert presets.resolve("lite", ["align.engine=sound"]).choice("align", {"audio", "text"}).spec.name == "sound"
    with pytest.raises(BadConfig, match="langage"):
        presets.resolve("lite", ["align.langage=ru"])
    with pytest.raises(BadConfig, match="language"):
        presets.resolve("lite", ["align.engine=sound", "align.language=ru"])


TEXT = "Мама мыла раму. Папа купил билет, а потом уехал!"


def test_a_film_of_a_films_sound_moves_the_lips_alike(studio: Studio) -> None:
    film = studio.ok("render", TEXT, "--json").json
    given_film = str(studio.work / film["outputs"]["film"])
    sound = str(studio.work / "речь.wav")
    subprocess.run([ffmpeg.binary(), "-v", "error", "-y", "-i", given_film, "-vn", sound], check=True)
    (studio.work / "речь.txt").write_text(TEXT, encoding="utf-8")
    options = ["--audio", "речь.wav", "--text-file", "речь.txt", "--set", "align.lead=0", "--subtitles", "--json"]
    made = studio.ok("render", *options).json
    own = np.concatenate([c["values"][:, 0] for c in curves(studio, film["run"])])
    again = np.concatenate([c["values"][:, 0] for c in curves(studio, made["run"])])
    length = min(len(own), len(again))
    assert abs(len(own) - len(again)) <= 3
    assert np.corrcoef(own[:length], again[:length])[0, 1] >= 0.9
    subtitles = (studio.work / made["outputs"]["subtitles"]).read_text(encoding="utf-8")
    assert "Мама мыла раму." in subtitles and "Папа купил билет" in subtitles

    shown = studio.ok("runs", "show", made["run"], "--json").json
    assert {s["engine"] for s in shown["steps"] if s["stage"] == "align"} == {"dtw"}
    same = studio.ok("replay", made["run"], "--dry-run", "--json").json["steps"]
    assert {s["verdict"] for s in same} == {"hit"}
    other = studio.ok("replay", made["run"], "--set", "align.engine=sound", "--dry-run", "--json").json["steps"]
    assert ("align", "sound", "run") in {(s["stage"], s["engine"], s["verdict"]) for s in other}


def test_what_cannot_be_is_refused(studio: Studio) -> None:
    save(studio.work / "a.wav", *speak(Case("en"), "Hello there.")[:2])
    (studio.work / "a.txt").write_text("Hello there.")
    (studio.work / "empty.txt").write_text(" \n")
    (studio.work / "nothing.txt").touch()
    refused(studio.run("render", "Hello", "--text-file", "a.txt"), 2, "--text-file", "--audio")
    refused(studio.run("render", "--audio", "a.wav", "--text-file", "empty.txt"), 2, "empty")
    refused(studio.run("render", "--audio", "a.wav", "--text-file", "nothing.txt"), 2, "empty")
    cv2.imwrite(str(studio.work / "a.png"), np.zeros((8, 8, 3), np.uint8))
    refused(studio.run("render", "--audio", "a.png"), 2, "it is a PNG file", "WAV, FLAC, MP3")
    refused(studio.run("render", "--audio", "a.wav", "--text-file", "missing.txt"), 2, "missing.txt")
    refused(studio.run("render", "--audio", "a.wav", "--set", "align.engine=dtw"), 2, "needs a text")


def test_who_gives_another_text_is_told(studio: Studio) -> None:
    said = "My brother bought an old piano. It stands in the kitchen now."
    save(studio.work / "a.wav", *speak(Case("en", "m3"), said)[:2])
    (studio.work / "right.txt").write_text(said)
    (studio.work / "wrong.txt").write_text(
        said.replace("It stands in the kitchen now.", "Ten whales swam through a fog.")
    )
    film = ("render", "--audio", "a.wav", "--json")
    assert "warning" not in studio.ok(*film, "--text-file", "right.txt").err
    assert "warning" not in studio.ok(*film).err
    made = studio.ok(*film, "--text-file", "wrong.txt")
    assert "1 of 2 sentences" in made.err and "Ten whales swam" in made.err and "My brother" not in made.err
    facts = next(
        s["facts"] for s in studio.ok("runs", "show", made.json["run"], "--json").json["steps"] if s["stage"] == "align"
    )
    assert facts["confidence"][0] > 0.9 and [one["text"] for one in facts["doubtful"]] == [
        "Ten whales swam through a fog."
    ]
    assert "1 of 2 sentences" in studio.ok(*film, "--text-file", "wrong.txt").err, "also when nothing is made anew"


def test_timings_are_read_back(aligned: Aligned) -> None:
    _, found = aligned(PAUSED)
    assert Timings.from_json(found.to_json()) == found
