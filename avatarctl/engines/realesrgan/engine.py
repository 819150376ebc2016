"""Real-ESRGAN on the CPU, under ncnn."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing

from avatarctl.engines.contract import Job
from avatarctl.engines.realesrgan.network import Layout, NcnnNetwork
from avatarctl.engines.realesrgan.spec import RealEsrganParams
from avatarctl.engines.realesrgan.upscaler import Upscaler

LAYOUTS = {
    # Tiles of 256 pixels take 1.3 GB, and 0.2 s for each 1000 pixels on one core, whatever the size of the picture.
    "photo": Layout(output="output", side=256, trunk="1878", slow=True),
    # 0.3 GB. What the graph calls its output is the picture scaled down again; this one is four times larger.
    "video": Layout(output="112", side=256),
}


class RealEsrganEngine(Upscaler):
    """Real-ESRGAN under ncnn. A network is read for each step, in a quarter of a second, and not kept."""

    def _network(self, job: Job, film: bool) -> AbstractContextManager[NcnnNetwork]:
        params: RealEsrganParams = job.params
        model = params.model
        if model == "auto":
            model = "video" if film else "photo"
        name = f"realesrgan-{model}"
        return closing(NcnnNetwork(self._models[f"{name}-graph"], self._models[name], LAYOUTS[model], job.threads))
