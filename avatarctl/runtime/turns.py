"""When a run's steps begin: each after its inputs are known, and those of one stage in the order of the film.

Two sentences are spoken side by side, and the second may be ready first. Its face is drawn after the first one's all
the same: whoever watches a film as it is made waits for its beginning.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from avatarctl.errors import StepFailed
from avatarctl.runtime.handles import Handle
from avatarctl.store.model import Manifest


def when_known(
    inputs: Sequence[Handle],
    known: Callable[[], None],
    failed: Callable[[BaseException], None],
    nearly: Callable[[], None],
) -> None:
    """Call `known` when all these steps are done, on the thread that ended the last one; `failed` for each that did not
    end well; `nearly` as soon as only one of them is not done."""
    if not inputs:
        known()
        return
    others = dict.fromkeys(inputs)
    left = len(others)
    guard = threading.Lock()

    def one_done(future: Future[Manifest]) -> None:
        nonlocal left
        if future.exception() is not None:
            failed(future.exception() or StepFailed("a step before it failed"))
            return
        with guard:
            left -= 1
            now = left
        if now == 1:
            nearly()
        elif now == 0:
            known()

    if left == 1:
        nearly()
    for handle in others:
        handle.future.add_done_callback(one_done)


class Turns:
    """A line for each stage. Who enters has to `begin` or to `leave` in the end. Safe for threads."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[int]] = {}
        self._waiting: set[int] = set()
        """Who stands in a line."""
        self._ready: dict[int, Callable[[], None]] = {}
        self._busy: set[str] = set()
        """Stages of which a thread lets steps begin; it goes on as long as the first in line is ready."""
        self._guard = threading.Lock()

    def enter(self, handle: Handle) -> None:
        """Stand in line, behind the steps of the same stage that were asked for before."""
        with self._guard:
            self._lines.setdefault(handle.stage, deque()).append(handle.index)
            self._waiting.add(handle.index)

    def begin(self, handle: Handle, work: Callable[[], None]) -> None:
        """Call `work` when all before it have begun or left: now, or on the thread of the last of them.

        A step that has had its turn, and begins otherwise, does not wait again.
        """
        with self._guard:
            waits = handle.index in self._waiting
            if waits:
                self._ready[handle.index] = work
        if waits:
            self._advance(handle.stage)
        else:
            work()

    def leave(self, handle: Handle) -> None:
        """It need not begin any more: it was taken from the cache, or something failed."""
        with self._guard:
            if handle.index in self._waiting:
                self._ready[handle.index] = _nothing
        self._advance(handle.stage)

    def _advance(self, stage: str) -> None:
        line = self._lines[stage]
        while True:
            with self._guard:
                if stage in self._busy or not line or line[0] not in self._ready:
                    return
                first = line.popleft()
                self._waiting.remove(first)
                work = self._ready.pop(first)
                self._busy.add(stage)
            try:
                work()
            except BaseException:
                # A signal. Those behind have to come to their end, too.
                self._let_others(stage)
                self._advance(stage)
                raise
            self._let_others(stage)

    def _let_others(self, stage: str) -> None:
        with self._guard:
            self._busy.discard(stage)


def _nothing() -> None: ...
