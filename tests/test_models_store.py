"""Pulls of several models: mirrors, pins, licences, space, and what is left when something goes wrong."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarctl import models
from avatarctl.errors import BadInput, Offline, Stopped, Unavailable
from avatarctl.models import CATALOG, HttpsSource, Licence, Model, https, records, transfer
from tests.test_models_https import CONTENT, TAG, Handler, Server, good, ranges, says, server

__all__ = ["server"]

OTHER = bytes(reversed(CONTENT))


def entry(name: str, url: str, content: bytes = CONTENT, **changes: Any) -> Model:
    model = Model(
        name=name,
        summary="random bytes",
        licence=Licence(name="CC0-1.0"),
        sources=(HttpsSource(url=url),),
        file=f"{name}.bin",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        needed_by=("demo",),
    )
    return dataclasses.replace(model, **changes)


def paths(**by_path: Callable[[Handler], None]) -> Callable[[Handler], None]:
    """A server with several files: behaviours by the name in the path, without its ending."""

    def answer(handler: Handler) -> None:
        by_path.get(Path(handler.path).stem, says(404))(handler)

    return answer


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, with the network allowed and no patience."""
    monkeypatch.delenv("AVATARCTL_OFFLINE")
    monkeypatch.setattr(https, "PAUSES", (0.0,) * 5)
    monkeypatch.setattr(https, "TIMEOUT", 0.5)
    return tmp_path / "models"


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch, server: Server) -> Callable[..., Model]:
    """Put a model into the catalog; its address is the server's, with its own name."""

    def put(name: str, content: bytes = CONTENT, **changes: Any) -> Model:
        model = entry(name, server.url.replace("toy", name), content, **changes)
        monkeypatch.setitem(CATALOG, name, model)
        return model

    return put


def files(store: Path) -> set[str]:
    return {p.name for p in store.rglob("*") if p.is_file() and p.suffix != ".lock"}


# -- several at a time


def test_several_come_at_the_same_time(store: Path, server: Server, add: Callable[..., Model]) -> None:
    together = threading.Barrier(3, timeout=20)

    def waits(handler: Handler) -> None:
        together.wait()  # never passes unless three downloads are under way at once
        good()(handler)

    for name in ("one", "two", "three"):
        add(name)
    server.behaviours = [waits]
    assert [p.name for p in models.pull(store, ["one", "two", "three"], parallel=3)] == ["one", "two", "three"]
    assert files(store) == {"one.bin", "two.bin", "three.bin"}


def test_one_that_cannot_be_had_keeps_no_other_from_coming(
    store: Path, server: Server, add: Callable[..., Model]
) -> None:
    for name in ("one", "two", "three"):
        add(name)
    server.behaviours = [paths(one=good(), three=good())]
    with pytest.raises(Unavailable, match="two cannot be fetched"):
        models.pull(store, ["one", "two", "three"], parallel=1)
    assert files(store) == {"one.bin", "three.bin"}


def test_what_ends_the_pull_ends_all_downloads(store: Path, server: Server, add: Callable[..., Model]) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done:
            raise Stopped(2)

    for name in ("one", "two", "three"):
        add(name)
    with pytest.raises(Stopped):
        models.pull(store, ["one", "two", "three"], progress=stop, parallel=1)
    assert not {f for f in files(store) if f.endswith(".bin")}
    assert len(server.requests) == 1
    assert len(models.pull(store, ["one", "two", "three"])) == 3


# -- mirrors


def test_a_folder_serves_as_a_mirror_even_offline(
    store: Path, server: Server, add: Callable[..., Model], tmp_path: Path
) -> None:
    add("one")
    models.pull(store, ["one"])
    add("two")
    server.behaviours = [says(404)]
    elsewhere = tmp_path / "elsewhere"
    # A mirror looks as a store does: the one of another machine is one.
    assert models.pull(elsewhere, ["one"], mirrors=["/nowhere", str(store)], offline=True)[0].fetched
    assert (elsewhere / "one" / "one.bin").read_bytes() == CONTENT
    assert len(server.requests) == 1
    with pytest.raises(Offline):
        models.pull(elsewhere, ["two"], mirrors=[str(store)], offline=True)


