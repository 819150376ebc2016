"""Reading from a server on a thread of its own, so that a run can be stopped while the server says nothing.

A read that blocks can be neither asked nor hurried; but its socket can be shut down, which ends the read at once and
tells the server to stop computing.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import TypeVar

from avatarctl.engines.contract import Cancelled
from avatarctl.errors import StepFailed

_Item = TypeVar("_Item")
_LOOK = 0.1
"""Seconds between looks at whether the run goes on."""
_GOODBYE = 5.0
"""Seconds that a reader whose socket is shut down may take to notice."""


class Line:
    """A connection that another thread may break, even before it stands."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None
        self._broken = False

    def opened(self, link: socket.socket) -> None:
        """The reader has connected."""
        with self._guard:
            self._socket = link
            if self._broken:
                _shut(link)

    def hang_up(self) -> None:
        """End every read on it, now and later."""
        with self._guard:
            self._broken = True
            if self._socket is not None:
                _shut(self._socket)


def _shut(link: socket.socket) -> None:
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def follow(
    read: Callable[[Line], Iterator[_Item]],
    *,
    cancelled: Callable[[], bool],
    patience: float,
    setting: str = "answer.timeout",
) -> Generator[_Item, None, None]:
    """What `read` yields, as it comes. Close the generator to hang up (`contextlib.closing`).

    Args:
        read: connects, tells the line its socket, and reads; runs on a thread of its own.
        cancelled: asked ten times a second.
        patience: seconds without an item.
        setting: where a user says how patient to be.

    Raises:
        Cancelled: the run ends.
        StepFailed: nothing came for too long.
        BaseException: whatever `read` raised.
    """
    line = Line()
    items: queue.SimpleQueue[_Item | _End] = queue.SimpleQueue()

    def work() -> None:
        try:
            for item in read(line):
                items.put(item)
            items.put(_End(None))
        except BaseException as error:
            items.put(_End(error))

    reader = threading.Thread(target=work, name="model-server", daemon=True)
    reader.start()
    heard = time.monotonic()
    try:
        while True:
            if cancelled():
                raise Cancelled
            try:
                item = items.get(timeout=_LOOK)
            except queue.Empty:
                if time.monotonic() - heard > patience:
                    raise StepFailed(
                        f"the server has said nothing for {patience:g} s",
                        hint=f"try again, or be more patient with --set {setting}=...",
                    ) from None
                continue
            heard = time.monotonic()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        line.hang_up()
        reader.join(_GOODBYE)
