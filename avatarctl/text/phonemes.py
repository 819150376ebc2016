"""IPA as speech engines write it: one symbol may hold a stress mark, modifiers and several sounds.

`segments` takes such symbols apart into single sounds, in any language: whatever is a letter is a sound.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

VOWELS = frozenset("aɑɒæɐʌɛeəɜɞɘɵøœɶɔoɤɯuʊʉɨiɪyʏᵻᵿɚɝ")
GLIDES = frozenset("jwɥɰ")
AFFRICATES = frozenset({"tʃ", "dʒ", "ts", "dz", "tɕ", "dʑ", "tʂ", "dʐ", "pf", "tɬ", "kx"})
PRIMARY, SECONDARY = "ˈ", "ˌ"

_MISWRITTEN = str.maketrans({"ε": "ɛ", "N": "ŋ", "A": "a"})
"""Symbols that espeak-ng's IPA of some languages has for others: a Greek letter in Danish, names of its own phonemes in
Kyrgyz and Irish."""
_TIES = "\u0361\u035c"
_GLIDE_SHARE = 0.35
_CONSONANT_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Segment:
    """One sound. `share`: its part of the symbol's time, the shares of a symbol sum to 1."""

    ipa: str
    stress: int
    share: float


def segments(symbol: str) -> list[Segment]:
    """The sounds of one symbol, `ˈja` to `j` and `a`; a lone modifier (`ʲ`, `ː`) gives none.

    Affricates and what a tie bar joins stay together. The stress goes to the first vowel, or else to the first sound.
    """
    stress = 2 if PRIMARY in symbol else 1 if SECONDARY in symbol else 0
    sounds: list[str] = []
    joined = False
    for character in symbol.translate(_MISWRITTEN):
        if character in (PRIMARY, SECONDARY):
            continue
        category = unicodedata.category(character)
        if character in _TIES:
            joined = True
        elif category in ("Lm", "Mn", "Sk"):
            if sounds:
                sounds[-1] += character
        elif category.startswith("L"):
            if sounds and (joined or sounds[-1] + character in AFFRICATES):
                sounds[-1] += character
            else:
                sounds.append(character)
            joined = False
    if not sounds:
        return []
    stressed = next((i for i, s in enumerate(sounds) if s[0] in VOWELS), 0)
    weights = [_weight(sound) for sound in sounds]
    total = sum(weights)
    return [
        Segment(sound, stress if i == stressed else 0, weight / total)
        for i, (sound, weight) in enumerate(zip(sounds, weights, strict=True))
    ]


def is_modifier(symbol: str) -> bool:
    """Whether the symbol only changes the sound before it (`ʲ`, `ː`)."""
    return bool(symbol) and all(unicodedata.category(c) in ("Lm", "Mn", "Sk") for c in symbol)


def is_vowel(ipa: str) -> bool:
    """Whether a segment's main letter is a vowel."""
    return ipa[:1] in VOWELS


def _weight(sound: str) -> float:
    if sound[0] in VOWELS:
        return 1.0
    return _GLIDE_SHARE if sound[0] in GLIDES else _CONSONANT_SHARE
