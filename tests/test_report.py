"""`avatarctl report` without a browser: what is in the pages, where they go, and what cannot break them."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from avatarctl import pages
from avatarctl.amounts import duration
from avatarctl.pages.elements import clean, h, shorten
from avatarctl.pages.parts import bar, clock, status_words
from avatarctl.recipes import report_film
from avatarctl.recipes.report_batch import _covered
from avatarctl.store import deliver
from avatarctl.store.queue import OVER
from tests.report_support import batch_view, hostile, run_view
from tests.tools import Studio, refused


class Reader(HTMLParser):
    """Text and tags of a page, as a browser would see them."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def film(enrolled: Studio, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Somebody who said two sentences."""
    studio = enrolled.copy(tmp_path_factory.mktemp("report") / "studio")
    studio.ok("render", "Раз, два. Три!", "--out", "outputs/счёт.mp4")
    return studio


# -- elements


def test_words_are_never_markup() -> None:
    content = pages.run_page(run_view(hostile)) + pages.batch_page(batch_view(14, hostile))
    read = Reader(content)
    tags = [tag for tag, _ in read.tags]
    assert tags.count("script") == 2 and "iframe" not in tags and "form" not in tags
    handlers = [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    assert handlers == []
    sources = [a.get("src") or "" for tag, a in read.tags if tag in ("img", "video", "track", "script")]
    assert [s for s in sources if s and not s.startswith("data:")] == []
    for what in ("title", "question", "text", "error", "sentence", "document", "engine", "label", "job 13"):
        assert f"{what} </script><script>window.pwned=1</script>" in read.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", content.decode("utf-8"))


def test_a_policy_allows_the_pages_own_script_alone() -> None:
    read = Reader(pages.run_page(run_view(str)))
    policy = next(a["content"] for tag, a in read.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")
    assert "unsafe" not in policy and "http" not in policy


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("a\r\nb\u2028c", "a\nb\nc"), ("\x00\x1b[1m", "\ufffd\ufffd[1m"), (os.fsdecode(b"\xff.mp4"), "\ufffd.mp4")],
)
def test_text_is_cleaned(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    element = h("p", text, title=text)
    assert (element.text, element.get("title")) == (cleaned, cleaned)


def test_long_texts_are_cut_where_it_is_told() -> None:
    assert shorten("я" * 10, 10) == "я" * 10
    assert shorten("я" * 11, 10) == "я" * 9 + "…"
    content = pages.run_page(run_view(lambda what: what + "я" * 1_000_000))
    assert len(content) < 2_000_000
    assert "more characters are not shown" in content.decode()


def test_figures_for_people() -> None:
    assert [duration(s) for s in (0, 0.0042, 0.9996, 9.99, 9.996, 59.96, 200, 7500)] == [
        "0 ms", "4 ms", "1.00 s", "9.99 s", "10.0 s", "1 min 0 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip
    assert [clock(s) for s in (0.9, 61, 3723)] == ["0:00", "1:01", "1:02:03"]
    assert [(r.get("x"), r.get("width")) for r in bar([("run", 1.0, 2.0), ("load", 3.0, 0.0)], 8.0)] == [
        ("12.5000%", "25.0000%")
    ]


def test_overlapping_jobs_are_counted_once() -> None:
    assert _covered([(0, 2), (1, 3), (5, 6), (5.2, 5.5)]) == 4
    assert _covered([]) == 0


def test_five_hundred_jobs_are_a_small_page() -> None:
    content = pages.batch_page(batch_view(500, lambda what: f"{what} в космосе", os.urandom(2_600)))
    assert len(content) < 3_000_000


# -- links


def test_a_job_is_called_what_the_ledger_calls_it() -> None:
    """`batch status` and its JSON have the ledger's words, and whoever compares them with a page looks for those."""
    assert [status_words(word) for word in ("queued", "running", *OVER)] == ["queued", "running", *OVER]


def test_links_are_relative_and_nothing_but_links(tmp_path: Path) -> None:
    folder = tmp_path / "юбка #1"
    folder.mkdir()
    names = [b"javascript:alert(1).mp4", 'кавычки " & <b>?#%41.mp4'.encode(), b"\xff\xfe.mp4"]
    for name in names:
        place = folder / os.fsdecode(name)
        place.write_bytes(b"film")
        link = report_film.link(tmp_path / "page.html", place)
        assert link.startswith("./") and not set(link) & set(" \"<>#?&:'")
    assert report_film.link(folder / "page.html", folder / "gone.mp4") == ""
    assert report_film.link(tmp_path / "below" / "page.html", folder / names[0].decode()).startswith("./../%D1%8E")


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    deliver.write(b"first", page)
    deliver.write(b"second", page)
    assert page.read_bytes() == b"second" and [p.name for p in page.parent.iterdir()] == ["page.html"]


# -- the command


def test_the_last_run_is_shown_beside_its_film(film: Studio) -> None:
    runs = film.ok("runs", "list", "--json").json["runs"]
    done = film.ok("report")
    page = film.work / "outputs" / "счёт.html"
    assert done.out.strip() == "outputs/счёт.html"
    read = Reader(page.read_bytes())
    video = next(a for tag, a in read.tags if tag == "video")
    assert (video["src"] or "").startswith("data:video/mp4;base64,") and video["width"] == "256"
    for words in (
        "Раз, два.",
        "Три!",
        "astronaut",
        "preset lite",
        "espeak",
        "puppet",
        "Quality, as measured",
        "limits",
    ):
        assert words in read.text
    steps = film.ok("runs", "show", "last", "--json").json["steps"]
    assert [tag for tag, a in read.tags if "data-whole" in a] == ["tr"] * len(steps)
    # Only a page is made: the ledger and the outputs are as they were.
    assert film.delivered() == ["счёт.html", "счёт.mp4"]
    assert film.ok("runs", "list", "--json").json["runs"] == runs


def test_a_large_film_is_linked_and_a_lost_one_is_told_of(film: Studio, tmp_path: Path) -> None:
    studio = film.copy(tmp_path / "copy")
    run = studio.ok("runs", "list", "--json").json["runs"][0]
    asked = Path(run["outputs"][0]["path"])
    found = studio.ok("report", run["id"].lower()[:12], "--html", "a/page.html", "--embed", "1k", "--json").json
    page = studio.work / found["page"]
    assert (found["run"], page.name, found["bytes"]) == (run["id"], "page.html", page.stat().st_size)
    video = next(a for tag, a in Reader(page.read_bytes()).tags if tag == "video")
    assert (video["src"] or "").startswith("./../")
    for path in (studio.home / "cas").glob("??/*"):
        path.unlink()
    asked.rename(asked.with_suffix(".kept"))
    try:
        studio.ok("report", run["id"], "--html", "lost.html")
    finally:
        asked.with_suffix(".kept").rename(asked)
    lost = Reader((studio.work / "lost.html").read_bytes())
    assert "video" not in [tag for tag, _ in lost.tags] and "avatarctl replay" in lost.text


def test_a_run_that_failed_says_why(film: Studio, tmp_path: Path) -> None:
    studio = film.copy(tmp_path / "copy")
    studio.run("render", "Раз.", "--set", "check.min_lufs=0", "--out", "strict.mp4")
    page = studio.work / studio.ok("report").out.strip()
    assert page.name == "strict.rejected.html"
    read = Reader(page.read_bytes())
    assert "rejected" in read.text and "limit broken: at least 0" in read.text and "What went wrong" in read.text


def test_runs_without_a_film_have_a_page(film: Studio, tmp_path: Path) -> None:
    studio = film.copy(tmp_path / "copy")
    studio.ok("ask", "Кто первым полетел в космос?")
    answered = studio.work / studio.ok("report").out.strip()
    assert answered.parent.name == "outputs" and answered.name.startswith("run-")
    read = Reader(answered.read_bytes())
    assert "Гагарин" in read.text and "first-flights.md" in read.text
    enrolled = studio.ok("runs", "list", "--json").json["runs"][-1]
    assert enrolled["recipe"] == "enroll"
    studio.ok("report", enrolled["id"], "--html", "enrolled")
    assert "portrait" in Reader((studio.work / "enrolled.html").read_bytes()).text


def test_what_cannot_be_shown_is_refused(film: Studio, bare: Studio) -> None:
    refused(film.run("report", "nothing"), 2, "no run and no batch", "runs list")
    refused(film.run("report", "last", "--embed", "much"), 2, "--embed", "500M")
    refused(film.run("report", "0"), 2, "more than one")
    (film.work / "strange.yaml").write_text("jobs: []")
    refused(film.run("report", "strange.yaml"), 2, "no batch")
    (film.work / "folder.html").mkdir()
    film.ok("report", "--html", "folder.html")
    assert (film.work / "folder.html" / "счёт.html").exists()
    assert bare.run("report").code in (2, 4)
    assert bare.delivered() == []
