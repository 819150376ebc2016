"""What the face mesh does for a portrait. Nothing heavy is imported here."""

from __future__ import annotations

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import PortraitParams

SPECS = (
    EngineSpec(
        stage="portrait",
        name="facemesh",
        summary="finds the face with a 478-point mesh and judges the photo",
        cache_version=13,
        factory="avatarctl.engines.facemesh.portrait:FaceMeshPortrait",
        params=PortraitParams,
        models=("face-detector", "face-mesh"),
        lane="cpu",
    ),
)
