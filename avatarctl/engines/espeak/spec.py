"""espeak-ng in process: small, many languages, exact phoneme times."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import DICTIONARY, SpeakParams
from avatarctl.stages.params import param


@dataclass(frozen=True, kw_only=True)
class EspeakParams(SpeakParams):
    """What espeak-ng can do beyond every voice."""

    pitch: int = param(50, "pitch, 50 is the voice's own; unused while a median F0 is followed", ge=0, le=99)
    f0: float = param(
        0.0, "median pitch of the voice, Hz; 0: the enrolled voice's, or else the setting `pitch`", ge=0, le=500
    )
    intonation: int = param(65, "how far the pitch moves, 0 is monotone", ge=0, le=99)
    variant: str = param("", "espeak-ng's voice variant (f1, m3, ...); empty: chosen by the pitch to follow")
    lead: float = param(0.12, "seconds of silence before the sentence", ge=0, le=5)


SPECS = (
    EngineSpec(
        stage="speak",
        name="espeak",
        summary="espeak-ng: a formant synthesiser, many languages, exact timings",
        cache_version=4,
        factory="avatarctl.engines.espeak.engine:EspeakEngine",
        params=EspeakParams,
        reads=("voice_report", DICTIONARY),
        gives_timings=True,
        lane="light",
    ),
)
