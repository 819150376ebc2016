"""Tables of settings that belong to no stage: what may stand in each, and what it looks like."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from avatarctl.errors import BadConfig


def _same(text: str) -> Any:
    return text


@dataclass(frozen=True, slots=True)
class Table:
    """A table of settings; every key takes the same kind of value."""

    name: str
    keys: tuple[str, ...]
    takes: str
    """What a value has to be, in words."""
    fits: Callable[[Any], bool]
    """Whether a value is that."""
    example: str
    from_text: Callable[[str], Any] = _same
    """A value as an environment variable gives it. What cannot be read stays a text, and does not fit."""

    def check(self, table: object, where: str) -> None:
        """Raises `BadConfig`, with the place, when a layer's table is not what it has to be."""
        if not isinstance(table, dict):
            raise BadConfig(f"{where}: {self.name} has to be a table", hint=f"[{self.name}] {self.example}")
        for key, value in table.items():
            if key not in self.keys:
                raise BadConfig(f"{where}: unknown key {self.name}.{key}", hint=f"known: {', '.join(self.keys)}")
            if not self.fits(value):
                raise BadConfig(f"{where}: {self.name}.{key} has to be {self.takes}", hint=self.example)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def byte_count(text: str) -> int:
    """Bytes as people write them: 500M, 5G. Raises `ValueError` for what is no size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", text.strip().lower())
    if not match:
        raise ValueError(f"{text!r} is no size")
    return int(float(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True, slots=True)
class Retention:
    """What may be forgotten: what was not used for so many `days`, and what was not used for the longest time while
    the cache holds more than `max_bytes`. None: no limit."""

    days: float | None = None
    max_bytes: int | None = None

    @classmethod
    def parse(cls, table: object, where: str) -> Self:
        """The table `retention` of a layer; an empty text takes a limit away.

        Raises:
            BadConfig: unknown keys, or values that are no days or no size.
        """
        RETENTION.check(table, where)
        assert isinstance(table, dict)
        days, size = (str(table.get(key, "")) for key in RETENTION.keys)
        try:
            limit = float(days) if days else None
            if limit is not None and not 0 <= limit < float("inf"):
                raise ValueError
            return cls(limit, byte_count(size) if size else None)
        except ValueError:
            hint = f"write {RETENTION.example}"
            raise BadConfig(f"{where}: retention is not understood: {table}", hint=hint) from None


RETENTION = Table(
    "retention",
    ("days", "size"),
    takes="a number or a size",
    fits=lambda value: isinstance(value, str | int | float) and not isinstance(value, bool),
    example='days = 60, size = "20G"',
)
"""How long what is in the cache is kept unused, and how much of it."""

TABLES = {
    table.name: table
    for table in (
        # Where else weights may come from, asked first: folders or http(s) addresses. Addresses have colons and
        # folders may have spaces, so it is commas that part them in a variable.
        Table(
            "models",
            ("mirrors",),
            takes="a list of texts",
            fits=_texts,
            example='mirrors = ["/mnt/models"]',
            from_text=lambda text: [part.strip() for part in text.split(",") if part.strip()],
        ),
        # The cluster (`host:port`, or `auto`), and what carries files between its machines: a folder that all of them
        # reach, or an address that fsspec knows.
        Table(
            "ray",
            ("address", "store"),
            takes="text in quotes",
            fits=lambda value: isinstance(value, str),
            example='address = "10.0.0.1:6379"',
        ),
        # How much of the GPU's memory all engines together may take, MiB.
        Table(
            "resources",
            ("vram_mb",),
            takes="a whole number above 0",
            fits=lambda value: _is_number(value) and value > 0,
            example="vram_mb = 10000",
            from_text=lambda text: int(text) if text.isdecimal() else text,
        ),
        RETENTION,
    )
}
