"""What a batch on several machines is made of, without Ray: who performs a step, how files wait and travel."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarctl import config
from avatarctl.engines.contract import Cancelled
from avatarctl.errors import BadConfig, StepFailed, Unavailable
from avatarctl.runtime.executors import ClusterLost
from avatarctl.runtime.executors.ray import head as heads
from avatarctl.runtime.executors.ray.files import InChunks, OwnFolder, Shelf, ThroughStore, digest_of
from avatarctl.runtime.executors.ray.places import Actor, Machine, Need, Places
from avatarctl.store.keys import digest_bytes

ONE = Need(1)


def machine(name: str, cpus: float = 2, gpus: float = 0) -> Machine:
    return Machine(name, name, "127.0.0.1", 1, cpus, gpus)


class Site:
    """Machines without Ray, and what became of their actors."""

    def __init__(self, *machines: Machine) -> None:
        self.machines = list(machines)
        self.ended: list[str] = []
        self.places = Places(lambda: self.machines, lambda actor: object(), lambda a: self.ended.append(a.engine))

    def take(self, engine: str, need: Need = ONE, cancelled: Callable[[], bool] = lambda: False) -> Actor:
        return self.places.take(engine, need, cancelled)

    def visit(self, engine: str, need: Need = ONE) -> Actor:
        actor = self.take(engine, need)
        self.places.give_back(actor)
        return actor


# -- who performs a step


def test_steps_spread_over_machines_and_stay_warm() -> None:
    site = Site(machine("a"), machine("b"))
    actors = [site.take("speak") for _ in range(4)]
    assert sorted(actor.machine.name for actor in actors) == ["a", "a", "b", "b"]
    site.places.give_back(actors[2])
    assert site.take("speak") is actors[2]


def test_idle_actors_make_room_those_used_longest_ago_first() -> None:
    site = Site(machine("a"))
    for engine in ("one", "two", "one", "three"):
        site.visit(engine)
    assert site.ended == ["two"]
    site.visit("big", Need(2))
    assert sorted(site.ended) == ["one", "three", "two"]


def test_gpus_are_counted_apart() -> None:
    site = Site(machine("a", cpus=1), machine("b", cpus=1, gpus=1))
    drawing = site.take("animate", Need(0, 1))
    assert drawing.machine.name == "b"
    assert sorted(site.take("speak").machine.name for _ in range(2)) == ["a", "b"]
    with pytest.raises(Cancelled):
        site.take("animate", Need(0, 1), iter([False, True]).__next__)


def test_who_needs_a_whole_machine_does_not_wait_for_ever() -> None:
    site = Site(machine("a"))
    first = site.take("small")
    served: list[str] = []

    def wait(engine: str, need: Need) -> threading.Thread:
        thread = threading.Thread(target=lambda: (site.take(engine, need), served.append(engine)))
        thread.start()
        while not any(site.places._queues[False]) or len(site.places._queues[False]) < 1 + len(waiting):
            pass
        waiting.append(thread)
        return thread

    waiting: list[threading.Thread] = []
    big = wait("big", Need(2))
    # There is a CPU for it, but it came later.
    wait("small", ONE)
    assert served == []
    site.places.give_back(first)
    big.join(10)
    assert served == ["big"] and site.ended == ["small"]
    for actor in site.places.all():
        site.places.give_back(actor)
    for thread in waiting:
        thread.join(10)
    assert served == ["big", "small"]


def test_refused_and_lost_machines_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatarctl.runtime.executors.ray.places.RETURN", 0.0)
    site = Site(machine("a"), machine("b"))
    first = site.take("speak")
    site.places.refuse(first, Unavailable("no package"))
    second = site.take("speak")
    assert {first.machine.name, second.machine.name} == {"a", "b"}
    site.places.refuse(second, Unavailable("no model"))
    with pytest.raises(Unavailable, match="no model"):
        site.take("speak")
    other = site.take("animate")
    site.places.lose(other.machine)
    assert site.take("animate").machine != other.machine
    site.machines.clear()
    with pytest.raises(ClusterLost, match="no machine of the Ray cluster is left"):
        site.take("animate")


def test_a_step_waits_for_a_machine_to_come_back() -> None:
    site = Site(machine("a"))
    lost = site.take("speak")
    site.places.lose(lost.machine)
    told: list[str] = []

    def note(text: str) -> None:
        told.append(text)
        site.machines.append(machine("b"))

    assert site.places.take("speak", ONE, lambda: False, note).machine.name == "b"
    assert len(told) == 1 and "all machines were lost" in told[0]
    # What no machine ever had is not waited for.
    with pytest.raises(Unavailable, match="no machine of the Ray cluster has 8 CPUs"):
        site.take("speak", Need(8))


def test_a_head_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_PERIOD", 0.01)
    silence, over = threading.Event(), threading.Event()

    def ask() -> heads.Nodes:
        # Ray waits for a minute, where nobody answers.
        return [{"NodeID": "a"}] if not silence.is_set() or over.wait() else []

    with socket.create_server(("127.0.0.1", 0)) as server:
        head = heads.Head(f"127.0.0.1:{server.getsockname()[1]}", ask)
        assert head.nodes() == head.nodes_now() == [{"NodeID": "a"}]
        silence.set()
        monkeypatch.setattr(heads, "_OLD", 0.0)
        monkeypatch.setattr(heads, "SILENT", 0.0)
        # This process may have been halted meanwhile, and the head not.
        assert head.nodes() == []
    with pytest.raises(ClusterLost, match=r"the head of the Ray cluster 127\.0\.0\.1:.* is gone") as caught:
        head.nodes()
    over.set()
    head.close()
    assert "--executor local" in caught.value.hint


def test_an_actor_that_died_is_not_lent_again() -> None:
    site = Site(machine("a", cpus=1))
    actor = site.take("speak")
    actor.gone = True
    site.places.give_back(actor)
    assert site.ended == ["speak"] and site.take("speak") is not actor


# -- files


def test_a_shelf_forgets_what_was_used_longest_ago(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "in", limit=25)
    names = [digest_bytes(bytes([n]) * 10) for n in range(3)]
    for n, name in enumerate(names):
        shelf.take(name, 0, bytes([n]) * 10, 10)
    assert shelf.missing([names[0]]) == []
    assert shelf.missing(names) == [names[1]]
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == sorted([names[0], names[2]])


def test_what_arrives_damaged_is_refused(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "in")
    with pytest.raises(StepFailed, match="other bytes") as caught:
        shelf.take(digest_bytes(b"right"), 0, b"wrong", 5)
    assert caught.value.retryable
    shelf.take(digest_bytes(b"right"), 0, b"ri", 5)
    with pytest.raises(StepFailed, match="got lost"):
        shelf.take(digest_bytes(b"right"), 4, b"t", 5)
    with pytest.raises(ValueError, match="not a SHA-256"):
        shelf.take("../../etc/passwd", 0, b"", 0)
    assert shelf.missing([digest_bytes(b"right")])


def test_folders_of_the_dead_are_removed(tmp_path: Path) -> None:
    dead = OwnFolder(tmp_path / "actors")
    (dead.path / "file").write_text("x", encoding="utf-8")
    living = OwnFolder(tmp_path / "actors")
    dead._lock.release()
    assert dead.path.exists()
    third = OwnFolder(tmp_path / "actors")
    assert not dead.path.exists() and living.path.exists()
    living.remove()
    third.remove()
    assert list((tmp_path / "actors").iterdir()) == []


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    assert OwnFolder(tmp_path / "mine").path.parent.stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(Unavailable, match="another user's"):
        OwnFolder(tmp_path / "link")


def test_a_store_holds_no_more_than_it_may(tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []
    carrier = ThroughStore(str(tmp_path / "store"), "s", limit=25)
    paths = [tmp_path / f"file {n}" for n in range(3)]
    for n, path in enumerate(paths):
        path.write_bytes(bytes([n]) * 10)
    for path in (*paths, paths[2]):
        carrier.bring(lambda *call: asked.append(call), [(digest_of(path), path)])
    held = sorted(p.name for p in (tmp_path / "store" / "avatarctl-s" / "in").iterdir())
    assert held == sorted(digest_of(path) for path in paths[1:])
    assert [name for name, _ in asked] == ["fetch"] * 4
    carrier.close()
    assert list((tmp_path / "store").iterdir()) == []


def test_chunks_are_bounded(tmp_path: Path) -> None:
    sizes: list[int] = []
    path = tmp_path / "file"
    path.write_bytes(b"x" * ((8 << 20) + 5))
    InChunks().bring(lambda name, digest, offset, data, size: sizes.append(len(data)), [("d", path)])
    assert sizes == [4 << 20, 4 << 20, 5]


# -- settings


def test_settings_of_the_cluster(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.ray() == {"address": "", "store": ""}
    Path("avatarctl.toml").write_text('[ray]\naddress = "10.0.0.1:6379"\nstore = "/mnt/films"\n', encoding="utf-8")
    monkeypatch.setenv("AVATARCTL_RAY_STORE", "s3://films")
    assert config.ray() == {"address": "10.0.0.1:6379", "store": "s3://films"}
    for wrong in ('[ray]\nadress = "x"\n', "[ray]\naddress = 6379\n", "ray = 1\n"):
        Path("avatarctl.toml").write_text(wrong, encoding="utf-8")
        with pytest.raises(BadConfig, match="ray"):
            config.ray()
