"""One Real-ESRGAN network under ncnn, on the CPU.

Its results do not depend on the number of threads: 32-bit floats throughout, and each sum in one fixed order.

What large networks need is bounded by drawing in two parts. The trunk, which sees the picture at its own size,
holds some 10 kB for each pixel; the tail, which draws at four times the size, holds 40 kB more, but looks no
farther than two pixels around. So the trunk works on the whole tile, of which no overlap is wasted, and the tail
on strips of what the trunk made, to the very same result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.realesrgan.tiles import Pixels

# Read once, when the library is loaded. Threads that spin while they wait for each other make everything three
# times slower, and three times as much work, on cores that are shared with anybody else.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import ncnn

STRIP_PIXELS = 6000
"""Of the tile, that the tail works on at a time: 0.2 GB."""
TAIL_CONTEXT = 3
"""Pixels of the tile around a strip; the tail's five convolutions see 1 + 1/2 + 3/4 of one."""
STEPS = 24
"""About how often a trunk can be interrupted; its work is the same from block to block."""

Features = NDArray[np.float32]
"""What a network holds within: (channels, height, width)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a graph's parts meet: names of blobs. `output`: the picture at `scale` times its size.
    `trunk`: what the tail draws the picture from; empty: the graph is taken whole. `side`: longest side of a tile.
    `slow`: see `tiles.Network`."""

    output: str
    side: int
    trunk: str = ""
    scale: int = 4
    slow: bool = False


class NcnnNetwork:
    """A network that was read from its two files; see `tiles.Network`.

    Args:
        graph, weights: ncnn's `.param` and `.bin`.
        layout: of the graph.
        threads: upper bound on busy threads.
    """

    batch = 1

    def __init__(self, graph: Path, weights: Path, layout: Layout, threads: int) -> None:
        self._layout = layout
        self.side, self.scale, self.slow = layout.side, layout.scale, layout.slow
        self._steps = _steps(graph.read_text(encoding="ascii"), layout.trunk) if layout.trunk else []
        self._net: Any = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        # Half precision saves a tenth of the time of a large tile, and rounds as the machine likes.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        if self._net.load_param(str(graph)) != 0 or self._net.load_model(str(weights)) != 0:
            raise RuntimeError(f"ncnn cannot read {weights.name}")

    def enlarge(self, tiles: list[Pixels], told: Callable[[float], None]) -> list[Pixels]:
        """See `tiles.Network`."""
        return [self._enlarge(pixels, told) for pixels in tiles]

    def _enlarge(self, pixels: Pixels, told: Callable[[float], None]) -> Pixels:
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1) * np.float32(1 / 255))
        if not self._layout.trunk:
            made = self._extract("data", planes, [self._layout.output], told)
        else:
            # The tail's share of the work is a fifteenth.
            features = self._extract("data", planes, [*self._steps, self._layout.trunk], lambda done: told(done * 0.93))
            made = self._tail(features, lambda done: told(0.93 + done * 0.07))
        wanted = 3, pixels.shape[0] * self.scale, pixels.shape[1] * self.scale
        if made.shape != wanted:
            raise RuntimeError(f"the network made {made.shape} of {pixels.shape}")
        return np.ascontiguousarray(made.transpose(1, 2, 0)) * np.float32(255)

    def _tail(self, features: Features, told: Callable[[float], None]) -> Features:
        """The picture at its full size, strip by strip."""
        height, width = features.shape[1:]
        made = np.empty((3, height * self.scale, width * self.scale), np.float32)
        rows = max(8, STRIP_PIXELS // width)
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            seen = slice(max(0, top - TAIL_CONTEXT), min(height, bottom + TAIL_CONTEXT))
            strip = np.ascontiguousarray(features[:, seen])
            drawn = self._extract(self._layout.trunk, strip, [self._layout.output], lambda _: None)
            first = (top - seen.start) * self.scale
            made[:, top * self.scale : bottom * self.scale] = drawn[:, first : first + (bottom - top) * self.scale]
            told(bottom / height)
        return made

    def _extract(self, given: str, planes: Features, blobs: list[str], told: Callable[[float], None]) -> Features:
        """The last of `blobs`, of what is put into the blob `given`. Each goes on from the one before."""
        extractor = self._net.create_extractor()
        found: Any = None
        try:
            # A Mat is a view of the array: the clone outlives it.
            extractor.input(given, ncnn.Mat(planes).clone())
            for number, blob in enumerate(blobs, start=1):
                code, found = extractor.extract(blob)
                if code != 0:
                    raise RuntimeError(f"ncnn gave up with code {code}")
                told(number / len(blobs))
            return np.array(found, np.float32)
        finally:
            # Both reach into the network, and must not outlive it in the traceback of a step that was stopped.
            del extractor, found

    def close(self) -> None:
        """Give back the weights' memory."""
        self._net.clear()


def _steps(graph: str, trunk: str) -> list[str]:
    """Blobs on the way to `trunk`, evenly spread: each sums up all that was done before it.

    A line of a graph is: type, name, how many blobs go in and out, those blobs, options.
    """
    sums = []
    for line in graph.splitlines()[2:]:
        kind, _, *rest = line.split()
        inputs, outputs = int(rest[0]), int(rest[1])
        made = rest[2 + inputs : 2 + inputs + outputs]
        if trunk in made:
            break
        if kind == "Eltwise":
            sums += made
    every = max(1, len(sums) // STEPS)
    return sums[every - 1 :: every]
