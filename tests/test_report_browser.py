"""The pages of `report` in a real browser: they run, they fit, they play, and they ask nothing of any network."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from avatarctl import pages
from tests.report_support import batch_view, hostile, run_view
from tests.tools import Studio

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = os.environ.get("AVATARCTL_TEST_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
NOT_TRIED = "pages were NOT TRIED in a browser: "

playwright = pytest.importorskip("playwright.sync_api", reason=NOT_TRIED + "playwright is not installed")
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason=NOT_TRIED + "install chromium, or name one in AVATARCTL_TEST_BROWSER"
)

SIZES = [(400, "light"), (400, "dark"), (1400, "light"), (1400, "dark")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        # Root, as in containers, may not have the sandbox; these pages are our own.
        running = driver.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield running
        running.close()


class Window:
    """A page under watch."""

    def __init__(self, browser: Any, width: int = 1200, theme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda r: None if r.url.startswith("data:") else self.asked.append(unquote(r.url)))

    def open(self, path: Path) -> Any:
        self.page.goto(path.as_uri())
        return self.page


def until(page: Any, expression: str, argument: object = None) -> None:
    """Wait until an expression is true. (The driver's own waiting evaluates text within the page, which the page's
    policy forbids.)"""
    deadline = time.monotonic() + 30
    while not page.evaluate(expression, argument):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


@pytest.fixture
def window(browser: Any) -> Iterator[Window]:
    opened = Window(browser)
    yield opened
    opened.context.close()
    assert opened.complaints == []


@pytest.fixture(scope="module")
def films(enrolled: Studio, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Somebody who has answered a question, with a page of that; and a small batch, with one that failed."""
    studio = enrolled.copy(tmp_path_factory.mktemp("report") / "studio")
    studio.ok("ask", "Кто первым полетел в космос?", "--render", "--out", "а #1%.mp4")
    (studio.work / "films.yaml").write_text(
        "defaults: {avatar: astronaut}\njobs:\n"
        "  - {name: один, text: Раз.}\n  - {name: '<img src=x onerror=alert(1)>', text: Два.}\n"
        "  - {name: nobody, text: Три., avatar: nobody}\n",
        encoding="utf-8",
    )
    assert studio.run("batch", "run", "films.yaml").code == 1
    run = studio.ok("runs", "list", "--limit", "9", "--json").json["runs"]
    asked = next(one["id"] for one in run if one["recipe"] == "ask")
    studio.ok("report", asked, "--html", "run.html")
    studio.ok("report", asked, "--html", "linked.html", "--embed", "0")
    studio.ok("report", "films.yaml", "--html", "batch.html")
    (studio.work / "id").write_text(asked)
    return studio


@pytest.fixture(scope="module")
def hostile_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "hostile-run.html").write_bytes(pages.run_page(run_view(hostile)))
    (folder / "hostile-batch.html").write_bytes(pages.batch_page(batch_view(40, hostile)))
    return folder


