"""Begins a worker: `python -P start.py FOLDER [TITLE]`; the title is for whoever lists processes.

This package comes from `FOLDER`, whatever the interpreter has installed, and an engine's own from beside the run's.
PYTHONPATH would bring all else that lies there, too: where avatarctl is installed, the packages of another environment,
of other versions and built for another Python.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


class _Guest(MetaPathFinder):
    """Finds one top-level package or module in folders in which nothing else is looked for."""

    def __init__(self, name: str, folders: Sequence[str]) -> None:
        self._name, self._folders = name, list(folders)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`; what lies within a package is found by its own path."""
        return PathFinder.find_spec(fullname, self._folders) if fullname == self._name else None


def let_in(name: str, folders: Sequence[str]) -> None:
    """From now on the package `name` is imported from these folders."""
    sys.meta_path.insert(0, _Guest(name, folders))


def place(module: str) -> tuple[str, list[str]]:
    """The top-level package of a module, and the folders that it lies in: what `let_in` takes.

    Raises:
        ImportError: there is no such package here.
    """
    name = module.partition(".")[0]
    spec = find_spec(name)
    if spec is None:
        raise ImportError(f"there is no module {name}")
    inside = list(spec.submodule_search_locations or [])
    return name, [str(Path(each).parent) for each in inside or [str(spec.origin)]]


if __name__ == "__main__":
    let_in("avatarctl", sys.argv[1:2])
    from avatarctl.engines.worker import serve

    serve.main()
