"""Which actor performs a step: at most as many as the machines have room for, each with one engine, kept loaded.

Where there is no room for another engine, an idle actor of an engine that was used longest ago ends, so few machines
serve many stages, one wave after the other. Nothing is left to Ray's own queue: a machine is chosen here, since only
then it is known which one was lost.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from avatarctl.engines.contract import Cancelled
from avatarctl.errors import Unavailable
from avatarctl.runtime.executors import ClusterLost

RETURN = 30.0
"""Seconds that a step waits where all machines were lost that could perform it: somebody may start Ray there anew."""
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


@dataclass(frozen=True)
class Need:
    """What an actor holds while it lives: whole CPUs, or a GPU, which is enough for what its engine computes beside."""

    cpus: int
    gpus: int = 0


@dataclass(eq=False)
class Actor:
    """An actor's place. `handle` is Ray's."""

    machine: Machine
    engine: str
    need: Need
    handle: Any = None
    busy: bool = True
    ready: bool = False
    """Its machine was compared with this one, and the engine is loaded."""
    gone: bool = False
    """It has died, or is not to be used again."""
    used: float = field(default_factory=time.monotonic)


class Places:
    """Lends actors to threads, each to one at a time; who waits longest is served first."""

    def __init__(
        self, machines: Callable[[], list[Machine]], begin: Callable[[Actor], Any], end: Callable[[Actor], None]
    ) -> None:
        """`machines`: those that live. `begin` makes an actor's handle, `end` ends it."""
        self._machines = machines
        self._begin = begin
        self._end = end
        self._actors: list[Actor] = []
        self._known: dict[str, Machine] = {}
        """Every machine that there ever was, by its id. One that comes back has another."""
        self._lost: set[str] = set()
        self._refused: dict[tuple[str, str], Unavailable] = {}
        self._changed = threading.Condition()
        self._queues: dict[bool, deque[object]] = {False: deque(), True: deque()}
        """Threads that wait, for a GPU or not: an actor that needs a whole machine must not wait for ever."""

    def take(
        self, engine: str, need: Need, cancelled: Callable[[], bool], note: Callable[[str], None] = lambda told: None
    ) -> Actor:
        """An actor for the engine, warm if there is one; waits for a place, and a while for machines that were lost.

        Args:
            note: tells the user what it waits for.

        Raises:
            Cancelled: `cancelled()` became true.
            Unavailable: no machine can perform the engine: the last one's reason.
            ClusterLost: those that could are gone, and did not come back.
        """
        queue, ticket = self._queues[need.gpus > 0], object()
        alone_since: float | None = None
        with self._changed:
            queue.append(ticket)
            try:
                while True:
                    if cancelled():
                        raise Cancelled
                    try:
                        actor = self._find(engine, need) if queue[0] is ticket else None
                    except ClusterLost:
                        if alone_since is None:
                            alone_since = time.monotonic()
                            note(f"all machines were lost; waits {RETURN:.0f} s for one to come back")
                        elif time.monotonic() - alone_since > RETURN:
                            raise
                        actor = None
                    if actor is not None:
                        return actor
                    self._changed.wait(_PAUSE)
            finally:
                queue.remove(ticket)
                self._changed.notify_all()

    def _find(self, engine: str, need: Need) -> Actor | None:
        living = {m.id: m for m in self._machines() if m.id not in self._lost}
        self._known |= living
        able = [m for m in living.values() if self._is_able(m, engine, need)]
        if not able:
            gone = [m for m in self._known.values() if m.id not in living and self._is_able(m, engine, need)]
            raise self._nobody(engine, need, bool(gone) or not living)
        warm = [a for a in self._actors if not a.busy and a.engine == engine and a.need == need and a.machine in able]
        if warm:
            actor = max(warm, key=lambda a: a.used)
            actor.busy = True
            return actor
        # Where most is free; else where idle actors can make room, of which one was used longest ago.
        machine = max(able, key=lambda m: self._free(m, need, False))
        if self._free(machine, need, False) < 0:
            could = [m for m in able if self._free(m, need, True) >= 0]
            if not could:
                return None
            machine = min(could, key=lambda m: min(a.used for a in self._idle(m, need)))
            self._make_room(machine, need)
        actor = Actor(machine, engine, need)
        self._actors.append(actor)
        try:
            actor.handle = self._begin(actor)
        except BaseException:
            self._actors.remove(actor)
            raise
        return actor

    def _is_able(self, machine: Machine, engine: str, need: Need) -> bool:
        """Whether a machine has what the engine needs, as far as is known."""
        return (engine, machine.id) not in self._refused and machine.cpus >= need.cpus and machine.gpus >= need.gpus

    def _free(self, machine: Machine, need: Need, without_idle: bool) -> float:
        """How much of what is needed would be left on a machine: less than 0 is not enough."""
        held = [a for a in self._actors if a.machine == machine and (a.busy or not without_idle)]
        if need.gpus:
            return machine.gpus - sum(a.need.gpus for a in held) - need.gpus
        return machine.cpus - sum(a.need.cpus for a in held) - need.cpus

    def _idle(self, machine: Machine, need: Need) -> list[Actor]:
        """Actors that hold what is needed, and are not at work."""
        mine = [a for a in self._actors if a.machine == machine and not a.busy]
        return [a for a in mine if (a.need.gpus > 0) == (need.gpus > 0)]

    def _make_room(self, machine: Machine, need: Need) -> None:
        """End idle actors, those used longest ago first."""
        for actor in sorted(self._idle(machine, need), key=lambda a: a.used):
            if self._free(machine, need, False) >= 0:
                return
            self._drop(actor)

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

    def _nobody(self, engine: str, need: Need, were_lost: bool) -> Unavailable:
        if were_lost:
            return ClusterLost(
                "no machine of the Ray cluster is left",
                hint="ray start --address=... on a machine, and give the same command again, or --executor local",
            )
        reasons = [error for (name, _), error in self._refused.items() if name == engine]
        if reasons:
            return reasons[-1]
        kind = "a GPU" if need.gpus else f"{need.cpus} CPUs"
        return Unavailable(f"no machine of the Ray cluster has {kind}", hint="ray status shows what each has")
