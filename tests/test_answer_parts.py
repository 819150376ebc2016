"""The parts of an answer by a language model: what is said of its writing, events out of bytes, addresses."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from avatarctl.engines.chat.address import ollama_address, openai_address
from avatarctl.engines.chat.events import events
from avatarctl.engines.chat.follow import Line, follow
from avatarctl.engines.chat.spec import OllamaParams, OpenAiParams
from avatarctl.engines.chat.spoken import NO_ANSWER, Spoken
from avatarctl.engines.contract import Cancelled
from avatarctl.errors import BadConfig, Offline, StepFailed


def said(text: str, size: int, *, may_refuse: bool = False) -> tuple[str, Spoken]:
    spoken = Spoken(may_refuse=may_refuse)
    pieces = [spoken.feed(text[i : i + size]) for i in range(0, len(text), size)]
    heard = "".join([*pieces, spoken.close()])
    assert heard == spoken.text
    return heard, spoken


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("Привет, мир.", "Привет, мир."),
        ("\n\n Да.  \n", "Да."),
        ("<think>Так, надо подумать: a < b.\n</think>\n\nДа.", "Да."),
        ("<think>\n\n</think>\n\nДа.", "Да."),
        ("</think>Да.", "Да."),
        ("<THINKING>Hm</THINKING>Yes.", "Yes."),
        ("Раз. <think>тайна</think>Два.", "Раз. Два."),
        ("<think>никогда не кончается", ""),
        ("<think>а <think> б</think>Да.", "Да."),
        ("Если a < b и b <c, то <b>да</b>.", "Если a < b и b <c, то <b>да</b>."),
        ("Конец <thin", "Конец <thin"),
        ("Раз.\n\nДва.", "Раз.\n\nДва."),
        ("A\x00B\x1b[0m\ud83d!", "AB[0m!"),
        (NO_ANSWER, NO_ANSWER),
    ],
)
def test_what_is_said(written: str, heard: str, size: int) -> None:
    assert said(written, size)[0] == heard


def test_what_is_certain_is_said_at_once() -> None:
    spoken = Spoken()
    assert spoken.feed("Да, 1 <") == "Да, 1"
    assert spoken.feed(" 2. ") == " < 2."
    assert spoken.feed("<thi") == ""
    assert spoken.feed("s>") == " <this>"


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_thoughts_without_a_beginning_are_not_passed_off_as_an_answer(size: int) -> None:
    with pytest.raises(StepFailed, match="thoughts"):
        said("Хм, надо подумать.</think>Да.", size)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    "written", [NO_ANSWER, f"\n**{NO_ANSWER}**", f"<think>ну</think>{NO_ANSWER}. Увы.", f'"{NO_ANSWER}"']
)
def test_a_refusal_is_seen_and_not_said(written: str, size: int) -> None:
    heard, spoken = said(written, size, may_refuse=True)
    assert spoken.refused and heard == ""


@pytest.mark.parametrize("written", ["NO, there is not.", "NO_ANS", "**Да**", "Ответ: NO_ANSWER"])
def test_what_only_looks_like_a_refusal(written: str) -> None:
    heard, spoken = said(written, 1, may_refuse=True)
    assert not spoken.refused and heard == written


STREAM = (
    "\ufeff: welcome\r\n\r\ndata: {\"a\": \"я\"}\r\n\r\n: keep-alive\n\ndata:one\ndata: two\n\nevent: error\r"
    "data: x\r\rid: 7\nretry: 5\ndata\n\ndata:  spaced \n\nerror: {}\n\ndata: cut off"
)  # fmt: skip
EVENTS = [
    ("message", '{"a": "я"}'),
    ("message", "one\ntwo"),
    ("error", "x"),
    ("message", ""),
    ("message", " spaced "),
    ("error", "{}"),
]


@pytest.mark.parametrize("seed", range(30))
def test_events_are_the_same_however_the_bytes_are_cut(seed: int) -> None:
    chance, rest = random.Random(seed), STREAM.encode()
    blocks = []
    while rest:
        size = chance.randint(1, 1 if seed < 2 else 30)
        blocks.append(rest[:size])
        rest = rest[size:]
    assert list(events(blocks)) == EVENTS


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="never ends"):
        list(events(b"x" * 65536 for _ in range(1000)))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":56789", "http://127.0.0.1:56789"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("http://gpu.lan", "http://gpu.lan:80"),
        ("https://gpu.lan/ollama/", "https://gpu.lan:443/ollama"),
        ("[::1]:5", "http://[::1]:5"),
    ],
)
def test_ollama_addresses(host: str, url: str) -> None:
    assert ollama_address(host, {}).url == url
    assert ollama_address("", {"OLLAMA_HOST": host}).url == url


def test_openai_addresses() -> None:
    assert openai_address("http://localhost:8080").url == "http://localhost:8080/v1"
    assert openai_address("127.0.0.1:1234/v1/").url == "http://127.0.0.1:1234/v1"
    assert openai_address("https://api.example.com/openai/v1").url == "https://api.example.com:443/openai/v1"


@pytest.mark.parametrize("text", ["ftp://a", "http://a:b:c", "http://", "http://a b", "http://a:99999"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadConfig):
        OpenAiParams.parse({"base_url": text}, "answer")


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@a", "http://a/v1?key=hunter2", "http://hunter2@a", "http://a/#hunter2"]
)
def test_an_address_holds_no_secret(url: str) -> None:
    for parse in (ollama_address, openai_address):
        with pytest.raises(BadConfig) as caught:
            parse(url)
        assert "hunter2" not in str(caught.value.as_dict())


def test_a_key_is_no_setting() -> None:
    with pytest.raises(BadConfig) as caught:
        OpenAiParams.parse({"key_variable": "sk-hunter2"}, "answer")
    assert "hunter2" not in str(caught.value.as_dict())
    with pytest.raises(BadConfig, match="api_key"):
        OpenAiParams.parse({"api_key": "x"}, "answer")


@pytest.mark.parametrize("keep", ["", "soon", "5 m", "1d"])
def test_durations(keep: str) -> None:
    with pytest.raises(BadConfig):
        OllamaParams.parse({"keep_alive": keep}, "answer")
    for good in ("0", "-1", "300", "5m", "1h30m", "1.5h"):
        OllamaParams.parse({"keep_alive": good}, "answer")


def test_only_this_machine_is_not_the_network() -> None:
    forbidden = {"AVATARCTL_OFFLINE": "1"}
    for here in ("", "localhost", "127.0.0.2", "[::1]"):
        ollama_address(here, {}).check_allowed(forbidden)
    for away in ("10.0.0.1", "gpu.lan", "localhost.example.com"):
        ollama_address(away, {}).check_allowed({})
        with pytest.raises(Offline):
            ollama_address(away, {}).check_allowed(forbidden)


@pytest.fixture
def link() -> Iterator[socket.socket]:
    """An end of a connection at whose other end nobody says a word."""
    here, there = socket.socketpair()
    with here, there:
        yield here


def test_a_silent_server_is_given_up(link: socket.socket) -> None:
    ended = threading.Event()

    def silence(line: Line) -> Iterator[str]:
        line.opened(link)
        yield "one"
        assert link.recv(1) == b""
        ended.set()

    stream = follow(silence, cancelled=lambda: False, patience=0.3)
    assert next(stream) == "one"
    with pytest.raises(StepFailed, match="nothing for"):
        next(stream)
    assert ended.is_set(), "the reader still waits"


def test_a_connection_that_stands_too_late_is_ended_too(link: socket.socket) -> None:
    line = Line()
    line.hang_up()
    line.opened(link)
    assert link.recv(1) == b""


def test_the_reader_s_own_error_is_raised() -> None:
    def broken(line: Line) -> Iterator[str]:
        yield "one"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(follow(broken, cancelled=lambda: False, patience=5))
    with pytest.raises(Cancelled):
        list(follow(broken, cancelled=lambda: True, patience=5))
