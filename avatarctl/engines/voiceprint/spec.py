"""A voice sample, cleaned and judged."""

from __future__ import annotations

from avatarctl.engines.contract import EngineSpec

SPECS = (
    EngineSpec(
        stage="voiceprint",
        name="voiceprint",
        summary="decodes, trims and levels a voice sample; measures noise and pitch",
        cache_version=1,
        factory="avatarctl.engines.voiceprint.engine:VoiceprintEngine",
    ),
)
