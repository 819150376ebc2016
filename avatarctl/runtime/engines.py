"""Engine instances: made on first use, loaded once, shared by the steps of a process.

Engines that want GPU memory share a budget (`room`): before one is loaded, those that are idle and were used longest
ago go until it fits. A worker that is closed leaves nothing behind on the GPU.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from avatarctl import models
from avatarctl.engines import readiness, registry
from avatarctl.engines.contract import Engine, EngineSpec, HoldsMemory, Requirements
from avatarctl.engines.worker.host import Worker, WorkerEngine
from avatarctl.engines.worker.memory import is_out_of_memory
from avatarctl.errors import AvatarctlError, OutOfMemory
from avatarctl.models import weights
from avatarctl.runtime.attended import GRACE, GivenUp, attended
from avatarctl.runtime.room import CONTEXT_MB, Device, Nvidia, Room, Slot
from avatarctl.stages.params import Params

Servers = Callable[[], Sequence[tuple[EngineSpec, Params]]]


def instance_of(spec: EngineSpec, params: Params) -> str:
    """Equal for steps that one loaded engine can perform: its name, its models, and the weights that its params choose.

    Stages that one worker serves (what a voice prepares, and its speech) share its process and its memory.
    """
    weights = spec.requirements(params).weights
    own = spec.factory if spec.worker else f"{spec.stage}/{spec.name}"
    return " ".join((own, *spec.models, *(f"{role}={ref}" for role, ref in sorted(weights.items()))))


_CLOSING = 1.0
"""Seconds to wait at the end for somebody who is at work with an engine still. What a process is given up with, ends
with it: a worker too, whose pipes close."""


def _never() -> bool:
    return False


class EnginePool:
    """An instance of each engine and choice of weights, which performs one step at a time.

    Of an engine that takes nothing but processor time, as many instances are made as steps ask for at a time, `copies`
    at most. A worker may hold gigabytes: there is one.

    With `children`, engines of the lane `cpu` live in processes of their own, as many as there are copies, and each
    process has an instance of every engine that it was asked for. So they share no interpreter, which lets one of its
    threads compute at a time, and one that hangs or crashes takes nothing along but its process.
    """

    def __init__(
        self,
        models_folder: Path,
        interpreter: Callable[[str], str] = lambda name: "",
        device: Device | None = None,
        copies: int = 1,
        vram_mb: int = 0,
        servers: Servers = tuple,
        children: Sequence[Worker] = (),
    ) -> None:
        """`interpreter`: the Python of an engine's worker by the engine's name, "" for this one's.
        `vram_mb`: what all engines together may take of the GPU's memory; 0 for all that it has.
        `servers`: steps whose server may hold memory since an earlier process."""
        self._models = models_folder
        self._interpreter = interpreter
        self._copies = copies
        self._servers = servers
        self._children = list(children)
        self._slots: dict[tuple[str, str], Slot] = {}
        """By `instance_of` and place: the number of a copy, or "child" and the number of a process."""
        self._guard = threading.Lock()
        self._room = Room(device or Nvidia(), self._all, vram_mb)

    def _all(self) -> list[Slot]:
        with self._guard:
            return list(self._slots.values())

    @contextmanager
    def use(
        self, spec: EngineSpec, params: Params | None = None, cancelled: Callable[[], bool] = _never
    ) -> Iterator[tuple[Engine, float]]:
        """The engine, for one step, with the milliseconds that loading took (0 when it was warm).

        Raises:
            Unavailable: a package or model that it needs is missing.
            OutOfMemory: memory ran out while it was loaded or at work; it is not loaded any more.
            Cancelled: `cancelled()` became true while it waited for room, or was loaded.
        """
        params = params or spec.params()
        wanted = spec.requirements(params)
        with self._taken(spec, params) as slot:
            start = time.perf_counter()
            try:
                engine, cold = slot.engine, slot.engine is None
                if engine is None:
                    engine = self._load(slot, spec, params, wanted, cancelled)
                if isinstance(engine, HoldsMemory) and self._room.budget_mb():
                    self._house(slot, engine, params, cancelled)
                yield engine, (time.perf_counter() - start) * 1000 if cold else 0.0
            except GivenUp:
                # It is at work still. Whoever comes next gets another one.
                slot.engine = None
                raise
            except Exception as error:
                if isinstance(error, OutOfMemory) or is_out_of_memory(error):
                    # What it still holds may be what is missing.
                    slot.unload()
                raise
            finally:
                slot.used = time.monotonic()
                self._measure(slot)

    def fits(self, spec: EngineSpec, params: Params) -> bool:
        """Whether a step could begin without another engine's being unloaded for it."""
        wanted = spec.requirements(params).gpu_memory_mb
        with self._guard:
            slot = self._slots.get((instance_of(spec, params), "0"))
        return self._room.fits(slot or Slot(""), wanted)

    def _load(
        self, slot: Slot, spec: EngineSpec, params: Params, wanted: Requirements, cancelled: Callable[[], bool]
    ) -> Engine:
        files = readiness.paths(spec, params, self._models, self._python(spec))
        if wanted.gpu_memory_mb and self._room.budget_mb():
            self._look_at_servers()
        # What it was seen to take counts where that is more.
        self._room.make(slot, max(wanted.gpu_memory_mb, slot.known_mb), cancelled)
        engine = self._create(spec, wanted, slot.child)
        apart = engine if isinstance(engine, WorkerEngine) else None
        try:
            # A process need not be waited for: it can be killed.
            attended(lambda: engine.load(files), cancelled, 0.0 if apart else GRACE)
        except GivenUp:
            slot.held_mb = 0
            if apart:
                apart.kill()
            raise
        except BaseException:
            slot.held_mb = 0
            engine.close()
            raise
        slot.engine = engine
        return engine

    def _look_at_servers(self) -> None:
        """See what servers hold that were asked by an earlier process. One that is at work now counts already."""
        for spec, params in self._servers():
            with self._guard:
                slot = self._slots.setdefault((instance_of(spec, params), "0"), Slot(f"{spec.stage}/{spec.name}"))
            if not slot.lock.acquire(blocking=False):
                continue
            try:
                # Whoever needs this server will hear what is wrong with it; this step needs its memory alone.
                with suppress(AvatarctlError):
                    engine = slot.engine or registry.create(spec)
                    if isinstance(engine, HoldsMemory):
                        engine.expect(params)
                        slot.engine, slot.held_mb = engine, engine.held_mb()
            finally:
                slot.lock.release()

    def _house(self, slot: Slot, engine: HoldsMemory, params: Params, cancelled: Callable[[], bool]) -> None:
        """Make room for what a server is about to load, unless it is loaded.

        A server does with what it finds: it keeps on the CPU what does not fit on the GPU.
        """
        slot.held_mb = engine.held_mb()
        if not slot.held_mb:
            with suppress(OutOfMemory):
                self._room.make(slot, min(engine.wanted_mb(params), self._room.budget_mb()), cancelled)

    def _measure(self, slot: Slot) -> None:
        """What the engine turned out to hold, where it says so and it is more than was declared."""
        engine: Any = slot.engine
        if isinstance(engine, HoldsMemory):
            slot.held_mb = engine.held_mb() if self._room.budget_mb() else 0
        elif slot.held_mb and (said := getattr(engine, "memory", None)) and "peak" in said:
            seen = int(said["peak"]) // 2**20 + CONTEXT_MB
            # It did fit: the budget bounds what is counted.
            slot.held_mb = max(slot.held_mb, min(seen, self._room.budget_mb() or seen))
        slot.known_mb = max(slot.known_mb, slot.held_mb)

    @contextmanager
    def _taken(self, spec: EngineSpec, params: Params) -> Iterator[Slot]:
        """A slot of the engine to oneself: one that is free, the one used last first, or a new one."""
        name, title = instance_of(spec, params), f"{spec.stage}/{spec.name}"
        children = self._children if self._lives_apart(spec, params) else []
        single = spec.worker or spec.requirements(params).gpu_memory_mb
        with self._guard:
            if children:
                places = {f"child {n}": child for n, child in enumerate(children)}
                slots = [self._slots.setdefault((name, at), Slot.of(title, child)) for at, child in places.items()]
            else:
                copies = 1 if single else self._copies
                slots = [self._slots.setdefault((name, str(n)), Slot(title)) for n in range(copies)]
            slots.sort(key=lambda slot: slot.used, reverse=True)
            chosen = next((slot for slot in slots if slot.lock.acquire(blocking=False)), None)
        if chosen is None:
            chosen = slots[0]
            chosen.lock.acquire()
        try:
            yield chosen
        finally:
            chosen.lock.release()

    def _lives_apart(self, spec: EngineSpec, params: Params) -> bool:
        """Whether an engine that asks for no process of its own is performed in one of the children."""
        wanted = spec.requirements(params)
        return not spec.worker and wanted.lane == "cpu" and not wanted.gpu_memory_mb

    def _create(self, spec: EngineSpec, wanted: Requirements, child: Worker | None) -> Engine:
        if not spec.worker and child is None:
            return registry.create(spec)
        digests = models.digests(self._models, spec.models)
        chosen = {role: ref for role, ref in wanted.weights.items() if ref in models.CATALOG}
        digests |= {role: weights.digest(self._models, ref) for role, ref in chosen.items()}
        if child is not None:
            return WorkerEngine(spec, digests=digests, worker=child)
        python = self._python(spec)
        return WorkerEngine(spec, python, digests) if python else WorkerEngine(spec, digests=digests)

    def _python(self, spec: EngineSpec) -> str:
        return self._interpreter(spec.name) if spec.worker else ""

    def has(self, spec: EngineSpec, params: Params | None = None) -> bool:
        """Whether an engine's packages and models are here, by a look that imports nothing and reads no file."""
        return readiness.is_ready(spec, params or spec.params(), self._models, self._python(spec))

    def damaged(self, spec: EngineSpec, params: Params | None = None) -> str:
        """The first of the engine's models whose bytes are wrong; empty if none is. Reads them all."""
        return readiness.damaged(spec, params or spec.params(), self._models)

    def close(self) -> None:
        """Close every engine that nobody is at work with."""
        for slot in self._slots.values():
            if not slot.lock.acquire(timeout=_CLOSING):
                continue
            try:
                if slot.engine is not None:
                    slot.engine.close()
                    slot.engine = None
            finally:
                slot.lock.release()
