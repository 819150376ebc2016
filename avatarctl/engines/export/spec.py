"""A film's movements as data: mouth shapes for drawn characters, blend shapes for modelled ones."""

from __future__ import annotations

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import ExportParams

SPECS = (
    EngineSpec(
        stage="export",
        name="movements",
        summary="Rhubarb's mouth shapes and ARKit's blend shapes, at the very times of the film",
        cache_version=2,
        factory="avatarctl.engines.export.engine:MovementsEngine",
        params=ExportParams,
        reads=("timings", "curves"),
        lane="light",
    ),
)
