"""Steps on this machine: lanes of threads, and engines that stay loaded between the steps of all runs.

One film keeps the cores busy with one step after the other, each on as many threads as there are cores, in this
process. Many films do it better with as many steps side by side, each on one thread of a process of its own: nothing
waits for the slowest part of a step, nor for another step's turn at the interpreter. Those processes stay, too, and one
whose step hangs when its job's time is over is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from avatarctl import config
from avatarctl.engines.contract import Cancelled, EngineSpec, GetsReady, Job
from avatarctl.engines.worker.host import Worker, WorkerEngine
from avatarctl.runtime.attended import attended
from avatarctl.runtime.engines import EnginePool, Servers, instance_of
from avatarctl.runtime.executors import Performed
from avatarctl.runtime.lanes import PATIENCE, WIDTHS, Lanes
from avatarctl.runtime.warming import Warming
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
        threads: int | None = None,
        servers: Servers = tuple,
        pool: EnginePool | None = None,
        apart: bool = False,
    ) -> None:
        """`interpreter`, `servers`: see `EnginePool`.

        `threads`: how many all steps of the lane `cpu` may keep busy together; those that are under way at a time
        share them. `apart`: perform these in child processes, one for each step under way.
        """
        self._lanes = Lanes(widths, patience)
        self._warming = Warming()
        self._threads = config.threads() if threads is None else threads
        width = widths.get("cpu", 1)
        self._share = max(1, self._threads // width)
        self._has_idle = self._share > 1 and not apart
        self.pool = pool or EnginePool(
            models_folder,
            interpreter,
            copies=max(widths.values()),
            vram_mb=config.vram_mb(),
            servers=servers,
            children=[Worker(threads=self._share) for _ in range(width)] if apart else [],
        )

    @classmethod
    def for_many(
        cls, models_folder: Path, interpreter: Callable[[str], str], films: int, servers: Servers = tuple
    ) -> LocalExecutor:
        """For so many films under way at a time: as many steps side by side as there are cores for them, each apart."""
        width = max(1, min(config.threads(), films))
        return cls(models_folder, interpreter, widths={**WIDTHS, "cpu": width}, servers=servers, apart=True)

    def expect(self, spec: EngineSpec, params: Params) -> None:
        """See `Executor`. With one core, or many films, none is idle; and what is large waits for its turn, since
        something else might have to make room."""
        wanted = spec.requirements(params)
        if self._has_idle and wanted.lane in ("cpu", "light") and not (spec.worker or wanted.gpu_memory_mb):
            self._warming.begin(instance_of(spec, params), lambda: self._load(spec, params))

    def _load(self, spec: EngineSpec, params: Params) -> None:
        with self.pool.use(spec, params) as (engine, _):
            if isinstance(engine, GetsReady):
                engine.get_ready(self._share)

    def submit(self, work: Callable[[], None], spec: EngineSpec, params: Params, *, priority: int = 0) -> None:
        """See `Executor`."""
        wanted = spec.requirements(params)
        whole = wanted.lane == "cpu" and spec.worker
        self._lanes.lane(wanted.lane).submit(
            work,
            affinity=instance_of(spec, params),
            priority=priority,
            kind=wanted.lane,
            whole=whole,
            fits=lambda: self.pool.fits(spec, params),
        )

    def perform(self, spec: EngineSpec, job: Job, started: Callable[[], None]) -> Performed:
        """See `Executor`."""
        # A worker has its lane to itself; nobody else has the cores meanwhile.
        job = replace(job, threads=self._threads if spec.worker else self._share)
        waited_ms = self._warming.wait(instance_of(spec, job.params), job.cancelled)
        with self.pool.use(spec, job.params, job.cancelled) as (engine, load_ms):
            if job.cancelled():
                raise Cancelled
            started()
            if isinstance(engine, WorkerEngine):
                engine.run(job)
            else:
                attended(lambda: engine.run(job), job.cancelled)
            return Performed(waited_ms + load_ms, getattr(engine, "memory", None), getattr(engine, "device", ""))

    def usable(self, spec: EngineSpec, params: Params | None = None) -> bool:
        """See `Executor`."""
        return self.pool.has(spec, params)

    def damaged(self, spec: EngineSpec, params: Params | None = None) -> str:
        """See `Executor`."""
        return self.pool.damaged(spec, params)

    def close(self) -> None:
        """See `Executor`."""
        self._lanes.close()
        self._warming.close()
        self.pool.close()
