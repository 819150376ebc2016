"""What the companies' services have in common: where they are, the key, their refusals, and when to ask again.

Where a service lies is read from the environment alone. A settings file that came with somebody's folder must not be
able to send a key elsewhere.
"""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any, TypeVar

from avatarctl.engines.chat import address as addresses
from avatarctl.engines.chat import transport
from avatarctl.engines.chat.address import Address
from avatarctl.engines.chat.follow import Line, follow
from avatarctl.engines.contract import Cancelled, Cloud, Job
from avatarctl.errors import AvatarctlError, Offline, StepFailed, Unavailable

_Made = TypeVar("_Made")
PAUSES = [1.0, 2.0, 4.0]
"""Seconds before the second, third, ... attempt where a service that is busy does not say how long to wait."""
LONGEST_PAUSE = 60.0
"""Seconds. Who is asked to wait for longer is told so instead."""
_LOOK = 0.1
"""Seconds between looks at whether the run goes on."""


class CloudEngine:
    """What all of these engines do alike: they hold nothing between steps, and run elsewhere."""

    device = "server"

    def load(self, models: Mapping[str, Path]) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to close."""


def address_of(cloud: Cloud) -> Address:
    """Where a company's interface is reached. Raises `Offline` where `AVATARCTL_OFFLINE` forbids going there."""
    found = addresses.parse(os.environ.get(cloud.url_variable) or cloud.url, cloud.url_variable)
    if not found.loopback and addresses.offline():
        raise Offline(
            f"{cloud.title} is not this machine, and AVATARCTL_OFFLINE forbids the network",
            hint="choose an engine that runs here, or unset AVATARCTL_OFFLINE",
        )
    return found


def key_for(cloud: Cloud, address: Address) -> str:
    """The user's key. Raises `Unavailable` where there is none, or none that may be sent there."""
    variable = cloud.key_variable
    found = address.secret(variable)
    if not found:
        kept_back = os.environ.get(variable, "").strip()
        why = f"it is sent over https only, and {cloud.url_variable} names {address.url}" if kept_back else ""
        raise Unavailable(f"{cloud.title} wants a key", why=why, hint=f"export {variable}=...")
    return found


@dataclass(frozen=True)
class Service:
    """How a company's interface is spoken to."""

    cloud: Cloud
    header: str
    """Of the key: its name."""
    scheme: str = ""
    """What stands before the key in the header."""

    def headers(self, key: str) -> dict[str, str]:
        """Of every request."""
        return {**transport.headers(""), self.header: f"{self.scheme}{key}"}

    def refused(self, status: int, headers: HTTPMessage, body: bytes, key: str) -> AvatarctlError:
        """What a status other than 2xx means to a user."""
        title, told = self.cloud.title, transport.told(body, key)
        if status in (401, 403):
            return Unavailable(
                f"{title} does not accept the key", why=told, hint=f"look at {self.cloud.key_variable} and its rights"
            )
        if status == 402:
            return Unavailable(f"{title} wants to be paid first", why=told, hint="look at your account there")
        if status == 429 or (status == 503 and headers.get("Retry-After")):
            return Hurried(title, told, seconds_to_wait(headers.get("Retry-After", "")))
        if 300 <= status < 400:
            return Unavailable(
                f"{title} sends elsewhere", why=f"status {status}", hint=f"look at {self.cloud.url_variable}"
            )
        if 400 <= status < 500:
            return Refused(f"{title} refused the request", why=f"status {status}: {told}", hint="look at the params")
        return StepFailed(f"{title} is in trouble", why=f"status {status}: {told}", hint="try again later")


class Refused(StepFailed):
    """The service says no, and has done nothing."""


class Away(Unavailable):
    """Nobody answers there."""


class Hurried(StepFailed):
    """The service has had too many requests. `seconds`: when to come again, as far as it says so."""

    def __init__(self, title: str, told: str, seconds: float | None) -> None:
        when = "" if seconds is None else f" in {seconds:.0f} s"
        super().__init__(
            f"{title} has too much to do", why=told, hint=f"try again{when}, or look at your plan's limits"
        )
        self.title = title
        self.seconds = seconds


