"""Passages that may help with a question, and which of them an answer rests on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl.knowledge.search import Candidate, opened
from avatarctl.knowledge.words import Stemmer
from avatarctl.text.sentences import split

_RELEVANT = 0.35
"""Score over the best one's: far weaker passages share but a common word with the question."""
_SUPPORTED = 0.6
"""Share of an answer's sentence, in stems, that a sentence has on which it rests; models say things in other words."""
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
    """For each passage on which a sentence of the answer rests: the sentence that says so, best first.

    `coverage`: share of the stems of the answer's sentence which that sentence has; `score`: BM25 over that of the
    best passage.
    """
    stemmer = Stemmer()
    said = [stems for sentence in split(answer) if len(stems := frozenset(stemmer.stems(sentence.text))) > 1]
    best = max((c.score for c in passages), default=0.0)
    rows: list[dict[str, Any]] = []
    for candidate in passages:
        shares = [max((_share(one, frozenset(stems)) for one in said), default=0.0) for stems in candidate.stems]
        position = max(range(len(shares)), key=lambda i: (shares[i], -i))
        if shares[position] < _SUPPORTED:
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


def _share(said: frozenset[str], source: frozenset[str]) -> float:
    common = len(said & source)
    return common / len(said) if common >= _LEAST_COMMON else 0.0
