"""One file for a tree of frozen dataclasses of arrays and numbers; read back by mapping it into memory.

    8 bytes   magic, with the version
    8 bytes   length of the header, little-endian
    4 bytes   CRC-32 of the header and everything behind it
    header    JSON: the tree, with each array's dtype, shape and place
    arrays    raw, little-endian, each on a 64-byte boundary counted from the first

Nothing in the file is executable, and equal trees give equal bytes.
"""

from __future__ import annotations

import json
import mmap
import typing
import zlib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from avatarctl.errors import BadInput

MAGIC = b"AVARIG\x00\x08"
ALIGNMENT = 64
PREFIX = 20
DTYPES = {"<f4", "|u1"}
LARGEST_HEADER = 1 << 20

Part = TypeVar("Part")


def save(path: Path, tree: object) -> None:
    """Write a dataclass whose fields are float32 or uint8 arrays, bool, int, float, or the like in turn."""
    arrays: list[bytes] = []
    offset = 0

    def describe(value: Any) -> Any:
        nonlocal offset
        if isinstance(value, np.ndarray):
            data = np.ascontiguousarray(value)
            if data.dtype.str not in DTYPES:
                raise TypeError(f"{data.dtype} has no place in a rig")
            place = {"dtype": data.dtype.str, "shape": list(data.shape), "offset": offset}
            raw = data.tobytes()
            arrays.append(raw + bytes(-len(raw) % ALIGNMENT))
            offset += len(arrays[-1])
            return place
        if is_dataclass(value):
            return {field.name: describe(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, tuple):
            return [describe(item) for item in value]
        if isinstance(value, bool | int | float):
            return value
        raise TypeError(f"{type(value).__name__} has no place in a rig")

    header = json.dumps(describe(tree), separators=(",", ":"), sort_keys=True).encode()
    header += b" " * (-(PREFIX + len(header)) % ALIGNMENT)
    body = b"".join([header, *arrays])
    path.write_bytes(MAGIC + len(header).to_bytes(8, "little") + zlib.crc32(body).to_bytes(4, "little") + body)


def load(path: Path, kind: type[Part]) -> Part:
    """Read what `save` wrote. The arrays are read-only views of the mapped file.

    Raises:
        BadInput: not a rig, one of another version, or a damaged one.
    """
    with path.open("rb") as file:
        if path.stat().st_size < PREFIX:
            raise _damaged("it is too short")
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise _damaged("it begins differently")
    length = int.from_bytes(view[8:16], "little")
    if length > min(LARGEST_HEADER, len(view) - PREFIX):
        raise _damaged("its header is too long")
    if zlib.crc32(view[PREFIX:]) != int.from_bytes(view[16:20], "little"):
        raise _damaged("its checksum is wrong")
    try:
        tree = json.loads(bytes(view[PREFIX : PREFIX + length]))
        return typing.cast(Part, _restore(tree, kind, view[PREFIX + length :]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(str(error)) from error


def _restore(tree: Any, kind: Any, arrays: memoryview) -> Any:
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return typing.cast(Any, kind)(
            **{field.name: _restore(tree[field.name], hints[field.name], arrays) for field in fields(kind)}
        )
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_restore(entry, item, arrays) for entry in tree)
    if kind in (bool, int, float):
        return kind(tree)
    if tree["dtype"] not in DTYPES:
        raise ValueError(f"an array of {tree['dtype']}")
    shape, offset = tuple(int(n) for n in tree["shape"]), int(tree["offset"])
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(arrays, tree["dtype"], count, offset).reshape(shape)


def _damaged(why: str) -> BadInput:
    return BadInput("this is not a rig of this version", why=why, hint="build it again: enrol the person again")
