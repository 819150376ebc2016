"""From a job file to its jobs: defaults under matrix under the entry's own fields, every combination, all checked.

Whatever can be seen to be wrong without performing anything is reported together, each with its line.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl import files
from avatarctl.errors import AvatarctlError, Unavailable
from avatarctl.jobs import source
from avatarctl.jobs.model import CONTENT, FIELDS, Job, JobFile
from avatarctl.jobs.problems import BadJobFile, Problem
from avatarctl.jobs.source import Value
from avatarctl.stages.params import nearest
from avatarctl.text import colours, emotions
from avatarctl.text.slugs import slug

VERSION = 1
TOP_LEVEL = ("version", "outputs", "defaults", "matrix", "jobs")
_MAX_JOBS = 100_000
_NEVER_AXES = {"name", "output"}
_OF_ONE_JOB = {"name"}
"""Fields that make no sense as a default."""
_READ_FOR_NAME = 2000
"""Characters of a text, which may be a book, that its name is made of; names are much shorter."""
_LONGEST_NAME = 200
"""Bytes. Most file systems take 255, and suffixes of ours are added."""
_TEMPLATE = "{name}"
_PLACEHOLDERS = ("name", "index", "avatar", "preset", "seed", "take", "file")


@dataclass(frozen=True, slots=True)
class _Given:
    """A field's value with the line it came from."""

    value: Any
    line: int


_Fields = dict[str, _Given]


def read(path: Path, *, allow_outside: bool = False) -> JobFile:
    """Read, expand and check a job file.

    Args:
        allow_outside: let jobs read files outside the job file's folder, and write results outside theirs.

    Raises:
        BadJobFile: anything is wrong with it; it holds every problem that was found.
    """
    raw = source.read(path)
    reader = _Reader(path, allow_outside)
    jobs = reader.jobs(raw)
    if reader.problems:
        raise BadJobFile(list(reader.problems))
    return JobFile(path, tuple(jobs), reader.outputs)


