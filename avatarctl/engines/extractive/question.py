"""What a question asks for: its subject's stems, the names in it, and the kind of answer wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from avatarctl.knowledge.words import GENERIC_WORDS, STOP_WORDS, Stemmer, fold, language_of, words

Kind = Literal["who", "when", "where", "count", "duration", "which", "why", "definition", "any"]

_STARTERS = (".", "!", "?", "…", ":", "«", "„", "“", '"', "(")
"""What stands before a word that is written with a capital letter whether or not it is a name."""
_TOKEN = re.compile(r"[^\W_]+")

# The first that is found in the folded question decides.
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "definition",
        re.compile(r"\b(что (?:это )?так(?:ое|ой|ая)|кто так(?:ой|ая|ие)|what(?: i|')s an?|who(?: is|'s))\b"),
    ),
    ("duration", re.compile(r"\b(сколько (?:времени|длил|длит|продолж|занима)|как долго|how long)")),
    ("count", re.compile(r"\b(сколько|how (?:many|much|far|old|big|fast|high|tall|often))\b")),
    (
        "when",
        re.compile(r"\b(когда|как(?:ого|ом|ой|им) (?:год|числ|дат|дн|месяц|век)\w*|when|what (?:year|date|day))\b"),
    ),
    ("where", re.compile(r"\b(где|куда|откуда|как(?:ой|ом|ая|ое) (?:стран|город|мест|деревн|сел)\w*|where)\b")),
    ("why", re.compile(r"\b(почему|зачем|отчего|why)\b")),
    ("which", re.compile(r"\b(какой|какая|какое|какие|какую|каким|какими|каких|which)\b")),
    ("who", re.compile(r"\b(кто|кого|кому|кем|чей|чья|чье|who|whom|whose)\b")),
)

_COUNTED = re.compile(r"\b(?:сколько|how many) (\w+)")
_ANYTHING_COUNTED = STOP_WORDS | {"всего", "будет"}

_NUMBER = (
    r"\d+|одна|один|одно|одной|одного|одну|дв[ае]|двух|двумя|три|трех|тремя|четыре|четырех|(?:пят|шест|сем|девят|десят)[ьи]|"
    r"восемь|восьми|\w+надцат[ьи]|двадцат[ьи]|тридцат[ьи]|сорок|\w+десят|сто|двести|триста|\w+сот|тысяч\w*|миллион\w*|"
    r"миллиард\w*|полтора|полторы|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|\w+ty|"
    r"hundreds?|thousands?|millions?|billions?"
)
_IS_NUMBER = re.compile(_NUMBER)
_IS_YEAR = re.compile(r"1[0-9]\d\d|20\d\d")

_EVIDENCE: dict[Kind, re.Pattern[str]] = {
    "when": re.compile(
        rf"\b(?:{_NUMBER})\b|\b(?:январ|феврал|март|апрел|ма[йя]\b|июн|июл|август|сентябр|октябр|ноябр|декабр|зимой|весной|"
        r"летом|осенью|утром|вечером|ночью|понедельник|вторник|сред[ау]|четверг|пятниц|суббот|воскресен|ежедневно|"
        r"january|february|march|april|may\b|june|july|august|september|october|november|december|winter|spring|summer|"
        r"autumn|morning|evening|night|daily|(?:mon|tues|wednes|thurs|fri|satur|sun)day)",
        re.IGNORECASE,
    ),
    "count": re.compile(rf"\b(?:{_NUMBER})\b", re.IGNORECASE),
    "duration": re.compile(
        rf"\b(?!(?:1\d|20)\d\d\b)(?:{_NUMBER})\s(?:\w+\s)?(?:секунд|минут|час|сут|дн|день|недел|месяц|год|лет|second|minute|hour|day|week|month|year)",
        re.IGNORECASE,
    ),
    "where": re.compile(r"\b(?:[Вв]о?|[Нн]а|[Ии]з|[Уу]|[Ii]n|[Aa]t|[Ff]rom|[Oo]n) (?:\w+ ){0,2}[A-ZА-ЯЁ«]"),
    "why": re.compile(
        r"\b(?:потому|поэтому|так как|чтобы|из-за|благодаря|позволя|because|since|therefore|so that|in order)\b",
        re.IGNORECASE,
    ),
    "who": re.compile(r"[A-ZА-ЯЁ]\w+ [A-ZА-ЯЁ]\w+"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """`weights`: how much each stem matters, in (0, 1]; `names` are among its keys, and so is `counted`, the stem
    of what `how many` asks for (empty: none)."""

    text: str
    language: str
    kind: Kind
    weights: dict[str, float]
    names: frozenset[str]
    counted: str = ""


def understand(text: str, stemmer: Stemmer) -> Question:
    """Read a question as a search would: no grammar, only its words, their case and their order."""
    weights: dict[str, float] = {}
    names: set[str] = set()
    for token in _TOKEN.finditer(text):
        word = fold(token[0])
        if word in STOP_WORDS:
            continue
        stem = stemmer.stem(word)
        weights[stem] = max(weights.get(stem, 0.0), 0.4 if word in GENERIC_WORDS else 1.0)
        before = text[max(0, token.start() - 8) : token.start()].rstrip()
        if token[0][0].isupper() and before and not before.endswith(_STARTERS):
            names.add(stem)
    folded = " ".join(words(text)) if "'" not in text else fold(text)
    kind: Kind = next((kind for kind, pattern in _KINDS if pattern.search(folded)), "any")
    counted = _COUNTED.search(folded) if kind == "count" else None
    return Question(
        text=text,
        language=language_of(text),
        kind=kind,
        weights=weights,
        names=frozenset(names),
        counted=stemmer.stem(counted[1]) if counted and counted[1] not in _ANYTHING_COUNTED else "",
    )


def gives_evidence(kind: Kind, sentence: str) -> bool:
    """Whether a sentence looks as if it held the kind of answer wanted: a date, a number, a place, a reason, a name."""
    pattern = _EVIDENCE.get(kind)
    return bool(pattern and pattern.search(sentence))


def is_number(word: str) -> bool:
    """Whether a folded word is a number, in digits or letters, that cannot be meant as a year."""
    return bool(_IS_NUMBER.fullmatch(word)) and not _IS_YEAR.fullmatch(word)
