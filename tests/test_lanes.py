"""Lanes: steps of a loaded engine go first, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from avatarctl.runtime.lanes import Lane, Lanes


class Held:
    """A lane of one thread that is kept busy until all steps are submitted, so that the order is the lane's choice."""

    def __init__(self, patience: int = 256) -> None:
        self.lane = Lane("gpu", 1, patience)
        self.order: list[str] = []
        self._gate = threading.Event()
        begun = threading.Event()

        def hold() -> None:
            begun.set()
            self._gate.wait(10)

        self.lane.submit(hold, affinity="first")
        assert begun.wait(10)

    def submit(self, name: str, affinity: str, priority: int = 0, then: Callable[[], None] = lambda: None) -> None:
        def work() -> None:
            self.order.append(name)
            then()

        self.lane.submit(work, affinity=affinity, priority=priority)

    def run(self) -> list[str]:
        self._gate.set()
        self.lane.close()
        return self.order


def test_a_batch_moves_in_waves() -> None:
    held = Held()
    for film in range(4):
        for stage in ("speak", "animate", "upscale"):
            held.submit(f"{stage}{film}", stage)
    assert held.run() == [f"{stage}{film}" for stage in ("speak", "animate", "upscale") for film in range(4)]


def test_the_engine_that_is_loaded_goes_on() -> None:
    held = Held()
    held.submit("other", "other")
    held.submit("same", "first")
    assert held.run() == ["same", "other"]


def test_nobody_is_passed_over_for_ever() -> None:
    held = Held(patience=3)
    held.submit("patient", "other")
    for i in range(6):
        held.submit(f"s{i}", "first")
    assert held.run() == ["s0", "s1", "s2", "patient", "s3", "s4", "s5"]


def test_steps_that_come_later_do_not_starve_the_first() -> None:
    held = Held(patience=5)
    left = [20]

    def again() -> None:
        if left[0]:
            left[0] -= 1
            held.submit(f"s{left[0]}", "first", then=again)

    held.submit("patient", "other")
    held.submit("s", "first", then=again)
    held._gate.set()
    while left[0] or len(held.order) < 22:
        pass
    assert held.run().index("patient") == 5


def test_priority_counts_for_more_than_what_is_loaded() -> None:
    held = Held()
    held.submit("low", "first")
    held.submit("high", "first", priority=2)
    held.submit("higher elsewhere", "other", priority=9)
    assert held.run() == ["higher elsewhere", "high", "low"]


@pytest.mark.parametrize("width", [1, 3])
def test_a_lane_is_as_wide_as_it_says(width: int) -> None:
    lanes = Lanes({"cpu": width})
    together = threading.Barrier(width + 1, timeout=10)
    done: list[int] = []

    def work() -> None:
        done.append(threading.get_ident())
        together.wait()

    for _ in range(width):
        lanes.lane("cpu").submit(work)
    together.wait()
    lanes.close()
    assert len(set(done)) == width


def test_a_step_that_takes_the_whole_lane_is_alone_in_it() -> None:
    lane = Lane("cpu", 3)
    guard = threading.Lock()
    running: list[str] = []
    beside: dict[str, list[str]] = {}

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            with guard:
                running.append(name)
                for one in running:
                    beside.setdefault(one, []).extend(running)
            time.sleep(0.01)
            with guard:
                running.remove(name)

        return run

    for i in range(12):
        lane.submit(work(f"small{i}"), affinity="small")
        if i % 4 == 1:
            lane.submit(work(f"whole{i}"), affinity=f"whole{i}", whole=True)
    lane.close()
    assert len(beside) == 15
    assert {name: set(others) for name, others in beside.items() if name.startswith("whole")} == {
        name: {name} for name in ("whole1", "whole5", "whole9")
    }
    assert max(len(set(others)) for others in beside.values()) > 1


def test_a_closed_lane_takes_nothing() -> None:
    lane = Lane("cpu", 1)
    lane.close()
    with pytest.raises(RuntimeError):
        lane.submit(lambda: None)
