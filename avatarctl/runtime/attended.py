"""Engines of this process, whose work cannot be killed: one that does not stop when it is asked is given up.

It works on a thread of its own, and whoever waits for it waits no longer than `GRACE` once its run is cancelled. So a
lane is free again, a job ends when its time is over, and a signal ends a command. What is left of it, a thread that
writes into a folder which nobody reads, lives as long as the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from avatarctl.engines.contract import Cancelled
from avatarctl.engines.worker.process import GRACE as GRACE

_LOOK = 0.1
"""Seconds between looks at whether the run goes on."""
_left = threading.Event()


class GivenUp(Cancelled):
    """The run was cancelled, and what it had begun did not stop in time: nobody may use that engine any more."""


def attended(work: Callable[[], None], cancelled: Callable[[], bool], grace: float = GRACE) -> None:
    """Call `work` and wait for its end.

    Raises:
        GivenUp: `cancelled()` became true, and `work` was not over `grace` seconds later.
        BaseException: whatever `work` raised.
    """
    over = threading.Event()
    failed: BaseException | None = None

    def perform() -> None:
        nonlocal failed
        try:
            work()
        except BaseException as error:
            failed = error
        finally:
            over.set()

    threading.Thread(target=perform, name="engine", daemon=True).start()
    stopping: float | None = None
    while not over.wait(_LOOK):
        if stopping is None and cancelled():
            stopping = time.monotonic()
        if stopping is not None and time.monotonic() - stopping > grace:
            leave()
            raise GivenUp
    if failed is not None:
        try:
            raise failed
        finally:
            # Its traceback holds this frame.
            failed = None


def join(threads: Iterable[threading.Thread], seconds: float) -> None:
    """Wait for the end of threads that have little to do any more, so many seconds in all; then they are given up."""
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            leave()


def leave() -> None:
    """Something of this process is given up that neither ended nor can be made to."""
    _left.set()


def anything_left() -> bool:
    """Whether work was given up in this process: an orderly end of the interpreter might wait for it, or crash."""
    return _left.is_set()
