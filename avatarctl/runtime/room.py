"""Room on the GPU: which engines stay loaded, and which goes when another one needs the memory.

Engines declare what they take; a worker's own figures count where they are higher. The sum of what is loaded never
exceeds the budget: what the driver says the GPU has, or less where the user says so (`[resources] vram_mb`). Whoever
was used longest ago goes first: a worker's process ends, a server is asked to unload. Then the driver is asked until
the memory is free indeed, because a server answers before it has let go.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from avatarctl.engines.contract import Cancelled, Engine, HoldsMemory
from avatarctl.engines.worker.host import Worker
from avatarctl.errors import OutOfMemory
from avatarctl.machine import hardware

CONFIRM_SECONDS = 15.0
SETTLED_SECONDS = 3.0
"""After which no more is expected of what was given up, if there is `ENOUGH`."""
ENOUGH = 0.75
"""Share of what an engine declares that has to be free for it to be tried: what is declared is a peak, with a reserve,
and a desktop on the same GPU takes a little."""
CONTEXT_MB = 512
"""What CUDA itself takes in each process, which torch does not count."""
_POLL_SECONDS = 0.05


class Device(Protocol):
    """A GPU's memory, MiB."""

    def total_mb(self) -> int:
        """All of it; 0 where there is no GPU."""

    def free_mb(self) -> int | None:
        """What nobody uses; None where the driver does not tell."""


class Nvidia:
    """NVIDIA's GPU with the most memory, by its driver."""

    def total_mb(self) -> int:
        """See `Device`."""
        return _total_mb()

    def free_mb(self) -> int | None:
        """See `Device`."""
        return hardware.gpu_free_mb()


@cache
def _total_mb() -> int:
    card = hardware.gpu()
    return card.memory_mb if card else 0


@dataclass(eq=False)
class Slot:
    """A place for one instance of an engine. Whoever holds `lock` is at work with it."""

    title: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine | None = None
    child: Worker | None = None
    """The process that its engine shares with others; None for this one, or a worker of its own."""
    held_mb: int = 0
    """Memory of the GPU that counts as taken by it."""
    known_mb: int = 0
    """The most that it was ever seen to take."""
    used: float = 0.0

    @classmethod
    def of(cls, title: str, child: Worker) -> Slot:
        """A place in a process where one engine works at a time."""
        return cls(title, lock=child.lock, child=child)

    def unload(self) -> None:
        """End the engine; a server is asked to let go."""
        engine, self.engine = self.engine, None
        try:
            if engine is not None:
                if isinstance(engine, HoldsMemory):
                    engine.let_go()
                engine.close()
        finally:
            self.held_mb = 0


class Room:
    """The memory of one GPU, and who has it."""

    def __init__(
        self,
        device: Device,
        slots: Callable[[], Iterable[Slot]],
        limit_mb: int = 0,
        patience: float = CONFIRM_SECONDS,
    ) -> None:
        """`slots`: everybody that may hold memory. `limit_mb`: the user's own bound; 0 for none. `patience`: seconds
        that memory which was given up may take to be free."""
        self._device = device
        self._limit = limit_mb
        self._patience = patience
        self._slots = slots
        self._guard = threading.Lock()
        """One at a time makes room."""

    def budget_mb(self) -> int:
        """What all engines together may take; 0 where nobody knows."""
        total = self._device.total_mb()
        return min(total, self._limit) if total and self._limit else total or self._limit

    def fits(self, slot: Slot, megabytes: int) -> bool:
        """Whether an engine is loaded, or can be without another one's going."""
        wanted = max(megabytes, slot.known_mb)
        # The driver is asked last: most engines want nothing of it.
        if slot.held_mb or not wanted or not (budget := self.budget_mb()) or wanted > budget:
            return True
        return sum(s.held_mb for s in self._slots()) + wanted <= budget

    def make(self, slot: Slot, megabytes: int, cancelled: Callable[[], bool]) -> None:
        """Unload who was used longest ago until `megabytes` are free, and count them as the slot's.

        Raises:
            OutOfMemory: it is more than the budget, or others outside hold the memory.
            Cancelled: `cancelled()` became true while another engine was at work.
        """
        wanted, slot.held_mb = megabytes, 0
        if not wanted:
            return
        with self._guard:
            budget = self.budget_mb()
            if budget and wanted > budget:
                raise _too_large(slot, wanted, budget)
            asked = False
            while sum(s.held_mb for s in self._slots()) + wanted > budget:
                if self._unload_one():
                    asked = True
                elif not budget:
                    break  # Nobody knows how much there is: try.
                elif cancelled():
                    raise Cancelled
                else:
                    time.sleep(_POLL_SECONDS)
            self._confirm(slot, wanted, asked, cancelled)
            slot.held_mb = wanted

    def _unload_one(self) -> bool:
        """End the engine that was used longest ago and is idle: whether there was one."""
        for slot in sorted((s for s in self._slots() if s.held_mb), key=lambda s: s.used):
            if slot.lock.acquire(blocking=False):
                try:
                    slot.unload()
                finally:
                    slot.lock.release()
                return True
        return False

    def _confirm(self, slot: Slot, wanted: int, asked: bool, cancelled: Callable[[], bool]) -> None:
        """Wait until the driver agrees. What idle engines hold beyond what they declare goes, too."""
        began = time.monotonic()
        while (free := self._device.free_mb()) is not None and free < wanted:
            if cancelled():
                raise Cancelled
            waited = time.monotonic() - began
            if free >= wanted * ENOUGH and (not asked or waited >= SETTLED_SECONDS):
                return
            if not asked or waited >= self._patience:
                if not self._unload_one():
                    raise _not_free(slot, wanted, free)
                asked, began = True, time.monotonic()
            time.sleep(_POLL_SECONDS)


def _too_large(slot: Slot, wanted: int, budget: int) -> OutOfMemory:
    return OutOfMemory(
        f"{slot.title} needs {wanted} MB of the GPU's memory",
        why=f"{budget} MB may be used",
        hint="choose the CPU, a smaller model, or another [resources] vram_mb",
    )


def _not_free(slot: Slot, wanted: int, free: int) -> OutOfMemory:
    return OutOfMemory(
        f"{slot.title} needs {wanted} MB of the GPU's memory",
        why=f"{free} MB are free, and other programs hold the rest",
        hint="close them: nvidia-smi names them, and `ollama ps` what a server holds",
    )
