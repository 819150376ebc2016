"""How far a text is from another one: the measure of a recogniser, or of a voice that it listened to."""

from __future__ import annotations

import unicodedata


def character_error_rate(wanted: str, heard: str) -> float:
    """Levenshtein distance of letters and digits, over how many are wanted; may exceed 1.

    Case, punctuation, spaces, accents and ё do not count, as no recogniser is sure of them. 0 for two texts without
    any letter, 1 if only `wanted` has none.
    """
    a, b = _letters(wanted), _letters(heard)
    if not a:
        return float(bool(b))
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1] / len(a)


def _letters(text: str) -> str:
    # й is a letter of its own, and not an и with a mark.
    kept = "".join("\0" if c in "йЙ" else c for c in unicodedata.normalize("NFC", text))
    plain = "".join(c for c in unicodedata.normalize("NFKD", kept.casefold()) if c.isalnum() or c == "\0")
    return plain.replace("\0", "й")