class _Reader:
    """Collects the problems of one file on the way."""

    def __init__(self, path: Path, allow_outside: bool) -> None:
        self.path = path
        self.problems: dict[Problem, None] = {}
        """In the order in which they were found."""
        self.outputs = ""
        self._has_columns = path.suffix.lower() in source.TABLES
        self._folder = path.absolute().parent
        self._allow_outside = allow_outside
        self._names: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        """How many names were made from each one."""
        self._outputs: dict[str, Job] = {}
        self._seen_files: dict[tuple[str, str], str | None] = {}

    def _wrong(self, line: int, message: str, hint: str = "") -> None:
        problem = Problem(str(self.path), line, message, hint)
        self.problems.setdefault(problem)

    # -- the parts of the file

    def jobs(self, raw: Value) -> list[Job]:
        table = raw.table()
        if table is None:
            items = raw.items()
            if items is None:
                self._wrong(raw.line, "a job file is a table with `jobs`", "avatarctl batch schema shows the form")
                return []
            table = {"jobs": raw}
        self._check_top(table)
        defaults = (
            self._fields(table["defaults"], "defaults", FIELDS.keys() - _OF_ONE_JOB) if "defaults" in table else {}
        )
        axes = self._axes(table["matrix"]) if "matrix" in table else {}
        entries = list(self._entries(table, axes))
        jobs: list[Job] = []
        for entry, line in entries:
            for fields, marks in _combinations(entry, axes, defaults):
                if len(jobs) >= _MAX_JOBS:
                    self._wrong(line, f"there are more than {_MAX_JOBS} jobs", "split the file")
                    return jobs
                job = self._job(fields, marks, line, len(jobs))
                if job is not None:
                    jobs.append(job)
        if not jobs and not self.problems:
            self._wrong(raw.line, "there are no jobs", "give `jobs`, or a `matrix` with questions or texts")
        return jobs

    def _check_top(self, table: Mapping[str, Value]) -> None:
        for key, value in table.items():
            if key in FIELDS:
                self._wrong(value.line, f"{key!r} is a field of a job", "put it below `jobs` or `defaults`")
            elif key not in TOP_LEVEL:
                self._wrong(value.line, f"unknown key {key!r}", nearest(key, TOP_LEVEL))
        if "version" in table and table["version"].content not in (VERSION, str(VERSION)):
            self._wrong(table["version"].line, "this version of avatarctl reads `version: 1`")
        if "outputs" in table:
            outputs = table["outputs"]
            if not isinstance(outputs.typed, str) or not outputs.typed.strip():
                self._wrong(outputs.line, "outputs has to be a folder")
            else:
                self.outputs = str(self._within(outputs.typed, outputs.line, "outputs") or "")

    def _entries(self, table: Mapping[str, Value], axes: Mapping[str, list[_Given]]) -> Iterator[tuple[_Fields, int]]:
        if "jobs" not in table:
            if axes:
                yield {}, table["matrix"].line
            return
        items = table["jobs"].items()
        if items is None:
            self._wrong(table["jobs"].line, "jobs has to be a list", "begin each job with a dash")
            return
        if len(items) > _MAX_JOBS:
            self._wrong(table["jobs"].line, f"there are more than {_MAX_JOBS} jobs", "split the file")
            return
        for item in items:
            if item.table() is None:
                self._wrong(item.line, "a job has to be a table", "write `- text: ...`")
                continue
            before = len(self.problems)
            fields = self._fields(item, "", FIELDS.keys())
            if len(self.problems) == before:
                yield fields, item.line

    def _fields(self, value: Value, where: str, allowed: Any) -> _Fields:
        table = value.table()
        if table is None:
            self._wrong(value.line, f"{where} has to be a table")
            return {}
        fields: _Fields = {}
        for key, inner in table.items():
            if key not in allowed:
                # A column is wrong once, not in every row.
                line = 1 if self._has_columns else inner.line
                self._wrong(line, f"unknown key {key!r}" + (f" in {where}" if where else ""), nearest(key, allowed))
            elif (given := self._field(key, inner)) is not None:
                fields[key] = given
        return fields

    def _field(self, key: str, value: Value) -> _Given | None:
        try:
            return _Given(FIELDS[key].read(value), value.line)
        except ValueError as error:
            self._wrong(value.line, f"{key} {error}")
            return None

    def _axes(self, value: Value) -> dict[str, list[_Given]]:
        table = value.table()
        if table is None:
            self._wrong(value.line, "matrix has to be a table", "matrix: {question: [...], avatar: [...]}")
            return {}
        allowed = FIELDS.keys() - _NEVER_AXES
        axes: dict[str, list[_Given]] = {}
        for key, inner in table.items():
            if key not in allowed:
                self._wrong(inner.line, f"unknown key {key!r} in matrix", nearest(key, allowed))
                continue
            items = inner.items()
            if not items:
                self._wrong(inner.line, f"{key} has to be a list in matrix", "leave it out if there is nothing to vary")
                continue
            axes[key] = [given for item in items if (given := self._field(key, item)) is not None]
        return axes

    # -- one job

    def _job(self, fields: _Fields, marks: list[str], line: int, index: int) -> Job | None:
        before = len(self.problems)
        content = [name for name in CONTENT if name in fields]
        if content != ["text_file", "audio"] and len(content) != 1:
            said = "nothing to say" if not content else " and ".join(content) + " at once"
            self._wrong(line, f"a job has {said}", "give one of " + ", ".join(CONTENT))
            return None
        for name in ("audio", "text_file"):
            if name in fields:
                fields[name] = _Given(self._asset(name, fields[name]), fields[name].line)
        self._check_words(fields)
        if len(self.problems) > before:
            return None
        values = {("settings" if k == "set" else "exports" if k == "export" else k): g.value for k, g in fields.items()}
        values["name"] = self._name(fields, marks, line)
        values["output"] = self._output(values, fields.get("output"), line, index)
        job = Job(file=str(self.path), line=line, **values)
        other = self._outputs.setdefault(job.output.casefold(), job) if job.output else job
        if other is not job:
            self._wrong(
                line, f"writes {job.output}.mp4, as the job of line {other.line} does", "give it another output"
            )
        return job

    def _check_words(self, fields: _Fields) -> None:
        """Fields whose words are known here."""
        for name in ("emotion", "aspect", "background"):
            if name not in fields:
                continue
            given = fields[name]
            try:
                if name == "emotion":
                    emotions.canonical(given.value, "emotion")
                elif name == "aspect" and given.value not in ("1:1", "9:16", "16:9"):
                    self._wrong(given.line, f"aspect {given.value!r} is not possible", "one of: 1:1, 9:16, 16:9")
                elif name == "background":
                    fields[name] = _Given(self._background(given), given.line)
            except AvatarctlError as error:
                self._wrong(given.line, error.what, error.hint)

    def _background(self, given: _Given) -> str:
        try:
            colours.parse(given.value)
        except ValueError:
            return self._asset("background", given)
        return str(given.value)

    def _asset(self, name: str, given: _Given) -> str:
        """The absolute path of a file that a job reads."""
        key = (name, str(given.value))
        if key not in self._seen_files:
            path = self._within(given.value, given.line, name)
            if path is not None and not path.is_file():
                self._wrong(
                    given.line, f"{name}: there is no file {given.value}", f"it is looked for in {self._folder}"
                )
                path = None
            self._seen_files[key] = str(path) if path is not None else None
        elif self._seen_files[key] is None:
            self._wrong(given.line, f"{name}: {given.value} cannot be read")
        return self._seen_files[key] or ""

    def _within(self, text: str, line: int, name: str) -> Path | None:
        """A path below the job file's folder, links followed; any path where that is allowed."""
        try:
            # Whatever is asked of the disk first may take for ever.
            meant = self._folder / Path(text).expanduser()
            path = files.in_time(meant, meant.resolve)
            inside = path.is_relative_to(self._folder.resolve())
        except UnicodeEncodeError:
            self._wrong(line, f"{name}: {text} has letters that this locale cannot write", "export LC_ALL=C.UTF-8")
            return None
        except Unavailable as error:
            self._wrong(line, f"{name}: {error.what}: {error.why}", error.hint)
            return None
        except (OSError, ValueError, RuntimeError) as error:
            self._wrong(line, f"{name}: {text!r} is not a path: {error}")
            return None
        if not inside and not self._allow_outside:
            self._wrong(line, f"{name}: {text} lies outside the job file's folder", "--allow-outside lets it")
            return None
        return path

    def _name(self, fields: _Fields, marks: list[str], line: int) -> str:
        """The name that was given, or one made from what is said; with what tells apart the cells of a matrix."""
        own = fields.get("name")
        base = str(own.value) if own else _spoken(fields)
        name = "-".join([base, *marks])
        if own and not marks and name in self._names:
            self._wrong(
                line, f"the name {name!r} is also that of line {self._names[name]}", "names are unique in a batch"
            )
        unique, count = name, self._counts.get(name, 1)
        while unique in self._names:
            count += 1
            unique = f"{name}-{count}"
        self._counts[name] = count
        self._names[unique] = line
        return unique

    def _output(self, values: Mapping[str, Any], template: _Given | None, line: int, index: int) -> str:
        names = {
            "name": slug(values["name"], 120),
            "index": index + 1,
            "avatar": slug(values.get("avatar", "avatar")),
            "preset": slug(values.get("preset", "preset")),
            "seed": values.get("seed", 0) or 0,
            "take": values.get("take", 0),
            "file": slug(self.path.stem),
        }
        try:
            text = _fill(str(template.value) if template else _TEMPLATE, names).removesuffix(".mp4")
        except ValueError as error:
            self._wrong(template.line if template else line, f"output: {error}", "{name}, {index:03}, {avatar}, ...")
            return ""
        parts = Path(text).parts
        if any(len(part.encode()) > _LONGEST_NAME for part in parts):
            hint = f"at most {_LONGEST_NAME} bytes for each folder and name"
            self._wrong(line, f"output: {text[:40]!r}... is too long for a file's name", hint)
        elif not parts or text.endswith("/") or "\0" in text:
            self._wrong(line, f"output: {text!r} is not a file's name")
        if not self._allow_outside and (Path(text).is_absolute() or ".." in parts):
            self._wrong(line, f"output: {text} lies outside the folder of results", "--allow-outside lets it")
        return text


