"""Dates, times of day, years, decades and centuries."""

from __future__ import annotations

import re
from collections.abc import Callable

from avatarctl.text.russian.nouns import HOUR, MONTHS
from avatarctl.text.russian.numerals import cardinal, case_in, ordinal
from avatarctl.text.tracked import Tracked

_MONTH = "|".join(MONTHS)
_MONTH_SHORT = {name[:3]: name for name in MONTHS} | {"мая": "мая", "сент": "сентября", "нояб": "ноября"}
_YEAR_WORD = r"(?:года|году|годом|годе|годы|годов|годах|годам|годами|год|гг\.?|г\.?)(?![\w-])"
_DASH = r"\s?[-–—]\s?"

_NUMERIC = re.compile(r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4}|\d{2})(?:\s?(?:года|г\.))?(?![\w]|\.\d)")
_ISO = re.compile(r"(?<![\w-])(\d{4})-(\d{2})-(\d{2})(?![\w-])")
_DAY_RANGE = re.compile(rf"(?<![\w.])(\d{{1,2}}){_DASH}(\d{{1,2}})\s(?=(?:{_MONTH})\b)", re.IGNORECASE)
_DAY = re.compile(
    rf"(?<![\w.,:])(\d{{1,2}})\s({_MONTH}|(?:{'|'.join(_MONTH_SHORT)})\.)(?:\s(\d{{3,4}})(?:\s?{_YEAR_WORD})?)?(?!\w)",
    re.IGNORECASE,
)
_MONTH_YEAR = re.compile(r"\b([а-яё]+[ьйтеряа])\s(\d{4})\s?(г\.|года|год|году)(?!\w)", re.IGNORECASE)
_TIME = re.compile(r"(?<![\w:.])([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?![\w:])")
_YEARS_FROM_TO = re.compile(
    rf"\b([сСC])\s(\d{{4}})(?:\s?{_YEAR_WORD})?(?:\s|,\s)(по|до)\s(\d{{4}})(?:\s?{_YEAR_WORD})?(?!\w)"
)
_YEAR_RANGE = re.compile(rf"(?<![\w.,-])(\d{{3,4}}){_DASH}(\d{{3,4}})(?:\s?({_YEAR_WORD})|(?=\)))")
_YEAR = re.compile(rf"(?<![\w.,-])(\d{{3,4}})\s?({_YEAR_WORD})")
_LIFE = re.compile(r"(?<=\()(?:род\.\s)?(\d{4})(?=\))")
_DECADE = re.compile(r"(?<![\w.,-])(\d{2,4}0)-?(е|х|ых|м|ым|ми|ыми)(?=\s(?:год|гг))(\s(?:гг\.?(?!\w))?)")
_ROMAN = r"[IVXLХ]+"
_CENTURIES = re.compile(rf"(?<!\w)({_ROMAN}){_DASH}({_ROMAN})\s(вв\.|века|веках|веков|веками|столети[ияйх]+)(?!\w)")
_CENTURY = re.compile(
    rf"(?<!\w)({_ROMAN})(?:-(?:й|го|му|м))?\s(в\.|век[а-я]*|столети[а-я]*|съезд[а-я]*|тысячелети[а-я]*)(?!\w)"
)
_REGNAL = re.compile(r"\b([А-ЯЁ][а-яё]{2,})\s([IVX]+)(?![\w-])")
_NUMBERED = re.compile(
    r"(?<![\w-])((?:глав|част|том|раздел|класс|тип|групп|степен|фаз|этап|курс|акт)[а-я]{0,3}\s)([IVX]+)(?![\w-])",
    re.IGNORECASE,
)
_ALONE = re.compile(r"(?<![\w-])()([IVX]{2,})(?![\w-])")
_WORLD_WAR = re.compile(r"(?<!\w)(I{1,3})(?=\s([Мм]ировая|[Мм]ировой|[Мм]ировую|[Ии]нтернационал))")

_BY_ENDING = {
    "год": "n",
    "года": "g",
    "году": "p",
    "годе": "p",
    "годом": "i",
    "годы": "n",
    "годов": "g",
    "годах": "p",
    "годам": "d",
    "годами": "i",
}
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}


def roman(text: str) -> int:
    """The value of a Roman numeral (up to 89), 0 when it is none. A Cyrillic `Х` counts as ten."""
    text = text.replace("Х", "X")
    if not re.fullmatch(r"(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})", text):
        return 0
    values = [_VALUES[c] for c in text]
    return sum(v if v >= max(values[i:], default=0) else -v for i, v in enumerate(values))


