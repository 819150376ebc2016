"""A network under torch: where it runs, in which precision, and how large its tiles may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from avatarctl.engines.realesrgan.tiles import CONTEXT, FADE, Pixels

SIDES = (1024, 768, 512, 384, 256, 192, 128, 96, 64)
"""Of tiles, pixels, largest first: the steps of the ladder that is gone down when memory runs out."""
BYTES_PER_PIXEL = 12_000
"""Of a tile, at half precision: the six maps of 64 channels that the tail of Real-ESRGAN holds at four times the size
and the trunk's; an estimate that decides where the ladder begins, not where it ends."""
SHARE = 0.7
"""Of the GPU's free memory that tiles may take: kernels want room to work, and so do others."""
LARGEST_BATCH = 8
CPU_SIDE = 256
"""Larger tiles are no faster on a CPU."""


class TorchNetwork:
    """See `tiles.Network`.

    Args:
        descriptor: spandrel's.
        device: `auto`, `cpu` or `cuda`.
        memory_mb: of the GPU that it may take, MiB; 0: most of what is free.

    Raises:
        RuntimeError: `cuda` is wanted and not there.
    """

    def __init__(self, descriptor: Any, device: str, memory_mb: int) -> None:
        on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self.slow = not on_gpu
        self._dtype = torch.float16 if on_gpu and descriptor.supports_half else torch.float32
        self._descriptor = descriptor.to(device=self._device, dtype=self._dtype)
        # Tensor cores want the channels last, and so do a CPU's convolutions.
        self._descriptor.model.to(memory_format=torch.channels_last)
        self.scale: int = descriptor.scale
        self._memory = memory_mb * 2**20
        self._largest = SIDES[0]
        self.take(self.sides()[0])

    def sides(self) -> tuple[int, ...]:
        """Sides of tiles to try, falling: from what should fit into the memory that is free now."""
        if self._device.type == "cpu":
            largest = CPU_SIDE
        else:
            largest = int((self._room() / self._cost()) ** 0.5) - 2 * (CONTEXT + FADE)
        return tuple(side for side in SIDES if side <= min(largest, self._largest)) or SIDES[-1:]

    def take(self, side: int) -> None:
        """Use tiles of this size, as many at a time as fit."""
        self.side = side
        self.batch = 1
        if self._device.type != "cpu":
            one = (side + 2 * (CONTEXT + FADE)) ** 2 * self._cost()
            self.batch = max(1, min(LARGEST_BATCH, int(self._room() / one)))

    def forbid(self, side: int) -> None:
        """Tiles of this size did not fit: they are not tried again."""
        self._largest = next((smaller for smaller in SIDES if smaller < side), SIDES[-1])

    def _room(self) -> float:
        if self._memory:
            return max(0.0, SHARE * self._memory)
        free, _ = torch.cuda.mem_get_info(self._device)
        kept = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return SHARE * float(free + kept)

    def _cost(self) -> float:
        return BYTES_PER_PIXEL * (1 if self._dtype == torch.float16 else 2)

    def enlarge(self, tiles: list[Pixels], told: Callable[[float], None]) -> list[Pixels]:
        """See `tiles.Network`. Tiles of one size go together."""
        made: list[Pixels] = []
        start = 0
        while start < len(tiles):
            end = start + 1
            while end < len(tiles) and tiles[end].shape == tiles[start].shape:
                end += 1
            made += self._together(np.stack(tiles[start:end]))
            told(end / len(tiles))
            start = end
        return made

    def _together(self, pixels: Pixels) -> list[Pixels]:
        """float32 (n, height, width, 3), 0..255."""
        with torch.inference_mode():
            given = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2)
            given = (given / 255).to(self._dtype).contiguous(memory_format=torch.channels_last)
            drawn = self._descriptor(given)
            # A network's last bits of overshoot are cut off here, as everywhere that it is used.
            return list(drawn.permute(0, 2, 3, 1).float().mul(255).cpu().numpy())

    def close(self) -> None:
        """Give back the weights' memory, on the GPU too."""
        del self._descriptor
