"""Where the command's streams lead: a terminal, a pipe that closes, nothing at all, a locale without Cyrillic."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass

import pytest

from tests.tools import Studio, refused

HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
QUESTION = "Кто первым полетел в космос?"


@dataclass(frozen=True)
class Terminal:
    """What a command wrote to a terminal, and how it ended."""

    code: int
    written: bytes

    @property
    def cursor_is_shown(self) -> bool:
        return self.written.rfind(HIDE) <= self.written.rfind(SHOW)


def on_terminal(
    studio: Studio,
    *arguments: str,
    stop: signal.Signals | None = None,
    times: int = 1,
    typed: str = "",
    **extra: str,
) -> Terminal:
    """Run a command on a terminal of its own; `stop` is sent once the live display has hidden the cursor.

    Args:
        typed: what somebody types ahead.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    environment = {k: v for k, v in studio.environment(TERM="xterm", **extra).items() if k != "NO_COLOR"}
    with subprocess.Popen(
        studio.command(*arguments), cwd=studio.work, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        written = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side of a terminal is closed
                break
            if not piece:
                break
            written += piece
            if stop is not None and HIDE in written:
                for _ in range(times):
                    process.send_signal(stop)
                stop = None
        os.close(ours)
        code = process.wait(60)
    return Terminal(code, written)


def test_the_answer_and_the_path_on_a_terminal(studio: Studio) -> None:
    studio.ok("render", "Да.")
    shown = on_terminal(studio, "render", "Да.")
    assert shown.code == 0
    assert HIDE in shown.written
    assert shown.cursor_is_shown
    text = shown.written.decode()
    assert "steps came from the cache" in text
    assert text.rstrip().endswith(".mp4")


def test_brackets_in_a_text_are_no_markup(studio: Studio) -> None:
    shown = on_terminal(studio, "render", "Скобки [/red] и [bold]так.")
    assert shown.code == 0, shown.written
    assert "[/red] и [bold]так." in shown.written.decode()


@pytest.mark.parametrize(
    ("stop", "times"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGQUIT, 1), (signal.SIGINT, 2)]
)
def test_a_signal_leaves_the_terminal_as_it_was(studio: Studio, stop: signal.Signals, times: int) -> None:
    stopped = on_terminal(studio, "render", "Этот рассказ прервут на полуслове. " * 8, stop=stop, times=times)
    # A signal that comes while Python itself is being torn down ends the process as the signal does by itself.
    assert stopped.code in (128 + stop, -stop)
    assert stopped.cursor_is_shown
    assert b"Traceback" not in stopped.written
    assert studio.delivered() == []


@pytest.mark.parametrize("disowned", [False, True])
def test_a_terminal_that_is_closed(studio: Studio, disowned: bool) -> None:
    """It ends its commands, as the first signal would; what was started to outlive it (`nohup`, `disown`) does so."""

    def prepare() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # The tests themselves may have been started with `nohup`.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if disowned else signal.SIG_DFL)

    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    command = studio.command("render", "Терминал закроют на полуслове. " * (1 if disowned else 8), "--out", "film.mp4")
    environment = studio.environment(TERM="xterm")
    with subprocess.Popen(  # type: ignore[call-overload]
        command, cwd=studio.work, env=environment, start_new_session=True, preexec_fn=prepare, **streams
    ) as process:
        os.close(theirs)
        written = b""
        while HIDE not in written:
            written += os.read(ours, 65536)
        os.close(ours)
        code = process.wait(120)
    if disowned:
        assert code == 0, "nobody is there to read the film's path"
        assert (studio.work / "film.mp4").exists()
    else:
        assert code == 128 + signal.SIGHUP
        assert not (studio.work / "film.mp4").exists()


def test_a_signal_where_python_drops_what_is_raised() -> None:
    """As in the imports' own weak references: it is given once more, and ends the command all the same."""
    script = """
import signal, sys, time, weakref
from avatarctl.cli import app

def perform(arguments):
    try:
        freed = set()
        watch = weakref.ref(freed, lambda _: signal.raise_signal(signal.SIGTERM))
        del freed
        time.sleep(40)
    except app.Stopped as stopped:
        return stopped.exit_code

app._perform = perform
sys.exit(app.run([]))
"""
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, timeout=50, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr == b""


def test_a_log_that_cannot_be_written(studio: Studio) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        command = studio.command("render", "Да.")
        made = subprocess.run(
            command, cwd=studio.work, env=studio.environment(), stdout=subprocess.PIPE, stderr=full, check=False
        )
    assert made.returncode == 0
    assert made.stdout.decode().strip().endswith(".mp4")


def test_a_reader_that_leaves(studio: Studio) -> None:
    def piped(*arguments: str) -> int:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            command = studio.command(*arguments)
            streams = {"stdout": writer, "stderr": writer, "stdin": subprocess.DEVNULL}
            return subprocess.run(command, cwd=studio.work, env=studio.environment(), check=False, **streams).returncode  # type: ignore[call-overload,no-any-return]
        finally:
            os.close(writer)

    assert piped("presets", "show") == 0
    assert piped("--help") == 0
    assert piped("render", "Да.") == 0
    assert piped("ask", "--audio", "nothing.wav") == 2, "an error is one although nobody reads it"
    assert len(studio.delivered()) == 1, "the film is made although nobody reads the log"


def test_closed_streams(studio: Studio) -> None:
    def shell(line: str) -> subprocess.CompletedProcess[bytes]:
        command = ["sh", "-c", f'"$@" {line}', "sh", *studio.command("ask", "-")]
        return subprocess.run(
            command,
            cwd=studio.work,
            env=studio.environment(),
            input=QUESTION.encode(),
            capture_output=True,
            check=False,
        )

    assert shell(">&-").returncode == 0
    assert "Гагарин" in shell("2>&-").stdout.decode()
    unread = shell("<&-")
    assert unread.returncode == 2
    assert b"the text is empty" in unread.stderr


def test_locales_without_cyrillic(studio: Studio) -> None:
    assert "Гагарин" in studio.ok("ask", QUESTION, LC_ALL="C").out
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert "\\u0413" in studio.ok("ask", QUESTION, **ascii_only).out
    assert "\\u0413" in studio.ok("ask", QUESTION, PYTHONIOENCODING="ascii").out


@pytest.mark.unjudged
def test_a_film_is_the_same_in_every_locale(studio: Studio) -> None:
    """Its title goes to ffmpeg on a command line."""
    studio.ok("render", "Раз.", "--out", "first.mp4")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    studio.ok("render", "Раз.", "--out", "second.mp4", "--refresh", **ascii_only)
    assert (studio.work / "first.mp4").read_bytes() == (studio.work / "second.mp4").read_bytes()


def test_words_that_are_not_utf8(studio: Studio) -> None:
    broken = os.fsdecode(b"\xcf\xf0\xe8")
    refused(studio.run("ask", broken), 2, "UTF-8")
    refused(studio.run("knowledge", "search", broken), 2, "UTF-8")
    (studio.work / broken).write_text("Да.")
    studio.ok("render", "--file", broken, "--dry-run")


def test_a_working_folder_that_was_deleted(studio: Studio) -> None:
    def from_nowhere(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && "$@"', "sh", *studio.command(*arguments)]
        return subprocess.run(command, cwd=studio.work, env=studio.environment(), capture_output=True, check=False)

    assert "Гагарин" in from_nowhere("ask", QUESTION).stdout.decode()
    film = from_nowhere("render", "Да.")
    assert film.returncode == 4
    assert b"the folder outputs cannot be made" in film.stderr
