"""Stress marks of Russian words, which espeak-ng does not know: the word is given to it as phonemes.

espeak-ng's own phonemes of the word are taken, with the stress moved to the marked vowel. That vowel gets the sound
of its letter, since an unstressed one is reduced (`дом`, `дома́`), and a vowel that loses the stress is reduced.
"""

from __future__ import annotations

import re

from avatarctl.engines.espeak.library import Espeak
from avatarctl.text.tracked import Tracked

ACUTE = "\u0301"
_MARKED = re.compile(rf"[а-яё{ACUTE}]*[аеёиоуыэюя]{ACUTE}[а-яё{ACUTE}]*", re.IGNORECASE)
_MARK = re.compile(ACUTE)
_LETTERS = re.compile("[аеёиоуыэюя]", re.IGNORECASE)
_VOWEL = re.compile("[aAeEiIoOuUyV8][^_]*$")
"""The vowel in a phoneme's name and what follows it: `ja`, `a#`, `E2`; `@-` is none of its own."""
_STRESSED = {"а": "a", "е": "e", "ё": "8", "и": "i", "о": "o", "у": "u", "ы": "y", "э": "E", "ю": "u", "я": "a"}
_REDUCED = {"а": "a", "о": "V", "е": "I", "э": "I", "я": "I"}
"""What these letters sound like without stress; the others keep their sound. `ё` is always stressed."""


def applied(text: Tracked, espeak: Espeak) -> Tracked:
    """The text with its marked words as phonemes, and no mark left. The Russian voice has been chosen.

    A word whose phonemes cannot be told from each other keeps the stress that espeak-ng gives it.
    """
    return text.sub(_MARKED, lambda match: _respoken(match.group(), espeak)).sub(_MARK, "")


def _respoken(word: str, espeak: Espeak) -> str | None:
    plain = word.replace(ACUTE, "")
    letters = [m.group().lower() for m in _LETTERS.finditer(plain)]
    marked = len(_LETTERS.findall(word.partition(ACUTE)[0])) - 1
    spoken = espeak.mnemonics(plain)
    stressed = [name.startswith("'") for name in spoken]
    names = [name.lstrip("',") for name in spoken]
    vowels = [index for index, name in enumerate(names) if _VOWEL.search(name)]
    if len(vowels) != len(letters):
        return None
    for place, (index, letter) in enumerate(zip(vowels, letters, strict=True)):
        if place == marked:
            # A glide that shares the phoneme with the vowel (`ja`) stays before it.
            names[index] = "'" + _VOWEL.sub(_STRESSED[letter], names[index])
        elif stressed[index] and letter in _REDUCED:
            names[index] = _VOWEL.sub(_REDUCED[letter], names[index])
    return f"[[{'|'.join(names)}]]"
