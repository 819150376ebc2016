"""Cloned voices by XTTS-v2. Nothing heavy is imported here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec, Requirements, on_the_cpu
from avatarctl.models.weights import is_path
from avatarctl.stages.catalog import DICTIONARY, SpeakerParams, SpeakParams
from avatarctl.stages.params import param

WEIGHTS = "model"
"""The role of the model's folder: `config.json`, `model.pth`, `vocab.json`."""
RECOGNISER = "recogniser"
"""The role of the folder of a Whisper model."""
_GPU_MEMORY_MB = 4000
"""With 32-bit weights (1.9 GB) and a piece of the longest; an estimate, rounded up."""
_FACTORY = "avatarctl.engines.xtts.engine:XttsEngine"
_PACKAGES = ("torch", "TTS", "faster_whisper")
_MODEL_HELP = "xtts-v2, or the path of a folder with config.json, model.pth and vocab.json"


@dataclass(frozen=True, kw_only=True)
class XttsSpeakerParams(SpeakerParams):
    """Which model listens to the voice sample, and to how much of it."""

    model: str = param("xtts-v2", _MODEL_HELP, keyed=False)
    device: str = param("auto", "auto: the GPU if there is one", choices=("auto", "cpu", "cuda"), keyed=False)
    longest: int = param(30, "seconds of the sample that are listened to", ge=3, le=120)


@dataclass(frozen=True, kw_only=True)
class XttsParams(SpeakParams):
    """How freely it speaks, and who listens to it."""

    model: str = param("xtts-v2", _MODEL_HELP, keyed=False)  # The key has the digest of its files instead.
    device: str = param("auto", "auto: the GPU if there is one", choices=("auto", "cpu", "cuda"), keyed=False)
    temperature: float = param(0.7, "how freely it speaks; lower is steadier and flatter", ge=0.05, le=1.5)
    top_p: float = param(0.85, "share of the likeliest sounds that it chooses among", ge=0.05, le=1)
    top_k: int = param(50, "how many sounds it chooses among", ge=1, le=1000)
    repetition_penalty: float = param(5.0, "how strongly it is kept from stammering", ge=1, le=50)
    lead: float = param(0.12, "seconds of silence before the sentence", ge=0, le=5)
    tries: int = param(3, "how often a piece is spoken, with other seeds, before the best is taken", ge=1, le=10)
    recogniser: str = param(
        "",
        "a Whisper model (tiny, base, small, ... or a path) that listens to each piece; empty: only length is judged",
        keyed=False,  # Its digest is in the key.
    )
    max_cer: float = param(0.15, "share of wrong characters up to which the recogniser is content", ge=0, le=1)


def _place(device: str) -> tuple[str, int]:
    """Lane and GPU memory. NVIDIA's driver brings this program; torch itself is asked when the engine runs."""
    on_gpu = device == "cuda" or (device == "auto" and shutil.which("nvidia-smi") is not None)
    return ("gpu", _GPU_MEMORY_MB) if on_gpu else ("cpu", 0)


def requires_of_speaker(params: XttsSpeakerParams) -> Requirements:
    """The model's folder; the GPU's lane and memory if it will run there."""
    lane, megabytes = _place(params.device)
    return Requirements(weights={WEIGHTS: params.model}, lane=lane, gpu_memory_mb=megabytes)


def requires(params: XttsParams) -> Requirements:
    """The same, and the recogniser's folder if one listens."""
    lane, megabytes = _place(params.device)
    weights = {WEIGHTS: params.model}
    if params.recogniser:
        weights[RECOGNISER] = params.recogniser if is_path(params.recogniser) else f"whisper-{params.recogniser}"
    return Requirements(weights=weights, lane=lane, gpu_memory_mb=megabytes)


SPECS = (
    EngineSpec(
        stage="speaker",
        name="xtts",
        summary="XTTS-v2: what it keeps in mind of a voice",
        cache_version=1,
        factory=_FACTORY,
        params=XttsSpeakerParams,
        requires=requires_of_speaker,
        ladder=on_the_cpu,
        deterministic=False,
        clones_voice=True,
        worker=True,
        packages=_PACKAGES,
    ),
    EngineSpec(
        stage="speak",
        name="xtts",
        summary="XTTS-v2: speaks in the enrolled voice, 14 languages; weights for non-commercial use only",
        cache_version=1,
        factory=_FACTORY,
        params=XttsParams,
        reads=("speaker", DICTIONARY),
        needs=("speaker",),
        requires=requires,
        ladder=on_the_cpu,
        languages=("ar", "cs", "de", "en", "es", "fr", "hi", "hu", "it", "nl", "pl", "pt", "ru", "tr"),
        clones_voice=True,
        # Sampled by seed: the same on one CPU, but not from machine to machine.
        deterministic=False,
        uses_seed=True,
        worker=True,
        packages=_PACKAGES,
    ),
)
