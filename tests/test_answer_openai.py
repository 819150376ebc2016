"""The engine `openai` against servers that follow OpenAI's protocol as llama.cpp, vLLM and LM Studio speak it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarctl.engines.chat import identity
from avatarctl.engines.chat.openai_engine import OpenAiEngine
from avatarctl.engines.chat.spec import OpenAiParams
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import AvatarctlError, BadConfig, Offline, StepFailed, Unavailable
from tests.model_servers import USAGE, ModelServer, Reply, chunk, data, models, serving, sse

SECRET = "hunter2-abcdef"
WHOLE = b"".join(
    [
        data(chunk(role="assistant", content=None)),
        b": keep-alive\n\n",
        data(chunk(reasoning_content="Тайна.")),
        data(chunk("Первым был ")),
        data(chunk("Юрий 🚀 Гагарин.")),
        data(chunk(finish="stop")),
        data(USAGE),
        data("[DONE]"),
    ]
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as made:
        made.documents["/v1/models"] = models({"id": "qwen", "owned_by": "vllm"})
        yield made


def params_for(server: ModelServer, **params: Any) -> OpenAiParams:
    return OpenAiParams(**{"base_url": f"http://{server.address}/v1", **params})


def answered(server: ModelServer, folder: Path, *, seed: int = 0, **params: Any) -> str:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    for file in out.iterdir():
        file.unlink()
    (folder / "question").write_text("Кто?", encoding="utf-8")
    heard: list[str] = []
    job = Job(
        inputs={"question": folder / "question"},
        out=out,
        params=params_for(server, **params),
        seed=seed,
        emit=heard.append,
    )
    try:
        OpenAiEngine().run(job)
    except AvatarctlError:
        assert list(out.iterdir()) == [], "nothing may be half-written"
        raise
    answer = (out / "answer.txt").read_text(encoding="utf-8").strip()
    assert "".join(heard) == answer
    return answer


@pytest.mark.parametrize("cut", [0, 1, 3, 50])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_bytes_may_be_cut_anywhere(server: ModelServer, tmp_path: Path, cut: int, newline: bytes) -> None:
    server.answer = sse(WHOLE.replace(b"\n", newline), cut=cut)
    assert answered(server, tmp_path) == "Первым был Юрий 🚀 Гагарин."


def test_what_the_server_is_asked(server: ModelServer, tmp_path: Path) -> None:
    server.answer = sse(WHOLE)
    answered(server, tmp_path, seed=7, temperature=0.5, max_tokens=50)
    ((path, body),) = server.posts
    assert path == "/v1/chat/completions"
    assert {k: v for k, v in body.items() if k != "messages"} == {
        "model": "qwen",
        "stream": True,
        "temperature": 0.5,
        "max_tokens": 50,
        "seed": 7,
    }
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert all("authorization" not in headers for headers in server.headers)


def test_a_stream_may_end_without_a_reason(server: ModelServer, tmp_path: Path) -> None:
    server.answer = sse(data(chunk("Да.")) + data("[DONE]"))
    assert answered(server, tmp_path) == "Да."


def test_what_ends_a_stream_is_no_reason(server: ModelServer, tmp_path: Path) -> None:
    server.answer = sse(data(chunk("Раз. Потом он")) + data(chunk(finish="length")) + data("[DONE]"))
    assert answered(server, tmp_path) == "Раз. Потом он…"


def test_a_server_that_does_not_stream(server: ModelServer, tmp_path: Path) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Да."}, "finish_reason": "stop"}
    server.answer = lambda reply: reply.whole(200, {"object": "chat.completion", "choices": [choice]})
    assert answered(server, tmp_path) == "Да."


BROKEN = {
    "cut off": (data(chunk("Раз. Дв")), "broke off"),
    "half an event": (data(chunk("Раз. Дв")) + b'data: {"choi', "broke off"),
    "not JSON": (data(chunk("Раз.")) + data("<html>"), "broke off"),
    "not an object": (data("[1]"), "broke off"),
    "an error of vLLM": (data(chunk("Раз.")) + data({"error": {"message": "engine\ndead", "code": 500}}), "could not"),
    "an error of llama.cpp": (b'error: {"code": 500, "message": "slot"}\n\n', "could not"),
    "nothing at all": (data("[DONE]"), "no answer"),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_stream_that_breaks_leaves_nothing(server: ModelServer, tmp_path: Path, name: str) -> None:
    body, words = BROKEN[name]
    server.answer = sse(body)
    with pytest.raises(StepFailed, match=words):
        answered(server, tmp_path)


def test_a_server_that_dies(server: ModelServer, tmp_path: Path) -> None:
    def answer(reply: Reply) -> None:
        reply.start("text/event-stream")
        reply.send(data(chunk("Раз. Дв")))
        reply.die()

    server.answer = answer
    with pytest.raises(StepFailed, match="broke off") as caught:
        answered(server, tmp_path)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "document", "kind", "words"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {SECRET}"}}, Unavailable, "OPENAI_API_KEY"),
        (404, {"error": {"message": "model not found"}}, Unavailable, "answer.base_url"),
        (503, {"error": {"message": "Loading model"}}, Unavailable, "Loading model"),
        (500, f"<html>{SECRET}</html>".encode(), StepFailed, "status 500"),
        (400, {"object": "error", "message": "bad"}, StepFailed, "bad"),
    ],
)
def test_refusals(
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    document: Any,
    kind: type[AvatarctlError],
    words: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server.answer = lambda reply: reply.whole(status, document)
    with pytest.raises(kind) as caught:
        answered(server, tmp_path)
    assert words in str(caught.value.as_dict()) and SECRET not in str(caught.value.as_dict())
    assert server.headers[-1]["authorization"] == f"Bearer {SECRET}"


def test_the_key_comes_from_the_variable_that_is_named(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    monkeypatch.setenv("MY_KEY", f" {SECRET}\n")
    server.answer = sse(WHOLE)
    answered(server, tmp_path, key_variable="MY_KEY")
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {SECRET}"}
    monkeypatch.setenv("MY_KEY", "two\r\nHost: lines")
    with pytest.raises(BadConfig) as caught:
        answered(server, tmp_path, key_variable="MY_KEY")
    assert "two" not in str(caught.value.as_dict())


def test_a_key_is_not_sent_in_clear_text_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    for url, sent in (("http://10.0.0.1", ""), ("https://api.example.com", SECRET), ("http://localhost", SECRET)):
        assert identity.openai_address(url).secret(OpenAiParams(base_url=url).key_variable) == sent


@pytest.mark.parametrize("when", ["before the headers", "in the middle"])
def test_a_run_that_ends_hangs_up(server: ModelServer, tmp_path: Path, when: str) -> None:
    asked, hung_up = threading.Event(), threading.Event()

    def answer(reply: Reply) -> None:
        if when == "in the middle":
            reply.start("text/event-stream")
            reply.send(data(chunk("Раз")))
        asked.set()
        if reply.hung_up():
            hung_up.set()

    server.answer = answer
    (tmp_path / "question").write_text("?", encoding="utf-8")
    inputs = {"question": tmp_path / "question"}
    with pytest.raises(Cancelled):
        OpenAiEngine().run(Job(inputs=inputs, out=tmp_path, params=params_for(server), cancelled=asked.is_set))
    assert hung_up.wait(5), "the server was left computing"


# -- which model it is


def digest(server: ModelServer, **params: Any) -> str:
    return identity.openai(params_for(server, **params))["model"]


def test_the_only_model_is_taken(server: ModelServer) -> None:
    assert digest(server) == digest(server, model="qwen")
    server.documents["/v1/models"] = models({"id": "a"}, {"id": "b"})
    with pytest.raises(Unavailable, match="2 models") as caught:
        digest(server)
    assert "a, b" in caught.value.hint
    with pytest.raises(Unavailable, match="does not have the model c"):
        digest(server, model="c")
    server.documents["/v1/models"] = models()
    with pytest.raises(Unavailable, match="no model"):
        digest(server)


def test_the_same_model_is_the_same_on_another_machine_and_tomorrow(server: ModelServer) -> None:
    meta = {"n_params": 4022468096, "size": 2497293931, "n_vocab": 151936, "n_embd": 2560, "vocab_type": 2}
    entry = {"id": "/srv/models/qwen.gguf", "owned_by": "llamacpp", "meta": meta}
    server.documents["/v1/models"] = models(entry)
    first = digest(server)
    moved = {**entry, "id": "qwen.gguf", "created": 99}
    with serving() as other:
        other.documents["/v1/models"] = models(moved)
        assert digest(other) == first
    server.documents["/v1/models"] = models({**entry, "meta": {**meta, "size": 1}})
    assert digest(server) != first


def test_a_server_without_a_list(server: ModelServer) -> None:
    server.documents.clear()
    assert digest(server, model="qwen") != digest(server, model="other")
    with pytest.raises(Unavailable, match="not the model server"):
        digest(server)


@pytest.mark.parametrize("reply", [(401, {"error": {"message": SECRET}}), (500, SECRET.encode()), (200, [])])
def test_a_list_that_is_refused(server: ModelServer, reply: tuple[int, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server.documents["/v1/models"] = reply
    with pytest.raises(Unavailable) as caught:
        digest(server)
    assert SECRET not in json.dumps(caught.value.as_dict())


def test_no_server_and_no_network(server: ModelServer) -> None:
    with pytest.raises(Unavailable, match="no model server") as caught:
        identity.openai(OpenAiParams(base_url="http://127.0.0.1:1/v1"))
    assert "base_url" in caught.value.hint
    with pytest.raises(Offline):
        identity.openai(OpenAiParams(base_url="https://192.0.2.1/v1"))
