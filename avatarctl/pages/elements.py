"""HTML as a tree of elements, so that no text can ever become markup, and the page around it.

Nothing here joins strings into HTML: `h` makes elements, and the standard library's serializer writes them. The page's
own Content-Security-Policy allows the one style and the one script that are in it, by their hashes, pictures and films
that are in it, and films beside it; a browser that is given the page asks nothing of any network.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any
from xml.etree.ElementTree import Element, tostring

LONGEST_TEXT = 20_000
"""Characters: whatever a ledger holds, a page can be opened."""

_UNPRINTABLE = {
    **dict.fromkeys([*range(0x20), 0x7F, *range(0x80, 0xA0), *range(0xD800, 0xE000)], "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys([0x0A, 0x0D, 0x85, 0x2028, 0x2029], "\n"),
    0x09: " ",
}


def clean(text: str) -> str:
    """`text` without what has no place in a page: control characters, and halves of characters (from names of files
    that are not UTF-8). Every kind of line end becomes a plain one."""
    return text.replace("\r\n", "\n").translate(_UNPRINTABLE)


def shorten(text: str, length: int) -> str:
    """At most `length` characters of `text`, cleaned; what is left out is shown to be."""
    text = clean(text)
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def h(tag: str, *children: Any, **attributes: Any) -> Element:
    """An element.

    Args:
        children: texts, elements, or lists of them; None is left out, and no text is longer than `LONGEST_TEXT`.
        attributes: `class_` for `class`, `aria_label` for `aria-label`. True gives the name alone, None and False
            nothing.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        made.set(name.rstrip("_").replace("_", "-"), "" if value is True else clean(str(value)))
    for child in children:
        _append(made, child)
    return made


def _append(parent: Element, child: Any) -> None:
    if child is None:
        return
    if isinstance(child, Element):
        parent.append(child)
    elif isinstance(child, str):
        text = shorten(child, LONGEST_TEXT)
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + text
        else:
            parent.text = (parent.text or "") + text
    else:
        for one in child:
            _append(parent, one)


def data_uri(content: bytes, media_type: str) -> str:
    """`content` as an address that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def page(title: str, body: Iterable[Element]) -> bytes:
    """A whole document, UTF-8."""
    style, script = (files(__package__).joinpath(name).read_text(encoding="utf-8") for name in _OWN)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; media-src data: 'self'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    document = h(
        "html",
        h(
            "head",
            h("meta", charset="utf-8"),
            h("meta", http_equiv="Content-Security-Policy", content=policy),
            h("meta", name="viewport", content="width=device-width, initial-scale=1"),
            h("meta", name="color-scheme", content="light dark"),
            h("meta", name="referrer", content="no-referrer"),
            h("link", rel="icon", href="data:,"),
            h("title", shorten(title, 120)),
            _raw("style", style),
        ),
        h("body", h("a", "Skip to the content", class_="skip", href="#content"), body, _raw("script", script)),
        lang="en",
    )
    return b"<!doctype html>\n" + tostring(document, encoding="unicode", method="html").encode("utf-8") + b"\n"


_OWN = ("style.css", "script.js")


def _raw(tag: str, text: str) -> Element:
    """The page's own style or script, which the serializer writes as it is."""
    element = Element(tag)
    element.text = text
    return element


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
