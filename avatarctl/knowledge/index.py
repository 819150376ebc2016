"""The index: one SQLite file with documents, passages, sentences, and FTS5 tables over their stems.

The same documents give the same bytes: rows are written in order, nothing in the file tells a time or a path,
and it is compacted at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from avatarctl.knowledge.documents import Document
from avatarctl.knowledge.passages import split
from avatarctl.knowledge.schema import SCHEMA_VERSION, TABLES, require_fts5
from avatarctl.knowledge.words import Stemmer


def build(documents: Sequence[Document], path: Path) -> int:
    """Write a new index to `path`, which must not exist; the number of passages.

    Raises:
        Unavailable: SQLite lacks FTS5.
    """
    require_fts5()
    stemmer = Stemmer()
    passages = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        # The file is the store's only once it is finished, so a journal would protect nothing.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("BEGIN")
        for statement in TABLES.split(";\n"):
            connection.execute(statement)
        for number, document in enumerate(documents, start=1):
            connection.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?)", (number, document.name, document.title, document.language)
            )
            passages += _add(connection, number, document, stemmer)
        for table in ("passage_stems", "sentence_stems"):
            connection.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")
        connection.execute("COMMIT")
        connection.execute("VACUUM")
    return passages


def _add(connection: sqlite3.Connection, number: int, document: Document, stemmer: Stemmer) -> int:
    passages = split(document)
    for passage in passages:
        heading = " ".join(stemmer.stems(f"{document.title} {passage.heading}"))
        cursor = connection.execute(
            "INSERT INTO passages (document, heading, heading_stems, text, language) VALUES (?, ?, ?, ?, ?)",
            (number, passage.heading, heading, passage.text, passage.language),
        )
        identity = cursor.lastrowid
        rows = [
            (identity, paragraph, sentence, " ".join(stemmer.stems(sentence)))
            for paragraph, sentence in zip(passage.paragraphs, passage.sentences, strict=True)
        ]
        connection.execute(
            "INSERT INTO passage_stems (rowid, heading, body) VALUES (?, ?, ?)",
            (identity, heading, " ".join(row[3] for row in rows)),
        )
        for row in rows:
            cursor = connection.execute(
                "INSERT INTO sentences (passage, paragraph, text, stems) VALUES (?, ?, ?, ?)", row
            )
            connection.execute("INSERT INTO sentence_stems (rowid, body) VALUES (?, ?)", (cursor.lastrowid, row[3]))
    return len(passages)
