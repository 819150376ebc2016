"""Engine instances: made on first use, loaded once, shared by the steps of a process.

Engines that want GPU memory share a budget: before one is loaded, those that are idle and were used longest
ago are closed until it fits. A worker that is closed leaves nothing behind on the GPU.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from avatarctl import models
from avatarctl.engines import readiness, registry
from avatarctl.engines.contract import Engine, EngineSpec, Requirements
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.models import weights
from avatarctl.runtime import resources
from avatarctl.stages.params import Params


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engine: Engine | None = None
        self.gpu_mb = 0
        self.used = 0.0


class EnginePool:
    """An instance of each engine and choice of weights, which performs one step at a time.

    Of an engine that lives in this process and takes nothing but processor time, as many instances are made as steps
    ask for at a time, `copies` at most. A worker may hold gigabytes: there is one.
    """

    def __init__(
        self,
        models_folder: Path,
        interpreter: Callable[[str], str] = lambda name: "",
        gpu_memory_mb: Callable[[], int] = resources.gpu_memory_mb,
        copies: int = 1,
    ) -> None:
        """`interpreter`: the Python of an engine's worker by the engine's name, "" for this one's.
        `gpu_memory_mb`: what all engines together may take."""
        self._models = models_folder
        self._interpreter = interpreter
        self._gpu_memory_mb = gpu_memory_mb
        self._copies = copies
        self._slots: dict[tuple[str, ...], _Slot] = {}
        self._guard = threading.Lock()

    @contextmanager
    def use(self, spec: EngineSpec, params: Params | None = None) -> Iterator[tuple[Engine, float]]:
        """The engine, for one step, with the milliseconds that loading took (0 when it was warm).

        Raises:
            Unavailable: a package or model that it needs is missing.
        """
        params = params or spec.params()
        wanted = spec.requirements(params)
        # Stages that one worker serves (what a voice prepares, and its speech) share its process and its memory.
        own = (spec.factory,) if spec.worker else (spec.stage, spec.name)
        name = (*own, *(f"{role}={ref}" for role, ref in sorted(wanted.weights.items())))
        with self._taken(name, 1 if spec.worker or wanted.gpu_memory_mb else self._copies) as slot:
            load_ms = 0.0
            if slot.engine is None:
                start = time.perf_counter()
                files = readiness.paths(spec, params, self._models, self._python(spec))
                self._make_room(wanted.gpu_memory_mb)
                engine = self._create(spec, wanted)
                try:
                    engine.load(files)
                except BaseException:
                    engine.close()
                    raise
                slot.engine, slot.gpu_mb = engine, wanted.gpu_memory_mb
                load_ms = (time.perf_counter() - start) * 1000
            try:
                yield slot.engine, load_ms
            finally:
                slot.used = time.monotonic()

    @contextmanager
    def _taken(self, name: tuple[str, ...], copies: int) -> Iterator[_Slot]:
        """A slot of that name to oneself: one that is free, the one used last first, or a new one."""
        with self._guard:
            slots = [self._slots.setdefault((*name, str(n)), _Slot()) for n in range(copies)]
            slots.sort(key=lambda slot: slot.used, reverse=True)
            chosen = next((slot for slot in slots if slot.lock.acquire(blocking=False)), None)
        if chosen is None:
            chosen = slots[0]
            chosen.lock.acquire()
        try:
            yield chosen
        finally:
            chosen.lock.release()

    def _create(self, spec: EngineSpec, wanted: Requirements) -> Engine:
        if not spec.worker:
            return registry.create(spec)
        digests = models.digests(self._models, spec.models)
        chosen = {role: ref for role, ref in wanted.weights.items() if ref in models.CATALOG}
        digests |= {role: weights.digest(self._models, ref) for role, ref in chosen.items()}
        python = self._python(spec)
        return WorkerEngine(spec, python, digests) if python else WorkerEngine(spec, digests=digests)

    def _python(self, spec: EngineSpec) -> str:
        return self._interpreter(spec.name) if spec.worker else ""

    def _make_room(self, megabytes: int) -> None:
        """Close idle engines until this much fits on the GPU. Busy ones are left alone: the GPU's lane is one wide."""
        if not megabytes:
            return
        budget = self._gpu_memory_mb()
        with self._guard:
            others = sorted((s for s in self._slots.values() if s.gpu_mb), key=lambda s: s.used)
        taken = sum(slot.gpu_mb for slot in others)
        for slot in others:
            if taken + megabytes <= budget:
                return
            if slot.lock.acquire(blocking=False):
                try:
                    if slot.engine is not None:
                        slot.engine.close()
                    taken -= slot.gpu_mb
                    slot.engine, slot.gpu_mb = None, 0
                finally:
                    slot.lock.release()

    def has(self, spec: EngineSpec, params: Params | None = None) -> bool:
        """Whether an engine's packages and models are here, by a look that imports nothing and reads no file."""
        return readiness.is_ready(spec, params or spec.params(), self._models, self._python(spec))

    def damaged(self, spec: EngineSpec, params: Params | None = None) -> str:
        """The first of the engine's models whose bytes are wrong; empty if none is. Reads them all."""
        return readiness.damaged(spec, params or spec.params(), self._models)

    def close(self) -> None:
        """Close every engine."""
        for slot in self._slots.values():
            with slot.lock:
                if slot.engine is not None:
                    slot.engine.close()
                    slot.engine = None
