"""SadTalker's networks with numpy arrays on either side: the only module that imports torch.

Weights are read as tensors and nothing else: safetensors, and `torch.load` with `weights_only`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from avatarctl.engines.sadtalker.program import Program
from avatarctl.engines.sadtalker.spec import SadTalkerParams
from avatarctl.engines.worker import memory
from avatarctl.errors import Unavailable

Array = NDArray[np.float32]

RENDERERS = {"crop": "facerender.yaml", "full": "facerender_still.yaml"}
"""Shapes of the drawing networks, by what the film shows."""
_EXPRESSION, _ANGLES, _PLACE = slice(80, 144), slice(224, 227), slice(254, 257)
"""Of the 257 numbers that the 3DMM network gives: 80 are of identity, 80 of texture, 27 of light."""


class FaceNetworks:
    """The two that look at a photo: 3DMM coefficients, keypoints.

    Raises:
        Unavailable: no SadTalker, or weights that are not its own.
    """

    def __init__(self, program: Path, weights: Path) -> None:
        self._program = Program(program)
        reconstruction = self._program.module("face3d.models.networks")
        detector = self._program.module("facerender.modules.keypoint_detector").KPDetector
        shapes = self._program.config(RENDERERS["full"])["model_params"]
        net = reconstruction.define_net_recon(net_recon="resnet50", use_last_fc=False, init_path="")
        self._reconstruction = _filled(net, _tensors(weights, "face_3drecon"), weights)
        net = detector(**shapes["kp_detector_params"], **shapes["common_params"])
        self._detector = _filled(net, _tensors(weights, "kp_extractor"), weights)

    def standard_points(self) -> NDArray[np.float64]:
        """Five points of an average face; see `Program`."""
        return self._program.standard_points()

    def coefficients(self, face: Array) -> Array:
        """A face as `alignment.aligned` lays it to float32 (70,): expression, angles, place."""
        with torch.inference_mode():
            found = self._reconstruction(torch.from_numpy(face.transpose(2, 0, 1)[None].copy()))[0]
        return np.concatenate([_array(found[part]) for part in (_EXPRESSION, _ANGLES, _PLACE)])

    def keypoints(self, crop: NDArray[np.uint8]) -> Array:
        """A square crop, RGB uint8, to float32 (15, 3) in [-1, 1]."""
        with torch.inference_mode():
            return _array(self._detector(_picture(crop))["value"][0])

    def close(self) -> None:
        """Give back memory, and what was unpacked."""
        self._program.close()
        del self._reconstruction, self._detector


class FilmNetworks:
    """Those that hear, move and draw.

    Args:
        program: a checkout's `src`, or an archive.
        weights: the safetensors of one resolution.
        mapping: weights of the network between coefficients and keypoints.
        params: what the film shows, the device and the precision.

    Raises:
        Unavailable: no SadTalker, weights that are not its own, or no GPU where one was asked for.
    """

    def __init__(self, program: Path, weights: Path, mapping: Path, params: SadTalkerParams) -> None:
        self._device = _device(params.device)
        self.on_gpu = self._device.type == "cuda"
        self._half = self.on_gpu and params.precision != "float32"
        if params.precision == "float16" and not self.on_gpu:
            raise Unavailable("float16 needs a GPU", hint="set animate.precision=auto")
        self._program = Program(program)
        modules = self._program.module
        shapes = self._program.config(RENDERERS[params.preprocess])["model_params"]
        hearing = namespace(self._program.config("auido2pose.yaml"))
        draw = modules("facerender.modules.generator").OcclusionAwareSPADEGenerator
        pose = modules("audio2pose_models.audio2pose").Audio2Pose
        self._transform = modules("facerender.modules.make_animation").keypoint_transformation
        self._expression = self._ready(
            modules("audio2exp_models.networks").SimpleWrapperV2(), _tensors(weights, "audio2exp"), weights
        )
        self._pose = self._ready(pose(hearing, None, device="cpu"), _tensors(weights, "audio2pose"), weights)
        self._mapping = self._ready(
            modules("facerender.modules.mapping").MappingNet(**shapes["mapping_params"]), _pickled(mapping), mapping
        )
        self._generator = self._ready(
            draw(**shapes["generator_params"], **shapes["common_params"]), _tensors(weights, "generator"), weights
        )
        self.sequence = int(self._pose.seq_len)
        """Pictures whose poses are found at a time."""
        self.latent = int(self._pose.latent_dim)
        """Numbers that have to be drawn for each such sequence."""

    def _ready(self, network: Any, tensors: Mapping[str, Any], path: Path) -> Any:
        return _filled(network, tensors, path).to(self._device)

    def set_threads(self, threads: int) -> None:
        """Upper bound on busy threads."""
        torch.set_num_threads(threads)

    def expressions(self, mels: Array, reference: Array, blinks: Array) -> Array:
        """Mel windows (n, 80, 16), the photo's own expression (64,) and blinks (n,) to expressions (n, 64)."""
        count = len(mels)
        with torch.inference_mode():
            heard = self._tensor(mels)[:, None]
            own = self._tensor(reference).expand(1, count, -1)
            return _array(self._expression(heard, own, self._tensor(blinks)[None])[0])

    def poses(self, mels: Array, reference: Array, noise: Array, style: int) -> Array:
        """Mel windows of one sequence, the photo's own pose (6,) and noise (latent,) to its motion (sequence, 6)."""
        with torch.inference_mode():
            batch = {
                "ref": self._tensor(reference)[None],
                "class": torch.tensor([style], device=self._device),
                "z": self._tensor(noise)[None],
                "audio_emb": self._pose.audio_encoder(self._tensor(mels)[None, :, None]),
            }
            return _array(self._pose.netG.test(batch)["pose_motion_pred"][0])

    def keypoints(self, semantics: Array, canonical: Array) -> Array:
        """Windows of coefficients (n, coefficients, 27) and the face's own keypoints (15, 3) to (n, 15, 3)."""
        with torch.inference_mode():
            own = {"value": self._tensor(canonical).expand(len(semantics), -1, -1)}
            return _array(self._transform(own, self._mapping(self._tensor(semantics)))["value"])

    def pictures(
        self, crop: NDArray[np.uint8], source: Array, driving: Array, tell: Callable[[str], None]
    ) -> NDArray[np.uint8]:
        """The crop with its keypoints moved from `source` (15, 3) to each of `driving` (n, 15, 3).

        Returns:
            RGB uint8 (n, side, side, 3).
        """
        count = len(driving)
        with torch.inference_mode():
            photo = _picture(crop).to(self._device).expand(count, -1, -1, -1)
            at_rest = {"value": self._tensor(source).expand(count, -1, -1)}
            moved = {"value": self._tensor(driving)}
            drawn = self._draw(photo, at_rest, moved)
            if self._half and not bool(torch.isfinite(drawn).all()):
                # float16 ends at 65504. Whoever goes beyond it once will do so again.
                self._half = False
                tell("float16 is not precise enough for this face: it is drawn in float32")
                drawn = self._draw(photo, at_rest, moved)
            pixels = (drawn.float().clamp(0, 1) * 255).round().to(torch.uint8)
            return np.asarray(pixels.permute(0, 2, 3, 1).cpu().numpy(), np.uint8)

    def _draw(self, photo: Any, at_rest: Mapping[str, Any], moved: Mapping[str, Any]) -> Any:
        with torch.autocast("cuda", torch.float16) if self._half else nullcontext():
            return self._generator(photo, kp_source=at_rest, kp_driving=moved)["prediction"]

    def _tensor(self, values: NDArray[Any]) -> Any:
        return torch.from_numpy(np.array(values, np.float32)).to(self._device)

    def close(self) -> None:
        """Give back memory, and what was unpacked."""
        self._program.close()
        del self._expression, self._pose, self._mapping, self._generator
        memory.release()


