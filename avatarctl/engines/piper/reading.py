"""A text to sentences of phonemes as Piper's voices were taught them, with the place of each word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from avatarctl.engines.espeak.library import Espeak
from avatarctl.engines.piper.voice import Settings

_MARK = re.compile(r"[.,;:!?…]+[»”\")]*(?=\s|$)|(?<=\s)[—–-]+(?=\s)|$")
_WORD = re.compile(r"\S+")
_SPOKEN = re.compile(r"\w")
_LANGUAGE = re.compile(r"\([^)]*\)")
"""espeak-ng names the language where it changes: `(en)`."""
_ENDS, _GOES_ON = ".!?", ",;:"


@dataclass(frozen=True)
class Sentence:
    """`symbols` as the voice knows them; `words`: (index of its first symbol, position in the text, length)."""

    symbols: list[str]
    words: list[tuple[int, int, int]]


def sentences(text: str, settings: Settings, espeak: Espeak) -> list[Sentence]:
    """What is to be said of a normalised text. The voice's own voice of espeak-ng has been chosen."""
    found: list[Sentence] = []
    symbols: list[str] = []
    words: list[tuple[int, int, int]] = []
    for start, clause, mark in _clauses(text):
        ipa = _LANGUAGE.sub("", espeak.phonemes(clause)) if settings.espeak else clause
        groups = [settings.symbols(group) for group in ipa.split()]
        groups = [group for group in groups if group]
        if not groups:
            continue
        firsts = []
        for number, group in enumerate(groups):
            symbols += settings.symbols(" ") if number else []
            firsts.append(len(symbols))
            symbols += group
        words += _placed(start, clause, firsts)
        symbols += settings.symbols(mark)
        if mark in _ENDS:
            found.append(Sentence(symbols, words))
            symbols, words = [], []
        else:
            symbols += settings.symbols(" ")
    if symbols:
        found.append(Sentence(symbols, words))
    return found


def _clauses(text: str) -> Iterator[tuple[int, str, str]]:
    """Position, text, and the mark that ends it, as espeak-ng divides a text: one of `.!?,;:`."""
    start = 0
    for match in _MARK.finditer(text):
        clause = text[start : match.start()]
        if _SPOKEN.search(clause):
            yield start, clause, _mark(match.group())
        start = match.end()


def _mark(written: str) -> str:
    """`?!` is a question; what ends nothing, like a dash, is a comma; the end of the text is a full stop."""
    for mark in "?!":
        if mark in written:
            return mark
    if not written or written[0] in ".…":
        return "."
    return written[0] if written[0] in _GOES_ON else ","


def _placed(start: int, clause: str, firsts: list[int]) -> list[tuple[int, int, int]]:
    """The words of a clause at the groups of its phonemes: one to one, or where espeak-ng joined or divided some,
    by their share of the letters."""
    tokens = [m for m in _WORD.finditer(clause) if _SPOKEN.search(m.group())]
    if len(tokens) == len(firsts):
        places = firsts
    else:
        total = sum(len(t.group()) for t in tokens)
        before = 0
        places = []
        for token in tokens:
            places.append(firsts[min(before * len(firsts) // total, len(firsts) - 1)])
            before += len(token.group())
    return [(first, start + t.start(), len(t.group())) for first, t in zip(places, tokens, strict=True)]