@pytest.mark.parametrize("wrong", [says(404), good(OTHER), good(CONTENT[:-1]), says(302, Location="http://192.0.2.1/")])
def test_a_mirror_that_fails_is_passed_over(
    wrong: Callable[[Handler], None], store: Path, server: Server, add: Callable[..., Model]
) -> None:
    add("one", sources=(HttpsSource(url=server.url.replace("toy", "origin")),))
    server.behaviours = [paths(one=wrong, origin=good())]
    base = server.url.removesuffix("/toy.bin")
    assert models.pull(store, ["one"], mirrors=[base + "/"])[0].path.read_bytes() == CONTENT
    assert files(store) == {"one.bin"}


def test_what_one_place_began_another_finishes(store: Path, server: Server, add: Callable[..., Model]) -> None:
    add("one", sources=(HttpsSource(url=server.url.replace("toy", "origin")),))
    server.behaviours = [paths(one=good(cut=70_000), origin=good(tag='"origin"'))]
    base = server.url.removesuffix("/toy.bin")
    assert models.pull(store, ["one"], mirrors=[base])[0].path.read_bytes() == CONTENT
    # The mirror was asked twice; its tag means nothing to the origin, which goes on from there all the same.
    assert ranges(server) == [None, "bytes=70000-", "bytes=140000-"]
    assert "If-Range" in server.requests[1] and "If-Range" not in server.requests[2]


def test_a_false_beginning_is_found_out_and_fetched_anew(
    store: Path, server: Server, add: Callable[..., Model]
) -> None:
    add("one", sources=(HttpsSource(url=server.url.replace("toy", "origin")),))
    server.behaviours = [paths(one=good(OTHER, cut=70_000), origin=good(tag='"origin"'))]
    base = server.url.removesuffix("/toy.bin")
    assert models.pull(store, ["one"], mirrors=[base])[0].path.read_bytes() == CONTENT
    assert ranges(server)[-2:] == ["bytes=140000-", None]


def test_the_next_source_is_asked_when_one_fails(store: Path, server: Server, add: Callable[..., Model]) -> None:
    add("one", sources=tuple(HttpsSource(url=server.url.replace("toy", name)) for name in ("first", "second")))
    server.behaviours = [paths(second=good())]
    assert models.pull(store, ["one"])[0].fetched


def test_plain_http_from_afar_is_refused_without_a_digest(store: Path, add: Callable[..., Model]) -> None:
    add("one", sources=(HttpsSource(url="http://192.0.2.1/one.bin"),), sha256="")
    with pytest.raises(Unavailable, match="refused"):
        models.pull(store, ["one"])


# -- pins


def test_what_came_first_is_pinned(store: Path, server: Server, add: Callable[..., Model]) -> None:
    add("one", sha256="", size=10**6)
    with pytest.raises(Unavailable, match="missing"):
        models.digests(store, ["one"])
    models.pull(store, ["one"])
    assert models.digests(store, ["one"]) == {"one": hashlib.sha256(CONTENT).hexdigest()}
    assert models.verify(store, "one") == "ok"
    assert models.remove(store, ["one"]) == {"one": len(CONTENT)}
    server.behaviours = [good(OTHER, tag=None)]
    with pytest.raises(Unavailable, match="digest mismatch") as caught:
        models.pull(store, ["one"])
    assert hashlib.sha256(OTHER).hexdigest() in caught.value.why
    assert hashlib.sha256(CONTENT).hexdigest() in caught.value.why
    assert "--forget one" in caught.value.hint
    assert models.forget(store, ["one"]) == ["one"]
    assert models.pull(store, ["one"])[0].path.read_bytes() == OTHER


