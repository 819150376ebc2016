"""Declension of the nouns that numbers are read with: units, money, scales, times."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.text.wordlist import words

CASES = "ngdaip"
"""Nominative, genitive, dative, accusative, instrumental, prepositional."""

_ENDINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "m": (("", "а", "у", "", "ом", "е"), ("ы", "ов", "ам", "ы", "ами", "ах")),
    "k m": (("", "а", "у", "", "ом", "е"), ("и", "ов", "ам", "и", "ами", "ах")),
    "soft m": (("ь", "я", "ю", "ь", "ём", "е"), ("и", "ей", "ям", "и", "ями", "ях")),
    "f": (("а", "ы", "е", "у", "ой", "е"), ("ы", "", "ам", "ы", "ами", "ах")),
    "k f": (("а", "и", "е", "у", "ой", "е"), ("и", "", "ам", "и", "ами", "ах")),
    "ch f": (("а", "и", "е", "у", "ей", "е"), ("и", "", "ам", "и", "ами", "ах")),
    "soft f": (("я", "и", "е", "ю", "ей", "е"), ("и", "ь", "ям", "и", "ями", "ях")),
    "fixed": (("",) * 6, ("",) * 6),
}
_ADJECTIVE = {
    "m": ("ый", "ого", "ому", "ый", "ым", "ом"),
    "f": ("ая", "ой", "ой", "ую", "ой", "ой"),
    "plural": ("ые", "ых", "ым", "ые", "ыми", "ых"),
}


@dataclass(frozen=True, slots=True)
class Noun:
    """A stem and its declension. `genitive_plural`: where it is irregular. `adjective`: stem of one before it.
    `after`: words that follow unchanged (`в час`)."""

    stem: str
    declension: str = "m"
    genitive_plural: str = ""
    adjective: str = ""
    after: str = ""

    @property
    def gender(self) -> str:
        """`m` or `f`."""
        return "f" if self.declension.endswith("f") else "m"

    def form(self, case: str, *, plural: bool) -> str:
        """One form; `case` is a letter of `CASES`."""
        return self._joined(case, case, plural=plural)

    def counted(self, number: int, case: str) -> str:
        """The form after a whole number in that case: `один метр`, `два метра`, `пяти метрам`."""
        last, teen = number % 10, number // 10 % 10 == 1
        if last == 1 and not teen:
            return self.form(case, plural=False)
        if case not in "na":
            return self.form(case, plural=True)
        if 2 <= last <= 4 and not teen:
            return self._joined("g", "g", plural=False, adjective_plural=True)
        return self.form("g", plural=True)

    def part(self) -> str:
        """The form after a fraction: `две десятых метра`."""
        return self.form("g", plural=False)

    def _joined(self, case: str, adjective_case: str, *, plural: bool, adjective_plural: bool = False) -> str:
        if plural and case == "g" and self.genitive_plural:
            word = self.genitive_plural
        else:
            word = self.stem + _ENDINGS[self.declension][plural][CASES.index(case)]
        if self.adjective:
            endings = _ADJECTIVE["plural" if plural or adjective_plural else self.gender]
            ending = endings[CASES.index(adjective_case)]
            if self.adjective.endswith("к") and ending.startswith("ы"):
                ending = "и" + ending[1:]
            word = f"{self.adjective}{ending} {word}"
        return f"{word} {self.after}" if self.after else word


# symbols: stem, declension, irregular genitive plural, adjective, words after
_TABLE = """
м m: метр
км km: километр
см cm: сантиметр
мм mm: миллиметр
дм: дециметр
мкм: микрометр
нм: нанометр
м² м2: метр, m, , квадратн
км² км2: километр, m, , квадратн
см² см2: сантиметр, m, , квадратн
мм² мм2: миллиметр, m, , квадратн
м³ м3: метр, m, , кубическ
см³ см3: сантиметр, m, , кубическ
км³ км3: километр, m, , кубическ
км/ч: километр, m, , , в час
км/с: километр, m, , , в секунду
м/с: метр, m, , , в секунду
м/мин: метр, m, , , в минуту
м/с²: метр, m, , , на секунду в квадрате
г гр: грамм
кг kg: килограмм
мг: миллиграмм
мкг: микрограмм
ц: центнер
т: тонн, f
л: литр
мл: миллилитр
га: гектар
л/с: литр, m, , , в секунду
ч час: час
мин: минут, f
сек с: секунд, f
мс: миллисекунд, f
ккал: килокалори, soft f, килокалорий
Па: паскал, soft m
кПа: килопаскал, soft m
МПа: мегапаскал, soft m
атм: атмосфер, f
Б: байт, m, байт
КБ кБ Кб KB: килобайт, m, килобайт
МБ Мб MB: мегабайт, m, мегабайт
ГБ Гб GB: гигабайт, m, гигабайт
ТБ Тб TB: терабайт, m, терабайт
МБ/с: мегабайт, m, мегабайт, , в секунду
кбит/с: килобит, m, килобит, , в секунду
Мбит/с: мегабит, m, мегабит, , в секунду
Гбит/с: гигабит, m, гигабит, , в секунду
Гц Hz: герц, m, герц
кГц kHz: килогерц, m, килогерц
МГц MHz: мегагерц, m, мегагерц
ГГц GHz: гигагерц, m, гигагерц
В: вольт, m, вольт
кВ: киловольт, m, киловольт
А: ампер, m, ампер
мА: миллиампер, m, миллиампер
Вт: ватт, m, ватт
кВт: киловатт, m, киловатт
МВт: мегаватт, m, мегаватт
ГВт: гигаватт, m, гигаватт
кВт·ч кВтч: киловатт-час
Дж: джоул, soft m
кДж: килоджоул, soft m
дБ: децибел, m, децибел
об/мин: оборот, m, , , в минуту
л.с: сил, f, , лошадин
шт: штук, k f
экз: экземпляр
чел: человек, k m, человек
°C °С ℃: градус, m, , , Цельсия
°F: градус, m, , , Фаренгейта
°: градус
%: процент
‰: промилле, fixed
руб р ₽ RUB: рубл, soft m
коп: копе, soft f, копеек
$ USD долл: доллар
€ EUR: евро, fixed
£: фунт
¥: иен, f
₴: гривн, f, гривен
₸: тенге, fixed
"""


def _units() -> dict[str, Noun]:
    found = {}
    for line in _TABLE.strip().splitlines():
        symbols, _, description = line.partition(": ")
        noun = Noun(*(part.strip() for part in description.split(",")))
        found.update(dict.fromkeys(symbols.split(), noun))
    return found


UNITS = _units()
"""By symbol, without its full stop."""

MONEY = "$€£¥₽₴₸"
"""Symbols that may stand before the sum."""

SCALES: dict[str, tuple[int, Noun]] = {
    "тыс": (1_000, Noun("тысяч", "ch f")),
    "млн": (1_000_000, Noun("миллион")),
    "млрд": (1_000_000_000, Noun("миллиард")),
    "трлн": (1_000_000_000_000, Noun("триллион")),
}

MONTHS = words("января февраля марта апреля мая июня июля августа сентября октября ноября декабря")
"""In the genitive, as dates have them."""

HOUR = Noun("час")
