"""What the mouth does for each sound, by its articulation, in any language.

A sound is reduced to an articulatory class by the IPA chart; the class has a target pose in the units of
`POSE`, and dominances: how strongly and how far around its centre it imposes each group of controls on its
neighbours (Cohen & Massaro 1993, "Modeling coarticulation in synthetic visual speech"). Lips that must close are
dominant and abrupt, velars and glottals hardly touch the lips and take the pose of their vowels.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from functools import cache

from avatarctl.text.phonemes import AFFRICATES, VOWELS

POSE = ("open", "jaw", "up", "round", "press", "tuck", "wide", "tongue")
"""What a viseme sets: `open`, `jaw`, `up`, `wide` in u, the distance of the eye centres; the others 0..1."""
LIP_SHAPE = frozenset({"round", "wide"})
"""They spread wider in time than the vertical ones."""


@dataclass(frozen=True, slots=True)
class Viseme:
    """`pose`: values in the order of `POSE`. `vertical`, `shape`: dominance at the centre. `decay`: 1/s."""

    pose: tuple[float, ...]
    vertical: float
    shape: float
    decay: float
    vowel: bool = False
    closes: bool = False
    tucks: bool = False


def _viseme(vertical: float, shape: float, decay: float, **values: float | bool) -> Viseme:
    flags = {k: bool(values.pop(k, False)) for k in ("vowel", "closes", "tucks")}
    return Viseme(tuple(float(values.get(name, 0.0)) for name in POSE), vertical, shape, decay, **flags)


CLASSES: dict[str, Viseme] = {
    "rest": _viseme(0.9, 0.6, 14),
    "open": _viseme(1.5, 0.8, 13, vowel=True, open=0.27, jaw=0.24, up=0.02),
    "near open": _viseme(1.4, 0.8, 13, vowel=True, open=0.22, jaw=0.19, up=0.025, wide=0.02),
    "reduced": _viseme(0.9, 0.5, 13, vowel=True, open=0.15, jaw=0.12, up=0.015),
    "mid front": _viseme(1.3, 0.8, 13, vowel=True, open=0.15, jaw=0.11, up=0.03, wide=0.03),
    "close front": _viseme(1.0, 1.0, 12, vowel=True, open=0.095, jaw=0.05, up=0.035, wide=0.05),
    "close central": _viseme(1.0, 0.8, 13, vowel=True, open=0.105, jaw=0.06, up=0.03, wide=0.02),
    "mid back": _viseme(1.2, 0.5, 13, vowel=True, open=0.18, jaw=0.15, up=0.015),
    "mid round": _viseme(1.3, 1.2, 11, vowel=True, open=0.19, jaw=0.17, up=0.015, round=0.75),
    "open round": _viseme(1.3, 1.0, 12, vowel=True, open=0.24, jaw=0.21, up=0.015, round=0.4),
    "close round": _viseme(1.0, 1.5, 10, vowel=True, open=0.085, jaw=0.07, up=0.01, round=1.0),
    "front round": _viseme(1.0, 1.4, 11, vowel=True, open=0.1, jaw=0.08, up=0.015, round=0.85),
    "bilabial stop": _viseme(5.0, 0.5, 40, closes=True, press=0.75),
    "bilabial fricative": _viseme(2.5, 0.6, 22, open=0.03, jaw=0.03, press=0.2, round=0.2),
    "labiodental": _viseme(3.2, 0.6, 30, tucks=True, open=0.045, jaw=0.03, up=0.035, tuck=0.75),
    "dental": _viseme(1.1, 0.3, 18, open=0.09, jaw=0.06, up=0.02, tongue=1.0),
    "alveolar": _viseme(0.9, 0.25, 18, open=0.085, jaw=0.06, up=0.025, tongue=0.8),
    "lateral": _viseme(0.8, 0.25, 17, open=0.12, jaw=0.09, up=0.025, tongue=1.0),
    "rhotic": _viseme(0.6, 0.2, 16, open=0.095, jaw=0.07, up=0.02, tongue=0.6),
    "round rhotic": _viseme(0.7, 0.6, 15, open=0.09, jaw=0.06, up=0.025, round=0.4, tongue=0.3),
    "sibilant": _viseme(1.6, 0.5, 19, open=0.065, jaw=0.025, up=0.03, wide=0.03),
    "hushing": _viseme(1.5, 1.2, 15, open=0.085, jaw=0.04, up=0.04, round=0.55),
    "soft hushing": _viseme(1.5, 0.9, 15, open=0.08, jaw=0.035, up=0.04, round=0.3, wide=0.01),
    "palatal": _viseme(0.6, 0.7, 15, open=0.085, jaw=0.045, up=0.03, wide=0.04),
    "velar": _viseme(0.35, 0.1, 15, open=0.11, jaw=0.09, up=0.015),
    "glottal": _viseme(0.12, 0.05, 15, open=0.12, jaw=0.1, up=0.015),
    "labial velar": _viseme(1.2, 1.5, 12, open=0.06, jaw=0.05, round=1.0),
}

_CHART = {
    "open": "aɑäɶ",
    "near open": "æ",
    "reduced": "əɐʌɜɞɘɵɚɝ",
    "mid front": "eɛ",
    "close front": "iɪᵻ",
    "close central": "ɨɯᵿ",
    "mid back": "ɤ",
    "mid round": "oɔ",
    "open round": "ɒ",
    "close round": "uʊʉ",
    "front round": "yʏøœ",
    "bilabial stop": "pbmɓ",
    "bilabial fricative": "ɸβʙʘ",
    "labiodental": "fvɱʋⱱ",
    "dental": "θðǀ",
    "alveolar": "tdnɗʈɖɳǃ",
    "lateral": "lɫɭɬɮɺʎʟǁ",
    "rhotic": "rɾɽʀʁ",
    "round rhotic": "ɹɻ",
    "sibilant": "sz",
    "hushing": "ʃʒʂʐ",
    "soft hushing": "ɕʑ",
    "palatal": "jɲçʝcɟʄǂ",
    "velar": "kɡgxɣŋɰɠqɢɴχʛɧ",
    "glottal": "hɦʔħʕʜʢʡ",
    "labial velar": "wɥʍ",
}
_CLASS_OF = {symbol: name for name, symbols in _CHART.items() for symbol in symbols}
_SPECIAL = {"ɵ": "mid round", "ʌ": "reduced"}
_CLASS_OF.update(_SPECIAL)

_PALATALISED = 0.35
"""How far a palatalised consonant goes towards the pose of i."""
_STRESSED, _UNSTRESSED = 1.12, 0.82


@cache
def viseme(ipa: str, stress: int = 0) -> Viseme:
    """The viseme of one segment with its modifiers; never fails, an unknown symbol is a weak neutral consonant."""
    made = CLASSES[class_of(ipa)]
    if made.vowel:
        scale = _STRESSED if stress == 2 else 1.0 if stress == 1 else _UNSTRESSED
        return replace(made, pose=_scaled(made.pose, scale))
    if "ʲ" in ipa:
        return _towards(made, CLASSES["close front"])
    if "ʷ" in ipa:
        return _towards(made, CLASSES["close round"])
    return made


def class_of(ipa: str) -> str:
    """The name in `CLASSES` of one segment, its modifiers left aside."""
    affricate = ipa[:2] in AFFRICATES and ipa[:2] != "pf"
    return _class_of(ipa[1:2] if affricate else ipa[:1])


def _class_of(letter: str) -> str:
    found = _CLASS_OF.get(letter)
    if found:
        return found
    # `ɗ` is "LATIN SMALL LETTER D WITH HOOK": the letter that it is made from is the nearest sound.
    words = unicodedata.name(letter, "").split() if letter else []
    base = next((w.lower() for w in words if len(w) == 1), "")
    if base in _CLASS_OF:
        return _CLASS_OF[base]
    return "reduced" if letter in VOWELS else "velar"


def _scaled(pose: tuple[float, ...], scale: float) -> tuple[float, ...]:
    return tuple(v * scale if name in ("open", "jaw") else v for name, v in zip(POSE, pose, strict=True))


def _towards(made: Viseme, target: Viseme) -> Viseme:
    """A second articulation colours the lips without undoing a closure or a tuck."""
    shape_only = made.closes or made.tucks
    pose = tuple(
        a + _PALATALISED * (b - a) if name in LIP_SHAPE or (name == "up" and not shape_only) else a
        for name, a, b in zip(POSE, made.pose, target.pose, strict=True)
    )
    return replace(made, pose=pose, shape=max(made.shape, 0.5))
