"""Servers of language models that hang, drip and never stop: an answer, a job and a signal end within their bounds."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarctl.engines.chat import identity, transport
from avatarctl.engines.chat.ollama_engine import OllamaEngine
from avatarctl.engines.chat.openai_engine import OpenAiEngine
from avatarctl.engines.chat.spec import OllamaParams, OpenAiParams
from avatarctl.engines.contract import Job
from avatarctl.errors import StepFailed, Unavailable
from tests import odd_servers
from tests.model_servers import TAGS, ModelServer, Reply, chunk, data, line, models, ollama, serving
from tests.tools import Studio

QUESTION = "Кто первым полетел в космос?"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with serving() as made:
        made.documents["/api/tags"] = (200, TAGS)
        made.documents["/v1/models"] = models({"id": "small"})
        monkeypatch.setenv("OLLAMA_HOST", made.address)
        yield made


def perform(name: str, server: ModelServer, folder: Path, **params: Any) -> None:
    (folder / "question").write_text(QUESTION, encoding="utf-8")
    out = folder / "out"
    out.mkdir()
    given = {"question": folder / "question"}
    if name == "ollama":
        OllamaEngine().run(Job(inputs=given, out=out, params=OllamaParams(**params)))
    else:
        address = f"http://{server.address}/v1"
        OpenAiEngine().run(Job(inputs=given, out=out, params=OpenAiParams(base_url=address, **params)))


def for_ever(begin: Callable[[Reply], None], piece: bytes, pause: float = 0.0) -> Callable[[Reply], None]:
    """A stream that goes on until the client hangs up."""

    def answer(reply: Reply) -> None:
        begin(reply)
        while True:
            reply.send(piece)
            time.sleep(pause)

    return answer


def start(name: str) -> Callable[[Reply], None]:
    return lambda reply: reply.start("application/x-ndjson" if name == "ollama" else "text/event-stream")


def piece(name: str) -> bytes:
    """One that says something."""
    return line("и ещё ") if name == "ollama" else data(chunk("и ещё "))


@pytest.mark.parametrize("name", ["ollama", "openai"])
def test_bytes_that_drip_are_no_sign_of_life(server: ModelServer, tmp_path: Path, name: str) -> None:
    server.answer = for_ever(start(name), b"x", 0.05)
    with pytest.raises(StepFailed, match="nothing for 1 s"):
        perform(name, server, tmp_path, timeout=1)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["ollama", "openai"])
def test_an_answer_that_never_ends_is_ended(server: ModelServer, tmp_path: Path, name: str) -> None:
    server.answer = for_ever(start(name), piece(name))
    with pytest.raises(StepFailed, match="does not come to an end"):
        perform(name, server, tmp_path, max_tokens=9)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["ollama", "openai"])
def test_a_flood_does_not_fill_the_memory(
    server: ModelServer, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_STREAMED", 1 << 20)
    # No line ends, so that no piece is ever whole; or, of events, none is.
    server.answer = for_ever(start(name), b"x" * 9999 if name == "ollama" else b"data: " + b"x" * 9999 + b"\n")
    with pytest.raises(StepFailed) as caught:
        perform(name, server, tmp_path)
    assert "far too long" in caught.value.why


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (odd_servers.says_nothing, "within 1 s"),
        (odd_servers.drips, "within 1 s"),
        (odd_servers.breaks_off, "in the middle"),
    ],
)
def test_who_answers_no_small_question_is_no_server(
    monkeypatch: pytest.MonkeyPatch, behave: odd_servers.Behaviour, words: str
) -> None:
    monkeypatch.setattr(transport, "REPLY_SECONDS", 1.0)
    with odd_servers.taking(behave) as address:
        for ask in (
            lambda: identity.ollama(OllamaParams(host=address)),
            lambda: identity.openai(OpenAiParams(base_url=f"http://{address}/v1")),
        ):
            with pytest.raises(Unavailable, match="answers at") as caught:
                ask()
            assert words in caught.value.why and caught.value.hint


# -- through the command line


def write(studio: Studio) -> None:
    jobs = f"""
        defaults: {{avatar: astronaut, preset: lite, set: {{answer.engine: ollama}}}}
        jobs:
          - {{question: {QUESTION}, timeout: 2, priority: 9}}
          - {{question: Кто вторым?}}
    """
    (studio.work / "films.yaml").write_text(jobs, encoding="utf-8")


@pytest.mark.unjudged
def test_a_silent_server_costs_one_job_its_time(server: ModelServer, studio: Studio) -> None:
    def answer(reply: Reply) -> None:
        if QUESTION in json.dumps(reply.body, ensure_ascii=False):
            reply.hung_up(60)
        else:
            ollama(["Титов."])(reply)

    server.answer = answer
    write(studio)
    result = studio.run("batch", "run", "films.yaml", "--retries", "0", "--json")
    assert result.code == 1
    first, second = result.json["jobs"]
    assert (first["error"]["code"], second["status"]) == ("timeout", "done"), result.err


def test_a_batch_asks_first_whether_its_server_is_there(server: ModelServer, studio: Studio) -> None:
    write(studio)
    studio.ok("batch", "check", "films.yaml")
    assert server.gets == ["/api/tags"], "asked once, for however many jobs"
    server.documents["/api/tags"] = (200, {"models": []})
    for command in ("check", "run"):
        result = studio.run("batch", command, "films.yaml")
        assert result.code == 4 and "ollama pull" in result.err
    assert studio.ok("batch", "status", "--json").json["batches"] == [] and server.posts == []


@pytest.mark.unjudged
def test_a_signal_ends_a_batch_whose_server_drips(server: ModelServer, studio: Studio) -> None:
    server.answer = for_ever(start("ollama"), b"x", 0.05)
    write(studio)
    process = studio.start("batch", "run", "films.yaml")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not server.posts:
        time.sleep(0.02)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and time.monotonic() - asked < 10, err


def test_a_server_that_was_silent_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several presets, and all jobs of a batch, have the same server: its silence is waited for once."""
    monkeypatch.setattr(transport, "REPLY_SECONDS", 1.0)
    monkeypatch.setattr(transport, "SILENCE_SECONDS", 600.0)
    asked = []

    def listen(link: socket.socket) -> None:
        asked.append(1)
        odd_servers.says_nothing(link)

    with odd_servers.taking(listen) as address:
        for model in ("one", "two", "three"):
            with pytest.raises(Unavailable, match="answers at"):
                identity.ollama(OllamaParams(host=address, model=model))
    assert len(asked) == 1


@pytest.mark.unjudged
@pytest.mark.parametrize("command", [("doctor",), ("batch", "run", "films.yaml")])
def test_a_signal_is_not_taken_for_a_servers_fault(studio: Studio, command: tuple[str, ...]) -> None:
    """While a silent server is asked, with work that could be done without it."""
    asked = threading.Event()

    def listen(link: socket.socket) -> None:
        asked.set()
        odd_servers.says_nothing(link)

    job = "{question: Кто?, avatar: astronaut, set: {answer.engine: ollama}}"
    (studio.work / "films.yaml").write_text(f"jobs:\n  - {job}\n  - {{text: Да., avatar: astronaut}}\n", "utf-8")
    with odd_servers.taking(listen) as address:
        process = studio.start(*command, OLLAMA_HOST=address)
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    assert studio.delivered() == []
