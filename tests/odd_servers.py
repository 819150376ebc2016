"""What takes connections on loopback and is no server: silent, dripping, gone in the middle."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Behaviour = Callable[[socket.socket], None]


def says_nothing(link: socket.socket) -> None:
    while link.recv(999):
        pass


def drips(link: socket.socket) -> None:
    """A reply whose headers have no end."""
    link.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        link.sendall(b"X-Drip: 1\r\n")
        time.sleep(0.05)


def breaks_off(link: socket.socket) -> None:
    """A reply that ends in the middle of its body."""
    link.recv(9999)
    link.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"models"')


def hangs_up(link: socket.socket) -> None:
    link.recv(1)


@contextmanager
def taking(behave: Behaviour) -> Iterator[str]:
    """The address of something that does so with each connection, on a thread of its own."""

    def one(link: socket.socket) -> None:
        with link, suppress(OSError):
            behave(link)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