@pytest.mark.parametrize(("width", "theme"), SIZES)
@pytest.mark.parametrize("name", ["run.html", "linked.html", "batch.html", "hostile-run.html", "hostile-batch.html"])
def test_pages_fit_and_ask_nothing_of_a_network(
    browser: Any, films: Studio, hostile_pages: Path, name: str, width: int, theme: str
) -> None:
    opened = Window(browser, width, theme)
    path = (hostile_pages if name.startswith("hostile") else films.work) / name
    page = opened.open(path)
    page.wait_for_load_state("load")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Nothing sticks out of its card, except what scrolls by itself.
    out = page.evaluate(
        """[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .spoken, .unseen, svg, .long'))
        .filter(e => e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert out == []
    assert page.evaluate("typeof window.pwned") == "undefined"
    beside = [url for url in opened.asked if not url.endswith(".html")]
    assert [Path(url).name for url in dict.fromkeys(beside)] == (["а #1%.mp4"] if name == "linked.html" else [])
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/)[0] < 128")
    assert dark == (theme == "dark")
    opened.context.close()
    assert opened.complaints == []


@pytest.mark.parametrize("name", ["run.html", "linked.html"])
def test_the_film_plays_from_a_sentence_chosen_with_the_keyboard(window: Window, films: Studio, name: str) -> None:
    page = window.open(films.work / name)
    until(page, "document.querySelector('video').readyState >= 1")
    length = page.evaluate("document.querySelector('video').duration")
    assert length > 5
    places = page.locator(".spoken button")
    last = places.nth(places.count() - 1)
    begin = float(last.get_attribute("data-seek"))
    assert begin > 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    last.focus()
    page.keyboard.press("Enter")
    until(page, "t => document.querySelector('video').currentTime > t + 0.3", begin)
    page.evaluate("document.querySelector('video').pause()")
    until(page, "document.querySelector('.spoken li:last-child button').getAttribute('aria-current') === 'true'")
    # The captions are those sentences.
    page.evaluate("document.querySelector('video').textTracks[0].mode = 'showing'")
    until(page, "document.querySelector('track').readyState === 2")
    cues = page.evaluate("[...document.querySelector('video').textTracks[0].cues].map(c => [c.startTime, c.text])")
    assert len(cues) == places.count()
    assert abs(cues[-1][0] - begin) < 0.002 and cues[-1][1] in last.inner_text()


def test_bars_are_as_long_as_what_they_stand_for(window: Window, films: Studio) -> None:
    page = window.open(films.work / "run.html")
    steps = films.ok("runs", "show", (films.work / "id").read_text(), "--json").json["steps"]
    rows = page.evaluate(
        """[...document.querySelectorAll('.steps tbody tr')].map(row => {
            const line = row.querySelector('svg').getBoundingClientRect();
            const share = rect => [rect.left - line.left, rect.width].map(x => x / line.width);
            const bars = {};
            for (const bar of row.querySelectorAll('rect'))
                bars[bar.classList[0].slice(2)] = share(bar.getBoundingClientRect());
            return {whole: Number(row.dataset.whole), width: line.width, bars};
        })"""
    )
    assert len(rows) == len(steps)
    drawn = 0
    for row, step in zip(rows, steps, strict=True):
        for kind in ("queue", "load", "run"):
            wanted = step[f"{kind}_ms"] / 1000 / row["whole"]
            begin, found = row["bars"].get(kind, (0.0, 0.0))
            assert abs(found - wanted) * row["width"] < 1.0, (step["stage"], kind)
            assert begin >= 0 and begin + found <= 1.01
            drawn += wanted * row["width"] > 5
    assert drawn >= 3
    # One step follows another: speech ends before its picture is drawn, the film before it is measured.
    ends = {s["stage"]: sum(r["bars"]["run"]) for r, s in zip(rows, steps, strict=True) if "run" in r["bars"]}
    begins = {s["stage"]: r["bars"]["run"][0] for r, s in zip(rows, steps, strict=True) if "run" in r["bars"]}
    assert ends["finish"] <= begins["check"] + 0.01


def test_hostile_words_are_shown_as_words(window: Window, hostile_pages: Path) -> None:
    page = window.open(hostile_pages / "hostile-run.html")
    said = page.locator(".words blockquote").last.inner_text()
    assert "</script><script>window.pwned=1</script>" in said
    assert page.locator("script").count() == 1 and page.locator("iframe, object, embed, form").count() == 0
    assert page.locator("main").get_by_text("\N{REPLACEMENT CHARACTER}").count() > 0
    page = window.open(hostile_pages / "hostile-batch.html")
    assert page.locator("script").count() == 1
    assert page.evaluate("[...document.links].every(a => ['file:', 'data:'].includes(a.protocol))")


def test_jobs_are_sorted_and_searched(window: Window, films: Studio) -> None:
    page = window.open(films.work / "batch.html")
    names = page.locator(".jobs tbody tr:not([hidden]) .name > :first-child")
    assert names.all_inner_texts() == ["один", "<img src=x onerror=alert(1)>", "nobody"]
    page.get_by_role("button", name="film", exact=True).click()
    assert names.all_inner_texts()[0] == "nobody"
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="failed 1").click()
    assert names.all_inner_texts() == ["nobody"]
    page.get_by_role("button", name="failed 1").click()
    page.get_by_label("Search the jobs").fill("раз")
    assert names.all_inner_texts() == ["один"]
    assert page.locator("#shown").inner_text() == "1 of 3 shown"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["run.html", "batch.html"])
def test_nothing_is_in_the_way_of_a_screen_reader(browser: Any, films: Studio, name: str, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=NOT_TRIED + "axe is not installed")
    opened = Window(browser, 1200, theme)
    found = axe.Axe().run(opened.open(films.work / name))
    opened.context.close()
    assert [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found.response["violations"]] == []


def test_paper_shows_what_is_folded_on_the_screen(window: Window, films: Studio) -> None:
    page = window.open(films.work / "run.html")
    assert page.locator("details:not([open])").count() > 0
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.pdf(format="A4")[:5] == b"%PDF-"
