"""How files travel between the driver and a machine, and where they wait there. Each is named by its SHA-256."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from avatarctl.errors import BadConfig, StepFailed, Unavailable
from avatarctl.store.keys import digest_file, is_digest
from avatarctl.store.locks import FileLock

CHUNK = 4 << 20
"""Bytes. Files that no store carries travel in pieces of this size, one at a time for each actor."""
KEPT_BYTES = 1 << 30
"""Inputs beyond this size in all are forgotten again, those first that were used longest ago."""


def digest_of(path: Path) -> str:
    """SHA-256 of a file; that of an artefact is its name."""
    return path.name if is_digest(path.name) else digest_file(path)


def checked(path: Path, digest: str, what: str) -> None:
    """Raises `StepFailed` if a file that came has other bytes than those that were sent."""
    if digest_file(path) != digest:
        path.unlink(missing_ok=True)
        raise StepFailed(f"{what} arrived with other bytes than it was sent with", hint="try again")


class Shelf:
    """Files that came to a machine, for the steps of one actor; bounded in size."""

    def __init__(self, folder: Path, limit: int = KEPT_BYTES) -> None:
        self._folder = folder
        self._limit = limit
        self._order: dict[str, int] = {}
        """Bytes by digest, those used last at the end."""
        folder.mkdir(parents=True)

    def path(self, digest: str) -> Path:
        """Where the file is, or would be. Raises `ValueError` if `digest` is not a SHA-256 in hex."""
        if not is_digest(digest):
            raise ValueError(f"{digest!r} is not a SHA-256")
        return self._folder / digest

    def missing(self, wanted: Collection[str]) -> list[str]:
        """Those that have to be brought for the next step. Others make room for them."""
        for digest in wanted:
            if digest in self._order:
                self._order[digest] = self._order.pop(digest)
        for digest in list(self._order):
            if sum(self._order.values()) <= self._limit or digest in wanted:
                break
            self.path(digest).unlink(missing_ok=True)
            del self._order[digest]
        return [digest for digest in wanted if digest not in self._order]

    def take(self, digest: str, offset: int, data: bytes, size: int) -> None:
        """A piece of a file of `size` bytes. With the last one it is complete."""
        part = self.path(digest).with_suffix(".part")
        with part.open("ab" if offset else "wb") as file:
            if file.tell() != offset:
                raise StepFailed("a piece of a file got lost on its way", hint="try again")
            file.write(data)
        if offset + len(data) >= size:
            self._add(digest, part)

    def fetch(self, digest: str, store: SharedStore) -> None:
        """Take a file from the store."""
        part = self.path(digest).with_suffix(".part")
        store.get(f"in/{digest}", part)
        self._add(digest, part)

    def _add(self, digest: str, part: Path) -> None:
        checked(part, digest, "an input")
        part.replace(self.path(digest))
        self._order[digest] = self.path(digest).stat().st_size


class SharedStore:
    """A folder or bucket that the driver and every machine reach; what it holds lives as long as one batch."""

    def __init__(self, url: str, session: str) -> None:
        """`url`: a folder, or whatever fsspec knows (`s3://bucket/prefix`). `session`: a name of this batch's own.

        Raises:
            BadConfig: fsspec does not know such an address.
            Unavailable: a package is missing.
        """
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise Unavailable("fsspec is not installed", hint="pip install 'avatarctl[ray]'") from error
        try:
            # Listings are kept by default; but another process has just put there what is looked for.
            self._files, root = url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            kind = url.partition("://")[0]
            raise Unavailable(
                f"the store {url} needs a package", why=str(error), hint="pip install s3fs" if kind == "s3" else ""
            ) from error
        except ValueError as error:
            raise BadConfig(f"the store {url} is not understood", why=str(error)) from error
        self._url = url
        self._root = f"{root.rstrip('/')}/avatarctl-{session}"

    def put(self, name: str, path: Path) -> None:
        """Copy a file there."""
        with self._faults():
            target = f"{self._root}/{name}"
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(path), target)

    def get(self, name: str, path: Path) -> None:
        """Copy a file here."""
        with self._faults():
            self._files.get_file(f"{self._root}/{name}", str(path))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that it holds; nothing if it is gone."""
        with suppress(OSError):
            self._files.rm(f"{self._root}/{name}".rstrip("/"), recursive=True)

    def check(self) -> None:
        """Find out before any work is done whether it can be written. Raises `Unavailable`."""
        self.put("in/probe", Path(__file__))
        self.remove("in/probe")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Each kind of store has exceptions of its own.
            raise Unavailable(
                f"the store {self._url} cannot be used",
                why=f"{type(error).__name__}: {error}".splitlines()[0],
                hint="look at [ray] store, and at its address and keys (AWS_*, FSSPEC_S3_*) on every machine",
            ) from error


