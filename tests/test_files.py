"""Files on disks that do not answer, and files that are none: nobody waits for ever."""

from __future__ import annotations

import errno
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from typer.main import get_command

from avatarctl import config, files, jobs
from avatarctl.cli.app import COMMANDS, app
from avatarctl.cli.options import a_path, state
from avatarctl.errors import BadConfig, BadInput, Unavailable
from avatarctl.files import readable_file
from avatarctl.runtime import session
from avatarctl.store.faults import file_fault
from tests.tools import Studio, refused


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on a disk that takes every question and answers none."""
    folder = tmp_path / "away"
    folder.mkdir()
    gone = threading.Event()

    def blocked(real: str) -> None:
        answer = getattr(Path, real)

        def ask(path: Path, *arguments: object, **options: object) -> object:
            if path.is_relative_to(folder):
                gone.wait()
            return answer(path, *arguments, **options)

        monkeypatch.setattr(Path, real, ask)

    for name in ("stat", "open", "resolve", "mkdir"):
        blocked(name)
    monkeypatch.setattr(files, "PATIENCE", 0.3)
    monkeypatch.setattr(files, "_silent", {})
    yield folder
    gone.set()


def test_a_disk_that_does_not_answer_is_waited_for_once(away: Path, tmp_path: Path) -> None:
    asked = []

    def ask() -> None:
        asked.append(1)
        (away / "a.wav").stat()

    for _ in range(3):
        with pytest.raises(Unavailable, match="cannot be read or written now") as caught:
            files.in_time(away / "a.wav", ask)
    assert len(asked) == 1
    assert "has not answered" in caught.value.why
    (tmp_path / "b.wav").write_bytes(b"bytes")
    assert files.size(tmp_path / "b.wav") == 5  # another folder is no worse for it


def test_whoever_reads_or_writes_there_is_told(away: Path) -> None:
    with pytest.raises(Unavailable, match=r"photo\.png cannot be read or written now"):
        readable_file(away / "photo.png", 10, "photo")
    with pytest.raises(Unavailable, match="cannot be read or written now"):
        session.check_writable(away / "films" / "film.mp4")


NAMED = [
    "batch check FILE",
    "batch run films.yaml --out FILE",
    "batch status FILE",
    "check FILE",
    "enroll FILE",
    "knowledge add FILE",
    "ledger backup FILE",
    "render --file FILE",
    "render Раз. --background FILE",
    "render Раз. --out FILE",
    "report FILE",
    "cache pin FILE",
]


@pytest.mark.parametrize("words", NAMED)
def test_no_command_waits_for_a_path_that_it_is_given(away: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    arguments = words.replace("FILE", str(away / "a.yaml")).split()
    monkeypatch.setattr(state, "arguments", arguments)
    with pytest.raises(Unavailable, match=r"a\.yaml cannot be read or written now"):
        get_command(app).main(args=arguments, prog_name="avatarctl", standalone_mode=False)


def _commands(application: typer.Typer) -> Iterator[Callable[..., Any]]:
    yield from (command.callback for command in application.registered_commands if command.callback is not None)
    for group in application.registered_groups:
        assert group.typer_instance is not None
        yield from _commands(group.typer_instance)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_path_of_a_command_line_is_asked_for_in_time(name: str) -> None:
    """Typer itself would ask for it, and wait."""
    module = importlib.import_module(f"avatarctl.cli.{COMMANDS[name][0]}")
    for callback in _commands(module.app):
        for option, hint in get_type_hints(callback, include_extras=True).items():
            if "Path" in str(get_args(hint)[:1]):
                assert hint.__metadata__[0].parser is a_path, f"{name}: {option}"


def test_a_folder_that_is_silent_says_nothing_of_those_beside_it(away: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read or written now"):
        session.check_writable(away / "film.mp4")
    (away.parent / "b.wav").write_bytes(b"bytes")
    assert files.size(away.parent / "b.wav") == 5


def test_a_job_file_says_on_which_line_it_is_meant(away: Path, tmp_path: Path) -> None:
    file = tmp_path / "films.yaml"
    file.write_text("jobs:\n  - text: Раз.\n  - audio: away/speech.wav\n", encoding="utf-8")
    with pytest.raises(jobs.BadJobFile) as caught:
        jobs.read(file)
    (problem,) = caught.value.problems
    assert problem.line == 3
    assert "has not answered" in problem.message


def test_a_size_is_that_of_an_ordinary_file(tmp_path: Path) -> None:
    assert files.size(tmp_path) is None
    assert files.size(Path("/dev/zero")) is None
    os.mkfifo(tmp_path / "pipe")
    assert files.size(tmp_path / "pipe") is None
    with pytest.raises(FileNotFoundError):
        files.size(tmp_path / "nothing")
    with pytest.raises(BadInput, match="is not a file"):
        readable_file(tmp_path / "pipe", 10, "photo")


@pytest.mark.unjudged
def test_a_pipe_into_which_nobody_writes_is_not_waited_for(studio: Studio) -> None:
    os.mkfifo(studio.work / "text")
    refused(studio.run("render", "--file", "text", timeout=30), 2, "empty")


def test_settings_are_read_from_ordinary_files(bare: Studio) -> None:
    os.mkfifo(bare.work / "avatarctl.toml")
    refused(bare.run("ask", "Кто?", timeout=30), 3, "is no file")


def test_a_folder_that_may_not_be_entered_has_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo -u somebody avatarctl ...` in root's folder. Root, who runs tests in containers, may enter any."""

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(BadConfig, match="cannot be read"):
        config.read_toml(tmp_path / "avatarctl.toml")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert config.read_toml(tmp_path / "avatarctl.toml") == {}


def test_a_disk_that_fails_is_no_matter_of_permissions() -> None:
    error = file_fault(OSError(errno.EIO, "Input/output error"), Path("film.mp4"), "choose another folder")
    assert "the disk fails" in error.hint
