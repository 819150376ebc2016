"""The operating system's and SQLite's errors, turned into sentences that say what to do."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avatarctl.errors import AvatarctlError, BadInput, Busy, Unavailable

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LEDGER_STEP = 32_768
"""Bytes by which the ledger's shared memory grows."""
_NO_JSON = "malformed JSON"
"""What SQLite says of a column that one of its functions cannot read; all of them were written as JSON."""
_NO_TEXT = "Could not decode to UTF-8"
"""What Python says of a column of text that is none."""
LOOK_AT_KERNEL = "look at what the kernel says (dmesg)"
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


def disk_is_full(error: BaseException) -> bool:
    """Whether `error` says that nothing more can be written."""
    return isinstance(error, OSError) and error.errno in _NO_SPACE


def disk_fails(error: BaseException) -> bool:
    """Whether `error` says that a disk could not do what it was told."""
    return isinstance(error, OSError) and error.errno == errno.EIO


def file_fault(error: OSError, path: Path, hint: str) -> AvatarctlError:
    """What to raise for `error`, met while writing `path`. `hint` says where else to write."""
    why = error.strerror or str(error)
    if disk_is_full(error):
        return Unavailable(f"the disk is full: {path}", why=why, hint="make room, or run avatarctl cache gc")
    if error.errno in _NOT_ALLOWED:
        return Unavailable(f"{path} cannot be written", why=why, hint=hint)
    if disk_fails(error):
        return Unavailable(f"{path} could not be written", why=why, hint=f"the disk fails: {LOOK_AT_KERNEL}")
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR):
        return BadInput(f"{path} cannot be a file's name here", why=why, hint=hint)
    return Unavailable(f"{path} could not be written", why=why, hint=hint)


@contextmanager
def file_faults(path: Path, hint: str) -> Iterator[None]:
    """Turn `OSError`s of the block into `file_fault`s."""
    try:
        yield
    except OSError as error:
        raise file_fault(error, path, hint) from error


STORE_HINT = "look at the folder's permissions, or set AVATARCTL_HOME to another folder"


def ledger_fault(error: sqlite3.Error, path: Path) -> AvatarctlError:
    """What to raise for an error of SQLite. Mistakes of our own (wrong SQL, broken constraints) stay as they are."""
    name = getattr(error, "sqlite_errorname", "") or ""
    why = str(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Busy("the ledger is busy", why="another command is writing to it", hint="try again in a moment")
    # The memory that its users share is a file, too; when that cannot grow, SQLite calls it an I/O error.
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _no_room(path)):
        return Unavailable(f"the disk is full: {path}", why=why, hint="make room, or run avatarctl cache gc")
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or why.startswith(_NO_TEXT):
        return ledger_damage(why, path)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return Unavailable(f"the ledger {path} cannot be opened", why=why, hint=STORE_HINT)
    return Unavailable(
        f"the ledger {path} cannot be used",
        why=why,
        hint="look at the disk; on a network file system, set AVATARCTL_HOME to a folder on a local one",
    )


def ledger_damage(why: str, path: Path | None = None) -> Unavailable:
    """What to raise where the ledger holds what nobody has written."""
    return Unavailable(
        f"the ledger {path} is damaged" if path else "the ledger is damaged",
        why=why,
        hint="restore it from a backup, or move it away: a new one is made, and films are rendered again",
    )


def _no_room(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _LEDGER_STEP
    except OSError:
        return False


@contextmanager
def ledger_faults(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the file (not those about a statement) into `ledger_fault`s."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_ERROR":
            if str(error) == _NO_JSON:
                raise ledger_damage(str(error), path) from error
            raise
        raise ledger_fault(error, path) from error
    except UnicodeDecodeError as error:
        raise ledger_damage(str(error), path) from error
