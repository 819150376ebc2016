"""Language of a text, and the parts of IPA symbols."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarctl.text.language import detect
from avatarctl.text.phonemes import is_modifier, segments

LANGUAGES = {
    "Здравствуйте, как ваши дела?": "ru",
    "Да": "ru",
    "Привіт, як ваші справи? Що нового?": "uk",
    "Прывітанне, як вашы справы? Што новага ў вас?": "be",
    "Hello, how are you?": "en",
    "Reykjavik": "en",
    "Der Hund ist nicht im Haus, und das ist gut.": "de",
    "Les enfants sont dans la maison et ils mangent.": "fr",
    "¿Dónde está el niño? No lo sé, pero es una pregunta.": "es",
    "Il gatto non è sul tavolo, è nella casa della nonna.": "it",
    "Γειά σου κόσμε": "el",
    "שלום עולם": "he",
    "مرحبا بالعالم": "ar",
    "سلام چطور هستید": "fa",
    "你好世界": "cmn",
    "こんにちは世界": "ja",
    "안녕하세요": "ko",
    "नमस्ते": "hi",
    "გამარჯობა": "ka",
    "12345 !!!": "en",
    "": "en",
    "Он купил iPhone в Google Store за 5 руб.": "ru",
    "The word привет means hello in that language of the north": "en",
}


@pytest.mark.parametrize("text", LANGUAGES)
def test_languages(text: str) -> None:
    assert detect(text) == LANGUAGES[text]


@given(st.text(max_size=100))
def test_every_text_has_a_language(text: str) -> None:
    assert 2 <= len(detect(text)) <= 3


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("ˈja", [("j", 0), ("a", 2)]),
        ("tʃʲ", [("tʃʲ", 0)]),
        ("aɪ", [("a", 0), ("ɪ", 0)]),
        ("ˌoʊ", [("o", 1), ("ʊ", 0)]),
        ("ɑː", [("ɑː", 0)]),
        ("əl", [("ə", 0), ("l", 0)]),
        ("t͡sʲ", [("tsʲ", 0)]),
        ("ʲ", []),
        ("", []),
        ("_|-", []),
        ("ˈs", [("s", 2)]),
    ],
)
def test_symbols_are_taken_apart(symbol: str, expected: list[tuple[str, int]]) -> None:
    assert [(s.ipa, s.stress) for s in segments(symbol)] == expected


@given(st.text(alphabet="aɪuoˈˌʲːtʃjdʒ͡_x", max_size=8))
def test_shares_fill_the_symbol(symbol: str) -> None:
    parts = segments(symbol)
    assert not parts or abs(sum(p.share for p in parts) - 1) < 1e-9
    assert not (parts and is_modifier(symbol))
