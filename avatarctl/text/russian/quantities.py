"""Numbers with what they count: money, units, per cent, scales, ranges, ordinals, fractions, telephone numbers."""

from __future__ import annotations

import re
from collections.abc import Callable

from avatarctl.text.russian import numerals
from avatarctl.text.russian.nouns import MONEY, SCALES, UNITS, Noun
from avatarctl.text.russian.numerals import cardinal, decimal, ordinal, whole
from avatarctl.text.tracked import Tracked

_SPACE = "[ \u00a0\u202f\u2009]"
_THOUSANDS = re.compile(rf"(?<![\w.,-])\d{{1,3}}(?:{_SPACE}\d{{3}})+(?![\w])")
_COMMAS = re.compile(r"(?<![\w.,-])\d{1,3}(?:(?:,\d{3})+(?=\.\d)|(?:,\d{3}){2,}(?![\w,]))")
"""Thousands in the English way, where that is certain."""
_PHONE = re.compile(
    r"(?<![\w-])(\+\d{1,3}|8)[ \u00a0-]?\(?(\d{3,5})\)?[ \u00a0-]?(\d{1,3})[ -](\d{2})[ -](\d{2})(?![\w-])"
)
_NUMBER = r"\d+(?:[.,]\d+)?"
_UNIT = "|".join(sorted((re.escape(u) for u in UNITS), key=len, reverse=True))
_QUANTITY = re.compile(
    rf"(?<![\w.,:/])(?P<money>[{MONEY}])?(?P<sign>[-−–+±~≈]{_SPACE}?)?(?P<first>{_NUMBER})"
    rf"(?:{_SPACE}?[–—-]{_SPACE}?(?P<last>{_NUMBER}))?"
    rf"(?:{_SPACE}?(?P<scale>тыс|млн|млрд|трлн)(?:\.|(?!\w)))?"
    rf"(?:{_SPACE}?(?P<unit>{_UNIT})(?![\w/²³])(?P<stop>(?<=[а-я])\.)?)?(?![\w²³])"
)
_ORDINAL = re.compile(
    r"(?<![\w.,])(\d{1,9})-(ого|его|ому|ему|ой|ей|ый|ий|ая|яя|ое|ее|ые|ие|ых|их|ыми|ими|ым|им|ом|ем|го|му|ми|ую|юю"
    r"|й|я|е|х|м|ю|ти|мя)(?!\w)"
)
_COMPOUND = re.compile(
    r"(?<![\w.,])(\d{1,3})-?((?:летн|летие|летия|летию|летием|этажн|дневн|часов|минутн|процентн|кратн|метров"
    r"|километров|градусн|месячн|секундн|мерн|значн|томн|местн|комнатн|тысячн)\w*)"
)
_FRACTION = re.compile(r"(?<![\w./,])(\d{1,3})/(\d{1,3})(?![\w./])|([½¼¾⅓⅔])")
_NUMBERED = re.compile(rf"(№|§){_SPACE}?(?=\d)")
_VERSION = re.compile(r"(?<![\w.])\d{1,9}(?:\.\d{1,9}){2,8}(?![\w.]\w|\w)")
_REST = re.compile(r"\d+")
_SHARES = {"½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3)}
_SIGNS = {"-": "минус ", "−": "минус ", "–": "минус ", "+": "плюс ", "±": "плюс-минус ", "~": "примерно "}
_SIGNS["≈"] = "примерно "
_WITHOUT_GENITIVE = {1: "одно", 40: "сорока", 90: "девяносто", 100: "сто", 1000: "тысяче"}


def phones(text: Tracked) -> Tracked:
    """Telephone numbers, which must go before dates and ranges."""
    return text.sub(_PHONE, _phone)


def apply(text: Tracked) -> Tracked:
    """All other rules of this module."""
    for pattern, rule in _RULES:
        text = text.sub(pattern, rule)
    return text


def _phone(match: re.Match[str]) -> str:
    country, *groups = match.groups()
    said = [("плюс " if country[0] == "+" else "") + cardinal(int(country.lstrip("+")))]
    return ", ".join(said + [numerals.grouped(group) for group in groups])


def _quantity(match: re.Match[str]) -> str | None:
    before = match.string[max(match.start() - 40, 0) : match.start()]
    after = match.string[match.end() : match.end() + 60]
    first, last, scale = match["first"], match["last"], match["scale"]
    symbol = match["unit"] or match["money"]
    if match["unit"] in ("с", "В", "А", "р") and re.match(r"\s\w", after):
        # `5 с половиной`, `в 5 В Москве`: a word, not seconds or volts.
        return f"{_said(match['sign'], first, last, None, None, before, ' ' + match['unit'] + after)} {match['unit']}"
    unit = UNITS[symbol] if symbol else None
    said = _said(match["sign"], first, last, SCALES[scale] if scale else None, unit, before, after)
    # The full stop of `руб.` may be the sentence's as well.
    ends = match["stop"] and re.match(r"\s*$|\s+[А-ЯЁ]", after)
    return f"{said}." if ends else said


def _said(
    sign: str | None,
    first: str,
    last: str | None,
    scale: tuple[int, Noun] | None,
    unit: Noun | None,
    before: str,
    after: str,
) -> str:
    noun = "" if unit or scale else numerals.following_noun(after)
    final = last or first
    amount = numerals.value(final) if final.isdecimal() else 0
    case = numerals.case_in(before, noun, amount)
    counted = scale[1] if scale else unit
    numbers = [_number(n, case, counted, noun) for n in ([first, last] if last else [first])]
    said = " – ".join(numbers)
    if final.isdecimal():
        words = [counted.counted(amount, case)] if counted else []
    else:
        words = [counted.part()] if counted else []
    if scale and unit:
        words.append(unit.form("g", plural=True))
    mark = _SIGNS[sign.strip()] if sign else ""
    if mark == "минус " and re.search(r"\w\s?$", before) and not re.search(r"[а-яё]\s$", before.lower()):
        mark = " "
    return mark + " ".join([said, *words])


def _number(written: str, case: str, counted: Noun | None, noun: str) -> str:
    if not written.isdecimal():
        integer, fraction = re.split(r"[.,]", written)
        if (integer, fraction) == ("1", "5") and case in "na" and (counted or noun.endswith(("а", "я", "ы", "и"))):
            feminine = counted.gender == "f" if counted else noun.endswith(("ы", "и"))
            return "полторы" if feminine else "полтора"
        return decimal(integer, fraction, case)
    if counted:
        return whole(written, case, counted.gender)
    gender, accusative = numerals.gender_of(noun, numerals.value(written))
    return whole(written, "a" if accusative and case == "n" else case, gender)


def _ordinal(match: re.Match[str]) -> str | None:
    """The form of the ordinal that ends as written, the likeliest first."""
    number, suffix = int(match[1]), match[2]
    before = match.string[max(match.start() - 20, 0) : match.start()].lower()
    after = numerals.following_noun(match.string[match.end() : match.end() + 40])
    if suffix == "ти" or (suffix == "х" and number in (2, 3, 4)):
        return cardinal(number, "g")
    if suffix == "мя":
        return cardinal(number, "i")
    if suffix == "м" and re.search(r"\b(?:в|на|о|об|при)\s*$", before):
        return ordinal(number, "p")
    if suffix in ("й", "ой", "ей") and (after.endswith(("ы", "и", "ой", "ей")) or re.search(r"\b[ву]\s*$", before)):
        feminine = after.endswith(("ы", "и", "ой", "ей", "е"))
        if feminine:
            return ordinal(number, "g", "f")
    if suffix == "х" or (suffix == "е" and number % 10 == 0 and number >= 20 and not after.endswith(("о", "е", "ё"))):
        return ordinal(number, "g" if suffix == "х" else "n", plural=True)
    for case, gender, plural in _FORMS:
        form = ordinal(number, case, gender, plural)
        if form.endswith(suffix):
            return form
    return None


_FORMS = (
    ("n", "m", False),
    ("n", "f", False),
    ("n", "n", False),
    ("g", "m", False),
    ("d", "m", False),
    ("a", "f", False),
    ("i", "m", False),
    ("p", "m", False),
    ("g", "f", False),
    ("n", "m", True),
    ("g", "m", True),
    ("d", "m", True),
    ("i", "m", True),
)


def _compound(match: re.Match[str]) -> str:
    """`25-летний` to `двадцатипятилетний`."""
    number, rest = int(match[1]), match[2]
    parts = []
    for value in (number // 100 * 100, number % 100 // 10 * 10 if number % 100 >= 20 else 0):
        if value:
            parts.append(_WITHOUT_GENITIVE.get(value) or cardinal(value, "g"))
    small = number % 100 if number % 100 < 20 else number % 10
    if small:
        last = "одно" if small == 1 else cardinal(small, "g")
        parts.append("двух" if small == 2 else "трёх" if small == 3 else last)
    return "".join(parts or ["нуль"]) + rest


def _fraction(match: re.Match[str]) -> str | None:
    top, bottom = _SHARES[match[3]] if match[3] else (int(match[1]), int(match[2]))
    if (top, bottom) == (24, 7):
        return "двадцать четыре на семь"
    if not 0 < top < bottom <= 100:
        return f"{cardinal(top)} дробь {cardinal(bottom)}"
    if (top, bottom) == (1, 2):
        return "одна вторая"
    single = top % 10 == 1 and top % 100 != 11
    share = ordinal(bottom, "n", "f") if single else ordinal(bottom, "g", plural=True)
    return f"{cardinal(top, 'n', 'f')} {share}"


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]], ...] = (
    (_THOUSANDS, lambda m: re.sub(_SPACE, "", m[0])),
    (_COMMAS, lambda m: m[0].replace(",", "")),
    (_VERSION, lambda m: " точка ".join(whole(part) for part in m[0].split("."))),
    (_NUMBERED, lambda m: "номер " if m[1] == "№" else "параграф "),
    (_ORDINAL, _ordinal),
    (_COMPOUND, _compound),
    (_FRACTION, _fraction),
    (_QUANTITY, _quantity),
    (_REST, lambda m: f" {whole(m[0])} "),
)
