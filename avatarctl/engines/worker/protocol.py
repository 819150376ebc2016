"""What a run and its worker say to each other: JSON objects, UTF-8, one a line, version 2.

    worker -> run   hello     {proto, version, python}
                    result    {id, outputs: [{name, size, sha256}], seconds, memory, device}
                    error     {id, code, what, why, hint, detail, errno}
                    progress  {id, done, total, unit}     at least every HEARTBEAT seconds while working
                    text      {id, text}                  a piece of a streamed text
                    log       {id, level, message}        one line for the user
                    used      {id, unit, amount}          what a service counts and charges
    run -> worker   load      {id, instance, engine, factory, code, version, models: {name: path},
                               digests: {name: sha256}}
                    run       {id, instance, inputs: {role: path}, out, params, params_class, key, seed, threads}
                    cancel    {id}
                    ping      {id}
                    shutdown  {}

Media travel by absolute path, never inline. A worker may hold several engines, each loaded as an `instance`, a number
that the run chose. `code` is a digest of the engine's source, so that two versions of avatarctl never talk past each
other. `errno` is that of the operating system's error which an engine met; 0 for every other error.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

from avatarctl.errors import AvatarctlError, BadConfig, BadInput, NoFace, Offline, OutOfMemory, StepFailed, Unavailable

PROTOCOL = 2
HEARTBEAT = 5.0
"""Seconds between a busy worker's signs of life."""
LONGEST_LINE = 1 << 22
"""Bytes. A longer line is no message."""

ENGINE_FAILED = "the engine failed"
"""What an error says of an exception that is not of our tree."""

Message = dict[str, Any]

ERRORS: dict[str, type[AvatarctlError]] = {
    "no_face": NoFace,
    "bad_input": BadInput,
    "bad_config": BadConfig,
    "offline": Offline,
    "unavailable": Unavailable,
    "missing_weights": Unavailable,
    "digest_mismatch": Unavailable,
    "step_failed": StepFailed,
    "out_of_memory": OutOfMemory,
    "engine_bug": StepFailed,
}
"""The class that the run raises for each code of an error message; `cancelled` has none."""


class Garbled(Exception):
    """A line that is no message of this protocol."""


def encode(kind: str, **fields: Any) -> bytes:
    """One line. Text that is not Unicode (file names of other encodings) travels as escaped surrogates."""
    return json.dumps({"type": kind, **fields}, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """One message. Raises `Garbled`."""
    try:
        message = json.loads(line)
    except ValueError as error:
        raise Garbled(f"not JSON: {line[:60]!r}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Garbled(f"not a message: {line[:60]!r}")
    return message


def error_of(code: str, what: str, why: str, hint: str) -> AvatarctlError:
    """The exception for an error message; an unknown code is a failed step."""
    return ERRORS.get(code, StepFailed)(what, why=why, hint=hint)


def code_of(error: AvatarctlError) -> str:
    """The code that carries this exception across: of the nearest class above it that both sides know."""
    for kind in type(error).__mro__:
        code = getattr(kind, "code", "")
        if ERRORS.get(code) is kind:
            return str(code)
    return "step_failed"


def source_digest(factory: str) -> str:
    """SHA-256 of the Python sources beside an engine's factory and of this package, by name and content.

    The factory's module is found, not imported.
    """
    digest = hashlib.sha256()
    for module in (factory.partition(":")[0], __name__):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ImportError(f"there is no module {module}")
        folder = Path(spec.origin).parent
        for path in sorted(folder.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