def _combinations(
    entry: _Fields, axes: Mapping[str, list[_Given]], defaults: _Fields
) -> Iterator[tuple[_Fields, list[str]]]:
    """An entry with each cell of the matrix, over the defaults; with it the words that tell the cells apart.

    What an entry sets itself is not varied. What is said is one thing: it comes from one layer.
    """
    spoken_here = any(name in entry for name in CONTENT)
    used = {k: v for k, v in axes.items() if k not in entry and not (spoken_here and k in CONTENT)}
    spoken = spoken_here or any(name in used for name in CONTENT)
    under = {k: v for k, v in defaults.items() if not (spoken and k in CONTENT)}
    if "set" in entry and "set" in defaults:
        both = (*defaults["set"].value, *entry["set"].value)
        entry = {**entry, "set": _Given(both, entry["set"].line)}
    for cell in itertools.product(*used.values()):
        chosen = dict(zip(used, cell, strict=True))
        marks = [
            _mark(name, given, used[name]) for name, given in chosen.items() if name not in CONTENT or "name" in entry
        ]
        if "set" in chosen and "set" in under:
            chosen["set"] = _Given((*under["set"].value, *chosen["set"].value), chosen["set"].line)
        yield {**under, **chosen, **entry}, [mark for mark in marks if mark]


def _mark(axis: str, given: _Given, values: list[_Given]) -> str:
    if len(values) == 1:
        return ""
    if axis in ("set", "export"):
        return str(values.index(given) + 1)
    word = slug(str(given.value), 24)
    return f"{axis}{word}" if word.isdecimal() else word


def _spoken(fields: _Fields) -> str:
    for name in ("question", "text"):
        if name in fields:
            return slug(emotions.untagged(str(fields[name].value)[:_READ_FOR_NAME]))
    for name in ("audio", "text_file"):
        if name in fields:
            return slug(Path(str(fields[name].value)).stem)
    return f"idle-{fields['idle'].value:g}"


class _Filler(string.Formatter):
    """Names and formats of numbers only: no attributes, no indices, no conversions."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        if field_name not in _PLACEHOLDERS:
            raise ValueError(f"unknown placeholder {{{field_name}}}, {nearest(field_name, _PLACEHOLDERS)}")
        return kwargs[field_name], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if len(format_spec) > 4:
            raise ValueError(f"the format {format_spec!r} is too long")
        return format(value, format_spec)


def _fill(template: str, names: Mapping[str, Any]) -> str:
    return _Filler().vformat(template, (), names)
