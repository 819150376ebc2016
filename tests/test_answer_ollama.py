"""The engine `ollama` against servers that follow Ollama's protocol to the letter, and break in every way."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarctl.engines import registry
from avatarctl.engines.chat import identity
from avatarctl.engines.chat.ollama_engine import OllamaEngine
from avatarctl.engines.chat.spec import OllamaParams
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import AvatarctlError, BadInput, Offline, StepFailed, Unavailable
from avatarctl.knowledge import demo_documents, read_document
from avatarctl.knowledge.index import build
from avatarctl.knowledge.refusal import NO_DOCUMENTS, NOT_FOUND
from avatarctl.stages.catalog import stage
from tests import model_servers
from tests.model_servers import DIGEST, MODEL, OTHER_DIGEST, ModelServer, Reply, last, line, ollama, serving

Ask = Callable[..., tuple[str, dict[str, Any], str]]
QUESTION = "Кто первым полетел в космос?"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    # What a proxy would see must not leave this machine.
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving() as made:
        made.documents["/api/tags"] = (200, model_servers.TAGS)
        monkeypatch.setenv("OLLAMA_HOST", made.address)
        yield made


@pytest.fixture
def ask(server: ModelServer, tmp_path: Path) -> Ask:
    """Answer, sources and all that was emitted."""

    def perform(
        question: str = QUESTION, *, inputs: dict[str, Path] | None = None, seed: int = 0, **params: Any
    ) -> tuple[str, dict[str, Any], str]:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        for file in out.iterdir():
            file.unlink()
        (tmp_path / "question").write_text(question, encoding="utf-8")
        heard: list[str] = []
        given = {"question": tmp_path / "question", **(inputs or {})}
        job = Job(inputs=given, out=out, params=OllamaParams(**params), seed=seed, emit=heard.append)
        engine = OllamaEngine()
        engine.load({})
        try:
            engine.run(job)
        except AvatarctlError:
            assert list(out.iterdir()) == [], "nothing may be half-written"
            raise
        finally:
            engine.close()
        contract = stage("answer")
        made = {o.role: out / (o.role + o.suffix) for o in contract.outputs}
        contract.validate({role: path for role, path in made.items() if path.exists()}, given, None)
        sources = json.loads((out / "sources.json").read_text(encoding="utf-8"))
        return (out / "answer.txt").read_text(encoding="utf-8"), sources, "".join(heard)

    return perform


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "index.sqlite"
    build([read_document(p) for p in demo_documents()], path)
    return path


@pytest.mark.parametrize("cut", [0, 1, 7, 64])
def test_bytes_may_be_cut_anywhere(ask: Ask, server: ModelServer, cut: int) -> None:
    server.answer = ollama(["Пер", "вым был", " Юрий", " Гагарин", " 🚀.", "\n"], cut=cut)
    answer, sources, heard = ask()
    assert answer == "Первым был Юрий Гагарин 🚀.\n" and heard == answer.strip()
    assert sources["found"] and sources["model"] == MODEL and not sources["truncated"]
    assert sources["schema"] == "sources/1" and sources["language"] == "ru"


def test_what_the_server_is_asked(ask: Ask, server: ModelServer) -> None:
    server.answer = ollama(["Да."])
    ask(seed=5, temperature=0.5, num_ctx=2048, max_tokens=99, keep_alive="300")
    ((path, body),) = server.posts
    assert path == "/api/chat" and body["stream"] is True and body["model"] == MODEL
    assert body["options"] == {"temperature": 0.5, "seed": 5, "num_ctx": 2048, "num_predict": 99}
    assert body["keep_alive"] == 300 and body["think"] is False
    system, user = body["messages"]
    assert system["role"] == "system" and "Answer in Russian" in system["content"]
    assert user == {"role": "user", "content": QUESTION}
    ask("Who was first?", think=True, keep_alive="5m", max_sentences=1)
    body = server.posts[-1][1]
    assert body["think"] is True and body["keep_alive"] == "5m"
    assert "Answer in English" in body["messages"][0]["content"] and "one sentence" in body["messages"][0]["content"]


def test_the_persona_speaks(ask: Ask, server: ModelServer, tmp_path: Path) -> None:
    server.answer = ollama(["Да."])
    (tmp_path / "persona").write_text("Ты Хоппер, адмирал.", encoding="utf-8")
    ask(inputs={"persona": tmp_path / "persona"})
    assert server.posts[0][1]["messages"][0]["content"].startswith("Ты Хоппер, адмирал.\n")


def test_documents_are_given_and_named(ask: Ask, server: ModelServer, index: Path) -> None:
    server.answer = ollama(["Первым человеком в космосе был Юрий Гагарин. ", "Его полёт продолжался 108 минут."])
    _, sources, _ = ask(inputs={"index": index})
    user = server.posts[0][1]["messages"][1]["content"]
    assert "first-flights.md: Юрий Гагарин\n" in user and user.endswith(f"Question: {QUESTION}")
    first = sources["sources"][0]
    assert (first["document"], first["heading"]) == ("first-flights.md", "Юрий Гагарин")
    assert set(first) == {"document", "heading", "sentence", "score", "coverage"}
    server.answer = ollama(["Борщ варят из свёклы."])
    assert ask("Как сварить борщ?", inputs={"index": index})[1]["sources"] == []
    ask(inputs={"index": index}, passages=0)
    assert server.posts[-1][1]["messages"][1]["content"] == QUESTION


def test_documents_alone(ask: Ask, server: ModelServer, index: Path) -> None:
    answer, sources, heard = ask(only_documents=True)
    assert answer.strip() == heard == NO_DOCUMENTS["ru"] and sources["reason"] == "no_documents"
    assert server.posts == [], "there is nothing to ask about"
    server.answer = ollama(["NO_", "ANS", "WER", "."])
    answer, sources, heard = ask("Сколько весит Луна?", only_documents=True, inputs={"index": index})
    assert answer.strip() == heard == NOT_FOUND["ru"]
    assert not sources["found"] and sources["reason"] == "no_match" and sources["hint"]
    server.answer = ollama(["Но ", "108 минут."])
    assert ask("Сколько длился полёт Гагарина?", only_documents=True, inputs={"index": index})[0] == "Но 108 минут.\n"


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_thoughts_are_never_spoken(ask: Ask, server: ModelServer, cut: int) -> None:
    def answer(reply: Reply) -> None:
        lines = [
            line("", message={"thinking": "Тайна."}),
            line("<th"),
            line("ink>Тай"),
            line("на</thi"),
            line("nk>\n\nДа."),
        ]
        body = b"".join([*lines, last()])
        reply.start("application/x-ndjson")
        for start in range(0, len(body), cut or len(body)):
            reply.send(body[start : start + (cut or len(body))])
        reply.end()

    server.answer = answer
    answer_text, _, heard = ask(think=True)
    assert answer_text == "Да.\n" and heard == "Да."


def test_tags_of_emotions(ask: Ask, server: ModelServer, tmp_path: Path) -> None:
    server.answer = ollama(["[hap", "py] Ура! ", "[sad] Увы."])
    answer, _, heard = ask(emotions=True, structured=False)
    assert answer == "Ура! Увы.\n" and heard == "[happy] Ура! [sad] Увы."
    assert (tmp_path / "out" / "script.txt").read_text(encoding="utf-8").strip() == heard
    assert "[surprised]" in server.posts[0][1]["messages"][0]["content"]
    server.answer = ollama(["Ура!"])
    ask()
    assert not (tmp_path / "out" / "script.txt").exists()
    assert "[surprised]" not in server.posts[1][1]["messages"][0]["content"]


def test_an_answer_that_is_too_long_trails_off(ask: Ask, server: ModelServer) -> None:
    server.answer = ollama(["Раз. Потом он"], reason="length")
    answer, sources, heard = ask()
    assert answer == "Раз. Потом он…\n" and heard == answer.strip() and sources["truncated"]


@pytest.mark.parametrize("pieces", [[], [" \n"], ["<think>только мысли"], ["[happy]"], ["..."]])
def test_an_answer_of_nothing_is_a_failure(ask: Ask, server: ModelServer, pieces: list[str]) -> None:
    server.answer = ollama(pieces)
    with pytest.raises(StepFailed, match="no answer"):
        ask(emotions=True)


def test_the_first_word_may_be_slow(ask: Ask, server: ModelServer) -> None:
    """Ollama loads a model before it sends even a header."""
    ready = threading.Event()
    threading.Timer(0.7, ready.set).start()

    def answer(reply: Reply) -> None:
        assert ready.wait(10)
        ollama(["Да."])(reply)

    server.answer = answer
    assert ask()[0] == "Да.\n"


def mid_stream(ending: Callable[[Reply], None]) -> Callable[[Reply], None]:
    def answer(reply: Reply) -> None:
        reply.start("application/x-ndjson")
        reply.send(line("Первое предложение. Втор"))
        ending(reply)

    return answer


def ending_with(data: bytes) -> Callable[[Reply], None]:
    def ending(reply: Reply) -> None:
        reply.send(data)
        reply.end()

    return ending


ENDINGS: dict[str, tuple[Callable[[Reply], None], str]] = {
    "dies": (lambda reply: reply.die(), "broke off"),
    "ends without done": (lambda reply: reply.end(), "broke off"),
    "half a line": (ending_with(b'{"message": {"cont'), "broke off"),
    "not JSON": (ending_with(b"<html>\n"), "broke off"),
    "error": (ending_with(b'{"error":"cuda: out\\nof memory"}\n'), "could not"),
}


@pytest.mark.parametrize("name", list(ENDINGS))
def test_a_stream_that_breaks_leaves_nothing(ask: Ask, server: ModelServer, name: str) -> None:
    ending, words = ENDINGS[name]
    server.answer = mid_stream(ending)
    with pytest.raises(StepFailed, match=words) as caught:
        ask()
    assert caught.value.retryable
    if name == "error":
        assert caught.value.why == "cuda: out of memory"


def test_a_silent_server_is_given_up(ask: Ask, server: ModelServer) -> None:
    hung_up = threading.Event()
    server.answer = mid_stream(lambda reply: hung_up.set() if reply.hung_up() else None)
    with pytest.raises(StepFailed, match="nothing for 1 s"):
        ask(timeout=1)
    assert hung_up.wait(5), "the server was left computing"


@pytest.mark.parametrize(
    ("status", "document", "kind", "words"),
    [
        (404, {"error": f'model "{MODEL}" not found'}, Unavailable, f"ollama pull {MODEL}"),
        (500, {"error": "llama runner process has terminated"}, StepFailed, "llama runner"),
        (500, b"", StepFailed, "try again"),
        (503, {"error": "server busy, please try again"}, StepFailed, "busy"),
        (401, {"error": "unauthorized"}, Unavailable, "signin"),
        (400, {"error": '"x" does not support thinking'}, Unavailable, "answer.think=false"),
    ],
)
def test_refusals(
    ask: Ask, server: ModelServer, status: int, document: Any, kind: type[AvatarctlError], words: str
) -> None:
    server.answer = lambda reply: reply.whole(status, document)
    with pytest.raises(kind) as caught:
        ask()
    assert words in f"{caught.value.as_dict()}"
    assert "\n" not in caught.value.why


def test_a_server_that_sends_elsewhere_is_not_followed(ask: Ask, server: ModelServer) -> None:
    with serving() as other:
        server.answer = lambda reply: reply.redirect(f"http://{other.address}/api/chat")
        with pytest.raises(StepFailed):
            ask()
        assert other.posts == []


@pytest.mark.parametrize("when", ["before the headers", "in the middle"])
def test_a_run_that_ends_hangs_up(server: ModelServer, tmp_path: Path, when: str) -> None:
    asked, hung_up = threading.Event(), threading.Event()

    def answer(reply: Reply) -> None:
        if when == "in the middle":
            reply.start("application/x-ndjson")
            reply.send(line("Первое "))
        asked.set()
        if reply.hung_up():
            hung_up.set()

    server.answer = answer
    (tmp_path / "question").write_text("?", encoding="utf-8")
    job = Job(inputs={"question": tmp_path / "question"}, out=tmp_path, params=OllamaParams(), cancelled=asked.is_set)
    with pytest.raises(Cancelled):
        OllamaEngine().run(job)
    assert hung_up.wait(5), "the server was left computing"
    assert not (tmp_path / "answer.txt").exists()


def test_an_empty_question_is_refused(ask: Ask) -> None:
    with pytest.raises(BadInput):
        ask(" \n")


# -- which model it is


def test_the_digest_is_the_server_s(server: ModelServer) -> None:
    assert identity.ollama(OllamaParams()) == {"model": DIGEST}
    assert identity.ollama(OllamaParams(model="Small")) == {"model": OTHER_DIGEST}
    assert identity.ollama(OllamaParams(model="library/small:latest")) == {"model": OTHER_DIGEST}
    with pytest.raises(Unavailable) as caught:
        identity.ollama(OllamaParams(model="small:7b"))
    assert caught.value.hint == "ollama pull small:7b"


def test_no_server(server: ModelServer, ask: Ask) -> None:
    with pytest.raises(Unavailable, match="no Ollama server") as caught:
        identity.ollama(OllamaParams(host="127.0.0.1:1"))
    assert "ollama serve" in caught.value.hint
    with pytest.raises(Unavailable, match="no Ollama server"):
        ask(host="127.0.0.1:1")


@pytest.mark.parametrize("reply", [(500, b"oops"), (200, b"<html>"), (200, {"models": 1}), (200, [])])
def test_something_else_answers(server: ModelServer, reply: tuple[int, Any]) -> None:
    server.documents["/api/tags"] = reply
    with pytest.raises(Unavailable, match="not Ollama"):
        identity.ollama(OllamaParams())


def test_offline_keeps_questions_on_this_machine(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Offline):
        identity.ollama(OllamaParams(host="http://192.0.2.1"))
    entry = {"name": "big:cloud", "model": "big:cloud", "digest": DIGEST, "remote_host": "https://ollama.example:443"}
    server.documents["/api/tags"] = (200, {"models": [entry]})
    with pytest.raises(Offline, match="another machine"):
        identity.ollama(OllamaParams(model="big:cloud"))
    monkeypatch.setenv("AVATARCTL_OFFLINE", "0")
    assert identity.ollama(OllamaParams(model="big:cloud")) == {"model": DIGEST}


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ollama", None)
    monkeypatch.delitem(sys.modules, "avatarctl.engines.chat.ollama_engine")
    with pytest.raises(Unavailable) as caught:
        registry.create(registry.get("answer", "ollama"))
    assert caught.value.hint == "pip install 'avatarctl[ollama]'"
