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

from avatarctl.text import phonemes
from avatarctl.text.phonemes import AFFRICATES, GLIDES, VOWELS

POSE = ("open", "jaw", "up", "round", "press", "tuck", "wide", "tongue")
"""What a viseme sets: `open`, `jaw`, `up`, `wide` in u, the distance of the eye centres; the others 0..1."""
LIP_SHAPE = frozenset({"round", "wide"})
"""They spread wider in time than the vertical ones."""
TONGUE = frozenset({"tongue"})
"""Its tip moves by itself, and sounds that are made with it do not leave out its touch."""


@dataclass(frozen=True, slots=True)
class Viseme:
    """`pose`: values in the order of `POSE`. `vertical`, `shape`, `tip`: dominance at the centre over the opening,
    over the lips' shape, and over the tip of the tongue. `decay`: 1/s.

    `burst`: how far the mouth springs open when a stop is released, u. `spreads`: it needs its lips spread, and so
    cannot be rounded for a vowel to come. `long`: it is held.
    """

    pose: tuple[float, ...]
    vertical: float
    shape: float
    decay: float
    tip: float
    vowel: bool = False
    closes: bool = False
    tucks: bool = False
    burst: float = 0.0
    spreads: bool = False
    long: bool = False


_IDLE_TIP, _VOWEL_TIP = 0.6, 1.2
"""Dominance over the tip of the tongue of consonants that are made without it, and of vowels, in which it lies."""


def _viseme(vertical: float, shape: float, decay: float, tip: float = 0.0, **values: float | bool) -> Viseme:
    flags = {k: bool(values.pop(k, False)) for k in ("vowel", "closes", "tucks")}
    pose = tuple(float(values.get(name, 0.0)) for name in POSE)
    return Viseme(pose, vertical, shape, decay, tip or (_VOWEL_TIP if flags["vowel"] else _IDLE_TIP), **flags)


CLASSES: dict[str, Viseme] = {
    "rest": _viseme(0.9, 0.6, 14),
    "open": _viseme(1.5, 1.0, 16, vowel=True, open=0.27, jaw=0.24, up=0.02),
    "near open": _viseme(1.4, 1.0, 16, vowel=True, open=0.22, jaw=0.19, up=0.025, wide=0.02),
    "reduced": _viseme(0.8, 0.4, 16, vowel=True, open=0.135, jaw=0.105, up=0.015),
    "mid front": _viseme(1.3, 1.0, 16, vowel=True, open=0.15, jaw=0.085, up=0.025, wide=0.03),
    "close front": _viseme(1.0, 1.1, 15, vowel=True, open=0.115, jaw=0.046, up=0.025, wide=0.05),
    "close central": _viseme(1.0, 1.0, 16, vowel=True, open=0.105, jaw=0.06, up=0.03, wide=0.02),
    "mid back": _viseme(1.2, 0.5, 16, vowel=True, open=0.18, jaw=0.15, up=0.015),
    "mid round": _viseme(1.3, 1.2, 14, vowel=True, open=0.19, jaw=0.17, up=0.015, round=0.75),
    "open round": _viseme(1.3, 1.0, 14, vowel=True, open=0.24, jaw=0.21, up=0.015, round=0.4),
    "close round": _viseme(1.0, 1.4, 14, vowel=True, open=0.085, jaw=0.07, up=0.01, round=1.0),
    "front round": _viseme(1.0, 1.3, 14, vowel=True, open=0.1, jaw=0.08, up=0.015, round=0.85),
    "bilabial stop": _viseme(3.4, 0.9, 46, closes=True, press=0.75),
    "bilabial fricative": _viseme(2.5, 0.6, 22, open=0.03, jaw=0.03, press=0.2, round=0.2),
    "labiodental": _viseme(3.2, 0.6, 32, tucks=True, open=0.05, jaw=0.03, up=0.02, tuck=0.65),
    "dental": _viseme(1.2, 0.3, 22, open=0.125, jaw=0.08, up=0.015, tongue=1.0, tip=4.0),
    "alveolar": _viseme(1.0, 0.25, 22, open=0.12, jaw=0.078, up=0.015, tongue=0.8, tip=4.0),
    "lateral": _viseme(0.8, 0.25, 20, open=0.14, jaw=0.1, up=0.015, tongue=0.8, tip=4.0),
    "rhotic": _viseme(0.6, 0.2, 20, open=0.095, jaw=0.07, up=0.02, tongue=0.6, tip=2.0),
    "round rhotic": _viseme(0.7, 0.6, 18, open=0.09, jaw=0.06, up=0.025, round=0.4, tongue=0.3),
    "sibilant": _viseme(5.0, 0.5, 25, open=0.087, jaw=0.034, up=0.012, wide=0.03, tip=2.0),
    "hushing": _viseme(1.8, 1.2, 20, open=0.085, jaw=0.04, up=0.04, round=0.55),
    "soft hushing": _viseme(1.8, 0.9, 20, open=0.08, jaw=0.035, up=0.04, round=0.3, wide=0.01),
    "palatal": _viseme(0.7, 0.7, 18, open=0.085, jaw=0.045, up=0.03, wide=0.04),
    "velar": _viseme(0.35, 0.1, 18, open=0.11, jaw=0.09, up=0.015),
    "glottal": _viseme(0.12, 0.05, 15, open=0.12, jaw=0.1, up=0.015),
    "labial velar": _viseme(1.2, 1.5, 15, open=0.06, jaw=0.05, round=1.0),
}

