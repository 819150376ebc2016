"""Which model a server would answer with: asked before a step is named, so that another model is another step.

Only the standard library is imported: an answer that is kept already needs no client.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from avatarctl.engines.chat import transport
from avatarctl.engines.chat.address import Address, offline, ollama_address, openai_address
from avatarctl.engines.chat.spec import OllamaParams, OpenAiParams
from avatarctl.errors import Offline, Unavailable

OLLAMA_KEY_VARIABLE = "OLLAMA_API_KEY"
"""Read by the official client too."""
_FINGERPRINT = ("n_params", "size", "n_vocab", "n_embd", "n_ctx_train", "vocab_type")
"""What llama.cpp tells of the weights themselves. Others, like `created`, change with every start."""
_MOST_NAMES = 8


def ollama(params: OllamaParams) -> dict[str, str]:
    """The digest of the model's manifest, from /api/tags.

    Raises:
        Unavailable: no server, no such model, or the model runs elsewhere and `AVATARCTL_OFFLINE` forbids that.
    """
    address = ollama_address(params.host)
    address.check_allowed()
    status, reply = _asked(address, "/api/tags", os.environ.get(OLLAMA_KEY_VARIABLE, ""), ollama_away(address))
    models = reply.get("models") if status == 200 and isinstance(reply, Mapping) else None
    if not isinstance(models, list):
        raise _strange(address, status, reply, os.environ.get(OLLAMA_KEY_VARIABLE, ""), "Ollama")
    for entry in models:
        if isinstance(entry, Mapping) and full_name(params.model) in {full_name(n) for n in names(entry)}:
            if offline() and entry.get("remote_host"):
                raise Offline(
                    f"the model {params.model} runs on another machine, and AVATARCTL_OFFLINE forbids the network",
                    hint="choose a model without -cloud in its name, or unset AVATARCTL_OFFLINE",
                )
            return {"model": str(entry.get("digest", "")).removeprefix("sha256:")}
    raise ollama_missing(params.model)


def ollama_models(host: str = "") -> list[str]:
    """Names of all models that the server has.

    Raises:
        Unavailable: no server, or none that may be asked.
    """
    address = ollama_address(host)
    address.check_allowed()
    key = os.environ.get(OLLAMA_KEY_VARIABLE, "")
    status, reply = _asked(address, "/api/tags", key, ollama_away(address))
    models = reply.get("models") if status == 200 and isinstance(reply, Mapping) else None
    if not isinstance(models, list):
        raise _strange(address, status, reply, key, "Ollama")
    return [found[0] for entry in models if isinstance(entry, Mapping) and (found := names(entry))]


def ollama_away(address: Address) -> Unavailable:
    """Nobody answers."""
    return Unavailable(
        f"no Ollama server answers at {address.url}",
        hint="start it with: ollama serve (or say where it is: OLLAMA_HOST or --set answer.host=...)",
    )


def ollama_missing(model: str) -> Unavailable:
    """The server does not have the model."""
    return Unavailable(f"Ollama does not have the model {model}", hint=f"ollama pull {model}")


def names(entry: Mapping[str, Any]) -> list[str]:
    return [str(entry[field]) for field in ("name", "model") if entry.get(field)]


def full_name(name: str) -> str:
    """Ollama's short names stand for longer ones, and letters' case means nothing to it."""
    name = name.strip().lower()
    for prefix in ("registry.ollama.ai/", "library/"):
        name = name.removeprefix(prefix)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def openai(params: OpenAiParams) -> dict[str, str]:
    """A digest of the model's name, and of what the server tells of its weights: there is no better one.

    Raises:
        Unavailable: no server, no such model, or a key is wanted.
    """
    name, entry = openai_model(params)
    meta = entry.get("meta")
    known = {k: meta[k] for k in _FINGERPRINT if k in meta} if isinstance(meta, Mapping) else {}
    # llama.cpp names a model by its file unless told otherwise, and a path has no place in a key.
    plain = PurePosixPath(name.replace("\\", "/")).name if name.lower().endswith(".gguf") else name
    identity = json.dumps({"id": plain, "meta": known}, sort_keys=True)
    return {"model": hashlib.sha256(identity.encode()).hexdigest()}


def openai_model(params: OpenAiParams) -> tuple[str, Mapping[str, Any]]:
    """Name and entry of the model in the server's list; an empty entry where the server has no list.

    Raises:
        Unavailable: no server, no such model, a choice is needed, or a key is wanted.
    """
    address = openai_address(params.base_url)
    address.check_allowed()
    key = address.secret(params.key_variable)
    status, reply = _asked(address, "/models", key, openai_away(address))
    if status in (404, 405, 501) and params.model:
        return params.model, {}
    if status in (401, 403):
        raise openai_unauthorised(params, address, reply, key)
    models = reply.get("data") if status == 200 and isinstance(reply, Mapping) else None
    if not isinstance(models, list):
        raise _strange(address, status, reply, key, "the model server")
    entries = {str(m["id"]): m for m in models if isinstance(m, Mapping) and m.get("id")}
    names = ", ".join(list(entries)[:_MOST_NAMES])
    if params.model in entries:
        return params.model, entries[params.model]
    if params.model:
        raise Unavailable(
            f"the server {address.url} does not have the model {params.model}",
            hint=f"--set answer.model=... with one of: {names}" if names else "load a model in the server",
        )
    if len(entries) != 1:
        what = f"the server {address.url} has {len(entries)} models" if entries else f"{address.url} has no model"
        raise Unavailable(what, hint=f"--set answer.model=... with one of: {names}" if names else "load one there")
    return next(iter(entries.items()))


def openai_away(address: Address) -> Unavailable:
    """Nobody answers."""
    return Unavailable(
        f"no model server answers at {address.url}",
        hint="start it (llama-server, vllm serve, LM Studio), or say where it is: --set answer.base_url=...",
    )


def openai_unauthorised(params: OpenAiParams, address: Address, reply: Any, key: str) -> Unavailable:
    """No key, a wrong one, or one that was kept back."""
    hint = f"export {params.key_variable}=..., or name another variable with --set answer.key_variable=..."
    if not key and os.environ.get(params.key_variable):
        hint = "a key is sent over https, or to this machine; give an https address with --set answer.base_url=..."
    return Unavailable(f"the server {address.url} wants another key", why=transport.told(reply, key), hint=hint)


def _asked(address: Address, path: str, key: str, away: Unavailable) -> tuple[int, Any]:
    try:
        return transport.get_json(address, path, key)
    except transport.Unreachable as error:
        away.why = str(error).replace(key, "***") if key else str(error)
        raise away from error


def _strange(address: Address, status: int, reply: Any, key: str, what: str) -> Unavailable:
    return Unavailable(
        f"what answers at {address.url} is not {what}, or it is in trouble",
        why=f"status {status}: {transport.told(reply, key)}",
        hint="look at the server, and at the address in the settings",
    )
