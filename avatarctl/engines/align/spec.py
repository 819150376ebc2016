"""When the sounds of a recording are heard, from the recording alone."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.params import Params, param


@dataclass(frozen=True, kw_only=True)
class SoundParams(Params):
    """Silence that a clip needs at its ends."""

    lead: float = param(0.15, "seconds of silence before the first sound, at least", ge=0, le=5)
    pause: float = param(0.6, "seconds of silence after the last sound, at least", ge=0, le=10)


SPECS = (
    EngineSpec(
        stage="align",
        name="sound",
        summary="mouth movements guessed from loudness and spectrum; any language, no text",
        cache_version=1,
        factory="avatarctl.engines.align.engine:SoundEngine",
        params=SoundParams,
        gives_timings=True,
    ),
)
