"""A finished film measured. Nothing heavy is imported here."""

from __future__ import annotations

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import CheckParams

SPECS = (
    EngineSpec(
        stage="check",
        name="measure",
        summary="a finished film in figures: lips against sound, background, flicker, sharpness, loudness",
        cache_version=21,
        factory="avatarctl.engines.check.engine:CheckEngine",
        params=CheckParams,
        reads=("curves", "timings", "speech"),
        models=("face-detector", "face-mesh", "person-matte"),
        lane="cpu",
    ),
)
