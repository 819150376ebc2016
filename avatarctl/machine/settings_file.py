"""Changes in the user's `avatarctl.toml` that leave everything else as it was: comments, order, line endings.

The standard library reads TOML and does not write it. So single lines are replaced or added, and the result is read
again: unless it says exactly what was meant, the file stays as it is.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatarctl.errors import BadConfig
from avatarctl.models.records import write_atomically

_HEADER = re.compile(r"\s*\[")


def change(file: Path, top: Mapping[str, str], tables: Mapping[str, Mapping[str, Any]]) -> bool:
    """Set top-level values, and values in tables: whether anything changed. The file is made if there is none.

    Raises:
        BadConfig: the file is no TOML, or is written in a way that single lines cannot change.
    """
    # A settings file is often a link into a repository of such files: what it leads to is what is replaced.
    target = Path(os.path.realpath(file))
    before = _text(target)
    try:
        wanted = _merged(tomllib.loads(before), top, tables)
        if wanted == tomllib.loads(before):
            return False
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{file} is not valid TOML", why=str(error)) from error
    after = edited(before, top, tables)
    try:
        right = tomllib.loads(after) == wanted
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        lines = "; ".join([f"{k} = {_value(v)}" for k, v in top.items()] + [f"[{name}]" for name in tables])
        raise BadConfig(f"{file} is written in a way that cannot be changed here", hint=f"write it yourself: {lines}")
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    write_atomically(target, after)
    target.chmod(mode)
    return True


def edited(text: str, top: Mapping[str, str], tables: Mapping[str, Mapping[str, Any]]) -> str:
    """The text with these values in it."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines()
    for key, value in top.items():
        end = next((i for i, line in enumerate(lines) if _HEADER.match(line)), len(lines))
        if not _replaced(lines, range(end), key, value):
            # Before the first table, after what belongs to the file as a whole, and apart from a table's own comment.
            place = _after_top_comment(lines, end)
            lines[place:place] = (
                [f"{key} = {_value(value)}", ""] if place < len(lines) else [f"{key} = {_value(value)}"]
            )
    for name, table in tables.items():
        header = re.compile(rf"\s*\[\s*{re.escape(name)}\s*\]\s*(#.*)?$")
        start = next((i for i, line in enumerate(lines) if header.match(line)), None)
        if start is None:
            lines += [*([""] if lines else []), f"[{name}]", *(f"{k} = {_value(v)}" for k, v in table.items())]
            continue
        for key, value in table.items():
            end = next((i for i in range(start + 1, len(lines)) if _HEADER.match(lines[i])), len(lines))
            if not _replaced(lines, range(start + 1, end), key, value):
                lines.insert(start + 1, f"{key} = {_value(value)}")
    return newline.join(lines) + newline


def _after_top_comment(lines: list[str], end: int) -> int:
    """The line where a new top-level value goes: behind the values that there are, else behind the first comment."""
    values = [i for i in range(end) if lines[i].strip() and not lines[i].lstrip().startswith("#")]
    if values:
        return values[-1] + 1
    place = 0
    while place < end and lines[place].lstrip().startswith("#"):
        place += 1
    # A comment right above a table is the table's.
    return place if place < end or place == len(lines) else 0


def _replaced(lines: list[str], within: range, key: str, value: Any) -> bool:
    pattern = re.compile(rf"(\s*{re.escape(key)}\s*=\s*)(\"[^\"\\]*\"|'[^']*'|[^#\s\"'\[{{]+)(\s*(?:#.*)?)$")
    for i in within:
        match = pattern.match(lines[i])
        if match:
            lines[i] = f"{match[1]}{_value(value)}{match[3]}"
            return True
    return False


def _value(value: Any) -> str:
    """As TOML: its strings, numbers and truth values are written as JSON's."""
    return json.dumps(value, ensure_ascii=False)


def _merged(document: Any, top: Mapping[str, str], tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {**document, **top}
    for name, table in tables.items():
        before = merged.get(name, {})
        merged[name] = {**(before if isinstance(before, dict) else {}), **table}
    return merged


def _text(file: Path) -> str:
    try:
        # Not read_text, which would turn CRLF into LF.
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{file} cannot be read", why=str(error)) from error
