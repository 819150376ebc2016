"""Batches on a real Ray cluster of several nodes on this machine: the films of one machine, whatever happens."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import TEST_MODELS
from tests.ray_cluster import PATIENCE, RayCluster, bucket, can_live_apart, until
from tests.tools import Studio, refused

JOBS = "defaults: {avatar: astronaut, preset: lite}\njobs:\n" + "".join(
    f"  - text: {text}\n" for text in ("Раз.", "Два.", "Три.", "Четыре.")
)


@pytest.fixture(scope="module")
def films(enrolled: Studio, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local executor makes."""
    studio = enrolled.copy(tmp_path_factory.mktemp("local") / "studio")
    (studio.work / "films.yaml").write_text(JOBS, encoding="utf-8")
    studio.ok("batch", "run", "films.yaml")
    return delivered(studio)


def delivered(studio: Studio) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((studio.work / "outputs").glob("*.mp4"))}


def steps(studio: Studio, what: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(studio.home / "ledger.sqlite", timeout=30)
    found = connection.execute(f"SELECT {what}").fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("store", ["", "store", "s3://films/some/prefix"])
def test_a_batch_makes_the_same_films(cluster: RayCluster, studio: Studio, films: dict[str, bytes], store: str) -> None:
    (studio.work / "films.yaml").write_text(JOBS, encoding="utf-8")
    settings = {"AVATARCTL_RAY_ADDRESS": cluster.address, "AVATARCTL_RAY_STORE": store, **cluster.s3}
    with bucket(cluster) as there:
        result = studio.ok("batch", "run", "films.yaml", "--executor", "ray", "--json", **settings)
        assert list(there.objects.all()) == []
    # Nothing that Ray, or an engine, prints gets between.
    assert [job["status"] for job in json.loads(result.out)["jobs"]] == ["done"] * 4
    assert delivered(studio) == films
    assert steps(studio, "key, count(*) FROM steps WHERE status = 'done' GROUP BY key HAVING count(*) > 1") == []
    devices = steps(studio, "DISTINCT device FROM steps WHERE stage IN ('animate', 'check') AND status = 'done'")
    assert devices and all(device.startswith("cpu on ") for (device,) in devices)
    assert cluster.actors == []


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RayCluster, list[Path]]]:
    """A cluster of two machines that have none of pytest's folders, so none of what this one reads and writes; with
    their folders of temporary files."""
    if not can_live_apart():
        pytest.skip("not tried: mount namespaces are forbidden here (unshare --user --mount)")
    with (
        tempfile.TemporaryDirectory(prefix="hosts-") as folder,
        RayCluster(Path(folder), TEST_MODELS, machines=0) as cluster,
    ):
        yield cluster, [cluster.add_apart(tmp_path_factory.getbasetemp()) for _ in range(2)]


def left_on(hosts: list[Path]) -> list[Path]:
    """What actors have left of their files."""
    return [path for folder in hosts for path in folder.glob(f"avatarctl-ray-{os.getuid()}/*")]


@pytest.mark.parametrize("store", ["", "s3://films/some/prefix"])
def test_machines_that_share_no_files(
    hosts: tuple[RayCluster, list[Path]], studio: Studio, films: dict[str, bytes], store: str
) -> None:
    cluster, folders = hosts
    (studio.work / "films.yaml").write_text(JOBS, encoding="utf-8")
    settings = {"AVATARCTL_RAY_ADDRESS": cluster.address, "AVATARCTL_RAY_STORE": store, **cluster.s3}
    with bucket(cluster) as there:
        studio.ok("batch", "run", "films.yaml", "--executor", "ray", **settings)
        assert list(there.objects.all()) == []
    assert delivered(studio) == films
    assert steps(studio, "DISTINCT substr(device, 1, 7) FROM steps WHERE stage = 'animate'") == [("cpu on ",)]
    assert left_on(folders) == []


def test_a_store_that_only_one_machine_has_is_told(hosts: tuple[RayCluster, list[Path]], studio: Studio) -> None:
    cluster, folders = hosts
    (studio.work / "films.yaml").write_text(JOBS, encoding="utf-8")
    settings = {"AVATARCTL_RAY_ADDRESS": cluster.address, "AVATARCTL_RAY_STORE": str(studio.work / "store")}
    result = studio.run("batch", "run", "films.yaml", "--executor", "ray", "--retries", "0", **settings)
    assert result.code == 1 and "store cannot be used" in result.err and "[ray] store" in result.err
    assert delivered(studio) == {}
    assert left_on(folders) == []


