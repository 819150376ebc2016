"""Abbreviations to whole words, and initialisms to the names of their letters."""

from __future__ import annotations

import re

from avatarctl.text.tracked import Tracked
from avatarctl.text.wordlist import phrases, words

_SPACE = "[ \u00a0]?"
_BEFORE_NUMBER = {
    "д": "дом",
    "кв": "квартира",
    "корп": "корпус",
    "стр": "страница",
    "с": "страница",
    "гл": "глава",
    "рис": "рисунок",
    "табл": "таблица",
    "п": "пункт",
    "ст": "статья",
    "ч": "часть",
    "т": "том",
}
_NUMBERED = re.compile(rf"(?<![\w-])({'|'.join(_BEFORE_NUMBER)})\.(?=\s?\d)", re.IGNORECASE)

_PLACES = {
    "ул": ("улица", "улицы", "улице", "улице"),
    "г": ("город", "города", "городу", "городе"),
    "пл": ("площадь", "площади", "площади", "площади"),
    "просп": ("проспект", "проспекта", "проспекту", "проспекте"),
    "пер": ("переулок", "переулка", "переулку", "переулке"),
    "наб": ("набережная", "набережной", "набережной", "набережной"),
    "пос": ("посёлок", "посёлка", "посёлку", "посёлке"),
    "дер": ("деревня", "деревни", "деревне", "деревне"),
    "оз": ("озеро", "озера", "озеру", "озере"),
}
"""Nominative, genitive, dative, prepositional."""
_PLACE = re.compile(
    rf"(?:(?<![\w-])(?P<preposition>в|во|на|о|об|при|из|от|до|с|у|для|около|к|ко|по)(?P<space>\s))?"
    rf"(?<![\w-])(?P<place>{'|'.join(_PLACES)})\.\s?(?=[«\"]?[А-ЯЁ])",
    re.IGNORECASE,
)
_CASE_AFTER = dict.fromkeys(("в", "во", "на", "о", "об", "при"), 3) | dict.fromkeys(("к", "ко", "по"), 2)
_CASE_AFTER |= dict.fromkeys(("из", "от", "до", "с", "у", "для", "около"), 1)

_ABBREVIATIONS: dict[str, str] = {
    rf"т\.{_SPACE}е\.": "то есть",
    rf"т\.{_SPACE}к\.": "так как",
    rf"т\.{_SPACE}н\.": "так называемый",
    rf"и{_SPACE}т\.{_SPACE}д\.": "и так далее",
    rf"и{_SPACE}т\.{_SPACE}п\.": "и тому подобное",
    rf"в{_SPACE}т\.{_SPACE}ч\.": "в том числе",
    r"и др\.": "и другие",
    r"и пр\.": "и прочее",
    rf"до{_SPACE}н\.{_SPACE}э\.": "до нашей эры",
    rf"н\.{_SPACE}э\.": "нашей эры",
    rf"и\.{_SPACE}о\.(?=\s[а-яё])": "исполняющий обязанности",
    rf"с\.{_SPACE}ш\.": "северной широты",
    rf"ю\.{_SPACE}ш\.": "южной широты",
    rf"в\.{_SPACE}д\.": "восточной долготы",
    rf"з\.{_SPACE}д\.": "западной долготы",
    r"напр\.": "например",
    r"см\.(?=\s[а-яёА-ЯЁ])": "смотри",
    r"ср\.(?=\s[а-яё])": "сравни",
    r"пр-т": "проспект",
    r"обл\.": "область",
    r"респ\.": "республика",
    r"р-н": "район",
    r"проф\.": "профессор",
    r"акад\.": "академик",
    r"доц\.": "доцент",
    r"им\.(?=\s[А-ЯЁ])": "имени",
    r"тел\.": "телефон",
    r"эл\.(?=\s)": "электронная",
    r"руб\.": "рублей",
    r"коп\.": "копеек",
    r"тыс\.": "тысяч",
    r"млн\.?": "миллионов",
    r"млрд\.?": "миллиардов",
    r"гг\.": "годы",
    r"вв\.": "века",
    r"чел\.": "человек",
    r"мин\.": "минут",
    r"сек\.": "секунд",
    r"км/ч": "километров в час",
    r"м/с": "метров в секунду",
}
_NEVER_LAST = frozenset(
    phrases(
        "то есть;так как;так называемый;в том числе;исполняющий обязанности;например;смотри;сравни;профессор;академик"
        ";доцент;имени;телефон;электронная"
    )
)
_ANY = re.compile(
    "|".join(rf"(?P<a{i}>(?<![\w-]){pattern}(?!\w))" for i, pattern in enumerate(_ABBREVIATIONS)), re.IGNORECASE
)
_WORDS = tuple(_ABBREVIATIONS.values())

