"""Normalisation: golden Russian and English, respelling, origins of characters, hostile text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarctl.text.normalise import normalise, tracked
from avatarctl.text.russian import latin, words
from avatarctl.text.russian.dates import roman
from avatarctl.text.russian.nouns import UNITS
from avatarctl.text.tracked import Tracked

RUSSIAN = {
    # cardinals in their cases
    "21 книга, 22 книги, 25 книг": "Двадцать одна книга, двадцать две книги, двадцать пять книг",
    "1 минуту, 2 минуты, 1 окно": "Одну минуту, две минуты, одно окно",
    "2 дома и 2 новые книги": "Два дома и две новые книги",
    "около 100 человек": "Около ста человек",
    "от 5 до 10 лет": "От пяти до десяти лет",
    "в 5 городах": "В пяти городах",
    "с 5 друзьями": "С пятью друзьями",
    "к 5 часам": "К пяти часам",
    "более 1000 км": "Более тысячи километров",
    "между 3 и 7 домами": "Между тремя и семью домами",
    "0 ошибок": "Ноль ошибок",
    "1 000 000 рублей": "Один миллион рублей",
    "агент 007": "Агент ноль ноль семь",
    # ordinals
    "5-й дом": "Пятый дом",
    "2-я улица": "Вторая улица",
    "3-е место": "Третье место",
    "5-го числа": "Пятого числа",
    "к 10-му": "К десятому",
    "в 7-м классе": "В седьмом классе",
    "90-е годы": "Девяностые годы",
    "в 20-х годах": "В двадцатых годах",
    "3-х человек": "Трёх человек",
    "25-летний юноша": "Двадцатипятилетний юноша",
    "2-этажный дом": "Двухэтажный дом",
    # decimals, fractions, ranges, signs
    "3,14": "Три целых четырнадцать сотых",
    "2.5 метра": "Две целых пять десятых метра",
    "0,5 кг": "Ноль целых пять десятых килограмма",
    "1,5 часа": "Полтора часа",
    "3,14159": "Три запятая один четыре один пять девять",
    "3/4": "Три четвёртых",
    "5–10 км": "Пять – десять километров",
    "версия 2.0.1": "Версия два точка ноль точка один",
    "2 + 2 = 4": "Два плюс два равно четыре",
    "№ 5": "Номер пять",
    # years, dates, times, centuries
    "в 1961 году": "В тысяча девятьсот шестьдесят первом году",
    "1961 год": "Тысяча девятьсот шестьдесят первый год",
    "к 2025 году": "К две тысячи двадцать пятому году",
    "с 2010 г.": "С две тысячи десятого года",
    "в 2020 г. он ушёл": "В две тысячи двадцатом году он ушёл",
    "12 апреля 1961 г. он полетел": "Двенадцатого апреля тысяча девятьсот шестьдесят первого года он полетел",
    "12.04.1961": "Двенадцатого апреля тысяча девятьсот шестьдесят первого года",
    "2026-11-20": "Двадцатого ноября две тысячи двадцать шестого года",
    "сегодня 12 апреля": "Сегодня двенадцатое апреля",
    "к 1 мая": "К первому мая",
    "в 9:07": "В девять ноль семь",
    "в 14:30": "В четырнадцать тридцать",
    "в 12:00": "В двенадцать часов",
    "с 1941 по 1945 год": "С тысяча девятьсот сорок первого по тысяча девятьсот сорок пятый год",
    "1941–1945 гг.": "Тысяча девятьсот сорок первый – тысяча девятьсот сорок пятый годы",
    "Пушкин (1799–1837)": "Пушкин (тысяча семьсот девяносто девятый – тысяча восемьсот тридцать седьмой)",
    "в XIX веке": "В девятнадцатом веке",
    "в XX в.": "В двадцатом веке",
    "XVIII–XIX вв.": "Восемнадцатый – девятнадцатый века",
    "Пётр I и Екатерина II": "Пётр Первый и Екатерина Вторая",
    "указ Екатерины II": "Указ Екатерины Второй",
    "II мировая война": "Вторая мировая война",
    "глава IV": "Глава четыре",
    # money, units, per cent
    "25 %": "Двадцать пять процентов",
    "1%": "Один процент",
    "5,5 %": "Пять целых пять десятых процента",
    "$5": "Пять долларов",
    "100 ₽": "Сто рублей",
    "5 руб. 50 коп.": "Пять рублей пятьдесят копеек.",
    "1,5 млн руб. в год": "Полтора миллиона рублей в год",
    "2 тыс. человек": "Две тысячи человек",
    "$1,299.99": "Тысяча двести девяносто девять целых девяносто девять сотых доллара",
    "60 км/ч": "Шестьдесят километров в час",
    "-5 °C": "Минус пять градусов Цельсия",
    "25 м²": "Двадцать пять квадратных метров",
    "8 ГБ": "Восемь гигабайт",
    "3,5 ГГц": "Три целых пять десятых гигагерца",
    "100 Мбит/с": "Сто мегабит в секунду",
    # abbreviations, initialisms, telephones
    "т. е. так": "То есть так",
    "чай, кофе и т. д.": "Чай, кофе и так далее.",
    "на ул. Ленина, д. 5, кв. 12": "На улице Ленина, дом пять, квартира двенадцать",
    "в г. Москве": "В городе Москве",
    "до н. э.": "До нашей эры.",
    "СССР и США, НАСА и МГУ": "Эс-эс-эс-э\u0301р и сэ-шэ-а\u0301, НАСА и эм-гэ-у\u0301",
    "из ООН": "Из о-о-э\u0301н",
    "+7 (495) 123-45-67": "Плюс семь, четыреста девяносто пять, сто двадцать три, сорок пять, шестьдесят семь",
    # Latin, addresses, emoji, markup
    "Google и YouTube": "Гугл и ютью\u0301б",
    "язык C#": "Язык си шарп",
    "Он работает на Windows 11": "Он работает на ви\u0301ндоус одиннадцать",
    "адрес info@mail.ru.": "Адрес инфо собака мэйл точка ру.",
    "сайт https://mail.ru/path?x=1.": "Сайт мэйл точка ру.",
    "Привет 🙂!": "Привет!",
    "**важно** и `код`": "Важно и код",
    "[ссылка](https://a.ru/b)": "Ссылка",
    "и/или": "И или",
}


@pytest.mark.parametrize("written", RUSSIAN, ids=lambda t: t[:30])
def test_russian(written: str) -> None:
    assert normalise(written, "ru") == RUSSIAN[written]


ENGLISH = {
    "In 1961 he flew": "In 19 61 he flew",
    "It costs $5.50 or $3 million": "It costs 5.50 dollars or 3 million dollars",
    "25% at 60 km/h": "25 percent at 60 kilometres per hour",
    "e.g. cats & dogs": "for example cats and dogs",
    "pages 5–10": "pages 5 to 10",
    "see www.example.com/path.": "see example dot com.",
    "1 km": "1 kilometre",
    "**bold** 🙂 text": "bold text",
}


@pytest.mark.parametrize("written", ENGLISH)
def test_english(written: str) -> None:
    assert normalise(written, "en") == ENGLISH[written]


def test_other_languages_keep_their_words() -> None:
    assert normalise("Grüße, schöne Welt! 🙂", "de") == "Grüße, schöne Welt!"
    assert normalise("مرحبا بالعالم", "ar") == "مرحبا بالعالم"
    assert normalise("नमस्ते दुनिया", "hi") == "नमस्ते दुनिया"


def test_units_agree_with_their_number() -> None:
    said = [UNITS["км/ч"].counted(n, "n") for n in (1, 2, 5, 11, 21, 112)]
    assert said == ["километр в час", "километра в час"] + 2 * ["километров в час"] + [
        "километр в час",
        "километров в час",
    ]
    assert UNITS["л.с"].counted(1, "n") == "лошадиная сила"
    assert UNITS["м³"].counted(2, "n") == "кубических метра"
    assert UNITS["руб"].counted(5, "d") == "рублям"


@pytest.mark.parametrize(("text", "number"), [("IV", 4), ("XIX", 19), ("ХХ", 20), ("XLV", 45), ("IIII", 0), ("VX", 0)])
def test_roman_numerals(text: str, number: int) -> None:
    assert roman(text) == number


@pytest.mark.parametrize(("word", "said"), [("НАТО", None), ("ВУЗ", None), ("МВД", "эм-вэ-дэ\u0301")])
def test_initialisms_are_spelled_only_where_they_are_no_words(word: str, said: str | None) -> None:
    assert words.letters(word) == said


def test_shouting_is_not_spelled() -> None:
    assert normalise("ЭТО ОЧЕНЬ ВАЖНЫЙ ТЕКСТ", "ru") == "ЭТО ОЧЕНЬ ВАЖНЫЙ ТЕКСТ"


RESPELLED = {
    "məʃˈiːn": "маши\u0301н",
    "lˈɜːnɪŋ": "лёрнинг",
    "bˈɜːd": "бёрд",
    "ɡˈuːɡəl": "гу\u0301гал",
    "sˈɔftwɛɹ": "со\u0301фтвэр",
    "dʒˈuːn tʃˈɛk": "джун чэк",
    "": "",
}


@pytest.mark.parametrize("ipa", RESPELLED)
def test_english_phonemes_in_cyrillic(ipa: str) -> None:
    assert latin.respelled(ipa) == RESPELLED[ipa]


def test_unknown_latin_words_ask_the_pronouncer_once_each() -> None:
    asked: list[str] = []

    def pronounce(word: str) -> str:
        asked.append(word)
        return "mˈuːvi"

    assert normalise("movie и movie", "ru", pronounce) == "Му\u0301ви и му\u0301ви"
    assert asked == ["movie"]


def test_latin_without_a_pronouncer_is_respelled_by_letters() -> None:
    assert normalise("группа Shipka", "ru") == "Группа шипка"


@given(st.text(max_size=200))
def test_any_text_is_normalised_and_keeps_its_origins(text: str) -> None:
    for language in ("ru", "en", "fr"):
        made = tracked(text, language)
        assert len(made.starts) == len(made.ends) == len(made.text)
        assert all(0 <= a <= b <= len(text) for a, b in zip(made.starts, made.ends, strict=True))
        assert made.starts == sorted(made.starts)
        assert made.ends == sorted(made.ends)


SHORTHAND = "5 1961 12.04.1961 9:07 № % $ км/ч г. в году – - , . ( ) XIX СССР Google т. е. 1,5 млн руб. -й +7 495 😀"
FRAGMENTS = st.sampled_from([*SHORTHAND.split(), "//", "@", "https://", "9" * 20, "1/2", "000", "2.0.1", "апреля"])


@given(st.lists(FRAGMENTS, max_size=14), st.sampled_from(["", " "]))
def test_russian_never_leaves_a_number_in_digits(parts: list[str], glue: str) -> None:
    made = normalise(glue.join(parts), "ru")
    assert not any(c.isdecimal() for c in made), made


def test_origins_point_at_the_words_as_written() -> None:
    written = "Скорость 60 км/ч была"
    made = tracked(written, "ru")
    start = made.text.index("километров")
    first, last = made.origin(start, start + len("километров"))
    assert written[first:last] == "60 км/ч"
    start = made.text.index("была")
    assert made.origin(start, start + 4) == (17, 21)


def test_a_rewriting_keeps_the_origin_of_common_ends() -> None:
    import re

    made = Tracked.of("ab cd ef").sub(re.compile("cd"), "cXd")
    assert made.text == "ab cXd ef"
    assert [made.origin(i, i + 1) for i in (3, 4, 5)] == [(3, 4), (4, 4), (4, 5)]