def apply(text: Tracked) -> Tracked:
    """All rules of this module."""
    for pattern, rule in _RULES:
        text = text.sub(pattern, rule)
    return text


def _before(match: re.Match[str]) -> str:
    return match.string[max(match.start() - 40, 0) : match.start()]


def _day_case(before: str) -> str:
    """A date is genitive (when?) unless a preposition or `сегодня` asks for another case."""
    last = "".join(re.findall(r"[а-яё]+", before.lower())[-1:])
    if last in ("к", "ко"):
        return "d"
    if last in ("на", "по", "за", "сегодня", "завтра", "вчера", "это"):
        return "n"
    if last in ("перед", "между"):
        return "i"
    if last == "о":
        return "p"
    return "g"


def _date(day: int, month: int, year: int, before: str) -> str | None:
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return None
    said = f"{ordinal(day, _day_case(before), 'n')} {MONTHS[month - 1]}"
    return f"{said} {ordinal(year, 'g')} года" if year else said


def _numeric(match: re.Match[str]) -> str | None:
    day, month, year = (int(g) for g in match.groups())
    if len(match[3]) == 2:
        year += 2000 if year < 50 else 1900
    return _date(day, month, year, _before(match))


def _iso(match: re.Match[str]) -> str | None:
    return _date(int(match[3]), int(match[2]), int(match[1]), _before(match))


def _day(match: re.Match[str]) -> str | None:
    name = match[2].lower()
    name = name if name in MONTHS else _MONTH_SHORT[name.rstrip(".")]
    return _date(int(match[1]), MONTHS.index(name) + 1, int(match[3] or 0), _before(match))


def _day_range(match: re.Match[str]) -> str | None:
    first, last = int(match[1]), int(match[2])
    if not 1 <= first < last <= 31:
        return None
    return f"{ordinal(first, 'g', 'n')} – {ordinal(last, 'g', 'n')} "


def _time(match: re.Match[str]) -> str:
    hour, minute, second = (int(g) if g else None for g in match.groups())
    assert hour is not None and minute is not None
    case = case_in(_before(match), "")
    if minute == 0 and second is None:
        return f"{cardinal(hour, case)} {HOUR.counted(hour, case)}"
    parts = [cardinal(hour, case)]
    for value in (minute, second):
        if value is not None:
            zero = "ноль " if value < 10 else ""
            parts.append(f"{zero}{cardinal(value, case if not zero else 'n')}")
    return " ".join(parts)


def _year_word(word: str, before: str) -> tuple[str, str]:
    """(case, how `г.` is read) of the word behind a year."""
    full = word.rstrip(".").lower()
    if full in _BY_ENDING:
        case = _BY_ENDING[full]
        if full == "году" and re.search(r"\b[Кк]о?\s*$", before):
            case = "d"
        return case, full
    if re.search(r"\b[Вв]о?\s*$", before):
        return "p", "году"
    if re.search(r"\b[Кк]о?\s*$", before):
        return "d", "году"
    if re.search(rf"(?:\b(?:с|до|от|после|около|начала|конца|осени|весны|лета|зимы|{_MONTH})\s*$)", before.lower()):
        return "g", "года"
    return "n", "год"


def _year(match: re.Match[str]) -> str | None:
    number = int(match[1])
    plural = match[2].lower() in ("годов", "годах", "годам", "годами", "годы", "гг.", "гг")
    if not 100 <= number <= 2999 or plural:
        return None
    case, said = _year_word(match[2], _before(match))
    return f"{ordinal(number, case)} {said}"


def _year_range(match: re.Match[str]) -> str | None:
    first, last = int(match[1]), int(match[2])
    if not 100 <= first < last <= 2999:
        return None
    word = (match[3] or "").rstrip(".").lower()
    if not word:
        return f"{ordinal(first)} – {ordinal(last)}"
    if re.search(r"\b[Вв]о?\s*$", _before(match)):
        case, said = "p", "годах"
    else:
        case = _BY_ENDING.get(word, "n")
        said = word if word in _BY_ENDING and word != "год" else "годы"
    return f"{ordinal(first, case)} – {ordinal(last, case)} {said}"


def _years_from_to(match: re.Match[str]) -> str | None:
    first, last = int(match[2]), int(match[4])
    if not 1000 <= first <= 2999 or not 1000 <= last <= 2999:
        return None
    until, word = ("g", "года") if match[3] == "до" else ("n", "год")
    return f"{match[1]} {ordinal(first, 'g')} {match[3]} {ordinal(last, until)} {word}"


