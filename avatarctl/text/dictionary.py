"""How words are said that a voice would say wrongly: a user's file of respellings and stresses.

    # one word or phrase a line; what is said follows the first " = "
    Ollama = оллама
    замок = з+амок
    C# = си шарп

A word in small letters is found in any case, one with a capital only as it is written. Whole words are found, and no
other forms of them. `+` before the stressed vowel (or after it) and an acute over it mean the same. Voices get the
respelling; captions keep the text as it was written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from avatarctl.errors import BadInput
from avatarctl.text.addresses import EMAIL, URL
from avatarctl.text.tracked import Tracked

ACUTE = "\u0301"
MAX_BYTES = 1_000_000
MAX_ENTRIES = 10_000
_LONGEST = 200
_VOWELS = "аеёиоуыэюяіїєaeiouy"
_PLUS = re.compile(rf"\+(?=([{_VOWELS}]))|(?<=[{_VOWELS}])\+", re.IGNORECASE)
_STRAY_ACUTE = re.compile(rf"(?<![{_VOWELS}]){ACUTE}", re.IGNORECASE)
_WORD = re.compile(rf"[\w{ACUTE}]+")
_SPACES = re.compile(r"\s+")
_SAYABLE = re.compile(r"[^\W_]")


@dataclass(frozen=True)
class Dictionary:
    """Entries by the word as it is written (NFC, single spaces), each with how it is said (stress as an acute)."""

    entries: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: Dictionary) -> Dictionary:
        """Both together; `other` wins."""
        return Dictionary({**self.entries, **other.entries})

    def of(self, text: str) -> Dictionary:
        """The entries that are used in a text: what a step that speaks it depends on."""
        used = {self._found(m) for m in self._pattern.finditer(text)} if self.entries else set()
        return Dictionary({word: self.entries[word] for word in sorted(used - {""})})

    def respelled(self, text: str) -> Tracked:
        """The text as it is to be said, in one pass: nothing is looked up in what was put in. Addresses stay."""
        made = Tracked.of(text)
        return made.sub(self._pattern, self._said) if self.entries else made

    def to_text(self) -> str:
        """In the form that `parse` reads; equal dictionaries give equal texts."""
        return "".join(f"{word} = {said}\n" for word, said in sorted(self.entries.items()))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # The longest first, so that a phrase goes before its first word.
        words = sorted(self.entries, key=lambda word: (-len(word), word))
        either = "|".join(r"\s+".join(map(re.escape, word.split(" "))) for word in words)
        return re.compile(
            rf"(?P<address>{EMAIL.pattern}|{URL.pattern})|(?<![\w{ACUTE}])(?:{either})(?![\w{ACUTE}])", re.IGNORECASE
        )

    def _found(self, match: re.Match[str]) -> str:
        """The entry for what was found regardless of case, empty if none fits its case."""
        written = _SPACES.sub(" ", match.group())
        if match["address"]:
            return ""
        return next((word for word in (written, written.lower()) if word in self.entries), "")

    def _said(self, match: re.Match[str]) -> str | None:
        said = self.entries.get(self._found(match))
        if said is None:
            return None
        return said[0].upper() + said[1:] if match.group()[0].isupper() else said


def parse(text: str, name: str) -> Dictionary:
    """A user's file. `name` stands in errors, with the line's number.

    Raises:
        BadInput: a line that is no entry, a word that is there twice, a stress that is on no vowel.
    """
    entries: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, raw in enumerate(unicodedata.normalize("NFC", text.removeprefix("\ufeff")).splitlines(), 1):
        line = _SPACES.sub(" ", raw).strip()
        if not line or line.startswith("#"):
            continue
        word, said = _entry(line, f"{name}, line {number}")
        if word in entries:
            raise BadInput(f"{name}, line {number}: {word!r} is already in line {lines[word]}", hint="keep one of them")
        if len(entries) >= MAX_ENTRIES:
            raise BadInput(f"{name} has more than {MAX_ENTRIES} entries")
        entries[word], lines[word] = said, number
    return Dictionary(entries)


def read(path: Path | None) -> Dictionary:
    """What a step was given in the role of a dictionary; none without a file."""
    return Dictionary() if path is None else parse(path.read_text(encoding="utf-8"), "the dictionary")


def decode(data: bytes, name: str) -> str:
    """A user's file as text. Raises `BadInput` if it is none, or far too long."""
    if len(data) > MAX_BYTES:
        raise BadInput(f"{name} is too large for a dictionary", why=f"it has {len(data)} bytes, of {MAX_BYTES} at most")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{name}, line {line}: this is not UTF-8", hint="save the file as UTF-8") from error


def _entry(line: str, where: str) -> tuple[str, str]:
    # A sign that stands alone divides; without one, the only sign there is.
    divider = " = " if " = " in line or line.count("=") != 1 else "="
    word, equals, said = (part.strip() for part in line.partition(divider))
    if not equals or not word or not said:
        raise BadInput(f"{where}: {line[:60]!r} is no entry", hint="write: word = how it is said")
    if max(len(word), len(said)) > _LONGEST:
        raise BadInput(f"{where}: this is too long", why=f"a word has {_LONGEST} characters at most")
    for part in (word, said):
        if not _SAYABLE.search(part):
            raise BadInput(f"{where}: {part!r} has no letter and no digit")
    return word, _stressed(said, where)


def _stressed(said: str, where: str) -> str:
    """With an acute after each stressed vowel."""
    moved = _PLUS.sub(lambda m: "+" if m[1] else ACUTE, said)
    marked = re.sub(r"\+(.)", rf"\1{ACUTE}", moved)
    wrong = "+" in marked or _STRAY_ACUTE.search(marked)
    if wrong or any(word.count(ACUTE) > 1 for word in _WORD.findall(marked)):
        why = "a word has more than one" if not wrong else "a stress has to be on a vowel"
        raise BadInput(
            f"{where}: the stress in {said!r} is not understood", why=why, hint="for example з+амок or за́мок"
        )
    return marked
