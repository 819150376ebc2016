"""Mouth shapes over time: from phonemes by their articulation, without flicker, in Rhubarb's formats."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarctl.text import cues
from avatarctl.text.articulation import LEAD
from avatarctl.text.cues import Cue
from avatarctl.text.phonemes import is_vowel
from avatarctl.text.timings import Phoneme, Timings
from avatarctl.text.visemes import CLASSES, class_of


def said(*sounds: tuple[str, float], start: float = 0.5, rest: float = 0.5) -> Timings:
    """Sounds of so many seconds one after the other; "" is silence."""
    phonemes, now = [], start
    for ipa, seconds in sounds:
        if ipa:
            phonemes.append(Phoneme(now, now + seconds, ipa))
        now += seconds
    return Timings("und", now + rest, "engine", tuple(phonemes))


def shapes(timings: Timings) -> str:
    return "".join(cue.shape for cue in cues.from_timings([(0.0, timings)], timings.duration))


def at(found: list[Cue], second: float) -> str:
    return next(cue.shape for cue in found if cue.start <= 100 * second < cue.end)


@pytest.mark.parametrize(
    ("ipa", "shape"),
    [("m", "A"), ("pʲ", "A"), ("b", "A"), ("s", "B"), ("t", "B"), ("tʃ", "B"), ("i", "B"), ("ɛ", "C"), ("æ", "C"),
     ("ə", "C"), ("a", "D"), ("ɑː", "D"), ("ɔ", "E"), ("u", "F"), ("w", "F"), ("f", "G"), ("vʲ", "G"), ("ɫ", "H")],
)  # fmt: skip
def test_a_long_sound_has_the_shape_of_its_articulation(ipa: str, shape: str) -> None:
    timings = said((ipa, 0.3))
    found = cues.from_timings([(0.0, timings)], timings.duration)
    assert [cue.shape for cue in found if cue.shape != "C" or shape == "C"] == ["X", shape, "X"]
    assert at(found, 0.6 - LEAD) == shape


def test_every_class_has_a_shape() -> None:
    assert set(cues._SHAPES) == set(CLASSES) - {"rest"}
    assert set("".join(cues._SHAPES.values())) | {"X"} == set(cues.SHAPES)
    assert all(len(cues._SHAPES[class_of(vowel)]) == 1 for vowel in "aeiouəyøæɨ" if is_vowel(vowel))


def test_what_hardly_touches_the_lips_stays_near_the_vowel() -> None:
    assert at(cues.from_timings([(0.0, t := said(("h", 0.1), ("u", 0.2)))], t.duration), 0.55 - LEAD) == "F"
    assert at(cues.from_timings([(0.0, t := said(("h", 0.1), ("a", 0.2)))], t.duration), 0.55 - LEAD) == "D"
    assert shapes(said(("u", 0.2), ("k", 0.1), ("u", 0.2))) == "XFX"
    assert shapes(said(("a", 0.2), ("l", 0.1), ("a", 0.2))) == "XDHDCX"
    assert shapes(said(("i", 0.2), ("l", 0.1), ("i", 0.2))) == "XBX"


def test_lips_that_close_are_always_seen_and_flicker_is_not() -> None:
    found = cues.from_timings([(0.0, t := said(("a", 0.2), ("p", 0.02), ("a", 0.2)))], t.duration)
    closed = next(cue for cue in found if cue.shape == "A")
    assert closed.end - closed.start >= 8 and closed.end == round(100 * (0.72 - LEAD))
    assert shapes(said(("a", 0.2), ("s", 0.02), ("a", 0.2))) == "XDCX"


def test_pauses() -> None:
    assert shapes(said(("i", 0.2), ("", 0.08), ("i", 0.2))) == "XBX"
    assert shapes(said(("o", 0.2), ("", 0.15), ("o", 0.2))) == "XECEX"
    assert shapes(said(("i", 0.2), ("", 0.4), ("i", 0.2))) == "XBXBX"


def test_a_wide_mouth_closes_through_a_smaller_one() -> None:
    found = cues.from_timings([(0.0, t := said(("a", 0.3), ("m", 0.2), ("a", 0.3), ("u", 0.3)))], t.duration)
    assert "".join(cue.shape for cue in found) == "XDCADEFX"
    assert all(4 <= cue.end - cue.start <= 8 for cue in found if cue.shape in "CE")


SOUNDS = st.lists(
    st.tuples(st.sampled_from(["", *"pbmfvtsnlrkhjwaeiouyə", "pʲ", "tʃ"]), st.integers(2, 40).map(lambda n: n / 100)),
    max_size=40,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(SOUNDS, min_size=1, max_size=3), st.sampled_from([25, 30, 50]))
def test_whatever_is_said_the_cues_fill_the_film(clips: list[list[tuple[str, float]]], fps: int) -> None:
    parts, frames = [], 0
    for sounds in clips:
        timings = said(*sounds, start=0.13)
        parts.append((frames / fps, timings))
        frames += -(-round(timings.duration * 1e6) * fps // 10**6)
    found = cues.from_timings(parts, frames / fps)
    assert found[0].start == 0 and found[-1].end == int(100 * frames / fps + 1e-6)
    assert all(a.end == b.start and a.shape != b.shape for a, b in pairwise(found))
    assert all(cue.end > cue.start for cue in found)
    for begins, timings in parts:
        for p in timings.phonemes:
            if class_of(p.ipa) == "bilabial stop":
                start, end = (100 * (begins + t - LEAD) for t in (p.start, p.end))
                assert any(c.shape == "A" and c.start <= end + 1 and c.end >= start - 7 for c in found), p
    assert cues.from_json(cues.to_json(found)) == (found, found[-1].end / 100)


def test_the_formats_are_rhubarbs() -> None:
    """The example of Rhubarb's README, to the byte but for the name of the file."""
    found = [Cue(0, 5, "X"), Cue(5, 27, "D"), Cue(27, 31, "C"), Cue(31, 43, "B"), Cue(43, 47, "X")]
    assert cues.to_tsv(found) == "0.00\tX\n0.05\tD\n0.27\tC\n0.31\tB\n0.43\tX\n0.47\tX\n"
    assert cues.to_json(found, "hi.wav") == (
        "{\n"
        '  "metadata": {\n'
        '    "soundFile": "hi.wav",\n'
        '    "duration": 0.47\n'
        "  },\n"
        '  "mouthCues": [\n'
        '    { "start": 0.00, "end": 0.05, "value": "X" },\n'
        '    { "start": 0.05, "end": 0.27, "value": "D" },\n'
        '    { "start": 0.27, "end": 0.31, "value": "C" },\n'
        '    { "start": 0.31, "end": 0.43, "value": "B" },\n'
        '    { "start": 0.43, "end": 0.47, "value": "X" }\n'
        "  ]\n"
        "}\n"
    )
    assert re.fullmatch(r"(\d+\.\d\d\t[A-HX]\n)+", cues.to_tsv(found))
    assert cues.to_tsv([Cue(0, 0, "X")]) == "0.00\tX\n"
    assert cues.from_timings([], 0.0) == [Cue(0, 0, "X")]


@pytest.mark.parametrize(
    "change",
    [{"mouthCues": None}, {"metadata": {}}, {"mouthCues": [{"start": 0, "end": 1}]},
     {"mouthCues": [{"start": 0, "end": 1, "value": "Z"}]}, {"mouthCues": [{"start": 1, "end": 0, "value": "A"}]},
     {"mouthCues": [{"start": float("nan"), "end": 0, "value": "A"}]}, {"metadata": {"duration": float("inf")}},
     {"mouthCues": [{"start": 0, "end": float("inf"), "value": "A"}]}],
)  # fmt: skip
def test_other_documents_are_refused(change: dict[str, object]) -> None:
    document = {"metadata": {"duration": 1.0}, "mouthCues": [{"start": 0, "end": 1, "value": "A"}]}
    assert cues.from_json(json.dumps(document))
    with pytest.raises(ValueError):
        cues.from_json(json.dumps({**document, **change}))
    with pytest.raises(ValueError):
        cues.from_json("[1, 2")