def _device(wanted: str) -> Any:
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise Unavailable("torch finds no GPU", hint="set animate.device=auto, or install torch for CUDA")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def namespace(table: Any) -> Any:
    """A table whose entries are read as attributes, all the way down."""
    if isinstance(table, dict):
        return SimpleNamespace(**{key: namespace(value) for key, value in table.items()})
    return table


def _tensors(path: Path, part: str) -> dict[str, Any]:
    """One network's tensors out of all: those whose names begin with its own."""
    prefix = f"{part}."
    try:
        with safe_open(path, framework="pt") as file:
            return {name.removeprefix(prefix): file.get_tensor(name) for name in _named(file.keys(), prefix)}
    except (OSError, SafetensorError) as error:
        raise _unfit(path, str(error)) from error


def _named(names: Iterable[str], prefix: str) -> list[str]:
    return [name for name in names if name.startswith(prefix)]


def _pickled(path: Path) -> dict[str, Any]:
    """The tensors under `mapping` of a torch file. Nothing in it is executed."""
    try:
        stored: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=False)["mapping"]
        return stored
    # A damaged archive is a RuntimeError, a forbidden pickle an UnpicklingError, a missing entry a KeyError.
    except Exception as error:
        raise _unfit(path, str(error)) from error


def _filled(network: Any, tensors: Mapping[str, Any], path: Path) -> Any:
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise _unfit(path, str(error)) from error
    return network.eval().requires_grad_(False)


def _unfit(path: Path, why: str) -> Unavailable:
    return Unavailable(
        f"{path.name} does not hold SadTalker's weights",
        why=" ".join(why.split())[:200],
        hint="avatarctl models verify shows whether it is damaged; avatarctl models pull sadtalker brings it anew",
    )


def _picture(crop: NDArray[np.uint8]) -> Any:
    return torch.from_numpy(np.array(crop.transpose(2, 0, 1)[None], np.float32) / np.float32(255))


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)
