"""What is wrong with a job file: every problem with its place, not only the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from avatarctl.errors import BadConfig

SHOWN = 50
"""A file that is wrong from top to bottom need not be listed whole."""


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """One thing that is wrong. `line` counts from 1; 0 where no line is to blame."""

    file: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}" + (f" ({self.hint})" if self.hint else "")

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"file": self.file, "line": self.line, "message": self.message, "hint": self.hint}


class BadJobFile(BadConfig):
    """A job file is wrong; nothing of it was performed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        first = self.problems[0]
        super().__init__(
            str(first),
            why="" if count == 1 else f"and {count - 1} more",
            hint="avatarctl batch check FILE lists every problem; nothing was performed",
        )

    def as_dict(self) -> dict[str, Any]:
        """`{code, message, hint, problems}`."""
        return {**super().as_dict(), "problems": [problem.as_dict() for problem in self.problems[:SHOWN]]}
