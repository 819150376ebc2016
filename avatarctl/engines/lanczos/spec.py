"""Upscaling by interpolation: no model, no invention."""

from __future__ import annotations

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import UpscaleParams

SPECS = (
    EngineSpec(
        stage="upscale",
        name="lanczos",
        summary="Lanczos interpolation; every frame and the sound are kept",
        cache_version=6,
        factory="avatarctl.engines.lanczos.engine:LanczosEngine",
        params=UpscaleParams,
    ),
)
