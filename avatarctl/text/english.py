"""English shorthand that a speech engine reads wrongly; plain numbers it reads well by itself."""

from __future__ import annotations

import re
from collections.abc import Callable

from avatarctl.text.tracked import Tracked

_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_MONEY = re.compile(rf"([$€£¥₽])\s?({_NUMBER})(?:\s?(thousand|million|billion|trillion|[kmb]n?)(?!\w))?", re.IGNORECASE)
_CURRENCY = {
    "$": ("dollar", "dollars"),
    "€": ("euro", "euros"),
    "£": ("pound", "pounds"),
    "¥": ("yen", "yen"),
    "₽": ("rouble", "roubles"),
}
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
_UNITS = {
    "km/h": "kilometres per hour",
    "mph": "miles per hour",
    "m/s": "metres per second",
    "km": "kilometres",
    "cm": "centimetres",
    "mm": "millimetres",
    "kg": "kilograms",
    "mg": "milligrams",
    "lb": "pounds",
    "lbs": "pounds",
    "ft": "feet",
    "GHz": "gigahertz",
    "MHz": "megahertz",
    "Hz": "hertz",
    "GB": "gigabytes",
    "MB": "megabytes",
    "KB": "kilobytes",
    "TB": "terabytes",
    "kW": "kilowatts",
    "°C": "degrees Celsius",
    "°F": "degrees Fahrenheit",
    "°": "degrees",
    "%": "percent",
    "m²": "square metres",
    "km²": "square kilometres",
}
_UNIT = re.compile(
    rf"(?<![\w.,])({_NUMBER})\s?({'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))})(?![\w/²])"
)
_RANGE = re.compile(r"(?<![\w.,-])(\d+)\s?[–—]\s?(\d+)(?![\w-])")
_YEAR = re.compile(
    r"\b(in|since|from|until|till|by|of|before|after|during|year|circa|and|to"
    r"|January|February|March|April|May|June|July|August|September|October|November|December|\d{1,2},)"
    r" (1[1-9]|20)(\d\d)(?![\w,.]\d|\w)",
    re.IGNORECASE,
)
_ABBREVIATIONS = {
    "e.g.": "for example",
    "i.e.": "that is",
    "etc.": "et cetera",
    "vs.": "versus",
    "Dr.": "Doctor",
    "Mr.": "Mister",
    "Mrs.": "Missis",
    "Prof.": "Professor",
    "approx.": "approximately",
    "No.": "number",
}
_ABBREVIATION = re.compile(
    rf"(?<!\w)(?:{'|'.join(re.escape(a) for a in _ABBREVIATIONS if a != 'No.')}|No\.(?=\s\d))", re.IGNORECASE
)
_LOWER = {k.lower(): v for k, v in _ABBREVIATIONS.items()}


def apply(text: Tracked) -> Tracked:
    """All rules of this module."""
    for pattern, rule in _RULES:
        text = text.sub(pattern, rule)
    return text


def _money(match: re.Match[str]) -> str:
    one, many = _CURRENCY[match[1]]
    scale = match[3].lower() if match[3] else ""
    words = [match[2], _SCALES.get(scale, scale), one if match[2] == "1" and not scale else many]
    return " ".join(word for word in words if word)


def _unit(match: re.Match[str]) -> str:
    unit = _UNITS[match[2]]
    if match[1] == "1":
        unit = "degree" + unit[7:] if unit.startswith("degrees") else re.sub(r"s(?= |$)", "", unit, count=1)
        unit = {"feet": "foot", "hertz": "hertz", "gigahertz": "gigahertz"}.get(unit, unit)
    return f"{match[1]} {unit}"


def _year(match: re.Match[str]) -> str | None:
    """`in 1961` is nineteen 61; the years after 2000 are read as numbers until 2010."""
    century, rest = match[2], match[3]
    if century == "20" and rest < "10":
        return None
    said = "hundred" if rest == "00" else f"o {rest[1]}" if rest[0] == "0" else rest
    return f"{match[1]} {century} {said}"


def _abbreviation(match: re.Match[str]) -> str:
    said = _LOWER[match[0].lower()]
    return said + "." if said == "et cetera" and not match.string[match.end() :].strip() else said


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]], ...] = (
    (_ABBREVIATION, _abbreviation),
    (_MONEY, _money),
    (_UNIT, _unit),
    (_YEAR, _year),
    (_RANGE, lambda m: f"{m[1]} to {m[2]}"),
)
