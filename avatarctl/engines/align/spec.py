"""When the sounds of a recording are heard: by its text where that is known, or from the recording alone."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import DICTIONARY
from avatarctl.stages.params import Params, param


@dataclass(frozen=True, kw_only=True)
class SoundParams(Params):
    """Silence that a clip needs at its ends."""

    lead: float = param(0.15, "seconds of silence before the first sound, at least", ge=0, le=5)
    pause: float = param(0.6, "seconds of silence after the last sound, at least", ge=0, le=10)


@dataclass(frozen=True, kw_only=True)
class TextParams(SoundParams):
    """How the text is to be read."""

    language: str = param("auto", "language of the text (ru, en, ...); auto: found from the text")


@dataclass(frozen=True, kw_only=True)
class WarpingParams(TextParams):
    """How far the text is to be trusted."""

    sure: bool = param(
        False, "nothing but the text is said; otherwise lips follow the sound alone where it says something else"
    )


@dataclass(frozen=True, kw_only=True)
class RhubarbParams(TextParams):
    """How long to wait for a program that is not ours."""

    timeout: float = param(
        300.0, "seconds without a sign of progress after which Rhubarb is ended", ge=1, le=86400, keyed=False
    )


SPECS = (
    EngineSpec(
        stage="align",
        name="dtw",
        summary="times of a known text in a recording, by dynamic time warping against espeak-ng",
        cache_version=8,
        factory="avatarctl.engines.align.dtw:WarpingEngine",
        params=WarpingParams,
        needs=("text",),
        reads=(DICTIONARY,),
        gives_timings=True,
    ),
    EngineSpec(
        stage="align",
        name="sound",
        summary="mouth movements guessed from loudness and spectrum; any language, no text",
        cache_version=3,
        factory="avatarctl.engines.align.engine:SoundEngine",
        params=SoundParams,
        gives_timings=True,
    ),
    EngineSpec(
        stage="align",
        name="rhubarb",
        summary="mouth shapes recognised by Rhubarb Lip Sync, a program to be installed apart; only when it is set",
        cache_version=1,
        factory="avatarctl.engines.align.rhubarb:RhubarbEngine",
        params=RhubarbParams,
        reads=("text",),
        gives_timings=True,
    ),
)
