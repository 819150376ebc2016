"""The page of one run: its film and words, when each step worked, and what the film was measured to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from avatarctl.amounts import duration, size
from avatarctl.pages import figures
from avatarctl.pages.elements import LONGEST_TEXT, data_uri, h, page, shorten
from avatarctl.pages.model import FilmView, RunView, StepView
from avatarctl.pages.parts import bar, card, clock, facts, foot, legend, moment, percent, scroll, status

LONGEST_LABEL = 60
_FEW_SOURCES = 3

_NUMBERS = ("waited", "loaded", "worked", "made")
_KINDS = (("queue", "waits"), ("load", "loads"), ("run", "works"), ("hit", "from the cache"), ("failed", "failed"))


def render(view: RunView) -> bytes:
    """The page as a file's content."""
    main = h(
        "main",
        _hero(view),
        _sheet(view.film),
        _sound(view.film),
        _waterfall(view),
        figures.section(view.figures, view.limits),
        _settings(view),
        id="content",
        tabindex="-1",
    )
    return page(f"{view.title} - avatarctl", [_head(view), main, foot(view.made_by, f"Run {view.id}. ")])


def _head(view: RunView) -> Element:
    portrait = (
        h("img", class_="portrait", src=data_uri(view.portrait, "image/jpeg"), alt="", width="72", height="72")
        if view.portrait
        else None
    )
    hits = sum(step.status == "hit" for step in view.steps)
    words = [view.recipe, view.avatar, view.preset and f"preset {view.preset}", moment(view.started)]
    numbers: list[tuple[str, str]] = [("took", duration(view.seconds))]
    if view.film is not None and view.film.duration:
        numbers.insert(0, ("film", duration(view.film.duration)))
        if hits < len(view.steps):
            numbers.append(("real-time factor", f"{view.seconds / view.film.duration:.2f}"))
    if view.steps:
        numbers.append(("from the cache", f"{hits} of {len(view.steps) + view.steps_left_out} steps"))
    return h(
        "header",
        portrait,
        h(
            "div",
            h("p", status(view.status), [h("span", word, dir="auto") for word in words if word], class_="about"),
            h("h1", shorten(view.title, 200), dir="auto", lang=view.language or None),
        ),
        h("dl", [h("div", h("dt", name), h("dd", value)) for name, value in numbers], class_="numbers"),
        class_="top",
    )


def _hero(view: RunView) -> Element:
    return h("div", _player(view), _words(view), class_="hero" if view.film else "hero alone")


def _player(view: RunView) -> Element | None:
    film = view.film
    if film is None:
        return None
    shape = f"{film.width} × {film.height}, {film.fps:g} frames a second, {size(film.size)}"
    shown: Element
    if film.source:
        captions = _captions(film)
        shown = h(
            "video",
            h("track", kind="captions", srclang=film.language or "und", label="What is said", src=captions)
            if captions
            else None,
            "This browser plays no films.",
            src=film.source,
            controls=True,
            playsinline=True,
            preload="metadata",
            width=film.width,
            height=film.height,
            aria_label=f"The film: {shorten(view.title, 100)}",
            poster=data_uri(film.stills[0].jpeg, "image/jpeg") if film.stills else None,
        )
    else:
        shown = h("p", "There is no film to play.", class_="gone")
    caption = h("figcaption", shape, h("br") if film.remark else None, film.remark or None)
    return h("figure", shown, caption, class_="film")


def _captions(film: FilmView) -> str:
    """WebVTT of what is said. Its text is never markup: `<` and `&` are written as what they mean."""
    if not film.spoken:
        return ""
    lines = ["WEBVTT", ""]
    for one in film.spoken:
        text = shorten(" ".join(one.text.split()), 400).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        lines += [f"{_stamp(one.start)} --> {_stamp(one.end)}", text, ""]
    return data_uri("\n".join(lines).encode("utf-8"), "text/vtt;charset=utf-8")


