"""Models out of wheels, through the real pip and a folder that stands for the index."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarctl import models
from avatarctl.errors import Unavailable
from avatarctl.models import CATALOG, Licence, Model, WheelSource, wheel

MEMBER = "tinyface/data/tiny.tflite"
CONTENT = bytes(range(256)) * 20


def make_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "tinyface-1.0-py3-none-any.whl"
    info = "tinyface-1.0.dist-info"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinyface\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return file


def tiny(file: Path, name: str = "tiny", member: str = MEMBER, content: bytes = CONTENT) -> Model:
    return Model(
        name=name,
        summary="a toy",
        licence=Licence(name="CC0-1.0"),
        sources=(
            WheelSource(
                project="tinyface",
                version="1.0",
                sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
                size=file.stat().st_size,
                python_version="3.12",
                platform="manylinux_2_28_x86_64",
                implementation="cp",
                member=member,
            ),
        ),
        file=Path(member).name,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        needed_by=("demo",),
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which pip looks, and nowhere else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "index"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("AVATARCTL_OFFLINE")
    return folder


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_two_members_of_one_wheel_cost_one_download(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = b"other" * 9
    file = make_wheel(index, {MEMBER: CONTENT, "tinyface/other.bin": other, "../../evil.txt": b"evil"})
    monkeypatch.setitem(CATALOG, "tiny", tiny(file))
    monkeypatch.setitem(CATALOG, "other", tiny(file, "other", "tinyface/other.bin", other))
    started: list[list[str]] = []
    popen = subprocess.Popen

    def count(command: list[str], **options: object) -> object:
        started.append(command)
        return popen(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(wheel.subprocess, "Popen", count)
    # A file of that name in the working folder must not be taken for pip.
    Path("pip.py").write_text("raise SystemExit('not pip')", encoding="utf-8")
    pulled = models.pull(tmp_path / "models", ["tiny", "other"])
    assert [(p.name, p.fetched, p.path.read_bytes()) for p in pulled] == [
        ("tiny", True, CONTENT),
        ("other", True, other),
    ]
    assert len(started) == 1
    assert leftovers(tmp_path / "models") == ["other.bin", "tiny.tflite"]
    assert not list(tmp_path.rglob("evil.txt"))
    assert [p.fetched for p in models.pull(tmp_path / "models", ["tiny", "other"])] == [False, False]
    assert len(started) == 1


def test_another_wheel_of_the_same_name_is_refused(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tiny(make_wheel(index, {MEMBER: CONTENT}))
    make_wheel(index, {MEMBER: CONTENT, "tinyface/extra": b"x"})
    monkeypatch.setitem(CATALOG, "tiny", wanted)
    with pytest.raises(Unavailable, match="digest mismatch"):
        models.pull(tmp_path / "models", ["tiny"])
    assert leftovers(tmp_path / "models") == []


def test_an_unknown_project_is_explained(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tiny(make_wheel(index, {MEMBER: CONTENT}))
    assert isinstance(wanted.sources[0], WheelSource)
    source = dataclasses.replace(wanted.sources[0], version="2.0")
    monkeypatch.setitem(CATALOG, "tiny", dataclasses.replace(wanted, sources=(source,)))
    with pytest.raises(Unavailable) as caught:
        models.pull(tmp_path / "models", ["tiny"])
    assert "tinyface==2.0" in caught.value.why and "\n" not in caught.value.why
    assert leftovers(tmp_path / "models") == []


def test_no_pip_says_how_to_get_it(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "tiny", tiny(make_wheel(index, {MEMBER: CONTENT})))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable) as caught:
        models.pull(tmp_path / "models", ["tiny"])
    assert "pip" in caught.value.hint
    assert leftovers(tmp_path / "models") == []


def test_a_missing_member(tmp_path: Path) -> None:
    file = make_wheel(tmp_path / "w", {"tinyface/something": CONTENT})
    with pytest.raises(Unavailable) as caught:
        wheel.extract(file, tiny(file), tmp_path)
    assert MEMBER in caught.value.why


def test_a_member_that_inflates_beyond_its_size(tmp_path: Path) -> None:
    file = make_wheel(tmp_path / "w", {MEMBER: bytes(50_000_000)})
    with pytest.raises(Unavailable) as caught:
        wheel.extract(file, tiny(file), tmp_path)
    assert "50000000" in caught.value.why
    assert leftovers(tmp_path) == ["tinyface-1.0-py3-none-any.whl"]


def test_no_more_than_the_declared_bytes_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make_wheel(tmp_path / "w", {MEMBER: bytes(3_000_000)})
    written: list[int] = []
    unlink = Path.unlink

    def spy(path: Path, missing_ok: bool = False) -> None:
        written.append(path.stat().st_size)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", spy)
    with pytest.raises(Unavailable):
        wheel.extract(file, tiny(file), tmp_path)
    assert written == [len(CONTENT) + 1]


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "tinyface-1.0-py3-none-any.whl"
    file.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(Unavailable, match="not the wheel"):
        wheel.extract(file, tiny(file), tmp_path)


def test_a_member_with_wrong_bytes(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make_wheel(index, {MEMBER: bytes(len(CONTENT))})
    monkeypatch.setitem(CATALOG, "tiny", tiny(file))
    with pytest.raises(Unavailable, match="digest mismatch"):
        models.pull(tmp_path / "models", ["tiny"])
    assert leftovers(tmp_path / "models") == []


CHILD = """
import sys, time
from pathlib import Path
from avatarctl.models import CATALOG, pull, wheel
from tests_tiny import tiny
CATALOG["tiny"] = tiny(Path(sys.argv[1]))
def hold(*arguments):
    print("here", flush=True)
    time.sleep(60)
