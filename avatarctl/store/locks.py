"""Locks between processes, by `flock`: the kernel gives them back when their owner dies, however it dies.

A lock belongs to one opening of a file, so threads of one process exclude each other as processes do.
A forked child shares its parent's locks; a started program (`exec`) does not.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from avatarctl.errors import Busy, Unavailable
from avatarctl.store.faults import STORE_HINT, file_faults

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.1


class Abandoned(Exception):
    """Waiting for a lock was given up because `cancelled()` said so."""


def _never() -> bool:
    return False


class FileLock:
    """A lock file, for one holder or for many readers. An instance holds at most one lock at a time."""

    def __init__(self, path: Path, *, what: str = "this") -> None:
        """`what` names the guarded thing in the message of `Busy`."""
        self.path = path
        self._what = what
        self._descriptor: int | None = None

    @contextmanager
    def shared(self, timeout: float = 0.0, cancelled: Callable[[], bool] = _never) -> Iterator[None]:
        """Hold it together with other readers. Raises `Busy` after `timeout` seconds."""
        self.acquire(exclusive=False, timeout=timeout, cancelled=cancelled)
        try:
            yield
        finally:
            self.release()

    @contextmanager
    def exclusive(self, timeout: float = 0.0, cancelled: Callable[[], bool] = _never) -> Iterator[None]:
        """Hold it alone. Raises `Busy` after `timeout` seconds."""
        self.acquire(exclusive=True, timeout=timeout, cancelled=cancelled)
        try:
            yield
        finally:
            self.release()

    def acquire(self, *, exclusive: bool, timeout: float = 0.0, cancelled: Callable[[], bool] = _never) -> None:
        """Take the lock.

        Raises:
            Busy: it was not had within `timeout` seconds.
            Abandoned: `cancelled()` became true meanwhile.
            Unavailable: the file cannot be made, or its file system has no locks.
        """
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while not self.try_acquire(exclusive=exclusive):
            if cancelled():
                raise Abandoned
            left = deadline - time.monotonic()
            if left <= 0:
                raise Busy(
                    f"another avatarctl is using {self._what}",
                    why=f"waited {timeout:g} s",
                    hint="try again when it is done",
                )
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def try_acquire(self, *, exclusive: bool) -> bool:
        """Take the lock if it is free."""
        if self._descriptor is not None:
            raise RuntimeError(f"{self.path.name} is held already")
        with file_faults(self.path, STORE_HINT):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if _flock(descriptor, exclusive, self.path) and _still_there(descriptor, self.path):
                self._descriptor, descriptor = descriptor, -1
                return True
            return False
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def switch(self, *, exclusive: bool, timeout: float = 0.0) -> None:
        """Change the held lock to the other kind. Not atomic: another may hold it alone in between.

        Raises:
            Busy: the wanted kind was not had; the former one is held again.
        """
        self.release()
        try:
            self.acquire(exclusive=exclusive, timeout=timeout)
        except BaseException:
            self.acquire(exclusive=not exclusive, timeout=max(timeout, 30.0))
            raise

    def release(self, *, remove: bool = False) -> None:
        """Give it back. `remove` deletes the file first, which only its one exclusive holder may do."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            if remove:
                self.path.unlink(missing_ok=True)
            # Said aloud, because a forked child that still has the file open would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)


def _flock(descriptor: int, exclusive: bool, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise Unavailable(
                f"the file system of {path.parent} has no locks",
                why=error.strerror or str(error),
                hint="set AVATARCTL_HOME to a folder on a local disk",
            ) from error
        raise
    return True


def _still_there(descriptor: int, path: Path) -> bool:
    # Its last holder may have deleted the file between our open and our lock: then others lock another file.
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)


@contextmanager
def key_lock(folder: Path, key: str, timeout: float, cancelled: Callable[[], bool] = _never) -> Iterator[None]:
    """Single flight: while one holds the lock of a step's key, others that want the same step wait.

    Raises:
        Busy: not had within `timeout` seconds.
        Abandoned: `cancelled()`, asked at least every 0.1 s, became true.
    """
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    lock = FileLock(folder / "steps" / name, what="this step")
    lock.acquire(exclusive=True, timeout=timeout, cancelled=cancelled)
    try:
        yield
    finally:
        lock.release(remove=True)


class RunLock:
    """Held for the whole life of a run, so that others can tell a living run from a dead one."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._lock = FileLock(folder / "runs" / run_id, what=f"run {run_id}")

    def __enter__(self) -> RunLock:
        # A neighbour that only looks holds it for an instant.
        self._lock.acquire(exclusive=True, timeout=10.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release(remove=True)

    @staticmethod
    def is_alive(folder: Path, run_id: str) -> bool:
        """Whether some process, this one included, holds the run's lock."""
        path = folder / "runs" / run_id
        if not path.exists():
            return False
        probe = FileLock(path)
        if not probe.try_acquire(exclusive=False):
            return path.exists()
        probe.release()
        return False
