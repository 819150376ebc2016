"""Steps on a real Ray cluster of several nodes on this machine: lost machines, other versions, what is left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from avatarctl.engines.contract import Cancelled
from avatarctl.errors import BadConfig, NoFace, Offline, StepFailed, Unavailable
from avatarctl.runtime.executors import ClusterLost, MachineLost
from avatarctl.runtime.executors.local import LocalExecutor
from avatarctl.runtime.executors.ray import host
from avatarctl.runtime.executors.ray.executor import RayExecutor
from tests import odd_servers
from tests.ray_cluster import PATIENCE, ROOT, RayCluster, until
from tests.test_executors import SPEC, WITH_MODEL, Chosen, made, order


@pytest.fixture
def executor(cluster: RayCluster, tmp_path: Path) -> Iterator[RayExecutor]:
    made = RayExecutor(LocalExecutor(tmp_path / "models"), tmp_path / "models", cluster.address)
    yield made
    made.close()


def test_a_lost_machine_is_no_fault_of_the_step(
    cluster: RayCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatarctl.runtime.executors.ray.places.RETURN", 1.0)
    executor = RayExecutor(LocalExecutor(tmp_path), tmp_path, cluster.address)
    caught: list[BaseException] = []

    def perform() -> None:
        try:
            executor.perform(SPEC, order(tmp_path / "a", "wait"), began.set)
        except BaseException as error:
            caught.append(error)

    began = threading.Event()
    thread = threading.Thread(target=perform)
    thread.start()
    assert began.wait(PATIENCE)
    # One of them performs it; the other is lost while it is idle.
    cluster.kill(cluster.machines[0])
    cluster.kill(cluster.machines[0])
    thread.join(PATIENCE)
    assert [type(error) for error in caught] == [MachineLost]
    # Ray may still believe in them: what has not begun asks each in turn, and then waits a while.
    told: list[str] = []
    with pytest.raises(ClusterLost, match="no machine of the Ray cluster is left"):
        executor.perform(SPEC, order(tmp_path / "b", note=told.append), lambda: pytest.fail("it began"))
    assert told[-1].startswith("all machines were lost; waits")
    until(lambda: [machine.cpus for machine in executor._cluster.machines()] == [0])
    time.sleep(1)
    print("ours")
    # Ray prints there what it has found out.
    assert capsys.readouterr().out == "ours\n"
    executor.close()


def test_what_has_not_begun_goes_to_another_machine(cluster: RayCluster, executor: RayExecutor, tmp_path: Path) -> None:
    """Ray still takes it for alive: one of two steps is sent there, and is not said to have failed."""
    until(lambda: sum(machine.cpus for machine in executor._cluster.machines()) == 2)
    cluster.kill(cluster.machines[0])
    began: list[str] = []

    def perform(name: str) -> None:
        executor.perform(SPEC, order(tmp_path / name), lambda: began.append(name))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(perform, "ab"))
    assert sorted(began) == ["a", "b"]
    assert len(executor._places._lost) == 1


def test_a_process_that_dies_fails_its_step(executor: RayExecutor, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="died on") as caught:
        executor.perform(SPEC, order(tmp_path / "a", "leave"), lambda: None)
    assert not isinstance(caught.value, MachineLost) and caught.value.retryable
    executor.perform(SPEC, order(tmp_path / "b"), lambda: None)
    assert made(tmp_path / "b").startswith("Привет, мир|")


def test_an_engine_that_does_not_listen_is_killed(
    executor: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatarctl.runtime.executors.ray.executor.GRACE", 0.5)
    stop = threading.Event()
    with pytest.raises(Cancelled):
        executor.perform(SPEC, order(tmp_path / "a", "deaf", cancelled=stop.is_set), stop.set)
    assert executor._places.all() == []
    executor.perform(SPEC, order(tmp_path / "b"), lambda: None)


def test_another_version_performs_nothing(cluster: RayCluster, tmp_path: Path) -> None:
    for machine in list(cluster.machines):
        cluster.kill(machine)
    # The same but for one line.
    shutil.copytree(ROOT / "avatarctl", tmp_path / "other" / "avatarctl", ignore=shutil.ignore_patterns("__pycache__"))
    edited = tmp_path / "other" / "avatarctl" / "errors.py"
    edited.write_text(edited.read_text(encoding="utf-8") + "# Edited.\n", encoding="utf-8")
    other = cluster.add(PYTHONPATH=f"{tmp_path / 'other'}{os.pathsep}{ROOT}")
    executor = RayExecutor(LocalExecutor(tmp_path), tmp_path, cluster.address)
    until(lambda: sum(machine.cpus for machine in executor._cluster.machines()) == 1)
    try:
        with pytest.raises(Unavailable, match="has another avatarctl") as caught:
            executor.perform(SPEC, order(tmp_path / "a"), lambda: pytest.fail("it began"))
        assert f"code {host.code_digest()[:12]} here" in caught.value.why and "same version" in caught.value.hint
        # Where one machine cannot, another does.
        cluster.add()
        until(lambda: sum(machine.cpus for machine in executor._cluster.machines()) == 2)
        executor.perform(SPEC, order(tmp_path / "b"), lambda: None)
        assert made(tmp_path / "b").startswith("Привет, мир|")
    finally:
        executor.close()
        cluster.kill(other)


def test_other_weights_perform_nothing(executor: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    model.write_text("theirs", encoding="utf-8")
    monkeypatch.setattr(
        "avatarctl.runtime.executors.ray.executor.readiness.digests", lambda *asked: {"small": host.code_digest()}
    )
    with pytest.raises(Unavailable, match="the model small has other bytes") as caught:
        executor.perform(
            WITH_MODEL, order(tmp_path / "a", params=Chosen(model=str(model))), lambda: pytest.fail("it began")
        )
    assert caught.value.hint.startswith("on ")


def test_no_gpu_is_told_at_once(executor: RayExecutor, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no machine of the Ray cluster has a GPU"):
        executor.perform(replace(SPEC, lane="gpu"), order(tmp_path / "a"), lambda: None)


def test_idle_engines_make_room(executor: RayExecutor, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "a"):
        executor.perform(replace(SPEC, name=name), order(tmp_path / name), lambda: None)
    assert sorted(actor.engine for actor in executor._places.all()) == ["speak/a", "speak/c"]


def test_a_worker_gets_a_whole_machine(executor: RayExecutor, tmp_path: Path) -> None:
    worker = replace(SPEC, worker=True)
    executor.perform(worker, order(tmp_path / "a"), lambda: None)
    assert executor.perform(worker, order(tmp_path / "b"), lambda: None).load_ms == 0
    assert made(tmp_path / "b").split("|")[4] == "2"
    with pytest.raises(NoFace, match="nobody is in the photo"):
        executor.perform(worker, order(tmp_path / "c", "no_face"), lambda: None)


def test_nothing_is_left_behind(cluster: RayCluster, tmp_path: Path) -> None:
    import ray

    store = tmp_path / "store"
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    executor = RayExecutor(LocalExecutor(tmp_path), tmp_path, cluster.address, str(store))
    executor.perform(SPEC, order(tmp_path / "a"), lambda: None)
    assert cluster.actors
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert "ray" not in str(before)
    executor.close()
    assert not ray.is_initialized()
    assert cluster.actors == [] and list(store.rglob("*")) == []


@pytest.mark.parametrize(
    ("address", "store", "error", "words"),
    [
        ("127.0.0.1:1", "", Unavailable, "does not answer"),
        ("nonsense", "", Unavailable, "not understood"),
        ("127.0.0.1:99999", "", Unavailable, "not understood"),
        ("ray://127.0.0.1:10001", "", Unavailable, "not understood"),
        ("192.0.2.77:6379", "", Offline, "another machine"),
        ("", "magic://bucket", BadConfig, "not understood"),
        ("", "/proc/nowhere", Unavailable, "cannot be used"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, address: str, store: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        RayExecutor(LocalExecutor(tmp_path), tmp_path, address, store)


@pytest.mark.parametrize(
    ("behave", "why"),
    [
        (odd_servers.says_nothing, "says nothing"),
        (odd_servers.drips, "another protocol"),
        (odd_servers.breaks_off, "another protocol"),
        (odd_servers.hangs_up, "closes the connection|reset"),
    ],
)
def test_what_is_no_ray_is_told_at_once(tmp_path: Path, behave: odd_servers.Behaviour, why: str) -> None:
    with odd_servers.taking(behave) as address:
        with pytest.raises(Unavailable, match="no Ray cluster, or it is stuck") as caught:
            RayExecutor(LocalExecutor(tmp_path), tmp_path, address, "")
        assert re.search(why, caught.value.why) and caught.value.hint


def test_a_head_that_is_stuck_is_told(cluster: RayCluster, tmp_path: Path) -> None:
    with cluster.head_stopped(), pytest.raises(Unavailable, match="stuck"):
        RayExecutor(LocalExecutor(tmp_path), tmp_path, cluster.address, "")


def test_a_port_of_rays_that_is_not_the_heads_is_given_up(
    cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It speaks the right protocol, so that only Ray itself could find out, which it does not. In a process of its own:
    what is half begun there cannot be ended."""
    address = f"127.0.0.1:{cluster.machines[0].node.node_manager_port}"
    code = (
        "import sys; from pathlib import Path\n"
        "from avatarctl.errors import Unavailable\n"
        "from avatarctl.runtime.executors.ray import cluster\n"
        "cluster.ANSWERING = 15.0\n"
        "try: cluster.Cluster(sys.argv[1])\n"
        "except Unavailable as error: print(error.what, error.why, flush=True); import os; os._exit(4)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, address], capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=False
    )
    assert done.returncode == 4 and "Ray does not start at" in done.stdout, done
