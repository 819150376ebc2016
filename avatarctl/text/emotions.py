"""Emotions by their names, and the tags that put them into a text: `[happy] Привет! [грусть] Пора идти.`

A tag colours the sentence that it stands in and those behind it, until the next tag or the end of the paragraph. It
is not spoken; other words in brackets are.
"""

from __future__ import annotations

import difflib
import re

from avatarctl.errors import BadConfig

EMOTIONS = ("neutral", "happy", "sad", "thinking", "surprised")

_ALIASES = {
    "neutral": "calm спокойно спокойствие нейтрально",
    "happy": "happiness joy радость радостно счастье весело",
    "sad": "sadness грусть грустно печаль печально",
    "thinking": "thoughtful раздумье задумчиво задумчивость",
    "surprised": "surprise удивление удивлённо удивленно",
}
_NAMES = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases.split())}
_LONGEST = max(map(len, _NAMES))
_TAG = re.compile(r"\[\s{0,3}(" + "|".join(sorted(_NAMES, key=len, reverse=True)) + r")\s{0,3}\](?!\()", re.IGNORECASE)
_BEGINNING = re.compile(rf"\[\s{{0,3}}\w{{0,{_LONGEST}}}\s{{0,3}}\]?\Z")
"""What may become a tag with the text to come."""

# Within a text under way an emotion is one character of Unicode's private area, which no spoken text holds.
_FIRST = 0xE5E0
_MARKS = {name: chr(_FIRST + i) for i, name in enumerate(EMOTIONS)}
_EMOTION = {mark: name for name, mark in _MARKS.items()}
_MARK = "[" + "".join(_EMOTION) + "]"
_ANY_MARK = re.compile(_MARK)
_BEFORE_STOP = re.compile(rf"\s*(?:{_MARK}\s*)+(?=[,.!?;:…])")
_WITH_SPACES = re.compile(rf"[^\S\n]*(?:{_MARK}[^\S\n]*)+")


def named(word: str) -> str | None:
    """The emotion of that name, in English or Russian; None when there is none."""
    return _NAMES.get(word.strip().lower())


def canonical(word: str, where: str) -> str:
    """The English name of an emotion.

    Raises:
        BadConfig: there is none of that name; the hint names the nearest. `where`: what was set to it.
    """
    found = named(word)
    if found is None:
        near = difflib.get_close_matches(word.strip().lower(), _NAMES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "one of: " + ", ".join(EMOTIONS)
        raise BadConfig(f"{where} = {word.strip()!r} is not an emotion", hint=hint)
    return found


def listed(text: str, where: str) -> list[str]:
    """The emotions of a list with commas, in English; "" for each that is left out. Empty text: none.

    Raises:
        BadConfig: there is none of that name.
    """
    if not text.strip():
        return []
    return [canonical(word, where) if word.strip() else "" for word in text.split(",")]


def untagged(text: str) -> str:
    """The text without its tags."""
    return _without(_marked(_ANY_MARK.sub("", text)))


class Marker:
    """Turns the tags of a text that arrives in pieces into marks, which `take` reads."""

    def __init__(self) -> None:
        self._waiting = ""

    def feed(self, chunk: str) -> str:
        """What is certain so far; a tag that has only begun waits."""
        text = self._waiting + _ANY_MARK.sub("", chunk)
        begun = _BEGINNING.search(text)
        ready = text[: begun.start()] if begun else text
        self._waiting = text[len(ready) :]
        return _marked(ready)

    def close(self) -> str:
        """What still waited."""
        rest, self._waiting = self._waiting, ""
        return _marked(rest)


def take(marked: str, before: str) -> tuple[str, str, str]:
    """A sentence without its marks, its emotion, and the one that holds behind it; `before`: the one until here."""
    found = [_EMOTION[mark] for mark in _ANY_MARK.findall(marked)]
    return (_without(marked), found[0], found[-1]) if found else (marked, before, before)


def _marked(text: str) -> str:
    return _TAG.sub(lambda m: f" {_MARKS[_NAMES[m[1].lower()]]} ", text)


def _without(marked: str) -> str:
    return _WITH_SPACES.sub(" ", _BEFORE_STOP.sub("", marked)).strip(" ")