_CHART = {
    "open": "aɑäɶ",
    "near open": "æ",
    "reduced": "əɐʌɜɞɘɚɝ",
    "mid front": "eɛ",
    "close front": "iɪᵻ",
    "close central": "ɨɯᵿ",
    "mid back": "ɤ",
    "mid round": "oɔɵ",
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
_BURSTS = {"p": 0.05, "b": 0.04, "ɓ": 0.03, "t": 0.022, "d": 0.018, "ʈ": 0.022, "ɖ": 0.018, "c": 0.018, "ɟ": 0.014}
_BURSTS |= {"k": 0.016, "ɡ": 0.012, "g": 0.012, "q": 0.016, "ɢ": 0.012}

_COLOURED = 0.35
"""How far a second articulation takes a consonant: of a palatalised one, towards the pose of i."""
_ASPIRATED = 1.3
_LONG = "ːˑ"
_NASAL, _SYLLABIC, _LOWERED, _RAISED, _RHOTIC = "\u0303", "\u0329\u030d", "\u031e", "\u031d", "˞"
_VOICELESS, _COMPRESSED = "\u0325\u030a", "ᵝ"
_HALF_OPEN, _WIDER = "ɐʌɜɞ", 1.33
"""The lower ones among the reduced vowels: they open further, and may be stressed."""
STRESSES = (0.82, 1.0, 1.12)
"""How far a vowel opens with no, secondary and primary stress."""
_OFF_GLIDE = 0.8
"""Dominance of a diphthong's second vowel beside the first one's."""


@cache
def parts(ipa: str) -> tuple[tuple[Viseme, float], ...]:
    """The visemes of one phoneme and their shares of its time, without stress; a diphthong (`aɪ`) has two."""
    sounds = phonemes.segments(ipa)
    if len(sounds) < 2:
        return ((viseme(ipa, 1), 1.0),)
    found: list[tuple[Viseme, float]] = []
    for sound in sounds:
        made = viseme(sound.ipa, 1)
        if found and made.vowel and found[-1][0].vowel:
            made = replace(made, vertical=_OFF_GLIDE * made.vertical)
        found.append((made, sound.share))
    return tuple(found)


@cache
def viseme(ipa: str, stress: int = 0) -> Viseme:
    """The viseme of one segment with its modifiers; never fails, an unknown symbol is a weak neutral consonant."""
    name = class_of(ipa)
    made = replace(CLASSES[name], long=any(mark in ipa for mark in _LONG))
    if made.vowel:
        return _vowel(made, ipa, STRESSES[min(max(stress, 0), 2)])
    burst = 0.0 if _affricate(ipa) else _BURSTS.get(ipa[:1], 0.0)
    made = replace(made, burst=burst * (_ASPIRATED if "ʰ" in ipa else 1.0), spreads=name == "palatal")
    if any(mark in ipa for mark in _SYLLABIC):
        made = _syllabic(made)
    if "ʲ" in ipa:
        return replace(_towards(made, CLASSES["close front"]), spreads=not made.closes)
    if "ʷ" in ipa:
        return _towards(made, CLASSES["close round"])
    return made


def class_of(ipa: str) -> str:
    """The name in `CLASSES` of one segment, its modifiers left aside."""
    return _class_of(ipa[1:2] if _affricate(ipa) else ipa[:1])


def _affricate(ipa: str) -> bool:
    return ipa[:2] in AFFRICATES and ipa[:2] != "pf"


def _vowel(made: Viseme, ipa: str, scale: float) -> Viseme:
    """A vowel with its stress and its diacritics."""
    if ipa[:1] in _HALF_OPEN:
        made = replace(made, vertical=1.2)
        scale *= _WIDER
    if _LOWERED in ipa:
        scale *= 1.1
    if _RAISED in ipa:
        scale *= 0.9
    if any(mark in ipa for mark in _VOICELESS):
        scale *= 0.75
    if _NASAL in ipa:
        # The velum's lowering needs room behind: nasal vowels are a little more open than their letters say.
        scale *= 1.06
    made = replace(made, pose=_scaled(made.pose, scale))
    if _RHOTIC in ipa or ipa[:1] in "ɚɝ":
        made = _with(made, round=0.25)
    if _COMPRESSED in ipa:
        made = _with(made, round=0.3)
    return made


def _syllabic(made: Viseme) -> Viseme:
    """A consonant in the place of a vowel opens the mouth a little, unless it is made with the lips."""
    made = replace(made, vertical=1.2 * made.vertical, long=True)
    return made if made.closes or made.tucks else _with(made, open=0.13, jaw=0.09)


def _with(made: Viseme, **least: float) -> Viseme:
    """At least so much of some parts of the pose."""
    return replace(made, pose=tuple(max(v, least.get(n, v)) for n, v in zip(POSE, made.pose, strict=True)))


def _class_of(letter: str) -> str:
    found = _CLASS_OF.get(letter)
    if found:
        return found
    # `ɗ` is "LATIN SMALL LETTER D WITH HOOK": the letter that it is made from is the nearest sound.
    words = unicodedata.name(letter, "").split() if letter else []
    base = next((w.lower() for w in words if len(w) == 1), "")
    if base in _CLASS_OF:
        return _CLASS_OF[base]
    return "reduced" if letter in VOWELS else "palatal" if letter in GLIDES else "velar"


def _scaled(pose: tuple[float, ...], scale: float) -> tuple[float, ...]:
    return tuple(v * scale if name in ("open", "jaw") else v for name, v in zip(POSE, pose, strict=True))


def _towards(made: Viseme, target: Viseme) -> Viseme:
    """A second articulation colours the lips without undoing a closure or a tuck."""
    shape_only = made.closes or made.tucks
    pose = tuple(
        a + _COLOURED * (b - a) if name in LIP_SHAPE or (name == "up" and not shape_only) else a
        for name, a, b in zip(POSE, made.pose, target.pose, strict=True)
    )
    return replace(made, pose=pose, shape=max(made.shape, 0.5))
