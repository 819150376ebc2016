"""A user's dictionary: its file, what it finds in a text, and how it reaches the voice and not the captions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarctl.engines.espeak import library, utterance
from avatarctl.errors import BadInput
from avatarctl.recipes.explain import differences
from avatarctl.text import dictionary
from avatarctl.text.dictionary import Dictionary
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged

WORDS = """\ufeff# names
Ollama = оллама
замок=з+амок
большая  =  бо\u0301льшая

C# = си шарп
Нью Йорк = нью-йо+рк
США = сэ шэ а
"""


def words() -> Dictionary:
    return dictionary.parse(WORDS, "words.txt")


def ipa(text: str, entries: Dictionary | None = None) -> str:
    with library.opened() as espeak:
        said = utterance.say(espeak, text, "ru", "ru", words=entries)
    assert said is not None
    return "".join("ˈ" * (p.stress == 2) + p.ipa for p in said.phonemes)


# -- the file


def test_both_marks_of_stress_mean_the_same() -> None:
    assert words().entries["замок"] == "за\u0301мок"
    assert words().entries["Нью Йорк"] == "нью-йо\u0301рк"
    assert dictionary.parse(words().to_text(), "again") == words()


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("a = b\nOllama оллама\n", 2, "no entry"),
        ("a = b\n\nслово =\n", 3, "no entry"),
        (" = слово\n", 1, "no entry"),
        ("замок = з+амок\nдом = дом\nзамок = зам+ок\n", 3, "already in line 1"),
        ("замок = +замок\n", 1, "stress"),
        ("замок = з+ам+ок\n", 1, "stress"),
        ("x = з\u0301\n", 1, "stress"),
        ("слово = ...\n", 1, "no letter"),
        (f"слово = {'а' * 201}\n", 1, "too long"),
    ],
)
def test_a_wrong_line_is_named(text: str, line: int, complaint: str) -> None:
    with pytest.raises(BadInput) as error:
        dictionary.parse(text, "words.txt")
    assert f"words.txt, line {line}" in error.value.what and complaint in error.value.what


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(BadInput, match=r"words\.txt, line 2: this is not UTF-8"):
        dictionary.decode("a = b\nслово = слово".encode("cp1251"), "words.txt")
    with pytest.raises(BadInput, match="too large"):
        dictionary.decode(b"#" * (dictionary.MAX_BYTES + 1), "words.txt")


# -- finding


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Замок и замок, ЗАМОК.", "За\u0301мок и за\u0301мок, За\u0301мок."),
        ("Замки, замочек, подзамок, замок_2", "Замки, замочек, подзамок, замок_2"),
        ("замо\u0301к", "замо\u0301к"),
        ("Ollama, ollama, OLLAMA", "Оллама, ollama, OLLAMA"),
        ("сша и США", "сша и Сэ шэ а"),
        ("язык C#, а не C#2", "язык Си шарп, а не C#2"),
        ("в Нью \n Йорк", "в Нью-йо\u0301рк"),
        ("https://замок.рф, я@замок.рф", "https://замок.рф, я@замок.рф"),
        ("замок-музей «замок»", "за\u0301мок-музей «за\u0301мок»"),
    ],
)
def test_whole_words_are_found(written: str, said: str) -> None:
    assert words().respelled(written).text == said


def test_a_step_depends_on_the_entries_of_its_own_text() -> None:
    assert words().of("Ollama и замок").entries.keys() == {"Ollama", "замок"}
    assert words().of("ollama, замки").entries == {}
    assert Dictionary().of("замок").entries == {}


def test_an_explanation_names_it() -> None:
    before, now = {"inputs": {"text": "a"}}, {"inputs": {"text": "a", "dictionary": "b"}}
    assert differences(before, now) == ["its dictionary is new"]


def test_the_later_dictionary_wins() -> None:
    both = words() | dictionary.parse("замок = зам+ок", "own")
    assert (both.entries["замок"], both.entries["Ollama"]) == ("замо\u0301к", "оллама")


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_keeps_its_origins(text: str) -> None:
    made = words().respelled(text)
    assert len(made.starts) == len(made.ends) == len(made.text)
    assert all(0 <= a <= b <= len(text) for a, b in zip(made.starts, made.ends, strict=True))


# -- espeak-ng


@pytest.mark.parametrize(
    ("written", "sounds"),
    [
        ("за\u0301мок", "zˈɑmʌk"),
        ("замо\u0301к", "zamˈok"),
        ("бо\u0301льшая", "bˈoɭʃaja"),
        ("дома\u0301", "damˈɑ"),
        ("ме\u0301ста", "mʲˈesta"),
    ],
)
def test_espeak_stresses_the_marked_vowel(written: str, sounds: str) -> None:
    assert ipa(written).replace("ʌ", "a") == sounds.replace("ʌ", "a")


def test_words_keep_their_spelling_and_their_times() -> None:
    written = "Это Ollama: большая программа."
    with library.opened() as espeak:
        said = utterance.say(espeak, written, "ru", "ru", words=words())
    assert said is not None
    assert [word.text for word in said.words] == ["Это", "Ollama:", "большая", "программа."]
    assert "aɭˈɑma" in ipa(written, words()).replace("ʌ", "a").replace("ɭɭ", "ɭ")


def test_no_text_can_name_phonemes() -> None:
    assert ipa("Да [[z'amVk]] да.") == ipa("Да z'amVk да.")


# -- the command line


def test_a_person_has_a_dictionary(studio: Studio) -> None:
    file = studio.work / "слова.txt"
    file.write_text(WORDS, encoding="utf-8")
    taken = studio.ok("avatars", "dictionary", "astronaut", str(file))
    assert "6 entries" in taken.err and taken.out == ""
    kept = Path(studio.ok("avatars", "dictionary", "astronaut", "--json").json["path"])
    assert studio.ok("avatars", "dictionary", "astronaut").out == WORDS.removeprefix("\ufeff")

    gone = studio.run("avatars", "dictionary", "astronaut", str(studio.work / "none.txt"))
    refused(gone, 2, "there is no dictionary")
    file.write_text("слово\n", encoding="utf-8")
    refused(studio.run("avatars", "dictionary", "astronaut", str(file)), 2, "line 1")
    assert "Ollama" in studio.ok("avatars", "dictionary", "astronaut").out, "a wrong file changes nothing"

    studio.ok("avatars", "dictionary", "astronaut", "--remove")
    assert not kept.exists() and studio.ok("avatars", "dictionary", "astronaut").out == ""


def test_the_voice_follows_it_and_the_captions_do_not(studio: Studio) -> None:
    text = "Это замок. Просто дом."
    plain = studio.ok("render", text, "--subtitles")
    subtitles = (studio.work / plain.out.strip()).with_suffix(".srt").read_text(encoding="utf-8")
    file = studio.work / "слова.txt"
    file.write_text("замок = з+амок\n", encoding="utf-8")
    studio.ok("avatars", "dictionary", "astronaut", str(file))
    plan = studio.ok("render", text, "--subtitles", "--dry-run", "--json").json
    spoken = [step["verdict"] for step in plan["steps"] if step["stage"] == "speak"]
    assert spoken == ["run", "hit"], "only the sentence that has the word is spoken anew"
    made = studio.ok("render", text, "--subtitles")
    again = (studio.work / made.out.strip()).with_suffix(".srt").read_text(encoding="utf-8")
    assert "Это замок." in subtitles and "Это замок." in again

    # An entry of the settings counts where the person has none of their own; a replay sees what changed.
    shared = studio.work / "все.txt"
    shared.write_text("замок = зам+ок\nдом = дом+а\n", encoding="utf-8")
    replayed = studio.ok("replay", "last", "--set", f"speak.dictionary={shared}", "--dry-run", "--json").json
    spoken = [step["verdict"] for step in replayed["steps"] if step["stage"] == "speak"]
    assert spoken == ["hit", "run"]
    missing = studio.run("render", text, "--set", "speak.dictionary=none.txt")
    refused(missing, 2, "there is no dictionary none.txt")

    erased = studio.ok("avatars", "rm", "astronaut", "--json")
    assert json.loads(erased.out)["erased"]["versions"] == 1
    assert list((studio.home / "dictionaries").iterdir()) == []
