"""Passages that may help with a question, and which of them an answer rests on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl.knowledge.search import Candidate, opened
from avatarctl.knowledge.words import Stemmer

_RELEVANT = 0.35
"""Score over the best one's: far weaker passages share but a common word with the question."""
_SUPPORTED = 0.4
"""Share of a sentence's stems that return in an answer which rests on it; models say things in other words."""
_LEAST_COMMON = 2
"""Stems; one is chance."""
_MOST_SOURCES = 3


@dataclass(frozen=True, slots=True)
class Found:
    """Best first. `empty`: there is nothing at all to search in."""

    passages: tuple[Candidate, ...]
    empty: bool


def find(index: Path | None, question: str, limit: int) -> Found:
    """At most `limit` passages.

    Raises:
        Unavailable: SQLite lacks FTS5.
        StepFailed: the file is not an index of this version.
    """
    if index is None:
        return Found((), True)
    with opened(index) as reader:
        if not reader.counts()[0]:
            return Found((), True)
        candidates = reader.candidates(Stemmer().stems(question), limit) if limit else []
    best = candidates[0].score if candidates else 0.0
    return Found(tuple(c for c in candidates if c.score >= _RELEVANT * best), False)


def sources(passages: tuple[Candidate, ...], answer: str) -> list[dict[str, Any]]:
    """For each passage that the answer rests on: its sentence that is nearest to it, best first.

    `coverage`: share of that sentence's stems which the answer has; `score`: BM25 over that of the best passage.
    """
    said = frozenset(Stemmer().stems(answer))
    best = max((c.score for c in passages), default=0.0)
    rows: list[dict[str, Any]] = []
    for candidate in passages:
        shares = [len(said & set(stems)) / len(set(stems)) if stems else 0.0 for stems in candidate.stems]
        position = max(range(len(shares)), key=lambda i: (shares[i], -i))
        if shares[position] < _SUPPORTED or len(said & set(candidate.stems[position])) < _LEAST_COMMON:
            continue
        rows.append(
            {
                "document": candidate.document,
                "heading": candidate.heading,
                "sentence": candidate.sentences[position],
                "score": round(candidate.score / best, 4) if best > 0 else 0.0,
                "coverage": round(shares[position], 4),
            }
        )
    rows.sort(key=lambda row: (-row["coverage"], -row["score"], row["document"], row["sentence"]))
    return rows[:_MOST_SOURCES]
