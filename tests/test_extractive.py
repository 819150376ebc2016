"""Answers from documents: right ones, honest refusals, and how they are told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarctl.engines.contract import Job
from avatarctl.engines.extractive.engine import NO_DOCUMENTS, NOT_FOUND, Extractive, Fts5Index
from avatarctl.engines.extractive.spec import SPECS, ExtractiveParams
from avatarctl.errors import BadConfig, BadInput
from avatarctl.knowledge import Document, demo_documents, read_document
from avatarctl.knowledge.words import language_of
from avatarctl.stages.catalog import stage

Ask = Callable[..., tuple[str, dict[str, Any]]]


def make_index(folder: Path, documents: list[Document]) -> Path:
    folder.mkdir()
    inputs = {}
    for number, document in enumerate(documents):
        file = folder / f"input-{number}"
        file.write_text(document.to_json(), encoding="utf-8")
        inputs[f"document.{number:03d}"] = file
    engine = Fts5Index()
    engine.load({})
    engine.run(Job(inputs=inputs, out=folder, params=SPECS[0].params()))
    engine.close()
    return folder / "index.sqlite"


def asker(folder: Path, index: Path | None) -> Ask:
    engine = Extractive()
    engine.load({})

    def ask(question: str, **params: Any) -> tuple[str, dict[str, Any]]:
        (folder / "question").write_text(question, encoding="utf-8")
        inputs = {"question": folder / "question"} | ({"index": index} if index else {})
        heard: list[str] = []
        engine.run(Job(inputs=inputs, out=folder, params=ExtractiveParams(**params), emit=heard.append))
        outputs = {"answer": folder / "answer.txt", "sources": folder / "sources.json"}
        stage("answer").validate(outputs, inputs, None)
        answer = outputs["answer"].read_text(encoding="utf-8").strip()
        assert heard == [answer]
        return answer, json.loads(outputs["sources"].read_text(encoding="utf-8"))

    return ask


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    folder = tmp_path_factory.mktemp("demo")
    return asker(folder, make_index(folder / "index", [read_document(p) for p in demo_documents()]))


@pytest.fixture
def from_text(tmp_path: Path) -> Callable[[str], Ask]:
    def make(text: str) -> Ask:
        document = Document("a.md", "a", "text/markdown", text, language_of(text))
        return asker(tmp_path, make_index(tmp_path / "index", [document]))

    return make


ANSWERS = [
    ("Кто первым полетел в космос?", "Юрий Гагарин"),
    ("кто первым полетел в космос", "Юрий Гагарин"),
    ("Кто был первым человеком в космосе?", "Юрий Гагарин"),
    ("Кто первый космонавт Земли?", "Юрий Гагарин"),
    ("Кто такой Гагарин?", "Первым человеком"),
    ("Когда Гагарин полетел в космос?", "12 апреля 1961"),
    ("В каком году человек впервые полетел в космос?", "1961"),
    ("Когда родился Гагарин?", "9 марта 1934"),
    ("Где родился Юрий Гагарин?", "Клушино"),
    ("Сколько лет было Гагарину во время полёта?", "27 лет"),
    ("Сколько длился полёт Гагарина?", "108 минут"),
    ("Сколько минут длился полет Гагарина?", "108 минут"),
    ("Какой позывной был у Гагарина?", "Кедр"),
    ("Кто стал первой женщиной-космонавтом?", "Терешкова"),
    ("Какая женщина первой побывала в космосе?", "Терешкова"),
    ("Расскажи, пожалуйста, о Валентине Терешковой", "Восток-6"),
    ("Сколько раз Терешкова облетела Землю?", "48 раз"),
    ("Где работала Терешкова до отряда космонавтов?", "на ткацкой фабрике"),
    ("Кто первым вышел в открытый космос?", "Леонов"),
    ("Сколько времени Леонов провёл в открытом космосе?", "12 минут"),
    ("Почему раздулся скафандр Леонова?", "В пустоте"),
    ("Кто первым ступил на Луну?", "Армстронг"),
    ("Кто первым высадился на Луне?", "Армстронг"),
    ("А сколько человек побывало на Луне?", "двенадцать человек"),
    ("Сколько километров до Луны?", "384 тысячи"),
    ("Почему Луна повёрнута к Земле одной стороной?", "потому что её оборот"),
    ("Сколько лет Солнцу?", "4,6 миллиарда"),
    ("Что такое МКС?", "лаборатория"),
    ("На какой высоте летает МКС?", "400 километров"),
    ("Как спят космонавты?", "в спальных мешках"),
    ("Сколько планет в Солнечной системе?", "восемь планет"),
    ("Какая планета самая большая?", "Юпитер"),
    ("Какая планета самая горячая?", "Венера"),
    ("Какие спутники у Марса?", "Фобос и Деймос"),
    ("Почему Плутон больше не планета?", "Плутон перестали считать"),
    ("Сколько спутников у Марса?", "два небольших"),
    ("Из чего состоит Солнце?", "из водорода и гелия"),
    ("Сколько человек живёт на МКС?", "семи человек"),
    ("Почему на Венере так жарко?", "углекислый газ"),
    ("Сколько весил первый спутник?", "83,6 килограмма"),
    ("Какие собаки летали в космос?", "Белка и Стрелка"),
    ("Кто такая Грейс Хоппер?", "американский математик"),
    ("Кто создал первый компилятор?", "Хоппер"),
    ("Кто такая Айлин Коллинз?", "астронавт"),
    ("Сколько раз Коллинз была в космосе?", "четыре раза"),
    ("Что такое аватар?", "цифровой двойник"),
    ("Что такое avatarctl?", "киностудия"),
    ("Как работает avatarctl?", "находит ответ"),
    ("Нужна ли видеокарта?", "не нужна"),
    ("Сколько фотографий нужно для аватара?", "одна фотография"),
    ("Who was the first person in space?", "Yuri Gagarin"),
    ("Who was the first woman in space?", "Tereshkova"),
    ("Can you tell me who Grace Hopper was?", "mathematician"),
    ("What is an avatar?", "digital double"),
    ("How many people have walked on the Moon?", "Twelve people"),
]


@pytest.mark.parametrize(("question", "words"), ANSWERS)
def test_the_demo_documents_answer(question: str, words: str, demo: Ask) -> None:
    answer, sources = demo(question)
    assert sources["found"] and words in answer
    assert 1 <= len(sources["sources"]) <= 2
    assert answer == " ".join(s["sentence"] for s in sources["sources"])
    assert answer[0].isupper() and answer[-1] in ".!?»"
    assert not set("*`[]|#") & set(answer) and "http" not in answer


REFUSED = [
    "Какая погода в Москве?",
    "Кто президент Франции?",
    "Кто написал «Войну и мир»?",
    "Сколько стоит билет на Луну?",
    "Как сварить борщ?",
    "Что такое любовь?",
    "Что такое секунда?",
    "Когда родился Пушкин?",
    "Кто первым полетел на Марс?",
    "Кто изобрёл телефон?",
    "Какая самая высокая гора на Земле?",
    "Сколько людей живёт на Марсе?",
    "Какая столица России?",
    "Когда родился Армстронг?",
    "Где родился Леонов?",
    "Как звали жену Гагарина?",
    "Какой рост у Гагарина?",
    "Кто был вторым человеком в космосе?",
    "Сколько весит Луна?",
    "Сколько спутников у Юпитера?",
    "Когда построили МКС?",
    "Когда умер Гагарин?",
    "Кто играл Гагарина в кино?",
    "Какая температура на Марсе?",
    "Какой язык программирования лучше учить?",
    "Привет!",
    "Кто ты?",
    "🙂",
    "What is the capital of France?",
    "Who wrote Hamlet?",
    "How do I bake bread?",
    "How much does a phone cost?",
]


@pytest.mark.parametrize("question", REFUSED)
def test_what_the_documents_do_not_say_is_not_said(question: str, demo: Ask) -> None:
    answer, sources = demo(question)
    assert not sources["found"] and sources["sources"] == []
    assert sources["reason"] == "no_match" and sources["hint"]
    assert answer == NOT_FOUND[language_of(question)]


def test_the_source_is_told(demo: Ask) -> None:
    _, sources = demo("Кто первым полетел в космос?")
    first = sources["sources"][0]
    assert (first["document"], first["heading"]) == ("first-flights.md", "Юрий Гагарин")
    assert first["coverage"] == 1.0 and sources["reason"] == sources["hint"] == ""


def test_two_sentences_are_told_in_the_order_of_the_text(demo: Ask) -> None:
    answer, _ = demo("Кто первым полетел в космос?")
    assert answer.index("Первым человеком") == 0 < answer.index("108 минут")
    assert demo("Кто первым полетел в космос?", max_sentences=1)[0] == answer[: answer.index(" Полёт")]
    assert len(demo("Что такое аватар?", max_sentences=3)[1]["sources"]) == 3


def test_a_pronoun_brings_the_sentence_that_explains_it(demo: Ask) -> None:
    answer, sources = demo("Где работала Терешкова до отряда космонавтов?")
    assert answer.startswith("Терешкова родилась") and len(sources["sources"]) == 2


def test_coverage_decides_what_is_enough(demo: Ask) -> None:
    question = "Отправляются ли мои фотографии в облако?"
    assert demo(question)[1]["found"]
    assert not demo(question, min_coverage=0.95)[1]["found"]
    assert demo("Какой язык программирования лучше учить?", min_coverage=0.2)[1]["found"]


def test_the_same_question_gives_the_same_bytes(demo: Ask) -> None:
    assert demo("Что такое МКС?") == demo("Что такое МКС?")


def test_small_documents_answer_too(from_text: Callable[[str], Ask]) -> None:
    ask = from_text("Магазин работает с девяти до шести. В воскресенье мы закрыты.")
    assert ask("Когда работает магазин?")[0] == "Магазин работает с девяти до шести."
    assert not ask("Сколько стоит хлеб?")[1]["found"]


def test_questions_in_a_document_are_no_answers(from_text: Callable[[str], Ask]) -> None:
    ask = from_text("Где ключ от сейфа? Ключ от сейфа лежит в ящике стола.")
    assert ask("Где ключ от сейфа?")[0] == "Ключ от сейфа лежит в ящике стола."


def test_tables_and_code_are_never_said(from_text: Callable[[str], Ask]) -> None:
    ask = from_text("| тариф | цена |\n|---|---|\n| базовый | 100 |\n\n```\nтариф = базовый\n```\n\nТарифы меняются.\n")
    assert not ask("Какова цена: тариф базовый?")[1]["found"]


def test_without_documents(tmp_path: Path) -> None:
    for question in ("Кто ты?", "Who?"):
        answer, sources = asker(tmp_path, None)(question)
        assert answer == NO_DOCUMENTS[language_of(question)]
        assert sources["reason"] == "no_documents" and not sources["found"]


def test_documents_with_nothing_to_say(from_text: Callable[[str], Ask]) -> None:
    assert from_text("```\ncode\n```\n")("Кто ты?")[1]["reason"] == "no_documents"


@pytest.mark.parametrize("question", ["", "  \n\t"])
def test_an_empty_question_is_refused(question: str, demo: Ask) -> None:
    with pytest.raises(BadInput):
        demo(question)


def test_a_very_long_question(demo: Ask) -> None:
    assert not demo("Расскажи про бетон и цемент. " * 5000)[1]["found"]


def test_a_broken_document_is_refused(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("not JSON", encoding="utf-8")
    with pytest.raises(BadInput):
        Fts5Index().run(Job(inputs={"document.000": tmp_path / "input"}, out=tmp_path, params=None))


def test_params_are_bounded() -> None:
    with pytest.raises(BadConfig):
        ExtractiveParams.parse({"max_sentences": 0}, "answer")
    assert ExtractiveParams.parse({"min_coverage": "0.7"}, "answer").min_coverage == 0.7


def test_the_spec_is_light() -> None:
    script = (
        "import sys, avatarctl.engines.extractive.spec\n"
        "print(sorted({'numpy', 'cv2', 'sqlite3', 'snowballstemmer'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    assert {(s.stage, s.name, s.lane) for s in SPECS} == {
        ("index", "fts5", "light"),
        ("answer", "extractive", "light"),
    }
