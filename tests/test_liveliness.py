"""What a face does beside its words: eyes that hold the camera, saccades, breath, nods, tilts, and idle films."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.puppet import gaze, idle, timeline
from avatarctl.engines.puppet.controls import INDEX, Timeline
from avatarctl.engines.puppet.phrasing import Phrasing, phrasing
from avatarctl.engines.puppet.spec import PuppetAnimateParams
from avatarctl.text.loudness import HOP, Loudness
from avatarctl.text.timings import Span, Timings
from tests.test_timeline import speech

WORDS = "t 'a l o v 'i s e m a r a t 'o l e "
LONG = speech((WORDS * 3 + "_ ") * 12, text="Вот так.")
SWITCHES = ("motion", "gaze", "brows", "breath", "blinks")


def build(timings: Timings, fps: int = 25, seed: int = 1, **changes: object) -> Timeline:
    return timeline.build(timings, fps, seed, replace(PuppetAnimateParams(), **changes))  # type: ignore[arg-type]


def planned(timings: Timings, seed: int = 0) -> tuple[Phrasing, gaze.Look]:
    random = np.random.default_rng(seed)
    said = phrasing(timings, None, random)
    return said, gaze.plan(said, random)


# -- gaze


def test_the_eyes_turn_back_as_the_head_turns() -> None:
    for seed in range(4):
        made = build(LONG, 50, seed, blinks=0.0)
        for turn, look in (("yaw", "gaze_x"), ("pitch", "gaze_y")):
            # Between two jumps the eyes move as the head does, the other way round.
            turned, looked = np.diff(made.curve(turn)), np.diff(made.curve(look))
            slow = np.abs(looked) < 0.2
            assert np.corrcoef(turned[slow], looked[slow])[0, 1] < -0.8
            slope = (turned[slow] * looked[slow]).sum() / (turned[slow] ** 2).sum()
            assert -1.05 < slope < -0.9


def test_small_turns_are_made_good_in_full_and_large_ones_in_part() -> None:
    turns = np.array([-30.0, -8.0, 0.0, 3.0, 8.0, 14.0, 20.0, 40.0])
    held = gaze.held(turns)
    assert held[[1, 2, 3, 4]] == pytest.approx([8, 0, -3, -8])
    assert held[5] == pytest.approx(-12.5)
    assert held[6] == held[7] == -held[0] == -14


def test_eyes_jump_by_the_main_sequence() -> None:
    look = gaze.Look(np.array([1.0, 2.0]), np.array([[4.0, 0.0], [-4.0, 0.0]]))
    time = np.arange(0, 3, 0.001)
    x, y = gaze.curves(look, time)
    assert not y.any()
    assert x[999] == 0 and x[1500] == 4 and x[2500] == -4
    for begins, size in ((1.0, 4.0), (2.0, 8.0)):
        moving = np.flatnonzero(np.abs(np.diff(x[round(begins * 1000) : round(begins * 1000) + 200])) > 0)
        assert (moving[-1] + 1) / 1000 == pytest.approx(0.021 + 0.0022 * size, abs=0.002)


def test_fixations_look_mostly_into_the_camera() -> None:
    lengths, shares, sizes = [], [], []
    for seed in range(12):
        said, look = planned(LONG, seed)
        time = np.arange(0, LONG.duration, 0.02)
        away = np.hypot(*gaze.curves(look, time))
        lengths += np.diff(look.moments).tolist()
        sizes += np.linalg.norm(np.diff(look.places, axis=0), axis=1).tolist()
        shares.append(np.mean(away < 2.0))
        assert look.moments[0] > 0.3
        assert not look.places[-1].any()
        assert said.duration - 0.5 < look.moments[-1] < said.duration - 0.1
    assert 0.9 < np.median(lengths) < 2.0
    assert np.percentile(lengths, 98) <= 3.1
    assert 0.6 < np.mean(shares) < 0.95
    assert np.percentile(sizes, 65) < 4
    assert max(sizes) < 18


def test_the_eyes_avert_as_a_long_sentence_begins_and_in_pauses() -> None:
    sentence, pause = Span(10.0, 18.0, "Да."), (18.2, 19.2)
    timings = replace(LONG, sentences=(sentence,))
    away = np.zeros(3)
    for seed in range(200):
        _, look = planned(timings, seed)
        x, y = gaze.curves(look, np.array([10.5, 14.0]))
        away[:2] += np.hypot(x, y) > 4.5
    assert away[0] > 2 * away[1]
    assert pause[0] < pause[1]


def test_gaze_is_within_bounds_and_can_be_turned_off() -> None:
    for mood in ("thinking", "sad"):
        made = build(LONG, mood=mood, gaze=2.0, motion=2.0)
        assert np.abs(made.curve("gaze_x")).max() <= gaze.LARGEST_X
        assert np.abs(made.curve("gaze_y")).max() <= gaze.LARGEST_Y
    assert not build(LONG, gaze=0.0).curve("gaze_x").any()


# -- breath


def test_breath_is_drawn_before_each_phrase_and_spent_over_it() -> None:
    timings = speech((WORDS * 3 + "_ _ ") * 6)
    said, _ = planned(timings)
    assert len(said.phrases) == 6
    made = build(timings, 50)
    breath = made.curve("breath")
    assert breath[0] == breath[-1] == 0 and 0.4 < breath.max() <= 1
    for number, (start, end) in enumerate(said.phrases):
        begins, ends = (min(round(m * 50), len(breath) - 1) for m in (start, end))
        assert breath[begins : begins + 25].max() > 3 * breath[ends]
        if number:
            assert breath[begins - 35] < 0.25 < breath[begins]


def test_breath_that_is_heard_is_seen_as_it_is_heard() -> None:
    timings = speech(WORDS + "_ _ _ " + WORDS)
    start = max(b.start - a.end for a, b in itertools.pairwise(timings.phonemes))
    gap = next((a.end, b.start) for a, b in itertools.pairwise(timings.phonemes) if b.start - a.end == start)
    level = np.full(round(timings.duration / HOP) + 1, -60, np.float32)
    for phoneme in timings.phonemes:
        level[round(phoneme.start / HOP) : round(phoneme.end / HOP)] = 0
    level[round((gap[0] + 0.3) / HOP) : round((gap[0] + 0.7) / HOP)] = -30
    made = timeline.build(timings, 50, 1, PuppetAnimateParams(), Loudness(level, -60.0))
    rises = np.diff(made.curve("breath"))[round(gap[0] * 50) : round(gap[1] * 50)]
    rising = (np.flatnonzero(rises > 0.005) / 50) + gap[0]
    assert rising[0] == pytest.approx(gap[0] + 0.32, abs=0.06)
    assert rising[-1] == pytest.approx(gap[0] + 0.68, abs=0.06)


def test_at_rest_a_breath_takes_about_four_seconds() -> None:
    made = build(Timings("und", 60.0, "engine"))
    breath = made.curve("breath")
    peaks = np.flatnonzero((breath[1:-1] > breath[:-2]) & (breath[1:-1] >= breath[2:]))
    assert 12 <= len(peaks) <= 17
    assert 0.3 < breath.max() < 0.7


# -- head and brows


def test_the_head_beats_some_stresses_and_not_each_alike() -> None:
    said, _ = planned(LONG)
    taken = said.accents[said.accents > 0]
    assert 0.3 < len(taken) / len(said.accents) < 0.65
    assert taken.std() > 0.12
    down = idle.nods(said, round(LONG.duration * 50), 50)
    peaks = down[np.round(said.beats[said.accents > 0.5] * 50).astype(int)]
    assert np.mean(peaks > 0.4) > 0.9
    assert down.min() < -0.1


def test_questions_tilt_the_head_and_raise_the_brows() -> None:
    asked, told = (replace(LONG, sentences=(Span(2.0, 6.0, text),)) for text in ("Что?", "Вот."))
    random = np.random.default_rng(0)
    said = phrasing(asked, None, random)
    curve = idle.questions(said, np.arange(0, 10, 0.04))
    assert curve.max() == 1 and not curve[:50].any()
    assert np.abs(idle.tilt(curve, random)).max() > 0.8
    assert not idle.questions(phrasing(told, None, random), np.arange(0, 10, 0.04)).any()


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_strength_can_be_turned_off_and_turns_off_nothing_else(switch: str) -> None:
    own = {
        "motion": {"yaw", "pitch", "roll", "tx", "ty", "gaze_x", "gaze_y"},
        "gaze": {"gaze_x", "gaze_y"},
        "brows": {"brow"},
        "breath": {"breath", "ty"},
        "blinks": {"blink"},
    }[switch]
    plain, without = build(LONG), build(LONG, **{switch: 0.0})
    changed = {name for name in INDEX if not np.array_equal(plain.curve(name), without.curve(name))}
    assert changed == own
    for name in own - {"gaze_x", "gaze_y", "ty"} if switch == "motion" else own - {"ty"}:
        assert not without.curve(name).any()


def test_each_seed_moves_otherwise_and_the_same_one_alike() -> None:
    one, again, other = build(LONG), build(LONG), build(LONG, seed=2)
    assert one.values.tobytes() == again.values.tobytes()
    for name in ("yaw", "gaze_x", "breath", "blink", "brow"):
        assert not np.array_equal(one.curve(name), other.curve(name))
    assert np.array_equal(one.curve("open"), other.curve("open"))


# -- nothing said


@pytest.mark.parametrize("fps", [25, 50])
@pytest.mark.parametrize("mood", ["neutral", "sad"])
def test_an_idle_clip_goes_round_without_a_jump(fps: int, mood: str) -> None:
    for seed in range(3):
        made = build(Timings("und", 9.4, "engine"), fps, seed, mood=mood)
        values = made.values.astype(np.float64)
        assert not np.array_equal(values[0], values[-1]), "the rest would be shown twice"
        assert not made.curve("open").any()
        around = np.concatenate([values[-8:], values[:8]])
        for name in ("yaw", "pitch", "roll", "tx", "ty", "breath"):
            steps = np.diff(around[:, INDEX[name]])
            usual = np.abs(np.diff(values[:, INDEX[name]])).max() + 1e-9
            assert np.abs(steps).max() <= 1.2 * usual
            bends = np.abs(np.diff(steps)).max()
            assert bends <= 2.0 * np.abs(np.diff(values[:, INDEX[name]], 2)).max() + 1e-6
        for name in ("yaw", "gaze_x", "breath"):
            assert values[:, INDEX[name]].std() > 0.05


# -- speed and memory


def test_a_minute_of_speech_takes_some_milliseconds() -> None:
    timings = speech((WORDS * 3 + "_ ") * 13)
    assert timings.duration > 60
    build(timings)
    taken = []
    for seed in range(5):
        begins = time.process_time()
        build(timings, seed=seed)
        taken.append(time.process_time() - begins)
    assert min(taken) < 0.06


def test_an_hour_of_speech_takes_little_memory() -> None:
    words = speech((WORDS * 3 + "_ ") * 40)
    count = round(3600 / words.duration)
    phonemes = tuple(
        replace(p, start=p.start + i * words.duration, end=p.end + i * words.duration)
        for i in range(count)
        for p in words.phonemes
    )
    timings = replace(words, duration=count * words.duration, phonemes=phonemes)
    tracemalloc.start()
    try:
        made = build(timings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(made.values) > 3500 * 25
    assert peak < 120e6


def test_curves_are_finite_and_smooth() -> None:
    made: NDArray[np.float32] = build(LONG, 50).values
    assert np.isfinite(made).all()
    steps = np.abs(np.diff(made, axis=0)).max(axis=0)
    for name, most in {"yaw": 0.4, "pitch": 0.6, "roll": 0.4, "brow": 0.008, "breath": 0.12}.items():
        assert steps[INDEX[name]] < most, name
