"""Immutable files named by their content: `cas/ab/<sha256>`.

Invariant: what stands under a digest's name was whole and on the disk before it got the name. A crash leaves
at most a temporary file. It is written in a folder beside the artefacts, so that it can be given its name also where
`cas` is a link to another disk.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from avatarctl.errors import BadInput, StepFailed
from avatarctl.store.faults import STORE_HINT, file_faults
from avatarctl.store.ids import new_id
from avatarctl.store.keys import BLOCK, digest_bytes, digest_file, digest_open, is_digest

_READ_ONLY = 0o444


_REMEMBERED = 1000
"""Artefacts of which it is known that they were read: what many films share is one of the last."""


class ContentStore:
    """The artefacts below `root`. Safe for many threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = root / "cas"
        self.incoming = self._files / "incoming"
        """Files on their way in."""
        self.quarantined = root / "quarantine"
        """Damaged files, kept for a while with the reason in a `.txt` beside each."""
        self._read: dict[str, tuple[int, ...]] = {}
        """Artefacts that were read whole by this process: their files as they were then."""

    def path(self, digest: str) -> Path:
        """Where the artefact is, or would be. Raises `ValueError` if `digest` is not a SHA-256 in hex."""
        if not is_digest(digest):
            raise ValueError(f"{digest!r} is not a SHA-256")
        return self._files / digest[:2] / digest

    def add_file(self, path: Path, *, move: bool = False) -> tuple[str, int]:
        """Take a file in: (digest, size in bytes). `move`: the file itself becomes the artefact if it can.

        Raises:
            StepFailed: it is not a regular file.
            BadInput: it cannot be read, or its length changes meanwhile.
            Unavailable: the store cannot be written, or the disk is full.
        """
        if move and path.is_symlink():
            raise StepFailed(f"{path.name} is a link, not a file")
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise BadInput(f"{path} cannot be read", why=error.strerror or str(error)) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise StepFailed(f"{path.name} is not a regular file")
            # A second name would let somebody edit the artefact.
            if move and found.st_nlink == 1 and self._same_file_system(found.st_dev):
                return self._take_over(path, descriptor, found.st_size)
            digest, size = self._copy_in(descriptor, path.name, found.st_size)
        finally:
            os.close(descriptor)
        if move:
            path.unlink()
        return digest, size

    def add_bytes(self, data: bytes) -> tuple[str, int]:
        """Take bytes in: (digest, size)."""
        digest = digest_bytes(data)
        if not self.intact(digest, len(data)):
            with file_faults(self.root, STORE_HINT):
                temporary, descriptor = self._temporary()
                try:
                    with os.fdopen(descriptor, "wb", buffering=0) as file:
                        write_all(file.fileno(), data)
                        self._seal(file.fileno())
                    self._name(temporary, digest)
                finally:
                    temporary.unlink(missing_ok=True)
        return digest, len(data)

    def intact(self, digest: str, size: int) -> bool:
        """Whether the artefact is there with that size; cheap enough for every hit."""
        try:
            found = self.path(digest).lstat()
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == size

    def verify(self, digest: str, *, again: bool = True) -> bool:
        """Whether the artefact is there and its content still has this digest.

        Args:
            again: read it even if it was read before and has, by its file's times, not been written since.
        """
        try:
            path = self.path(digest)
            found = path.stat()
            file = found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
            if not again and self._read.get(digest) == file:
                return True
            whole = digest_file(path) == digest
        except OSError:
            return False
        if whole:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            self._read[digest] = file
        return whole

    def quarantine(self, digest: str, reason: str) -> None:
        """Put a damaged artefact aside. Nothing happens if it is gone already."""
        with file_faults(self.quarantined, STORE_HINT):
            self.quarantined.mkdir(parents=True, exist_ok=True)
            aside = self.quarantined / digest
            try:
                # It may be on another disk.
                shutil.move(self.path(digest), aside)
            except FileNotFoundError:
                return
            os.utime(aside)
            aside.with_suffix(".txt").write_text(reason + "\n", encoding="utf-8")

    def quarantine_older_than(self, seconds: float) -> list[Path]:
        """Files in quarantine that were put there longer ago."""
        try:
            found = sorted(self.quarantined.iterdir())
        except FileNotFoundError:
            return []
        limit = time.time() - seconds
        return [path for path in found if path.stat().st_mtime <= limit]

    def delete(self, digest: str) -> int:
        """Remove an artefact: its size in bytes, 0 if it was not there."""
        path = self.path(digest)
        with file_faults(path, STORE_HINT):
            try:
                size = path.lstat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
        return size

    def __iter__(self) -> Iterator[str]:
        """All digests, sorted."""
        for folder in sorted(self._files.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                if is_digest(path.name):
                    yield path.name

    def size(self, digest: str) -> int:
        """Bytes of the artefact; 0 if it is not there."""
        try:
            return self.path(digest).lstat().st_size
        except OSError:
            return 0

    def _take_over(self, path: Path, descriptor: int, size: int) -> tuple[str, int]:
        digest = digest_open(descriptor)
        if self.intact(digest, size):
            path.unlink()
        else:
            with file_faults(self.root, STORE_HINT):
                self._seal(descriptor)
                self._name(path, digest)
        return digest, size

    def _copy_in(self, source: int, name: str, expected: int) -> tuple[str, int]:
        state = hashlib.sha256()
        size = 0
        with file_faults(self.root, STORE_HINT):
            temporary, descriptor = self._temporary()
            try:
                with os.fdopen(descriptor, "wb", buffering=0) as file:
                    # What is hashed is what is written, even if the source changes meanwhile.
                    while size <= expected and (block := os.read(source, BLOCK)):
                        state.update(block)
                        write_all(file.fileno(), block)
                        size += len(block)
                    if size != expected:
                        # One that grows as fast as it is read would have no end; and it is not what was meant yet.
                        raise BadInput(f"{name} changes while it is read", hint="wait until it is whole")
                    digest = state.hexdigest()
                    if self.intact(digest, size):
                        return digest, size
                    self._seal(file.fileno())
                self._name(temporary, digest)
            finally:
                temporary.unlink(missing_ok=True)
        return digest, size

    def _temporary(self) -> tuple[Path, int]:
        self.incoming.mkdir(parents=True, exist_ok=True)
        path = self.incoming / new_id()
        return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _seal(self, descriptor: int) -> None:
        os.fchmod(descriptor, _READ_ONLY)
        os.fsync(descriptor)

    def _name(self, source: Path, digest: str) -> None:
        target = self.path(digest)
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(target.parent.parent)
        source.replace(target)
        sync_folder(target.parent)

    def _same_file_system(self, device: int) -> bool:
        self._files.mkdir(parents=True, exist_ok=True)
        return self._files.stat().st_dev == device


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
