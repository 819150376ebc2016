"""Names of steps and of files: equal content has an equal name, on every machine and in every process.

The tag `s1:` stands for this module's rules. Whoever changes a rule gives the next number.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEME = "s1:"
BLOCK = 1 << 20
"""Bytes read at a time. The kernel reads ahead while a block is hashed, which a second thread could not beat."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def canonical_json(value: object) -> bytes:
    """The one UTF-8 JSON form of `value`: sorted keys, no spaces, NFC text, shortest floats, -0.0 as 0.0.

    An int stays an int, so 1 and 1.0 differ. Tuples are lists.

    Raises:
        ValueError: NaN, an infinity, text that is not Unicode, or two keys that are equal after NFC.
        TypeError: a type that JSON does not have, or a key that is not text.
    """
    plain = _plain(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _nfc(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no place in a key")
        return float(value) + 0.0  # -0.0 + 0.0 is 0.0
    if isinstance(value, Mapping):
        plain: dict[str, Any] = {}
        for name, item in value.items():
            if not isinstance(name, str):
                raise TypeError(f"the key {name!r} is not text")
            name = _nfc(name)
            if name in plain:
                raise ValueError(f"the key {name!r} is there twice")
            plain[name] = _plain(item)
        return plain
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")


def _nfc(text: str) -> str:
    normal = unicodedata.normalize("NFC", text)
    try:
        normal.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is not valid Unicode text") from None
    return normal


def step_key(identity: Mapping[str, object]) -> str:
    """`s1:` and the SHA-256, in hex, of the canonical JSON of everything that a step's result depends on."""
    return SCHEME + digest_bytes(canonical_json(identity))


def digest_bytes(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex; memory use does not depend on its size."""
    with path.open("rb", buffering=0) as file:
        return digest_open(file.fileno())


def digest_open(descriptor: int) -> str:
    """SHA-256, in hex, of an open file from its present position to its end."""
    state = hashlib.sha256()
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    block = bytearray(BLOCK)
    view = memoryview(block)
    while count := os.readv(descriptor, [block]):
        state.update(view[:count])
    return state.hexdigest()


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 in lower-case hex."""
    return _DIGEST.fullmatch(text) is not None
