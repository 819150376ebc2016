"""The timeline: rest at both ends, closures, bounds, blinks, stillness, determinism; and visemes of any symbol."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarctl.engines.puppet import blinks, timeline
from avatarctl.engines.puppet.controls import CONTROLS, INDEX, Timeline
from avatarctl.engines.puppet.phrasing import phrasing
from avatarctl.text import articulation
from avatarctl.text.timings import Phoneme, Span, Timings
from avatarctl.text.visemes import CLASSES, POSE, viseme


@dataclass(frozen=True)
class Settings:
    motion: float = 1.0
    blinks: float = 1.0
    mouth: float = 1.0
    mode: str = "talk"
    gaze: float = 1.0
    brows: float = 1.0
    breath: float = 1.0
    mood: str = "neutral"
    emotion: str = ""
    emotion_before: str = ""
    emotion_strength: float = 1.0


def speech(sounds: str, *, each: float = 0.09, lead: float = 0.15, tail: float = 0.4, text: str = "") -> Timings:
    """Sounds of equal length, words apart by spaces, `_` for a pause of 0.4 s; `'` stresses what follows."""
    time, stress = lead, 0
    phonemes = []
    for symbol in sounds.split():
        if symbol == "_":
            time += 0.4
            continue
        if symbol.startswith("'"):
            symbol, stress = symbol[1:], 2
        phonemes.append(Phoneme(time, time + each, symbol, stress))
        time, stress = time + each, 0
    return Timings("ru", time + tail, "engine", tuple(phonemes), sentences=(Span(lead, time, text),))


MAMA = speech("m 'a m a m 'ɨ ɭ a r 'a m u _ p 'a p a p ʲi b 'e v 'o f 'u s k 'a")


def build(timings: Timings, fps: int = 25, seed: int = 1, **changes: float | str) -> Timeline:
    return timeline.build(timings, fps, seed, replace(Settings(), **changes))  # type: ignore[arg-type]


def closures(timings: Timings, fps: int) -> list[int]:
    return [
        math.floor(((p.start + p.end) / 2 - articulation.LEAD) * fps + 0.5)
        for p in timings.phonemes
        if p.ipa[0] in "pbm"
    ]


@pytest.mark.parametrize("fps", [25, 30, 50])
def test_length_and_rest_at_both_ends(fps: int) -> None:
    made = build(MAMA, fps)
    assert made.fps == fps
    assert made.values.dtype == np.float32
    assert made.values.shape == (math.ceil(MAMA.duration * fps - 1e-6), len(CONTROLS))
    assert not made.values[0].any()
    assert not made.values[-1].any()


def test_ends_are_approached_smoothly() -> None:
    values = build(MAMA, 50).values
    for edge in (values[:10], values[::-1][:10]):
        head = np.abs(edge[:, [INDEX["yaw"], INDEX["pitch"], INDEX["roll"]]])
        assert head[1].max() < 0.2
        assert np.diff(head, axis=0).max() < 0.8


def test_the_head_moves_smoothly() -> None:
    values = build(speech("t 'a l o v 'i s e " * 60), 25).values
    steps = np.abs(np.diff(values, axis=0)).max(axis=0)
    assert steps[INDEX["yaw"]] < 0.8
    assert steps[INDEX["pitch"]] < 0.8
    assert steps[INDEX["tx"]] < 0.012


@pytest.mark.parametrize("fps", [25, 30, 50])
def test_lips_meet_on_every_p_b_and_m(fps: int) -> None:
    made = build(MAMA, fps)
    frames = closures(MAMA, fps)
    assert len(frames) == 8
    for frame in frames:
        assert made.curve("open")[frame] == 0
        assert made.curve("press")[frame] >= 0.5
        assert made.curve("up")[frame] == 0


def test_lips_part_between_closures() -> None:
    made = build(MAMA)
    opening = made.curve("open")
    for first, second in itertools.pairwise(closures(MAMA, 25)[:3]):
        assert opening[first : second + 1].max() > 0.06


def test_the_lip_is_tucked_on_f_and_v() -> None:
    made = build(MAMA)
    for phoneme in MAMA.phonemes:
        if phoneme.ipa in ("f", "v"):
            frame = math.floor(((phoneme.start + phoneme.end) / 2 - articulation.LEAD) * 25 + 0.5)
            assert made.curve("tuck")[frame] > 0.5
            assert made.curve("open")[frame] <= 0.06 + 1e-6


def test_vowels_shape_the_mouth() -> None:
    made = build(speech("t 'a t _ t 'u t _ t 'i t", each=0.16), mouth=1.0)
    frames = [round(p.start * 25 + 0.08 * 25) for p in speech("t 'a t _ t 'u t _ t 'i t", each=0.16).phonemes]
    a, u, i = frames[1], frames[4], frames[7]
    assert made.curve("open")[a] > 2 * made.curve("open")[u]
    assert made.curve("round")[u] > 0.7 > 0.1 > made.curve("round")[a]
    assert made.curve("wide")[i] > made.curve("wide")[a]


def test_stress_and_the_setting_open_the_mouth() -> None:
    plain, stressed = speech("t a t", each=0.14), speech("t 'a t", each=0.14)
    assert build(stressed).curve("open").max() > 1.15 * build(plain).curve("open").max()
    assert build(plain, mouth=1.4).curve("open").max() > 1.15 * build(plain).curve("open").max()


def test_the_mouth_rests_in_pauses() -> None:
    timings = speech("t 'a t _ _ t 'a t")
    gap = [i for i in range(25) if timings.phonemes[2].end + 0.25 < i / 25 < timings.phonemes[3].start - 0.2]
    assert len(gap) >= 5
    assert build(timings).curve("open")[gap].max() < 0.01


def test_palatalised_consonants_spread_the_lips_and_labials_still_close() -> None:
    wide = POSE.index("wide")
    assert viseme("tʲ").pose[wide] > viseme("t").pose[wide]
    assert viseme("bʲ").closes
    assert viseme("bʲ").pose[POSE.index("open")] == 0
    assert viseme("tʃʲ").pose[POSE.index("round")] > 0.3


@given(st.characters(), st.text(max_size=3), st.sampled_from([0, 1, 2]))
def test_every_symbol_has_a_viseme(letter: str, modifiers: str, stress: int) -> None:
    made = viseme(letter + modifiers, stress)
    assert len(made.pose) == len(POSE)
    assert all(0 <= v <= 1.2 for v in made.pose)


@pytest.mark.parametrize(("symbol", "like"), [("ɗ", "alveolar"), ("ʈ", "alveolar"), ("", "velar"), ("ß", "sibilant")])
def test_unknown_symbols_follow_their_letter(symbol: str, like: str) -> None:
    assert viseme(symbol).pose == CLASSES[like].pose


SOUND = st.tuples(
    st.sampled_from(["p", "b", "m", "pʲ", "a", "o", "u", "i", "ə", "f", "v", "t", "s", "ʃ", "k", "r", "ʕ", "ŋ", "x"]),
    st.floats(0.0, 0.4),
    st.floats(0.0, 0.6),
    st.sampled_from([0, 1, 2]),
)


@settings(max_examples=60)
@given(
    st.lists(SOUND, max_size=25),
    st.floats(0, 0.5),
    st.floats(0, 1.0),
    st.sampled_from([25, 30, 50]),
    st.integers(0, 2**31),
    st.floats(0.3, 1.5),
    st.floats(0, 2),
)
def test_any_speech(
    sounds: list[tuple[str, float, float, int]],
    lead: float,
    tail: float,
    fps: int,
    seed: int,
    mouth: float,
    motion: float,
) -> None:
    time = lead
    phonemes = []
    for ipa, length, gap, stress in sounds:
        phonemes.append(Phoneme(time, time + length, ipa, stress))
        time += length + (gap if gap > 0.3 else 0)
    timings = Timings("xx", time + tail, "engine", tuple(phonemes))
    made = build(timings, fps, seed, mouth=mouth, motion=motion)
    values = made.values
    frames = len(values)
    assert frames == math.ceil(timings.duration * fps - 1e-6)
    assert np.isfinite(values).all()
    if not frames:
        return
    assert not values[0].any()
    if phonemes:
        assert not values[-1].any()
    mouths = values[:, [INDEX[n] for n in ("open", "jaw", "up", "round", "press", "tuck", "wide", "tongue", "blink")]]
    assert mouths.min() >= 0
    assert mouths.max() <= 1
    assert made.curve("open").max() <= 0.27 * 1.12 * mouth + 0.13
    assert np.abs(made.curve("yaw")).max() <= 4.4 * motion + 1e-6
    for frame in closures(timings, fps):
        assert made.curve("open")[min(max(frame, 0), frames - 1)] == 0


def test_equal_arguments_give_equal_bytes_and_others_do_not() -> None:
    first = build(MAMA).values
    assert first.tobytes() == build(MAMA).values.tobytes()
    assert first.tobytes() != build(MAMA, seed=2).values.tobytes()
    other = replace(MAMA, phonemes=(*MAMA.phonemes[:-1], replace(MAMA.phonemes[-1], ipa="o")))
    assert not np.allclose(first[:, INDEX["yaw"]], build(other).values[:, INDEX["yaw"]])


def blinks_of(made: Timeline) -> list[tuple[int, int]]:
    closed = np.concatenate([[False], made.curve("blink") > 0, [False]])
    edges = np.flatnonzero(np.diff(closed.astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def test_blinks_are_whole_and_as_often_as_people_blink() -> None:
    timings = speech("t 'a l o v 'i s e _ " * 500)
    made = build(timings)
    found = blinks_of(made)
    assert 15 <= len(found) / (timings.duration / 60) <= 20
    deepest = [made.curve("blink")[first:last].max() for first, last in found]
    assert min(deepest) > 0.5
    assert 0.85 < np.mean(np.equal(deepest, 1.0)) < 1.0
    for first, last in found:
        # A double blink may begin before the first one is over.
        assert 0.12 <= (last - first) / 25 <= 0.72
        assert first >= 2
        assert last <= len(made.values) - 2


def test_blinks_keep_off_the_beats_and_seek_the_pauses() -> None:
    timings = speech("t 'a l o v 'i s e m a r a t 'o _ " * 300)
    random = np.random.default_rng(5)
    said = phrasing(timings, None, random)
    curve = blinks.blinks(said, np.zeros(0), round(timings.duration * 50), 50, 1.0, random)
    runs = np.flatnonzero(np.diff(np.concatenate([[0], curve >= 1.0, [0]]).astype(int))).reshape(-1, 2)
    closed = runs.mean(axis=1) / 50
    beats = said.beats[said.accents > 0]
    assert len(closed) > 80
    assert np.abs(closed[:, None] - beats).min(axis=1).min() > 0.1
    pauses = np.array([(a + b) / 2 for a, b in said.pauses[1:-1]])
    near = np.abs(closed[:, None] - pauses).min(axis=1) < 0.25
    expected = 0.5 / np.diff(pauses).mean()
    assert near.mean() > 1.3 * expected


def test_a_large_jump_of_the_look_draws_a_blink() -> None:
    timings = Timings("ru", 600.0, "engine")
    random = np.random.default_rng(0)
    said = phrasing(timings, None, random)
    jumps = np.arange(3.0, 598.0, 2.0)
    curve = blinks.blinks(said, jumps, 15000, 25, 1.0, random)
    runs = np.flatnonzero(np.diff(np.concatenate([[0], curve > 0.5, [0]]).astype(int))).reshape(-1, 2)
    away = np.abs(runs.mean(axis=1)[:, None] / 25 - jumps).min(axis=1)
    assert np.mean(away < 0.12) > 0.35


def test_short_clips_together_blink_as_often() -> None:
    clips = [build(speech("t 'a l o v 'i s e " * 4, text=str(i)), seed=i) for i in range(200)]
    minutes = sum(len(c.values) for c in clips) / 25 / 60
    assert 10 <= sum(len(blinks_of(c)) for c in clips) / minutes <= 20


def test_blinks_can_be_turned_off() -> None:
    assert not build(MAMA, blinks=0.0).curve("blink").any()


def test_still_keeps_the_head_but_not_the_lids_and_lips() -> None:
    made = build(speech("t 'a l o v 'i s e " * 40), mode="still")
    for name in ("yaw", "pitch", "roll", "tx", "ty", "gaze_x", "gaze_y", "breath", "brow"):
        assert not made.curve(name).any()
    assert made.curve("open").max() > 0.1
    assert made.curve("blink").max() == 1.0


def test_brows_rise_with_a_question() -> None:
    asked, told = (speech("t a l o v i s e " * 3, text=t) for t in ("Что это?", "Вот это."))
    assert build(asked).curve("brow").max() > build(told).curve("brow").max() + 0.02


def test_speech_without_sounds_keeps_the_mouth_at_rest() -> None:
    made = build(Timings("ru", 4.0, "engine"))
    assert not made.curve("open").any()
    assert np.abs(made.curve("yaw")).max() > 0.1


@pytest.mark.parametrize("duration", [0.0, 0.01, 0.04, 0.08, 0.12])
def test_the_shortest_clips(duration: float) -> None:
    phonemes = (Phoneme(0.0, duration, "a", 2),)
    made = build(Timings("ru", duration, "engine", phonemes))
    assert len(made.values) == math.ceil(duration * 25 - 1e-6)
