"""The photo puppet's two engines: what it prepares once per photo, and how it animates a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import AnimateParams, RigParams
from avatarctl.stages.params import param
from avatarctl.text import emotions
from avatarctl.text.emotions import EMOTIONS


@dataclass(frozen=True, kw_only=True)
class PuppetRigParams(RigParams):
    """How the photo is framed."""

    face_fraction: float = param(
        0.42, "height of the face (hairline to chin) in shorter sides of the film", ge=0.2, le=0.6
    )
    face: str = param("", 'which face: "x,y,width" in pixels of the portrait; empty: the largest one')


@dataclass(frozen=True, kw_only=True)
class PuppetAnimateParams(AnimateParams):
    """How the puppet moves, and how its clip is encoded."""

    mode: str = param(
        "talk",
        "talk: head, eyes and chest move too; still: only mouth, lids and the emotion",
        choices=("talk", "still"),
    )
    motion: float = param(1.0, "strength of head motion: swaying, nods, tilts", ge=0, le=2)
    mouth: float = param(1.0, "strength of mouth opening", ge=0.3, le=1.5)
    blinks: float = param(1.0, "how often the eyes blink; 0: never", ge=0, le=3)
    gaze: float = param(1.0, "strength of eye movements; 0: the eyes turn with the head", ge=0, le=2)
    brows: float = param(1.0, "strength of brow motion with stress and questions", ge=0, le=2)
    breath: float = param(1.0, "strength of breathing; 0: none", ge=0, le=2)
    mood: str = param("neutral", "what the face rests in and shows where no emotion is named", choices=EMOTIONS)
    emotion: str = param("", "what the face shows while it speaks (several, with commas: one a sentence); empty: mood")
    emotion_before: str = param("", "what the sentence before left on the face, where the clip begins; empty: mood")
    emotion_strength: float = param(1.0, "strength of mood and emotion", ge=0, le=1.5)
    background: str = param("", "colour behind the person, as #rrggbb or #rgb; empty: what the photo shows")
    crf: int = param(18, "x264 quality of the clip; lower is better and larger", ge=10, le=35)

    def __post_init__(self) -> None:
        """Raises `BadConfig` for an emotion that is not known, before any work is done."""
        emotions.listed(self.emotion, "animate.emotion")
        if self.emotion_before:
            emotions.canonical(self.emotion_before, "animate.emotion_before")


SPECS = (
    EngineSpec(
        stage="rig",
        name="puppet",
        summary="lips, teeth, lids and depth of the face in a photo, ready to be moved",
        cache_version=31,
        factory="avatarctl.engines.puppet.engine:RigEngine",
        params=PuppetRigParams,
        reads=("detailed",),
        models=("face-detector", "face-mesh", "person-matte"),
    ),
    EngineSpec(
        stage="animate",
        name="puppet",
        summary="one photo moved by warping; real time on a CPU",
        cache_version=23,
        factory="avatarctl.engines.puppet.engine:AnimateEngine",
        params=PuppetAnimateParams,
        reads=("timings", "rig", "background"),
        uses_seed=True,
    ),
)
