"""What an engine is: a frozen description, a loader, and one method that makes a stage's outputs.

Engines know no store, no ledger and no command line: they read files by role and write files into a
folder. So the same engine runs in process, in a worker process, or on another machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from avatarctl.stages.params import Params


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a step takes, where that depends on its params; fields as in `EngineSpec`."""

    weights: Mapping[str, str] = field(default_factory=dict)
    """By role: a name of the models' catalog, of a folder among the models, or a path of a file or folder."""
    lane: str = "cpu"
    gpu_memory_mb: int = 0


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A company on whose machines an engine runs. It is asked only where the user has allowed it."""

    title: str
    sends: str
    """What leaves this machine: "the recording"."""
    key_variable: str
    """The environment variable that holds the user's key; it is read for each step and kept nowhere."""
    url: str
    """Where its interface lies."""
    url_variable: str
    """Where the environment may name another address, for its regions and for tests."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What may be tried instead when memory runs out: other params, which name the result differently."""

    params: Any
    told: str
    """For the ledger and the user: "on the CPU"."""


def on_the_cpu(params: Any) -> tuple[Rung, ...]:
    """A ladder of one rung for engines with a param `device`, of which `auto` leaves the choice to the machine."""
    # NVIDIA's driver brings this program. Without it, the CPU it was.
    if params.device != "auto" or shutil.which("nvidia-smi") is None:
        return ()
    return (Rung(params=replace(params, device="cpu"), told="on the CPU"),)


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """A frozen description: who performs which stage, what it needs and what it can do.

    Importing a module that holds specs must stay cheap: the heavy code is named by `factory`.
    """

    stage: str
    name: str
    summary: str
    cache_version: int
    """Raise it when the same inputs would give other bytes: it is part of every key."""
    factory: str
    """`"package.module:Class"`; called without arguments on first use."""
    params: type[Params] = Params
    reads: tuple[str, ...] = ()
    """Optional input roles of the stage that this engine reads; others are not handed over, nor keyed."""
    needs: tuple[str, ...] = ()
    """Optional input roles of the stage that this engine reads and cannot do without."""
    models: tuple[str, ...] = ()
    """Names in the models' catalog; their digests are part of every key."""
    external: str = ""
    """`"package.module:function"`, for an engine whose models are a server's: called with the params before a step is
    named, it returns a digest for each role of a model, which are part of every key. It is asked once a run, so it
    has to be quick; it raises `Unavailable` when the server or the model is not there."""
    requires: Callable[[Any], Requirements] | None = None
    """For engines whose params choose the weights or the device: what a step with these params takes."""
    ladder: Callable[[Any], tuple[Rung, ...]] | None = None
    """What may be tried, in this order, when memory runs out with these params. Only what gives as good a film belongs
    here: it is told, but nobody is asked. Smaller batches and tiles an engine tries by itself, and says so with `note`.
    """
    languages: tuple[str, ...] | None = None
    clones_voice: bool = False
    gives_timings: bool = False
    deterministic: bool = True
    uses_seed: bool = False
    restores: bool = False
    """Adds detail that resampling cannot (upscalers)."""
    streams: bool = False
    """Emits text while it runs (language models)."""
    lane: str = "cpu"
    """The scarce resource it occupies: `cpu`, `gpu`, `server` or `light` (milliseconds, never queued)."""
    gpu_memory_mb: int = 0
    worker: bool = False
    """It runs in a process of its own, so that its memory, its crashes and its packages are not the run's."""
    extra: str = ""
    """The optional dependency set that it needs (`pip install 'avatarctl[extra]'`)."""
    packages: tuple[str, ...] = ()
    """What that set brings, as it is imported: whether it is there can be seen without importing it."""
    remark: str = ""
    """What a user should know about its results; told whenever it is used."""
    cloud: Cloud | None = None
    """Whose machines it runs on; None for this one, and for servers that the user names."""

    def requirements(self, params: Params) -> Requirements:
        """What a step with these params takes, beside `models`."""
        if self.requires is not None:
            return self.requires(params)
        return Requirements(lane=self.lane, gpu_memory_mb=self.gpu_memory_mb)


def _no_progress(done: float, total: float, unit: str) -> None: ...
def _no_emit(text: str) -> None: ...
def _no_note(message: str) -> None: ...
def _unpaid(unit: str, amount: float) -> None: ...
def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Job:
    """One step's work order, as an engine sees it."""

    inputs: Mapping[str, Path]
    """Existing read-only files by role. Their names have no meaning and no suffix."""
    out: Path
    """An empty folder on the store's file system; write `out / (role + suffix)`, nothing else counts."""
    params: Any
    """An instance of the spec's `params`, validated."""
    key: str = ""
    seed: int = 0
    threads: int = 2
    """Upper bound on busy threads; never part of a key, so it must not change the result."""
    progress: Callable[[float, float, str], None] = _no_progress
    """`progress(done, total, unit)`, at least every few seconds."""
    emit: Callable[[str], None] = _no_emit
    """For engines that stream: the next piece of text."""
    note: Callable[[str], None] = _no_note
    """One line for the user: what did not go as it should have, though the step goes on."""
    used: Callable[[str, float], None] = _unpaid
    """`used(unit, amount)`: what a service counts and charges for this step, kept with the step's facts."""
    cancelled: Callable[[], bool] = _never
    """Ask it at least every half second; when true, clean up children and raise `Cancelled`."""


class Cancelled(Exception):
    """Raised by an engine that was asked to stop. The runner turns it into the run's own ending."""


class Engine(Protocol):
    """Light or heavy, in process or in a worker: the same three methods.

    `run` may be called from several threads, one at a time per instance.

    An engine that does not always run on the CPU says where it ran last in an attribute `device` ("cpu", "cuda",
    "server"), which goes into the ledger. A worker tells it with its memory.
    """

    def load(self, models: Mapping[str, Path]) -> None:
        """Import what is heavy and read weights. `models`: a path for each name in the spec's `models` and
        each role of its weights."""

    def run(self, job: Job) -> None:
        """Write every output of the stage into `job.out`. Raises `AvatarctlError` with a cause a user can act on."""

    def close(self) -> None:
        """Give back memory and processes."""


@runtime_checkable
class GetsReady(Protocol):
    """What an engine adds that has processes of its own to start."""

    def get_ready(self, threads: int) -> None:
        """Begin to, for steps that have so many threads, while the step before is still performed; return at once."""


@runtime_checkable
class HoldsMemory(Protocol):
    """What an engine adds whose models are a server's that may hold this machine's GPU."""

    def expect(self, params: Any) -> None:
        """Count as this engine's what the server holds for such steps, even since an earlier process asked them."""

    def held_mb(self) -> int:
        """GPU memory of this machine that the server holds for this engine now, MiB; 0 if the server is elsewhere."""

    def wanted_mb(self, params: Any) -> int:
        """What a step with these params would make it hold, MiB; 0 where nobody can say, or if it is elsewhere."""

    def let_go(self) -> None:
        """Ask the server to unload what it holds for this engine. Does nothing where it cannot be asked."""
