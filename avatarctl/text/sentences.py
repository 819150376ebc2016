"""Text to sentences, each with the silence that belongs after it; whole or as the text arrives.

`split` is the stream fed at once, so both agree for every way of cutting the text into chunks: a border is
decided only when the word behind it is complete, and never again. Between the borders no word is lost. Tags of
emotions (`[happy]`) are taken off, and kept beside the sentences that they colour.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from avatarctl.errors import BadInput
from avatarctl.text import emotions
from avatarctl.text.abbreviations import MAY_BE_LAST, NEVER_LAST, STARTERS
from avatarctl.text.clauses import cut

MAX_TEXT = 100_000
"""Characters of one text."""

LIMIT = 300
"""Characters of one sentence."""

SENTENCE_PAUSE = 0.4
PARAGRAPH_PAUSE = 0.7
ELLIPSIS_PAUSE = 0.3
CLAUSE_PAUSE = 0.15
CLOSING_PAUSE = 0.6
"""Seconds."""

_CLOSING = "»”’\"')]}›*_"
_OPENING = "«“„‘\"'([{‹"
_CANDIDATE = re.compile(rf"[.!?…。！？؟।॥۔]+[{re.escape(_CLOSING)}]*|\n")
_WORD = re.compile(r"\w+")
_FULL_WIDTH = frozenset("。！？।॥۔؟")
_MARKER = re.compile(rf"[ \t]*(?:[-–—*•·▪#>]+[ \t]|\d{{1,3}}[.)][ \t]|[{re.escape(_OPENING)}]?\w\)[ \t])")
_NUMBERED = re.compile(r"\s*\W*\d{1,3}")
_LAST_TOKEN = re.compile(r"(?:\w\.\s?){0,3}[\w-]+$")
_BROKEN_LINE = 50
"""A shorter line before a capital letter is a heading or a verse, not a line that an editor wrapped."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text` without line breaks and tags; `pause`: seconds of silence after it; `emotion`: by its tag, or ""."""

    text: str
    pause: float
    emotion: str = ""


def clean(text: str) -> str:
    """NFC, without control characters, soft hyphens and marks of writing direction.

    Raises:
        BadInput: nothing that can be spoken, or more than `MAX_TEXT` characters.
    """
    if len(text) > MAX_TEXT:
        raise BadInput(
            f"the text has {len(text):,} characters",
            why=f"one film takes at most {MAX_TEXT:,}",
            hint="split it into parts, one job of a batch for each",
        )
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    kept = "".join(c for c in composed if not _unwanted(c))
    if not speakable(kept):
        what = "the text has nothing to speak" if kept.strip() else "the text is empty"
        raise BadInput(what, hint="give at least one word or number")
    return kept


def _unwanted(character: str) -> bool:
    if character in "\n\t\u200c\u200d":
        return False
    category = unicodedata.category(character)
    return category in ("Cc", "Cf", "Cs", "Co", "Cn")


def speakable(text: str) -> bool:
    """Whether there is a letter or a digit in it."""
    return any(c.isalnum() for c in text)


def split(text: str, limit: int = LIMIT) -> list[Sentence]:
    """The sentences of a whole text, none longer than `limit` characters (at least 20)."""
    stream = SentenceStream(limit)
    return [*stream.feed(text), *stream.close()]


