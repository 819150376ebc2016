"""Lanes: one for each scarce resource, with a few threads each, and a queue that keeps engines loaded.

Of the steps that are ready, those go first whose engine is loaded already: so the films of a batch move in waves (all
answers, all speech, all faces), and each model is loaded once. No step is passed over more than `PATIENCE` times for
that, or the first film of a long batch would be finished last.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from avatarctl.runtime.attended import join

WIDTHS = {"light": 2, "cpu": 1, "gpu": 1, "server": 1}
"""How many steps of one lane are under way at a time. `light` steps take milliseconds."""
TOGETHER = {"server": "gpu"}
"""A server of this machine holds memory of the same GPU, so both lanes have one queue, with places of their own."""
PATIENCE = 256
CLOSING = 2.0
"""Seconds. A lane is closed when the runs that use it have ended, so that hardly anything is under way."""

Work = Callable[[], None]
"""Has to handle its own errors."""


def _always() -> bool:
    return True


@dataclass(slots=True)
class _Waiting:
    order: int
    work: Work
    affinity: str
    priority: int
    kind: str
    places: int
    """How many of its kind's places it takes."""
    fits: Callable[[], bool]
    refused: bool = False
    """Its turn had come, and there was no room for its engine."""
    passed: int = 0

    def rank(self) -> tuple[int, int]:
        return (-self.priority, self.order)


class Lane:
    """A queue of steps for one resource, or for several that share memory.

    Args:
        widths: how many steps of each kind may be under way at a time.
    """

    def __init__(self, name: str, widths: int | Mapping[str, int], patience: int = PATIENCE) -> None:
        self._name = name
        self._widths = {name: widths} if isinstance(widths, int) else dict(widths)
        self._patience = patience
        self._waiting: list[_Waiting] = []
        self._loaded: dict[str, None] = {}
        """Affinities of the steps begun last, the latest at the end; as many as steps run at a time."""
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._free = dict(self._widths)
        """Places of each kind that no step takes."""
        self._closed = False

    def submit(
        self,
        work: Work,
        *,
        affinity: str = "",
        priority: int = 0,
        kind: str = "",
        whole: bool = False,
        fits: Callable[[], bool] = _always,
    ) -> None:
        """Perform `work` when its turn comes.

        Args:
            affinity: equal for steps that use the same loaded engine.
            priority: higher ones go first, whatever is loaded.
            kind: whose place it takes; the lane's own name where it has one kind only.
            whole: let nothing else of the kind run beside it.
            fits: whether its engine is loaded, or can be beside those that are; if not, it begins when no other step
                can, so that none is unloaded in the middle of its wave. Must not block.
        """
        kind = kind or self._name
        with self._changed:
            if self._closed:
                raise RuntimeError(f"the lane {self._name} is closed")
            places = self._widths[kind] if whole else 1
            self._waiting.append(_Waiting(next(self._count), work, affinity, priority, kind, places, fits))
            self._changed.notify_all()
            if self._idle < len(self._waiting) and len(self._threads) < sum(self._widths.values()):
                number = len(self._threads)
                thread = threading.Thread(target=self._serve, name=f"lane-{self._name}_{number}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Finish what was submitted, and end the threads; what takes longer than `CLOSING` is given up."""
        join(self.end(), CLOSING)

    def end(self) -> list[threading.Thread]:
        """Take no more; the threads that end once all is finished."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return list(self._threads)

    def _serve(self) -> None:
        while True:
            with self._changed:
                while (chosen := self._choose()) is None:
                    if self._closed and not self._waiting:
                        return
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                self._free[chosen.kind] -= chosen.places
            chosen.work()
            with self._changed:
                self._free[chosen.kind] += chosen.places
                # Others may have found no place, or no room, while this one ran.
                if self._waiting or self._closed:
                    self._changed.notify_all()
            # Whatever it holds (inputs, results) must not stay alive while this thread waits.
            del chosen

    def _choose(self) -> _Waiting | None:
        """The next step, taken out of the queue; None if none can begin now. The caller holds the condition."""
        ranked = sorted(self._waiting, key=_Waiting.rank)
        evicting: _Waiting | None = None
        for kind in dict.fromkeys(waiting.kind for waiting in ranked):
            if not self._free[kind]:
                continue
            chosen = self._of_kind([waiting for waiting in ranked if waiting.kind == kind])
            if chosen.places > self._free[kind]:
                continue
            if chosen.fits():
                self._begin(chosen)
                return chosen
            chosen.refused = True
            evicting = evicting or chosen
            if chosen.passed >= self._patience:
                # Whoever began now would keep it waiting.
                evicting = chosen
                break
        if evicting is not None and self._free == self._widths:
            self._begin(evicting)
            return evicting
        return None

    def _of_kind(self, ranked: list[_Waiting]) -> _Waiting:
        """Whose turn it is among the steps of one kind."""
        best = ranked[0]
        if best.passed >= self._patience:
            return best
        for affinity in reversed(self._loaded):
            for waiting in ranked:
                if waiting.affinity == affinity and waiting.priority == best.priority:
                    return waiting
        return best

    def _begin(self, chosen: _Waiting) -> None:
        for other in self._waiting:
            if other.rank() < chosen.rank() and (other.kind == chosen.kind or other.refused):
                other.passed += 1
        self._waiting.remove(chosen)
        self._loaded.pop(chosen.affinity, None)
        self._loaded[chosen.affinity] = None
        if len(self._loaded) > sum(self._widths.values()):
            del self._loaded[next(iter(self._loaded))]


@dataclass
class Lanes:
    """Every lane of a process, each made when it is first used."""

    widths: Mapping[str, int] = field(default_factory=lambda: WIDTHS)
    patience: int = PATIENCE
    _made: dict[str, Lane] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def lane(self, name: str) -> Lane:
        """Where steps of that kind wait; one step at a time where nothing else is said."""
        name = TOGETHER.get(name, name)
        with self._guard:
            if name not in self._made:
                kinds = [name, *(kind for kind, where in TOGETHER.items() if where == name)]
                widths = {kind: self.widths.get(kind, 1) for kind in kinds}
                self._made[name] = Lane(name, widths, self.patience)
            return self._made[name]

    def close(self) -> None:
        """See `Lane.close`."""
        join([thread for lane in self._made.values() for thread in lane.end()], CLOSING)