def _decade(match: re.Match[str]) -> str:
    case = {"е": "n", "х": "g", "ых": "g", "м": "d", "ым": "d", "ми": "i", "ыми": "i"}[match[2]]
    tail = match[3]
    if "гг" in tail:
        tail = " " + {"n": "годы", "g": "годов", "d": "годам", "i": "годами"}[case]
        if case == "g" and re.search(r"\b[Вв]о?\s*$", _before(match)):
            tail = " годах"
    return ordinal(int(match[1]), case, plural=True) + tail


def _month_year(match: re.Match[str]) -> str | None:
    if not any(match[1].lower()[:3] == month[:3] for month in MONTHS):
        return None
    return f"{match[1]} {ordinal(int(match[2]), 'g')} года"


def _century(match: re.Match[str]) -> str | None:
    number = roman(match[1])
    if not number:
        return None
    word = match[2].lower()
    if word == "в.":
        case, word = ("p", "веке") if re.search(r"\b[Вв]о?\s*$", _before(match)) else ("n", "век")
        if re.search(r"\b(?:с|до|от|после|начала|начале|конца|конце|середине|половине|половины)\s*$", _before(match)):
            case, word = "g", "века"
        return f"{ordinal(number, case)} {word}"
    gender = "n" if word.endswith(("ие", "ия", "ии", "ию", "ием")) else "m"
    case = {"а": "g", "я": "g", "у": "d", "ю": "d", "е": "p", "и": "p", "м": "i"}.get(word[-1], "n")
    if gender == "n" and word.endswith("ие"):
        case = "n"
    return f"{ordinal(number, case, gender)} {word}"


def _centuries(match: re.Match[str]) -> str | None:
    first, last = roman(match[1]), roman(match[2])
    if not first or not last:
        return None
    word = match[3]
    case = {"вв.": "n", "века": "n", "веков": "g", "веках": "p", "веками": "i"}.get(word, "n")
    if word == "вв.":
        word = "века"
        if re.search(r"\b[Вв]о?\s*$", _before(match)):
            case, word = "p", "веках"
    return f"{ordinal(first, case)} – {ordinal(last, case)} {word}"


def _regnal(match: re.Match[str]) -> str | None:
    name, number = match[1], roman(match[2])
    if not number or len(match[2]) > 5:
        return None
    case, gender = "n", "m"
    for ending, found in _NAME_ENDINGS:
        if name.lower().endswith(ending):
            case, gender = found
            break
    return f"{name} {ordinal(number, case, gender).capitalize()}"


def _numbered(match: re.Match[str]) -> str | None:
    number = roman(match[2])
    return f"{match[1]}{cardinal(number)}" if number else None


_NAME_ENDINGS: tuple[tuple[str, tuple[str, str]], ...] = (
    ("ина", ("n", "f")),
    ("ины", ("g", "f")),
    ("ине", ("d", "f")),
    ("ину", ("a", "f")),
    ("иной", ("i", "f")),
    ("вета", ("n", "f")),
    ("веты", ("g", "f")),
    ("анна", ("n", "f")),
    ("анны", ("g", "f")),
    ("рия", ("n", "f")),
    ("рии", ("g", "f")),
    ("а", ("g", "m")),
    ("я", ("g", "m")),
    ("у", ("d", "m")),
    ("ю", ("d", "m")),
    ("ом", ("i", "m")),
    ("ем", ("i", "m")),
    ("е", ("p", "m")),
)


def _world_war(match: re.Match[str]) -> str:
    word = match[2].lower()
    case, gender = {"мировая": ("n", "f"), "мировой": ("g", "f"), "мировую": ("a", "f")}.get(word, ("n", "m"))
    return ordinal(len(match[1]), case, gender)


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]], ...] = (
    (_NUMERIC, _numeric),
    (_ISO, _iso),
    (_DAY_RANGE, _day_range),
    (_DAY, _day),
    (_MONTH_YEAR, _month_year),
    (_TIME, _time),
    (_YEARS_FROM_TO, _years_from_to),
    (_DECADE, _decade),
    (_YEAR_RANGE, _year_range),
    (_YEAR, _year),
    (_LIFE, lambda m: f"{ordinal(int(m[1]))} год" if int(m[1]) < 3000 else None),
    (_CENTURIES, _centuries),
    (_CENTURY, _century),
    (_WORLD_WAR, _world_war),
    (_NUMBERED, _numbered),
    (_REGNAL, _regnal),
    (_ALONE, _numbered),
)