wheel.extract = hold
pull(Path(sys.argv[2]), ["tiny"])
"""


def test_killed_in_the_middle_then_again(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_child: Callable[[str], Path]
) -> None:
    file = make_wheel(index, {MEMBER: CONTENT})
    folder = tmp_path / "models"
    child = subprocess.Popen(
        [sys.executable, str(make_child(CHILD)), str(file), str(folder)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout and child.stdout.readline() == "here\n"
        child.send_signal(signal.SIGKILL)
    parts = [p for p in (folder / ".pull").iterdir() if p.suffix != ".lock"]
    assert parts and all(p.suffix == ".part" for p in parts)
    monkeypatch.setitem(CATALOG, "tiny", tiny(file))
    assert models.pull(folder, ["tiny"])[0].path.read_bytes() == CONTENT
    assert leftovers(folder) == ["tiny.tflite"]


@pytest.fixture
def make_child(tmp_path: Path) -> Callable[[str], Path]:
    def make(script: str) -> Path:
        (tmp_path / "tests_tiny.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
        file = tmp_path / "child.py"
        file.write_text(script, encoding="utf-8")
        return file

    return make


def test_a_stopped_pull_stops_pip(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "tiny", tiny(make_wheel(index, {MEMBER: CONTENT})))
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def remember(command: list[str], **options: object) -> subprocess.Popen[str]:
        started.append(popen([sys.executable, "-c", "import time; time.sleep(60)"], **options))  # type: ignore[call-overload]
        return started[0]

    monkeypatch.setattr(wheel.subprocess, "Popen", remember)

    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.pull(tmp_path / "models", ["tiny"], progress=interrupt)
    assert started[0].returncode == -signal.SIGKILL
    assert leftovers(tmp_path / "models") == []


def test_pip_that_takes_too_long(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "tiny", tiny(make_wheel(index, {MEMBER: CONTENT})))
    monkeypatch.setattr(wheel, "TIMEOUT", 0.0)
    monkeypatch.setattr(wheel, "_TICK", 0.001)
    with pytest.raises(Unavailable, match="did not come within"):
        models.pull(tmp_path / "models", ["tiny"])
    assert leftovers(tmp_path / "models") == []
