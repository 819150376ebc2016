"""The text of a job file as plain values, each with the line it stands on.

YAML is composed, not loaded: no tag makes an object, and text stays as it was typed (`007`, `yes`, `12:30`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl import files
from avatarctl.jobs.problems import BadJobFile, Problem

TABLES = (".csv", ".tsv")
"""Endings of files with a row for each job, below a row with the names of fields."""
MAX_BYTES = 64 * 2**20
_MAX_DEPTH = 12
_TAGS = "tag:yaml.org,2002:"
"""Tags of YAML's own types. `!!python/...` is among them: only the types asked for are ever constructed."""


@dataclass(frozen=True, slots=True)
class Value:
    """A scalar (text, number, truth, None), a list of values, or a table of values by key.

    `typed`: the text of a scalar as it stands in the file; None for what is not text anywhere (JSON's 3 or true).
    """

    content: Any
    line: int
    typed: str | None = None

    def table(self) -> dict[str, Value] | None:
        """The values by key, or None if this is no table."""
        return self.content if isinstance(self.content, dict) else None

    def items(self) -> list[Value] | None:
        """The values of a list, or None if this is no list."""
        return self.content if isinstance(self.content, list) else None


def read(path: Path) -> Value:
    """A whole job file: a table with `jobs` and the like. JSONL and CSV give a table that has `jobs` alone.

    Raises:
        BadJobFile: it cannot be read, is too large, is not UTF-8, or does not follow its format.
    """
    readers: dict[str, Callable[[str, str], Value]] = {
        ".yaml": _yaml,
        ".yml": _yaml,
        ".jsonl": _jsonl,
        ".ndjson": _jsonl,
        **dict.fromkeys(TABLES, _csv),
    }
    reader = readers.get(path.suffix.lower())
    name = str(path)
    if reader is None:
        # From standard input, too: a batch that goes on where it stopped is found again by its file's path.
        hint = "save it in a file of that kind, by whose path it is found again"
        raise _problem(name, 0, f"a job file ends with one of {', '.join(readers)}", hint)
    try:
        size = files.size(path)
        if size is None:
            raise _problem(name, 0, "is no file", "give the path of a file")
        if size > MAX_BYTES:
            raise _problem(name, 0, f"is larger than {MAX_BYTES // 2**20} MB", "split it")
        data = path.read_bytes()
    except OSError as error:
        raise _problem(name, 0, f"cannot be read: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _problem(name, line, "is not UTF-8", "save it as UTF-8") from error
    return reader(name, text)


def _problem(file: str, line: int, message: str, hint: str = "") -> BadJobFile:
    return BadJobFile([Problem(file, line, message, hint)])


# -- YAML


def _yaml(name: str, text: str) -> Value:
    import yaml

    loader_type: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = loader_type(text)
    try:
        return _Composer(name, loader).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1, text.count("\n") + 1) if mark else 0
        hint = "indent with spaces: YAML takes no tabs for that" if _indented_with_tab(text, line) else ""
        raise _problem(name, line, f"is not valid YAML: {error.problem or error.context}", hint) from error
    except yaml.reader.ReaderError as error:
        # Its own position is in bytes or in characters, as the case may be.
        odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
        line = text.count("\n", 0, odd.start()) + 1 if odd else 0
        message = "holds a character that no text has" + (f", U+{ord(odd[0]):04X}" if odd else "")
        raise _problem(name, line, message, "leave it out, or save the file as UTF-8 text") from error
    except yaml.YAMLError as error:
        raise _problem(name, 0, f"is not valid YAML: {error}") from error
    finally:
        loader.dispose()


def _indented_with_tab(text: str, line: int) -> bool:
    lines = text.split("\n", line)
    return bool(line) and lines[line - 1].lstrip(" ").startswith("\t")