def seconds_to_wait(text: str) -> float | None:
    """The header Retry-After (RFC 9110, 10.2.3): seconds, or a date. None where it says nothing of use."""
    text = text.strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def patiently(job: Job, attempt: Callable[[], _Made]) -> _Made:
    """What `attempt` makes, tried again where the service wants it later.

    Raises:
        Hurried: it wants that still, or much later.
    """
    for pause in PAUSES:
        try:
            return attempt()
        except Hurried as busy:
            seconds = pause if busy.seconds is None else busy.seconds
            if seconds > LONGEST_PAUSE:
                raise
            job.note(f"{busy.title} has too much to do; asking again in {seconds:.0f} s")
        wait(job, seconds)
    return attempt()


def wait(job: Job, seconds: float) -> None:
    """Raises `Cancelled` when the run ends meanwhile."""
    until = time.monotonic() + seconds
    while True:
        if job.cancelled():
            raise Cancelled
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _LOOK))


@dataclass(frozen=True)
class Request:
    """`path` follows the service's address; `body` is read from its beginning each time."""

    method: str
    path: str
    body: bytes | IO[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """`status` is 2xx."""

    headers: HTTPMessage
    body: bytes

    def document(self, title: str) -> dict[str, Any]:
        """The JSON object that it has to be. Raises `StepFailed`."""
        import json

        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise nonsense(title, str(error)) from error
        if not isinstance(found, dict):
            raise nonsense(title, "no JSON object")
        return found


def nonsense(title: str, why: str) -> StepFailed:
    """The service does not keep to what it documents."""
    return StepFailed(f"{title} answered what cannot be understood", why=transport.told(why), hint="try again later")


def ask(service: Service, job: Job, request: Request, *, patience: float, setting: str) -> Reply:
    """Send a request and read the whole reply, once.

    Raises:
        Unavailable, StepFailed: `Service.refused`, or nobody answers, or the connection breaks.
        Cancelled: the run ends; the connection is closed.
    """
    address = address_of(service.cloud)
    key = key_for(service.cloud, address)

    def talk(line: Line) -> Iterator[Reply]:
        yield _exchanged(service, address, key, request, line)

    with closing(follow(talk, cancelled=job.cancelled, patience=patience, setting=setting)) as replies:
        return next(replies)


def _exchanged(service: Service, address: Address, key: str, request: Request, line: Line) -> Reply:
    with closing(connected(service, address, line)) as link:
        try:
            if not isinstance(request.body, bytes):
                request.body.seek(0)
            headers = {**service.headers(key), **request.headers}
            link.request(request.method, address.path + request.path, request.body or None, headers)
            with link.getresponse() as reply:
                data = reply.read(transport.MOST_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise broke_off(service.cloud.title, error, key) from error
    if len(data) > transport.MOST_BYTES:
        raise nonsense(service.cloud.title, "its answer is far too long")
    if not 200 <= reply.status < 300:
        raise service.refused(reply.status, reply.headers, data, key)
    return Reply(reply.headers, data)


def connected(service: Service, address: Address, line: Line) -> http.client.HTTPConnection:
    """A connection that stands, and that the line may break. How long to wait is `follow`'s to decide."""
    link = transport.connection(address, transport.CONNECT_SECONDS)
    try:
        link.connect()
    except OSError as error:
        raise Away(
            f"{service.cloud.title} does not answer at {address.url}",
            why=str(error),
            hint="look at the connection to the internet, and try again",
        ) from error
    link.sock.settimeout(None)
    line.opened(link.sock)
    return link


def broke_off(title: str, error: Exception, key: str) -> StepFailed:
    """The connection is gone."""
    why = transport.told(str(error) or type(error).__name__, key)
    return StepFailed(f"{title} broke off", why=why, hint="try again")
