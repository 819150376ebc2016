"""Numbers in words, in every case, and the case that the words around a number ask for."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from avatarctl.text.wordlist import words

_LONGEST = 15
GREATEST = 10**_LONGEST
"""From here on a number is read digit by digit."""

_GENITIVE = frozenset(
    words(
        "от до из без для около у после свыше более менее больше меньше кроме против среди ради вокруг возле"
        " старше младше выше ниже порядка с течение размере пределах возрасте количестве"
    )
)
_DATIVE = frozenset(words("к ко благодаря согласно вопреки"))
_INSTRUMENTAL = frozenset(words("между над под перед"))
_PREPOSITIONAL = frozenset(words("о об обо при"))
_WORD = re.compile(r"[а-яёА-ЯЁ-]+")
_BEFORE = re.compile(r"[а-яё-]+|\d+")
_DIGITS = words("ноль один два три четыре пять шесть семь восемь девять")
_PARTS = {1: "десят", 2: "сот", 3: "тысячн"}
_PLURAL_ADJECTIVE = re.compile(r"(?:[ыи]е|[ыи]х|[ыи]ми?)$")
_MASCULINE_IN_A = frozenset(words("мужчина папа дядя дедушка юноша судья"))
_FEMININE_SOFT = re.compile(
    r"(?:ость|ночь|дочь|часть|область|площадь|жизнь|смерть|вещь|речь|роль|цель|степень|модель)$"
)


@cache
def _speller() -> Any:
    from num2words.lang_RU import Num2Word_RU

    return Num2Word_RU()


@lru_cache(maxsize=4096)
def cardinal(number: int, case: str = "n", gender: str = "m") -> str:
    """`двадцать одну`, for 0 <= number < `GREATEST`."""
    high, low = number // 1000 * 1000, number % 1000
    words = []
    if high:
        # The gender belongs to the last three digits: num2words would give it to the millions too.
        said = str(_speller().to_cardinal(high, case=case))
        words.append(said.split(" ", 1)[1] if high == 1000 else said)
    if low or not high:
        words.append(str(_speller().to_cardinal(low, case=case, gender=gender, animate=False)))
    return re.sub(r"^нол(?=[яюеё])", "нул", " ".join(words))


@lru_cache(maxsize=4096)
def ordinal(number: int, case: str = "n", gender: str = "m", plural: bool = False) -> str:
    """`двадцать первого`, for 0 <= number < `GREATEST`."""
    return str(_speller().to_ordinal(number, case=case, gender=gender, plural=plural, animate=False))


def value(text: str) -> int:
    """The number that some digits write; of very many digits the last ones, which decide about the grammar."""
    return int(text[-_LONGEST:])


def digits(text: str) -> str:
    """Each digit as a word."""
    return " ".join(_DIGITS[int(c)] for c in text if c.isdecimal())


def decimal(integer: str, fraction: str, case: str = "n") -> str:
    """`три целых четырнадцать сотых`; more than three decimals one by one after `запятая`."""
    if len(fraction) > 3 or not fraction.strip("0") or len(integer) > _LONGEST:
        return f"{whole(integer, case)} запятая {digits(fraction)}"
    number, part = int(integer), int(fraction)
    one = _one(number)
    integers = {"n": "целая" if one else "целых", "g": "целой" if one else "целых", "d": "целой" if one else "целым"}
    integers |= {"a": "целую" if one else "целых", "i": "целой" if one else "целыми", "p": "целой" if one else "целых"}
    single = _one(part)
    ending = {"n": "ая" if single else "ых", "g": "ой" if single else "ых", "d": "ой" if single else "ым"}
    ending |= {"a": "ую" if single else "ых", "i": "ой" if single else "ыми", "p": "ой" if single else "ых"}
    parts = f"{cardinal(part, case, 'f')} {_PARTS[len(fraction)]}{ending[case]}"
    return f"{cardinal(number, case, 'f')} {integers[case]} {parts}"


def _one(number: int) -> bool:
    return number % 10 == 1 and number % 100 != 11


def grouped(text: str) -> str:
    """A group of digits of a telephone number, its zeros included: `05` is `ноль пять`."""
    bare = text.lstrip("0")
    zeros = ["ноль"] * (len(text) - len(bare))
    return " ".join([*zeros, cardinal(int(bare))] if bare else zeros)


def whole(text: str, case: str = "n", gender: str = "m") -> str:
    """A whole number as written; one with leading zeros or very many digits digit by digit."""
    if len(text) > _LONGEST or (len(text) > 1 and text[0] == "0"):
        return digits(text)
    return cardinal(int(text), case, gender)


def following_noun(after: str) -> str:
    """The noun that a number counts: the first word that is no plural adjective; empty when another thing stands
    there. Lower case."""
    position = 0
    for _ in range(3):
        match = _WORD.match(after, position + 1) if after[position : position + 1] in (" ", "\u00a0") else None
        if match is None:
            return ""
        word = match.group().lower()
        if not (_PLURAL_ADJECTIVE.search(word) and len(word) > 4):
            return word
        position = match.end()
    return ""


def case_in(before: str, noun: str, number: int = 0) -> str:
    """The case for a number: the ending of its noun tells, or else the preposition before it."""
    if noun.endswith(("ах", "ях")) and len(noun) > 4:
        return "p"
    if noun.endswith(("ами", "ями")):
        return "i"
    if noun.endswith(("ам", "ям")) and len(noun) > 4 and not noun.endswith(("лам", "рам")):
        return "d"
    if _one(number) and noun.endswith(("ом", "ем", "ём")):
        return "i"
    preceding = _BEFORE.findall(before[-30:].lower())[-3:]
    last = preceding[-1] if preceding else ""
    if len(preceding) == 3 and preceding[0] == "между" and last == "и":
        return "i"
    if last in _GENITIVE:
        return "g"
    if last in _DATIVE:
        return "d"
    if last in _INSTRUMENTAL:
        return "i"
    if last in _PREPOSITIONAL:
        return "p"
    return "n"


def gender_of(noun: str, number: int) -> tuple[str, bool]:
    """(gender, whether an accusative is meant) of a counted noun, by its ending after one or after two to four."""
    if not noun or noun in _MASCULINE_IN_A:
        return "m", False
    if _one(number):
        if noun.endswith(("у", "ю")):
            return "f", True
        if noun.endswith(("мя", "о", "е", "ё")) and not noun.endswith("ое"):
            return "n", False
        if noun.endswith(("а", "я")) or _FEMININE_SOFT.search(noun):
            return "f", False
        return ("n", False) if noun.endswith("ое") else ("m", False)
    if number % 10 == 2 and number % 100 != 12 and noun.endswith(("ы", "и")):
        return ("m", False) if noun in ("дни", "пути") else ("f", False)
    return "m", False
