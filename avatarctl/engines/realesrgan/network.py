"""One Real-ESRGAN network under ncnn, on the CPU.

Its results do not depend on the number of threads: 32-bit floats throughout, and each sum in one fixed order.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.realesrgan.tiles import NETWORK_SCALE, Pixels

# Read once, when the library is loaded. Threads that spin while they wait for each other make everything three
# times slower, and three times as much work, on cores that are shared with anybody else.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import ncnn


class NcnnNetwork:
    """A network that was read from its two files.

    Args:
        graph, weights: ncnn's `.param` and `.bin`.
        blob: of the graph, which holds the picture at `NETWORK_SCALE` times its size.
        threads: upper bound on busy threads.
    """

    def __init__(self, graph: Path, weights: Path, blob: str, threads: int) -> None:
        self._blob = blob
        self._net: Any = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        # Half precision saves a tenth of the time, and rounds as the machine likes.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        if self._net.load_param(str(graph)) != 0 or self._net.load_model(str(weights)) != 0:
            raise RuntimeError(f"ncnn cannot read {weights.name}")

    def enlarge(self, pixels: Pixels) -> Pixels:
        """See `tiles.Network`."""
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1) * np.float32(1 / 255))
        # A Mat is a view of the array: the clone outlives it.
        given = ncnn.Mat(planes).clone()
        extractor = self._net.create_extractor()
        extractor.input("data", given)
        code, found = extractor.extract(self._blob)
        if code != 0:
            raise RuntimeError(f"ncnn gave up with code {code}")
        made: NDArray[np.float32] = np.array(found, np.float32)
        if made.shape != (3, pixels.shape[0] * NETWORK_SCALE, pixels.shape[1] * NETWORK_SCALE):
            raise RuntimeError(f"the network made {made.shape} of {pixels.shape}")
        return np.ascontiguousarray(made.transpose(1, 2, 0)) * np.float32(255)

    def close(self) -> None:
        """Give back the weights' memory."""
        self._net.clear()
