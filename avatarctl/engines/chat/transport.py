"""HTTP to a model server by the standard library alone: one small JSON document, or a stream of bytes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from avatarctl import __version__
from avatarctl.engines.chat.address import Address

CONNECT_SECONDS = 5.0
REPLY_SECONDS = 15.0
"""For small questions about models, which a server answers at once even while it computes."""
MOST_BYTES = 8 << 20
_BLOCK = 1 << 16
_TOLD = 300
"""Characters of a server's own words in an error."""


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
        Unreachable: no answer within `REPLY_SECONDS`.
    """
    try:
        with closing(connection(address, CONNECT_SECONDS)) as link:
            link.connect()
            link.sock.settimeout(REPLY_SECONDS)
            link.request("GET", address.path + path, headers=headers(key))
            reply = link.getresponse()
            data = reply.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(str(error) or type(error).__name__) from error
    if len(data) > MOST_BYTES:
        raise Unreachable("its answer is far too long")
    return reply.status, _document(data)


def blocks(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    """A body as it arrives."""
    while block := reply.read1(_BLOCK):
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
