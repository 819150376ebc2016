"""What a job is, and which fields it may have: one table, from which checking, help and the JSON Schema come."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from avatarctl.jobs.source import Value

CONTENT = ("question", "text", "text_file", "audio", "idle")
"""What a film may come from. A job has one of them; `text_file` may also stand beside `audio`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One film to make. Paths are absolute."""

    file: str
    line: int
    """Where it stands in its job file."""
    name: str
    """Unique in its batch."""
    output: str
    """Path of the film below the folder of results, without its suffix."""
    question: str = ""
    text: str = ""
    audio: str = ""
    text_file: str = ""
    idle: float | None = None
    avatar: str = ""
    preset: str = ""
    settings: tuple[str, ...] = ()
    """`stage.key=value`, as with `--set`."""
    emotion: str = ""
    background: str = ""
    """Path of a picture, or a colour."""
    aspect: str = ""
    subtitles: bool = False
    exports: tuple[str, ...] = ()
    seed: int | None = None
    take: int = 0
    priority: int = 0
    """Higher ones begin earlier."""
    timeout: float | None = None
    """Seconds that the job may take once it has begun."""

    def assets(self) -> list[Path]:
        """Files that the job reads."""
        return [Path(p) for p in (self.audio, self.text_file, self.background) if p and Path(p).is_absolute()]

    def as_request(self) -> dict[str, Any]:
        """All fields that differ from their default, for the ledger; `from_request` gives the same job back."""
        defaults = {field.name: field.default for field in fields(self)}
        return {k: v for k, v in asdict(self).items() if v != defaults[k]}

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> Job:
        """What `as_request` wrote."""
        raw: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in request.items()}
        return cls(**raw)


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job file after all checks."""

    path: Path
    jobs: tuple[Job, ...]
    outputs: str = ""
    """Folder of results that the file asks for; empty for the user's own setting."""


# -- fields

Read = Callable[[Value], Any]
"""Turns what stands in the file into a field's value. Raises `ValueError` with a sentence."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a job as people write it."""

    read: Read
    help: str
    schema: Mapping[str, Any]


def _text(value: Value) -> str:
    typed = value.typed if value.typed is not None else value.content
    if value.content is None or not isinstance(typed, str | int | float) or isinstance(typed, bool):
        raise ValueError("has to be text")
    text = str(typed)
    if not text.strip():
        raise ValueError("is empty")
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # JSON can write them
        raise ValueError("has half a character (\\ud800 to \\udfff)")
    return text


def _line(value: Value) -> str:
    text = _text(value).strip()
    if not text.isprintable():
        raise ValueError("has to be one line of text")
    return text


def _whole(least: int, most: int) -> Read:
    def read(value: Value) -> int:
        number = value.content
        if isinstance(number, str) and re.fullmatch(r"[+-]?\d{1,12}", number.strip()):
            number = int(number)
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise ValueError(f"has to be a whole number from {least} to {most}")
        return number

    return read


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def _seconds(value: Value) -> float:
    """A number of seconds, or a number with a unit: 90, 90s, 15m, 2h."""
    text = str(value.content).strip().lower()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", text)
    seconds = float(match[1]) * _UNITS[match[2] or ""] if match else math.nan
    if not 0 < seconds <= 30 * 86400:
        raise ValueError("has to be a time like 90, 90s, 15m or 2h")
    return seconds


def _truth(value: Value) -> bool:
    if isinstance(value.content, bool):
        return value.content
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    word = str(value.content).strip().lower()
    if word not in words:
        raise ValueError("has to be true or false")
    return words[word]


def _names(value: Value) -> tuple[str, ...]:
    """A list, or one text with commas."""
    items = value.items()
    if items is not None:
        return tuple(_line(item) for item in items)
    return tuple(name.strip() for name in _line(value).split(",") if name.strip())


def _settings(value: Value) -> tuple[str, ...]:
    """A table of tables (`speak: {rate: 1.1}`), a flat one (`speak.rate: 1.1`), or a list of `speak.rate=1.1`."""
    items = value.items()
    if items is not None:
        return tuple(_line(item) for item in items)
    table = value.table()
    if table is None:
        return tuple(part.strip() for part in _line(value).split(";") if part.strip())
    settings = []
    for key, inner in table.items():
        below = inner.table()
        pairs = {f"{key}.{k}": v for k, v in below.items()} if below is not None else {key: inner}
        settings += [f"{name}={_setting(v, name)}" for name, v in pairs.items()]
    return tuple(settings)


def _setting(value: Value, name: str) -> str:
    if value.content is None:
        return "none"
    if value.table() is not None or value.items() is not None:
        raise ValueError(f"{name} has to be one value")
    return value.typed if value.typed is not None else str(value.content).lower()


_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
_NUMBER_OR_TEXT: Mapping[str, Any] = {"type": ["number", "string"]}
_NAMES: Mapping[str, Any] = {"type": ["string", "array"], "items": {"type": "string"}}

FIELDS: dict[str, Field] = {
    "name": Field(_line, "Name of the job, unique in its batch; made from what is said if it is not given.", _TEXT),
    "question": Field(_text, "A question: the film shows its answer.", _TEXT),
    "text": Field(_text, "What the person says.", _TEXT),
    "text_file": Field(_line, "A text file with what the person says, or with what a recording says.", _TEXT),
    "audio": Field(_line, "A recording that the person speaks along with.", _TEXT),
    "idle": Field(_seconds, "Say nothing for so long.", _NUMBER_OR_TEXT),
    "avatar": Field(_line, "Who speaks.", _TEXT),
    "preset": Field(_line, "Choice of engines.", _TEXT),
    "set": Field(_settings, "Settings of stages: {speak: {rate: 1.1}}.", {"type": ["object", "array", "string"]}),
    "emotion": Field(_line, "What the face shows.", _TEXT),
    "background": Field(_line, "A picture, or a colour like #20c060.", _TEXT),
    "aspect": Field(_line, "Shape of the film: 1:1, 9:16 or 16:9.", _TEXT),
    "subtitles": Field(_truth, "Embed subtitles, and write an .srt beside.", {"type": "boolean"}),
    "export": Field(_names, "Written beside the film: visemes, blendshapes.", _NAMES),
    "seed": Field(_whole(0, 2**31), "Start of all chance.", {"type": "integer", "minimum": 0}),
    "take": Field(_whole(0, 10_000), "Another take of what is left to chance.", {"type": "integer", "minimum": 0}),
    "output": Field(_line, "Name of the film: {name}, {index}, {avatar}, {preset}, {seed}, {take}, {file}.", _TEXT),
    "priority": Field(_whole(-1000, 1000), "Higher ones begin earlier.", {"type": "integer"}),
    "timeout": Field(
        _seconds,
        "Longest time of work, its waiting not counted: 90, 90s, 15m, 2h.",
        _NUMBER_OR_TEXT,
    ),
}
