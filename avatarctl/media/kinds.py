"""What a file is that turned out not to be sound, for an error that names it."""

from __future__ import annotations

from pathlib import Path

from avatarctl.media.imageheader import article, sniff

_LOOKED_AT = 4096
"""Bytes."""
_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive, or a document kept in one"),
    (b"\x1f\x8b", "a compressed file"),
    (b"7z\xbc\xaf", "an archive"),
    (b"Rar!", "an archive"),
    (b"SQLite format 3", "a database"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xd0\xcf\x11\xe0", "an office document"),
    (b"MThd", "MIDI: notes, without sound"),
)


def of(path: Path) -> str:
    """`a text`, `a PNG file` and the like, by the first bytes; empty for what is unknown, or may be sound or film."""
    try:
        with path.open("rb") as file:
            beginning = file.read(_LOOKED_AT)
    except OSError:
        return ""
    for magic, name in _MAGIC:
        if beginning.startswith(magic):
            return name
    picture = sniff(beginning)
    if picture:
        return article(picture) if picture != "video" else ""
    return "a text" if _is_text(beginning) else ""


def _is_text(beginning: bytes) -> bool:
    try:
        # The last character may be cut in two.
        text = beginning[:-4].decode("utf-8-sig") if len(beginning) == _LOOKED_AT else beginning.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return bool(text) and all(c.isprintable() or c in "\t\r\n\f" for c in text)
