"""What a cluster's head knows, asked by a thread of its own: Ray waits a minute for a head that is gone, saying
nothing, and then ends the whole process.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from avatarctl.runtime.executors import ClusterLost

REACHABLE = 5.0
"""Seconds within which a machine takes a connection, if it lives. Its kernel does that, however busy its programs."""
SILENT = 20.0
"""Seconds without an answer after which the head is given up. It must be well below Ray's own minute."""
_OLD = 10.0
"""Seconds without an answer after which nothing is believed to be as it was."""
_PERIOD = 1.0
"""Seconds between two questions."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""A frame without any: three bytes of length, the type, a byte of flags, four of a stream's number."""
_FRAME_HEADER = 9
"""Bytes."""

Nodes = list[dict[str, Any]]


def answers(host: str, port: int) -> bool:
    """Whether a program takes connections there."""
    try:
        socket.create_connection((host, port), timeout=REACHABLE).close()
    except OSError:
        return False
    return True


def speaks(host: str, port: int) -> str:
    """Why what takes connections there cannot be Ray's head, which speaks gRPC; empty if it can.

    Ray itself asks for minutes, whoever answers, and says nothing meanwhile. So the first bytes of HTTP/2 are exchanged
    (RFC 9113, 3.4): each side begins with its settings.
    """
    try:
        with socket.create_connection((host, port), timeout=REACHABLE) as link:
            link.sendall(_PREFACE + _SETTINGS)
            until = time.monotonic() + REACHABLE
            said = b""
            while len(said) < _FRAME_HEADER:
                link.settimeout(max(0.001, until - time.monotonic()))
                piece = link.recv(_FRAME_HEADER - len(said))
                if not piece:
                    return "it closes the connection"
                said += piece
    except TimeoutError:
        return f"it takes the connection, and says nothing for {REACHABLE:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return "" if said[3] == _SETTINGS[3] else "it speaks another protocol"


class Head:
    """The machines of a cluster, as its head knows them; threads may ask at once."""

    def __init__(self, address: str, ask: Callable[[], Nodes]) -> None:
        """`address`: `host:port` of the head. `ask`: what machines there are; it may block."""
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._ask = ask
        self._nodes: Nodes = ask()
        self._asked = self._told = time.monotonic()
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="head of ray", daemon=True)
        self._thread.start()

    def nodes(self) -> Nodes:
        """Machines, those that were lost too; a second old. None while the head is silent.

        Raises:
            ClusterLost: it has been silent for too long.
        """
        self.check()
        return [] if self.is_silent() else self._nodes

    def is_silent(self) -> bool:
        """Whether the last answer is too old to be believed."""
        return time.monotonic() - self._told > _OLD

    def nodes_now(self) -> Nodes:
        """The same, as they are from now on; as they were, if the head does not say so soon."""
        now = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._asked > now, timeout=REACHABLE)
            return self._nodes

    def check(self) -> None:
        """Raises `ClusterLost` once the head is gone for good. A process that was halted itself asks first."""
        if time.monotonic() - self._told < SILENT or answers(*self._address):
            return
        host, port = self._address
        raise ClusterLost(
            f"the head of the Ray cluster {host}:{port} is gone",
            why="what is finished is kept",
            hint="ray start --head there, and on the other machines; then the same command, or --executor local",
        )

    def close(self) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join(REACHABLE)

    def _watch(self) -> None:
        while not self._over.wait(_PERIOD):
            asked = time.monotonic()
            try:
                nodes = self._ask()
            except Exception:
                # Whatever it is, it is no answer; `check` says what that means.
                continue
            with self._changed:
                self._nodes, self._asked, self._told = nodes, asked, time.monotonic()
                self._changed.notify_all()
