"""The heavy engines' networks as their authors' own programs drive them, to compare with: each on the same random
weights, or ones of the same size, and the same device. Run by the interpreter of an engine's environment:

    python upstream.py xtts MODEL VOICE PIECES DEVICE          PIECES: JSON, [[text, language, seed], ...]
    python upstream.py sadtalker SRC RESOLUTION PICTURES DEVICE
    python upstream.py realesrgan WEIGHTS FILM DEVICE

It prints JSON: `seconds` for the `amount` (of speech in seconds, of pictures), and `peak_mb` of the GPU, which torch
counts. What is read, and a first performance, which warms everything up, are not in the seconds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def xtts(model: str, voice: str, pieces: str, device: str) -> dict[str, float]:
    """`Xtts.load_checkpoint`, latents once, then `inference` piece by piece, as the package's documentation has it."""
    from avatarctl.engines.xtts import standin

    standin.install()
    import torch
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    from avatarctl.engines.xtts import network

    config = XttsConfig()
    config.load_json(str(Path(model) / "config.json"))
    made = Xtts.init_from_config(config)
    # Its own loader wants the file to hold what torch has to be allowed to open.
    with network._named_classes():
        made.load_checkpoint(config, checkpoint_dir=model, eval=True)
    made.to(device)
    latents, embedding = made.get_conditioning_latents(audio_path=[voice])
    wanted = json.loads(pieces)

    def perform() -> float:
        samples = 0
        for text, language, seed in wanted:
            torch.manual_seed(seed)
            samples += len(made.inference(text, language, latents, embedding, temperature=0.7)["wav"])
        return samples / 24_000

    return timed(perform, torch)


def sadtalker(source: str, resolution: str, pictures: str, device: str) -> dict[str, float]:
    """Its `make_animation` with its own batch of two: float32, and every picture kept on the device to the end."""
    import torch

    from avatarctl.engines.sadtalker.program import Program

    program = Program(Path(source))
    shapes = program.config("facerender_still.yaml")["model_params"]
    common = shapes["common_params"]
    torch.manual_seed(0)

    def ready(module: str, name: str, **params: Any) -> Any:
        return getattr(program.module(f"facerender.modules.{module}"), name)(**params).to(device).eval()

    generator = ready("generator", "OcclusionAwareSPADEGenerator", **shapes["generator_params"], **common)
    detector = ready("keypoint_detector", "KPDetector", **shapes["kp_detector_params"], **common)
    mapping = ready("mapping", "MappingNet", **shapes["mapping_params"])
    animate = program.module("facerender.modules.make_animation").make_animation
    side, rounds = int(resolution), (int(pictures) + 1) // 2
    photo = torch.rand(1, 3, side, side, device=device).expand(2, -1, -1, -1).contiguous()
    moves = torch.randn(2, rounds, shapes["mapping_params"]["coeff_nc"], 27, device=device) * 0.01

    def perform() -> float:
        with torch.no_grad():
            drawn = animate(photo, moves[:, 0], moves, generator, detector, None, mapping)
        return float(len(drawn.reshape(-1, *drawn.shape[2:]).cpu().numpy()))

    found = timed(perform, torch)
    program.close()
    return found


def realesrgan(weights: str, film: str, device: str) -> dict[str, float]:
    """As `inference_realesrgan_video.py` does: picture by picture, half precision on a GPU, no tiles."""
    import numpy as np
    import torch
    import upscaling

    from avatarctl.engines.realesrgan.pytorch.weights import read

    network = read(Path(weights))
    dtype = torch.float16 if device == "cuda" and network.supports_half else torch.float32
    network.to(device=torch.device(device), dtype=dtype)

    def enlarge(picture: Any) -> Any:
        given = torch.from_numpy(np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))[None]).to(device)
        with torch.no_grad():
            drawn = network(given.to(dtype) / 255)[0].float().clamp(0, 1).cpu().numpy()
        return (drawn * 255).round().astype(np.uint8).transpose(1, 2, 0)[..., ::-1]

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "plain.mp4"
        return timed(lambda: float(upscaling.film_through(enlarge, Path(film), out, network.scale)), torch)


def timed(perform: Callable[[], float], torch: Any) -> dict[str, float]:
    """The second performance of two. What it returns lies on the CPU, so nothing is still being computed."""
    perform()
    begun = time.perf_counter()
    amount = perform()
    seconds = time.perf_counter() - begun
    peak = torch.cuda.max_memory_reserved() / 2**20 if torch.cuda.is_available() else 0.0
    return {"seconds": seconds, "amount": amount, "peak_mb": peak}


if __name__ == "__main__":
    ways = {"xtts": xtts, "sadtalker": sadtalker, "realesrgan": realesrgan}
    print(json.dumps(ways[sys.argv[1]](*sys.argv[2:])))
