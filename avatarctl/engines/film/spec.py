"""Clips and speech joined to a film."""

from __future__ import annotations

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import FinishParams

SPECS = (
    EngineSpec(
        stage="finish",
        name="film",
        summary="joins clips without encoding them again, with the speech as it was spoken",
        cache_version=1,
        factory="avatarctl.engines.film.engine:FilmEngine",
        params=FinishParams,
        reads=("timings",),
        lane="light",
    ),
)
