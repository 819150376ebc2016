"""HTTP to a model server by the standard library alone: one small JSON document, or a stream of bytes."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from avatarctl import __version__
from avatarctl.engines.chat.address import Address
from avatarctl.engines.chat.follow import Line, follow
from avatarctl.errors import StepFailed

CONNECT_SECONDS = 5.0
REPLY_SECONDS = 5.0
"""For small questions about models, connecting included: a server answers them at once even while it computes. Some who
ask cannot be stopped meanwhile, and a process that is told to end is expected to be gone within ten."""
SILENCE_SECONDS = 5.0
"""For so long a server that was silent is not asked again: who has ten questions for it waits once, not ten times."""
MOST_BYTES = 8 << 20
MOST_STREAMED = 64 << 20
"""Bytes of an answer that comes in pieces: some hundred for each of the most tokens that one may have."""
TOO_LONG = "its answer is far too long"
_BLOCK = 1 << 16
_TOLD = 300
"""Characters of a server's own words in an error."""


_silent: dict[tuple[str, int], float] = {}
"""Hosts and ports that gave no answer, and when: seconds of the monotonic clock."""


class Unreachable(Exception):
    """Nobody answers at that address, or what answers does not speak HTTP. The text says why."""


def connection(address: Address, timeout: float) -> http.client.HTTPConnection:
    """Not yet connected. `timeout`: seconds for each operation."""
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    return kind(address.host, address.port, timeout=timeout)


def headers(key: str) -> dict[str, str]:
    """Of every request; `key`: the server's secret, or nothing."""
    common = {"User-Agent": f"avatarctl/{__version__}", "Accept": "application/json, text/event-stream"}
    return {**common, "Authorization": f"Bearer {key}"} if key else common


def get_json(address: Address, path: str, key: str = "") -> tuple[int, Any]:
    """Status and document of a GET; the document is the text itself where that is not JSON.

    Raises:
        Unreachable: no whole answer within `REPLY_SECONDS`, however it drips; at once where that was found just before.
    """
    place = address.host, address.port
    if time.monotonic() - _silent.get(place, -SILENCE_SECONDS) < SILENCE_SECONDS:
        raise Unreachable(_no_answer())

    def ask(line: Line) -> Iterator[tuple[int, bytes]]:
        with closing(connection(address, CONNECT_SECONDS)) as link:
            link.connect()
            link.sock.settimeout(None)
            line.opened(link.sock)
            link.request("GET", address.path + path, headers=headers(key))
            with link.getresponse() as reply:
                data = reply.read(MOST_BYTES + 1)
                if reply.length and len(data) <= MOST_BYTES:
                    raise http.client.HTTPException("it broke off in the middle of its answer")
            yield reply.status, data

    try:
        with closing(follow(ask, cancelled=lambda: False, patience=REPLY_SECONDS)) as replies:
            status, data = next(replies)
    except (StepFailed, TimeoutError) as error:
        _silent[place] = time.monotonic()
        raise Unreachable(_no_answer()) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(str(error) or type(error).__name__) from error
    if len(data) > MOST_BYTES:
        raise Unreachable(TOO_LONG)
    return status, _document(data)


def _no_answer() -> str:
    return f"it gave no whole answer within {REPLY_SECONDS:g} s"


def blocks(reply: http.client.HTTPResponse, most: int = 0) -> Iterator[bytes]:
    """A body as it arrives. Raises `http.client.HTTPException` after `most` bytes; 0: after `MOST_STREAMED`."""
    left = most or MOST_STREAMED
    while block := reply.read1(_BLOCK):
        left -= len(block)
        if left < 0:
            raise http.client.HTTPException(TOO_LONG)
        yield block


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def told(document: Any, secret: str = "") -> str:
    """What a server says about its failure, on one line, without the secret that it may repeat."""
    if isinstance(document, bytes):
        document = _document(document)
    error = document.get("error", document) if isinstance(document, Mapping) else document
    words = (error.get("message") or error.get("err_msg") or error) if isinstance(error, Mapping) else error
    line = " ".join(str(words).split())
    if secret:
        line = line.replace(secret, "***")
    return line if len(line) <= _TOLD else line[: _TOLD - 1] + "…"
