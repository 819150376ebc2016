"""What a stage is: a name, a version, roles of inputs and outputs, parameters, and a validator.

A stage knows no engine. Its version goes into every key, so raising it makes all its steps again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl.stages.params import Params

Facts = dict[str, Any]
"""What a validator measured (durations in seconds, counts, sizes in pixels), kept with the step as JSON."""

Validator = Callable[[Mapping[str, Path], Mapping[str, Path], Any], Facts]
"""`validate(outputs by role, inputs by role, params) -> facts`; raises `StepFailed` when an output is bad."""


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a step makes: `<role><suffix>` in the step's folder."""

    role: str
    media_type: str
    suffix: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """One file that a step reads. `many`: the roles are `role.000`, `role.001`, ...."""

    role: str
    optional: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """The contract between recipes and engines."""

    name: str
    version: int
    summary: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    validate: Validator
    params: type[Params] = Params

    def output(self, role: str) -> Output:
        """The output of that role."""
        return next(o for o in self.outputs if o.role == role)
