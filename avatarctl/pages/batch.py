"""The page of a batch: what came of each job, and where the time went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from avatarctl.amounts import duration
from avatarctl.pages.elements import data_uri, h, page, shorten
from avatarctl.pages.model import BatchView, JobView, WorkView
from avatarctl.pages.parts import (
    bar,
    card,
    facts,
    foot,
    legend,
    moment,
    percent,
    scroll,
    status,
    status_words,
)

_ORDER = ("done", "cached", "rejected", "failed", "cancelled", "running", "queued")
_LONGEST_ERROR = 300
_REASONS = 12
"""Different reasons of failure that are listed."""


def render(view: BatchView) -> bytes:
    """The page as a file's content."""
    counts = Counter(job.status for job in view.jobs)
    main = h(
        "main", _summary(view, counts), _reasons(view), _work(view), _films(view, counts), _origin(view), id="content",
        tabindex="-1",
    )  # fmt: skip
    return page(f"{view.name} - avatarctl", [_head(view), main, foot(view.made_by, f"Batch {view.id}. ")])


def _head(view: BatchView) -> Element:
    words = ["batch", moment(view.created), f"round {view.round}" if view.round > 1 else ""]
    return h(
        "header",
        h(
            "div",
            h("p", h("span", view.state, class_="badge"), [h("span", word) for word in words if word], class_="about"),
            h("h1", shorten(view.name, 200), dir="auto"),
        ),
        class_="top",
    )


def _summary(view: BatchView, counts: Counter[str]) -> Element:
    made = [job for job in view.jobs if job.status == "done"]
    length = sum(job.media_seconds for job in view.jobs if job.status in ("done", "cached"))
    fresh = sum(job.media_seconds for job in made)
    total = len(view.jobs)
    numbers = [
        ("films", f"{counts['done'] + counts['cached']} of {total}"),
        ("from the cache", str(counts["cached"]) if counts["cached"] else ""),
        ("rejected", str(counts["rejected"]) if counts["rejected"] else ""),
        ("failed", str(counts["failed"]) if counts["failed"] else ""),
        ("of film", duration(length) if length else ""),
        ("took", duration(view.busy) if view.busy else ""),
        ("real-time factor", f"{view.busy / fresh:.2f}" if fresh else ""),
    ]
    kinds = [(kind, counts[kind]) for kind in _ORDER if counts[kind]]
    return card(
        "How it went",
        h("dl", [h("div", h("dt", n), h("dd", v)) for n, v in numbers if v], class_="tally"),
        _share([(_colour(kind), count) for kind, count in kinds], total),
        legend([(_colour(kind), f"{count} {status_words(kind)}") for kind, count in kinds]),
        name="summary",
    )


def _colour(kind: str) -> str:
    return "waiting" if kind in ("running", "queued") else kind


def _share(parts: Sequence[tuple[str, int]], total: int) -> Element:
    line = h("svg", class_="share", width="100%", height="12", aria_hidden="true", focusable="false")
    at = 0
    for kind, count in parts:
        line.append(
            h("rect", class_=f"k-{kind}", x=percent(at, total), width=percent(count, total), y="0", height="12")
        )
        at += count
    return line


def _reasons(view: BatchView) -> Element | None:
    """Each reason once, with the jobs that it stopped."""
    by_reason: dict[str, list[JobView]] = {}
    for job in view.jobs:
        if job.error:
            by_reason.setdefault(job.error, []).append(job)
    if not by_reason:
        return None
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    blocks = [
        h(
            "li",
            h("p", shorten(reason, _LONGEST_ERROR), dir="auto"),
            h("p", [_link_to(job) for job in jobs[:20]], f" and {len(jobs) - 20} more" if len(jobs) > 20 else None,
              class_="note"),
            class_="wrong",
        )
        for reason, jobs in ordered[:_REASONS]
    ]  # fmt: skip
    left = len(ordered) - len(blocks)
    return card(
        "What went wrong",
        h("ul", blocks, class_="reasons"),
        note=f"{left} more reasons stand in the table." if left else "",
        name="wrong-jobs",
    )


def _link_to(job: JobView) -> list[Any]:
    return [h("a", shorten(job.name, 80), href=f"#job-{job.position}", dir="auto"), " "]


