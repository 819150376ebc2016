"""The store as runs see it: files and ledger together.

home/ledger.sqlite
home/dictionaries/           how people say words, one text file a name
cache/cas/ab/<sha256>        artefacts
cache/cas/incoming/          artefacts on their way in
cache/tmp/<run>/<id>/        where engines write
cache/quarantine/            damaged artefacts
cache/locks/                 of the cache, of living runs, of steps being made, and what living commands rely on
"""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

from avatarctl.errors import StepFailed
from avatarctl.store import deliver
from avatarctl.store.cas import ContentStore
from avatarctl.store.faults import STORE_HINT, file_faults
from avatarctl.store.ids import new_id, now
from avatarctl.store.ledger import FILE_NAME, Ledger
from avatarctl.store.locks import FileLock, RunLock
from avatarctl.store.model import Artefact, Manifest, StepRecord
from avatarctl.store.uses import Uses

_FLUSH_SECONDS = 1.0
_INCOMING_SECONDS = 86_400.0


class Store:
    """An open store. Threads may share it. What it hands out, garbage collection leaves alone until it is closed."""

    def __init__(self, home: Path, cache: Path, ledger: Ledger, cache_lock: FileLock) -> None:
        self.home = home
        self.cache = cache
        self.ledger = ledger
        self.cas = ContentStore(cache)
        self.locks_folder = cache / "locks"
        self.tmp_folder = cache / "tmp"
        self.uses = Uses(self.locks_folder)
        self._cache_lock = cache_lock
        self._runs: dict[str, RunLock] = {}
        self._guard = threading.Lock()
        self._used: set[str] = set()
        self._flushed = time.monotonic()

    @classmethod
    def open(
        cls, home: Path, cache: Path | None = None, *, readonly: bool = False, lock_timeout: float = 600.0
    ) -> Self:
        """Open the store below `home`, with its files below `cache` (the same folder if not given).

        For writing, everything missing is made, the ledger migrated, and what dead runs left is cleared away.
        For reading, nothing is written.

        Raises:
            Busy: garbage is being collected and was not done within `lock_timeout` seconds.
            Unavailable: the ledger or a folder cannot be used.
        """
        cache = cache or home
        path = home / FILE_NAME
        lock = cache_lock(cache)
        if readonly:
            return cls(home, cache, Ledger.open(path, readonly=True), lock)
        with ExitStack() as undo:
            # Who finds nobody else at work may clear away all that lies about; usually that is everybody.
            alone = lock.try_acquire(exclusive=True)
            if not alone:
                lock.acquire(exclusive=False, timeout=lock_timeout)
            undo.callback(lock.release)
            store = cls(home, cache, Ledger.open(path), lock)
            undo.callback(store.ledger.close)
            store._clear_after_the_dead(alone)
            if alone:
                lock.switch(exclusive=False, timeout=lock_timeout)
            undo.pop_all()
        return store

    def close(self) -> None:
        """Write down what was used, and give back every lock."""
        try:
            self._flush()
        finally:
            for lock in self._runs.values():
                lock.__exit__()
            self._runs.clear()
            self.uses.end()
            self.ledger.close()
            self._cache_lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the cache

    def lookup(self, key: str) -> Manifest | None:
        """What the step of that key made, if all its files are there in full size. Damage is cleared away."""
        with self._handing_out():
            manifest = self.ledger.find_action(key)
            if manifest is None:
                return None
            if not self.ledger.readonly:
                self.uses.note(a.digest for a in manifest.outputs.values())
        damaged = [a for a in manifest.outputs.values() if not self.cas.intact(a.digest, a.size)]
        if damaged:
            if not self.ledger.readonly:
                for artefact in damaged:
                    self.cas.quarantine(artefact.digest, f"its size was not {artefact.size} when step {key} was asked")
                self.ledger.forget_action(key, only=manifest)
            return None
        with self._guard:
            self._used.add(key)
            due = time.monotonic() - self._flushed > _FLUSH_SECONDS
        if due:
            self._flush()
        return manifest

    def publish(
        self,
        key: str,
        *,
        stage: str,
        engine: str,
        outputs: Mapping[str, tuple[Path, str]],
        inputs: Mapping[str, str],
        facts: Mapping[str, Any],
        step: StepRecord,
        replace: bool = False,
        sticky: bool = False,
        identity: str = "",
    ) -> Manifest:
        """Take a step's files in, and then write its action and its row in one transaction.

        Args:
            outputs: (file, media type) by role; the files are moved, not copied.
            inputs: digests by role.
            step: the attempt; its `output_bytes` are filled in.
            replace: take the place of what was published before. Otherwise the first result is the result, and
                it is what comes back, even if another process published it a moment ago.
            sticky: the engine would not make the same again; given up last when the cache is too large.
            identity: JSON of all that the key was made of.

        Raises:
            StepFailed: an output is not a regular file.
            Unavailable: the disk is full, or the store cannot be written.
        """
        self._must_write()

        def gives_way(before: Manifest) -> bool:
            return replace or not all(self.cas.intact(a.digest, a.size) for a in before.outputs.values())

        with self._handing_out():
            made = {}
            for role, (path, media_type) in outputs.items():
                digest, size = self.cas.add_file(path, move=True)
                made[role] = Artefact(digest, size, media_type)
            manifest = Manifest(key, made, dict(facts), now(), step.run_ms, engine)
            record = dataclasses.replace(step, output_bytes=sum(a.size for a in made.values()))
            holds = self.ledger.record_action(
                manifest, stage, inputs, record, sticky=sticky, identity=identity, replaces=gives_way
            )
            self.uses.note(a.digest for a in holds.outputs.values())
        return holds

    def forget(self, digest: str, reason: str) -> list[str]:
        """Put a damaged artefact aside, and forget the actions that made it: their keys."""
        self.cas.quarantine(digest, reason)
        return [key for key in self.ledger.made_by(digest) if self.ledger.forget_action(key)]

    def artefact(self, digest: str) -> Artefact | None:
        """An artefact that the ledger knows and whose file is there."""
        with self._handing_out():
            found = self.ledger.artefact(digest)
            if found is None or not self.cas.intact(digest, found.size):
                return None
            if not self.ledger.readonly:
                self.uses.note([digest])
        return found

    def add_file(self, path: Path, media_type: str) -> Artefact:
        """Take in a copy of a file that was given from outside."""
        self._must_write()
        with self._handing_out():
            digest, size = self.cas.add_file(path)
            return self._given(Artefact(digest, size, media_type))

    def add_bytes(self, data: bytes, media_type: str) -> Artefact:
        """Take in bytes that were given from outside."""
        self._must_write()
        with self._handing_out():
            digest, size = self.cas.add_bytes(data)
            return self._given(Artefact(digest, size, media_type))

    def _must_write(self) -> None:
        if self.ledger.readonly:
            raise RuntimeError("the store was opened for reading")

    def _given(self, artefact: Artefact) -> Artefact:
        self.ledger.add_artefact(artefact)
        self.uses.note([artefact.digest])
        return artefact

    def _handing_out(self) -> AbstractContextManager[None]:
        """Kept until what is handed out is noted. Who only reads notes nothing, and finds a file gone at worst."""
        return nullcontext() if self.ledger.readonly else self.uses.passing()

    def deliver(self, artefact: Artefact, destination: Path) -> None:
        """Copy an artefact to `destination`, whole or not at all; left alone if it is there already.

        Raises:
            BadInput: the destination cannot be a file.
            Unavailable: its folder cannot be written, or the disk is full.
            StepFailed: the artefact was damaged in the cache.
        """
        with suppress(FileNotFoundError):
            if deliver.deliver(self.cas.path(artefact.digest), artefact, destination):
                return
        raise self._damaged(artefact.digest, destination.name, "delivered")

    def verified(self, artefact: Artefact, name: str) -> Path:
        """The file of an artefact, once all of it was read: for steps, whose results would outlive the damage.

        Raises:
            StepFailed: it was damaged in the cache. `name` tells people what it is.
        """
        if not self.cas.verify(artefact.digest, again=False):
            raise self._damaged(artefact.digest, name, "read")
        return self.cas.path(artefact.digest)

    def _damaged(self, digest: str, name: str, when: str) -> StepFailed:
        """Put the artefact aside, so that it is made again: the error to raise."""
        if not self.ledger.readonly:
            self.forget(digest, f"its content was not its digest's when it was {when}")
        return StepFailed(
            f"{name} was damaged in the cache",
            why="its content changed after it was made",
            hint="run the same command again: what is damaged is made anew",
        )

    def withdraw(self, destination: Path) -> bool:
        """Delete a file that an earlier run delivered there: whether it did. One that was changed since, or was
        never ours, stays."""
        if destination.is_symlink() or not destination.is_file():
            return False
        size, place = destination.stat().st_size, str(destination.absolute())
        ours = {digest for digest, path, _ in self.ledger.deliveries() if path == place}
        if not any(deliver.holds(destination, Artefact(digest, size, "")) for digest in ours):
            return False
        destination.unlink(missing_ok=True)
        return True

    # -- runs

    @contextmanager
    def run_lock(self, run_id: str) -> Iterator[None]:
        """Hold it for a run's whole life, from before `start_run`, so that others know the run lives."""
        self._hold(run_id)
        try:
            yield
        finally:
            with self._guard:
                lock = self._runs.pop(run_id, None)
            if lock is not None:
                lock.__exit__()

    @contextmanager
    def workspace(self, run_id: str) -> Iterator[Path]:
        """An empty folder on the artefacts' file system, removed in the end."""
        self._hold(run_id)
        folder = self.tmp_folder / run_id / new_id()
        with file_faults(folder, STORE_HINT):
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # another step of the run is at work there
                folder.parent.rmdir()

    def _hold(self, run_id: str) -> None:
        self._must_write()
        with self._guard:
            if run_id not in self._runs:
                self._runs[run_id] = RunLock(self.locks_folder, run_id).__enter__()

    def is_alive(self, run_id: str) -> bool:
        """Whether some process is performing the run."""
        return RunLock.is_alive(self.locks_folder, run_id)

    @contextmanager
    def alone(self, timeout: float) -> Iterator[None]:
        """Keep every other command out of the store that might write.

        Raises:
            Busy: others were still at work after `timeout` seconds.
        """
        self._must_write()
        self._flush()
        self._cache_lock.switch(exclusive=True, timeout=timeout)
        try:
            yield
        finally:
            self._cache_lock.switch(exclusive=False, timeout=timeout)

    def stale_folders(self, *, alone: bool = False) -> list[Path]:
        """Folders of runs and files on their way in that nobody living will use. `alone`: nobody else is at work."""
        stale = [path for path in _entries(self.tmp_folder) if not self.is_alive(path.name)]
        for path in _entries(self.cas.incoming):
            # A file on its way in does not say whose it is.
            with suppress(FileNotFoundError):
                if alone or time.time() - path.stat().st_mtime > _INCOMING_SECONDS:
                    stale.append(path)
        return stale

    def _clear_after_the_dead(self, alone: bool) -> None:
        self.ledger.mark_lost_runs(self.is_alive)
        self.uses.clear()
        for path in self.stale_folders(alone=alone):
            remove(path)
        for path in _entries(self.locks_folder / "runs"):
            lock = FileLock(path)
            if lock.try_acquire(exclusive=True):
                lock.release(remove=True)

    def _flush(self) -> None:
        with self._guard:
            used, self._used = self._used, set()
            self._flushed = time.monotonic()
        if used and not self.ledger.readonly:
            self.ledger.touch(used)


def cache_lock(cache: Path) -> FileLock:
    """Shared by every store that is open for writing; who holds it alone knows that there is none."""
    return FileLock(cache / "locks" / "cache", what="the cache")


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