def _stamp(value: float) -> str:
    ms = round(value * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def _words(view: RunView) -> Element | None:
    parts: list[Any] = []
    if view.error:
        parts.append(
            h("div", h("h2", "What went wrong"), h("p", shorten(view.error, 4000), dir="auto"), class_="wrong")
        )
    if view.question and view.question != view.title:
        parts += [h("h2", "The question"), _prose(view.question, view.language)]
    if view.text:
        parts += [h("h2", "The answer" if view.question else "The text"), _prose(view.text, view.text_language)]
    if view.sources:
        items = [
            h("li", h("cite", shorten(s.document, 200)), f" · {shorten(s.heading, 200)}" if s.heading else None,
              h("q", shorten(s.sentence, 400), dir="auto") if s.sentence else None)
            for s in view.sources
        ]  # fmt: skip
        few = len(items) <= _FEW_SOURCES
        summary = h("summary", f"Where it is from ({len(items)})")
        parts.append(h("details", summary, h("ol", items, class_="sources"), open=few))
    return h("div", parts, class_="words") if parts else None


def _prose(text: str, language: str) -> list[Element]:
    paragraphs = [p for p in shorten(text, LONGEST_TEXT).split("\n") if p.strip()]
    made = [h("p", p, dir="auto", lang=language or None) for p in paragraphs]
    block = h("blockquote", made, class_="long" if len(text) > 600 else None)
    left = len(text) - LONGEST_TEXT
    return [block, *([h("p", f"{left} more characters are not shown.", class_="note")] if left > 0 else [])]


def _sheet(film: FilmView | None) -> Element | None:
    if film is None or not film.stills:
        return None
    shots: list[Element] = []
    for still in film.stills:
        at = clock(still.seconds)
        picture = h("img", src=data_uri(still.jpeg, "image/jpeg"), alt="")
        content = [picture, h("span", at)]
        if film.source:
            shot = h("button", content, type="button", data_seek=f"{still.seconds:.3f}", aria_label=f"Play from {at}")
        else:
            shot = h("div", content)
        shots.append(h("li", shot))
    return card("Contact sheet", h("ol", shots, class_="sheet"), name="contact")


def _sound(film: FilmView | None) -> Element | None:
    if film is None or (not film.wave and not film.spoken):
        return None
    children: list[Any] = []
    if film.wave:
        children.append(
            h("div", _wave(film.wave), h("div", class_="playhead", hidden=True), class_="wave",
              data_duration=f"{film.duration:.3f}")
        )  # fmt: skip
    else:
        children.append(h("p", "Nothing is to be heard.", class_="note"))
    if film.wave and film.spoken:
        lane = h("svg", class_="lane", width="100%", height="8", aria_hidden="true", focusable="false")
        for one in film.spoken:
            lane.append(
                h("rect", x=percent(one.start, film.duration), width=percent(one.end - one.start, film.duration),
                  y="1", height="6", rx="3")
            )  # fmt: skip
        children.append(lane)
    if film.spoken:
        children.append(h("ol", [_said(film, i) for i in range(len(film.spoken))], class_="spoken"))
    return card("What is heard", children, name="sound")


def _said(film: FilmView, number: int) -> Element:
    one = film.spoken[number]
    text = [h("time", clock(one.start)), h("span", shorten(one.text, 1000), dir="auto", lang=film.language or None)]
    if not film.source:
        return h("li", h("div", text))
    return h(
        "li",
        h("button", text, type="button", data_seek=f"{one.start:.3f}", data_until=f"{one.end:.3f}"),
    )


def _wave(peaks: Sequence[float]) -> Element:
    """Mirrored about the middle; one step of the path for each stretch of sound."""
    upper = [f"{i},{50 - max(0.6, 48 * p):.1f}" for i, p in enumerate(peaks)]
    lower = [f"{i},{50 + max(0.6, 48 * p):.1f}" for i, p in reversed(list(enumerate(peaks)))]
    return h(
        "svg",
        h("title", "The sound's loudness over the film"),
        h("polygon", points=" ".join(upper + lower)),
        viewBox=f"0 0 {max(1, len(peaks) - 1)} 100",
        preserveAspectRatio="none",
        width="100%",
        height="96",
        role="img",
    )


def _waterfall(view: RunView) -> Element | None:
    if not view.steps:
        return None
    whole = max(view.seconds, max(step.end for step in view.steps), 1e-3)
    kinds = {kind for step in view.steps for kind, _, length in _pieces(step) if length > 0}
    kinds |= {step.status for step in view.steps}
    rows = [_step_row(step, whole) for step in view.steps]
    names = [("step", ""), ("about", ""), ("was", ""), ("when", "wide"), *((n, "n") for n in _NUMBERS)]
    head = h("tr", [h("th", _axis(whole) if n == "when" else n, scope="col", class_=c or None) for n, c in names])
    table = h(
        "table",
        h("caption", "Each step: when it waited, loaded and worked", class_="unseen"),
        h("thead", head),
        h("tbody", rows),
        class_="steps",
    )
    note = f"{view.steps_left_out} more steps are not shown." if view.steps_left_out else ""
    problems = [
        h("div", h("h3", f"{s.stage}/{s.engine} failed"), h("p", shorten(s.error, 2000), dir="auto"), class_="wrong")
        for s in view.steps
        if s.status == "failed" and s.error
    ]
    return card(
        "Where the time went",
        legend([(k, w) for k, w in _KINDS if k in kinds]),
        scroll(table, "Steps of the run"),
        problems,
        note=note,
        name="waterfall",
    )


def _pieces(step: StepView) -> list[tuple[str, float, float]]:
    loads = step.began + step.queue
    return [
        ("queue", step.began, step.queue),
        ("load", loads, step.load),
        ("failed" if step.status == "failed" else "run", loads + step.load, step.run),
    ]


def _step_row(step: StepView, whole: float) -> Element:
    def took(value: float) -> str:
        return duration(value) if value >= 0.0005 else "–"

    details = " · ".join(filter(None, [step.device, f"{step.memory_mb:.0f} MB" if step.memory_mb else "", step.key]))
    hit = step.status == "hit"
    mark = ("hit", step.end) if hit else ("tick", step.end - step.run)
    return h(
        "tr",
        h("th", h("span", step.stage, class_="stage"), h("span", step.engine, class_="engine"), scope="row"),
        h("td", shorten(step.label, LONGEST_LABEL), dir="auto", class_="label"),
        h("td", status(step.status), class_="was"),
        h("td", bar(_pieces(step), whole, mark), class_="wide"),
        h("td", took(step.queue), class_="n"),
        h("td", took(step.load), class_="n"),
        h("td", took(step.run), class_="n worked"),
        h("td", size(step.size) if step.size else "–", class_="n"),
        title=shorten(details, 200) or None,
        data_begin=f"{step.began:.6f}",
        data_whole=f"{whole:.6f}",
    )


def _axis(whole: float) -> list[Any]:
    """The column's heading: a few round times over the bars."""
    step = 10 ** math.floor(math.log10(whole))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if whole / s <= 6.5)
    marks = [i * step for i in range(int(whole / step) + 1) if i * step <= 0.94 * whole]
    line = h("svg", class_="axis", width="100%", height="16", aria_hidden="true", focusable="false")
    line.extend(h("text", f"{mark:g} s" if mark else "0", x=percent(mark, whole), y="12") for mark in marks)
    return [h("span", "when", class_="unseen"), line]


def _settings(view: RunView) -> Element:
    rows = []
    for stage, table in view.settings.items():
        engine = str(table.get("engine", ""))
        params = ", ".join(f"{k} = {v}" for k, v in table.items() if k != "engine")
        rows.append(h("tr", h("th", stage, scope="row"), h("td", engine), h("td", shorten(params, 1000))))
    files = [
        h("li", h("span", d.role, class_="engine"), h("a", d.name, href=d.link) if d.link else h("span", d.name),
          None if d.link else h("span", " (not there any more)", class_="note"))
        for d in view.delivered
    ]  # fmt: skip
    return card(
        "How it was made",
        facts([
            ("run", h("code", view.id)),
            ("avatar", view.avatar),
            ("preset", view.preset),
            ("seed", str(view.seed) if view.seed else ""),
            ("take", str(view.take) if view.take else ""),
            ("again", h("code", f"avatarctl replay {view.id}") if view.recipe in ("ask", "render") else ""),
        ]),
        h("ul", files, class_="files") if files else None,
        h("details", h("summary", "Engines and params"),
          scroll(h("table", h("tbody", rows), class_="plain"), "Engines and params")) if rows else None,
        name="settings",
    )  # fmt: skip
