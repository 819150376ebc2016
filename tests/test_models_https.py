"""Downloads against a server that misbehaves in every way a server can."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from avatarctl import models
from avatarctl.errors import Busy, Unavailable
from avatarctl.models import CATALOG, HttpsSource, Licence, Model, https, locks

CONTENT = random.Random(7).randbytes(300_000)
TAG = '"v1"'


class Handler(BaseHTTPRequestHandler):
    """Asks the server's `behaviours` in turn; the last one stays."""

    server: Server

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        with self.server.guard:
            self.server.requests.append(dict(self.headers))
            behaviour = self.server.behaviours[0]
            if len(self.server.behaviours) > 1:
                self.server.behaviours.pop(0)
        behaviour(self)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: list[Callable[[Handler], None]] = [good()]
        self.requests: list[dict[str, str]] = []
        self.guard = threading.Lock()
        self.release = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of these tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/toy.bin"


def good(
    content: bytes = CONTENT, *, cut: int | None = None, ranges: bool = True, tag: str | None = TAG
) -> Callable[[Handler], None]:
    """A server as it should be; `cut`: hangs up after so many bytes."""

    def answer(handler: Handler) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        same = handler.headers.get("If-Range", tag) == tag
        start = int(wanted[1]) if wanted and ranges and same else 0
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if tag:
            handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start : None if cut is None else start + cut])

    return answer


