"""Documents are read, cut into passages, indexed to the same bytes, and found again."""

from __future__ import annotations

import sqlite3
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarctl.errors import BadInput, StepFailed, Unavailable
from avatarctl.knowledge import Document, demo_documents, documents, index, read_document, schema
from avatarctl.knowledge.markdown import plain, sections
from avatarctl.knowledge.passages import LEAST_WORDS, MOST_WORDS, split
from avatarctl.knowledge.search import search
from avatarctl.knowledge.words import Stemmer, fold, language_of, related


def document(text: str, name: str = "a.md", title: str = "a", media_type: str = "text/markdown") -> Document:
    return Document(name, title, media_type, text, language_of(text))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Reading


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
def test_encodings_of_russian_text(encoding: str, tmp_path: Path) -> None:
    text = "Ёлка зелёная — и летом, и зимой.\nВторая строка."
    read = read_document(write(tmp_path / "Ёлка.txt", text.encode(encoding)))
    assert (read.text, read.name, read.title) == (text, "Ёлка.txt", "Ёлка")
    assert (read.media_type, read.language) == ("text/plain", "ru")


def test_markdown_has_a_title_and_unix_lines(tmp_path: Path) -> None:
    read = read_document(write(tmp_path / "a.md", "\r\n# The title #\r\n\r\nText.\r\n"))
    assert (read.title, read.media_type, read.language) == ("The title", "text/markdown", "en")
    assert "\r" not in read.text


