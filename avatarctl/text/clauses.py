"""Long sentences to pieces, at the strongest clause border that leaves no piece too long."""

from __future__ import annotations

import re
import unicodedata

_BORDERS = (
    re.compile(r"[.!?…][»”\"')\]]* "),
    re.compile(r"[;:][»”\"')\]]* | (?=[—–] )"),
    re.compile(r",[»”\"')\]]* "),
    re.compile(r" (?=(?:и|или|но|а|что|чтобы|когда|если|and|or|but|that|which|because|when|if) )", re.IGNORECASE),
    re.compile(r" "),
    re.compile(r"[,，、。]|-|/"),
)
"""From the strongest to the weakest; a border lies behind the match."""


def cut(text: str, limit: int) -> list[str]:
    """Pieces of at most `limit` characters, without outer spaces; joined they hold every character but spaces."""
    pieces = []
    rest = text.strip()
    while len(rest) > limit:
        position = _position(rest, limit)
        pieces.append(rest[:position].rstrip())
        rest = rest[position:].lstrip()
    if rest:
        pieces.append(rest)
    return pieces


def _position(text: str, limit: int) -> int:
    """Where to cut. The last border in the window would leave a stump behind: the middle of a short rest is better."""
    wanted = len(text) // 2 if len(text) < 2 * limit else limit
    lowest = limit // 3
    for border in _BORDERS:
        ends = [m.end() for m in border.finditer(text, 0, limit + 1) if lowest <= m.end() <= limit + 1]
        ends = [e for e in ends if len(text[:e].rstrip()) <= limit]
        if ends:
            return min(ends, key=lambda e: (abs(e - wanted), e))
    position = wanted
    while position > 1 and (unicodedata.combining(text[position]) or text[position] in "\u200d\ufe0f"):
        position -= 1
    return position