def says(code: int, **headers: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def claims(length: int) -> Callable[[Handler], None]:
    """Announces `length` bytes, and sends the content."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(CONTENT)

    return answer


def endless(handler: Handler) -> None:
    """Announces no length, and never stops."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(65536))


def stalls(after: int) -> Callable[[Handler], None]:
    """Sends so much, then nothing more, and keeps the connection."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("ETag", TAG)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:after])
        handler.wfile.flush()
        handler.server.release.wait(30)

    return answer


def drips(handler: Handler) -> None:
    """Slow, but it moves."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    for start in range(0, len(CONTENT), 20_000):
        handler.wfile.write(CONTENT[start : start + 20_000])
        handler.wfile.flush()
        handler.server.release.wait(0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def toy(url: str) -> Model:
    return Model(
        name="toy",
        summary="random bytes",
        licence=Licence(name="CC0-1.0"),
        sources=(HttpsSource(url=url),),
        file="toy.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        needed_by=("demo",),
    )


@pytest.fixture
def pull(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], models.Pulled]:
    monkeypatch.delenv("AVATARCTL_OFFLINE")
    monkeypatch.setattr(https, "PAUSES", (0.0,) * 5)
    monkeypatch.setattr(https, "TIMEOUT", 0.5)
    monkeypatch.setitem(CATALOG, "toy", toy(server.url))
    return lambda: models.pull(tmp_path / "models", ["toy"])[0]


def leftovers(tmp_path: Path) -> set[str]:
    return {p.name for p in (tmp_path / "models").rglob("*") if p.is_file()} - {"toy.lock"}


def ranges(server: Server) -> list[str | None]:
    return [r.get("Range") for r in server.requests]


def test_downloads_and_reports_progress(server: Server, tmp_path: Path, pull: Callable[[], models.Pulled]) -> None:
    seen: list[tuple[str, int, int]] = []
    result = models.pull(tmp_path / "models", ["toy"], progress=lambda *p: seen.append(p))[0]
    assert result.fetched and result.path.read_bytes() == CONTENT
    assert seen[0] == ("toy", 0, len(CONTENT)) and seen[-1] == ("toy", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert leftovers(tmp_path) == {"toy.bin"}
    assert not pull().fetched and len(server.requests) == 1


def test_resumes_where_the_connection_broke(server: Server, tmp_path: Path, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [good(cut=100_000), good(cut=50_000), good()]
    assert pull().path.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=100000-", "bytes=150000-"]
    assert server.requests[1]["If-Range"] == TAG
    assert leftovers(tmp_path) == {"toy.bin"}


def test_resumes_without_a_tag(server: Server, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [good(cut=1000, tag=None), good(tag=None)]
    assert pull().path.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000-"] and "If-Range" not in server.requests[1]


def test_a_file_that_changed_meanwhile_starts_over(server: Server, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [good(b"\0" * len(CONTENT), cut=1000, tag='"v0"'), good()]
    assert pull().path.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server: Server, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [good(cut=200_000), good(ranges=False)]
    assert pull().path.read_bytes() == CONTENT


def test_gives_up_and_goes_on_at_the_next_pull(
    server: Server, tmp_path: Path, pull: Callable[[], models.Pulled]
) -> None:
    server.behaviours = [good(cut=10_000)]
    with pytest.raises(Unavailable) as caught:
        pull()
    assert "attempts" in caught.value.what and len(server.requests) == 6
    assert leftovers(tmp_path) == {"toy.part", "toy.etag.part"}
    server.behaviours = [good()]
    assert pull().path.read_bytes() == CONTENT
    assert ranges(server)[-1] == f"bytes={10_000 * 6}-"
    assert leftovers(tmp_path) == {"toy.bin"}


@pytest.mark.parametrize("length", [len(CONTENT) + 1, len(CONTENT) - 1, 10])
def test_a_false_length_is_refused(
    length: int, server: Server, tmp_path: Path, pull: Callable[[], models.Pulled]
) -> None:
    server.behaviours = [claims(length)]
    with pytest.raises(Unavailable, match="length mismatch"):
        pull()
    assert leftovers(tmp_path) <= {"toy.part"}


def test_an_endless_answer_is_cut_off(server: Server, tmp_path: Path, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [endless]
    with pytest.raises(Unavailable, match="length mismatch"):
        pull()
    assert leftovers(tmp_path) == set()


def test_wrong_bytes_are_never_published(server: Server, tmp_path: Path, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [good(bytes(len(CONTENT)))]
    with pytest.raises(Unavailable, match="digest mismatch"):
        pull()
    assert leftovers(tmp_path) == set()
    server.behaviours = [good()]
    assert pull().path.read_bytes() == CONTENT


def test_a_damaged_model_is_fetched_again(server: Server, tmp_path: Path, pull: Callable[[], models.Pulled]) -> None:
    file = pull().path
    file.write_bytes(bytes(len(CONTENT)))
    assert pull().fetched and file.read_bytes() == CONTENT


def test_not_found_is_final(server: Server, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [says(404)]
    with pytest.raises(Unavailable) as caught:
        pull()
    assert "404" in caught.value.why and len(server.requests) == 1


def test_a_busy_server_is_asked_again(server: Server, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [says(500), says(503), says(429), good()]
    assert pull().path.read_bytes() == CONTENT


def test_a_part_that_the_server_cannot_continue(
    server: Server, tmp_path: Path, pull: Callable[[], models.Pulled]
) -> None:
    server.behaviours = [good(cut=1000), says(416), good()]
    assert pull().path.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000-", None]


def test_a_part_that_is_too_long_is_dropped(server: Server, tmp_path: Path, pull: Callable[[], models.Pulled]) -> None:
    (tmp_path / "models" / ".pull").mkdir(parents=True)
    (tmp_path / "models" / ".pull" / "toy.part").write_bytes(bytes(len(CONTENT) + 5))
    assert pull().path.read_bytes() == CONTENT and ranges(server) == [None]


def test_a_stalled_connection_is_dropped_and_resumed(server: Server, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [stalls(after=40_000), good()]
    assert pull().path.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=40000-"]


def test_a_slow_server_is_waited_for(server: Server, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [drips]
    assert pull().path.read_bytes() == CONTENT and len(server.requests) == 1


def test_redirects_are_followed_only_to_safe_places(server: Server, pull: Callable[[], models.Pulled]) -> None:
    server.behaviours = [says(302, Location=server.url + "?mirror"), good()]
    assert pull().fetched
    for address in ("http://example.invalid/toy.bin", "file:///etc/passwd", "ftp://example.invalid/toy.bin"):
        https_error(server, address)


def https_error(server: Server, address: str) -> None:
    server.behaviours = [says(302, Location=address)]
    with pytest.raises(Unavailable) as caught:
        https.download(server.url, toy(server.url), Path.cwd(), lambda *p: None)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("url", ["http://example.invalid/a", "file:///etc/passwd", "http://127.0.0.1.example.invalid/"])
def test_insecure_addresses_are_refused(url: str) -> None:
    with pytest.raises(Unavailable, match="refused"):
        https.download(url, toy(url), Path.cwd(), lambda *p: None)


def test_nobody_listens(pull: Callable[[], models.Pulled], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setitem(CATALOG, "toy", toy(f"http://127.0.0.1:{port}/toy.bin"))
    with pytest.raises(Unavailable, match="attempts"):
        pull()


def test_pauses_grow_and_are_bounded(server: Server) -> None:
    server.behaviours = [says(500)]
    pauses: list[float] = []
    with pytest.raises(Unavailable):
        https.download(server.url, toy(server.url), Path.cwd(), lambda *p: None, sleep=pauses.append)
    assert pauses == list(https.PAUSES) == sorted(https.PAUSES)


def test_two_pulls_at_once_fetch_once(server: Server, pull: Callable[[], models.Pulled]) -> None:
    results: list[models.Pulled] = []
    threads = [threading.Thread(target=lambda: results.append(pull())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.fetched for r in results) == [False, False, False, True]
    assert len(server.requests) == 1


CHILD = """
import sys
from pathlib import Path
from avatarctl.models import CATALOG, HttpsSource, Licence, Model, pull
name, url, sha256, size = "toy", sys.argv[1], sys.argv[2], int(sys.argv[3])
CATALOG["toy"] = Model(name="toy", summary="", licence=Licence(name=""), sources=(HttpsSource(url=url),),
                       file="toy.bin", sha256=sha256, size=size, needed_by=())
pull(Path(sys.argv[4]), ["toy"], progress=lambda what, done, total: print(done, flush=True))
"""


def test_killed_in_the_middle_then_again(
    server: Server, tmp_path: Path, pull: Callable[[], models.Pulled], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.behaviours = [stalls(after=150_000), good()]
    folder = tmp_path / "models"
    model = toy(server.url)
    arguments = [sys.executable, "-c", CHILD, server.url, model.sha256, str(model.size), str(folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        # Progress is told before each block, so the one before last is on its way to the disk.
        while child.stdout.readline().strip() != "150000":
            pass
        monkeypatch.setattr(locks, "TIMEOUT", 0.1)
        with pytest.raises(Busy):
            pull()
        child.kill()
    assert leftovers(tmp_path) == {"toy.part", "toy.etag.part"}
    had = (folder / ".pull" / "toy.part").stat().st_size
    assert pull().path.read_bytes() == CONTENT
    assert ranges(server)[-1] == (f"bytes={had}-" if had else None)
    assert leftovers(tmp_path) == {"toy.bin"}
