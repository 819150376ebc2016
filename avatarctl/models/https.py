"""One file over HTTPS: resumed where it broke off, bounded in size, and never published unverified.

Resuming asks with `Range` and `If-Range` (RFC 9110, 13.1.5 and 14.2): a server whose file has changed, or that
knows no ranges, answers with the whole file, and the part starts over.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import IO, Any

from avatarctl import __version__
from avatarctl.errors import Unavailable
from avatarctl.models.catalog import Model
from avatarctl.models.fetch import Progress

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before the second, third, ... connection for one file; what came over earlier ones is kept."""
TIMEOUT = 30.0
"""Seconds without a single byte after which a connection counts as broken."""

_BLOCK = 1 << 18
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class _Interrupted(Exception):
    """This attempt failed; another may not."""


def part_of(parts: Path, wanted: Model) -> Path:
    """Where the file grows."""
    return parts / f"{wanted.name}.part"


def download(
    url: str, wanted: Model, parts: Path, progress: Progress, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Bring the part file to its full length; the caller checks its digest.

    Raises:
        Unavailable: the address is refused, missing or unreachable, or the file has another length.
    """
    _refuse_insecure(url)
    part, tag = part_of(parts, wanted), parts / f"{wanted.name}.etag.part"
    for pause in (*PAUSES, None):
        try:
            _attempt(url, wanted, part, tag, progress)
            break
        except _Interrupted as error:
            if pause is None:
                raise Unavailable(
                    f"{wanted.name} could not be fetched in {len(PAUSES) + 1} attempts",
                    why=str(error),
                    hint=f"check the connection, then: avatarctl models pull {wanted.name} (it goes on from there)",
                ) from error
            sleep(pause)
    tag.unlink(missing_ok=True)


def _attempt(url: str, wanted: Model, part: Path, tag: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have == wanted.size:
        return
    if have > wanted.size:
        part.unlink()
        have = 0
    headers = {"User-Agent": f"avatarctl/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag.exists():
            headers["If-Range"] = tag.read_text(encoding="utf-8")
    try:
        with _opener(url).open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
            start = _start(response, wanted, have)
            _remember_tag(response.headers, tag)
            _receive(response, wanted, part, start, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            part.unlink(missing_ok=True)
            raise _Interrupted("the server could not go on from where it stopped") from error
        if error.code in _AGAIN:
            raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
        raise Unavailable(
            f"{wanted.name} cannot be fetched", why=f"{url} answered {error.code} {error.reason}", hint=_REPORT
        ) from error
    except urllib.error.URLError as error:
        raise _Interrupted(str(error.reason)) from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


_REPORT = "try again later, or install the newest avatarctl"


def _start(response: Any, wanted: Model, have: int) -> int:
    """From which byte on the answer counts. A wrong total is refused before anything is written."""
    length = response.headers.get("Content-Length")
    start, total = 0, int(length) if length and length.isdigit() else None
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not match or int(match[1]) != have:
            raise _Interrupted("the server sent another range than asked for")
        start, total = have, int(match[2]) if match[2] != "*" else None
    if total is not None and total != wanted.size:
        raise _wrong_length(wanted, str(total))
    return start


def _receive(response: Any, wanted: Model, part: Path, start: int, progress: Progress) -> None:
    done = start
    with part.open("r+b" if part.exists() else "wb") as out:
        out.seek(start)
        out.truncate()
        while True:
            progress(wanted.name, done, wanted.size)
            # One byte more than there should be shows a file that is too long; reading it all would fill the disk.
            block = response.read1(min(_BLOCK, wanted.size + 1 - done))
            if not block:
                break
            done += len(block)
            if done > wanted.size:
                break
            out.write(block)
    if done > wanted.size:
        part.unlink()
        raise _wrong_length(wanted, "more")
    if done < wanted.size:
        raise _Interrupted(f"the connection ended after {done} of {wanted.size} bytes")


def _wrong_length(wanted: Model, got: str) -> Unavailable:
    return Unavailable(
        f"{wanted.name}: length mismatch", why=f"the server has {got} bytes, not {wanted.size}", hint=_REPORT
    )


def _remember_tag(headers: Message, tag: Path) -> None:
    etag = headers.get("ETag", "")
    # A weak tag does not promise the same bytes, so it must not be used with If-Range.
    if etag.startswith('"'):
        tag.write_text(etag, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_insecure(url: str) -> None:
    address = urllib.parse.urlsplit(url)
    host = address.hostname or ""
    if address.scheme == "https" and host:
        return
    if address.scheme == "http" and _is_loopback(host):
        return
    raise Unavailable(f"{url} is refused", why="models come over https only", hint=_REPORT)


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _refuse_insecure(newurl)
        except Unavailable:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_SecureRedirects()]
    if _is_loopback(urllib.parse.urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)