class SentenceStream:
    """Sentences as soon as they are complete and something speakable follows them."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = max(limit, 20)
        self._text = ""
        self._searched = 0
        self._marker = emotions.Marker()
        self._emotion = ""

    def feed(self, chunk: str) -> list[Sentence]:
        """The sentences that this chunk completes; often none."""
        self._text += self._marker.feed(chunk)
        return self._take(final=False)

    def close(self) -> list[Sentence]:
        """What is left; the last sentence has the closing pause. The stream is empty and ready again."""
        self._text += self._marker.close()
        sentences = self._take(final=True)
        sentences += self._coloured(self._text, CLOSING_PAUSE)
        self._text, self._searched, self._emotion = "", 0, ""
        return sentences

    def _take(self, *, final: bool) -> list[Sentence]:
        text, found = self._text, list[Sentence]()
        start, position = 0, self._searched
        first = _word(text, 0, final=final)
        following = first
        while first and following and (candidate := _CANDIDATE.search(text, position)):
            if candidate.end() <= first.start():
                position = candidate.end()
                continue
            if following.start() < candidate.end():
                following = _word(text, candidate.end(), final=final)
                position = candidate.start()
                continue
            border = _border(text, start, candidate, following)
            position = border or candidate.end()
            if border:
                pause = _pause(text[start : candidate.end()], text[candidate.end() : following.start()])
                found += self._coloured(text[start:border], pause)
                start, first = border, following
        if first and following and not final:
            position = len(text)
        self._text = text[start:]
        self._searched = max(position - start, 0)
        return found

    def _coloured(self, marked: str, pause: float) -> list[Sentence]:
        """The clauses of one sentence; an emotion holds until its paragraph ends."""
        text, own, after = emotions.take(marked, self._emotion)
        self._emotion = "" if pause == PARAGRAPH_PAUSE else after
        return _sentences(text, pause, self._limit, own)


def _word(text: str, position: int, *, final: bool) -> re.Match[str] | None:
    """The next speakable word, if it and the two characters behind it are known."""
    word = _WORD.search(text, position)
    while word and not speakable(word.group()):
        word = _WORD.search(text, word.end())
    return word if word and (final or word.end() + 2 <= len(text)) else None


def _border(text: str, start: int, candidate: re.Match[str], word: re.Match[str]) -> int | None:
    """Where the sentence that began at `start` ends, if the candidate ends it; `word` is the next word."""
    end = candidate.end()
    between = text[end : word.start()]
    if candidate.group() == "\n":
        return end if _line_ends(text, start, candidate.start(), end, word) else None
    symbols = _symbols(between)
    mark = candidate.group().rstrip(_CLOSING)
    if not (symbols or between[:1].isspace()):
        ends = _ends_without_space(text, candidate, mark, word)
    else:
        ends = _ends(text, start, candidate, mark, word)
    return end + symbols if ends else None


def _symbols(between: str) -> int:
    """Length of the emoji and such that belong to the sentence before them."""
    length = 0
    for position, character in enumerate(between, 1):
        if unicodedata.category(character) in ("So", "Sk") or character in "\ufe0f\u200d":
            length = position
        elif not character.isspace():
            break
    return length


def _ends_without_space(text: str, candidate: re.Match[str], mark: str, word: re.Match[str]) -> bool:
    """`Привет.Как дела`, and scripts that write no spaces; not `3.14`, `сайт.рф` or `Node.js`."""
    if _FULL_WIDTH & set(mark):
        return True
    before, after = text[max(candidate.start() - 2, 0) : candidate.start()], word.group()
    cyrillic = all("а" <= c.lower() <= "ё" for c in before + after[:2])
    return word.start() == candidate.end() and cyrillic and len(before) == 2 and before.islower() and after[0].isupper()


def _ends(text: str, start: int, candidate: re.Match[str], mark: str, word: re.Match[str]) -> bool:
    """Whether the mark before a space ends a sentence."""
    lower = word.group()[0].islower()
    dash = text[candidate.end() : word.start()].strip()[:1] in ("—", "–", "-")
    if mark[-1] in "!?" or _FULL_WIDTH & set(mark):
        quoted = len(candidate.group()) > len(mark)
        return not (lower and (dash or quoted))
    if lower:
        return False
    if mark != ".":
        return True
    if candidate.start() - start < 12 and _NUMBERED.fullmatch(text, start, candidate.start()):
        return False
    return _full_stop_ends(text, candidate, word, dash)


def _full_stop_ends(text: str, candidate: re.Match[str], word: re.Match[str], dash: bool) -> bool:
    """A full stop before a capital letter or a digit: the word before it decides, then the word behind it."""
    token = _LAST_TOKEN.search(text, max(candidate.start() - 24, 0), candidate.start())
    if token is None:
        return True
    written = token.group()
    short = re.sub(r"\s", "", written).lower()
    tail = short.rsplit(".", 1)[-1]
    starter = word.group().lower() in STARTERS and text[word.end() : word.end() + 1] != "."
    if short in NEVER_LAST or tail in NEVER_LAST:
        return False
    initial = len(tail) == 1 and written[-1].isupper()
    if initial or tail in ("г", "гг", "в", "вв"):
        before = text[: candidate.start() - len(tail)].rstrip()[-1:]
        of_a_number = before.isdigit() or before in ("I", "V", "X")
        return starter if initial or of_a_number else False
    if short in MAY_BE_LAST or tail in MAY_BE_LAST:
        return dash or word.group()[0].isupper()
    return True


def _line_ends(text: str, start: int, line_end: int, end: int, word: re.Match[str]) -> bool:
    """Whether a line break ends the sentence: paragraphs, list items, headings, verses; not wrapped lines."""
    if re.match(r"\s*\n", text[end : word.start()]):
        return True
    line = text[max(start, text.rfind("\n", start, line_end) + 1) : line_end]
    if line.rstrip().endswith((":", ";")) or _MARKER.match(line) or _MARKER.match(text[end : word.end() + 2]):
        return True
    wrapped = line.rstrip().endswith((",", "-", "–", "—")) or len(line) >= _BROKEN_LINE
    return not wrapped and word.group()[0].isupper()


def _pause(ended: str, gap: str) -> float:
    if re.search(r"\n[^\w]*\n", ended[-1:] + gap):
        return PARAGRAPH_PAUSE
    return ELLIPSIS_PAUSE if re.search(r"(…|\.\.)\W*$", ended) else SENTENCE_PAUSE


def _sentences(text: str, pause: float, limit: int, emotion: str) -> list[Sentence]:
    """The clauses of one sentence, if it is too long; nothing, if there is nothing to speak."""
    flat = " ".join(text.split())
    pieces = [piece for piece in cut(flat, limit) if speakable(piece)]
    last = len(pieces) - 1
    return [Sentence(p, pause if i == last else CLAUSE_PAUSE, emotion) for i, p in enumerate(pieces)]
