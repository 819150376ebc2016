"""Which language a text is in: by its script, and in Latin and Cyrillic by letters and frequent words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

DEFAULT = "en"

_SCRIPTS = {
    "CYRILLIC": "ru",
    "LATIN": "en",
    "ARABIC": "ar",
    "HEBREW": "he",
    "GREEK": "el",
    "CJK": "cmn",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "MYANMAR": "my",
    "ETHIOPIC": "am",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "CHEROKEE": "chr",
}
"""The first word of a letter's Unicode name to the language that espeak-ng speaks."""

_LETTERS = {
    "uk": "іїєґ",
    "be": "ў",
    "kk": "әқңұһ",
    "mk": "ѓќѕ",
    "sr": "ђћџљњј",
    "de": "äöüß",
    "fr": "çœêëîïûâ",
    "es": "ñ¿¡",
    "pt": "ãõ",
    "it": "ìò",
    "pl": "ąęłśźżń",
    "cs": "ěřůťď",
    "tr": "ğış",
}
"""Letters that tell a language from its neighbours."""

_FREQUENT = {
    "en": "the and of to is in that it for was with you are this have not be at from by what how i my a",
    "de": "der die das und ist nicht ein eine ich zu den mit auf für es wir wie was sie von dem im sind haben",
    "fr": "le la les et est un une des je nous vous il que qui dans pour pas sur avec ce du au sont être",
    "es": "el la los las y es un una de que en por con no se para como su del al está qué son yo",
    "it": "il lo gli e è un una di che non per con sono come della del nel questo ho anche",
    "pt": "o os e é um uma de que não em por com para como do da no na são eu você está",
    "uk": "і та що не на з як це він ми ви але для його від до чи який",
    "be": "і што не на з як гэта ён мы вы але для яго ад да ці які",
    "bg": "и на да се от за не са това че като към със при след",
    "ru": "и в не на что с как это он мы вы но для его от до или который я по да нет так мне",
}
_NEIGHBOURS = {
    "LATIN": ("en", "de", "fr", "es", "it", "pt", "pl", "cs", "tr"),
    "CYRILLIC": ("ru", "uk", "be", "bg", "kk", "mk", "sr"),
}
_WORDS = {language: frozenset(words.split()) for language, words in _FREQUENT.items()}
_WORD = re.compile(r"[^\W\d_]+")
_FOREIGN_WITH_LATIN = 0.4
"""Letters of another script for each Latin one from which on the text is that script's: its voices can say Latin
names, while a voice of a Latin language spells the other script out letter by letter."""
_FEW_WORDS = 4
"""Fewer words prove nothing by being frequent somewhere."""
_SAMPLE = 20_000
"""Characters that are looked at; more would change nothing."""


def detect(text: str) -> str:
    """A code that espeak-ng knows (`ru`, `en`, `cmn`, ...); mixed text is what most of its letters are,
    with an advantage for other scripts over Latin names among them.

    Text without letters is `en`, as is Latin text that no other language claims.
    """
    text = unicodedata.normalize("NFC", text[:_SAMPLE])
    counts = Counter(_script(c) for c in text if c.isalpha())
    known = {script: count for script, count in counts.items() if script in _SCRIPTS}
    if not known:
        return DEFAULT
    script = max(known, key=lambda s: (known[s], s))
    if script == "LATIN":
        others = max((s for s in known if s != "LATIN"), key=lambda s: (known[s], s), default="LATIN")
        if known[others] >= _FOREIGN_WITH_LATIN * known["LATIN"]:
            script = others
    if script == "CJK" and known.get("HIRAGANA", 0) + known.get("KATAKANA", 0):
        return "ja"
    if script == "ARABIC" and set(text) & set("پچژگ"):
        return "fa"
    if script not in _NEIGHBOURS:
        return _SCRIPTS[script]
    return _among(text, script, known[script])


def _among(text: str, script: str, letters: int) -> str:
    """The language of a script that many share: own letters and frequent words, weighed; the usual one when unsure."""
    lower = text.lower()
    words = [w for w in _WORD.findall(lower) if _script(w[0]) == script]
    count = Counter(words)
    usual = _SCRIPTS[script]
    scores: dict[str, float] = {}
    for language in _NEIGHBOURS[script]:
        own = sum(lower.count(c) for c in _LETTERS.get(language, "")) / letters
        frequent = sum(count[w] for w in _WORDS.get(language, ())) / max(len(words), _FEW_WORDS)
        scores[language] = 8 * own + frequent
    if script == "CYRILLIC":
        # Bulgarian has no letters of its own, but neither these; its ъ is a vowel and so more frequent.
        scores["bg"] = 0.0 if set(lower) & set("ыэё") else scores["bg"] - 0.2 + 0.4 * ("ъ" in lower)
    best = max(scores, key=lambda code: (scores[code], code == usual, code))
    return best if scores[best] > scores[usual] + 0.1 else usual


def _script(character: str) -> str:
    return unicodedata.name(character, "").split(" ")[0].split("-")[0]