def test_names_are_composed(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "й.txt")
    assert read_document(write(tmp_path / name, "text")).name == "й.txt"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.md", b" \n\t", "empty"),
        ("picture.md", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("zeros.txt", b"text\0text", "binary"),
        ("paper.pdf", b"%PDF-1.7", "not Markdown"),
        ("latin.txt", "déjà vu, à bientôt".encode("latin-1"), "encoding"),
        ("noise.txt", bytes(range(128, 256)), "encoding"),
    ],
)
def test_refused_with_a_reason(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_document(write(tmp_path / name, content))
    assert name in caught.value.what and says in caught.value.what and caught.value.exit_code == 2


def test_missing_folder_and_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_document(tmp_path / "none.md")
    with pytest.raises(BadInput) as caught:
        read_document(tmp_path)
    assert "folder" in caught.value.why
    monkeypatch.setattr(documents, "MAX_BYTES", 3)
    with pytest.raises(BadInput, match="too large"):
        read_document(write(tmp_path / "a.md", "four"))


def test_documents_survive_json() -> None:
    one = document("Привет.")
    assert Document.from_json(one.to_json()) == one
    assert Document.from_json('{"name":"a","title":"b","media_type":"text/plain","text":"Привет"}').language == "ru"
    for broken in ("", "[]", "{}", '{"name":"a"}'):
        with pytest.raises(ValueError):
            Document.from_json(broken)


# Markdown

SAMPLE = """---
author: somebody
---
# Title

Some **bold**, _slanted_ and `code` words, a [link](https://example.invalid/a), ![a picture](a.png)<br>
snake_case_name, a note[^1], https://example.invalid/b and \\*stars\\* &amp; more.

[^1]: The note.

| table | head |
|-------|------|
| cell  | cell |

```python
print("hidden")  # not a heading
```

## Planets
Two of them:

* Mercury;
* Venus.

1. A long item that is a sentence of its own
   and goes on in a second line.
2. [x] A second long item, which was done!

> Quoted words
> over two lines.

***

<!-- a comment -->
Underlined
----------
Last.

### Deep ###
Deepest.
"""


def test_markdown_becomes_speakable() -> None:
    found = sections(SAMPLE)
    assert [s.heading for s in found] == [(), ("Planets",), ("Underlined",), ("Underlined", "Deep")]
    assert found[0].paragraphs == [
        "Some bold, slanted and code words, a link, snake_case_name, a note, and *stars* & more."
    ]
    assert found[1].paragraphs == [
        "Two of them: Mercury, Venus.",
        "A long item that is a sentence of its own and goes on in a second line.",
        "A second long item, which was done!",
        "Quoted words over two lines.",
    ]
    assert [s.paragraphs for s in found[2:]] == [["Last."], ["Deepest."]]


@given(st.text(alphabet="ab #*_`[]()!<>|-=~1.\\\n:&;ж", max_size=200))
def test_any_markdown_can_be_read(text: str) -> None:
    for section in sections(text):
        assert section.paragraphs and all(p.strip() == p and p for p in section.paragraphs)


@given(st.lists(st.text(alphabet="абвгд", min_size=1, max_size=9), min_size=1, max_size=30))
def test_plain_words_pass_unchanged(words: list[str]) -> None:
    assert plain(" ".join(words)) == " ".join(words)


# Passages


def test_passages_have_the_right_size_and_keep_all_words() -> None:
    sentence = "Каждое предложение этого текста состоит ровно из девяти слов."
    text = "\n\n".join(" ".join([sentence] * n) for n in (3, 1, 40, 2, 12, 5))
    passages = split(document(text, media_type="text/plain"))
    counts = [len(p.text.split()) for p in passages]
    assert sum(counts) == 9 * 63
    assert all(LEAST_WORDS <= count <= MOST_WORDS for count in counts[:-1]) and counts[-1] <= MOST_WORDS
    assert all(len(p.sentences) == len(p.paragraphs) and p.language == "ru" for p in passages)


def test_headings_divide_passages() -> None:
    passages = split(document("# T\n\nOne.\n\n## A\n\nTwo.\n\n### B\n\nThree.\n\n## C\n\nЧетыре."))
    assert [(p.heading, p.text) for p in passages] == [
        ("", "One."),
        ("A", "Two."),
        ("A › B", "Three."),
        ("C", "Четыре."),
    ]
    assert [p.language for p in passages] == ["en", "en", "en", "ru"]


def test_one_endless_sentence_stays_bounded() -> None:
    passages = split(document("слово " * 20_000, media_type="text/plain"))
    assert max(len(sentence) for p in passages for sentence in p.sentences) <= 1000


# Words


def test_stems_join_inflections() -> None:
    stems = Stemmer().stems
    for forms in (
        "космос космоса космосе космосом",
        "Гагарин Гагарина Гагарину Гагариным",
        "ёлка елки ЁЛКУ",
        "планета планеты планет планетами",
        "человек людей люди человеку",
        "walk walked walking walks",
        "person people",
    ):
        assert len(set(stems(forms))) == 1, forms
    assert stems("Кто и что это, где? What is the") == []
    assert stems("«Аполлон-11»") == ["аполлон", "11"]
    assert fold("ЁЖ") == "еж"
    assert related("полет", "полетел") and not related("план", "планет") and not related("луна", "солнце")


# Index and search


def build(path: Path, *texts: str) -> Path:
    index.build([document(text, f"{n}.md", f"{n}") for n, text in enumerate(texts)], path)
    return path


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    texts = [p.read_text(encoding="utf-8") for p in demo_documents()]
    one, two = build(tmp_path / "one", *texts), build(tmp_path / "two", *texts)
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != build(tmp_path / "three", *texts[1:]).read_bytes()
    with closing(sqlite3.connect(one)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (passages,) = connection.execute("SELECT count(*) FROM passages").fetchone()
    assert passages >= 15


def test_search_ranks_and_tells_the_source(tmp_path: Path) -> None:
    path = build(
        tmp_path / "i",
        "# Звери\n\n## Кошки\n\nКошка мурлычет и ловит мышей.\n\n## Собаки\n\nСобака сторожит дом.",
        "# Машины\n\nМашина ездит по дороге. Кошка в машине едет в переноске.",
    )
    hits = search(path, "Что делают кошки?")
    assert [(h.document, h.heading) for h in hits] == [("0.md", "Кошки"), ("1.md", "")]
    assert hits[0].text == "Кошка мурлычет и ловит мышей." and hits[0].score > hits[1].score
    assert search(path, "Что делают кошки?", limit=1) == hits[:1]
    assert search(path, "самолёт") == search(path, "") == search(path, "и что же") == []


@given(query=st.text(max_size=60))
def test_no_query_is_taken_for_syntax(query: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "syntax.sqlite"
    if not path.exists():
        build(path, 'Text with "quotes" AND (brackets) * NEAR heading:body - OR NOT.')
    search(path, query + ' "(*) heading: NEAR/3 - text')


def test_a_long_query_is_bounded(tmp_path: Path) -> None:
    path = build(tmp_path / "i", "Последнее слово.")
    assert search(path, " ".join(f"слово{n}" for n in range(5000))) == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="cannot be read"):
        search(write(tmp_path / "a", b"no database at all" * 100), "x")
    with closing(sqlite3.connect(tmp_path / "b")) as connection:
        connection.execute("CREATE TABLE other (a)")
    with pytest.raises(StepFailed, match="another version"):
        search(tmp_path / "b", "x")


def test_paths_with_question_marks_and_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "что? это #1"
    folder.mkdir()
    assert search(build(folder / "указатель%20.sqlite", "Слово."), "слово")


def test_sqlite_without_fts5_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        def execute(self, statement: str) -> None:
            raise sqlite3.OperationalError("no such module: fts5")

        def close(self) -> None: ...

    monkeypatch.setattr(sqlite3, "connect", lambda *arguments: Connection())
    with pytest.raises(Unavailable) as caught:
        schema.require_fts5()
    assert "FTS5" in caught.value.why and caught.value.hint
