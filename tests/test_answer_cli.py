"""Answers by language models through the command line: streamed into a film, kept, named by their model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from tests.model_servers import MODEL, TAGS, ModelServer, Reply, chunk, data, last, line, models, ollama, serving, sse
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged

QUESTION = "Кто первым полетел в космос?"
SECRET = "hunter2-abcdef"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with serving() as made:
        made.documents["/api/tags"] = (200, TAGS)
        monkeypatch.setenv("OLLAMA_HOST", made.address)
        yield made


def ask(studio: Studio, *more: str) -> dict[str, object]:
    document = studio.ok("ask", QUESTION, "--set", "answer.engine=ollama", "--json", *more).json
    assert isinstance(document, dict)
    return document


def key_of(studio: Studio, *more: str) -> str:
    run = studio.ok("ask", QUESTION, "--set", "answer.engine=ollama", "--dry-run", "--json", *more)
    return next(str(s["key"]) for s in run.json["steps"] if s["stage"] == "answer")


def test_the_first_sentence_is_spoken_while_the_model_still_writes(server: ModelServer, studio: Studio) -> None:
    spoken, rest = threading.Event(), threading.Event()

    def answer(reply: Reply) -> None:
        reply.start("application/x-ndjson")
        reply.send(line("[happy] Первым был Гагарин. "))
        reply.send(line("Он летал "))
        # The run has to speak before it goes on here.
        if spoken.wait(60):
            reply.send(line("недолго."))
            reply.send(last())
            rest.set()
            reply.end()
        else:
            reply.die()

    server.answer = answer
    arguments = ("--set", "answer.engine=ollama", "--set", "answer.emotions=on")
    process = studio.start("ask", QUESTION, "--render", *arguments)
    assert process.stderr is not None and process.stdout is not None
    said = b""
    for entry in process.stderr:
        said += entry
        if b"speak" in entry and b"done" in entry:
            spoken.set()
    film = process.stdout.read().decode().strip()
    assert process.wait(120) == 0, said.decode()
    process.stderr.close()
    process.stdout.close()
    assert rest.is_set() and film.endswith(".mp4")
    assert studio.delivered() == [film.rpartition("/")[2]]
    assert "Первым был Гагарин.\n" in said.decode() and "[happy]" not in said.decode()
    # From the cache the face shows the same, and the text is as clean.
    again = studio.ok("ask", QUESTION, "--render", *arguments, "--json")
    assert again.json["answer"].strip() == "Первым был Гагарин. Он летал недолго."
    assert len(server.posts) == 1 and studio.delivered() == [film.rpartition("/")[2]]


def test_a_stream_that_breaks_leaves_no_film(server: ModelServer, studio: Studio) -> None:
    def answer(reply: Reply) -> None:
        reply.start("application/x-ndjson")
        reply.send(line("Первое предложение. Второе"))
        reply.send(b'{"error":"out of memory"}\n')
        reply.end()

    server.answer = answer
    refused(studio.run("ask", QUESTION, "--render", "--set", "answer.engine=ollama"), 1, "out of memory", "try again")
    assert studio.delivered() == []
    server.answer = ollama(["Да."])
    assert ask(studio)["answer"] == "Да.\n"


def test_the_first_answer_stays_until_another_is_asked_for(server: ModelServer, bare: Studio) -> None:
    texts = iter(["Раз.", "Два.", "Три.", "Четыре."])
    server.answer = lambda reply: ollama([next(texts)])(reply)
    assert ask(bare)["answer"] == ask(bare)["answer"] == "Раз.\n"
    assert ask(bare, "--take", "1")["answer"] == "Два.\n"
    assert ask(bare)["answer"] == "Раз.\n"
    assert ask(bare, "--refresh")["answer"] == ask(bare)["answer"] == "Три.\n"
    assert ask(bare, "--seed", "9")["answer"] == "Четыре.\n"
    seeds = [body["options"]["seed"] for _, body in server.posts]
    assert seeds[0] == seeds[2] == 0 and seeds[3] == 9 and seeds[1] not in (0, 9)


def test_another_model_is_another_step(server: ModelServer, bare: Studio) -> None:
    first = key_of(bare)
    assert key_of(bare) == first and first
    assert key_of(bare, "--set", "answer.keep_alive=1m", "--set", f"answer.host=http://{server.address}") == first
    assert key_of(bare, "--set", "answer.temperature=0.9") != first
    entry = {**TAGS["models"][0], "digest": "c" * 64}
    server.documents["/api/tags"] = (200, {"models": [entry]})
    assert key_of(bare) != first
    assert server.posts == []


def test_a_plan_needs_the_server(server: ModelServer, bare: Studio) -> None:
    arguments = ("ask", QUESTION, "--set", "answer.engine=ollama", "--set", "answer.host=127.0.0.1:1")
    (step,) = bare.ok(*arguments, "--dry-run", "--json").json["steps"]
    assert (step["verdict"], step["key"]) == ("unknown", "") and "ollama serve" in step["reason"]
    refused(bare.run(*arguments), 4, "no Ollama server", "ollama serve")
    server.documents["/api/tags"] = (200, {"models": []})
    refused(bare.run("ask", QUESTION, "--set", "answer.engine=ollama"), 4, f"ollama pull {MODEL}")


def test_the_server_is_asked_once_a_run_which_model_it_has(server: ModelServer, bare: Studio) -> None:
    server.answer = ollama(["Да."])
    ask(bare)
    assert server.gets == ["/api/tags"]


def test_another_machine_is_refused_offline(bare: Studio) -> None:
    away = ("--set", "answer.engine=openai", "--set", "answer.base_url=https://192.0.2.1/v1")
    result = bare.run("ask", QUESTION, *away, "--json")
    assert result.code == 4 and json.loads(result.err.splitlines()[-1])["code"] == "offline"


def test_the_key_is_kept_nowhere(server: ModelServer, bare: Studio) -> None:
    server.documents["/v1/models"] = models({"id": "qwen"})
    settings = ("--set", "answer.engine=openai", "--set", f"answer.base_url=http://{server.address}/v1")
    answers = [
        sse(data(chunk("Да.")) + data(chunk(finish="stop"))),
        lambda reply: reply.whole(500, {"error": {"message": f"the key {SECRET} is odd"}}),
        lambda reply: reply.whole(401, {"error": {"message": f"the key {SECRET} is wrong"}}),
    ]
    shown = ""
    for number, answer in enumerate(answers):
        server.answer = answer
        result = bare.run("-v", "ask", f"{QUESTION} {number}", *settings, OPENAI_API_KEY=SECRET)
        assert result.code == (0, 1, 4)[number], result.err
        shown += result.out + result.err
    assert all(headers["authorization"] == f"Bearer {SECRET}" for headers in server.headers)
    assert SECRET not in shown
    kept = [p for folder in (bare.home, bare.work) for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    assert any(p.suffix == ".sqlite" or "ledger" in p.name for p in kept)
    assert [p.name for p in kept if SECRET.encode() in p.read_bytes()] == []
    for text in ("answer.key_variable=" + SECRET, f"answer.base_url=http://u:{SECRET}@127.0.0.1"):
        result = bare.run("ask", QUESTION, *settings, "--set", text)
        assert result.code == 3 and SECRET not in result.err
    assert [p.name for p in kept if SECRET.encode() in p.read_bytes()] == []


def test_a_stopped_run_hangs_up(server: ModelServer, bare: Studio) -> None:
    asked, hung_up = threading.Event(), threading.Event()

    def answer(reply: Reply) -> None:
        asked.set()
        if reply.hung_up(30):
            hung_up.set()

    server.answer = answer
    process = bare.start("ask", QUESTION, "--set", "answer.engine=ollama")
    assert asked.wait(60)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143 and hung_up.wait(10)
