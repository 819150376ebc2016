"""Steps on this machine: lanes of threads, and engines that stay loaded between the steps of all runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from avatarctl.engines.contract import Cancelled, EngineSpec, Job
from avatarctl.runtime.engines import EnginePool
from avatarctl.runtime.executors import Performed
from avatarctl.runtime.lanes import PATIENCE, WIDTHS, Lanes
from avatarctl.stages.params import Params


class LocalExecutor:
    """The executor of a single command, and of a batch on one machine."""

    def __init__(
        self,
        models_folder: Path,
        interpreter: Callable[[str], str] = lambda name: "",
        *,
        widths: Mapping[str, int] = WIDTHS,
        patience: int = PATIENCE,
        pool: EnginePool | None = None,
    ) -> None:
        """`interpreter`: the Python of an engine's worker by the engine's name, "" for this one's."""
        self.pool = pool or EnginePool(models_folder, interpreter)
        self._lanes = Lanes(widths, patience)

    def submit(self, work: Callable[[], None], spec: EngineSpec, params: Params, *, priority: int = 0) -> None:
        """See `Executor`."""
        wanted = spec.requirements(params)
        affinity = " ".join((spec.stage, spec.name, *(f"{r}={w}" for r, w in sorted(wanted.weights.items()))))
        self._lanes.lane(wanted.lane).submit(work, affinity=affinity, priority=priority)

    def perform(self, spec: EngineSpec, job: Job, started: Callable[[], None]) -> Performed:
        """See `Executor`."""
        with self.pool.use(spec, job.params) as (engine, load_ms):
            if job.cancelled():
                raise Cancelled
            started()
            engine.run(job)
            return Performed(load_ms, getattr(engine, "memory", None), getattr(engine, "device", ""))

    def usable(self, spec: EngineSpec, params: Params | None = None) -> bool:
        """See `Executor`."""
        return self.pool.has(spec, params)

    def damaged(self, spec: EngineSpec, params: Params | None = None) -> str:
        """See `Executor`."""
        return self.pool.damaged(spec, params)

    def close(self) -> None:
        """See `Executor`."""
        self._lanes.close()
        self.pool.close()
