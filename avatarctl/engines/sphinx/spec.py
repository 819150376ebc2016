"""Speech recognition by PocketSphinx. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import TranscribeParams
from avatarctl.stages.params import param


@dataclass(frozen=True, kw_only=True)
class SphinxParams(TranscribeParams):
    """It has but one language."""

    language: str = param("auto", "language of the recording: English in any case", choices=("auto", "en"))


SPECS = (
    EngineSpec(
        stage="transcribe",
        name="pocketsphinx",
        summary="PocketSphinx: rough, English only, nothing to download; fit for trials",
        cache_version=1,
        factory="avatarctl.engines.sphinx.engine:SphinxEngine",
        params=SphinxParams,
        languages=("en",),
        gives_timings=True,
        extra="sphinx",
        packages=("pocketsphinx",),
        remark="PocketSphinx takes every language for English, and mishears many words of that. Whisper hears better: "
        "pip install 'avatarctl[whisper]', then avatarctl models pull whisper-small",
    ),
)
