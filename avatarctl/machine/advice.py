"""Which presets this machine can run, and which settings are the best that work on it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from avatarctl import config, presets
from avatarctl.errors import BadConfig
from avatarctl.machine import needs
from avatarctl.machine.hardware import Hardware
from avatarctl.machine.needs import Gap
from avatarctl.stages.catalog import STAGES

_WITHOUT_FILM = ("answer", "speak")
"""Stages that may come from a better preset although the rest of it cannot be had: what is said, and in which voice."""


@dataclass(frozen=True, slots=True)
class Report:
    """A preset on this machine."""

    name: str
    description: str
    wants: presets.Wants
    gaps: tuple[Gap, ...]

    @property
    def state(self) -> Literal["ready", "incomplete", "impossible"]:
        """Whether it works now, works after its commands, or cannot work here."""
        if not self.gaps:
            return "ready"
        return "impossible" if any(gap.final for gap in self.gaps) else "incomplete"


@dataclass(frozen=True, slots=True)
class Advice:
    """The best settings that work now. `tables`: what goes beyond the preset, by stage."""

    preset: str
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def words(self) -> str:
        """For a person, on one line."""
        beyond = [f"{stage} by {table['engine']}" for stage, table in self.tables.items()]
        return f"the preset {self.preset}" + (f", with {', '.join(beyond)}" if beyond else "")


def reports(hardware: Hardware, folder: Path) -> list[Report]:
    """Every preset that says what it wants, the most modest first.

    The user's own settings are left out: it is the presets that are judged.

    Args:
        folder: where models lie.
    """
    found = []
    for name in presets.available():
        wanted = presets.wants(name)
        if wanted == presets.Wants():
            continue
        description = str(presets.read(name)["description"])
        try:
            gaps = needs.gaps(presets.plain(name), hardware, folder)
        except BadConfig as error:
            gaps = [Gap("", error.what)]
        found.append(Report(name, description, wanted, tuple(gaps)))
    return sorted(found, key=lambda report: (report.wants.gpu_memory_mb, report.wants.memory_mb, report.name))


def best(found: Sequence[Report]) -> Advice:
    """The most demanding preset that is ready, with the stages of better ones that are ready by themselves."""
    ready = [report for report in found if report.state == "ready"]
    base = ready[-1].name if ready else presets.DEFAULT
    names = [report.name for report in found]
    better = found[names.index(base) + 1 :] if base in names else found
    tables: dict[str, Mapping[str, Any]] = {}
    for report in better:
        missing = {gap.stage for gap in report.gaps}
        if any(gap.final and not gap.stage for gap in report.gaps):
            # The machine is too small for it, and so for its language model.
            continue
        theirs = presets.read(report.name)
        for stage in _WITHOUT_FILM:
            if stage in theirs and stage not in missing and theirs[stage] != presets.read(base).get(stage):
                tables[stage] = theirs[stage]
    return Advice(base, tables)


def within_reach(found: Sequence[Report]) -> Report | None:
    """The most demanding preset beyond the default for which this machine is large enough, and whose language model
    can be had by typing something; None if there is none, or all of that is there."""
    for report in reversed(found):
        too_small = any(gap.final and not gap.stage for gap in report.gaps)
        answers = [gap for gap in report.gaps if gap.stage == "answer"]
        if report.name != presets.DEFAULT and not too_small and answers and all(gap.command for gap in answers):
            return report
    return None


def in_force(advice: Advice) -> bool:
    """Whether the user's own settings say all of this already."""
    preset = presets.DEFAULT
    tables: dict[str, dict[str, Any]] = {stage: {} for stage in advice.tables}
    for layer in config.layers(STAGES):
        preset = str(layer.get("preset", preset))
        for stage, table in tables.items():
            table |= layer.get(stage, {})
    return preset == advice.preset and all(t.items() <= tables[s].items() for s, t in advice.tables.items())


def overruling(advice: Advice, layers: Sequence[config.Layer]) -> list[str]:
    """Stages whose engine these layers of settings choose otherwise than the advice does."""
    theirs = presets.read(advice.preset)
    found = []
    for stage in STAGES:
        meant = dict(advice.tables.get(stage, theirs.get(stage, {})))
        for layer in layers:
            if layer.get(stage, {}).get("engine", meant.get("engine")) != meant.get("engine"):
                found.append(stage)
    return list(dict.fromkeys(found))
