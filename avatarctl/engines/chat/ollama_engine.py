"""Answers by an Ollama server, through its official client (package `ollama`, MIT)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import ollama

from avatarctl.engines.chat import ollama_memory, transport
from avatarctl.engines.chat.address import Address, ollama_address
from avatarctl.engines.chat.answer import Delta, perform
from avatarctl.engines.chat.follow import Line
from avatarctl.engines.chat.identity import ollama_away, ollama_missing
from avatarctl.engines.chat.prompt import Message
from avatarctl.engines.chat.spec import OllamaParams
from avatarctl.engines.chat.structured import SchemaRefused
from avatarctl.engines.contract import Job
from avatarctl.errors import AvatarctlError, StepFailed, Unavailable

_MOST_SEED = 2**31 - 1
"""Ollama's runner keeps the seed in 32 bits."""
_OF_SCHEMA = {400, 500, 501}
"""With which servers answer that do not take a schema, or this one."""


class OllamaEngine:
    """Stage `answer`: /api/chat, streamed as lines of JSON."""

    def __init__(self) -> None:
        self._used: ollama_memory.Models = frozenset()
        """Models that this engine had loaded, and where."""

    def load(self, models: Mapping[str, Path]) -> None: ...

    def run(self, job: Job) -> None:
        """Raises `Unavailable` without server or model, `StepFailed` when the stream breaks, and what
        `perform` does."""
        params: OllamaParams = job.params
        address = ollama_address(params.host)
        address.check_allowed()
        self.expect(params)

        def talk(messages: list[Message], schema: Mapping[str, Any] | None, line: Line) -> Iterator[Delta]:
            return _talk(address, params, job.seed, messages, schema, line)

        perform(job, params.model, talk)

    def close(self) -> None: ...

    def expect(self, params: OllamaParams) -> None:
        """See `HoldsMemory`."""
        self._used |= {(ollama_address(params.host), params.model)}

    def held_mb(self) -> int:
        """See `HoldsMemory`."""
        return ollama_memory.held_mb(self._used)

    def wanted_mb(self, params: OllamaParams) -> int:
        """See `HoldsMemory`."""
        return ollama_memory.wanted_mb(params)

    def let_go(self) -> None:
        """See `HoldsMemory`."""
        ollama_memory.let_go(self._used)


def _talk(
    address: Address,
    params: OllamaParams,
    seed: int,
    messages: list[Message],
    schema: Mapping[str, Any] | None,
    line: Line,
) -> Iterator[Delta]:
    # A client for each answer: its connection is always new, so the line is always told its socket.
    with ollama.Client(
        address.url,
        timeout=httpx.Timeout(None, connect=transport.CONNECT_SECONDS),
        follow_redirects=False,
        trust_env=False,
        event_hooks={"request": [lambda request: _tell_socket(request, line)]},
        transport=_Bounded(trust_env=False),
    ) as client:
        said = False
        try:
            stream = client.chat(
                params.model,
                messages,
                stream=True,
                think=params.think,
                format=schema,
                options={
                    "temperature": params.temperature,
                    "seed": seed & _MOST_SEED,
                    "num_ctx": params.num_ctx,
                    "num_predict": params.max_tokens,
                },
                keep_alive=_keep_alive(params.keep_alive),
            )
            for part in stream:
                said = True
                # `thinking` stands beside the content, and is not looked at.
                yield Delta(part.message.content or "", (part.done_reason or "stop") if part.done else "")
        except ollama.ResponseError as error:
            if schema and not said and error.status_code in _OF_SCHEMA:
                raise SchemaRefused from error
            raise _refused(error, params) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ollama_away(address) from error
        except (httpx.HTTPError, ValueError) as error:
            raise StepFailed(
                "Ollama broke off in the middle of the answer", why=_one_line(error), hint="try again"
            ) from error


class _Bounded(httpx.HTTPTransport):
    """Reads no answer that is far too long; the client itself waits for the end of a line, however long it is."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _BoundedStream(response.stream)
        return response


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        left = transport.MOST_STREAMED
        for block in self._stream:
            left -= len(block)
            if left < 0:
                raise httpx.ReadError(transport.TOO_LONG)
            yield block

    def close(self) -> None:
        self._stream.close()


def _tell_socket(request: httpx.Request, line: Line) -> None:
    """Have httpcore say when it has connected (`trace`), long before the first byte of an answer comes."""

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            line.opened(info["return_value"].get_extra_info("socket"))

    request.extensions["trace"] = trace


def _keep_alive(text: str) -> float | str:
    """Seconds as a number; Ollama takes a text only with a unit."""
    return float(text) if re.fullmatch(r"-?\d+(?:\.\d+)?", text) else text


def _refused(error: ollama.ResponseError, params: OllamaParams) -> AvatarctlError:
    told = transport.told(error.error)
    if error.status_code == 404:
        return ollama_missing(params.model)
    if error.status_code in (401, 403):
        return Unavailable("Ollama wants to know who asks", why=told, hint="ollama signin, or set OLLAMA_API_KEY")
    if error.status_code == 400 and "think" in told:
        return Unavailable(
            f"the model {params.model} cannot think", why=told, hint="--set answer.think=false, or another model"
        )
    hint = "try again; `ollama ps` and the server's log say more"
    return StepFailed("Ollama could not answer", why=told, hint=hint)


def _one_line(error: Exception) -> str:
    return transport.told(str(error) or type(error).__name__)