Ask = Callable[..., Any]
"""Calls a method of the actor, by its name, and waits for what it answers."""


class InChunks:
    """Files go to the actor, and come from it, in pieces."""

    url = ""

    def bring(self, ask: Ask, files: Iterable[tuple[str, Path]]) -> None:
        """Give the actor files by their digests."""
        for digest, path in files:
            size = path.stat().st_size
            with path.open("rb") as file:
                offset = 0
                while data := file.read(CHUNK):
                    ask("take", digest, offset, data, size)
                    offset += len(data)
                if not size:
                    ask("take", digest, 0, b"", 0)

    def collect(self, ask: Ask, step: str, name: str, target: Path) -> None:
        """Fetch a file that a step made."""
        with target.open("wb") as file:
            while data := ask("give", step, name, file.tell(), CHUNK):
                file.write(data)

    def close(self) -> None:
        """Nothing is left anywhere."""


class ThroughStore:
    """Files go through a store that all machines reach. Inputs stay there for later steps, as long as there is room."""

    def __init__(self, url: str, session: str, limit: int = KEPT_BYTES) -> None:
        # The same on every machine, whatever folder its processes are in.
        self.url = url if "://" in url else str(Path(url).expanduser().absolute())
        self._store = SharedStore(self.url, session)
        self._limit = limit
        self._there: dict[str, int] = {}
        self._using: dict[str, int] = {}
        self._guard = threading.Lock()
        self._store.check()

    def bring(self, ask: Ask, files: Iterable[tuple[str, Path]]) -> None:
        """Have the actor fetch files by their digests."""
        for digest, path in files:
            with self._guard:
                # Uploads take turns: they share one line, and no file is to be sent twice.
                self._put(digest, path)
                self._using[digest] = self._using.get(digest, 0) + 1
            try:
                ask("fetch", digest)
            finally:
                with self._guard:
                    self._using[digest] -= 1

    def _put(self, digest: str, path: Path) -> None:
        if digest not in self._there:
            self._store.put(f"in/{digest}", path)
        self._there[digest] = self._there.pop(digest, path.stat().st_size)
        for old in list(self._there):
            if sum(self._there.values()) <= self._limit:
                break
            if old != digest and not self._using.get(old):
                self._store.remove(f"in/{old}")
                del self._there[old]

    def collect(self, ask: Ask, step: str, name: str, target: Path) -> None:
        """Fetch a file that a step made, and remove it from the store."""
        ask("put", step, name)
        self._store.get(f"out/{step}/{name}", target)
        self._store.remove(f"out/{step}/{name}")

    def close(self) -> None:
        """Remove all that was put there."""
        self._store.remove("")


class OwnFolder:
    """A folder of one process among the system's temporary ones. A killed process leaves its own to the next."""

    def __init__(self, root: Path) -> None:
        # Faces and voices lie there: nobody else may look, nor have put something of their own in its place.
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if root.is_symlink() or root.stat().st_uid != os.getuid():
            raise Unavailable(f"{root} is another user's", hint="remove it, or set TMPDIR to a folder of your own")
        self.path = root / uuid.uuid4().hex
        # Locked while it is in use; the kernel unlocks it when the process dies, however it dies.
        self._lock = FileLock(self.path.with_suffix(".lock"), what="a temporary folder")
        self._lock.acquire(exclusive=True, timeout=10.0)
        self.path.mkdir()
        for path in root.glob("*.lock"):
            left = FileLock(path)
            if path != self._lock.path and left.try_acquire(exclusive=True):
                _remove(path.with_suffix(""), left)

    def remove(self) -> None:
        """It and all that is in it."""
        _remove(self.path, self._lock)


def _remove(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.path.unlink(missing_ok=True)
    lock.release()
