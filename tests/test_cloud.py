"""Engines on other companies' machines: Deepgram and Gemini, against servers that follow what they document."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarctl.engines.cloud import service
from avatarctl.engines.cloud.deepgram import DeepgramEngine
from avatarctl.engines.cloud.gemini import GeminiEngine
from avatarctl.engines.cloud.service import seconds_to_wait
from avatarctl.engines.cloud.spec import DeepgramParams, GeminiParams
from avatarctl.engines.contract import Cancelled, Engine, Job
from avatarctl.errors import AvatarctlError, BadConfig, BadInput, Offline, StepFailed, Unavailable
from avatarctl.media import wav
from avatarctl.stages.catalog import stage
from avatarctl.stages.params import Params
from tests.model_servers import Behaviour, ModelServer, Reply, data, serving, sse

SECRET = "hunter2-abcdef"
SECONDS = 2.0


def listened(**changes: Any) -> dict[str, Any]:
    """What /v1/listen answers, as Deepgram's OpenAPI document and its pages have it."""
    words = [
        {"word": "who", "punctuated_word": "Who", "start": 0.25, "end": 0.5, "confidence": 0.99},
        {"word": "flew", "punctuated_word": "flew?", "start": 0.5, "end": 2.01, "confidence": 0.98},
    ]
    alternative = {"transcript": "Who flew?", "confidence": 0.98, "words": words}
    channel = {"alternatives": [alternative], "detected_language": "en", "language_confidence": 0.97}
    utterance = {"start": 0.25, "end": 2.01, "confidence": 0.98, "channel": 0, "transcript": "Who flew?"}
    return {
        "metadata": {
            "request_id": "5f3d9d2e-0000-4000-8000-000000000000",
            "sha256": "0" * 64,
            "created": "2026-11-01T12:00:00.000Z",
            "duration": SECONDS,
            "channels": 1,
            "models": ["m"],
            "model_info": {"m": {"name": "general-nova-3", "version": "2025-04-17.21547", "arch": "nova-3"}},
        },
        "results": {"channels": [channel], "utterances": [{**utterance, "words": words, "id": "1"}]},
        **changes,
    }


def generated(text: str = "", finish: str = "", **fields: Any) -> bytes:
    """One event of streamGenerateContent."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    document = {"candidates": [candidate], "modelVersion": "gemini-3.5-flash", "responseId": "r", **fields}
    return data(document, "\r\n")


def error(code: int, message: str, status: str, *details: dict[str, Any]) -> dict[str, Any]:
    """Google's form of an error."""
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


