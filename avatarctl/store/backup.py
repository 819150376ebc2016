"""The ledger copied, looked over, and put back. The films and photos themselves lie beside it, in `cas/`.

A copy is taken through SQLite, in one read transaction: it is the ledger of one moment, whoever writes meanwhile, and
nobody has to wait for it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from avatarctl.errors import BadInput, Unavailable
from avatarctl.store.cas import sync_folder
from avatarctl.store.faults import file_faults, ledger_faults
from avatarctl.store.ids import new_id
from avatarctl.store.ledger import Ledger

_HINT = "give another place"
_MOST_PROBLEMS = 20
_COUNTED = ("runs", "steps", "actions", "artefacts", "avatars", "documents", "batches", "jobs", "pins")
# Where a file has no second name (FAT, some network file systems).
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True, slots=True)
class Health:
    """What was found in a ledger. `problems`: lines of SQLite's own checks, none where it is sound."""

    path: str
    bytes: int
    rows: dict[str, int]
    problems: tuple[str, ...]


def look_over(path: Path) -> Health:
    """Check every page, index and reference of a ledger; change nothing.

    Raises:
        BadInput: there is no such file.
        Unavailable: it is no ledger, of a newer version, or too damaged to be read.
    """
    if not path.is_file():
        raise BadInput(f"there is no ledger {path}", hint="it is made by the first command that keeps something")
    with closing(Ledger.open(path, readonly=True)) as ledger:
        try:
            problems = [str(row[0]) for row in ledger.rows(f"PRAGMA integrity_check({_MOST_PROBLEMS})")]
            problems = [line for line in problems if line != "ok"]
            if not problems:
                broken = ledger.rows("PRAGMA foreign_key_check")[:_MOST_PROBLEMS]
                problems = [f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there" for row in broken]
        except Unavailable as error:
            problems = [error.why]
        rows = {} if problems else {t: int(ledger.rows(f"SELECT count(*) FROM {t}")[0][0]) for t in _COUNTED}
    return Health(str(path), path.stat().st_size, rows, tuple(problems))


def backup(ledger: Path, destination: Path, *, force: bool = False) -> Health:
    """Copy a ledger to `destination`, whole and checked or not at all; missing folders are made.

    Raises:
        BadInput: there is no ledger, or `destination` is there already (`force` replaces it), or cannot be a file.
        Unavailable: the ledger is damaged, the folder cannot be written, or the disk is full.
    """
    if not ledger.is_file():
        raise BadInput("there is no ledger yet", why=str(ledger), hint="nothing has been done that could be lost")
    with file_faults(destination, _HINT):
        if destination.is_dir():
            raise BadInput(f"{destination} is a folder", hint="give a file name")
        if destination.exists() and not force:
            raise BadInput(f"{destination} is there already", hint="give another name, or --force")
        if destination.exists() and destination.samefile(ledger):
            raise BadInput("that is the ledger itself", hint=_HINT)
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _copied(ledger, destination.parent) as (copy, health):
            if force:
                copy.replace(destination)
            else:
                _name_anew(copy, destination)
            sync_folder(destination.parent)
    return Health(str(destination), health.bytes, health.rows, ())


def restore(ledger: Path, source: Path) -> tuple[Health, Path | None]:
    """Put a copy in the ledger's place. The caller keeps every other command out.

    What was there is not deleted: it stays beside it.

    Returns:
        What the ledger holds now, and where the former one is, if there was one.

    Raises:
        BadInput: there is no such copy.
        Unavailable: it is no ledger, is damaged, or cannot be written.
    """
    if not source.is_file():
        raise BadInput(f"there is no file {source}", hint="give a file that `avatarctl ledger backup` made")
    if ledger.exists() and source.samefile(ledger):
        raise BadInput("that is the ledger itself", hint="give a file that `avatarctl ledger backup` made")
    with file_faults(ledger, "look at the folder's permissions"):
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with _copied(source, ledger.parent) as (copy, health):
            aside = ledger.with_name(f"{ledger.stem}-before-{new_id()}.sqlite") if ledger.exists() else None
            # The log goes first: beside another ledger it would be taken for that one's own.
            for ending in ("-wal", "-shm", ""):
                part = ledger.with_name(ledger.name + ending)
                if aside is not None and part.exists():
                    part.replace(aside.with_name(aside.name + ending))
            copy.replace(ledger)
            sync_folder(ledger.parent)
    return Health(str(ledger), health.bytes, health.rows, ()), aside


@contextmanager
def _copied(ledger: Path, folder: Path) -> Iterator[tuple[Path, Health]]:
    """A checked copy without a proper name in `folder`, on the disk; removed in the end if it is still there."""
    copy = folder / f".avatarctl-{new_id()}.part"
    try:
        with ledger_faults(ledger), closing(Ledger.connect(ledger, readonly=True)) as source:
            os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with ledger_faults(copy), closing(sqlite3.connect(copy, isolation_level=None)) as target:
                source.backup(target)
                # One file is the whole ledger, until it is put to use again.
                target.execute("PRAGMA journal_mode = DELETE").fetchall()
        health = look_over(copy)
        if health.problems:
            raise Unavailable(f"the ledger {ledger} is damaged", why=health.problems[0], hint="avatarctl ledger check")
        _sync(copy)
        yield copy, health
    finally:
        for ending in ("", "-journal", "-wal", "-shm"):
            with suppress(OSError):
                copy.with_name(copy.name + ending).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name_anew(copy: Path, destination: Path) -> None:
    """Give a file its name, unless somebody else has taken the name meanwhile."""
    try:
        os.link(copy, destination)
    except FileExistsError:
        raise BadInput(f"{destination} is there already", hint="give another name, or --force") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        copy.replace(destination)
