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

from avatarctl.jobs.problems import BadJobFile, Problem

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
        ".csv": _csv,
        ".tsv": _csv,
    }
    reader = readers.get(path.suffix.lower())
    name = str(path)
    if reader is None:
        raise _problem(name, 0, f"a job file ends with one of {', '.join(readers)}", "rename it, or convert it")
    try:
        if path.stat().st_size > MAX_BYTES:
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
        node = loader.get_single_node()
        if node is None:
            return Value({}, 1)
        return _Composed(name, loader).value(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1, text.count("\n") + 1) if mark else 0
        raise _problem(name, line, f"is not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise _problem(name, 0, f"is not valid YAML: {error}") from error
    finally:
        loader.dispose()


class _Composed:
    """From the nodes of a YAML document to values. What aliases repeat is made once: a kilobyte of them could
    otherwise stand for a tree that no memory holds."""

    def __init__(self, name: str, loader: Any) -> None:
        self._name = name
        self._loader = loader
        self._made: dict[int, Value] = {}

    def value(self, node: Any, depth: int = 0) -> Value:
        line = node.start_mark.line + 1
        if depth > _MAX_DEPTH:
            raise _problem(self._name, line, "is nested too deeply", "look at its aliases (*name)")
        if id(node) not in self._made:
            self._made[id(node)] = self._make(node, line, depth)
        return self._made[id(node)]

    def _make(self, node: Any, line: int, depth: int) -> Value:
        import yaml

        if not node.tag.startswith(_TAGS) or "/" in node.tag.removeprefix(_TAGS):
            raise _problem(self._name, line, f"has the tag {node.tag}", "leave it out")
        if isinstance(node, yaml.ScalarNode):
            return Value(self._scalar(node), line, node.value)
        if isinstance(node, yaml.SequenceNode):
            return Value([self.value(n, depth + 1) for n in node.value], line)
        return Value(self._table(node, depth), line)

    def _scalar(self, node: Any) -> Any:
        plain = node.style not in ("'", '"', "|", ">")
        if plain and node.tag.removeprefix(_TAGS) in ("null", "bool", "int", "float"):
            try:
                return self._loader.construct_object(node)
            except ValueError:  # a number of thousands of digits
                return node.value
        return node.value

    def _table(self, node: Any, depth: int) -> dict[str, Value]:
        self._loader.flatten_mapping(node)  # `<<: *defaults`
        table: dict[str, Value] = {}
        seen: set[str] = set()
        # What was merged comes first, and the table's own keys win: only those that stand here may not repeat.
        first = node.start_mark.index
        for key_node, value_node in node.value:
            key = str(getattr(key_node, "value", ""))
            own = first <= key_node.start_mark.index <= node.end_mark.index
            if own and key in seen:
                raise _problem(self._name, key_node.start_mark.line + 1, f"{key!r} is given twice", "keep one")
            if own:
                seen.add(key)
            table[key] = self.value(value_node, depth + 1)
        return table


# -- JSON lines


def _jsonl(name: str, text: str) -> Value:
    jobs = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line, object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
        except RecursionError:
            raise _problem(name, number, "is nested too deeply") from None
        except ValueError as error:
            raise _problem(name, number, f"is not valid JSON: {error}", "one object a line") from error
        jobs.append(_json_value(name, raw, number))
    return Value({"jobs": Value(jobs, 1)}, 1)


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON before its repeated keys are lost."""


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
