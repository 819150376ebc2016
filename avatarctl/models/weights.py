"""Weights that a setting chooses: by a name of the catalog, by the name of a folder among the models, or by a path.

What holds: the digest of a folder is that of its files' names and contents, so the same files have the same
digest wherever they lie; and that of a model of the catalog is known without reading it. Files outside the
catalog are read once: their digests are kept beside the models, with the size and time they had.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from avatarctl.errors import Unavailable
from avatarctl.models import fetch, records
from avatarctl.models.catalog import CATALOG, groups, resolve
from avatarctl.models.entry import Model

KEPT = ".digests"
"""Folder among the models for digests of files that the catalog does not know."""


def is_path(reference: str) -> bool:
    """Whether it is a path, not a name."""
    return "/" in reference or "\\" in reference or reference.startswith((".", "~"))


def state(models_dir: Path, reference: str) -> fetch.State:
    """A cheap look, which reads no file."""
    known = _known(reference)
    states = [fetch.installed(models_dir, one.name) for one in known]
    if known:
        return next((s for s in ("missing", "damaged") if s in states), "ok")
    return "ok" if _outside(models_dir, reference).exists() else "missing"


def path(models_dir: Path, reference: str) -> Path:
    """The file, or the folder of all files.

    Raises:
        Unavailable: it is not here, or not whole; the hint says what to type.
    """
    known = _known(reference)
    if known:
        found = state(models_dir, reference)
        if found != "ok":
            raise Unavailable(f"the model {reference} is {found}", hint=f"avatarctl models pull {reference}")
        file = fetch.path(models_dir, known[0].name)
        return file if reference in CATALOG else file.parent
    wanted = _outside(models_dir, reference)
    if wanted.exists():
        return wanted
    raise _absent(wanted, reference)


def digest(models_dir: Path, reference: str) -> str:
    """SHA-256 of a file's content, or of a folder's names and contents; hex.

    Raises:
        Unavailable: it is not in the catalog, and not here.
    """
    entries = _known(reference)
    if entries:
        digests = records.digests(models_dir, [one.name for one in entries])
        if reference in CATALOG:
            return digests[reference]
        return _of_folder((one.file, digests[one.name]) for one in entries)
    wanted = _outside(models_dir, reference)
    try:
        return _read(models_dir, wanted)
    except FileNotFoundError:
        raise _absent(wanted, reference) from None
    except OSError as error:
        raise Unavailable(f"the model {wanted} cannot be read", why=error.strerror or str(error)) from error


def damaged(models_dir: Path, reference: str) -> bool:
    """Whether a model of the catalog has other bytes than it should. Reads them all."""
    return any(fetch.verify(models_dir, one.name) == "damaged" for one in _known(reference))


def _known(reference: str) -> list[Model]:
    return resolve(reference) if reference in CATALOG or reference in groups else []


def _outside(models_dir: Path, reference: str) -> Path:
    return Path(reference).expanduser().absolute() if is_path(reference) else models_dir / reference


def _absent(wanted: Path, reference: str) -> Unavailable:
    if is_path(reference):
        return Unavailable(f"there is no model in {wanted}", hint="give the path of its folder")
    return Unavailable(
        f"the model {reference} is not here",
        why="and the catalog does not know it",
        hint=f"put its files into {wanted}, or take one that `avatarctl models list` names",
    )


def _of_folder(files: Iterable[tuple[str, str]]) -> str:
    """Of names (relative, with slashes) and their SHA-256."""
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def _read(models_dir: Path, wanted: Path) -> str:
    if wanted.is_dir():
        files = {p.relative_to(wanted).as_posix(): p for p in sorted(wanted.rglob("*")) if p.is_file()}
        # What version control, download tools and Python leave behind is no part of a model.
        files = {name: p for name, p in files.items() if not any(_left_behind(part) for part in name.split("/"))}
    else:
        files = {"": wanted}
    name = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:32] + ".json"
    record = models_dir / KEPT / name
    before = _kept(record)
    now: _Entries = {}
    for name, file in files.items():
        found = file.stat()
        seen: list[int | str] = [found.st_size, found.st_mtime_ns]
        known = before.get(name)
        now[name] = known if known and known[:2] == seen else [*seen, fetch.sha256_of(file)]
    if now != before:
        _keep(record, now)
    return str(now[""][2]) if "" in now else _of_folder((name, str(entry[2])) for name, entry in now.items())


def _left_behind(part: str) -> bool:
    return part.startswith(".") or part == "__pycache__"


_Entries = dict[str, list[int | str]]
"""Size in bytes, time of the last change in nanoseconds, SHA-256; by name."""


def _kept(record: Path) -> _Entries:
    try:
        document = json.loads(record.read_text(encoding="utf-8"))
        return {str(name): [int(size), int(time), str(sha)] for name, (size, time, sha) in document.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep(record: Path, entries: _Entries) -> None:
    """Where it cannot be kept, the files are read again the next time."""
    with suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        part = record.with_name(f"{uuid.uuid4().hex}.part")
        part.write_text(json.dumps(entries), encoding="utf-8")
        part.replace(record)
