"""File names out of texts."""

from __future__ import annotations

import unicodedata


def slug(text: str, length: int = 48) -> str:
    """A file name out of a text: its letters and digits in any script, words joined by dashes."""
    folded = unicodedata.normalize("NFC", text).lower()
    words = "".join(c if c.isalnum() else " " for c in folded).split()
    name = ""
    for word in words:
        if len(name) + len(word) + 1 > length:
            break
        name = f"{name}-{word}" if name else word
    return name or (words[0][:length] if words else "film")