def _work(view: BatchView) -> Element | None:
    if not view.work:
        return None
    whole = max((w.load + w.run for w in view.work), default=0.0) or 1e-3
    total = sum(w.load + w.run for w in view.work) or 1.0
    rows = [_work_row(one, whole, total) for one in view.work]
    heads = [("stage", ""), ("time", "wide"), ("worked", "n"), ("share", "n"), ("loaded", "n"), ("made", "n"),
             ("a step", "n"), ("from the cache", "n"), ("failed", "n")]  # fmt: skip
    table = h(
        "table",
        h("caption", "What each engine did", class_="unseen"),
        h("thead", h("tr", [h("th", name, scope="col", class_=c or None) for name, c in heads])),
        h("tbody", rows),
        class_="work",
    )
    return card(
        "Where the time went",
        legend([("load", "loads"), ("run", "works")]),
        scroll(table, "What each engine did"),
        note="All engines together, in the last performance of each job; several may work at a time.",
        name="work-card",
    )


def _work_row(one: WorkView, whole: float, total: float) -> Element:
    def count(number: int) -> str:
        return str(number) if number else "–"

    return h(
        "tr",
        h("th", one.stage, " ", h("span", one.engine, class_="engine"), scope="row"),
        h("td", bar([("load", 0.0, one.load), ("run", one.load, one.run)], whole), class_="wide"),
        h("td", duration(one.run) if one.made else "–", class_="n"),
        h("td", f"{100 * (one.load + one.run) / total:.0f} %", class_="n"),
        h("td", duration(one.load) if one.load >= 0.0005 else "–", class_="n"),
        h("td", count(one.made), class_="n"),
        h("td", duration(one.run / one.made) if one.made else "–", class_="n"),
        h("td", count(one.hits), class_="n"),
        h("td", count(one.failed), class_="n"),
    )


def _films(view: BatchView, counts: Counter[str]) -> Element:
    heads = [
        ("picture", "thumb", False),
        ("job", "", True),
        ("status", "", True),
        ("film", "n", True),
        ("worked", "n", True),
        ("real time", "n", True),
        ("when", "wide", True),
    ]
    head = [
        h("th", h("button", name, type="button") if sortable else h("span", name, class_="unseen"), scope="col",
          class_=c or None)
        for name, c, sortable in heads
    ]  # fmt: skip
    table = h(
        "table",
        h("caption", "Every job", class_="unseen"),
        h("thead", h("tr", head)),
        h("tbody", [_job_row(job, view.span) for job in view.jobs]),
        class_="jobs",
    )
    chips = [
        h("button", f"{status_words(kind)} {counts[kind]}", type="button", data_status=kind, aria_pressed="false")
        for kind in _ORDER
        if counts[kind]
    ]
    tools = h(
        "div",
        h("label", "Search the jobs", for_="search", class_="unseen"),
        h("input", id="search", type="search", placeholder="Search", autocomplete="off"),
        chips if len(chips) > 1 else None,
        h("span", id="shown", class_="note", role="status"),
        class_="tools",
        hidden=True,
    )
    note = f"{view.thumbnails_left_out} pictures were left out." if view.thumbnails_left_out else ""
    return card("Films", tools, scroll(table, "Every job"), note=note, name="films")


def _job_row(job: JobView, span: float) -> Element:
    picture: Element = h("span", class_="none")
    if job.thumbnail:
        picture = h("img", src=data_uri(job.thumbnail, "image/jpeg"), alt="", width="72", height="72")
    name = shorten(job.name, 120)
    factor = job.worked / job.media_seconds if job.media_seconds else 0.0
    when = None
    if job.began is not None:
        when = bar(
            [(_colour(job.status), job.began, job.seconds)],
            span,
            ("hit" if job.status == "cached" else "tick", job.began),
        )
    return h(
        "tr",
        h("td", picture, class_="thumb"),
        h(
            "th",
            h("a", name, href=job.link, title="play the film", dir="auto") if job.link else h("bdi", name),
            h("span", shorten(job.about, 160), dir="auto", lang=job.language or None) if job.about else None,
            h("span", shorten(job.error, _LONGEST_ERROR), class_="why", dir="auto") if job.error else None,
            scope="row",
            class_="name",
        ),
        h("td", status(job.status), class_="was"),
        h(
            "td",
            duration(job.media_seconds) if job.media_seconds else "–",
            class_="n length",
            data_sort=job.media_seconds,
        ),
        h("td", duration(job.worked) if job.worked else "–", class_="n", data_sort=job.worked),
        h("td", f"{factor:.2f}" if factor else "–", class_="n", data_sort=f"{factor:.3f}"),
        h("td", when, class_="wide", data_sort=-1 if job.began is None else job.began),
        id=f"job-{job.position}",
        data_job=job.status,
    )


def _origin(view: BatchView) -> Element:
    return card(
        "How it was made",
        facts([
            ("job file", view.name),
            ("batch", h("code", view.id)),
            ("again", h("code", f"avatarctl batch run {shorten(view.name, 200)}")),
        ]),
        name="origin",
    )  # fmt: skip
