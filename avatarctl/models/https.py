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
from avatarctl.models.entry import Model
from avatarctl.models.fetch import Progress, Refused

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before the second, third, ... connection for one file; what came over earlier ones is kept."""
TIMEOUT = 30.0
"""Seconds without a single byte after which a connection counts as broken."""

_BLOCK = 1 << 18
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class _Interrupted(Exception):
    """This attempt failed; another may not."""


def download(
    url: str,
    wanted: Model,
    parts: Path,
    progress: Progress,
    *,
    any_host: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bring the part file to its full length; the caller checks its digest.

    Args:
        any_host: it is a mirror that the user chose: asked twice at most, and plain http is accepted of any machine.
            That is sound for a file whose digest is known, and for no other.

    Raises:
        Refused: the address is refused or missing, or the file has another length.
        Unavailable: nobody answers there.
    """
    insecure = any_host and bool(wanted.sha256)
    _refuse_insecure(url, insecure)
    target = _Target(url, wanted, parts, insecure)
    # A mirror that is off must not cost much time: the next place is asked.
    for pause in (*(PAUSES[:1] if any_host else PAUSES), None):
        try:
            _attempt(target, progress)
            break
        except _Interrupted as error:
            if pause is None:
                raise Unavailable(
                    f"{wanted.name} could not be fetched in {len(PAUSES) + 1} attempts",
                    why=str(error),
                    hint=f"check the connection, then: avatarctl models pull {wanted.name} (it goes on from there)",
                ) from error
            sleep(pause)
    target.tag.unlink(missing_ok=True)


class _Target:
    """What is fetched, and where it grows. `exact`: its length in bytes; None while only a bound is known."""

    def __init__(self, url: str, wanted: Model, parts: Path, insecure: bool) -> None:
        self.url, self.wanted, self.insecure = url, wanted, insecure
        self.part, self.tag = parts / f"{wanted.name}.part", parts / f"{wanted.name}.etag.part"
        self.exact: int | None = wanted.size if wanted.sha256 else None

    def tag_of_part(self) -> str:
        """The tag that the server of this very address gave to what is here; empty if there is none."""
        try:
            address, _, etag = self.tag.read_text(encoding="utf-8").partition("\n")
        except (OSError, UnicodeDecodeError):
            return ""
        return etag if address == self.url else ""


def _attempt(target: _Target, progress: Progress) -> None:
    wanted, part = target.wanted, target.part
    have = part.stat().st_size if part.exists() else 0
    if have == target.exact:
        return
    if have > wanted.size:
        part.unlink()
        have = 0
    headers = {"User-Agent": f"avatarctl/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        # Another server's tag says nothing here; the digest tells in the end whether both had the same file.
        if etag := target.tag_of_part():
            headers["If-Range"] = etag
    try:
        opener = _opener(target.url, target.insecure)
        with opener.open(urllib.request.Request(target.url, headers=headers), timeout=TIMEOUT) as response:
            start, total = _start(response, target, have)
            _remember_tag(response.headers, target)
            _receive(response, target, start, total, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
            if target.exact is None and whole and int(whole[1]) == have:
                return
            part.unlink(missing_ok=True)
            raise _Interrupted("the server could not go on from where it stopped") from error
        if error.code in _AGAIN:
            raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
        raise _denied(target, error) from error
    except urllib.error.URLError as error:
        raise _Interrupted(str(error.reason)) from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


_REPORT = "try again later, or install the newest avatarctl"


def _denied(target: _Target, error: urllib.error.HTTPError) -> Refused:
    what, reason = f"{target.wanted.name} cannot be fetched", " ".join(str(error.reason).split())
    if 300 <= error.code < 400:
        why = f"{target.url} answers with redirects that lead nowhere ({error.code})"
        return Refused(what, why=why, hint="a proxy may want a login first; open the address in a browser")
    hint = _REPORT
    if error.code in (401, 403):
        hint = "its owner wants a login there; fetch it with a browser, and name its folder in [models] mirrors"
    return Refused(what, why=f"{target.url} answered {error.code} {reason}", hint=hint)


def _start(response: Any, target: _Target, have: int) -> tuple[int, int | None]:
    """From which byte on the answer counts, and the whole length, if it is told. A wrong one is refused at once."""
    length = response.headers.get("Content-Length")
    start, total = 0, int(length) if length and length.isdigit() else None
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not match or int(match[1]) != have:
            raise _Interrupted("the server sent another range than asked for")
        start, total = have, int(match[2]) if match[2] != "*" else None
    if target.exact is not None:
        if total is not None and total != target.exact:
            raise _wrong_length(target, str(total))
        return start, target.exact
    if total is not None and total > target.wanted.size:
        raise _wrong_length(target, str(total))
    return start, total


def _receive(response: Any, target: _Target, start: int, total: int | None, progress: Progress) -> None:
    done, wanted = start, target.wanted
    most = wanted.size if total is None else total
    with target.part.open("r+b" if target.part.exists() else "wb") as out:
        out.seek(start)
        out.truncate()
        while True:
            progress(wanted.name, done, most)
            # One byte more than there should be shows a file that is too long; reading it all would fill the disk.
            block = response.read1(min(_BLOCK, most + 1 - done))
            if not block:
                break
            done += len(block)
            if done > most:
                break
            out.write(block)
    if done > most:
        target.part.unlink()
        raise _wrong_length(target, "more")
    if total is not None and done < total:
        raise _Interrupted(f"the connection ended after {done} of {total} bytes")


def _wrong_length(target: _Target, got: str) -> Refused:
    most = "" if target.exact is not None else "at most "
    return Refused(
        f"{target.wanted.name}: length mismatch",
        why=f"the server has {got} bytes, not {most}{target.wanted.size}",
        hint=_REPORT,
    )


def _remember_tag(headers: Message, target: _Target) -> None:
    etag = headers.get("ETag", "")
    # A weak tag does not promise the same bytes, so it must not be used with If-Range.
    if etag.startswith('"'):
        target.tag.write_text(f"{target.url}\n{etag}", encoding="utf-8")
    else:
        target.tag.unlink(missing_ok=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_insecure(url: str, insecure: bool) -> None:
    address = urllib.parse.urlsplit(url)
    host = address.hostname or ""
    if address.scheme == "https" and host:
        return
    if address.scheme == "http" and host and (insecure or _is_loopback(host)):
        return
    raise Refused(f"{url} is refused", why="models come over https only", hint=_REPORT)


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, insecure: bool) -> None:
        self._insecure = insecure

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _refuse_insecure(newurl, self._insecure)
        except Refused:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str, insecure: bool) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_SecureRedirects(insecure)]
    if _is_loopback(urllib.parse.urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)