class _Composer:
    """From the events of a YAML document to values, in one pass.

    What aliases and merges repeat is made once: a kilobyte of them could otherwise stand for a tree that no memory
    holds. And the depth is bounded before anything recurses: PyYAML's own composer dies of brackets by the thousand.
    """

    def __init__(self, name: str, loader: Any) -> None:
        self._name = name
        self._loader = loader
        self._anchors: dict[str, Value | None] = {}
        """None: it is still being made."""

    def document(self) -> Value:
        """The one document of the file; an empty table if there is none."""
        import yaml

        self._loader.get_event()  # the stream's start
        if self._loader.check_event(yaml.StreamEndEvent):
            return Value({}, 1)
        self._loader.get_event()
        value = self._value(self._loader.get_event(), 0)
        self._loader.get_event()
        if not self._loader.check_event(yaml.StreamEndEvent):
            line = self._loader.peek_event().start_mark.line + 1
            raise _problem(self._name, line, "has a second document", "leave out `---`, or split the file")
        return value

    def _value(self, event: Any, depth: int) -> Value:
        import yaml

        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self._repeated(event.anchor, line)
        if depth > _MAX_DEPTH:
            raise _problem(self._name, line, "is nested too deeply", "look at its brackets and indentation")
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            value = Value(self._scalar(event, line), line, event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event.tag, line)
            items = []
            while not isinstance(inner := self._loader.get_event(), yaml.SequenceEndEvent):
                items.append(self._value(inner, depth + 1))
            value = Value(items, line)
        else:
            self._check_tag(event.tag, line)
            value = Value(self._table(depth), line)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _repeated(self, anchor: str, line: int) -> Value:
        if anchor not in self._anchors:
            raise _problem(self._name, line, f"there is no &{anchor} before *{anchor}")
        value = self._anchors[anchor]
        if value is None:
            raise _problem(self._name, line, f"*{anchor} stands inside of &{anchor}")
        return value

    def _check_tag(self, tag: str | None, line: int) -> None:
        if tag not in (None, "!") and (not str(tag).startswith(_TAGS) or "/" in str(tag).removeprefix(_TAGS)):
            raise _problem(self._name, line, f"has the tag {tag}", "leave it out")

    def _scalar(self, event: Any, line: int) -> Any:
        import yaml

        self._check_tag(event.tag, line)
        tag = self._tag(event)
        if event.style in (None, "") and tag.removeprefix(_TAGS) in ("null", "bool", "int", "float"):
            try:
                return self._loader.construct_object(
                    yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
                )
            except ValueError:  # a number of thousands of digits
                return event.value
        return event.value

    def _tag(self, event: Any) -> str:
        import yaml

        if event.tag in (None, "!"):
            return str(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit))
        return str(event.tag)

    def _table(self, depth: int) -> dict[str, Value]:
        import yaml

        merged: dict[str, Value] = {}
        table: dict[str, Value] = {}
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            merges = isinstance(event, yaml.ScalarEvent) and self._tag(event) == _TAGS + "merge"
            key = self._value(event, depth + 1).typed
            value = self._value(self._loader.get_event(), depth + 1)
            if merges:
                for name, inner in self._tables_of(value, line):
                    merged.setdefault(name, inner)
                continue
            if key is None:
                raise _problem(self._name, line, "has a list or a table for a key", "keys are words")
            if key in table:
                raise _problem(self._name, line, f"{key!r} is given twice", "keep one")
            table[key] = value
        # What stands here wins over what was merged.
        return merged | table

    def _tables_of(self, value: Value, line: int) -> Iterator[tuple[str, Value]]:
        """The fields that `<<: *one` or `<<: [*one, *two]` brings; the first of two equal ones wins."""
        for one in value.items() or [value]:
            table = one.table()
            if table is None:
                raise _problem(self._name, line, "<< has to be followed by a table, or a list of them", "<<: *defaults")
            yield from table.items()


# -- JSON lines


def _jsonl(name: str, text: str) -> Value:
    jobs = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line, object_pairs_hook=_Pairs, parse_constant=_refuse_constant, parse_int=_whole_number)
        except RecursionError:
            raise _problem(name, number, "is nested too deeply") from None
        except ValueError as error:
            raise _problem(name, number, f"is not valid JSON: {error}", "one object a line") from error
        jobs.append(_json_value(name, raw, number))
    return Value({"jobs": Value(jobs, 1)}, 1)


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON before its repeated keys are lost."""


def _whole_number(text: str) -> int | str:
    """What Python refuses to read, a number of thousands of digits, stays text: no field takes it."""
    return int(text) if len(text) < 100 else text


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _json_value(name: str, raw: Any, line: int) -> Value:
    if isinstance(raw, _Pairs):
        table: dict[str, Value] = {}
        for key, value in raw:
            if key in table:
                raise _problem(name, line, f"{key!r} is given twice", "keep one")
            table[key] = _json_value(name, value, line)
        return Value(table, line)
    if isinstance(raw, list):
        return Value([_json_value(name, value, line) for value in raw], line)
    return Value(raw, line, raw if isinstance(raw, str) else None)


# -- CSV


def _csv(name: str, text: str) -> Value:
    delimiter = _delimiter(name, text)
    rows = _rows(name, text, delimiter)
    try:
        _, header = next(rows)
    except StopIteration:
        raise _problem(name, 1, "is empty", "the first line names the columns") from None
    columns = [column.strip() for column in header]
    for column in columns:
        if columns.count(column) > 1:
            raise _problem(name, 1, f"the column {column!r} is there twice", "keep one")
    jobs = []
    for line, cells in rows:
        if len(cells) > len(columns):
            raise _problem(name, line, f"has {len(cells)} cells under {len(columns)} columns", "put text in quotes")
        given = {c: Value(v, line, v) for c, v in zip(columns, cells, strict=False) if v.strip()}
        if given:
            jobs.append(Value(given, line))
    return Value({"jobs": Value(jobs, 1)}, 1)


def _rows(name: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line on which it begins: a cell in quotes may go over many."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _problem(name, line, f"is not valid CSV: {error}") from error
        if cells:
            yield line, cells
        line = reader.line_num + 1


def _delimiter(name: str, text: str) -> str:
    """Spreadsheets of half the world write semicolons: the sign that is most frequent in the header."""
    if name.lower().endswith(".tsv"):
        return "\t"
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)
