"""The catalog of weights and demo portraits: all entries by name, and names for what is fetched together.

Digests stand in the entries and not beside the files, so a key that depends on a model can be computed without
reading it, and no mirror can change what is used.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from avatarctl.errors import BadInput
from avatarctl.models import piper, realesrgan, sadtalker, silero, wheeled, whisper, xtts
from avatarctl.models.entry import Model

_MODULES = (wheeled, realesrgan, whisper, piper, silero, xtts, sadtalker)
"""Modules with a tuple `MODELS`."""


def _joined(entries: Iterable[Model]) -> dict[str, Model]:
    """By name.

    Raises:
        ValueError: two have one name, or one place.
    """
    table: dict[str, Model] = {}
    places: set[tuple[str, str]] = set()
    for entry in entries:
        place = (entry.folder or entry.name, entry.file)
        if entry.name in table or place in places:
            raise ValueError(f"two models are called {entry.name}, or lie in {'/'.join(place)}")
        table[entry.name] = entry
        places.add(place)
    return table


CATALOG: dict[str, Model] = _joined(entry for module in _MODULES for entry in module.MODELS)

groups: dict[str, list[str]] = {
    "face": ["face-detector", "face-mesh", "person-matte"],
    "upscaler": ["realesrgan-photo-graph", "realesrgan-photo", "realesrgan-video-graph", "realesrgan-video"],
    "demo": ["portrait-astronaut", "portrait-hopper"],
}
"""Names for what is usually fetched together. Files of one folder are a group of the folder's name."""
for _entry in CATALOG.values():
    if _entry.folder:
        groups.setdefault(_entry.folder, []).append(_entry.name)


def model(name: str) -> Model:
    """Raises `BadInput` when the catalog has none of that name, with the nearest one."""
    try:
        return CATALOG[name]
    except KeyError:
        raise _unknown(name, CATALOG) from None


def resolve(name: str) -> list[Model]:
    """The model of that name, or all of a group.

    Raises:
        BadInput: neither exists; the hint names the nearest.
    """
    if name in CATALOG:
        return [CATALOG[name]]
    if name in groups:
        return [CATALOG[member] for member in groups[name]]
    raise _unknown(name, [*CATALOG, *groups])


def short(names: Iterable[str]) -> list[str]:
    """The same models in fewer words: a group whose every member is named stands for them, in their place."""
    left = list(dict.fromkeys(names))
    for group, members in groups.items():
        if len(members) > 1 and set(members) <= set(left):
            left = list(dict.fromkeys(group if name in members else name for name in left))
    return left


def _unknown(name: str, known: Iterable[str]) -> BadInput:
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "avatarctl models list names all of them"
    return BadInput(f"there is no model {name!r}", hint=hint)
