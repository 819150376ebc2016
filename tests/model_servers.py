"""Model servers for tests: real HTTP on loopback, with answers that come byte by byte as the test wants."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "qwen3:4b-instruct-2507-q4_K_M"
DIGEST = "a" * 64
OTHER_DIGEST = "b" * 64
TAGS = {
    "models": [
        {
            "name": MODEL,
            "model": MODEL,
            "modified_at": "2025-08-06T12:00:00.123456789Z",
            "size": 2497293931,
            "digest": DIGEST,
            "details": {"format": "gguf", "family": "qwen3", "parameter_size": "4.0B", "quantization_level": "Q4_K_M"},
        },
        {"name": "small:latest", "model": "small:latest", "size": 1, "digest": OTHER_DIGEST, "details": {}},
    ]
}


class Reply:
    """One answer under way, in HTTP/1.1 chunks."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        self._handler = handler
        self.path = handler.path
        self.body = body

    def start(self, content_type: str, status: int = 200) -> None:
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", content_type)
        self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()

    def send(self, data: bytes) -> None:
        self._handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self._handler.wfile.flush()

    def end(self) -> None:
        self._handler.wfile.write(b"0\r\n\r\n")

    def whole(self, status: int, document: Any, content_type: str = "application/json", **headers: str) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.send_header("Content-Type", content_type)
        self._handler.send_header("Content-Length", str(len(data)))
        self._handler.end_headers()
        self._handler.wfile.write(data)

    def redirect(self, location: str) -> None:
        self._handler.send_response(307)
        self._handler.send_header("Location", location)
        self._handler.send_header("Content-Length", "0")
        self._handler.end_headers()

    def cut_short(self, data: bytes, sent: int) -> None:
        """Promise all of `data`, send so many bytes of it, and be gone."""
        self._handler.send_response(200)
        self._handler.send_header("Content-Length", str(len(data)))
        self._handler.end_headers()
        self._handler.wfile.write(data[:sent])
        self.die()

    def die(self) -> None:
        """The process is gone: no last chunk, no goodbye."""
        self._handler.close_connection = True
        self._handler.connection.shutdown(socket.SHUT_RDWR)

    def hung_up(self, seconds: float = 10.0) -> bool:
        """Whether the client closes its connection within that time."""
        ready, _, _ = select.select([self._handler.connection], [], [], seconds)
        try:
            return bool(ready) and self._handler.connection.recv(1) == b""
        except ConnectionError:
            return True


Behaviour = Callable[[Reply], None]


class ModelServer(ThreadingHTTPServer):
    """`answer` performs each POST; GETs are looked up in `documents` by path, with its query
    or without: (status, document), or a behaviour.
    `posts` have their body as JSON, or as bytes where it is none."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.documents: dict[str, tuple[int, Any] | Behaviour] = {}
        self.answer: Behaviour = lambda reply: reply.whole(500, {"error": "no answer was set"})
        self.posts: list[tuple[str, Any]] = []
        self.gets: list[str] = []
        self.deletes: list[str] = []
        self.headers: list[dict[str, str]] = []
        """Of every request, names in lower case."""
        self.failure: BaseException | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None: ...


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        self.server.gets.append(self.path)
        self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
        known, bare = self.server.documents, self.path.partition("?")[0]
        found = known.get(self.path, known.get(bare, (404, b"404 page not found")))
        self._perform(found if callable(found) else lambda reply: reply.whole(*found), None)

    def do_DELETE(self) -> None:
        self.server.deletes.append(self.path)
        Reply(self, None).whole(200, {"data": {"id": self.path.rpartition("/")[2]}})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(data) if self.headers.get_content_type() == "application/json" else data
        self.server.posts.append((self.path, body))
        self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
        self._perform(self.server.answer, body)

    def _perform(self, behaviour: Behaviour, body: Any) -> None:
        try:
            behaviour(Reply(self, body))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@contextmanager
def serving() -> Iterator[ModelServer]:
    """A server for the length of a test."""
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


# -- Ollama: lines of JSON (its docs/api.md, "Generate a chat completion")


def line(content: str = "", **fields: Any) -> bytes:
    """One line of /api/chat."""
    message = {"role": "assistant", "content": content, **fields.pop("message", {})}
    stamp = {"model": MODEL, "created_at": "2025-08-06T12:00:00.123456Z", "message": message, "done": False}
    return json.dumps({**stamp, **fields}, ensure_ascii=False).encode() + b"\n"


def last(reason: str = "stop") -> bytes:
    """The line that ends an answer."""
    counts = {"total_duration": 5, "load_duration": 1, "prompt_eval_count": 9, "eval_count": 3, "eval_duration": 2}
    return line(done=True, done_reason=reason, **counts)


def ollama(pieces: Sequence[str], *, cut: int = 0, reason: str = "stop") -> Behaviour:
    """An answer in these pieces; `cut`: the bytes arrive in blocks of that size, wherever that falls."""

    def answer(reply: Reply) -> None:
        data = b"".join([*(line(piece) for piece in pieces), last(reason)])
        reply.start("application/x-ndjson")
        size = cut or len(data)
        for start in range(0, len(data), size):
            reply.send(data[start : start + size])
        reply.end()

    return answer


# -- OpenAI's protocol: server-sent events


def chunk(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk of /v1/chat/completions."""
    fields = delta if content is None else {"content": content, **delta}
    choice = {"index": 0, "delta": fields, "logprobs": None, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


USAGE = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": {}}


def data(document: Any, newline: str = "\n") -> bytes:
    """One event."""
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    return f"data: {text}{newline}{newline}".encode()


def sse(body: bytes, *, cut: int = 0) -> Behaviour:
    """A stream of events; `cut` as above."""

    def answer(reply: Reply) -> None:
        reply.start("text/event-stream; charset=utf-8")
        size = cut or len(body)
        for start in range(0, len(body), size):
            reply.send(body[start : start + size])
        reply.end()

    return answer


def models(*entries: dict[str, Any]) -> tuple[int, Any]:
    """What /v1/models answers."""
    return 200, {"object": "list", "data": [{"object": "model", "created": 1, **entry} for entry in entries]}
