"""The catalog, what is said of files that are there, and what a pull never does."""

from __future__ import annotations

import errno
import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from avatarctl import models
from avatarctl.errors import BadInput, Offline, Unavailable
from avatarctl.models import CATALOG, HttpsSource, Licence, Model, transfer

CONTENT = b"weights" * 1000


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model of the catalog whose address nobody answers."""
    model = Model(
        name="toy",
        summary="seven thousand bytes",
        licence=Licence(name="CC0-1.0"),
        sources=(HttpsSource(url="https://127.0.0.1:9/toy.bin"),),
        file="toy.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        needed_by=("demo",),
    )
    monkeypatch.setitem(CATALOG, "toy", model)
    return model


def put(folder: Path, content: bytes) -> Path:
    file = folder / "toy" / "toy.bin"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


PINNED_AT_FIRST_USE = {"sadtalker-program", "silero-v4-ru"}
"""Nobody publishes the digest of one, the size of the other; what of them runs is checked against digests anyway."""


def test_every_entry_is_complete() -> None:
    for name, model in CATALOG.items():
        assert model.name == name
        assert model.summary and model.licence and model.needed_by
        assert model.size > 0 and len(model.sha256) == (0 if name in PINNED_AT_FIRST_USE else 64)
    for names in models.groups.values():
        assert set(names) <= set(CATALOG)


def test_groups_and_names_resolve() -> None:
    assert [m.name for m in models.resolve("face")] == ["face-detector", "face-mesh", "person-matte"]
    assert [m.name for m in models.resolve("face-mesh")] == ["face-mesh"]
    with pytest.raises(BadInput) as caught:
        models.resolve("face-mesch")
    assert "face-mesh" in caught.value.hint


def test_digests_need_no_file(tmp_path: Path) -> None:
    assert models.digests(tmp_path, ["face-mesh"]) == {"face-mesh": CATALOG["face-mesh"].sha256}
    with pytest.raises(BadInput):
        models.digests(tmp_path, ["nothing"])


@pytest.mark.parametrize("file", ["../toy.bin", "a/b", "a\\b", ".hidden", ""])
def test_a_file_name_cannot_leave_its_folder(toy: Model, file: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        Model(
            name="toy",
            summary=toy.summary,
            licence=toy.licence,
            sources=toy.sources,
            file=file,
            sha256=toy.sha256,
            size=toy.size,
            needed_by=toy.needed_by,
        )


def test_path_says_what_to_type(toy: Model, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        models.path(tmp_path, "toy")
    assert caught.value.hint == "avatarctl models pull toy"
    file = put(tmp_path, CONTENT)
    assert models.path(tmp_path, "toy") == file


def test_states(toy: Model, tmp_path: Path) -> None:
    assert models.installed(tmp_path, "toy") == models.verify(tmp_path, "toy") == "missing"
    put(tmp_path, CONTENT)
    assert models.installed(tmp_path, "toy") == models.verify(tmp_path, "toy") == "ok"
    put(tmp_path, CONTENT[:-1])
    assert models.installed(tmp_path, "toy") == models.verify(tmp_path, "toy") == "damaged"
    put(tmp_path, b"X" + CONTENT[1:])
    assert models.installed(tmp_path, "toy") == "ok"
    assert models.verify(tmp_path, "toy") == "damaged"


def test_intact_models_are_not_fetched_again(toy: Model, tmp_path: Path) -> None:
    file = put(tmp_path, CONTENT)
    assert models.pull(tmp_path, ["toy", "toy"]) == [models.Pulled("toy", file, len(CONTENT), False)]


@pytest.mark.parametrize("name", ["toy", "face-mesh"])
def test_offline_opens_no_socket_and_starts_no_process(
    name: str, toy: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(Offline):  # AVATARCTL_OFFLINE=1 in every test
        models.pull(tmp_path / "models", [name])
    monkeypatch.delenv("AVATARCTL_OFFLINE")
    with pytest.raises(Offline):
        models.pull(tmp_path / "models", [name], offline=True)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_refusing_disk_is_explained(code: int, toy: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(code, "refused")

    monkeypatch.delenv("AVATARCTL_OFFLINE")
    monkeypatch.setattr(transfer.Transfer, "_from_sources", fail)
    with pytest.raises(Unavailable) as caught:
        models.pull(tmp_path, ["toy"])
    assert caught.value.hint


def test_importing_brings_no_client() -> None:
    script = (
        "import sys, avatarctl.models\n"
        "print(sorted({'ssl', 'urllib.request', 'http.client', 'subprocess', 'zipfile'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
