"""The dictionary of each person: a text file below the store's home, one for all versions of a name."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

from avatarctl.store import deliver
from avatarctl.store.faults import STORE_HINT, file_faults
from avatarctl.store.store import Store

FOLDER = "dictionaries"


def path(store: Store, name: str) -> Path:
    """Where a person's dictionary lies, if they have one. Names may hold what no file name may."""
    folded = unicodedata.normalize("NFC", name)
    readable = "".join(c if c.isalnum() else "-" for c in folded)[:32]
    return store.home / FOLDER / f"{readable}-{hashlib.sha256(folded.encode()).hexdigest()[:8]}.txt"


def read(store: Store, name: str) -> bytes:
    """A person's dictionary as it is kept; empty if they have none."""
    file = path(store, name)
    with file_faults(file, STORE_HINT):
        return file.read_bytes() if file.exists() else b""


def write(store: Store, name: str, data: bytes) -> Path:
    """Put a dictionary in place of the person's former one, whole or not at all."""
    file = path(store, name)
    deliver.write(data, file, STORE_HINT)
    return file


def remove(store: Store, name: str) -> bool:
    """Forget a person's dictionary: whether there was one."""
    file = path(store, name)
    with file_faults(file, STORE_HINT):
        existed = file.exists()
        file.unlink(missing_ok=True)
    return existed
