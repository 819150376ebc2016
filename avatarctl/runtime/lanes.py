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

WIDTHS = {"light": 2, "cpu": 1, "gpu": 1, "server": 1}
"""How many steps of one lane are under way at a time. `light` steps take milliseconds."""
PATIENCE = 256

Work = Callable[[], None]
"""Has to handle its own errors."""


@dataclass(slots=True)
class _Waiting:
    order: int
    work: Work
    affinity: str
    priority: int
    places: int
    """How many of the lane's places it takes."""
    passed: int = 0

    def rank(self) -> tuple[int, int]:
        return (-self.priority, self.order)


class Lane:
    """A queue of steps for one resource."""

    def __init__(self, name: str, width: int, patience: int = PATIENCE) -> None:
        self._name = name
        self._width = width
        self._patience = patience
        self._waiting: list[_Waiting] = []
        self._loaded: dict[str, None] = {}
        """Affinities of the steps begun last, the latest at the end; as many as steps run at a time."""
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._free = width
        """Places that no step takes."""
        self._closed = False

    def submit(self, work: Work, *, affinity: str = "", priority: int = 0, whole: bool = False) -> None:
        """Perform `work` when its turn comes.

        Args:
            affinity: equal for steps that use the same loaded engine.
            priority: higher ones go first, whatever is loaded.
            whole: let nothing else of the lane run beside it.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError(f"the lane {self._name} is closed")
            places = self._width if whole else 1
            self._waiting.append(_Waiting(next(self._count), work, affinity, priority, places))
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif len(self._threads) < self._width:
                number = len(self._threads)
                thread = threading.Thread(target=self._serve, name=f"lane-{self._name}_{number}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Finish what was submitted, and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _serve(self) -> None:
        while True:
            with self._changed:
                while (chosen := self._choose()) is None:
                    if self._closed and not self._waiting:
                        return
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                self._free -= chosen.places
            chosen.work()
            with self._changed:
                self._free += chosen.places
                # One that takes the whole lane held up threads that found no place.
                if self._waiting or self._closed:
                    self._changed.notify_all()
            # Whatever it holds (inputs, results) must not stay alive while this thread waits.
            del chosen

    def _choose(self) -> _Waiting | None:
        """The next step, taken out of the queue; None if there is none, or no place for it. The caller holds the
        condition."""
        if not self._waiting:
            return None
        best = min(self._waiting, key=_Waiting.rank)
        chosen = best
        if best.passed < self._patience:
            for affinity in reversed(self._loaded):
                same = [w for w in self._waiting if w.affinity == affinity and w.priority == best.priority]
                if same:
                    chosen = min(same, key=_Waiting.rank)
                    break
        if chosen.places > self._free:
            return None
        for other in self._waiting:
            if other.rank() < chosen.rank():
                other.passed += 1
        self._waiting.remove(chosen)
        self._loaded.pop(chosen.affinity, None)
        self._loaded[chosen.affinity] = None
        if len(self._loaded) > self._width:
            del self._loaded[next(iter(self._loaded))]
        return chosen


@dataclass
class Lanes:
    """Every lane of a process, each made when it is first used."""

    widths: Mapping[str, int] = field(default_factory=lambda: WIDTHS)
    patience: int = PATIENCE
    _made: dict[str, Lane] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def lane(self, name: str) -> Lane:
        """The lane of that name; one step at a time where nothing else is said."""
        with self._guard:
            if name not in self._made:
                self._made[name] = Lane(name, self.widths.get(name, 1), self.patience)
            return self._made[name]

    def close(self) -> None:
        """Finish what was submitted."""
        for lane in self._made.values():
            lane.close()
