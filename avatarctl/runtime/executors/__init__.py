"""Where steps are performed: on this machine, or on others. One contract, which one suite of tests asks of all.

A run plans, names, caches, publishes and writes the ledger; an executor only queues work and lets engines run. So
nothing but the driver ever opens the store, wherever the engines are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from avatarctl.engines.contract import EngineSpec, Job
from avatarctl.errors import StepFailed, Unavailable
from avatarctl.stages.params import Params

LOSSES = 3
"""Machines that may be lost with a step, one after the other. It may be what ends them: their memory full, for one."""


class MachineLost(StepFailed):
    """The machine that performed a step is gone. The step is not at fault, and goes on elsewhere."""

    code = "machine_lost"


class ClusterLost(Unavailable):
    """No machine is left to perform anything. No step is at fault: what is under way can go on another time."""

    code = "cluster_lost"


@dataclass(frozen=True, slots=True)
class Performed:
    """What is known about a step besides the files that it left in `job.out`."""

    load_ms: float
    """0 when the engine was warm."""
    memory: Mapping[str, Any] | None = None
    """What a worker said about its memory and device, bytes; None for an engine in this process."""
    device: str = ""
    """What an engine of this process says it computes on; empty for the CPU."""
    node: str = ""
    """The machine, where it was another one."""


class Executor(Protocol):
    """Shared by the runs of a process; threads may call it at once."""

    def submit(self, work: Callable[[], None], spec: EngineSpec, params: Params, *, priority: int = 0) -> None:
        """Call `work` on a thread of the lane that a step of this engine occupies, when its turn comes."""

    def expect(self, spec: EngineSpec, params: Params) -> None:
        """A step of this engine waits for one other, and will hardly be found in the cache: where a core is idle
        meanwhile, the engine may be loaded. Returns at once."""

    def perform(self, spec: EngineSpec, job: Job, started: Callable[[], None]) -> Performed:
        """Load the engine if it is not, call `started`, and let it write its outputs into `job.out`.

        How many threads the job may keep busy is for the executor to say: it knows what else is under way.

        Called from within `work`. It returns only after everything that it began has ended, also when the job was
        cancelled or failed; but an engine of this process that does not stop is not waited for (`runtime.attended`).

        Raises:
            Unavailable: a package, model or machine that it needs is missing.
            ClusterLost: all machines are gone, and none came back in time.
            MachineLost: its machine is gone; what is in `job.out` is to be forgotten, and the same asked again.
            Cancelled: `job.cancelled()` became true.
            Exception: whatever the engine raised.
        """

    def usable(self, spec: EngineSpec, params: Params | None = None) -> bool:
        """Whether an engine's packages and models are there, by a quick look."""

    def damaged(self, spec: EngineSpec, params: Params | None = None) -> str:
        """The first of the engine's models whose bytes are wrong; empty if none is."""

    def close(self) -> None:
        """End every engine and worker, within seconds. What is under way, if anything is, was given up."""
