"""Whether a cluster's head lives. Ray itself waits a minute for it without a word, and then ends the whole process."""

from __future__ import annotations

import socket
import threading
import time

from avatarctl.runtime.executors import ClusterLost

REACHABLE = 5.0
"""Seconds within which a machine takes a connection, if it lives. Its kernel does that, however busy its programs."""
SILENT = 20.0
"""Seconds without an answer after which the head is given up. It must be well below Ray's own minute."""
_KNOWN = 1.0
"""Seconds that an answer is good for."""


def answers(host: str, port: int) -> bool:
    """Whether a program takes connections there."""
    try:
        socket.create_connection((host, port), timeout=REACHABLE).close()
    except OSError:
        return False
    return True


class Head:
    """The process that knows which machines and actors there are; threads may ask at once."""

    def __init__(self, address: str) -> None:
        """`address`: `host:port` of Ray's control store."""
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._guard = threading.Lock()
        self._asked = 0.0
        self._silent_since: float | None = None

    def answers(self) -> bool:
        """Whether it takes connections, or did a second ago."""
        with self._guard:
            if not self._asked or time.monotonic() - self._asked > _KNOWN:
                if answers(*self._address):
                    self._silent_since = None
                elif self._silent_since is None:
                    self._silent_since = time.monotonic()
                self._asked = time.monotonic()
            return self._silent_since is None

    def check(self) -> bool:
        """The same; but raises `ClusterLost` once it has been silent for too long."""
        if self.answers():
            return True
        since = self._silent_since
        if since is not None and time.monotonic() - since > SILENT:
            host, port = self._address
            raise ClusterLost(
                f"the head of the Ray cluster {host}:{port} is gone",
                why="what is finished is kept",
                hint="ray start --head there, and on the other machines; then the same command, or --executor local",
            )
        return False
