"""Which files of Silero's may be opened: the only ones with pickles and code that avatarctl ever runs.

What holds: the bytes that run are the bytes whose SHA-256 was compared, since they are read once; and what they are
compared with is the catalog's digest, or the one that this machine pinned when the file was fetched. No other file is
opened this way, whatever its name and wherever it lies.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from avatarctl.errors import Unavailable
from avatarctl.models import records
from avatarctl.models.catalog import CATALOG

_SERVES = "speak/silero"


def read(file: Path) -> bytes:
    """The content of a model's file in its place among the models.

    Raises:
        Unavailable: it is none of Silero's in the catalog, or these are not the bytes that are known.
    """
    entries = [one for one in CATALOG.values() if one.file == file.name and _SERVES in one.needed_by]
    if len(entries) != 1:
        raise Unavailable(f"{file.name} is none of Silero's files", why="it would run code that nobody vouches for")
    (entry,) = entries
    # Models lie in `<models>/<folder or name>/<file>`; pins beside them.
    wanted = records.known(file.parent.parent, entry).sha256
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Unavailable(f"{file.name} cannot be read", why=error.strerror or str(error)) from error
    if not wanted or hashlib.sha256(data).hexdigest() != wanted:
        why = "its SHA-256 is not the one that is known" if wanted else "its SHA-256 is not known here"
        raise Unavailable(f"{file.name} is not opened", why=why, hint=f"avatarctl models pull {entry.name}")
    return data
