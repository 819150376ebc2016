"""What an Ollama server of this machine holds on its GPU, and how it is asked to let go (its docs/api.md).

A server answers the request to unload before the memory is free, so it is asked again until the model is gone from its
list. Nothing here is an error: a server that cannot be asked holds nothing that could be given back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import httpx
import ollama

from avatarctl.engines.chat import transport
from avatarctl.engines.chat.address import Address, ollama_address
from avatarctl.engines.chat.identity import OLLAMA_KEY_VARIABLE, full_name, names
from avatarctl.engines.chat.spec import OllamaParams

GONE_SECONDS = 15.0
"""How long a server may take to unload a model."""
OVER_WEIGHTS = 1.25
"""What a loaded model takes over the size of its file: the context and the buffers of a graph."""
_POLL_SECONDS = 0.05
_MB = 2**20

Models = frozenset[tuple[Address, str]]


def held_mb(used: Models) -> int:
    """GPU memory that servers hold for these models now, MiB."""
    return sum(_held(address, model) for address, model in used) // _MB


def wanted_mb(params: OllamaParams) -> int:
    """What the model of these params would take if all of it went to the GPU, MiB; 0 where nobody can say."""
    address = ollama_address(params.host)
    if not address.loopback:
        return 0
    sizes = [int(entry.get("size") or 0) for entry in _entries(address, "/api/tags") if _is(entry, params.model)]
    return round(max(sizes, default=0) * OVER_WEIGHTS) // _MB


def let_go(used: Models) -> None:
    """Have these models unloaded, and wait until the servers no longer list them."""
    loaded = [(address, model) for address, model in used if _held(address, model)]
    for address, model in loaded:
        try:
            with ollama.Client(address.url, timeout=GONE_SECONDS, follow_redirects=False, trust_env=False) as client:
                client.generate(model, keep_alive=0)
        except (ollama.ResponseError, httpx.HTTPError, OSError, ValueError):
            continue
    deadline = time.monotonic() + GONE_SECONDS
    while any(_held(address, model) for address, model in loaded) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _held(address: Address, model: str) -> int:
    """Bytes."""
    if not address.loopback:
        return 0
    return sum(int(entry.get("size_vram") or 0) for entry in _entries(address, "/api/ps") if _is(entry, model))


def _entries(address: Address, path: str) -> list[Mapping[str, Any]]:
    try:
        status, reply = transport.get_json(address, path, os.environ.get(OLLAMA_KEY_VARIABLE, ""))
    except transport.Unreachable:
        return []
    models = reply.get("models") if status == 200 and isinstance(reply, Mapping) else None
    return [entry for entry in models if isinstance(entry, Mapping)] if isinstance(models, list) else []


def _is(entry: Mapping[str, Any], model: str) -> bool:
    return full_name(model) in {full_name(name) for name in names(entry)}
