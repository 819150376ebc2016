"""Documents: what a user gives to answer from. Only text is read; anything else is refused with a reason."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path

from avatarctl.errors import BadInput
from avatarctl.knowledge.words import language_of

MAX_BYTES = 20 * 1024 * 1024
MARKDOWN = "text/markdown"
PLAIN = "text/plain"

_MARKDOWN_SUFFIXES = {".md", ".markdown", ".mdown"}
_UNREADABLE = {".pdf", ".doc", ".docx", ".odt", ".rtf", ".epub", ".html", ".htm", ".xlsx", ".pptx"}
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_MIXED = re.compile(r"[A-Za-z][а-яё]|[а-яё][A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Document:
    """One text. `name` is the file's name, `language` is `ru` or `en` by the prevailing script."""

    name: str
    title: str
    media_type: str
    text: str
    language: str

    def to_json(self) -> str:
        """Canonical JSON: equal documents are equal bytes."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Document:
        """From `to_json`'s form; `language` may be absent. Raises `ValueError` when fields are missing."""
        fields = json.loads(text)
        try:
            return cls(
                name=str(fields["name"]),
                title=str(fields["title"]),
                media_type=str(fields["media_type"]),
                text=str(fields["text"]),
                language=str(fields.get("language") or language_of(str(fields["text"]))),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"broken document: {error}") from error


def read_document(path: Path) -> Document:
    """Read a Markdown or text file: UTF-8 (with or without BOM), UTF-16 with BOM, or Windows-1251.

    Raises:
        BadInput: missing, not a file, over 20 MB, empty, binary, or in an unknown encoding.
    """
    name = unicodedata.normalize("NFC", path.name)
    if not path.is_file():
        why = "it is a folder" if path.is_dir() else "there is no such file"
        raise BadInput(f"{name} cannot be read", why=why, hint="give a Markdown or text file")
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(f"{name} is too large", why=f"more than {MAX_BYTES >> 20} MB", hint="split it into parts")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{name} cannot be read", why=error.strerror or str(error)) from error
    suffix = path.suffix.lower()
    if suffix in _UNREADABLE:
        raise BadInput(f"{name} is not Markdown or text", hint="save it as .md or .txt in UTF-8")
    text = unicodedata.normalize("NFC", _decode(raw, name)).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise BadInput(f"{name} is empty")
    is_markdown = suffix in _MARKDOWN_SUFFIXES
    heading = _HEADING.search(text) if is_markdown else None
    return Document(
        name=name,
        title=heading[1] if heading else unicodedata.normalize("NFC", path.stem),
        media_type=MARKDOWN if is_markdown else PLAIN,
        text=text,
        language=language_of(text),
    )


def _decode(raw: bytes, name: str) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1251"]
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _CONTROL.search(text):
            raise BadInput(f"{name} is binary, not text", hint="give a Markdown or text file")
        if encoding != "cp1251" or _looks_russian(text):
            return text
    raise BadInput(f"{name} has an unknown encoding", why="neither UTF-8 nor Windows-1251", hint="save it in UTF-8")


def _looks_russian(text: str) -> bool:
    """Almost any bytes decode as Windows-1251; Russian shows by small letters, in words without Latin ones."""
    foreign = [c for c in text if c > "\x7f" and c not in "«»—–…№„“”’\xa0"]
    small = sum("а" <= c <= "я" or c == "ё" for c in foreign)
    return small > 0.7 * len(foreign) and len(_MIXED.findall(text)) < 0.1 * small
