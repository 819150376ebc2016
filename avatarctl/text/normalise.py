"""Text as it is written to text as it is said: numbers, shorthand, addresses and foreign words in full.

Russian and English have rules of their own; for other languages only what no voice can say is taken out. The
result remembers which part of the original each of its characters came from.
"""

from __future__ import annotations

import re
import unicodedata

from avatarctl.text import english
from avatarctl.text.addresses import EMAIL, URL
from avatarctl.text.russian import dates, latin, quantities, words
from avatarctl.text.russian.latin import Pronounce
from avatarctl.text.tracked import Tracked

_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\((?:https?://|www\.)[^\s()]{1,2000}\)")
_MARKUP = re.compile(r"(?m)^\s{0,8}(?:#{1,6}|[*•·▪>]|[-–](?=\s))\s{1,8}|[*_`|]{1,200}|~~|<[/a-zA-Z][^<>\n]{0,80}>")
_SHARP = re.compile(r"(?<=\b[CF])#")
_BEGINNING = re.compile(r"(?:^\W*|[.!?…][»\")]*\s+)[а-яё](?!\.)")
_SPACES = re.compile(r"[^\S\n]+")
_OUTER = re.compile(r"^\s+|\s+$")
_BEFORE_MARK = re.compile(r"\s+(?=[,.!?;:…](?:\s|$))")

_SIGNS = {
    "ru": {"&": " и ", "+": " плюс ", "=": " равно ", "×": " умножить на ", "÷": " делить на ", "<": " меньше "}
    | {">": " больше ", "@": " собака ", "/": " ", "\\": " ", "№": " номер ", "§": " параграф ", "→": " – "}
    | {
        "%": " процентов",
        "$": " долларов ",
        "€": " евро ",
        "₽": " рублей ",
        "°": " градусов ",
        "≠": " не равно ",
        "#": " ",
        "~": " ",
    },
    "en": {
        "&": " and ",
        "=": " equals ",
        "×": " times ",
        "÷": " divided by ",
        "→": " to ",
        "\\": " ",
        "#": " ",
        "~": " ",
    },
}
_SAID = {
    "ru": {".": " точка ", "@": " собака ", "-": " дефис ", "_": " подчёркивание ", "+": " плюс "},
    "en": {".": " dot ", "@": " at ", "-": " dash ", "_": " underscore ", "+": " plus "},
}
_TOP_LEVEL = {"ru": "ру", "com": "ком", "org": "орг", "net": "нэт", "рф": "эр-эф", "su": "су", "info": "инфо"}
_TOP_LEVEL |= {"io": "ай-о", "dev": "дэв", "edu": "эду", "gov": "гов", "by": "бай", "kz": "ка-зэт", "ua": "ю-эй"}


def normalise(text: str, language: str, pronounce: Pronounce | None = None) -> str:
    """How `text` is said in `language` (`ru`, `en`, ...).

    `pronounce` gives the English IPA of Latin words in Russian text; without it they are respelled by their letters.
    """
    return tracked(text, language, pronounce).text


def tracked(text: str | Tracked, language: str, pronounce: Pronounce | None = None) -> Tracked:
    """Like `normalise`, with the origin of each character, also of a text that was rewritten before.

    The time taken grows with the length of `text` only.
    """
    made = Tracked.of(text) if isinstance(text, str) else text
    made = made.sub(_LINK, lambda m: m[1])
    said = "ru" if language == "ru" else "en"
    made = made.sub(EMAIL, lambda m: _address(m[0], said))
    made = made.sub(URL, lambda m: _url(m[0], said))
    made = made.sub(_MARKUP, " ")
    made = made.sub(_UNSAID, lambda m: None if _is_said(m[0]) else " ")
    if language == "ru":
        made = made.sub(_SHARP, " шарп")
        made = quantities.phones(made)
        made = dates.apply(made)
        made = words.before_numbers(made)
        made = quantities.apply(made)
        made = words.apply(made)
        made = made.sub(_SIGN["ru"], lambda m: _SIGNS["ru"][m[0]])
        made = latin.apply(made, pronounce)
        # A number at a sentence's beginning is a word now, and a voice takes small letters for no beginning.
        made = made.sub(_BEGINNING, lambda m: m[0][:-1] + m[0][-1].upper())
    elif language == "en":
        made = english.apply(made)
        made = made.sub(_SIGN["en"], lambda m: _SIGNS["en"][m[0]])
    made = made.sub(_SPACES, " ")
    return made.sub(_BEFORE_MARK, "").sub(_OUTER, "")


_UNSAID = re.compile(r"[^\w\s.,!?;:…\-–—()\"'«»„“”’%$€£¥₽₴₸°№§&+=×÷<>@/\\~#≈±−²³½¼¾⅓⅔‰→≠\u0301¿¡。！？،؛؟।॥、，]")
_SIGN = {language: re.compile("|".join(map(re.escape, signs))) for language, signs in _SIGNS.items()}


def _is_said(character: str) -> bool:
    """Marks of writing systems are part of their words; emoji, dingbats and box drawings are not said."""
    return (
        unicodedata.category(character) in ("Mn", "Mc", "Lm", "Lo", "Pi", "Pf", "Po", "Sc")
        or character in "\u200c\u200d"
    )


def _address(text: str, language: str) -> str:
    """`ivan.petrov@mail.ru` to `ivan точка petrov собака mail точка ру`."""
    said = "".join(_SAID[language].get(c, c) for c in text)
    head, _, top = said.rpartition(" ")
    return f" {head} {_TOP_LEVEL.get(top.lower(), top)} " if language == "ru" else f" {said} "


def _url(text: str, language: str) -> str:
    """The host alone: nobody listens to a path."""
    stripped = text.rstrip(".,;:!?)»")
    tail = text[len(stripped) :]
    host = re.sub(r"^(?:https?://)?(?:www\.)?", "", stripped)
    host = re.split(r"[/?#]", host, maxsplit=1)[0].split("@")[-1].split(":")[0]
    return _address(host, language).strip() + tail if host else tail
