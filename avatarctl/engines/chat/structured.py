"""An answer with an emotion for each sentence, as JSON by a schema, read while it is still being written.

A server that can bind a model to a schema is told to; others are asked for tags in the text. What comes is read with
care in either case: some servers take a schema and do not keep to it, so that plain text, or JSON between Markdown's
fences, may come all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from avatarctl.text.emotions import EMOTIONS, named

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "sentences": {
            "type": "array",
            "items": {
                "type": "object",
                # In this order they are written: the face is known before the first word.
                "properties": {"emotion": {"type": "string", "enum": list(EMOTIONS)}, "text": {"type": "string"}},
                "required": ["emotion", "text"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["sentences"],
    "additionalProperties": False,
}
NAME = "answer"
"""Of the schema, where a protocol wants one."""


class SchemaRefused(Exception):
    """The server answers with a schema as it would not without one: it is asked again without."""


_FENCE = re.compile(r"```\w*\s*\n\s*")
_ESCAPES = {"b": " ", "f": " ", "n": " ", "r": " ", "t": " "}
"""What they stand for breaks a line, which a sentence has none of."""


class Reader:
    """Turns the pieces of such a document into text with tags of emotions, and lets through what is none."""

    def __init__(self) -> None:
        self._head: str | None = ""
        self._plain = False
        self._depth = 0
        self._key = ""
        self._string: str | None = None
        self._escape: str | None = None
        self._is_value = False
        self._high = ""
        self._emotion = EMOTIONS[0]
        self._shown = EMOTIONS[0]
        self._last = ""

    def feed(self, piece: str) -> str:
        """What is said by this piece."""
        if self._head is not None:
            self._head += piece
            if not self._decided():
                return ""
            piece, self._head = self._head, None
        return piece if self._plain else "".join(self._said(piece))

    def close(self) -> str:
        """What still waited, if it turned out to be no document."""
        head, self._head = self._head, None
        return head or ""

    def _decided(self) -> bool:
        """Whether its beginning tells what it is; a fence before a document is taken off."""
        assert self._head is not None
        start = self._head.lstrip()
        if fence := _FENCE.match(start):
            start = start[fence.end() :]
        elif start and re.fullmatch(r"`{1,3}\w*\s*", start):
            return False
        if not start:
            return False
        self._plain = start[0] != "{"
        self._head = self._head if self._plain else start
        return True

    def _said(self, piece: str) -> Iterator[str]:
        for character in piece:
            if self._string is None:
                yield from self._outside(character)
            elif self._escape is not None:
                yield from self._escaped(character)
            elif character == "\\":
                self._escape = ""
            elif character == '"':
                self._ended()
            else:
                yield from self._inside(" " if character in "\n\r\t" else character)

    def _outside(self, character: str) -> Iterator[str]:
        """Between strings. A string before a colon is a key, which the colon makes it."""
        if character == '"' and self._depth:
            self._string = ""
            if self._is_value and self._key == "text":
                yield from self._begun()
        elif character == ":":
            self._is_value = True
        elif character in "{[":
            self._depth += 1
            self._is_value = False
        elif character in "}]":
            self._depth -= 1
            self._is_value = False
        elif character == ",":
            self._is_value = False

    def _begun(self) -> Iterator[str]:
        if self._last:
            # A sentence that its writer left open is not to run into the next one.
            yield ". " if self._last.isalnum() else " "
        if self._emotion != self._shown:
            self._shown = self._emotion
            yield f"[{self._emotion}] "

    def _inside(self, text: str) -> Iterator[str]:
        assert self._string is not None
        self._string += text
        if self._is_value and self._key == "text":
            self._last = text if not text.isspace() else self._last
            yield text

    def _escaped(self, character: str) -> Iterator[str]:
        assert self._escape is not None
        if not self._escape and character != "u":
            self._escape = None
            yield from self._inside(_ESCAPES.get(character, character))
            return
        self._escape += character
        if len(self._escape) < 5:
            return
        code, self._escape = self._escape[1:], None
        unit = int(code, 16) if re.fullmatch("[0-9a-fA-F]{4}", code) else 0xFFFD
        if 0xD800 <= unit < 0xDC00:
            self._high = chr(unit)
            return
        pair, self._high = self._high + chr(unit), ""
        yield from self._inside(pair.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    def _ended(self) -> None:
        found, self._string = self._string or "", None
        if not self._is_value:
            self._key = found
        elif self._key == "emotion":
            self._emotion = named(found) or self._emotion
