"""Passages for a question, best first: BM25 of SQLite's FTS5 over stems (Robertson et al. 1994)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from avatarctl.errors import StepFailed
from avatarctl.knowledge.schema import SCHEMA_VERSION, require_fts5
from avatarctl.knowledge.words import Stemmer, related

HEADING_WEIGHT = 2.0
"""How much more a word in the title or heading counts than one in the text."""
MOST_TERMS = 64
"""Words of a query that are looked up; a question has far fewer."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage. `heading` is the path below the document's title; a higher `score` (BM25) is better."""

    document: str
    heading: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One passage with its sentences, the number of the paragraph of each, and all their stems."""

    passage: int
    document: str
    heading: str
    heading_stems: tuple[str, ...]
    sentences: tuple[str, ...]
    paragraphs: tuple[int, ...]
    stems: tuple[tuple[str, ...], ...]
    score: float


def search(index: Path, query: str, limit: int = 5) -> list[Hit]:
    """The `limit` best passages; none when no word of the query is known.

    Raises:
        Unavailable: SQLite lacks FTS5.
        StepFailed: the file is not an index of this version.
    """
    with opened(index) as reader:
        found = reader.candidates(Stemmer().stems(query), limit)
    return [Hit(c.document, c.heading, " ".join(c.sentences), float(f"{c.score:.4g}")) for c in found]


@contextmanager
def opened(index: Path) -> Iterator[Reader]:
    """Open an index for reading; it is never written.

    Raises:
        Unavailable: SQLite lacks FTS5.
        StepFailed: the file is not an index of this version.
    """
    require_fts5()
    with closing(sqlite3.connect(f"{index.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise StepFailed("the index cannot be read", why=str(error), hint="try again with --refresh") from error
        if version != SCHEMA_VERSION:
            raise StepFailed(
                "the index is of another version", why=f"{version}, not {SCHEMA_VERSION}", hint="use --refresh"
            )
        yield Reader(connection)


class Reader:
    """Questions to an open index."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def counts(self) -> tuple[int, int]:
        """How many passages and how many sentences there are."""
        passages, sentences = self._connection.execute(
            "SELECT (SELECT count(*) FROM passages), (SELECT count(*) FROM sentences)"
        ).fetchone()
        return passages, sentences

    def frequency(self, stem: str) -> int:
        """In how many sentences the stem or its nearest derivation is found."""
        prefix = _prefix(stem)
        rows = self._connection.execute(
            "SELECT term, doc FROM sentence_terms WHERE term >= ? AND term < ?", (prefix, prefix + "\U0010ffff")
        )
        return max((count for term, count in rows if related(term, stem)), default=0)

    def candidates(self, stems: Sequence[str], limit: int) -> list[Candidate]:
        """The best passages that have at least one of the stems, or a derivation of it."""
        terms = list(dict.fromkeys(stems))[:MOST_TERMS]
        if not terms:
            return []
        query = " OR ".join(f'"{_prefix(t)}"*' if _prefix(t) != t or len(t) >= 5 else f'"{t}"' for t in terms)
        rows = self._connection.execute(
            "SELECT p.id, d.name, p.heading, p.heading_stems, -bm25(passage_stems, ?, 1.0) AS score"
            " FROM passage_stems JOIN passages p ON p.id = passage_stems.rowid JOIN documents d ON d.id = p.document"
            " WHERE passage_stems MATCH ? ORDER BY score DESC, p.id LIMIT ?",
            (HEADING_WEIGHT, query, limit),
        ).fetchall()
        return [self._candidate(*row) for row in rows]

    def _candidate(self, passage: int, document: str, heading: str, heading_stems: str, score: float) -> Candidate:
        rows = self._connection.execute(
            "SELECT text, paragraph, stems FROM sentences WHERE passage = ? ORDER BY id", (passage,)
        ).fetchall()
        return Candidate(
            passage=passage,
            document=document,
            heading=heading,
            heading_stems=tuple(heading_stems.split()),
            sentences=tuple(text for text, _, _ in rows),
            paragraphs=tuple(paragraph for _, paragraph, _ in rows),
            stems=tuple(tuple(stems.split()) for _, _, stems in rows),
            score=score,
        )


def _prefix(stem: str) -> str:
    """What every derivation of the stem begins with (see `words.related`)."""
    return stem[: max(5, len(stem) - 2)]