@pytest.mark.parametrize("length", [True, False])
def test_a_file_of_unknown_length_goes_on_and_is_bounded(
    length: bool, store: Path, server: Server, add: Callable[..., Model]
) -> None:
    add("one", sha256="", size=10**6)
    server.behaviours = [good(cut=1000), good()]
    models.pull(store, ["one"])
    assert ranges(server) == [None, "bytes=1000-"]
    add("two", sha256="", size=1000)

    def unannounced(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT)

    server.behaviours = [good() if length else unannounced]
    with pytest.raises(Unavailable, match="length mismatch"):
        models.pull(store, ["two"])
    assert files(store) <= {"one.bin", records.PINS, "two.etag.part"}


def test_a_part_that_is_whole_already_is_taken(store: Path, server: Server, add: Callable[..., Model]) -> None:
    add("one", sha256="", size=10**6)
    (store / ".pull").mkdir(parents=True)
    (store / ".pull" / "one.part").write_bytes(CONTENT)
    whole = {"Content-Range": f"bytes */{len(CONTENT)}"}
    server.behaviours = [says(416, **whole)]
    assert models.pull(store, ["one"])[0].path.read_bytes() == CONTENT


def test_a_file_that_nobody_pinned_is_not_trusted(store: Path, server: Server, add: Callable[..., Model]) -> None:
    add("one", sha256="", size=10**6)
    (store / "one").mkdir(parents=True)
    (store / "one" / "one.bin").write_bytes(OTHER)
    assert models.installed(store, "one") == "missing"
    models.pull(store, ["one"])
    assert (store / "one" / "one.bin").read_bytes() == CONTENT


def test_a_digest_in_doubt_can_be_overruled_and_no_other(
    store: Path, server: Server, add: Callable[..., Model]
) -> None:
    doubtful = add("one", OTHER, verified=False)
    actual = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(Unavailable, match="digest mismatch") as caught:
        models.pull(store, ["one"])
    assert f"--trust {actual}" in caught.value.hint
    models.trust(store, doubtful, actual)
    assert models.pull(store, ["one"])[0].path.read_bytes() == CONTENT
    assert models.digests(store, ["one"]) == {"one": actual}
    with pytest.raises(BadInput):
        models.trust(store, add("two"), actual)
    with pytest.raises(ValueError, match="SHA-256"):
        models.trust(store, doubtful, "no digest")


def test_damaged_pins_accept_nothing(store: Path, add: Callable[..., Model]) -> None:
    add("one", sha256="", size=10**6)
    store.mkdir()
    for text in ("{", "[]", json.dumps({"one": {"sha256": "x", "size": 1}})):
        (store / records.PINS).write_text(text)
        with pytest.raises(Unavailable) as caught:
            models.pull(store, ["one"])
        assert caught.value.hint


# -- licences


def test_a_licence_is_accepted_before_the_first_byte(store: Path, server: Server, add: Callable[..., Model]) -> None:
    strict = Licence(name="NC-1", url="https://example.com/nc", accept="no commercial use")
    model = add("one", licence=strict)
    with pytest.raises(Unavailable) as caught:
        models.pull(store, ["one"])
    assert "no commercial use" in caught.value.why
    assert caught.value.hint.endswith("avatarctl models pull one --accept-licence NC-1")
    assert server.requests == []
    models.accept(store, strict)
    assert models.to_accept(store, [model]) == []
    assert models.pull(store, ["one"])[0].fetched
    # Other terms under the same name are accepted anew.
    changed = dataclasses.replace(model, licence=dataclasses.replace(strict, accept="no use at all"))
    assert models.to_accept(store, [changed]) == [changed.licence]


# -- the disk


