from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from avatarctl.errors import BadInput, StepFailed, Unavailable
from avatarctl.store import deliver
from avatarctl.store.model import Artefact
from avatarctl.store.store import Store
from tests.store_support import Maker, finish, start


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def film(store: Store) -> Artefact:
    return Maker(store).make("film", outputs={"film": b"film" * 300_000}).outputs["film"]


@pytest.fixture(params=["nameless", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without files that have no name."""
    if request.param == "named":
        monkeypatch.setattr(deliver.os, "O_TMPFILE", 0)
    return str(request.param)


def test_a_copy_that_can_be_edited(store: Store, film: Artefact, tmp_path: Path, way: str) -> None:
    target = tmp_path / "outputs" / "ещё папка" / "фильм.mp4"
    before = os.umask(0o027)
    try:
        store.deliver(film, target)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert target.stat().st_nlink == 1
    target.write_bytes(b"edited")
    assert store.cas.verify(film.digest)
    assert [p.name for p in target.parent.iterdir()] == ["фильм.mp4"]
    store.deliver(film, target)
    assert target.read_bytes() == b"film" * 300_000


def test_a_new_film_never_has_another_name(
    store: Store, film: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed between two names would leave the first one lying."""

    def refuse(folder: Path) -> Path:
        raise AssertionError(f"a name was wanted in {folder}")

    monkeypatch.setattr(deliver, "_name_in", refuse)
    store.deliver(film, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"film" * 300_000
    (tmp_path / "film.mp4").write_bytes(b"another one")
    with pytest.raises(AssertionError, match="a name was wanted"):
        store.deliver(film, tmp_path / "film.mp4")


def test_what_is_there_already_is_left(store: Store, film: Artefact, tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    store.deliver(film, target)
    os.utime(target, (1, 1))
    store.deliver(film, target)
    assert target.stat().st_mtime == 1


def test_a_link_is_replaced_and_not_followed(store: Store, film: Artefact, tmp_path: Path, way: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    target = tmp_path / "film.mp4"
    target.symlink_to(precious)
    store.deliver(film, target)
    assert precious.read_text() == "mine"
    assert not target.is_symlink() and target.stat().st_size == film.size


def test_the_longest_of_names(store: Store, film: Artefact, tmp_path: Path, way: str) -> None:
    target = tmp_path / ("ы" * 125 + ".mp4")
    store.deliver(film, target)
    assert target.stat().st_size == film.size
    with pytest.raises(BadInput, match="cannot be a file's name"):
        store.deliver(film, tmp_path / ("ы" * 126 + ".mp4"))


def test_places_where_nothing_can_be(store: Store, film: Artefact, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        store.deliver(film, tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unavailable) as caught:
        store.deliver(film, tmp_path / "file" / "film.mp4")
    assert "--out" in caught.value.hint
    with pytest.raises(Unavailable):
        store.deliver(film, Path("/proc/nowhere/film.mp4"))


def test_a_damaged_film_is_not_delivered(store: Store, film: Artefact, tmp_path: Path, way: str) -> None:
    path = store.cas.path(film.digest)
    path.chmod(0o644)
    path.write_bytes(b"f1lm" + path.read_bytes()[4:])
    (tmp_path / "out").mkdir()
    with pytest.raises(StepFailed, match="damaged") as caught:
        store.deliver(film, tmp_path / "out" / "film.mp4")
    assert "again" in caught.value.hint
    assert not list((tmp_path / "out").iterdir())
    assert store.ledger.rows("SELECT * FROM actions") == []
    with pytest.raises(StepFailed, match="damaged"):
        store.deliver(film, tmp_path / "out" / "film.mp4")


FULL = """
import os, resource
from pathlib import Path
from avatarctl.errors import Unavailable
from avatarctl.store import deliver
from avatarctl.store.model import Artefact
if sys.argv[3] == "named":
    os.O_TMPFILE = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
source, target = map(Path, sys.argv[1:3])
try:
    deliver.deliver(source, Artefact(source.name, source.stat().st_size, ""), target)
except Unavailable as error:
    print(error.what.split(":")[0])
"""


def test_a_full_disk_leaves_what_was_there(store: Store, film: Artefact, tmp_path: Path, way: str) -> None:
    target = tmp_path / "out" / "film.mp4"
    target.parent.mkdir()
    target.write_bytes(b"an earlier film")
    assert finish(start(FULL, store.cas.path(film.digest), target, way)) == "the disk is full"
    assert [p.read_bytes() for p in target.parent.iterdir()] == [b"an earlier film"]
