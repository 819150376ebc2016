"""The engine `answer/gemini`: POST /v1beta/models/MODEL:streamGenerateContent, answered with server-sent events.

Source: ai.google.dev/api/generate-content, and Google's own client (github.com/googleapis/python-genai).
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from avatarctl.engines.chat import transport
from avatarctl.engines.chat.address import Address
from avatarctl.engines.chat.answer import Delta, perform
from avatarctl.engines.chat.events import events
from avatarctl.engines.chat.follow import Line
from avatarctl.engines.chat.prompt import Message
from avatarctl.engines.chat.structured import SchemaRefused
from avatarctl.engines.cloud.service import (
    CloudEngine,
    Hurried,
    Service,
    address_of,
    broke_off,
    connected,
    key_for,
    nonsense,
    patiently,
)
from avatarctl.engines.cloud.spec import GEMINI, GeminiParams
from avatarctl.engines.contract import Job
from avatarctl.errors import StepFailed

SERVICE = Service(GEMINI, "x-goog-api-key")

_MOST_SEED = 2**31 - 1
_FINISH = {"STOP": "stop", "MAX_TOKENS": "length"}
"""Why a model stops that has said what it had to say; the other reasons are refusals."""
_COUNTED = {
    "promptTokenCount": "input tokens",
    "candidatesTokenCount": "output tokens",
    "thoughtsTokenCount": "thinking tokens",
}


class GeminiEngine(CloudEngine):
    """Stage `answer`. The key is read from the environment for each answer and kept nowhere."""

    def run(self, job: Job) -> None:
        """Raises `Unavailable` without key, money or connection, `StepFailed` when it refuses or breaks off, and
        what `perform` does."""
        params: GeminiParams = job.params
        address = address_of(GEMINI)
        key = key_for(GEMINI, address)
        rounds: list[dict[str, float]] = []

        def talk(messages: list[Message], schema: Mapping[str, Any] | None, line: Line) -> Iterator[Delta]:
            rounds.append({})
            return _talk(address, key, params, _body(params, job.seed, messages, schema), rounds[-1], line)

        job.note(f"the question goes to {GEMINI.title} ({params.model})")
        patiently(job, lambda: perform(job, params.model, talk))
        for unit in _COUNTED.values():
            if amount := sum(counted.get(unit, 0.0) for counted in rounds):
                job.used(unit, amount)


def _body(params: GeminiParams, seed: int, messages: list[Message], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    system, user = (message["content"] for message in messages)
    wanted: dict[str, Any] = {
        "temperature": params.temperature,
        "maxOutputTokens": params.max_tokens,
        "seed": seed & _MOST_SEED,
    }
    if schema:
        wanted |= {"responseMimeType": "application/json", "responseJsonSchema": schema}
    if params.thinking != "default":
        wanted["thinkingConfig"] = {"thinkingLevel": params.thinking.upper()}
    return {
        "systemInstruction": {"parts": [{"text": system}]},
        "contents": [{"role": "user", "parts": [{"text": user}]}],
        "generationConfig": wanted,
    }


def _talk(
    address: Address, key: str, params: GeminiParams, body: Mapping[str, Any], counted: dict[str, float], line: Line
) -> Iterator[Delta]:
    path = f"{address.path}/v1beta/models/{params.model}:streamGenerateContent?alt=sse"
    with closing(connected(SERVICE, address, line)) as link:
        try:
            headers = {**SERVICE.headers(key), "Content-Type": "application/json"}
            link.request("POST", path, json.dumps(body), headers)
            with link.getresponse() as reply:
                if reply.status != 200:
                    if reply.status == 400 and "responseJsonSchema" in body["generationConfig"]:
                        raise SchemaRefused
                    raise _refused(reply.status, reply.headers, reply.read(transport.MOST_BYTES), key)
                for _, data in events(transport.blocks(reply)):
                    yield _delta(data, counted, key)
        except (OSError, http.client.HTTPException) as error:
            raise broke_off(GEMINI.title, error, key) from error
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise nonsense(GEMINI.title, f"{type(error).__name__}: {error}") from error


def _delta(data: str, counted: dict[str, float], key: str) -> Delta:
    """What one GenerateContentResponse adds. Thoughts are parts of their own, which are not looked at."""
    document = json.loads(data)
    if document.get("error"):
        raise StepFailed(f"{GEMINI.title} could not answer", why=transport.told(document, key), hint="try again")
    blocked = (document.get("promptFeedback") or {}).get("blockReason")
    if blocked:
        raise StepFailed(f"{GEMINI.title} will not answer that", why=str(blocked), hint="ask in another way")
    for field, unit in _COUNTED.items():
        if (document.get("usageMetadata") or {}).get(field):
            counted[unit] = float(document["usageMetadata"][field])
    candidates = document.get("candidates")
    if not candidates:
        return Delta()
    parts = (candidates[0].get("content") or {}).get("parts") or ()
    text = "".join(str(part.get("text", "")) for part in parts if not part.get("thought"))
    reason = candidates[0].get("finishReason")
    if reason and reason not in _FINISH:
        why = str(candidates[0].get("finishMessage") or reason)
        raise StepFailed(f"{GEMINI.title} stopped its answer", why=transport.told(why), hint="ask in another way")
    return Delta(text, _FINISH[reason] if reason else "")


def _refused(status: int, headers: http.client.HTTPMessage, body: bytes, key: str) -> Exception:
    """Google says in the body when to come again, and calls a wrong key a wrong request."""
    details = _details(body)
    reasons = {str(one.get("reason", "")) for one in details}
    if status == 400 and "API_KEY_INVALID" in reasons:
        status = 401
    refused = SERVICE.refused(status, headers, body, key)
    if isinstance(refused, Hurried) and refused.seconds is None:
        delays = [str(one.get("retryDelay", "")).removesuffix("s") for one in details]
        seconds = next((float(d) for d in delays if d.replace(".", "", 1).isdecimal()), None)
        return Hurried(refused.title, refused.why, seconds)
    return refused


def _details(body: bytes) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(body)["error"]["details"]
    except (ValueError, KeyError, TypeError):
        return []
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
