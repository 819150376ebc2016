"""Answers with an emotion for each sentence, as JSON by a schema: read in pieces, and done without where it must be."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from avatarctl.engines.chat.answer import NoAnswer
from avatarctl.engines.chat.ollama_engine import OllamaEngine
from avatarctl.engines.chat.openai_engine import OpenAiEngine
from avatarctl.engines.chat.spec import OllamaParams, OpenAiParams
from avatarctl.engines.chat.spoken import Spoken
from avatarctl.engines.chat.structured import SCHEMA, Reader
from avatarctl.engines.cloud.gemini import GeminiEngine
from avatarctl.engines.cloud.spec import GeminiParams
from avatarctl.engines.contract import Job
from avatarctl.errors import StepFailed
from avatarctl.text.emotions import EMOTIONS
from tests.model_servers import TAGS, Behaviour, ModelServer, Reply, chunk, data, line, models, ollama, serving, sse
from tests.test_cloud import generated
from tests.tools import Studio

pytestmark = pytest.mark.unjudged


def document(*sentences: tuple[str, str], **options: Any) -> str:
    rows = [{"emotion": emotion, "text": text} for emotion, text in sentences]
    return json.dumps({"sentences": rows}, ensure_ascii=False, **options)


HAPPY_SAD = document(("happy", "Ура!"), ("happy", "Он летит."), ("sad", "Увы."))
SCRIPT = "[happy] Ура! Он летит. [sad] Увы."


def read(text: str, cuts: list[int]) -> str:
    reader = Reader()
    edges = [0, *sorted(cuts), len(text)]
    return "".join(reader.feed(text[a:b]) for a, b in pairwise(edges)) + reader.close()


CASES = {
    HAPPY_SAD: SCRIPT,
    document(("happy", "Ура!"), ("sad", "Увы."), indent=2): "[happy] Ура! [sad] Увы.",
    f"```json\n{HAPPY_SAD}\n```": SCRIPT,
    f" \n{HAPPY_SAD} trailing": SCRIPT,
    document(("neutral", "Раз."), ("neutral", "Два.")): "Раз. Два.",
    document(("neutral", "Раз."), ("happy", "Два."), ("neutral", "Три.")): "Раз. [happy] Два. [neutral] Три.",
    document(("радость", "Раз")): "[happy] Раз",
    document(("angry", "Раз."), ("", "Два.")): "Раз. Два.",
    document(("sad", "без точки"), ("sad", "дальше")): "[sad] без точки. дальше",
    document(("sad", 'Он: "да" \\ и/или 🚀\nвот.')): '[sad] Он: "да" \\ и/или 🚀 вот.',
    json.dumps({"sentences": [{"emotion": "sad", "text": "Ракета 🚀 «Восток»."}]}): "[sad] Ракета 🚀 «Восток».",
    '{"sentences":[{"text":"Раз.","emotion":"happy"},{"text":"Два.","emotion":"sad"}]}': "Раз. [happy] Два.",
    '{"text": "Раз.", "note": "нет", "n": [1, "a", {"text": "Два."}]}': "Раз. Два.",
    '{"answer": "нет"}': "",
    "[happy] Просто текст.": "[happy] Просто текст.",
    "`код` и текст": "`код` и текст",
    "```\nплан": "```\nплан",
    "": "",
    "``": "``",
    "{": "",
    '{"sentences": [{"emotion": "happy", "text": "Обор': "[happy] Обор",
    '{"sentences": [{"text": "\\ud83d и \\ude80 \\uzzzz."}]}': None,
}


@pytest.mark.parametrize("text", list(CASES))
def test_documents_may_be_cut_anywhere(text: str) -> None:
    whole = read(text, [])
    assert CASES[text] is None or whole == CASES[text]
    assert read(text, list(range(len(text)))) == whole
    chance = random.Random(5)
    for _ in range(20):
        assert read(text, [chance.randrange(len(text) + 1) for _ in range(4)]) == whole


def test_nothing_breaks_it() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        text = "".join(chance.choice('{}[]",:\\u0d8e text`\n') for _ in range(chance.randrange(40)))
        assert isinstance(read("{" + text, []), str)


def test_the_face_is_known_before_the_first_word() -> None:
    (fields,) = [SCHEMA["properties"]["sentences"]["items"]]
    assert list(fields["properties"]) == ["emotion", "text"] and fields["properties"]["emotion"]["enum"] == [*EMOTIONS]
    reader = Reader()
    assert reader.feed('{"sentences": [{"emotion": "happy", "text": "Ур') == "[happy] Ур"


@pytest.mark.parametrize("text", ["[sad] NO_ANSWER", " [ sad ]NO_ANSWER.", "[NO_ANSWER]", "**NO_ANSWER**"])
def test_a_refusal_may_have_a_face(text: str) -> None:
    for pieces in ([text], list(text)):
        spoken = Spoken(may_refuse=True)
        assert "".join(spoken.feed(p) for p in pieces) + spoken.close() == "" and spoken.refused
    for other in ("[sad] NO one", "[note] NO_ANSWER", "[sad]", "[s", "[sad"):
        for pieces in ([other], list(other)):
            spoken = Spoken(may_refuse=True)
            assert "".join(spoken.feed(p) for p in pieces) + spoken.close() == other and not spoken.refused


# -- the engines

Ask = Callable[..., tuple[str, str, list[str]]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    for name in ("OPENAI_API_KEY", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as made:
        made.documents["/api/tags"] = (200, TAGS)
        made.documents["/v1/models"] = models({"id": "qwen"})
        monkeypatch.setenv("OLLAMA_HOST", made.address)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"http://{made.address}")
        monkeypatch.setenv("GEMINI_API_KEY", "k")
        yield made


@pytest.fixture(params=["ollama", "openai", "gemini"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ask(server: ModelServer, tmp_path: Path, kind: str) -> Ask:
    """The answer, what was emitted, and the notes."""

    def perform(**params: Any) -> tuple[str, str, list[str]]:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        (tmp_path / "question").write_text("Кто?", encoding="utf-8")
        heard, notes = list[str](), list[str]()
        engine, made = {
            "ollama": (OllamaEngine, OllamaParams),
            "openai": (OpenAiEngine, OpenAiParams),
            "gemini": (GeminiEngine, GeminiParams),
        }[kind]
        given = {"base_url": f"http://{server.address}/v1"} if kind == "openai" else {}
        job = Job(
            inputs={"question": tmp_path / "question"},
            out=out,
            params=made(**{"emotions": True, **given, **params}),
            emit=heard.append,
            note=notes.append,
        )
        engine().run(job)
        return (out / "answer.txt").read_text(encoding="utf-8"), "".join(heard), notes

    return perform


def written(kind: str, text: str, size: int = 3, reason: str = "stop") -> Behaviour:
    """A model that writes this, in pieces of so many characters."""
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    if kind == "ollama":
        return ollama(pieces, reason=reason)
    if kind == "openai":
        return sse(b"".join([*(data(chunk(p)) for p in pieces), data(chunk(finish=reason)), data("[DONE]")]))
    last = "STOP" if reason == "stop" else "MAX_TOKENS"
    return sse(b"".join([*(generated(p) for p in pieces), generated("", last)]))


def schema_of(kind: str, body: dict[str, Any]) -> Any:
    """The schema that a request has, where its protocol has it."""
    if kind == "ollama":
        return body.get("format")
    if kind == "openai":
        wanted = body.get("response_format") or {}
        return (
            wanted.get("schema") if wanted.get("type") == "json_object" else wanted.get("json_schema", {}).get("schema")
        )
    wanted = body["generationConfig"]
    assert ("responseJsonSchema" in wanted) == (wanted.get("responseMimeType") == "application/json")
    return wanted.get("responseJsonSchema")


def prompt_of(kind: str, body: dict[str, Any]) -> str:
    if kind == "gemini":
        return str(body["systemInstruction"]["parts"][0]["text"])
    return str(body["messages"][0]["content"])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_every_sentence_has_its_face(ask: Ask, server: ModelServer, kind: str, tmp_path: Path, size: int) -> None:
    server.answer = written(kind, HAPPY_SAD, size)
    answer, heard, _ = ask()
    assert answer == "Ура! Он летит. Увы.\n" and heard == SCRIPT
    assert (tmp_path / "out" / "script.txt").read_text(encoding="utf-8").strip() == SCRIPT
    ((_, body),) = server.posts
    assert (
        schema_of(kind, body) == SCHEMA and "JSON" in prompt_of(kind, body) and "[happy]" not in prompt_of(kind, body)
    )


def test_without_emotions_there_is_no_schema(ask: Ask, server: ModelServer, kind: str) -> None:
    server.answer = written(kind, "Ура!")
    ask(emotions=False)
    ask(structured=False)
    for _, body in server.posts:
        assert schema_of(kind, body) is None and "JSON" not in prompt_of(kind, body)
    assert "[happy]" in prompt_of(kind, server.posts[1][1])


def test_a_server_that_takes_no_schema(ask: Ask, server: ModelServer, kind: str) -> None:
    def answer(reply: Reply) -> None:
        if schema_of(kind, reply.body):
            reply.whole(400, {"error": {"message": "response_format is not supported", "code": 400}})
        else:
            written(kind, "[happy] Ура!")(reply)

    server.answer = answer
    answered, heard, notes = ask()
    assert answered == "Ура!\n" and heard == "[happy] Ура!" and len(server.posts) == (3 if kind == "openai" else 2)
    assert any("takes no schema" in note for note in notes)
    # What is wrong without a schema too is told as it always was.
    server.answer = lambda reply: reply.whole(400, {"error": {"message": "context too long", "code": 400}})
    with pytest.raises(StepFailed) as caught:
        ask()
    assert "context too long" in caught.value.why


def test_servers_want_to_be_told_in_two_ways(server: ModelServer, tmp_path: Path) -> None:
    def answer(reply: Reply) -> None:
        if reply.body["response_format"]["type"] == "json_schema":
            # As llama-cpp-python does it.
            reply.whole(500, {"error": {"message": "Input should be 'text' or 'json_object'", "type": "internal"}})
        else:
            written("openai", HAPPY_SAD)(reply)

    server.answer = answer
    (tmp_path / "question").write_text("Кто?", encoding="utf-8")
    params = OpenAiParams(base_url=f"http://{server.address}/v1", emotions=True)
    OpenAiEngine().run(Job(inputs={"question": tmp_path / "question"}, out=tmp_path, params=params))
    assert (tmp_path / "script.txt").read_text(encoding="utf-8").strip() == SCRIPT
    assert [body["response_format"] for _, body in server.posts] == [
        {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}},
        {"type": "json_object", "schema": SCHEMA},
    ]


def test_a_model_that_does_not_keep_to_it(ask: Ask, server: ModelServer, kind: str) -> None:
    server.answer = written(kind, "[happy] Ура! [sad] Увы.")
    assert ask()[:2] == ("Ура! Увы.\n", "[happy] Ура! [sad] Увы.") and len(server.posts) == 1
    server.answer = lambda reply: written(kind, '{"mood": 5}' if schema_of(kind, reply.body) else "Ура!")(reply)
    answered, heard, notes = ask()
    assert answered == "Ура!\n" and heard == "Ура!" and any("asked again" in note for note in notes)
    server.answer = written(kind, "...")
    with pytest.raises(NoAnswer):
        ask()


def test_thoughts_are_not_spoken(ask: Ask, server: ModelServer, kind: str) -> None:
    server.answer = written(kind, f"<think>Тайна {{.</think>\n{HAPPY_SAD}", 4)
    assert ask()[1] == SCRIPT
    server.answer = written(kind, document(("happy", "<think>Тайна</think>Ура!")), 4)
    assert ask()[1] == "[happy] Ура!"


def test_an_answer_that_is_too_long_trails_off(ask: Ask, server: ModelServer, kind: str) -> None:
    server.answer = written(kind, '{"sentences": [{"emotion": "sad", "text": "Раз. Потом он', reason="length")
    assert ask()[:2] == ("Раз. Потом он…\n", "[sad] Раз. Потом он…")


def test_a_stream_that_breaks_is_not_begun_again(ask: Ask, server: ModelServer, kind: str) -> None:
    begun, failure = '{"sentences": [{"emotion": "sad", "text": "Раз. Дв', {"error": {"message": "out of memory"}}
    first = {"ollama": line(begun), "openai": data(chunk(begun)), "gemini": generated(begun)}[kind]
    last = b'{"error":"out of memory"}\n' if kind == "ollama" else data(failure)

    def answer(reply: Reply) -> None:
        reply.start("application/x-ndjson" if kind == "ollama" else "text/event-stream")
        reply.send(first + last)
        reply.end()

    server.answer = answer
    with pytest.raises(StepFailed, match="could not answer") as caught:
        ask()
    assert caught.value.why == "out of memory" and len(server.posts) == 1


def test_the_way_of_asking_is_in_the_key(server: ModelServer, bare: Studio) -> None:
    def key(*more: str) -> str:
        plan = bare.ok("ask", "Кто?", "--set", "answer.engine=ollama", "--dry-run", "--json", *more).json
        return str(next(s["key"] for s in plan["steps"] if s["stage"] == "answer"))

    assert len({key(), key("--set", "answer.emotions=on"), key("--set", "answer.structured=off")}) == 3


def test_a_film_shows_the_faces(server: ModelServer, studio: Studio) -> None:
    server.answer = ollama([HAPPY_SAD[i : i + 5] for i in range(0, len(HAPPY_SAD), 5)])
    arguments = ("ask", "Кто?", "--set", "answer.engine=ollama", "--set", "answer.emotions=on", "--render")
    done = studio.ok(*arguments, "--set", "check.enabled=false")
    assert "Он летит." in done.err and "happy" not in done.err and "{" not in done.err
    steps = studio.ok(*arguments, "--dry-run", "--json").json["steps"]
    shown = [step["params"]["emotion"] for step in steps if step["stage"] == "animate"]
    assert shown == ["happy", "happy", "sad"]