def test_too_little_space_is_said_before_the_first_byte(
    store: Path, server: Server, add: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    add("one")
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    with pytest.raises(Unavailable, match="too little space") as caught:
        models.pull(store, ["one"])
    assert "models rm" in caught.value.hint
    assert server.requests == []


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EFBIG, "too large for this disk")])
def test_a_disk_that_fills_up_loses_nothing(
    code: int,
    words: str,
    store: Path,
    server: Server,
    add: Callable[..., Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(io.FileIO):
        """A file on a disk that has room for 100,000 bytes of it."""

        def write(self, block: Any) -> int:
            if self.tell() + len(block) > 100_000:
                raise OSError(code, "no room")
            return super().write(block)

    add("one")
    monkeypatch.setattr(https, "_BLOCK", 50_000)
    opened = Path.open

    def open_full(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if path.name == "one.part" and mode in ("wb", "r+b"):
            return Full(path, mode)
        return opened(path, mode, *arguments, **options)

    with monkeypatch.context() as full, pytest.raises(Unavailable, match=words):
        full.setattr(Path, "open", open_full)
        models.pull(store, ["one"])
    had = models.unfinished(store, "one")
    assert 0 < had == (store / ".pull" / "one.part").stat().st_size <= 100_000
    assert models.pull(store, ["one"])[0].path.read_bytes() == CONTENT
    assert ranges(server)[-1] == f"bytes={had}-" and server.requests[-1]["If-Range"] == TAG


def test_redirects_in_a_circle_end(store: Path, server: Server, add: Callable[..., Model]) -> None:
    add("one")
    server.behaviours = [says(302, Location="/one.bin")]
    with pytest.raises(Unavailable) as caught:
        models.pull(store, ["one"])
    assert "redirects that lead nowhere" in caught.value.why
    assert len(server.requests) < 20


def test_a_login_is_explained(store: Path, server: Server, add: Callable[..., Model]) -> None:
    add("one")
    server.behaviours = [says(401)]
    with pytest.raises(Unavailable) as caught:
        models.pull(store, ["one"])
    assert "mirrors" in caught.value.hint


# -- taking away


def test_rm_takes_parts_too_and_leaves_the_rest(store: Path, server: Server, add: Callable[..., Model]) -> None:
    add("one", folder="pair")
    add("two", folder="pair")
    models.pull(store, ["one", "two"])
    assert models.remove(store, ["one"]) == {"one": len(CONTENT)}
    assert files(store) == {"two.bin"}
    (store / ".pull" / "one.part").write_bytes(b"beginning")
    assert models.remove(store, ["one", "two"]) == {"one": 9, "two": len(CONTENT)}
    assert files(store) == set() and not (store / "pair").exists()
    assert models.remove(store, ["one"]) == {}


# -- the catalog


def test_groups_stand_for_their_members() -> None:
    assert models.short(["face-mesh", "portrait-hopper", "person-matte", "face-detector"]) == [
        "face",
        "portrait-hopper",
    ]
    assert models.short(m.name for m in models.resolve("xtts-v2")) == ["xtts-v2"]
    assert models.short(["face-mesh"]) == ["face-mesh"]


def test_a_branch_is_no_source() -> None:
    from avatarctl.models.entry import hugging_face

    with pytest.raises(ValueError, match="revision"):
        hugging_face("owner/name", "main", "model.bin")


def test_two_entries_never_share_a_place() -> None:
    from avatarctl.models.catalog import _joined

    one = entry("one", "https://example.com/one")
    with pytest.raises(ValueError, match="two models"):
        _joined([one, dataclasses.replace(one, summary="another")])
    with pytest.raises(ValueError, match="two models"):
        _joined([one, dataclasses.replace(one, name="two", folder="one")])


def test_a_group_of_jobs_is_sorted_by_size(add: Callable[..., Model], store: Path) -> None:
    small, large = add("small", b"x"), add("large")
    assert transfer.Transfer(store, mirrors=[], network=True).jobs([small, large]) == [[large], [small]]
