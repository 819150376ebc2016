"""Tables `avatars`, `documents` and `models`: who speaks, what they know, and which weights were checked."""

from __future__ import annotations

import os
import sqlite3
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from avatarctl.errors import BadInput
from avatarctl.store.connection import LedgerFile
from avatarctl.store.model import AvatarRecord, DocumentRecord
from avatarctl.store.runs import from_json, insert, to_json


class PeopleTables(LedgerFile):
    """Avatars, documents, and the memory of checked models."""

    def avatars(self) -> list[AvatarRecord]:
        """Every version of every avatar, by name and version."""
        return [_avatar(row) for row in self.rows("SELECT * FROM avatars ORDER BY name, version")]

    def newest_avatars(self) -> list[AvatarRecord]:
        """The same, the one enrolled last first: as they were written, whatever clock they went by."""
        return [_avatar(row) for row in self.rows("SELECT * FROM avatars ORDER BY rowid DESC")]

    def avatar(self, wanted: str, version: int | None = None) -> AvatarRecord:
        """An avatar by name, `name@version` or id; the latest version of a name.

        Raises:
            BadInput: there is none; the hint names the nearest.
        """
        found = self.avatar_or_none(wanted, version)
        if found is None:
            names = [str(row["name"]) for row in self.rows("SELECT DISTINCT name FROM avatars ORDER BY name")]
            which = f"version {version} of {wanted!r}" if version else repr(wanted)
            hint = "avatarctl avatars list" if names else "avatarctl enroll photo.jpg voice.wav"
            raise BadInput(f"there is no avatar {which}", hint=_nearest(wanted, names) or hint)
        return found

    def avatar_or_none(self, wanted: str, version: int | None = None) -> AvatarRecord | None:
        """The same, with None where there is none."""
        wanted = unicodedata.normalize("NFC", wanted)
        row = self.row(
            """
            SELECT * FROM avatars WHERE (name = :name OR id = :id) AND (:version IS NULL OR version = :version)
            ORDER BY version DESC LIMIT 1
            """,
            {"name": wanted, "id": wanted.upper(), "version": version},
        )
        if row is not None:
            return _avatar(row)
        name, at, number = wanted.rpartition("@")
        if version is None and at and number.isdecimal():
            return self.avatar_or_none(name, int(number))
        return None

    def add_avatar(self, record: AvatarRecord) -> AvatarRecord:
        """Add a person, as the next version of the name: the record with its version."""
        name = unicodedata.normalize("NFC", record.name)
        with self.write(durable=True) as connection:
            last = connection.execute("SELECT max(version) FROM avatars WHERE name = ?", (name,)).fetchone()[0]
            added = replace(record, name=name, version=(last or 0) + 1)
            row = asdict(added)
            row["portrait_report"] = to_json(added.portrait_report)
            row["voice_report"] = None if added.voice_report is None else to_json(added.voice_report)
            insert(connection, "avatars", row)
        return added

    def remove_avatar(self, ids: Iterable[str]) -> None:
        """Remove versions by id, overwriting their rows. Their files are the business of `erase`."""
        with self.write(durable=True, secure=True) as connection:
            connection.executemany("DELETE FROM avatars WHERE id = ?", [(i,) for i in ids])

    def documents(self) -> list[DocumentRecord]:
        """All documents, by name."""
        return [DocumentRecord(**dict(row)) for row in self.rows("SELECT * FROM documents ORDER BY name")]

    def add_document(self, record: DocumentRecord) -> None:
        """Add a document in place of any other of its name."""
        with self.write(durable=True) as connection:
            insert(connection, "documents", asdict(record), replace=True)

    def remove_document(self, name: str) -> DocumentRecord:
        """Remove a document: what it was. Raises `BadInput` if there is none of that name."""
        row = self.row("SELECT * FROM documents WHERE name = ?", (name,))
        if row is None:
            names = [d.name for d in self.documents()]
            raise BadInput(f"there is no document {name!r}", hint=_nearest(name, names) or "avatarctl knowledge list")
        with self.write(durable=True, secure=True) as connection:
            connection.execute("DELETE FROM documents WHERE name = ?", (name,))
        return DocumentRecord(**dict(row))

    def model_digest(self, path: Path) -> str | None:
        """The SHA-256 found for a weights file earlier, if its size, time and inode are still the same."""
        found = path.stat()
        row = self.row(
            "SELECT digest FROM models WHERE path = ? AND size = ? AND mtime_ns = ? AND inode = ?",
            (str(path.absolute()), *_signature(found)),
        )
        return str(row["digest"]) if row else None

    def remember_model(self, path: Path, digest: str) -> None:
        """Note the SHA-256 of a weights file as it is now."""
        size, mtime_ns, inode = _signature(path.stat())
        row = {"path": str(path.absolute()), "size": size, "mtime_ns": mtime_ns, "inode": inode, "digest": digest}
        with self.write() as connection:
            insert(connection, "models", row, replace=True)


def _nearest(word: str, words: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def _signature(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _avatar(row: sqlite3.Row) -> AvatarRecord:
    values = dict(row)
    values["portrait_report"] = from_json(values["portrait_report"])
    values["voice_report"] = None if values["voice_report"] is None else from_json(values["voice_report"])
    return AvatarRecord(**values)
