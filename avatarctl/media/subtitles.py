"""Sentences as subtitles (SubRip): at most two lines of 42 characters each, long sentences in several cues."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from avatarctl.text.timings import Span

LINE = 42
LINES = 2


def srt(parts: Iterable[tuple[float, Sequence[Span]]]) -> str:
    """SubRip text of sentences; each part's spans are counted from its own start, in seconds. One that ends where it
    begins was not said, and is left out."""
    cues = [cue for start, spans in parts for span in spans if span.end > span.start for cue in _cues(start, span)]
    return "".join(f"{i}\n{_clock(a)} --> {_clock(b)}\n{text}\n\n" for i, (a, b, text) in enumerate(cues, 1))


def _cues(start: float, span: Span) -> list[tuple[float, float, str]]:
    lines = _lines(" ".join(span.text.split()))
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


def _lines(text: str) -> list[str]:
    """Lines of like length, so that no cue is left with a single word that is gone before it is read."""
    widest = _wrapped(text, LINE)
    if len(widest) < 2:
        return widest
    most = -(-len(widest) // LINES) * LINES
    for width in range(-(-len(text) // most), LINE):
        lines = _wrapped(text, width)
        # A word that is longer than the line sticks out of it.
        if len(lines) <= most and max(map(len, lines)) <= width:
            return lines
    return widest


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=width == LINE, break_on_hyphens=False)


def _clock(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"
