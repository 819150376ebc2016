"""Colours as people write them."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)


def parse(text: str) -> tuple[int, int, int]:
    """Red, green and blue, 0..255, of `#rrggbb` or `#rgb`.

    Raises:
        ValueError: it is no such colour.
    """
    found = _COLOUR.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a colour")
    digits = found[1] if len(found[1]) == 6 else "".join(2 * digit for digit in found[1])
    red, green, blue = (int(digits[i : i + 2], 16) for i in (0, 2, 4))
    return red, green, blue
