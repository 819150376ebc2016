"""A disk that is full, at every kind of write: a small tmpfs stands in its place, and is made larger afterwards.

It needs mounts: `run.py` starts itself anew in a namespace of its own where the system allows that. Where it does not,
the rows say that nothing was tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.tools import Result, Studio
from tests.torture.workshop import FILE, MODELS, WORDS, Row, Workshop, films, told

MARK = "TORTURE_CAN_MOUNT"
FEW = WORDS[:3]
ROOMS = (0, 16, 48, 96, 160, 256, 512, 1024)
"""KiB that are free before the command."""


def can_mount() -> bool:
    """Whether this process may mount what only it sees."""
    return MARK in os.environ


def enter_namespace(arguments: list[str]) -> None:
    """Become the same program where it may mount; returns where the system does not allow that."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    trial = "mount -t tmpfs none /mnt"
    try:
        allowed = subprocess.run([*command, "sh", "-c", trial], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return
    if allowed and not can_mount():
        os.environ[MARK] = "1"
        os.execvp(command[0], [*command, *arguments])


@contextmanager
def tight(folder: Path, room: int, *, inodes: int = 0) -> Iterator[Callable[[], None]]:
    """`folder`, with what is in it, on a file system that has `room` KiB left; call what is given to enlarge it."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = Path(tempfile.mkdtemp(prefix="avatarctl-torture-kept-"))
    shutil.copytree(folder, kept, symlinks=True, dirs_exist_ok=True)
    _mount("-t", "tmpfs", "-o", "size=1g", "none", str(folder))
    try:
        shutil.copytree(kept, folder, symlinks=True, dirs_exist_ok=True)
        found = os.statvfs(folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize // 1024
        limits = f"size={max(used + room, 4)}k"  # 0 would be without a limit
        if inodes:
            limits += f",nr_inodes={found.f_files - found.f_ffree + inodes}"
        _mount("-o", f"remount,{limits}", str(folder))
        yield lambda: _mount("-o", "remount,size=1g,nr_inodes=100000", str(folder))
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        shutil.rmtree(kept)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


@dataclass(frozen=True)
class Kind:
    """A kind of write: where it finds the disk full, and what lies elsewhere."""

    name: str
    folder: Callable[[Studio], Path]
    elsewhere: bool = False
    """Artefacts and temporary files, which share a file system, have one of their own."""
    inodes: int = 0


def _elsewhere(studio: Studio) -> Path:
    return studio.home.parent / "elsewhere"


KINDS = (
    Kind("everything that avatarctl keeps", lambda s: s.home),
    Kind("ledger and locks", lambda s: s.home, elsewhere=True),
    Kind("artefacts and engines' files", _elsewhere, elsewhere=True),
    Kind("delivered films", lambda s: s.work / "outputs"),
    Kind("no inode left", lambda s: s.home, inodes=12),
)


def disk(shop: Workshop) -> list[Row]:
    """Every kind of write, with ever more room before the disk is full."""
    if not can_mount():
        return [Row("disk full", "NOT TRIED: no mounts are allowed here", "")]
    rows = []
    rooms = (0, 96) if shop.quick else ROOMS
    for kind in KINDS:
        wrong: list[str] = []
        full = 0
        for room in rooms:
            faults, was_full = _one(shop, kind, room)
            full += was_full
            wrong += [f"{room} KiB free: {fault}" for fault in faults]
        rows.append(
            Row(
                f"disk full: {kind.name}, {len(rooms)} amounts of room",
                f"{full} batches found it full; wrong: {told(wrong)}",
                "says so, exit 1 or 4, no torn film; with room again: all films, bit-identical",
                not wrong and full > 0,
            )
        )
    return [*rows, *_others(shop)]


def _one(shop: Workshop, kind: Kind, room: int) -> tuple[list[str], bool]:
    """What went wrong, and whether the disk was full at all."""
    studio = shop.studio(words=FEW)
    if kind.elsewhere:
        for name in ("cas", "tmp"):
            (studio.home / name).mkdir(exist_ok=True)
            shutil.move(studio.home / name, _elsewhere(studio) / name)
            (studio.home / name).symlink_to(_elsewhere(studio) / name, target_is_directory=True)
    space = (100_000, kind.inodes + room // 8) if kind.inodes else (room, 0)
    with tight(kind.folder(studio), space[0], inodes=space[1]) as grow:
        wrong = []
        try:
            first = studio.run("batch", "run", FILE, "--retries", "0", timeout=120)
        except subprocess.TimeoutExpired:
            return ["it hangs"], True
        was_full = first.code != 0
        if was_full:
            wrong += unclear(first, (1, 4))
        wrong += [f"{name} is torn" for name, data in films(studio).items() if data != shop.whole[name]]
        grow()
        again = studio.run("batch", "run", FILE, timeout=120)
        if again.code != 0:
            wrong.append(f"with room again it ended with {again.code}: {again.err[-300:]}")
        wrong += shop.wrong(studio)
    shop.drop(studio)
    return wrong, was_full


def unclear(result: Result, codes: tuple[int, ...]) -> list[str]:
    """What is wrong with the way a command told of a full disk."""
    wrong = []
    if result.code not in codes:
        wrong.append(f"exit code {result.code}: {result.err[-300:]}")
    if "Traceback" in result.err:
        wrong.append("a traceback: " + result.err.splitlines()[-1])
    if "disk is full" not in result.err and "too little space on the disk" not in result.err:
        wrong.append(f"does not say that the disk is full: {result.err[-300:]}")
    return wrong


def _others(shop: Workshop) -> list[Row]:
    """Writes outside batches, each with next to no room."""
    tried: list[tuple[str, list[str]]] = [
        ("a report for CI (--junit)", _junit(shop)),
        ("a model's pull", _pull(shop)),
        ("enrolment", _enrol(shop)),
        ("a document", _document(shop)),
        ("a result on standard output", _stdout(shop)),
    ]
    return [
        Row(f"disk full: {name}", f"wrong: {told(wrong)}", "says so, exit 4, nothing half-written; then goes on",
            not wrong)
        for name, wrong in tried
    ]  # fmt: skip


def _junit(shop: Workshop) -> list[str]:
    studio = shop.studio(words=FEW[:1])
    reports = studio.work / "reports"
    with tight(reports, 0) as grow:
        (reports / "filler").write_bytes(b"x" * 4096)
        wrong = unclear(studio.run("batch", "run", FILE, "--junit", "reports/results.xml"), (4,))
        wrong += [f"{p.name} was left" for p in reports.iterdir() if p.name != "filler"]
        wrong += shop.wrong(studio)
        grow()
        studio.ok("batch", "run", FILE, "--junit", "reports/results.xml")
    return wrong


def _pull(shop: Workshop) -> list[str]:
    studio = shop.studio(words=FEW[:1])
    models = studio.home / "models"
    models.unlink()
    with tight(models, 600) as grow:
        wrong = unclear(studio.run("models", "pull", "face", AVATARCTL_MODELS_MIRRORS=str(MODELS)), (4,))
        grow()
        again = studio.run("models", "pull", "face", AVATARCTL_MODELS_MIRRORS=str(MODELS))
        if again.code != 0 or studio.run("models", "verify").code != 0:
            wrong.append(f"with room again: {again.err[-300:]}")
    return wrong


def _enrol(shop: Workshop) -> list[str]:
    wrong = []
    photo = str(next((MODELS / "portrait-hopper").glob("*.*")))
    for room in (0, 64, 400):
        studio = shop.studio(words=FEW[:1])
        with tight(studio.home, room) as grow:
            wrong += unclear(studio.run("enroll", photo, "--name", "hopper"), (4,))
            grow()
            if "hopper" in studio.ok("avatars", "list").out:
                wrong.append("half an avatar is enrolled")
            studio.ok("enroll", photo, "--name", "hopper")
            wrong += shop.wrong(studio, all_there=False)
    return wrong


def _document(shop: Workshop) -> list[str]:
    studio = shop.studio(words=FEW[:1])
    (studio.work / "notes.md").write_text("# Мост\n\n" + "Мост построен в 1900 году. " * 20_000)
    with tight(studio.home, 100) as grow:
        wrong = unclear(studio.run("knowledge", "add", "notes.md"), (4,))
        grow()
        studio.ok("knowledge", "add", "notes.md")
    return wrong


def _stdout(shop: Workshop) -> list[str]:
    studio = shop.studio(words=FEW[:1])
    studio.ok("batch", "run", FILE)
    wrong = []
    for arguments in (
        ("batch", "run", FILE),
        ("batch", "run", FILE, "--json"),
        ("batch", "run", FILE, "--jsonl"),
        ("batch", "status", FILE, "--json"),
        ("runs", "list"),
        ("render", "Раз."),
        ("--help",),
    ):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                studio.command(*arguments), cwd=studio.work, env=studio.environment(), stdout=full,
                stderr=subprocess.PIPE, check=False,
            )  # fmt: skip
        wrong += [
            f"{' '.join(arguments)}: {w}" for w in unclear(Result(done.returncode, "", done.stderr.decode()), (4,))
        ]
    return wrong + shop.wrong(studio)
