"""A result put where the user wants it: whole or not at all, and never a link into the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from avatarctl.errors import BadInput
from avatarctl.store.cas import sync_folder, write_all
from avatarctl.store.faults import file_faults
from avatarctl.store.ids import new_id
from avatarctl.store.keys import BLOCK, digest_file, digest_open
from avatarctl.store.model import Artefact

_FICLONE = 0x40049409
"""linux/fs.h: share the blocks of another file until either is written to."""

_HINT = "choose another place with --out"


def deliver(source: Path, artefact: Artefact, destination: Path) -> bool:
    """Copy an artefact to `destination` in place of what is there; missing folders are made.

    Returns:
        False when the source's content is not the artefact's: then nothing was changed.

    Raises:
        BadInput: the destination is a folder, or cannot be a file's name.
        Unavailable: its folder cannot be written, or the disk is full.
    """
    with file_faults(destination, _HINT):
        if destination.is_dir():
            raise BadInput(f"{destination} is a folder", hint="give a file name with --out")
        destination.parent.mkdir(parents=True, exist_ok=True)
    if holds(destination, artefact):
        return True
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with file_faults(destination, _HINT):
            return _replace(destination, lambda writing: _copy(reading, writing) == artefact.digest)
    finally:
        os.close(reading)


def write(content: bytes, destination: Path, hint: str = _HINT) -> None:
    """Put `content` at `destination` in place of what is there; missing folders are made. `hint`: if it cannot.

    Raises:
        BadInput: the destination is a folder, or cannot be a file's name.
        Unavailable: its folder cannot be written, or the disk is full.
    """

    def fill(writing: int) -> bool:
        write_all(writing, content)
        return True

    with file_faults(destination, hint):
        if destination.is_dir():
            raise BadInput(f"{destination} is a folder", hint="give a file name")
        destination.parent.mkdir(parents=True, exist_ok=True)
        _replace(destination, fill)


def holds(path: Path, artefact: Artefact) -> bool:
    """Whether `path` is a regular file with the artefact's content."""
    try:
        return path.is_file() and path.stat().st_size == artefact.size and digest_file(path) == artefact.digest
    except OSError:
        return False


def _replace(destination: Path, fill: Callable[[int], bool]) -> bool:
    """Put what `fill` writes to a descriptor in the destination's place, unless it returns False."""
    writing, temporary = _new_file(destination.parent)
    try:
        if not fill(writing):
            return False
        os.fsync(writing)
        if temporary is None:
            try:
                # Under its own name at once, where nothing has it yet: nobody can be killed between two steps.
                _link(writing, destination)
            except FileExistsError:
                temporary = _name_in(destination.parent)
                _link(writing, temporary)
        if temporary is not None:
            temporary.replace(destination)
        sync_folder(destination.parent)
        return True
    finally:
        os.close(writing)
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _name_in(folder: Path) -> Path:
    # Not made from the destination's name, which may be as long as names can be.
    return folder / f".avatarctl-{new_id()}.part"


def _new_file(folder: Path) -> tuple[int, Path | None]:
    # A file without a name leaves nothing behind, even after SIGKILL in the middle of it.
    nameless = getattr(os, "O_TMPFILE", 0)
    if nameless and Path("/proc/self/fd").is_dir():
        with suppress(OSError):
            return os.open(folder, os.O_WRONLY | nameless | os.O_CLOEXEC, 0o644), None
    path = _name_in(folder)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), path


def _link(descriptor: int, path: Path) -> None:
    # The folder's descriptor is there to make Python call linkat, which follows /proc's link to the file.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(f"/proc/self/fd/{descriptor}", path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _copy(reading: int, writing: int) -> str:
    """Copy everything, or share it where the file system can: the content's SHA-256."""
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError:
        state = hashlib.sha256()
        while block := os.read(reading, BLOCK):
            state.update(block)
            write_all(writing, block)
        return state.hexdigest()
    return digest_open(reading)
