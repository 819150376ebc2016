"""Answers by any server with OpenAI's protocol: POST /chat/completions, streamed as server-sent events."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from avatarctl.engines.chat import transport
from avatarctl.engines.chat.address import Address, openai_address
from avatarctl.engines.chat.answer import Delta, perform
from avatarctl.engines.chat.events import events
from avatarctl.engines.chat.follow import Line
from avatarctl.engines.chat.identity import openai_away, openai_model, openai_unauthorised
from avatarctl.engines.chat.prompt import Message
from avatarctl.engines.chat.spec import OpenAiParams
from avatarctl.engines.chat.structured import NAME, SchemaRefused
from avatarctl.engines.contract import Job
from avatarctl.errors import AvatarctlError, StepFailed, Unavailable

_MOST_SEED = 2**31 - 1
_OF_SCHEMA = {400, 415, 422, 500, 501}
"""With which servers answer that do not take a schema, or this one."""
_BROKE_OFF = "the model server broke off in the middle of the answer"


class OpenAiEngine:
    """Stage `answer`. The key is read from the environment for each answer and kept nowhere."""

    def load(self, models: Mapping[str, Path]) -> None: ...

    def run(self, job: Job) -> None:
        """Raises `Unavailable` without server, model or key, `StepFailed` when the stream breaks, and what
        `perform` does."""
        params: OpenAiParams = job.params
        address = openai_address(params.base_url)
        address.check_allowed()
        model, _ = openai_model(params)

        def talk(messages: list[Message], schema: Mapping[str, Any] | None, line: Line) -> Iterator[Delta]:
            body = {
                "model": model,
                "messages": messages,
                "stream": True,
                "temperature": params.temperature,
                "max_tokens": params.max_tokens,
                "seed": job.seed & _MOST_SEED,
            }
            if schema is None:
                yield from _talk(address, params, body, line)
                return
            for form in _forms(schema):
                with suppress(SchemaRefused):
                    yield from _talk(address, params, {**body, "response_format": form}, line)
                    return
            raise SchemaRefused

        perform(job, model, talk)

    def close(self) -> None: ...


def _forms(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """How servers want to be told a schema: OpenAI's way, and that of llama-cpp-python."""
    yield {"type": "json_schema", "json_schema": {"name": NAME, "strict": True, "schema": schema}}
    yield {"type": "json_object", "schema": schema}


def _talk(address: Address, params: OpenAiParams, body: Mapping[str, Any], line: Line) -> Iterator[Delta]:
    key = address.secret(params.key_variable)
    with closing(transport.connection(address, transport.CONNECT_SECONDS)) as link:
        try:
            link.connect()
        except OSError as error:
            raise openai_away(address) from error
        # How long to wait is `follow`'s to decide.
        link.sock.settimeout(None)
        line.opened(link.sock)
        try:
            headers = {**transport.headers(key), "Content-Type": "application/json"}
            link.request("POST", address.path + "/chat/completions", json.dumps(body), headers)
            with link.getresponse() as reply:
                if reply.status in _OF_SCHEMA and "response_format" in body:
                    raise SchemaRefused
                if reply.status != 200:
                    raise _refused(address, params, reply.status, reply.read(transport.MOST_BYTES), key)
                if reply.headers.get_content_type() == "application/json":
                    yield from _deltas(reply.read(transport.MOST_BYTES).decode("utf-8", "replace"), "message", key)
                    return
                yield from _streamed(transport.blocks(reply), key)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = transport.told(str(error) or type(error).__name__, key)
            raise StepFailed(_BROKE_OFF, why=why, hint="try again") from error


def _streamed(blocks: Iterable[bytes], key: str) -> Iterator[Delta]:
    for name, data in events(blocks):
        if data == "[DONE]":
            # Some servers give no reason; that they came to the end is one.
            yield Delta(finish="stop")
            return
        yield from _deltas(data, "error" if name == "error" else "delta", key)


def _deltas(data: str, field: str, key: str) -> Iterator[Delta]:
    """What one document adds. `field`: `delta` of a stream, `message` of a whole answer, or `error`.

    Thoughts stand in fields of their own (`reasoning_content`, `reasoning`), which are not looked at; a chunk about
    usage has no choices.
    """
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("a chunk that is no object")
    if field == "error" or document.get("error"):
        raise StepFailed("the model server could not answer", why=transport.told(document, key), hint="try again")
    for choice in document.get("choices") or ():
        if choice.get("index", 0) != 0:
            continue
        text = (choice.get(field) or {}).get("content")
        yield Delta(text if isinstance(text, str) else "", str(choice.get("finish_reason") or ""))


def _refused(address: Address, params: OpenAiParams, status: int, body: bytes, key: str) -> AvatarctlError:
    told = transport.told(body, key)
    if status in (401, 403):
        return openai_unauthorised(params, address, body, key)
    if status == 404:
        return Unavailable(
            f"the server {address.url} has no such model, or no /chat/completions",
            why=told,
            hint="look at answer.model, and at answer.base_url, which usually ends with /v1",
        )
    if status == 503:
        return Unavailable(f"the server {address.url} is not ready", why=told, hint="try again when it is")
    if 300 <= status < 400:
        return Unavailable(
            f"the server {address.url} sends elsewhere", why=f"status {status}", hint="give its own address"
        )
    return StepFailed("the model server could not answer", why=f"status {status}: {told}", hint="try again")
