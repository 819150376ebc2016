"""Real-ESRGAN and other upscalers from published weights, under torch: on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from avatarctl.engines.contract import Job
from avatarctl.engines.realesrgan import tiles
from avatarctl.engines.realesrgan.pytorch import weights
from avatarctl.engines.realesrgan.pytorch.network import TorchNetwork
from avatarctl.engines.realesrgan.spec import WEIGHTS, TorchParams
from avatarctl.engines.realesrgan.upscaler import Upscaler
from avatarctl.engines.worker import memory
from avatarctl.errors import Unavailable


class TorchEngine(Upscaler):
    """One network, kept on its device between steps."""

    def __init__(self) -> None:
        self._warm: tuple[str, int, TorchNetwork] | None = None

    def load(self, models: Mapping[str, Path]) -> None:
        """Read the weights, so that damaged ones are refused before any film is opened."""
        super().load(models)
        self._read = weights.read(models[WEIGHTS])

    def close(self) -> None:
        """Leave nothing on the GPU."""
        if self._warm is not None:
            self._warm[2].close()
            self._warm = None
        memory.release()

    def _network(self, job: Job, film: bool) -> AbstractContextManager[TorchNetwork]:
        params: TorchParams = job.params
        torch.set_num_threads(job.threads)
        self._note = job.note
        if params.device == "cuda" and not torch.cuda.is_available():
            raise Unavailable("torch finds no GPU", why=f"torch {torch.__version__}", hint="--set upscale.device=auto")
        wanted = params.device, params.memory_mb
        if self._warm is None or self._warm[:2] != wanted:
            self._warm = (*wanted, TorchNetwork(self._read, *wanted))
        return nullcontext(self._warm[2])

    def _drawn(
        self,
        network: tiles.Network,
        source: tiles.Picture,
        look: tiles.Look,
        told: Callable[[float, int], None],
        spared: tiles.Pixels | None = None,
        kept: tiles.Kept | None = None,
    ) -> tiles.Picture:
        """Down the ladder of tiles where memory runs out; what did not fit is not tried again."""
        assert isinstance(network, TorchNetwork)

        def attempt(side: int) -> tiles.Picture:
            network.take(side)
            return tiles.enlarge(source, network, look, told, spared, kept)

        def too_large(side: int) -> None:
            network.forbid(side)
            self._note(f"tiles of {side} pixels do not fit into memory: from now on smaller ones")

        return memory.ladder(network.sides(), attempt, too_large)
