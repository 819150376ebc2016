"""Where a model server is, and whether one may go there.

Connections are direct: proxies of the environment are not used, since they would carry questions, and keys, past a
server that is meant to be this machine. A name and password in an address are refused, because addresses are kept
with every run.
"""

from __future__ import annotations

import ipaddress
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from avatarctl.errors import BadConfig, Offline

OLLAMA_PORT = 11434


@dataclass(frozen=True, slots=True)
class Address:
    """`path` begins with a slash or is empty, and ends with none."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def loopback(self) -> bool:
        """Whether it is this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    def secret(self, variable: str, environment: Mapping[str, str] = os.environ) -> str:
        """The key from that variable, or nothing. In clear text it goes to this machine only.

        Raises:
            BadConfig: no key looks like that.
        """
        key = environment.get(variable, "").strip()
        if any(not c.isprintable() or c.isspace() or ord(c) > 126 for c in key):
            raise BadConfig(f"the key in {variable} has characters that no key has", hint="copy it again")
        return key if self.scheme == "https" or self.loopback else ""

    def check_allowed(self, environment: Mapping[str, str] = os.environ) -> None:
        """Raises `Offline` for another machine where `AVATARCTL_OFFLINE` forbids the network."""
        if not self.loopback and offline(environment):
            raise Offline(
                f"the model server {self.url} is another machine, and AVATARCTL_OFFLINE forbids the network",
                hint="use a server on this machine, or unset AVATARCTL_OFFLINE",
            )


def offline(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `AVATARCTL_OFFLINE` forbids every connection to other machines."""
    return environment.get("AVATARCTL_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def ollama_address(host: str, environment: Mapping[str, str] = os.environ) -> Address:
    """As Ollama reads OLLAMA_HOST: `host`, `host:port`, `:port` or a URL. A server's 0.0.0.0 is this machine.

    Args:
        host: empty for OLLAMA_HOST, or for this machine where that is not set.
    """
    text = (host or environment.get("OLLAMA_HOST", "")).strip()
    default = OLLAMA_PORT if "://" not in text else None
    found = parse(text if "://" in text else f"http://{text}", "answer.host or OLLAMA_HOST", default, "127.0.0.1")
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return Address(found.scheme, anywhere.get(found.host, found.host), found.port, found.path)


def openai_address(base_url: str) -> Address:
    """A URL with the path before `/chat/completions`; `/v1` where it has none."""
    text = base_url.strip()
    found = parse(text if "://" in text else f"http://{text}", "answer.base_url")
    return found if found.path else Address(found.scheme, found.host, found.port, "/v1")


def parse(text: str, where: str, port: int | None = None, host: str = "") -> Address:
    """An http(s) URL. `where`: the name of the setting; `port`, `host`: for one that leaves them out.

    Raises:
        BadConfig: it is none, or holds more than an address.
    """
    # The text is not repeated in an error: it may hold a password.
    try:
        parts = urllib.parse.urlsplit(text)
        found = parts.hostname or host
        port = parts.port or port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise BadConfig(f"{where} is not an address", hint="write http://host:port") from None
    if parts.scheme not in ("http", "https") or not found or any(c.isspace() for c in text):
        raise BadConfig(f"{where} is not an address", hint="write http://host:port")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise BadConfig(
            f"{where} holds more than scheme, host, port and path",
            why="addresses are kept with every run, so no secret may be in them",
            hint="keep keys in environment variables",
        )
    return Address(parts.scheme, found, port, parts.path.rstrip("/"))
