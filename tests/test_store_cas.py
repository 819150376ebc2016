from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from avatarctl.errors import BadInput, StepFailed, Unavailable
from avatarctl.store.cas import ContentStore
from avatarctl.store.keys import digest_bytes, digest_file
from tests.store_support import finish, start, together


@pytest.fixture
def cas(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "store")


def test_bytes_and_files_become_read_only_artefacts(cas: ContentStore, tmp_path: Path) -> None:
    source = tmp_path / "речь.wav"
    source.write_bytes(b"sound" * 1000)
    digest, size = cas.add_file(source)
    assert (digest, size) == (digest_bytes(source.read_bytes()), 5000)
    assert cas.path(digest) == cas.root / "cas" / digest[:2] / digest
    assert stat.S_IMODE(cas.path(digest).stat().st_mode) == 0o444
    assert cas.add_bytes(b"sound" * 1000) == (digest, size)
    assert source.exists()
    assert list(cas) == [digest]
    assert not list(cas.incoming.iterdir())


def test_a_moved_file_is_the_artefact_itself(cas: ContentStore, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"clip")
    inode = source.stat().st_ino
    digest, _ = cas.add_file(source, move=True)
    assert not source.exists()
    assert cas.path(digest).stat().st_ino == inode
    source.write_bytes(b"clip")
    assert cas.add_file(source, move=True) == (digest, 4)
    assert not source.exists()
    assert cas.path(digest).stat().st_ino == inode


def test_a_file_with_a_second_name_is_copied(cas: ContentStore, tmp_path: Path) -> None:
    source, other = tmp_path / "clip", tmp_path / "other"
    source.write_bytes(b"clip")
    os.link(source, other)
    digest, _ = cas.add_file(source, move=True)
    other.write_bytes(b"edited")
    assert cas.verify(digest)
    assert not source.exists()


def test_what_is_no_file_is_refused(cas: ContentStore, tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("/etc/hostname")
    os.mkfifo(pipe)
    for wrong, move in ((link, True), (pipe, False), (tmp_path, False)):
        with pytest.raises(StepFailed):
            cas.add_file(wrong, move=move)
    with pytest.raises(BadInput, match="cannot be read"):
        cas.add_file(tmp_path / "nothing")
    assert list(cas) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 63 + "/"])
def test_only_digests_name_artefacts(cas: ContentStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        cas.path(name)


def test_damage_is_found_and_put_aside(cas: ContentStore) -> None:
    digest, size = cas.add_bytes(b"0123456789")
    path = cas.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"0123456780")
    assert cas.intact(digest, size)
    assert not cas.verify(digest)
    path.write_bytes(b"012")
    assert not cas.intact(digest, size)
    cas.quarantine(digest, "too short")
    assert not path.exists()
    assert (cas.quarantined / digest).read_bytes() == b"012"
    assert (cas.quarantined / digest).with_suffix(".txt").read_text() == "too short\n"
    cas.quarantine(digest, "gone already")
    assert cas.add_bytes(b"0123456789") == (digest, size)
    assert cas.verify(digest)


def test_what_was_read_is_read_again_only_if_it_was_written(cas: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, size = cas.add_bytes(b"0123456789")
    read: list[Path] = []
    monkeypatch.setattr("avatarctl.store.cas.digest_file", lambda path: (read.append(path), digest_file(path))[1])
    assert [cas.verify(digest, again=again) for again in (False, False, True)] == [True] * 3
    assert len(read) == 2
    path = cas.path(digest)
    found = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"0123456780")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert path.stat().st_size == size
    assert not cas.verify(digest, again=False)
    cas.quarantine(digest, "changed")
    assert not cas.verify(digest, again=False)
    cas.add_bytes(b"0123456789")
    assert cas.verify(digest, again=False)


def test_adding_again_repairs_a_truncated_artefact(cas: ContentStore) -> None:
    digest, size = cas.add_bytes(b"0123456789")
    cas.path(digest).chmod(0o644)
    cas.path(digest).write_bytes(b"")
    cas.add_bytes(b"0123456789")
    assert cas.intact(digest, size) and cas.verify(digest)


