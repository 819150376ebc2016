"""A file that a service has made, from wherever it lies. Its address is a secret: whoever knows it has the file."""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from avatarctl.engines.chat import address as addresses
from avatarctl.engines.chat import transport
from avatarctl.engines.chat.address import Address
from avatarctl.engines.chat.follow import Line, follow
from avatarctl.engines.cloud.service import nonsense
from avatarctl.engines.contract import Job
from avatarctl.errors import BadConfig, StepFailed

MOST_BYTES = 1 << 30
_MOST_HOPS = 4
_ATTEMPTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}


class _Elsewhere(Exception):
    """The file lies at another address."""

    def __init__(self, url: str) -> None:
        super().__init__("a redirect")
        self.url = url


def download(job: Job, url: str, path: Path, *, title: str, patience: float, setting: str) -> None:
    """Bring the file to `path`. No key goes along; a connection that breaks is tried again.

    Raises:
        StepFailed: it cannot be had, is too long, or lies where nothing is fetched from.
        Offline: it lies on another machine, and the network is forbidden.
        Cancelled: the run ends.
    """
    hops, failures = 0, 0
    while True:
        host, target = _located(url, title)
        try:
            with (
                path.open("wb") as out,
                closing(
                    follow(
                        partial(_blocks, host, target, title),
                        cancelled=job.cancelled,
                        patience=patience,
                        setting=setting,
                    )
                ) as blocks,
            ):
                for block in blocks:
                    out.write(block)
            return
        except _Elsewhere as redirect:
            hops += 1
            url = urllib.parse.urljoin(url, redirect.url)
            if hops > _MOST_HOPS:
                raise nonsense(title, "redirects without end") from redirect
        except (OSError, http.client.HTTPException) as error:
            failures += 1
            if failures == _ATTEMPTS:
                why = transport.told(str(error) or type(error).__name__)
                raise StepFailed(f"what {title} made cannot be fetched", why=why, hint="try again") from error


def _located(url: str, title: str) -> tuple[Address, str]:
    parts = urllib.parse.urlsplit(url)
    try:
        found = addresses.parse(f"{parts.scheme}://{parts.netloc}", "the address of a file")
    except (BadConfig, ValueError) as error:
        raise nonsense(title, "a file without an address") from error
    if found.scheme != "https" and not found.loopback:
        raise nonsense(title, "a file in clear text")
    found.check_allowed()
    return replace(found, path=""), urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))


def _blocks(host: Address, target: str, title: str, line: Line) -> Iterator[bytes]:
    with closing(transport.connection(host, transport.CONNECT_SECONDS)) as link:
        link.connect()
        link.sock.settimeout(None)
        line.opened(link.sock)
        link.request("GET", target, headers=transport.headers(""))
        with link.getresponse() as reply:
            if reply.status in _REDIRECTS and reply.headers.get("Location"):
                raise _Elsewhere(reply.headers["Location"])
            if reply.status != 200:
                raise StepFailed(f"what {title} made cannot be fetched", why=f"status {reply.status}", hint="try again")
            expected, done = reply.length, 0
            for block in transport.blocks(reply, MOST_BYTES + (1 << 20)):
                done += len(block)
                if done > MOST_BYTES:
                    raise nonsense(title, "a file that is far too long")
                yield block
            if expected is not None and done < expected:
                raise http.client.IncompleteRead(b"", expected - done)
