"""Moods and emotions: what clips rest in, how one goes over into another, and the tags that put them into a text."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatarctl.engines.puppet import emotion, timeline
from avatarctl.engines.puppet.controls import INDEX, Timeline
from avatarctl.engines.puppet.emotion import POSES, RESTING
from avatarctl.engines.puppet.spec import EMOTIONS, PuppetAnimateParams
from avatarctl.errors import BadConfig
from avatarctl.text import articulation, emotions
from avatarctl.text.sentences import PARAGRAPH_PAUSE, SentenceStream, split
from avatarctl.text.timings import Span, Timings
from tests.test_timeline import MAMA, closures, speech
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged

WORDS = "t 'a l o v 'i s e m a r a t 'o l e "


def build(timings: Timings, fps: int = 25, seed: int = 1, **changes: object) -> Timeline:
    return timeline.build(timings, fps, seed, replace(PuppetAnimateParams(), **changes))  # type: ignore[arg-type]


def sentences(count: int) -> Timings:
    """So many sentences, 0.4 s apart."""
    timings = speech(" _ ".join([WORDS * 2] * count))
    starts = [0.15 + i * (32 * 0.09 + 0.4) for i in range(count)]
    return replace(timings, sentences=tuple(Span(s, s + 32 * 0.09, f"Раз {i}.") for i, s in enumerate(starts)))


def row(name: str, strength: float = 1.0, mood: str = "neutral") -> NDArray[np.float32]:
    stays = 0.5 if name == "surprised" != mood else RESTING
    return (stays * emotion.pose(name, strength)).astype(np.float32)


# -- poses and moods


def test_every_emotion_has_a_pose_that_differs() -> None:
    assert set(POSES) == set(EMOTIONS) == set(emotion.TEMPO)
    assert not emotion.pose("neutral", 1.0).any()
    poses = [emotion.pose(name, 1.0) for name in EMOTIONS]
    for i, one in enumerate(poses):
        assert all(np.abs(one - other).max() > 0.01 for other in poses[:i])
    for name in ("press", "tuck", "tongue", "blink", "breath"):
        assert all(name not in pose for pose in POSES.values())
    assert {name for name, pose in POSES.items() if "open" in pose} == {"surprised"}


@pytest.mark.parametrize("mood", EMOTIONS)
@pytest.mark.parametrize("fps", [25, 30, 50])
@pytest.mark.parametrize("mode", ["talk", "still"])
def test_every_clip_begins_and_ends_with_the_mood(mood: str, fps: int, mode: str) -> None:
    for timings in (MAMA, Timings("und", 3.0, "engine"), Timings("und", 0.05, "engine"), sentences(2)):
        made = build(timings, fps, mood=mood, mode=mode, emotion_strength=0.7)
        assert np.array_equal(made.values[0], row(mood, 0.7, mood))
        # A clip without speech is at rest one frame behind its last.
        near = 0.0 if timings.phonemes else 0.1
        assert np.abs(made.values[-1] - row(mood, 0.7, mood)).max() <= near


@pytest.mark.parametrize("mood", ["neutral", "sad", "surprised"])
@pytest.mark.parametrize("before", ["", *EMOTIONS])
@pytest.mark.parametrize("now", ["", *EMOTIONS])
def test_clips_meet_in_the_emotion_of_the_sentence_before(mood: str, before: str, now: str) -> None:
    one, two = (
        build(MAMA, mood=mood, emotion=emotion, emotion_before=earlier, emotion_strength=0.7)
        for emotion, earlier in ((before, ""), (now, before))
    )
    assert np.array_equal(one.values[-1], two.values[0])
    assert np.array_equal(two.values[0], row(before or mood, 0.7, mood))
    assert np.array_equal(two.values[-1], row(now or mood, 0.7, mood))
    steps = np.abs(np.diff(two.values, axis=0)).max(axis=0)
    # The steepest frame of a smooth step of 0.45 s from one emotion to the other, and a little of life.
    for name in ("cheek", "brow_inner", "furrow", "squint", "brow_skew"):
        far = max(abs(POSES[e].get(name, 0.0)) for e in (before or mood, now or mood))
        assert steps[INDEX[name]] <= 1.6 * 0.7 * far / (0.45 * 25) + 1e-6


def test_equal_emotions_in_a_row_show_no_other_face_between_them() -> None:
    clips = [build(sentences(1), emotion="sad", emotion_before=before, mode="still") for before in ("", "sad", "sad")]
    shown = np.concatenate([clip.curve("brow_inner") for clip in clips])
    settled = shown[round(0.6 * 25) :]
    assert settled.min() >= RESTING * POSES["sad"]["brow_inner"] - 1e-6
    assert settled.max() == pytest.approx(POSES["sad"]["brow_inner"])


def test_a_head_that_is_still_stays_where_its_mood_has_it() -> None:
    made = build(sentences(2), mood="thinking", emotion="sad,happy", emotion_before="surprised", mode="still")
    for name in emotion.HEAD:
        assert np.ptp(made.curve(name)) == 0
        assert made.curve(name)[0] == pytest.approx(RESTING * POSES["thinking"].get(name, 0.0))


@pytest.mark.parametrize("before", EMOTIONS)
def test_a_clip_without_speech_goes_round_in_the_emotion_that_was_left(before: str) -> None:
    made = build(Timings("und", 3.0, "engine"), 25, emotion_before=before, emotion="happy")
    assert np.array_equal(made.values[0], row(before))
    assert np.abs(made.values[-1] - made.values[0]).max() <= 0.15


def test_neutral_rests_in_zeros() -> None:
    made = build(MAMA, emotion="neutral", emotion_before="neutral")
    assert not made.values[0].any()
    assert not made.values[-1].any()


def test_a_mood_is_shown_in_full_while_speaking() -> None:
    made = build(sentences(1), mood="sad")
    middle = len(made.values) // 2
    assert made.curve("brow_inner")[middle] == pytest.approx(POSES["sad"]["brow_inner"])
    assert made.curve("lid")[middle] == pytest.approx(POSES["sad"]["lid"])
    assert not build(sentences(1)).curve("brow_inner").any()


@pytest.mark.parametrize("name", EMOTIONS[1:])
def test_strength_scales_the_pose_and_nothing_else(name: str) -> None:
    timings = sentences(1)
    one, half, none = (build(timings, mood=name, emotion_strength=s, mode="still").values for s in (1.0, 0.5, 0.0))
    assert np.allclose((one - none)[:, INDEX["smile"] + 1 :], 2 * (half - none)[:, INDEX["smile"] + 1 :], atol=1e-5)
    mouth = slice(0, INDEX["smile"])
    assert np.allclose((one - none)[:, mouth], 2 * (half - none)[:, mouth], atol=1e-5)
    assert np.array_equal(one[:, mouth], none[:, mouth]) == (name != "surprised")


# -- blends


def test_emotions_come_and_go_smoothly() -> None:
    made = build(sentences(2), 50, emotion="happy,sad", mode="still")
    for name, pose in (("cheek", "happy"), ("brow_inner", "sad"), ("squint", "happy")):
        curve = made.curve(name).astype(np.float64)
        whole = POSES[pose][name]
        assert curve.max() == pytest.approx(whole, rel=0.01)
        # The steepest frame of a smooth step of 0.45 s.
        assert np.abs(np.diff(curve)).max() < 1.6 * whole / (0.45 * 50)


def test_each_sentence_shows_its_own() -> None:
    timings = sentences(4)
    made = build(timings, emotion="happy, sad,,thinking", mood="neutral")
    middles = [round((s.start + s.end) / 2 * 25) for s in timings.sentences]
    expected = ("happy", "sad", "neutral", "thinking")
    for name in ("cheek", "brow_inner", "brow_skew"):
        shown = made.curve(name)[middles]
        assert shown == pytest.approx([POSES[e].get(name, 0.0) for e in expected], abs=1e-6)


def test_the_last_emotion_holds_and_too_many_do_no_harm() -> None:
    timings = sentences(3)
    middle = round(timings.sentences[2].start * 25 + 30)
    assert build(timings, emotion="happy,sad").curve("brow_inner")[middle] == pytest.approx(POSES["sad"]["brow_inner"])
    one, more = (build(timings, emotion=e).values for e in ("happy,sad,happy", "happy,sad,happy,sad"))
    assert np.array_equal(one, more)


def test_surprise_fades_to_half() -> None:
    timings = speech(WORDS * 4, text="Ого!")
    brow = build(timings, 50, emotion="surprised", mode="still").curve("brow_inner")
    whole = POSES["surprised"]["brow_inner"]
    assert brow[round(0.9 * 50)] == pytest.approx(whole, rel=0.01)
    assert brow[round(3.5 * 50)] == pytest.approx(whole / 2, rel=0.01)


def test_eyes_jump_to_where_an_emotion_looks() -> None:
    # The head's own directions keep still, so the eyes are left with the jump alone.
    made = build(sentences(2), 50, emotion="happy,thinking", gaze=0.0)
    moving = np.abs(np.diff(made.curve("gaze_x"))) > 1e-4
    assert made.curve("gaze_x").max() == pytest.approx(POSES["thinking"]["gaze_x"], rel=0.01)
    assert 2 <= moving.sum() <= 8


def test_a_sad_head_moves_less_than_a_happy_one() -> None:
    timings = speech(WORDS * 40, text="Раз.")
    moved = {}
    for mood in ("happy", "sad"):
        yaws = [np.abs(np.diff(build(timings, seed=s, mood=mood).curve("yaw"))).mean() for s in range(4)]
        moved[mood] = np.mean(yaws)
    assert moved["happy"] > 1.4 * moved["sad"]


@pytest.mark.parametrize("name", EMOTIONS)
@pytest.mark.parametrize("fps", [25, 50])
def test_speech_stays_readable(name: str, fps: int) -> None:
    made = build(MAMA, fps, mood=name, emotion_strength=1.5)
    plain = articulation.poses(MAMA, fps)
    time = np.arange(len(plain)) / fps
    spoken = np.any([(time >= p.start - articulation.LEAD) & (time <= p.end) for p in MAMA.phonemes], axis=0)
    assert spoken.sum() > 1.9 * fps
    for control, column in articulation.INDEX.items():
        assert np.allclose(made.curve(control)[spoken], plain[spoken, column], atol=1e-6)
    for frame in closures(MAMA, fps):
        assert made.curve("open")[frame] == made.curve("up")[frame] == 0
        assert made.curve("press")[frame] >= 0.5


def test_surprise_parts_the_lips_between_phrases() -> None:
    timings = speech(WORDS + "_ _ " + WORDS, text="Ого!")
    pause = next((a.end, b.start) for a, b in itertools.pairwise(timings.phonemes) if b.start - a.end > 0.5)
    made, plain = build(timings, 50, mood="surprised"), build(timings, 50)
    silent = slice(round((pause[0] + 0.2) * 50), round((pause[1] - 0.22) * 50))
    remains = RESTING * POSES["surprised"]["open"]
    assert made.curve("open")[silent] == pytest.approx(remains + plain.curve("open")[silent], abs=0.02)
    assert made.curve("open")[-2] > 0.9 * remains
    # The steepest frame of a smooth step of 0.12 s, the silence before the first sound.
    assert np.abs(np.diff(made.curve("open") - plain.curve("open"))).max() < 1.6 * POSES["surprised"]["open"] / (
        0.12 * 50
    )


def test_a_smile_eases_on_rounded_lips() -> None:
    timings = speech("t 'i t i t 'i t 'u t u t 'u t 'i t", each=0.16, text="Да.")
    made = build(timings, emotion="happy", mode="still")
    rounded, spread = (round((timings.phonemes[n].start + 0.05) * 25) for n in (9, 3))
    assert made.curve("smile")[rounded] < 0.65 * made.curve("smile")[spread]
    assert np.abs(made.curve("smile")).max() <= 1


def test_every_control_stays_in_its_bounds() -> None:
    bounds = {"smile": 1, "lid": 0.4, "brow": 0.2, "gaze_x": 14, "gaze_y": 10, "yaw": 12, "pitch": 12, "roll": 12}
    for mood in EMOTIONS:
        for seed in range(3):
            made = build(
                sentences(3), seed=seed, mood=mood, emotion="sad,surprised,happy", emotion_strength=1.5, motion=2.0
            )
            for name, most in bounds.items():
                assert np.abs(made.curve(name)).max() <= most, (mood, name)


# -- names


@pytest.mark.parametrize("wrong", ["hapy", "happy,sda", "злость", "happy;sad"])
def test_unknown_emotions_are_refused_before_any_work(wrong: str) -> None:
    with pytest.raises(BadConfig):
        PuppetAnimateParams(emotion=wrong)
    with pytest.raises(BadConfig):
        PuppetAnimateParams.parse({"emotion": wrong}, "animate")


def test_names_in_both_languages() -> None:
    assert emotions.EMOTIONS == EMOTIONS
    assert emotions.listed("Радость, sad,,Спокойно", "x") == ["happy", "sad", "", "neutral"]
    with pytest.raises(BadConfig, match="hapy") as caught:
        emotions.canonical("hapy", "x")
    assert "'happy'" in str(caught.value.hint)


# -- tags


def coloured(text: str) -> list[tuple[str, str]]:
    return [(s.text, s.emotion) for s in split(text)]


def test_tags_are_taken_off_and_hold_until_the_next() -> None:
    assert coloured("Да. [happy] Привет! Как дела? [ Грусть ] Хм... [neutral] Ладно.") == [
        ("Да.", ""),
        ("Привет!", "happy"),
        ("Как дела?", "happy"),
        ("Хм...", "sad"),
        ("Ладно.", "neutral"),
    ]


def test_a_tag_ends_with_its_paragraph() -> None:
    made = split("[радость] Раз. Два.\n\nТри.\n[удивление]\nЧетыре.")
    assert [(s.text, s.emotion) for s in made] == [
        ("Раз.", "happy"),
        ("Два.", "happy"),
        ("Три.", ""),
        ("Четыре.", "surprised"),
    ]
    assert made[1].pause == PARAGRAPH_PAUSE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Привет [happy], мир.", [("Привет, мир.", "happy")]),
        ("Привет![sad]Пока.", [("Привет!", ""), ("Пока.", "sad")]),
        ("Это конец. [happy]", [("Это конец.", "happy")]),
        ("[happy] [sad] Да. Нет.", [("Да.", "happy"), ("Нет.", "sad")]),
        ("Слово [sic] тут [1].", [("Слово [sic] тут [1].", "")]),
        ("См. [happy](http://a.ru/) тут.", [("См. [happy](http://a.ru/) тут.", "")]),
        ("[happy", [("[happy", "")]),
        ("[happy]", []),
        ("Знак \ue5e1 тут.", [("Знак тут.", "")]),
    ],
)
def test_tags_in_odd_places(text: str, expected: list[tuple[str, str]]) -> None:
    assert coloured(text) == expected


def test_a_long_sentence_keeps_its_emotion_in_every_piece() -> None:
    made = split("[sad] " + "слово, которое длится, " * 40 + "конец.", 100)
    assert len(made) > 5
    assert {s.emotion for s in made} == {"sad"}


PIECES = st.sampled_from(
    ["[happy]", "[sad ]", "[грусть]", "[sic]", "[", "]", "Да", "нет", ". ", "! ", "\n\n", " ", "(", "…"]
)


@given(st.lists(PIECES, max_size=14), st.lists(st.integers(1, 6), min_size=1, max_size=30))
def test_a_stream_finds_the_same_tags_however_it_is_cut(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    stream, found, position = SentenceStream(), [], 0
    for number in range(len(text)):
        length = cuts[number % len(cuts)]
        found += stream.feed(text[position : position + length])
        position += length
    assert [*found, *stream.close()] == split(text)


@given(st.text(max_size=60))
def test_text_without_tags_is_split_as_ever(text: str) -> None:
    assert all(s.emotion == "" for s in split(text.replace("]", "")))


def test_what_is_left_of_a_text_has_no_tags() -> None:
    assert emotions.untagged("[happy] Привет! [грусть] Пора, [x].") == "Привет! Пора, [x]."
    assert split(emotions.untagged("Раз.\n\n[sad]\nДва.")) == split("Раз.\n\n\nДва.")


# -- on the command line


def params(made: list[dict[str, object]], stage: str) -> list[dict[str, object]]:
    return [step["params"] for step in made if step["stage"] == stage]  # type: ignore[misc]


def test_tags_reach_the_animator_and_not_the_voice(studio: Studio) -> None:
    made = studio.ok("render", "[happy] Привет! [грусть] Пока.\n\nВсё.", "--dry-run", "--json").json["steps"]
    assert [s["label"] for s in made if s["stage"] == "speak"] == ["Привет!", "Пока.", "Всё."]
    assert [p["emotion"] for p in params(made, "animate")] == ["happy", "sad", ""]
    assert [p["emotion_before"] for p in params(made, "animate")] == ["", "happy", "sad"]
    assert params(made, "finish")[0]["title"].startswith("Привет! Пока.")  # type: ignore[attr-defined]


def test_answers_are_printed_without_tags(studio: Studio, tmp_path: Path) -> None:
    own = studio.copy(tmp_path / "own")
    text = (
        "# Звонарь\n\nЗвонарь [happy] — это человек, который звонит в колокола [1]. [грусть] Звонарь живёт в башне.\n"
    )
    (own.work / "bells.md").write_text(text, encoding="utf-8")
    own.ok("knowledge", "add", "bells.md")
    question = "Кто такой звонарь?"
    printed = own.ok("ask", question).out
    assert "звонит в колокола [1]" in printed
    as_json = own.ok("ask", question, "--json").json
    own.ok("ask", question, "--out", "a.txt")
    again = own.ok("replay", as_json["run"]).out
    for shown in (printed, as_json["answer"], (own.work / "a.txt").read_text(encoding="utf-8"), again):
        assert shown.strip() == printed.strip()
        assert "happy" not in shown and "грусть" not in shown


def test_the_emotion_of_a_film(studio: Studio) -> None:
    made = studio.ok("render", "Привет!", "--emotion", "Радость", "--dry-run", "--json").json["steps"]
    assert [(p["mood"], p["emotion"]) for p in params(made, "animate")] == [("happy", "")]
    stronger = ("--set", "animate.mood=sad", "--emotion", "happy")
    made = studio.ok("render", "Привет!", *stronger, "--dry-run", "--json").json["steps"]
    assert params(made, "animate")[0]["mood"] == "sad"
    usual = ("--set", "animate.emotion=радость, sad")
    made = studio.ok("render", "Раз. [sad] Два. Три.\n\nЧетыре.", *usual, "--dry-run", "--json").json["steps"]
    assert [p["emotion_before"] for p in params(made, "animate")] == ["", "радость", "sad", "sad"]
    refused(studio.run("render", "Привет!", "--set", "animate.emotion_before=hapy"), 3, "hapy", "happy")
    refused(studio.run("render", "Привет!", "--emotion", "hapy"), 3, "hapy", "happy")
    refused(studio.run("ask", "Привет?", "--emotion", "happy"), 2, "--render")
    refused(studio.run("render", "Привет!", "--set", "animate.emotion=happy,sda"), 3, "sda", "sad")


def test_a_recording_takes_its_emotions_from_the_text(studio: Studio) -> None:
    from avatarctl.media import wav

    noise = np.random.default_rng(0).normal(0, 0.1, 22050).astype(np.float32)
    wav.write(studio.work / "a.wav", noise, 22050)
    (studio.work / "a.txt").write_text("[happy] Привет! Да. [sad] Пока.", encoding="utf-8")
    made = studio.ok("render", "--audio", "a.wav", "--text-file", "a.txt", "--dry-run", "--json").json["steps"]
    assert params(made, "animate")[0]["emotion"] == "happy,happy,sad"


def test_a_film_of_somebody_who_waits(studio: Studio) -> None:
    from avatarctl.media import probe

    made = studio.ok("render", "--idle", "2.5", "--json").json
    found = probe.decode_all(studio.work / made["outputs"]["film"], levels=True)
    assert found.video is not None and found.audio is not None
    assert found.video.frames == math.ceil(2.5 * 25)
    assert abs(found.audio.duration - 2.5) < 0.1
    again = studio.ok("replay", made["run"], "--dry-run", "--json").json["steps"]
    assert {s["verdict"] for s in again} == {"hit"}
    refused(studio.run("render", "--idle", "0.1"), 2, "from 1 to 600")
    refused(studio.run("render", "--idle", "nan"), 2)
    refused(studio.run("render", "--idle", "3", "Привет."), 2)
