"""Which actor performs a step: at most as many as the machines have room for, each with one engine, kept loaded.

Where there is no room for another engine, an idle actor of an engine that was used longest ago ends, so few machines
serve many stages, one wave after the other. Nothing is left to Ray's own queue: a machine is chosen here, since only
then it is known which one was lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from avatarctl.engines.contract import Cancelled
from avatarctl.errors import Unavailable

_PAUSE = 0.5
"""Seconds between two looks whether somebody was cancelled, or a machine came."""


@dataclass(frozen=True)
class Machine:
    """A node of the cluster. `address`, `port`: where its raylet listens."""

    id: str
    name: str
    address: str
    port: int
    cpus: float
    gpus: float


@dataclass(eq=False)
class Actor:
    """An actor's place. `handle` is Ray's."""

    machine: Machine
    engine: str
    gpu: bool
    handle: Any = None
    busy: bool = True
    ready: bool = False
    """Its machine was compared with this one, and the engine is loaded."""
    gone: bool = False
    """It has died, or is not to be used again."""
    used: float = field(default_factory=time.monotonic)


class Places:
    """Lends actors to threads, each to one at a time."""

    def __init__(
        self,
        machines: Callable[[], list[Machine]],
        begin: Callable[[Actor], Any],
        end: Callable[[Actor], None],
        cpus: int,
    ) -> None:
        """`machines`: those that live. `begin` makes an actor's handle, `end` ends it. `cpus`: of an actor."""
        self._machines = machines
        self._begin = begin
        self._end = end
        self._cpus = cpus
        self._actors: list[Actor] = []
        self._lost: set[str] = set()
        self._refused: dict[tuple[str, str], Unavailable] = {}
        self._changed = threading.Condition()

    def width(self, gpu: bool) -> int:
        """Actors of a kind that there is room for."""
        return sum(self._room(machine, gpu) for machine in self._living())

    def take(self, engine: str, gpu: bool, cancelled: Callable[[], bool]) -> Actor:
        """An actor for the engine, warm if there is one; waits for a place.

        Raises:
            Cancelled: `cancelled()` became true.
            Unavailable: no machine can perform the engine: the last one's reason.
        """
        with self._changed:
            while True:
                if cancelled():
                    raise Cancelled
                actor = self._find(engine, gpu)
                if actor is not None:
                    return actor
                self._changed.wait(_PAUSE)

    def _find(self, engine: str, gpu: bool) -> Actor | None:
        able = [m for m in self._living() if (engine, m.id) not in self._refused and self._room(m, gpu)]
        if not able:
            raise self._nobody(engine, gpu)
        idle = [a for a in self._actors if not a.busy and a.gpu == gpu and a.machine in able]
        warm = [a for a in idle if a.engine == engine]
        if warm:
            actor = max(warm, key=lambda a: a.used)
            actor.busy = True
            return actor
        free = {m.id: self._room(m, gpu) - self._count(m, gpu) for m in able}
        machine = max(able, key=lambda m: free[m.id])
        if free[machine.id] <= 0:
            if not idle:
                return None
            oldest = min(idle, key=lambda a: a.used)
            self._drop(oldest)
            machine = oldest.machine
        actor = Actor(machine, engine, gpu)
        self._actors.append(actor)
        try:
            actor.handle = self._begin(actor)
        except BaseException:
            self._actors.remove(actor)
            raise
        return actor

    def give_back(self, actor: Actor) -> None:
        """It is kept for the next step, if it still lives."""
        with self._changed:
            actor.busy, actor.used = False, time.monotonic()
            if actor.gone:
                self._drop(actor)
            self._changed.notify_all()

    def refuse(self, actor: Actor, error: Unavailable) -> None:
        """This engine cannot be performed on that machine."""
        with self._changed:
            self._refused[actor.engine, actor.machine.id] = error
            self._drop(actor)
            self._changed.notify_all()

    def lose(self, machine: Machine) -> None:
        """A machine is gone; Ray itself may find that out half a minute later."""
        with self._changed:
            self._lost.add(machine.id)
            for actor in [a for a in self._actors if a.machine == machine and not a.busy]:
                self._drop(actor)
            self._changed.notify_all()

    def all(self) -> list[Actor]:
        """Every actor there is."""
        with self._changed:
            return list(self._actors)

    def close(self) -> None:
        """End every actor."""
        with self._changed:
            for actor in list(self._actors):
                self._drop(actor)

    def _drop(self, actor: Actor) -> None:
        if actor in self._actors:
            self._actors.remove(actor)
            self._end(actor)

    def _living(self) -> list[Machine]:
        return [machine for machine in self._machines() if machine.id not in self._lost]

    def _room(self, machine: Machine, gpu: bool) -> int:
        return int(machine.gpus) if gpu else int(machine.cpus // self._cpus)

    def _count(self, machine: Machine, gpu: bool) -> int:
        return sum(a.machine == machine and a.gpu == gpu for a in self._actors)

    def _nobody(self, engine: str, gpu: bool) -> Unavailable:
        reasons = [error for (name, _), error in self._refused.items() if name == engine]
        if reasons:
            return reasons[-1]
        if not self._living():
            return Unavailable("no machine of the Ray cluster is left", hint="ray status; ray start on other machines")
        kind = "a GPU" if gpu else f"{self._cpus} CPUs"
        return Unavailable(f"no machine of the Ray cluster has {kind}", hint="ray status shows what each has")
