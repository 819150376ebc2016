"""Speech recognition by Whisper. Nothing heavy is imported here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec, Requirements, on_the_cpu
from avatarctl.stages.catalog import TranscribeParams
from avatarctl.stages.params import param

WEIGHTS = "model"
"""The role of the model's folder."""
_GPU_MEMORY_MB = {"tiny": 700, "base": 900, "small": 1500, "medium": 3000, "large-v3-turbo": 3000}
"""With float16 and a beam of 5; estimates, rounded up."""
_LARGEST_MB = 5500


@dataclass(frozen=True, kw_only=True)
class WhisperParams(TranscribeParams):
    """Which model, where it runs, and how it decodes."""

    model: str = param(
        "small",
        "tiny, base, small, medium, large-v3, large-v3-turbo, or the path of a CTranslate2 folder",
        keyed=False,  # The key has the digest of its files instead.
    )
    device: str = param("auto", "auto: the GPU if CTranslate2 finds one", choices=("auto", "cpu", "cuda"))
    compute_type: str = param("auto", "how numbers are held: int8, float16, ...; auto: int8 on a CPU, float16 on a GPU")
    vad: bool = param(True, "leave out what holds no speech, where Whisper is apt to invent some")
    beam_size: int = param(5, "how many readings are followed at a time", ge=1, le=20)
    initial_prompt: str = param("", "names and words that are likely to come up, in a sentence")
    temperature: float = param(
        0.0, "how freely it may read again what it could not make sense of; 0: never", ge=0, le=1
    )


def requires(params: WhisperParams) -> Requirements:
    """The model's folder; the GPU's lane and memory if it will run there."""
    reference = params.model if "/" in params.model or params.model[:1] in "~." else f"whisper-{params.model}"
    # NVIDIA's driver brings this program. CTranslate2 itself is asked when the engine runs.
    on_gpu = params.device == "cuda" or (params.device == "auto" and shutil.which("nvidia-smi") is not None)
    return Requirements(
        weights={WEIGHTS: reference},
        lane="gpu" if on_gpu else "cpu",
        gpu_memory_mb=_GPU_MEMORY_MB.get(params.model, _LARGEST_MB) if on_gpu else 0,
    )


SPECS = (
    EngineSpec(
        stage="transcribe",
        name="faster-whisper",
        summary="Whisper on the CPU or GPU (CTranslate2): 99 languages, punctuation, timings of words",
        cache_version=1,
        factory="avatarctl.engines.whisper.engine:WhisperEngine",
        params=WhisperParams,
        requires=requires,
        ladder=on_the_cpu,
        gives_timings=True,
        uses_seed=True,
        extra="whisper",
        packages=("faster_whisper",),
    ),
)
