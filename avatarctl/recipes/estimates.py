"""How long a minute of film takes with some settings, by what the ledger remembers of earlier steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avatarctl import presets
from avatarctl.errors import AvatarctlError
from avatarctl.presets import Settings
from avatarctl.store.ledger import Ledger

_STAGES = ("answer", "speak", "animate", "upscale", "finish", "check")
"""What is done for every film; all else is done once for a person."""
_CHARACTERS_A_SECOND = 14.0
"""Of a text that is read out, spaces included; Russian and English alike, within a fifth."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of work for each minute of film, by stage. Stages overlap, so the whole takes no more than their sum."""

    stages: Mapping[str, float]
    unmeasured: tuple[str, ...]
    """Stages that have never run as these settings want them."""

    @property
    def seconds(self) -> float | None:
        """For a minute of film; None as long as a stage was never measured."""
        return None if self.unmeasured else sum(self.stages.values())


def estimate(ledger: Ledger, settings: Settings) -> Estimate:
    """From the latest steps of each engine with the size of film that these settings want."""
    known: dict[str, float] = {}
    unmeasured: list[str] = []
    for stage in _STAGES:
        try:
            choice = settings.choice(stage, presets.every_role(stage))
        except AvatarctlError:
            unmeasured.append(stage)
            continue
        params = choice.params.as_dict()
        if (stage == "upscale" and params["scale"] == 1) or (stage == "check" and not params["enabled"]):
            continue
        worked = made = 0.0
        for run_ms, facts in ledger.history(stage, choice.spec.name):
            seconds = _film_seconds(ledger, stage, facts, settings)
            if seconds > 0:
                worked += run_ms / 1000
                made += seconds
        if made:
            known[stage] = round(60 * worked / made, 2)
        else:
            unmeasured.append(stage)
    return Estimate(known, tuple(unmeasured))


def _film_seconds(ledger: Ledger, stage: str, facts: Mapping[str, Any], settings: Settings) -> float:
    """How much film a step was for; 0 for one that says nothing of these settings."""
    if stage == "answer":
        return float(facts.get("characters", 0)) / _CHARACTERS_A_SECOND
    if stage == "animate":
        size = settings.choice("animate").params.as_dict().get("size")
        if size is not None and size not in (facts.get("width"), facts.get("height")):
            return 0.0
        return float(facts.get("frames", 0)) / float(facts.get("fps", 25))
    if stage == "upscale":
        return float(facts.get("frames", 0)) / float(settings.choice("animate").params.as_dict().get("fps", 25))
    if stage == "check":
        # It does not say how long the film was: as long as films are.
        films = [float(f.get("duration", 0)) for _, f in ledger.history("finish", settings.engine_name("finish"))]
        return sum(films) / len(films) if films else 0.0
    return float(facts.get("duration", 0))