def test_a_machine_dies_during_a_batch(cluster: RayCluster, studio: Studio, films: dict[str, bytes]) -> None:
    (studio.work / "films.yaml").write_text(JOBS, encoding="utf-8")
    process = studio.start(
        "batch", "run", "films.yaml", "--executor", "ray", "--retries", "0", AVATARCTL_RAY_ADDRESS=cluster.address
    )
    until(lambda: cluster.machines[0].stops_in_a_step())
    cluster.kill(cluster.machines[0])
    _, err = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 0, err.decode()
    assert delivered(studio) == films
    assert steps(studio, "key, count(*) FROM steps WHERE status = 'done' GROUP BY key HAVING count(*) > 1") == []
    lost = steps(studio, "stage, error_code FROM steps WHERE status = 'failed'")
    assert len(lost) == 1 and lost[0][1] == "machine_lost"
    assert steps(studio, "max(attempt) FROM jobs") == [(1,)]


def test_a_batch_that_is_stopped_leaves_no_actor(cluster: RayCluster, studio: Studio, films: dict[str, bytes]) -> None:
    (studio.work / "films.yaml").write_text(JOBS, encoding="utf-8")
    arguments = ("batch", "run", "films.yaml", "--executor", "ray")
    process = studio.start(*arguments, AVATARCTL_RAY_ADDRESS=cluster.address)
    until(lambda: any(machine.is_at_work() for machine in cluster.machines))
    process.terminate()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, err.decode()
    until(lambda: cluster.actors == [])
    assert {status for (status,) in steps(studio, "status FROM jobs")} <= {"queued", "done"}
    studio.ok(*arguments, AVATARCTL_RAY_ADDRESS=cluster.address)
    assert delivered(studio) == films


def test_the_head_dies_during_a_batch(studio: Studio, films: dict[str, bytes], tmp_path: Path) -> None:
    """Ray would end the process after a minute. What is finished is kept, also for another executor."""
    (studio.work / "films.yaml").write_text(JOBS, encoding="utf-8")
    with RayCluster(tmp_path / "cluster", studio.models, machines=1) as cluster:
        process = studio.start(
            "batch", "run", "films.yaml", "--executor", "ray", "--jobs", "1", AVATARCTL_RAY_ADDRESS=cluster.address
        )
        until(lambda: (1,) in steps(studio, "count(*) FROM jobs WHERE status = 'done'"))
        cluster.head.end()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, err.decode()
    what, why, hint = err.decode().splitlines()[-3:]
    assert what.endswith("is gone") and why.endswith("what is finished is kept") and "--executor local" in hint
    assert dict(steps(studio, "status, count(*) FROM jobs GROUP BY status")) == {"done": 1, "queued": 3}
    assert len(delivered(studio)) == 1
    studio.ok("batch", "run", "films.yaml")
    assert delivered(studio) == films
    assert steps(studio, "key, count(*) FROM steps WHERE status = 'done' GROUP BY key HAVING count(*) > 1") == []


def test_a_cluster_of_its_own(studio: Studio, films: dict[str, bytes]) -> None:
    """A signal while it starts is heard; the second time it may do its work; and it ends."""
    (studio.work / "films.yaml").write_text(JOBS, encoding="utf-8")
    process = studio.start("batch", "run", "films.yaml", "--executor", "ray")
    own = psutil.Process(process.pid)
    until(lambda: any(child.name() == "gcs_server" for child in own.children()))
    started = own.children(recursive=True)
    process.terminate()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, err.decode()
    psutil.wait_procs(started, timeout=PATIENCE)
    assert not any(child.is_running() for child in started)
    assert delivered(studio) == {}
    done = studio.ok("batch", "run", "films.yaml", "--executor", "ray", "--jsonl")
    assert [json.loads(line)["status"] for line in done.out.splitlines()] == ["done"] * 4
    assert delivered(studio) == films


def test_executors_are_named(studio: Studio) -> None:
    (studio.work / "films.yaml").write_text(JOBS, encoding="utf-8")
    refused(studio.run("batch", "run", "films.yaml", "--executor", "rey"), 2, "no executor", "ray")
