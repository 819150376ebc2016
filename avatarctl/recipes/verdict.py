"""Whether a finished film keeps its preset's limits: its figures, as `check` measured them, against the params.

The figures are cached and the limits are not in their key, so another limit judges the same film anew at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avatarctl.stages.catalog import CheckParams

_BOTH_WAYS = {"lag_ms", "length_difference"}
"""Figures that are as bad below 0 as above."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A limit that a film breaks. `limit`: the param's name; `value`: the film's figure; `bound`: what it may be."""

    limit: str
    value: float
    bound: float

    def __str__(self) -> str:
        side, _, figure = self.limit.partition("_")
        return f"{figure} {self.value:g} is {'below' if side == 'min' else 'above'} {self.bound:g}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"limit": self.limit, "value": self.value, "bound": self.bound}


def faults(figures: Mapping[str, Any], limits: CheckParams) -> list[Fault]:
    """Every limit that is broken, in the order of the params. What is not known breaks none."""
    found: list[Fault] = []
    for name, bound in limits.as_dict().items():
        side, _, figure = name.partition("_")
        value = figures.get(figure)
        if side not in ("min", "max") or bound is None or value is None:
            continue
        size = abs(value) if figure in _BOTH_WAYS else value
        if size < bound if side == "min" else size > bound:
            found.append(Fault(name, value, bound))
    return found
