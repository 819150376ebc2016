"""Files that users name: a disk of another machine may be away, and then whoever asks it for one waits for ever."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from avatarctl.errors import BadInput, Unavailable

PATIENCE = 5.0
"""Seconds that a disk may take for its first answer; one that slept needs some."""
_AGAIN = 60.0
"""Seconds after which a folder that was silent is asked again."""
_silent: dict[Path, float] = {}
"""Folders that gave no answer, and when: seconds of the monotonic clock."""
_Answer = TypeVar("_Answer")


def in_time(path: Path, ask: Callable[[], _Answer], *, folder: Path | None = None) -> _Answer:
    """What `ask` returns, which asks something small of the disk that has `path`.

    Such a call can be neither stopped nor hurried: it is made on a thread of its own, which is left alone if need be.

    Args:
        folder: the one whose disk it is; that of `path` if not given.

    Raises:
        Unavailable: no answer within `PATIENCE`; at once where the same folder was silent just before.
        BaseException: whatever `ask` raised.
    """
    folder = folder or path.parent
    if time.monotonic() - _silent.get(folder, -_AGAIN) < _AGAIN:
        raise _away(path)
    answers: list[_Answer] = []
    errors: list[BaseException] = []
    over = threading.Event()

    def work() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            errors.append(error)
        finally:
            over.set()

    threading.Thread(target=work, name="disk", daemon=True).start()
    if not over.wait(PATIENCE):
        _silent[folder] = time.monotonic()
        raise _away(path)
    if errors:
        raise errors.pop()
    return answers[0]


def size(path: Path) -> int | None:
    """Bytes of an ordinary file whose beginning could be read; None for what is something else.

    Raises:
        Unavailable: its disk does not answer.
        OSError: it is not there, or cannot be read.
    """

    def ask() -> int | None:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        with path.open("rb", buffering=0) as file:
            file.read(1)
        return found.st_size

    return in_time(path, ask)


def readable_file(path: Path, limit: int, what: str) -> Path:
    """`path`, if it is a file of at most `limit` bytes that can be read.

    Raises:
        BadInput: it is none.
        Unavailable: its disk does not answer.
    """
    try:
        length = size(path)
    except FileNotFoundError:
        raise BadInput(f"there is no {what} {path}", hint="check the name and the folder") from None
    except OSError as error:
        raise BadInput(f"the {what} {path} cannot be read", why=error.strerror or str(error)) from error
    if length is None:
        raise BadInput(f"the {what} {path} is not a file", hint="choose a file")
    if length == 0:
        raise BadInput(f"the {what} {path} is empty", hint="choose another file")
    if length > limit:
        raise BadInput(
            f"the {what} {path} is too large", why=f"{length // 2**20} MB", hint=f"at most {limit // 2**20} MB"
        )
    return path


def _away(path: Path) -> Unavailable:
    return Unavailable(
        f"{path} cannot be read or written now",
        why=f"its disk has not answered for {PATIENCE:g} s",
        hint="look at what is mounted there; the same command goes on once it is back",
    )
