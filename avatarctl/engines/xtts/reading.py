"""A text to the pieces that XTTS speaks one at a time: written as they are said, and short enough.

It was trained on short sentences: beyond a limit of its language it leaves words out or repeats them, whatever its
memory holds. And it may say a full stop, or breathe at it, while it falls silent at the end by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from avatarctl.text import normalise, sentences

LIMITS = {
    "ar": 166,
    "cs": 186,
    "de": 253,
    "en": 250,
    "es": 239,
    "fr": 273,
    "hi": 150,
    "hu": 224,
    "it": 213,
    "nl": 251,
    "pl": 224,
    "pt": 203,
    "ru": 182,
    "tr": 226,
}
"""Characters of one piece by language, as coqui-tts warns of them."""

_ACUTE = re.compile("\u0301")
_QUOTES = re.compile(r"[«»„“”\"‹›()\[\]]")
_DASH = re.compile(r"(?<=[^\s,;:.!?…]) +[-–—]+ +")
_ELLIPSIS = re.compile(r"\.{2,}|…")
_SPACES = re.compile(r"\s+")
_CLOSING_STOP = re.compile(r"[\s.,;:]+$")


@dataclass(frozen=True, slots=True)
class Piece:
    """`text` as XTTS gets it; `pause`: seconds of silence after it."""

    text: str
    pause: float


def pieces(text: str, language: str, pronounce: Callable[[str], str] | None = None) -> list[Piece]:
    """The pieces of a text, none longer than its language's limit; empty if there is nothing to say.

    Numbers and shorthand are written out, dashes between words are commas, quotation marks and the last full stop are
    left out. `pronounce` gives the English IPA of Latin words in Russian text.
    """
    said = normalise.normalise(text, language, pronounce)
    said = _ACUTE.sub("", said)
    found = []
    for sentence in sentences.split(said, LIMITS[language]):
        plain = _SPACES.sub(" ", _ELLIPSIS.sub(",", _DASH.sub(", ", _QUOTES.sub("", sentence.text))))
        plain = _CLOSING_STOP.sub("", plain).lstrip(" ,;:.-–—")
        if sentences.speakable(plain):
            found.append(Piece(plain, sentence.pause))
    return found
