"""Silero's Russian voices. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec, Requirements
from avatarctl.stages.catalog import DICTIONARY, SpeakParams
from avatarctl.stages.params import param

PACKAGE = "package"
"""The role of the model's file. It holds code, so there are no models by path: see `trusted.py`."""
MODELS = ("v5_5_ru", "v4_ru")


@dataclass(frozen=True, kw_only=True)
class SileroParams(SpeakParams):
    """Which voice speaks, and what it works out by itself."""

    model: str = param(
        "v5_5_ru",
        "v5_5_ru knows homographs and questions, v4_ru is smaller",
        choices=MODELS,
        keyed=False,  # The key has the digest of its file instead.
    )
    speaker: str = param("xenia", "aidar, baya, kseniya, xenia or eugene")
    sample_rate: int = param(48_000, "samples a second", choices=(8_000, 24_000, 48_000))
    stress: bool = param(True, "it finds stresses that are not marked by itself")
    yo: bool = param(True, "it finds by itself which е is ё")
    lead: float = param(0.12, "seconds of silence before the sentence", ge=0, le=5)


def requires(params: SileroParams) -> Requirements:
    """The model's file."""
    return Requirements(weights={PACKAGE: f"silero-{params.model.replace('_', '-')}"})


SPECS = (
    EngineSpec(
        stage="speak",
        name="silero",
        summary="Silero's Russian voices, with stresses of their own; weights for non-commercial use only",
        cache_version=1,
        factory="avatarctl.engines.silero.engine:SileroEngine",
        params=SileroParams,
        reads=(DICTIONARY,),
        requires=requires,
        languages=("ru",),
        # The same on one CPU, but not from machine to machine.
        deterministic=False,
        uses_seed=True,
        worker=True,
        packages=("torch",),
    ),
)
