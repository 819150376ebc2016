"""Subtitles: two lines of 42, times that follow each other, nothing lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarctl.media import subtitles
from avatarctl.text.timings import Span

CUE = re.compile(r"(\d+)\n(\d\d:\d\d:\d\d,\d{3}) --> (\d\d:\d\d:\d\d,\d{3})\n(.+?)\n\n", re.DOTALL)


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))


def test_a_film_of_two_clips() -> None:
    first = Span(0.1, 1.9, "Здравствуйте!")
    second = Span(0.0, 2.5, "Расстояние до Луны — около 384 тысяч километров, и свет проходит его за секунду.")
    assert subtitles.srt([(0.0, [first]), (3600.5, [second])]) == (
        "1\n00:00:00,100 --> 00:00:01,900\nЗдравствуйте!\n\n"
        "2\n01:00:00,500 --> 01:00:01,636\nРасстояние до Луны —\nоколо 384 тысяч\n\n"
        "3\n01:00:01,636 --> 01:00:03,000\nкилометров, и свет\nпроходит его за секунду.\n\n"
    )


def test_nothing_said_is_no_subtitle() -> None:
    assert subtitles.srt([]) == ""
    assert subtitles.srt([(0.0, []), (2.0, [Span(0.0, 1.0, "  ")])]) == ""


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.text(alphabet=st.sampled_from("абвгдежabc  —,.!?'\"<>{}&👩"), min_size=1, max_size=400).filter(str.strip),
        min_size=1,
        max_size=4,
    ),
    st.floats(0, 5000),
)
def test_every_word_is_shown_once_in_time(texts: list[str], start: float) -> None:
    spans = [Span(2.0 * i, 2.0 * i + 1.8, text) for i, text in enumerate(texts)]
    text = subtitles.srt([(start, spans)])
    cues = CUE.findall(text)
    assert "".join(f"{n}\n{a} --> {b}\n{t}\n\n" for n, a, b, t in cues) == text
    assert [int(n) for n, *_ in cues] == list(range(1, len(cues) + 1))
    last = 0.0
    for _, begin, end, shown in cues:
        lines = shown.split("\n")
        assert len(lines) <= subtitles.LINES
        assert all(0 < len(line) <= subtitles.LINE for line in lines)
        assert last - 0.0011 <= seconds(begin) <= seconds(end)
        last = seconds(end)
    assert last == pytest.approx(start + spans[-1].end, abs=0.0011)
    shown_letters = "".join("".join(t.split()) for *_, t in cues)
    assert shown_letters == "".join("".join(t.split()) for t in texts)
