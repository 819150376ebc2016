"""What living commands rely on, so that garbage can be collected beside them.

Every store that is open for writing notes each artefact that it was asked for, took in or made, in a file of its own
below `locks/uses/`, which it holds locked for as long as it lives. Noting and handing out happen behind a gate that
many pass at once and a collection closes: what was handed out before is noted, and what is asked for after it is either
still there or known to be gone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avatarctl.store.cas import write_all
from avatarctl.store.faults import STORE_HINT, file_faults
from avatarctl.store.ids import new_id
from avatarctl.store.keys import is_digest
from avatarctl.store.locks import FileLock

GATE_SECONDS = 600.0
"""How long a command waits for a collection; one takes seconds."""


class Uses:
    """One store's notes, and a look at everybody else's. Threads may share it."""

    def __init__(self, locks: Path) -> None:
        self._folder = locks / "uses"
        self._gate = locks / "gate"
        self._guard = threading.Lock()
        self._lock: FileLock | None = None
        self._file = -1
        self._noted: set[str] = set()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Hold it from before artefacts are looked for until they are noted; not nested around a `closed`."""
        with FileLock(self._gate, what="the cache").shared(GATE_SECONDS):
            yield

    @contextmanager
    def closed(self, timeout: float) -> Iterator[None]:
        """Nobody is handed anything meanwhile.

        Raises:
            Busy: others were still handing out after `timeout` seconds.
        """
        with FileLock(self._gate, what="the cache").exclusive(timeout):
            yield

    def note(self, digests: Iterable[str]) -> None:
        """These are relied on until `end`. Call it while `passing`."""
        with self._guard:
            fresh = set(digests) - self._noted
            if not fresh:
                return
            with file_faults(self._folder, STORE_HINT):
                if self._lock is None:
                    self._begin()
                write_all(self._file, "".join(f"{digest}\n" for digest in sorted(fresh)).encode())
            self._noted |= fresh

    def _begin(self) -> None:
        lock = FileLock(self._folder / new_id())
        lock.acquire(exclusive=True, timeout=10.0)
        self._file = os.open(lock.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._lock = lock

    def of_others(self) -> set[str]:
        """Digests that other living stores noted. Files of dead ones are left to `clear`."""
        found: set[str] = set()
        for path in self._files():
            lock = FileLock(path)
            if lock.try_acquire(exclusive=False):
                lock.release()
                continue
            with suppress(FileNotFoundError):
                # The last line may be in the middle of being written; it is noted before it is handed out.
                found.update(line for line in path.read_text("ascii", "replace").splitlines() if is_digest(line))
        return found

    def clear(self) -> None:
        """Remove the files of stores that died."""
        for path in self._files():
            lock = FileLock(path)
            if lock.try_acquire(exclusive=True):
                lock.release(remove=True)

    def end(self) -> None:
        """Nothing is relied on any more."""
        with self._guard:
            lock, self._lock = self._lock, None
            if lock is not None:
                os.close(self._file)
                lock.release(remove=True)
            self._noted.clear()

    def _files(self) -> list[Path]:
        try:
            return [path for path in sorted(self._folder.iterdir()) if self._lock is None or path != self._lock.path]
        except FileNotFoundError:
            return []
