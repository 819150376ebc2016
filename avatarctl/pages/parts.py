"""What both pages are put together from: figures for people, chips, cards, and bars of true length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from avatarctl.pages.elements import h


def clock(value: float) -> str:
    """A place in a film: 0:07, 1:02:03."""
    whole = int(value)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def moment(iso: str) -> str:
    """`2031-02-03T04:05:06.789Z` for people: `2031-02-03 04:05 UTC`."""
    return f"{iso[:10]} {iso[11:16]} UTC" if len(iso) >= 16 else iso


def status_words(status: str) -> str:
    """The ledger's word for a status, but for what was made before."""
    return "from the cache" if status in ("cached", "hit") else status


def status(word: str) -> Element:
    """A status as a coloured badge, which says it in words, too."""
    return h("span", status_words(word), class_=f"badge {word}")


def facts(pairs: Sequence[tuple[str, Any]]) -> Element:
    """Names with their values; empty ones are left out."""
    return h(
        "dl", [h("div", h("dt", name), h("dd", value)) for name, value in pairs if value not in ("", None)],
        class_="facts",
    )  # fmt: skip


def card(title: str, *children: Any, note: str = "", name: str) -> Element:
    """A part of the page under a heading of its own."""
    head = h("h2", title, id=f"{name}-title")
    return h("section", head, h("p", note, class_="note") if note else None, children, class_=f"card {name}",
             aria_labelledby=f"{name}-title")  # fmt: skip


def percent(part: float, whole: float) -> str:
    """`part` of `whole` as a length in SVG and HTML; as exact as a screen can show."""
    return f"{100 * part / whole:.4f}%" if whole > 0 else "0%"


def bar(pieces: Sequence[tuple[str, float, float]], whole: float, mark: tuple[str, float] | None = None) -> Element:
    """Pieces (kind, begin, length) on a line of length `whole`, each as long as it is.

    `mark`: a hairline of a kind at a place, so that what took next to no time is seen, too.
    """
    line = h("svg", class_="bar", width="100%", height="14", aria_hidden="true", focusable="false")
    for kind, begin, length in pieces:
        if length > 0:
            line.append(
                h("rect", class_=f"k-{kind}", x=percent(begin, whole), width=percent(length, whole), y="1", height="12")
            )
    if mark is not None:
        at = percent(mark[1], whole)
        line.append(h("line", class_=f"k-{mark[0]}", x1=at, x2=at, y1="0", y2="14"))
    return line


def legend(kinds: Sequence[tuple[str, str]]) -> Element:
    """What the colours mean."""
    items = [h("li", h("span", class_=f"swatch k-{kind}", aria_hidden="true"), word) for kind, word in kinds]
    return h("ul", items, class_="legend")


def scroll(table: Element, label: str) -> Element:
    """A table that may be wider than the window: it scrolls by itself, with the keyboard as well."""
    return h("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def foot(made_by: str, *more: Any) -> Element:
    """The page's last line."""
    return h("footer", h("p", more, f"Made by {made_by}. This page asks nothing of any network."))
