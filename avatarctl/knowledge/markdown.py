"""Markdown to what can be said aloud: sections of plain paragraphs. Tables, code, pictures and links' addresses go.

This is no CommonMark renderer: it keeps the words of a text and forgets its looks.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^\s{0,3}(=+|-+)\s*$")
_RULE = re.compile(r"^\s{0,3}([-*_])(\s*\1){2,}\s*$")
_ITEM = re.compile(r"^\s*([-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?(.*)$")
_QUOTE = re.compile(r"^\s{0,3}(?:>\s?)+")
_TABLE = re.compile(r"^\s*\|.*\|\s*$|^\s*:?-{3,}:?\s*(\|\s*:?-{3,}:?\s*)+$")
_DEFINITION = re.compile(r"^\s{0,3}\[[^\]]+\]:\s")

_IMAGE = re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])")
_LINK = re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])")
_FOOTNOTE = re.compile(r"\[\^[^\]]+\]")
_CODE = re.compile(r"`+([^`]*)`+")
_ADDRESS = re.compile(r"<?\b(?:https?|ftp)://[^\s<>]*[^\s<>.,;:!?)]>?|\bwww\.\S*[^\s.,;:!?)]")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_STRONG = re.compile(r"(\*{1,3}|~~)(?=\S)(.+?)(?<=\S)\1")
_UNDERSCORED = re.compile(r"(?<!\w)(_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!>~|])")
_PRIVATE = 0xF0000
_HIDDEN = re.compile(f"[{chr(_PRIVATE)}-{chr(_PRIVATE + 0x7F)}]")

_SHORT_ITEM = 5
_LONGEST_LIST = 40


@dataclass(slots=True)
class Section:
    """What stands under one heading. `heading`: the path to it, without a title at the document's head."""

    heading: tuple[str, ...]
    paragraphs: list[str] = field(default_factory=list)


def plain(text: str) -> str:
    """One line of Markdown as plain words: marks removed, links as their text, addresses dropped."""
    # What is escaped must not be taken for a mark: it waits in a private plane of Unicode.
    text = _ESCAPED.sub(lambda match: chr(_PRIVATE + ord(match[1])), text)
    text = _FOOTNOTE.sub("", _IMAGE.sub("", text))
    text = _LINK.sub(r"\1", text)
    text = _ADDRESS.sub("", text)
    text = _TAG.sub("", _CODE.sub(r"\1", text))
    text = _UNDERSCORED.sub(r"\2", _STRONG.sub(r"\2", text))
    text = _HIDDEN.sub(lambda match: chr(ord(match[0]) - _PRIVATE), html.unescape(text))
    text = re.sub(r"\(\s*\)|\[\s*\]", "", text)
    return re.sub(r"\s+([.,;:!?»)])", r"\1", " ".join(text.split()))


def sections(text: str) -> list[Section]:
    """Sections in their order; those without a paragraph are left out."""
    found: list[Section] = []
    path: list[tuple[int, str]] = []
    current = Section(())
    titled = False
    for kind, level, content in _blocks(text):
        if kind == "heading":
            while path and path[-1][0] >= level:
                path.pop()
            if titled or level > 1:
                path.append((level, plain(content)))
            titled = True
            current = Section(tuple(title for _, title in path))
            found.append(current)
            continue
        if not found:
            found.append(current)
        current.paragraphs.extend(_paragraphs(kind, content, current.paragraphs))
    return [s for s in found if s.paragraphs]


def _paragraphs(kind: str, content: str, before: list[str]) -> list[str]:
    if kind == "list":
        items = [item for line in content.split("\n") if (item := plain(line))]
        return _list(items, before)
    text = plain(content)
    return [text] if text else []


def _list(items: list[str], before: list[str]) -> list[str]:
    """Short items after `...:` become one sentence with it; others are sentences of their own."""
    lead = before[-1] if before and before[-1].endswith(":") else ""
    count = sum(len(item.split()) for item in items)
    if items and count <= _LONGEST_LIST and all(len(item.split()) <= _SHORT_ITEM for item in items):
        bare = [item.rstrip(".,;") for item in items]
        joined = ("; " if any("," in item for item in bare) else ", ").join(bare)
        if lead:
            before.pop()
        return [_ended(f"{lead} {joined}".strip())]
    return [_ended(item) for item in items]


def _ended(text: str) -> str:
    text = text.rstrip(" ;,")
    return text if text.endswith((".", "!", "?", "…", ":", "»")) else text + "."


def _blocks(text: str) -> Iterator[tuple[str, int, str]]:
    """(kind, heading level, content) of headings, paragraphs and lists, the list's items one a line."""
    lines = _COMMENT.sub("", _FRONT_MATTER.sub("", text)).split("\n")
    pending: list[str] = []
    kind = "paragraph"
    fence = marker = ""

    def flush() -> Iterator[tuple[str, int, str]]:
        nonlocal kind
        if pending:
            yield kind, 0, ("\n" if kind == "list" else " ").join(pending)
        pending.clear()
        kind = "paragraph"

    for raw in lines:
        mark = _FENCE.match(raw)
        if fence:
            if mark and mark[1].startswith(fence) and not raw.strip().strip(fence[0]):
                fence = ""
            continue
        line = _QUOTE.sub("", raw)
        if mark:
            yield from flush()
            fence = mark[1]
        elif heading := _HEADING.match(line):
            yield from flush()
            yield "heading", len(heading[1]), heading[2]
        elif pending and kind == "paragraph" and (under := _UNDERLINE.match(line)):
            yield "heading", 1 if under[1].startswith("=") else 2, " ".join(pending)
            pending.clear()
        elif not line.strip():
            # A blank line ends a paragraph, but items of one list may stand apart.
            if kind == "paragraph":
                yield from flush()
        elif _RULE.match(line) or _TABLE.match(line) or _DEFINITION.match(line):
            yield from flush()
        elif item := _ITEM.match(line):
            if kind != "list" or item[1][-1] != marker:
                yield from flush()
            kind, marker = "list", item[1][-1]
            pending.append(item[2])
        elif kind == "list" and line.startswith((" ", "\t")):
            pending[-1] += " " + line.strip()
        elif not pending and line.startswith(("    ", "\t")):
            continue  # indented code
        else:
            if kind == "list":
                yield from flush()
            pending.append(line.strip())
    yield from flush()
