"""What happens during a run, told to whoever listens: the terminal, the plain log, a test.

The runner knows no listener, and a listener cannot change a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StepEvent:
    """`index` counts the run's steps from 0; `label` says in a few words what the step is about."""

    index: int
    stage: str
    engine: str
    label: str


@dataclass(frozen=True, slots=True)
class Planned(StepEvent):
    """The recipe asked for a step; its inputs may not be there yet."""


@dataclass(frozen=True, slots=True)
class Started(StepEvent):
    """An engine began."""


@dataclass(frozen=True, slots=True)
class Progress(StepEvent):
    """`done` of `total` in `unit` (frames, seconds, ...)."""

    done: float
    total: float
    unit: str


@dataclass(frozen=True, slots=True)
class Finished(StepEvent):
    """`status`: hit, done, failed or cancelled. `facts` are the validator's figures."""

    status: str
    run_ms: float
    facts: dict[str, object]


@dataclass(frozen=True, slots=True)
class Waiting(StepEvent):
    """Another process is making the same step."""


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence of the answer as soon as it is written, without tags."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line that the user should see; not an error."""

    message: str


Event = Planned | Started | Progress | Finished | Waiting | Text | Note


class Listener(Protocol):
    """Called from many threads; must return quickly and never raise."""

    def __call__(self, event: Event) -> None:
        """Take note of `event`."""


def silent(event: Event) -> None:
    """The listener that does nothing."""
