"""SadTalker's two engines: what it prepares once per photo, and how it animates a sentence."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl.engines.contract import EngineSpec, Requirements, on_the_cpu
from avatarctl.stages.catalog import AnimateParams, RigParams
from avatarctl.stages.params import param

PROGRAM, NETWORKS, MAPPING = "program", "networks", "mapping"
"""Roles of what an engine is given: the source of the networks, their weights, those of the mapping."""
CHECKPOINTS = {256: "SadTalker_V0.0.2_256.safetensors", 512: "SadTalker_V0.0.2_512.safetensors"}
"""File names of the weights as they were published, by the size of picture that they draw."""
MAPPINGS = {"crop": "mapping_00229-model.pth.tar", "full": "mapping_00109-model.pth.tar"}
"""The same, of the network between coefficients and keypoints, by what the film shows."""
_GPU_MEMORY_MB = {256: 4500, 512: 9500}
"""Estimates, rounded up, with half precision and the usual batches."""
_REMARK = (
    "SadTalker's code is Apache-2.0, but parts of it (facerender) come from others without clear terms, and its "
    "weights were trained on research data sets: settle what you may do with its films before you publish them"
)


def _resolution() -> Any:
    return param(256, "side of the picture that the networks draw, pixels; 512 takes four times as long",
                 choices=(256, 512))  # fmt: skip


def _preprocess() -> Any:
    return param(
        "full",
        "full: the face moves within the photo; crop: the film shows the face's square alone",
        choices=("full", "crop"),
    )


def _home() -> Any:
    return param("", "folder of a checkout of SadTalker; [engines.sadtalker] home sets it for all", keyed=False)


@dataclass(frozen=True, kw_only=True)
class SadTalkerRigParams(RigParams):
    """How the photo is framed, and for which networks."""

    resolution: int = _resolution()
    preprocess: str = _preprocess()
    face_fraction: float = param(
        0.42, "height of the face (hairline to chin) in shorter sides of the film", ge=0.2, le=0.6
    )
    face: str = param("", 'which face: "x,y,width" in pixels of the portrait; empty: the largest one')
    home: str = _home()


@dataclass(frozen=True, kw_only=True)
class SadTalkerParams(AnimateParams):
    """How the face moves, and how it is drawn. Film and network have sizes of their own: `size` and `resolution`."""

    resolution: int = _resolution()
    preprocess: str = _preprocess()
    pose_style: int = param(0, "one of 46 manners of moving the head that the network has learned", ge=0, le=45)
    expression_scale: float = param(1.0, "strength of mouth and face", ge=0, le=3)
    still: bool = param(True, "the head keeps the photo's pose; within a whole photo, one that turns shows its seam")
    blinks: float = param(1.0, "how often the eyes blink; 0: never", ge=0, le=3)
    device: str = param("auto", "auto: the GPU if torch finds one", choices=("auto", "cpu", "cuda"))
    precision: str = param(
        "auto", "of the numbers while drawing; auto: float16 on a GPU", choices=("auto", "float16", "float32")
    )
    batch: int = param(0, "pictures drawn at a time; 0: by device and resolution", ge=0, le=64, keyed=False)
    crf: int = param(18, "x264 quality of the clip; lower is better and larger", ge=10, le=35)
    home: str = _home()


def rig_requires(params: SadTalkerRigParams) -> Requirements:
    """A photo is looked at once, with small networks, on the CPU."""
    return Requirements(weights={PROGRAM: _program(params.home), NETWORKS: _networks(params.home, params.resolution)})


def animate_requires(params: SadTalkerParams) -> Requirements:
    """All networks; the GPU's lane and memory if they will run there."""
    # NVIDIA's driver brings this program. torch itself is asked when the engine runs.
    on_gpu = params.device == "cuda" or (params.device == "auto" and shutil.which("nvidia-smi") is not None)
    mapping = "sadtalker-mapping-full" if params.preprocess == "full" else "sadtalker-mapping-crop"
    return Requirements(
        weights={
            PROGRAM: _program(params.home),
            NETWORKS: _networks(params.home, params.resolution),
            MAPPING: _published(params.home, MAPPINGS[params.preprocess]) or mapping,
        },
        lane="gpu" if on_gpu else "cpu",
        gpu_memory_mb=_GPU_MEMORY_MB[params.resolution] if on_gpu else 0,
    )


def _program(home: str) -> str:
    return str(Path(home).expanduser().absolute() / "src") if home else "sadtalker-program"


def _networks(home: str, resolution: int) -> str:
    return _published(home, CHECKPOINTS[resolution]) or f"sadtalker-{resolution}"


def _published(home: str, file: str) -> str:
    """The path of weights that already lie where SadTalker's own scripts put them; empty if they do not."""
    path = Path(home).expanduser().absolute() / "checkpoints" / file
    return str(path) if home and path.is_file() else ""


_PACKAGES = ("torch", "safetensors", "scipy", "yaml", "tqdm")

SPECS = (
    EngineSpec(
        stage="rig",
        name="sadtalker",
        summary="crop, coefficients and keypoints of the face in a photo, as SadTalker's networks see it",
        cache_version=1,
        factory="avatarctl.engines.sadtalker.rig:RigEngine",
        params=SadTalkerRigParams,
        reads=("detailed",),
        models=("face-detector", "face-mesh"),
        requires=rig_requires,
        worker=True,
        packages=_PACKAGES,
    ),
    EngineSpec(
        stage="animate",
        name="sadtalker",
        summary="SadTalker's networks draw every picture; for a GPU",
        cache_version=6,
        factory="avatarctl.engines.sadtalker.engine:AnimateEngine",
        params=SadTalkerParams,
        needs=("rig",),
        requires=animate_requires,
        ladder=on_the_cpu,
        # Networks round differently on other devices and with other numbers of threads.
        deterministic=False,
        uses_seed=True,
        worker=True,
        packages=_PACKAGES,
        remark=_REMARK,
    ),
)
