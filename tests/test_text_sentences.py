"""Sentences: borders, pauses, streams cut anywhere, long sentences, hostile text."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarctl.errors import BadInput
from avatarctl.text import sentences
from avatarctl.text.sentences import SentenceStream, clean, speakable, split


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def texts(text: str, limit: int = sentences.LIMIT) -> list[str]:
    return [s.text for s in split(text, limit)]


BORDERS = [
    ["Здравствуйте!", "Как дела?", "Хорошо."],
    ["Меня зовут А. С. Пушкин.", "Я поэт."],
    ["А. В. Иванов пришёл.", "Он ждал."],
    ["Он жил на ул. Ленина, д. 5, кв. 12.", "Потом уехал."],
    ["В 1961 г. Юрий Гагарин полетел в космос.", "Ура!"],
    ["Это было в 1961 г.", "Потом он вернулся."],
    ["Он родился в г. Гжатске, т. е. недалеко.", "Вот."],
    ["Яблоки, груши и т. д. лежат тут.", "Да."],
    ["Яблоки, груши и т.д.", "Лимоны отдельно."],
    ["Число 3.14 и дата 12.04.1961 целы.", "Да."],
    ["Ну... я не знаю.", "Может быть…", "Нет."],
    ["«Привет!» — сказал он.", "Ушёл."],
    ["— Куда ты? — спросила она.", "— Домой."],
    ["Он сказал: «Пора.»", "И ушёл."],
    ["(Это в скобках.)", "Это нет."],
    ["Dr. Smith met Mr. Brown, e.g. at 5 p.m. sharp.", "It rained."],
    ["I live in the U.S.", "He does not."],
    ["Смотри https://example.com/a.b?c=d&e=f.", "Там всё есть."],
    ["Пишите на ivan.petrov@example.com.", "Ответим."],
    ["Это витамин С.", "Он полезен."],
    ["XX в. был долгим.", "Он прошёл."],
    ["Вес 5 кг. и рост 2 м.", "Много."],
    ["Ура! 🙂", "Как дела?"],
    ["Что?!", "Не может быть..."],
    ["Версия 2.0 вышла.", "Node.js тоже."],
]


@pytest.mark.parametrize("expected", BORDERS, ids=lambda e: e[0][:24])
def test_borders(expected: list[str]) -> None:
    assert texts(" ".join(expected)) == expected


def test_a_missing_space_after_a_full_stop() -> None:
    assert texts("Привет.Как дела?Хорошо") == ["Привет.", "Как дела?", "Хорошо"]


def test_scripts_without_spaces() -> None:
    assert texts("你好。我很好！再见") == ["你好。", "我很好！", "再见"]


def test_lists_headings_and_paragraphs() -> None:
    text = "Заголовок\nСписок дел:\n- купить хлеб\n- позвонить\n1. Первое.\n2. Второе\n\nНовый абзац,\nв две строки."
    made = split(text)
    assert [s.text for s in made] == [
        "Заголовок",
        "Список дел:",
        "- купить хлеб",
        "- позвонить",
        "1. Первое.",
        "2. Второе",
        "Новый абзац, в две строки.",
    ]
    assert made[5].pause == sentences.PARAGRAPH_PAUSE
    assert made[6].pause == sentences.CLOSING_PAUSE


def test_a_wrapped_line_goes_on() -> None:
    text = "Это довольно длинная строка, которую редактор перенёс на\nследующую, и она продолжается."
    assert texts(text) == [" ".join(text.split())]


def test_pauses_by_punctuation() -> None:
    made = split("Раз. Два… Три!\n\nЧетыре?")
    assert [s.pause for s in made] == [
        sentences.SENTENCE_PAUSE,
        sentences.ELLIPSIS_PAUSE,
        sentences.PARAGRAPH_PAUSE,
        sentences.CLOSING_PAUSE,
    ]


def test_nothing_speakable_makes_no_sentence() -> None:
    assert split("*** ... \n 🙂") == []
    assert split("") == []
    assert texts("***\n\nПривет. ---") == ["*** Привет. ---"]


def test_long_sentences_are_cut_at_clauses() -> None:
    text = "Когда наступает утро, " + ", ".join(f"часть номер {i} этого рассказа продолжается" for i in range(30)) + "."
    made = split(text)
    assert all(len(s.text) <= sentences.LIMIT for s in made)
    assert all(s.text.endswith(",") and s.pause == sentences.CLAUSE_PAUSE for s in made[:-1])
    assert words(" ".join(s.text for s in made)) == words(text)


def test_a_word_without_end_is_cut_too() -> None:
    made = split("ы" * 1000)
    assert [len(s.text) for s in made] == [300, 300, 200, 200]


MARKS = st.sampled_from("абвГД eFгт.!?…,;:—-»«\"')(\n\n  *1250🙂_/@́你。")
LETTERS = st.text(alphabet=MARKS | st.characters(codec="utf-8"), max_size=120)


@given(text=LETTERS, cuts=st.lists(st.integers(0, 120), max_size=12), limit=st.sampled_from([20, 60, 300]))
def test_a_stream_cut_anywhere_equals_the_whole(text: str, cuts: list[int], limit: int) -> None:
    stream = SentenceStream(limit)
    borders = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    made = [s for a, b in itertools.pairwise(borders) for s in stream.feed(text[a:b])]
    assert made + stream.close() == split(text, limit)


@given(text=LETTERS, limit=st.sampled_from([20, 60, 300]))
def test_no_word_is_lost_and_no_sentence_too_long(text: str, limit: int) -> None:
    made = split(text, limit)
    letters = "".join(c for c in text if c.isalnum())
    assert "".join(c for s in made for c in s.text if c.isalnum()) == letters
    assert all(len(s.text) <= limit and speakable(s.text) and s.pause > 0 for s in made)
    if made:
        assert made[-1].pause == sentences.CLOSING_PAUSE


def test_streams_hand_over_early() -> None:
    stream = SentenceStream()
    assert stream.feed("Привет! Как") == []
    assert [s.text for s in stream.feed(" дела")] == ["Привет!"]
    assert [s.text for s in stream.close()] == ["Как дела"]
    assert stream.close() == []


def test_clean_removes_what_is_not_text() -> None:
    assert clean("\ufeffи\u0306\x00\u202e \u00ad\ud800\r\nмир\t!") == "й \nмир\t!"


@pytest.mark.parametrize("text", ["", "  \n", "***", "...!?", "🙂🙂", "\x00\x01", "\u202e"])
def test_clean_refuses_text_without_speech(text: str) -> None:
    with pytest.raises(BadInput, match=r"nothing to speak|empty"):
        clean(text)


def test_clean_refuses_too_much() -> None:
    assert len(clean("а" * sentences.MAX_TEXT)) == sentences.MAX_TEXT
    with pytest.raises(BadInput) as caught:
        clean("а" * (sentences.MAX_TEXT + 1))
    assert "batch" in caught.value.hint
