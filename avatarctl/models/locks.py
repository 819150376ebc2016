"""One process, and one thread of it, at a time: `flock` on a file of the models' folder, which dies with its owner."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from avatarctl.errors import Busy

FOLDER = ".pull"
"""Among the models: locks, and what is unfinished."""
TIMEOUT = 900.0
"""Seconds to wait for another process that fetches from the same source."""

_TICK = 0.05


def _nothing() -> None: ...


@contextmanager
def held(
    models_dir: Path, name: str, *, timeout: float | None = None, wait: Callable[[], None] = _nothing
) -> Iterator[None]:
    """Hold the lock of that name; `wait` is called while somebody else has it, and may raise.

    Raises:
        Busy: somebody else has it for `timeout` seconds (`TIMEOUT` if not given).
    """
    import fcntl

    folder = models_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + (TIMEOUT if timeout is None else timeout)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(
                        f"another process is fetching {name}", hint="wait for it, or stop it, and try again"
                    ) from None
                wait()
                time.sleep(_TICK)
        yield
    finally:
        os.close(descriptor)
