"""What the commands share: global switches, common options, and how a result is printed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1


@dataclass
class State:
    """Switches that stand before or after the command."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    arguments: list[str] = field(default_factory=list)


state = State()


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout, with `schema_version`."""
    text = json.dumps({"schema_version": SCHEMA_VERSION, **document}, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write(text + "\n")


def print_result(text: str) -> None:
    """The result, alone on stdout."""
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for the person at the terminal, on stderr; nothing with --quiet."""
    if not state.quiet:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def print_table(headers: list[str], rows: list[list[Any]]) -> None:
    """Columns of plain text on stdout: readable by people, `cut` and `awk` alike."""
    cells = [[str(c) for c in row] for row in [headers, *rows]]
    widths = [max(_width(row[i]) for row in cells) for i in range(len(headers))]
    for row in cells:
        line = "  ".join(c + " " * (w - _width(c)) for c, w in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _width(text: str) -> int:
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def milliseconds(value: float) -> str:
    """A duration for people."""
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"
