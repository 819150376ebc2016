"""Sentences as subtitles (SubRip): at most two lines of 42 characters each, long sentences in several cues."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from avatarctl.text.timings import Span

LINE = 42
LINES = 2


def srt(parts: Iterable[tuple[float, Sequence[Span]]]) -> str:
    """SubRip text of sentences; each part's spans are counted from its own start, in seconds."""
    cues = [cue for start, spans in parts for span in spans for cue in _cues(start, span)]
    return "".join(f"{i}\n{_clock(a)} --> {_clock(b)}\n{text}\n\n" for i, (a, b, text) in enumerate(cues, 1))


def _cues(start: float, span: Span) -> list[tuple[float, float, str]]:
    lines = textwrap.wrap(" ".join(span.text.split()), LINE, break_long_words=True, break_on_hyphens=False)
    groups = [lines[i : i + LINES] for i in range(0, len(lines), LINES)]
    # Speech has a steady pace, so a cue lasts as its share of the characters.
    weights = [sum(len(line) for line in group) for group in groups]
    total = sum(weights) or 1
    cues = []
    begin = start + span.start
    for group, weight in zip(groups, weights, strict=True):
        end = begin + (span.end - span.start) * weight / total
        cues.append((begin, end, "\n".join(group)))
        begin = end
    return cues


def _clock(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"
