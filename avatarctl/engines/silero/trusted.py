"""Which files of Silero's may be opened: the only ones with pickles and code that avatarctl ever runs.

What holds: the bytes that run are the bytes whose SHA-256 was compared, since they are read once; and what they are
compared with is a digest that many publish, or one that the user has put in its place (`models pull --trust`). No other
file is opened this way, whatever its name and wherever it lies.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from avatarctl.errors import Unavailable
from avatarctl.models import records
from avatarctl.models.catalog import CATALOG

_SERVES = "speak/silero"
_PUBLISHED = {"v4_ru.pt": "896ab96347d5bd781ab97959d4fd6885620e5aab52405d3445626eb7c1414b00"}
"""Of a file whose size nobody publishes, so that the catalog cannot have it: there, what comes first is pinned."""


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
    wanted = _PUBLISHED.get(file.name) or records.known(file.parent.parent, entry).sha256
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Unavailable(f"{file.name} cannot be read", why=error.strerror or str(error)) from error
    if hashlib.sha256(data).hexdigest() != wanted:
        why = "its SHA-256 is not the one that is known"
        raise Unavailable(f"{file.name} is not opened", why=why, hint=f"avatarctl models pull {entry.name}")
    return data
