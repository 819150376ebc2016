"""A text to the pieces that Silero speaks one at a time, in the letters and marks that it knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from avatarctl.text import normalise, sentences

LIMIT = 400
"""Characters of one piece: beyond some 500 the models refuse a text."""
_STRESSED = re.compile("(.)\u0301")
_UNKNOWN = re.compile(r"[^а-яё+\s.,!?:;…–—-]", re.IGNORECASE)
_DASH = re.compile(r"\s[–—-]+\s")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Piece:
    """`text` as Silero gets it; `pause`: seconds of silence after it."""

    text: str
    pause: float


def pieces(text: str, pronounce: Callable[[str], str]) -> list[Piece]:
    """The pieces of a text, none longer than `LIMIT`; empty if there is nothing to say.

    Numbers, shorthand and Latin words are written out in Russian letters; a stressed vowel has `+` before it.
    `pronounce` gives the English IPA of Latin words.
    """
    said = normalise.normalise(text, "ru", pronounce)
    found = []
    for sentence in sentences.split(said, LIMIT):
        plain = _STRESSED.sub(r"+\1", sentence.text)
        plain = _SPACES.sub(" ", _UNKNOWN.sub(" ", _DASH.sub(" — ", plain))).strip()
        if sentences.speakable(plain):
            # Without a mark at the end the voice breaks off.
            found.append(Piece(plain if plain[-1] in ".!?…" else f"{plain.rstrip(',:;—–- ')}.", sentence.pause))
    return found
