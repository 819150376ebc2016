"""Neural voices on a CPU by Piper's models. Nothing heavy is imported here.

The program Piper (piper-tts) is under the GPL, and what it adds to a voice is small: phonemes of espeak-ng, their
numbers, and one call of onnxruntime (MIT). So the voices are run here directly, in process, with the espeak-ng that
comes with avatarctl anyway; that also gives exact timings of every voice, and noise that follows the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec, Requirements
from avatarctl.models.weights import is_path
from avatarctl.stages.catalog import DICTIONARY, SpeakParams
from avatarctl.stages.params import param

VOICE, CONFIG = "voice", "config"
"""Roles: the `.onnx` file, or the folder that holds it and its `.onnx.json`; and that `.json` where it is apart."""


@dataclass(frozen=True, kw_only=True)
class PiperParams(SpeakParams):
    """Who speaks, and how lively."""

    voice: str = param(
        "irina",
        "irina, dmitri, denis (Russian), ljspeech (English), or the path of a voice.onnx with a voice.onnx.json beside",
        keyed=False,  # The key has the digest of its files instead.
    )
    speaker: str = param("", "name or number of the speaker, for voices that have several; empty: the first")
    noise: float = param(-1.0, "how much the sound varies; -1: as the voice was made", ge=-1, le=2)
    rhythm: float = param(-1.0, "how much the lengths of sounds vary; -1: as the voice was made", ge=-1, le=2)
    lead: float = param(0.12, "seconds of silence before the sentence", ge=0, le=5)


def requires(params: PiperParams) -> Requirements:
    """The voice's two files."""
    if is_path(params.voice):
        return Requirements(weights={VOICE: params.voice, CONFIG: f"{params.voice}.json"})
    return Requirements(weights={VOICE: f"piper-{params.voice}"})


SPECS = (
    EngineSpec(
        stage="speak",
        name="piper",
        summary="Piper's neural voices on a CPU, exact timings",
        cache_version=2,
        factory="avatarctl.engines.piper.engine:PiperEngine",
        params=PiperParams,
        reads=(DICTIONARY,),
        requires=requires,
        gives_timings=True,
        uses_seed=True,
        extra="piper",
        packages=("onnxruntime",),
    ),
)
