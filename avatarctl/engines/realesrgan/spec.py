"""Upscaling by Real-ESRGAN: networks that add what interpolation cannot. Nothing heavy is imported here."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from avatarctl.engines.contract import EngineSpec, Requirements, on_the_cpu
from avatarctl.stages.catalog import UpscaleParams
from avatarctl.stages.params import param

FACE_DETECTOR = "face-detector"
WEIGHTS = "weights"
"""The role of the file that torch reads."""


@dataclass(frozen=True, kw_only=True)
class NetworkParams(UpscaleParams):
    """How much is taken of what any network draws."""

    detail: float = param(0.8, "how much of the network's detail is taken; 0: interpolation alone", ge=0, le=1)
    grain: float = param(0.5, "how much grain and skin texture, which the network removes, comes back", ge=0, le=1)
    part: str = param("", 'which part gains detail: "x,y,width,height" in pixels of the picture; empty: all of it')
    smallest_face: float = param(
        90, "width in pixels of the smallest face that gains detail; smaller ones come out deformed; 0: all do", ge=0
    )
    still: float = param(
        2.0,
        "levels of 255 by which a place in a film may differ and still stay exactly as it was drawn, so that it does "
        "not flicker; 0: every picture is drawn anew",
        ge=0,
        le=32,
    )
    half: str = param(
        "auto",
        "whether what is to be twice as large is drawn from half its size, by a network that draws four times larger: "
        "a quarter of the time, and clearer where the picture is soft; auto: pictures of large faces are, on a CPU",
        choices=("auto", "on", "off"),
    )


@dataclass(frozen=True, kw_only=True)
class RealEsrganParams(NetworkParams):
    """Which network of those in the catalog."""

    model: str = param(
        "auto",
        "photo (x4plus): best for faces, 2 s for each 100 x 100 pixels on a core; video (animevideov3, whose x2 and x4 "
        "share their weights): fast, draws faces like a cartoon's; auto: photo for pictures, video for films",
        choices=("auto", "photo", "video"),
    )

    @classmethod
    def parse(cls, raw: Mapping[str, object], where: str) -> Self:
        """As every parameter set; the networks' published names are understood too."""
        given = raw.get("model")
        known = {"x4plus": "photo", "x2": "video", "x4": "video", "animevideov3": "video"}
        return super().parse(
            {**raw, "model": known[given]} if isinstance(given, str) and given in known else raw, where
        )


@dataclass(frozen=True, kw_only=True)
class TorchParams(NetworkParams):
    """Which weights, and where they run."""

    model: str = param(
        "realesrgan-x4plus",
        "realesrgan-x4plus, realesrgan-x2plus, realesr-general-x4v3, or the path of a .pth or .safetensors file",
        keyed=False,  # The key has the digest of the file instead.
    )
    device: str = param("auto", "auto: the GPU if torch finds one", choices=("auto", "cpu", "cuda"))
    memory_mb: int = param(0, "memory of the GPU that it may take, MiB; 0: most of what is free", ge=0, keyed=False)


def requires(params: TorchParams) -> Requirements:
    """The file of weights; the GPU's lane and memory if it will run there."""
    # NVIDIA's driver brings this program. torch itself is asked when the engine runs.
    on_gpu = params.device == "cuda" or (params.device == "auto" and shutil.which("nvidia-smi") is not None)
    return Requirements(
        weights={WEIGHTS: params.model},
        lane="gpu" if on_gpu else "cpu",
        gpu_memory_mb=(params.memory_mb or 3000) if on_gpu else 0,
    )


SPECS = (
    EngineSpec(
        stage="upscale",
        name="realesrgan",
        summary="Real-ESRGAN on the CPU (ncnn): adds detail to faces of about 100 pixels or more",
        cache_version=7,
        factory="avatarctl.engines.realesrgan.engine:RealEsrganEngine",
        params=RealEsrganParams,
        models=(
            FACE_DETECTOR,
            "realesrgan-photo-graph",
            "realesrgan-photo",
            "realesrgan-video-graph",
            "realesrgan-video",
        ),
        restores=True,
        extra="realesrgan",
        packages=("ncnn",),
    ),
    EngineSpec(
        stage="upscale",
        name="realesrgan-torch",
        summary="Real-ESRGAN and its kin from published weights, on the GPU (torch, spandrel)",
        cache_version=5,
        factory="avatarctl.engines.realesrgan.pytorch.engine:TorchEngine",
        params=TorchParams,
        models=(FACE_DETECTOR,),
        requires=requires,
        ladder=on_the_cpu,
        restores=True,
        # Sizes of tiles and kernels depend on the GPU, and so do the last bits of a result.
        deterministic=False,
        worker=True,
        packages=("torch", "spandrel"),
    ),
)
