"""Text under rewriting that remembers which part of the original each character came from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tracked:
    """`starts[i]`, `ends[i]`: the half-open range of the original that character `i` of `text` stands for."""

    text: str
    starts: list[int]
    ends: list[int]

    @classmethod
    def of(cls, text: str) -> Tracked:
        """Each character stands for itself."""
        return cls(text, list(range(len(text))), list(range(1, len(text) + 1)))

    def sub(self, pattern: re.Pattern[str], replace: str | Callable[[re.Match[str]], str | None]) -> Tracked:
        """Like `re.sub`, in one pass. A literal replacement has no group references; `None` leaves a match alone.

        A replacement stands for the whole match, except for what both have in common at their beginning and end.
        """
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for match in pattern.finditer(self.text):
            written = match.group()
            new = replace if isinstance(replace, str) else replace(match)
            if new is None or new == written:
                continue
            head, tail = _common(written, new)
            begin, end = match.start() + head, match.end() - tail
            middle = new[head : len(new) - tail]
            pieces += (self.text[done:begin], middle)
            starts += self.starts[done:begin]
            ends += self.ends[done:begin]
            first, last = self._range(begin, end)
            starts += [first] * len(middle)
            ends += [last] * len(middle)
            done = end
        if not pieces:
            return self
        pieces.append(self.text[done:])
        return Tracked("".join(pieces), starts + self.starts[done:], ends + self.ends[done:])

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The range of the original that `text[start:end]` stands for."""
        return self._range(max(start, 0), min(end, len(self.text)))

    def _range(self, start: int, end: int) -> tuple[int, int]:
        if start < end:
            return self.starts[start], self.ends[end - 1]
        if start < len(self.starts):
            return self.starts[start], self.starts[start]
        last = self.ends[-1] if self.ends else 0
        return last, last


def _common(old: str, new: str) -> tuple[int, int]:
    """Lengths of the common beginning and end, which do not overlap in either."""
    most = min(len(old), len(new))
    head = 0
    while head < most and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < most - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return head, tail