def test_delete_says_how_much(cas: ContentStore) -> None:
    digest, _ = cas.add_bytes(b"0123456789")
    assert cas.size(digest) == 10
    assert cas.delete(digest) == 10
    assert cas.delete(digest) == 0
    assert cas.size(digest) == 0


def test_age_in_quarantine_counts_from_the_day_it_was_put_there(cas: ContentStore) -> None:
    digest, _ = cas.add_bytes(b"old")
    os.utime(cas.path(digest), (0, 0))
    cas.quarantine(digest, "test")
    assert cas.quarantine_older_than(3600) == []
    for path in cas.quarantined.iterdir():
        os.utime(path, (0, 0))
    assert len(cas.quarantine_older_than(3600)) == 2


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder on another file system than the tests' own."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == Path.cwd().stat().st_dev:
        pytest.skip("not tried: this machine has no second file system that a test may write")
    with tempfile.TemporaryDirectory(prefix="avatarctl-test-", dir=memory) as folder:
        yield Path(folder)


def test_artefacts_may_lie_on_another_disk(tmp_path: Path, other_disk: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "cas").symlink_to(other_disk)
    cas = ContentStore(tmp_path / "store")
    given, made = tmp_path / "given", tmp_path / "made"
    given.write_bytes(b"given")
    made.write_bytes(b"made")
    digests = [cas.add_bytes(b"bytes")[0], cas.add_file(given)[0], cas.add_file(made, move=True)[0]]
    assert given.exists() and not made.exists()
    assert sorted(digests) == list(cas) and all(cas.verify(digest) for digest in digests)
    assert cas.path(digests[0]).stat().st_dev == other_disk.stat().st_dev
    cas.quarantine(digests[0], "test")
    assert (cas.quarantined / digests[0]).read_bytes() == b"bytes" and not cas.verify(digests[0])
    assert cas.add_bytes(b"bytes")[0] == digests[0] and list(cas.incoming.iterdir()) == []


def test_eight_processes_add_the_same_content(cas: ContentStore) -> None:
    code = """
from pathlib import Path
from avatarctl.store.cas import ContentStore
cas = ContentStore(Path(sys.argv[1]))
go()
for i in range(20):
    print(cas.add_bytes(b"x" * 1000 + str(i).encode()))
"""
    outputs = together(code, 8, cas.root)
    assert len(set(outputs)) == 1
    digests = list(cas)
    assert len(digests) == 20 and all(cas.verify(d) for d in digests)
    assert not list(cas.incoming.iterdir())


FULL = """
import resource
from pathlib import Path
from avatarctl.errors import Unavailable
from avatarctl.store.cas import ContentStore
cas = ContentStore(Path(sys.argv[1]))
# Writing stops in the middle of the second megabyte, as on a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
for add in (lambda: cas.add_bytes(bytes(3_000_000)), lambda: cas.add_file(Path(sys.argv[2]))):
    try:
        add()
    except Unavailable as error:
        print(error.what.split(":")[0], "|", error.hint)
print(list(cas), list(cas.incoming.iterdir()))
"""


def test_a_full_disk_leaves_nothing(cas: ContentStore, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(3_000_001))
    line = "the disk is full | make room, or run avatarctl cache gc"
    assert finish(start(FULL, cas.root, large)).splitlines() == [line, line, "[] []"]


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable) as caught:
        ContentStore(tmp_path / "file").add_bytes(b"x")
    assert "AVATARCTL_HOME" in caught.value.hint


@pytest.mark.parametrize("change", ["grows", "shrinks"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    cas: ContentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A recording that is still being copied there, or a log that is written faster than it is read."""
    source = tmp_path / "speech.wav"
    source.write_bytes(b"sound" * 1000)
    read = os.read

    def meanwhile(descriptor: int, length: int) -> bytes:
        if change == "grows":
            with source.open("ab") as file:
                file.write(b"more")
        else:
            os.truncate(source, 10)
        return read(descriptor, length)

    monkeypatch.setattr(os, "read", meanwhile)
    with pytest.raises(BadInput, match="changes while it is read"):
        cas.add_file(source)
    assert list(cas) == []
    assert not list(cas.incoming.iterdir())
