"""What this machine remembers of its models: digests that it pinned itself, and licences that its user accepted.

What holds: a pin is written before the file that it describes appears, and is never changed by a pull; so what came
first stays the only thing that is accepted, also after the file was removed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from avatarctl.errors import BadInput, Unavailable
from avatarctl.models import locks
from avatarctl.models.catalog import model
from avatarctl.models.entry import Licence, Model

PINS = "pins.json"
LICENCES = "licences.json"


def known(models_dir: Path, wanted: Model) -> Model:
    """The entry with the digest and size that count here: the catalog's, or what this machine pinned.

    A catalog's digest that was verified cannot be overruled.
    """
    if wanted.sha256 and wanted.verified:
        return wanted
    pin = _read(models_dir / PINS).get(wanted.name)
    if not isinstance(pin, dict):
        return wanted
    try:
        return dataclasses.replace(wanted, sha256=str(pin["sha256"]), size=int(pin["size"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(
            f"{models_dir / PINS} is damaged",
            why=f"the pin of {wanted.name}: {error}",
            hint=f"avatarctl models rm --forget {wanted.name}, then pull it again",
        ) from error


def digests(models_dir: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 by name, for keys. No model is read.

    Raises:
        BadInput: unknown name.
        Unavailable: nobody knows it before it was fetched once.
    """
    found = {name: known(models_dir, model(name)).sha256 for name in names}
    for name, sha256 in found.items():
        if not sha256:
            raise Unavailable(f"the model {name} is missing", hint=f"avatarctl models pull {name}")
    return found


def pin(models_dir: Path, wanted: Model, sha256: str, size: int, source: str = "") -> None:
    """Remember that this digest and length, and no other, is the model's."""
    # Checked as every entry is.
    pinned = dataclasses.replace(wanted, sha256=sha256, size=size)
    entry = {"sha256": pinned.sha256, "size": pinned.size, "source": source, "since": _now()}
    with _alone(models_dir):
        _write(models_dir / PINS, _read(models_dir / PINS) | {wanted.name: entry})


def trust(models_dir: Path, wanted: Model, sha256: str) -> None:
    """Overrule the digest of an entry whose bytes its writer never saw.

    Raises:
        BadInput: the entry is sure of its digest, or has none, so that what comes first is pinned.
        ValueError: it is no SHA-256.
    """
    if wanted.verified or wanted.pinned_at_first_use:
        raise BadInput(f"the digest of {wanted.name} is not in doubt", hint="leave out --trust")
    pin(models_dir, wanted, sha256, wanted.size, "the user")


def forget(models_dir: Path, names: Iterable[str]) -> list[str]:
    """Take pins away: which there were."""
    wanted = list(names)
    if not (models_dir / PINS).exists():
        return []
    with _alone(models_dir):
        pins = _read(models_dir / PINS)
        gone = [name for name in wanted if name in pins]
        if gone:
            _write(models_dir / PINS, {name: entry for name, entry in pins.items() if name not in gone})
    return gone


def to_accept(models_dir: Path, entries: Iterable[Model]) -> list[Licence]:
    """Licences that must be accepted, and were not yet; each once."""
    accepted = _read(models_dir / LICENCES)
    asked = (entry.licence for entry in entries if entry.licence.accept)
    return [one for one in dict.fromkeys(asked) if accepted.get(one.name, {}).get("terms") != one.accept]


def accept(models_dir: Path, licence: Licence) -> None:
    """Remember that the user accepted a licence, in these words."""
    entry = {"terms": licence.accept, "url": licence.url, "since": _now()}
    with _alone(models_dir):
        _write(models_dir / LICENCES, _read(models_dir / LICENCES) | {licence.name: entry})


def write_atomically(file: Path, text: str) -> None:
    """A small file, whole or not at all, also when the machine stops."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _alone(models_dir: Path) -> AbstractContextManager[None]:
    return locks.held(models_dir, "records", timeout=30)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read(file: Path) -> dict[str, Any]:
    """Raises `Unavailable` when it cannot be understood: an empty one in its place would accept anything."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("it is no table")
        return document
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"{file} cannot be used",
            why=str(error),
            hint="remove it: models are then pinned, and licences asked for, anew",
        ) from error


def _write(file: Path, document: dict[str, Any]) -> None:
    write_atomically(file, json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
