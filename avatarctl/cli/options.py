"""What the commands share: global switches, common options, and how a result is printed."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatarctl import files
from avatarctl.errors import BadInput
from avatarctl.tables import byte_count

SCHEMA_VERSION = 1


@dataclass
class State:
    """Switches that stand before or after the command."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    arguments: list[str] = field(default_factory=list)


state = State()


class _Log(io.TextIOWrapper):
    """stderr, to which writing never fails: once nothing can be written there, it leads nowhere."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        # What a slow reader has no room for yet stays in the buffer.
        if not isinstance(error, BlockingIOError):
            _lead_nowhere(self.fileno())


class _Result(io.TextIOWrapper):
    """stdout; once its terminal was closed, whoever read it has left, as at a pipe's other end."""

    def write(self, text: str) -> int:
        with self._reader():
            return super().write(text)

    def flush(self) -> None:
        with self._reader():
            super().flush()

    @contextmanager
    def _reader(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.EIO and stat.S_ISCHR(os.fstat(self.fileno()).st_mode):
                raise BrokenPipeError(errno.EPIPE, "the terminal was closed") from error
            raise


def prepare_streams() -> None:
    """Let every command write whatever it has to, wherever it was started.

    A stream that the caller closed becomes the null device. Nothing fails because its log cannot be written: the
    terminal was closed (`disown`), the reader has left (`2>&1 | head`), the disk is full. A locale without Cyrillic
    gets escapes instead of an error after all the work; in UTF-8, file names that are not UTF-8 come out as the bytes
    they are.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper) and not isinstance(sys.stderr, _Log):
        encoding, errors = sys.stderr.encoding, sys.stderr.errors
        sys.stderr = _Log(sys.stderr.detach(), encoding, errors, line_buffering=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        if type(sys.stdout) is io.TextIOWrapper:
            encoding, errors, by_lines = sys.stdout.encoding, sys.stdout.errors, sys.stdout.line_buffering
            sys.stdout = _Result(sys.stdout.detach(), encoding, errors, line_buffering=by_lines)
        utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")


def reader_gone() -> None:
    """Nobody reads our output any more (`| head`): what is still to be written goes nowhere, and is no error."""
    _lead_nowhere(sys.stdout.fileno())


def _lead_nowhere(descriptor: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def a_path(text: str) -> Path:
    """The parser of a path that a command line names: `typer.Option(parser=a_path)`.

    Its disk is asked here, once for all that the command does with it. Left to itself, Typer asks it too, and waits for
    ever where nothing answers.

    Raises:
        Unavailable: the disk does not answer.
    """
    path = Path(text)
    with suppress(OSError, ValueError):  # no name for a file: whoever opens it says so
        files.in_time(path, path.exists)
    return path


def a_place(text: str) -> str:
    """The same of a text that may name something else, or ends with the slash of a folder."""
    a_path(text)
    return text


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


def bytes_of(text: str, option: str) -> int:
    """Bytes as people write them: 500M, 5G.

    Raises:
        BadInput: `text`, which stood behind `option`, is no size.
    """
    try:
        return byte_count(text)
    except ValueError:
        raise BadInput(f"{option} {text!r} is not understood", hint="write 500M or 5G") from None
