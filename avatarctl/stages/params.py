"""Typed parameters of stages and engines: declared once, checked everywhere, written into keys.

Plain frozen dataclasses, because the command line must start without importing a validation library.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Self

from avatarctl.errors import BadConfig


def param(
    default: Any,
    help: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[Any, ...] | None = None,
    keyed: bool = True,
) -> Any:
    """A dataclass field with its documentation and bounds. `keyed=False`: it cannot change the result."""
    return dataclasses.field(
        default=default, metadata={"help": help, "ge": ge, "le": le, "choices": choices, "keyed": keyed}
    )


def nearest(word: str, words: typing.Iterable[str]) -> str:
    """`" Did you mean X?"`-style hint, or the list of what there is."""
    options = sorted(words)
    match = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    return f"did you mean {match[0]!r}?" if match else "known: " + ", ".join(options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Params:
    """Base of every parameter set. Subclass it, with one `param(...)` a field."""

    @classmethod
    def parse(cls, raw: Mapping[str, object], where: str) -> Self:
        """Check `raw` (from TOML or `--set`, so values may be text) against the declared fields.

        Raises:
            BadConfig: unknown key (the nearest one is suggested), wrong type, out of bounds.
        """
        fields = {f.name: f for f in dataclasses.fields(cls)}
        hints = _hints(cls)  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        for name, value in raw.items():
            if name not in fields:
                raise BadConfig(f"unknown setting {where}.{name}", hint=nearest(name, fields))
            values[name] = _coerce(value, hints[name], fields[name].metadata, f"{where}.{name}")
        return cls(**values)

    def keyed(self) -> dict[str, Any]:
        """The fields that change the result, defaults filled in, for the step's key."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata.get("keyed", True)}

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}


@functools.cache
def _hints(params: type[Params]) -> dict[str, Any]:
    """Types of the fields by name; a batch of ten thousand different jobs asks as often."""
    return typing.get_type_hints(params)


def _coerce(value: object, hint: Any, meta: Mapping[str, Any], where: str) -> Any:
    if isinstance(hint, types.UnionType):
        options = [t for t in typing.get_args(hint) if t is not type(None)]
        if value is None or (isinstance(value, str) and value.lower() in ("", "none", "auto")):
            return None
        hint = options[0]
    result = _convert(value, hint, where)
    choices = meta.get("choices")
    if choices and result not in choices:
        raise BadConfig(f"{where} = {value!r} is not possible", hint="one of: " + ", ".join(str(c) for c in choices))
    ge, le = meta.get("ge"), meta.get("le")
    if (ge is not None and result < ge) or (le is not None and result > le):
        raise BadConfig(f"{where} = {value!r} is out of bounds", hint=f"it goes from {ge} to {le}")
    return result


def _convert(value: object, hint: type, where: str) -> Any:
    try:
        if hint is bool:
            if isinstance(value, bool):
                return value
            if isinstance(value, str) and value.lower() in ("true", "yes", "on", "1"):
                return True
            if isinstance(value, str) and value.lower() in ("false", "no", "off", "0"):
                return False
            raise ValueError
        if hint is int:
            if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
                raise ValueError
            return int(value)  # type: ignore[call-overload]
        if hint is float:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)  # type: ignore[arg-type]
            if not math.isfinite(number):
                raise ValueError
            return number
        if hint is str and isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
        raise ValueError
    except (ValueError, TypeError):
        raise BadConfig(f"{where} = {value!r} is not a {hint.__name__}") from None