WHOLE = b"".join(
    [
        data({"candidates": [{"content": {"parts": [{"text": "Тайна.", "thought": True}], "role": "model"}}]}, "\r\n"),
        generated("Первым был "),
        generated("Юрий 🚀 Гагарин."),
        generated("", "STOP", usageMetadata={"promptTokenCount": 90, "candidatesTokenCount": 7, "totalTokenCount": 97}),
    ]
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with serving() as made:
        for variable in ("DEEPGRAM_API_BASE", "GOOGLE_GEMINI_BASE_URL"):
            monkeypatch.setenv(variable, f"http://{made.address}")
        for variable in ("DEEPGRAM_API_KEY", "GEMINI_API_KEY"):
            monkeypatch.setenv(variable, SECRET)
        monkeypatch.setattr(service, "PAUSES", [0.01, 0.01])
        yield made


class Performed:
    """One step: what came out, what was said of it."""

    def __init__(self, engine: Engine, name: str, inputs: dict[str, Path], out: Path, params: Params) -> None:
        out.mkdir(exist_ok=True)
        for file in out.iterdir():
            file.unlink()
        self.out, self.notes, self.used, self.heard = out, list[str](), dict[str, float](), ""
        job = Job(
            inputs=inputs,
            out=out,
            params=params,
            seed=5,
            note=self.notes.append,
            used=self.used.__setitem__,
            emit=self._hear,
        )
        engine.load({})
        try:
            engine.run(job)
        except AvatarctlError as failure:
            assert list(out.iterdir()) == [], "nothing may be half-written"
            assert SECRET not in f"{failure.as_dict()} {self.notes}"
            raise
        finally:
            engine.close()
        contract = stage(name)
        made = {o.role: path for o in contract.outputs if (path := out / (o.role + o.suffix)).exists()}
        contract.validate(made, inputs, params)

    def _hear(self, text: str) -> None:
        self.heard += text

    def text(self, name: str) -> str:
        return (self.out / name).read_text(encoding="utf-8")


@pytest.fixture
def listen(server: ModelServer, tmp_path: Path) -> Callable[..., Performed]:
    recording = tmp_path / "audio"
    wav.write_silence(recording, SECONDS, 16_000)

    def perform(**params: Any) -> Performed:
        return Performed(
            DeepgramEngine(), "transcribe", {"audio": recording}, tmp_path / "out", DeepgramParams(**params)
        )

    return perform


@pytest.fixture
def answer(server: ModelServer, tmp_path: Path) -> Callable[..., Performed]:
    (tmp_path / "question").write_text("Кто?", encoding="utf-8")

    def perform(**params: Any) -> Performed:
        inputs = {"question": tmp_path / "question"}
        return Performed(GeminiEngine(), "answer", inputs, tmp_path / "out", GeminiParams(**params))

    return perform


# -- Deepgram


def test_a_recording_is_heard(listen: Callable[..., Performed], server: ModelServer) -> None:
    server.answer = lambda reply: reply.whole(200, listened())
    done = listen(keyterms="Гагарин, Vostok 1")
    ((path, body),) = server.posts
    assert path == (
        "/v1/listen?model=nova-3&smart_format=true&utterances=true&detect_language=true"
        "&keyterm=%D0%93%D0%B0%D0%B3%D0%B0%D1%80%D0%B8%D0%BD&keyterm=Vostok+1"
    )
    assert body[:4] == b"RIFF" and len(body) == 44 + 2 * 16_000 * SECONDS
    (headers,) = server.headers
    assert headers["authorization"] == f"Token {SECRET}" and headers["content-type"] == "audio/wav"
    assert done.text("text.txt") == "Who flew?\n"
    words = json.loads(done.text("words.json"))
    assert (words["language"], words["language_probability"]) == ("en", 0.97)
    (segment,) = words["segments"]
    assert segment["words"][1] == {"start": 0.5, "end": 2.0, "text": "flew?", "probability": 0.98}
    assert done.used == {"seconds of sound": SECONDS} and "Deepgram" in done.notes[0]


def test_the_language_may_be_given(listen: Callable[..., Performed], server: ModelServer) -> None:
    server.answer = lambda reply: reply.whole(200, listened())
    done = listen(language="ru", model="nova-2", mip_opt_out=True)
    assert server.posts[0][0] == (
        "/v1/listen?model=nova-2&smart_format=true&utterances=true&language=ru&mip_opt_out=true"
    )
    assert json.loads(done.text("words.json"))["language"] == "ru"


@pytest.mark.parametrize("utterances", [[], None])
def test_nothing_was_said(listen: Callable[..., Performed], server: ModelServer, utterances: Any) -> None:
    results = {**listened()["results"], "utterances": utterances}
    server.answer = lambda reply: reply.whole(200, listened(results=results))
    with pytest.raises(BadInput, match="nothing was said"):
        listen()


NONSENSE = [b"<html>", b"[]", b"{}", listened(results={"channels": []}), listened(results=[]), listened(metadata=3)]


@pytest.mark.parametrize("document", NONSENSE)
def test_nonsense_is_told_apart_from_silence(
    listen: Callable[..., Performed], server: ModelServer, document: Any
) -> None:
    server.answer = lambda reply: reply.whole(200, document)
    with pytest.raises(StepFailed, match="cannot be understood"):
        listen()


@pytest.mark.parametrize(
    ("status", "document", "kind", "words"),
    [
        (401, {"err_code": "INVALID_AUTH", "err_msg": f"Invalid {SECRET}.", "request_id": "u"}, Unavailable, "_KEY"),
        (402, {"err_code": "ASR_PAYMENT_REQUIRED", "err_msg": "Project has no credits"}, Unavailable, "paid"),
        (400, {"err_code": "Bad Request", "err_msg": "Bad Request: corrupt data"}, StepFailed, "corrupt data"),
        (500, b"", StepFailed, "in trouble"),
        (302, b"", Unavailable, "elsewhere"),
    ],
)
def test_refusals(
    listen: Callable[..., Performed],
    server: ModelServer,
    status: int,
    document: Any,
    kind: type[AvatarctlError],
    words: str,
) -> None:
    server.answer = lambda reply: reply.whole(status, document)
    with pytest.raises(kind) as caught:
        listen()
    assert words in str(caught.value.as_dict()) and len(server.posts) == 1


# -- both: patience


def in_turn(*behaviours: Behaviour) -> Behaviour:
    left = list(behaviours)
    return lambda reply: (left.pop(0) if len(left) > 1 else left[0])(reply)


def busy(**headers: str) -> Behaviour:
    document = {"err_code": "TOO_MANY_REQUESTS", "err_msg": "Too many requests.", "request_id": "u"}
    return lambda reply: reply.whole(429, document, **headers)


def test_a_service_that_is_busy_is_asked_again(listen: Callable[..., Performed], server: ModelServer) -> None:
    server.answer = in_turn(busy(Retry_After="0"), busy(), lambda reply: reply.whole(200, listened()))
    done = listen()
    assert done.text("text.txt") == "Who flew?\n" and len(server.posts) == 3
    assert all(body[:4] == b"RIFF" for _, body in server.posts) and "asking again in 0 s" in done.notes[1]
    server.answer = busy()
    with pytest.raises(StepFailed, match="too much to do") as caught:
        listen()
    assert caught.value.retryable and len(server.posts) == 6


def test_nobody_waits_for_hours(listen: Callable[..., Performed], server: ModelServer) -> None:
    server.answer = busy(Retry_After="7200")
    with pytest.raises(StepFailed) as caught:
        listen()
    assert "7200 s" in caught.value.hint and len(server.posts) == 1


def test_when_to_come_again() -> None:
    assert seconds_to_wait(" 12 ") == 12
    assert seconds_to_wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert seconds_to_wait("soon") is seconds_to_wait("") is seconds_to_wait("-1") is None


def test_google_says_in_the_body_when_to_come_again(answer: Callable[..., Performed], server: ModelServer) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.01s"}
    hurried = error(429, "You exceeded your current quota", "RESOURCE_EXHAUSTED", retry)
    server.answer = in_turn(lambda reply: reply.whole(429, hurried), sse(WHOLE))
    assert answer().text("answer.txt") == "Первым был Юрий 🚀 Гагарин.\n"
    retry["retryDelay"] = "3600s"
    server.answer = lambda reply: reply.whole(429, hurried)
    with pytest.raises(StepFailed) as caught:
        answer()
    assert "3600 s" in caught.value.hint


@pytest.mark.parametrize("engine", ["deepgram", "gemini"])
def test_a_service_that_dies(
    listen: Callable[..., Performed], answer: Callable[..., Performed], server: ModelServer, engine: str
) -> None:
    def dying(reply: Reply) -> None:
        reply.start("text/event-stream")
        reply.send(generated("Раз. Дв"))
        reply.die()

    server.answer = dying
    with pytest.raises(StepFailed, match="broke off"):
        listen() if engine == "deepgram" else answer()


@pytest.mark.parametrize("engine", ["deepgram", "gemini"])
def test_a_silent_service_is_given_up(
    listen: Callable[..., Performed], answer: Callable[..., Performed], server: ModelServer, engine: str
) -> None:
    hung_up = threading.Event()
    server.answer = lambda reply: hung_up.set() if reply.hung_up() else None
    with pytest.raises(StepFailed, match="nothing for 1 s") as caught:
        listen(timeout=1) if engine == "deepgram" else answer(timeout=1)
    assert ("transcribe.timeout" if engine == "deepgram" else "answer.timeout") in caught.value.hint
    assert hung_up.wait(5)


def test_a_run_that_ends_hangs_up(server: ModelServer, tmp_path: Path) -> None:
    asked, hung_up = threading.Event(), threading.Event()

    def waiting(reply: Reply) -> None:
        asked.set()
        if reply.hung_up():
            hung_up.set()

    server.answer = waiting
    wav.write_silence(tmp_path / "audio", 1.0, 16_000)
    job = Job(inputs={"audio": tmp_path / "audio"}, out=tmp_path, params=DeepgramParams(), cancelled=asked.is_set)
    with pytest.raises(Cancelled):
        DeepgramEngine().run(job)
    assert hung_up.wait(5)


def test_a_pause_ends_with_the_run(server: ModelServer, tmp_path: Path) -> None:
    asked = threading.Event()

    def hurried(reply: Reply) -> None:
        busy(Retry_After="50")(reply)
        asked.set()

    server.answer = hurried
    wav.write_silence(tmp_path / "audio", 1.0, 16_000)
    job = Job(inputs={"audio": tmp_path / "audio"}, out=tmp_path, params=DeepgramParams(), cancelled=asked.is_set)
    with pytest.raises(Cancelled):
        DeepgramEngine().run(job)


@pytest.mark.parametrize("engine", ["deepgram", "gemini"])
def test_keys_and_the_network(
    listen: Callable[..., Performed],
    answer: Callable[..., Performed],
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    perform = listen if engine == "deepgram" else answer
    base, key = (
        ("DEEPGRAM_API_BASE", "DEEPGRAM_API_KEY")
        if engine == "deepgram"
        else ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY")
    )
    monkeypatch.delenv(base)
    with pytest.raises(Offline):
        perform()
    monkeypatch.setenv("AVATARCTL_OFFLINE", "0")
    monkeypatch.setenv(base, "http://192.0.2.1")
    with pytest.raises(Unavailable, match="wants a key") as caught:
        perform()
    assert "https only" in caught.value.why
    monkeypatch.setenv(base, "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="does not answer"):
        perform()
    monkeypatch.setenv(key, "two words")
    with pytest.raises(BadConfig):
        perform()
    monkeypatch.delenv(key)
    with pytest.raises(Unavailable, match="wants a key") as caught:
        perform()
    assert caught.value.hint == f"export {key}=..." and server.posts == []


# -- Gemini


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_an_answer_in_pieces(answer: Callable[..., Performed], server: ModelServer, cut: int) -> None:
    server.answer = sse(WHOLE, cut=cut)
    done = answer()
    assert done.text("answer.txt").strip() == done.heard == "Первым был Юрий 🚀 Гагарин."
    assert done.used == {"input tokens": 90, "output tokens": 7}
    assert json.loads(done.text("sources.json"))["model"] == "gemini-3.5-flash"


def test_what_gemini_is_asked(answer: Callable[..., Performed], server: ModelServer) -> None:
    server.answer = sse(WHOLE)
    answer(temperature=0.5, max_tokens=50, thinking="minimal")
    ((path, body),) = server.posts
    assert path == "/v1beta/models/gemini-3.5-flash:streamGenerateContent?alt=sse"
    assert "Answer in Russian" in body["systemInstruction"]["parts"][0]["text"]
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Кто?"}]}]
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "maxOutputTokens": 50,
        "seed": 5,
        "thinkingConfig": {"thinkingLevel": "MINIMAL"},
    }
    assert server.headers[0]["x-goog-api-key"] == SECRET
    answer(thinking="default")
    assert "thinkingConfig" not in server.posts[1][1]["generationConfig"]


BROKEN = {
    "cut off": (generated("Раз. Дв"), "broke off"),
    "not JSON": (generated("Раз.") + data("<html>"), "cannot be understood"),
    "not an object": (data("[1]"), "cannot be understood"),
    "an error": (generated("Раз.") + data(error(503, "overloaded", "UNAVAILABLE")), "could not answer"),
    "blocked": (data({"promptFeedback": {"blockReason": "SAFETY"}}), "will not answer"),
    "stopped": (generated("Раз.") + generated("", "RECITATION"), "stopped its answer"),
    "nothing": (generated("", "STOP"), "no answer"),
    "only thoughts": (generated("", "MAX_TOKENS"), "no answer"),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_stream_that_breaks_leaves_nothing(answer: Callable[..., Performed], server: ModelServer, name: str) -> None:
    body, words = BROKEN[name]
    server.answer = sse(body)
    with pytest.raises(StepFailed, match=words):
        answer()


def test_a_wrong_key_of_google_s(answer: Callable[..., Performed], server: ModelServer) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    wrong = error(400, f"API key not valid: {SECRET}", "INVALID_ARGUMENT", info)
    server.answer = lambda reply: reply.whole(400, wrong)
    with pytest.raises(Unavailable, match="does not accept the key"):
        answer()
    server.answer = lambda reply: reply.whole(404, error(404, "models/x is not found", "NOT_FOUND"))
    with pytest.raises(StepFailed, match="refused") as caught:
        answer()
    assert "not found" in caught.value.why


@pytest.mark.parametrize("model", ["", "../x", "a b", "a?key=1", "x/y"])
def test_a_model_s_name_is_no_address(model: str) -> None:
    for params in (GeminiParams, DeepgramParams):
        with pytest.raises(BadConfig):
            params.parse({"model": model}, "answer")
