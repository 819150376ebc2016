"""The tables of an index, and what SQLite has to be able to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from avatarctl.errors import Unavailable

SCHEMA_VERSION = 1

# Stems are joined by spaces, so the tokenizer has nothing left to fold.
TABLES = """
CREATE TABLE documents (id INTEGER PRIMARY KEY, name TEXT NOT NULL, title TEXT NOT NULL, language TEXT NOT NULL);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents, heading TEXT NOT NULL,
    heading_stems TEXT NOT NULL, text TEXT NOT NULL, language TEXT NOT NULL
);
CREATE TABLE sentences (
    id INTEGER PRIMARY KEY, passage INTEGER NOT NULL REFERENCES passages, paragraph INTEGER NOT NULL,
    text TEXT NOT NULL, stems TEXT NOT NULL
);
CREATE INDEX sentences_of_passage ON sentences (passage);
CREATE VIRTUAL TABLE passage_stems USING fts5 (heading, body, content='', tokenize="unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE sentence_stems USING fts5 (
    body, content='', detail=none, tokenize="unicode61 remove_diacritics 0"
);
CREATE VIRTUAL TABLE sentence_terms USING fts5vocab (sentence_stems, row);
"""


def require_fts5() -> None:
    """Raises `Unavailable` when this Python's SQLite was built without FTS5."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE probe USING fts5 (body)")
        except sqlite3.OperationalError as error:
            raise Unavailable(
                "documents cannot be searched",
                why=f"SQLite {sqlite3.sqlite_version} of this Python has no FTS5",
                hint="use a Python whose sqlite3 module has FTS5, such as those from python.org or uv",
            ) from error
