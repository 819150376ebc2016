"""Arrays by name in one file, the same bytes every time; `numpy.load` reads it too."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NO_TIME = (1980, 1, 1, 0, 0, 0)


def write(path: Path, named: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as compressed `.npz`. Equal arrays, equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in named.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _NO_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                # `order="C"` keeps an array without dimensions as it is, which `ascontiguousarray` does not.
                np.lib.format.write_array(file, np.asarray(values, order="C"), allow_pickle=False)


def read(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a `.npz`. Nothing in it is executed.

    Raises:
        ValueError: it is none, or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array alone")
            return {name: stored[name] for name in stored.files}
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError(str(error)) from error
