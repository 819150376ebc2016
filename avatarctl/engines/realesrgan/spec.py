"""Upscaling by Real-ESRGAN: networks that add what interpolation cannot. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.catalog import UpscaleParams
from avatarctl.stages.params import param


@dataclass(frozen=True, kw_only=True)
class RealEsrganParams(UpscaleParams):
    """Which network, and how much of what it adds."""

    model: str = param(
        "auto",
        "photo: best for faces, seconds for each 100 x 100 pixels; video: fast, draws faces like a cartoon's; "
        "auto: photo for pictures, video for films",
        choices=("auto", "photo", "video"),
    )
    detail: float = param(0.8, "how much of the network's detail is taken; 0: interpolation alone", ge=0, le=1)
    grain: float = param(0.5, "how much grain and skin texture, which the network removes, comes back", ge=0, le=1)
    part: str = param("", 'which part gains detail: "x,y,width,height" in pixels of the picture; empty: all of it')


SPECS = (
    EngineSpec(
        stage="upscale",
        name="realesrgan",
        summary="Real-ESRGAN on the CPU (ncnn): adds detail to faces of about 100 pixels or more",
        cache_version=2,
        factory="avatarctl.engines.realesrgan.engine:RealEsrganEngine",
        params=RealEsrganParams,
        models=("realesrgan-photo-graph", "realesrgan-photo", "realesrgan-video-graph", "realesrgan-video"),
        restores=True,
        extra="realesrgan",
        packages=("ncnn",),
    ),
)