_LETTERS = dict(
    zip(
        "АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
        words("а бэ вэ гэ дэ е ё жэ зэ и ий ка эль эм эн о пэ эр эс тэ у эф ха цэ че ша ща ъ ы ь э ю я"),
        strict=True,
    )
)
_INITIALISM = re.compile(r"(?<![\w-])[А-ЯЁ]{2,6}(?![а-яё\w])")
_VOWEL, _CONSONANT = "[АЕЁИОУЫЭЮЯ]", "[БВГДЖЗЙКЛМНПРСТФХЦЧШЩ]"
_READ_AS_WORD = re.compile(
    rf"{_CONSONANT}{{1,2}}{_VOWEL}{_CONSONANT}{{1,2}}|(?:{_CONSONANT}{_VOWEL}){{2,3}}{_CONSONANT}?"
    rf"|{_VOWEL}{_CONSONANT}{_VOWEL}{_CONSONANT}?|{_CONSONANT}{_VOWEL}{_CONSONANT}{{1,2}}{_VOWEL}{_CONSONANT}?"
)
_SPECIAL = {
    "США": "сэ-шэ-а́",
    "ФРГ": "фэ-эр-гэ́",
    "ФСБ": "эф-эс-бэ́",
    "НИИ": "нии́",
    "МЧС": "эм-че-э́с",
    "ОК": "окей",
    "ЮАР": "юа́р",
    "ГЭС": "гэс",
    "АЭС": "аэ́с",
    "ВАЗ": "ваз",
    "ЛЭП": "лэп",
    "ЖЭК": "жэк",
    "ЮНЕСКО": "юнэ́ско",
    "ИКЕА": "ике́а",
    "МИД": "мид",
    "ВИЧ": "вич",
    "СПИД": "спид",
    "РАН": "ран",
    "ДНК": "дэ-эн-ка́",
}
_STRESSED = re.compile(r"[аеёиоуыэюя](?=[^аеёиоуыэюя]*$)")
_WORD_SHORT = frozenset(
    words("НЕ НА НО ДА ОН ОНА МЫ ВЫ ТЫ ЭТО КАК ЧТО ТАК ВСЕ ВСЁ ДЛЯ ИЛИ ПО ДО ОТ ЗА ИЗ ТО БЫ ЖЕ И О У")
)
_STRICTLY_LETTERS = frozenset(words("ГИБДД ОБЖ ЭВМ ИП ЕС ИИ"))


def before_numbers(text: Tracked) -> Tracked:
    """`д. 5`, `рис. 3`: must go before the numbers become words."""
    return text.sub(_NUMBERED, lambda m: _BEFORE_NUMBER[m[1].lower()])


def apply(text: Tracked) -> Tracked:
    """Abbreviations, then initialisms; text that is all capitals is shouting, not initialisms."""
    text = text.sub(_PLACE, _place)
    text = text.sub(_ANY, _abbreviation)
    if _shouted(text.text):
        return text
    return text.sub(_INITIALISM, lambda m: letters(m[0]))


def letters(word: str) -> str | None:
    """How a word in capitals is read: `эс-эс-эс-эр`, or None when it is a word (`НАСА`)."""
    if word in _SPECIAL:
        return _SPECIAL[word]
    if word in _WORD_SHORT or (_READ_AS_WORD.fullmatch(word) and word not in _STRICTLY_LETTERS):
        return None
    names = [_LETTERS[c] for c in word]
    # The last letter is stressed, the names before it are said quickly.
    names[-1] = _STRESSED.sub(lambda m: m[0] + "\u0301", names[-1])
    return "-".join(names)


def _place(match: re.Match[str]) -> str | None:
    preposition, short = match["preposition"], match["place"]
    if short[0].isupper() and not short.isupper() and preposition:
        return None
    if len(short) == 1 and short.isupper():
        # `Г. Иванов`: somebody's initial.
        return None
    said = _PLACES[short.lower()][_CASE_AFTER.get((preposition or "").lower(), 0)]
    said = said.capitalize() if short[0].isupper() else said
    return f"{preposition or ''}{match['space'] or ''}{said} "


def _abbreviation(match: re.Match[str]) -> str:
    written, said = match[0], _WORDS[int((match.lastgroup or "a0")[1:])]
    rest = match.string[match.end() : match.end() + 3]
    # The full stop of the abbreviation may be the sentence's too.
    ends = written.endswith(".") and (not rest.strip() or (said not in _NEVER_LAST and rest.strip()[:1].isupper()))
    if written[0].isupper():
        said = said[0].upper() + said[1:]
    return said + "." if ends else said


def _shouted(text: str) -> bool:
    found = re.findall(r"[А-ЯЁа-яё]{2,}", text)
    capitals = [w for w in found if w.isupper()]
    return len(found) > 2 and len(capitals) > 0.6 * len(found) and max(map(len, capitals)) > 5
