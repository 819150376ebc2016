"""A Ray cluster of several nodes on this machine, each with a home and temporary files of its own. Where Ray is not
installed, whoever imports this is skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# Before Ray is imported: its processes are to listen on this machine only.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

import psutil
import pytest

ray = pytest.importorskip("ray", reason="not tried: Ray is not in this environment (make test-studio makes one)")
from ray.cluster_utils import Cluster  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
OBJECT_STORE = 80 << 20
"""Bytes, of each node."""
PATIENCE = 120.0
"""Seconds within which anything happens, on however busy a machine."""
APART = ["unshare", "--user", "--map-root-user", "--mount"]
"""Begins a command that may mount what it likes, and be the only one to see it."""
HEALTH = {
    # A process that is gone refuses connections: five times, a second apart, and Ray takes its machine for dead.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    # One that is only slow takes the connection, and has all the time it needs.
    "RAY_health_check_timeout_ms": "120000",
}


@dataclass(eq=False)
class TestMachine:
    """A node, and where its processes keep their files."""

    __test__ = False

    node: Any
    home: Path

    @property
    def actors(self) -> list[Path]:
        """Folders and locks of its actors, also of those that were killed."""
        return list((self.home / "tmp" / f"avatarctl-ray-{os.getuid()}").glob("*"))

    def is_at_work(self) -> bool:
        """Whether a step is performed there, or was just now."""
        return any(any(folder.glob("out-*")) for folder in self.actors)

    def stops_in_a_step(self) -> bool:
        """Stop all of its processes where they are: whether one draws a film just now. If not, they go on."""
        if not self.is_at_work():
            return False
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        stopped = self._processes()
        if any(process.name().startswith("ffmpeg") for process in stopped):
            return True
        for process in stopped:
            process.resume()
        return False

    def end(self) -> None:
        """Kill them all, at once, as when its power fails."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def _processes(self) -> list[psutil.Process]:
        own = [psutil.Process(info.process.pid) for infos in self.node.all_processes.values() for info in infos]
        return own + [child for process in own for child in process.children(recursive=True)]


class RayCluster:
    """A head that performs nothing, and machines with one CPU each."""

    def __init__(self, folder: Path, models: Path, machines: int) -> None:
        """`folder`: for the homes. `models`: the folder of models that each machine has."""
        self._folder = folder
        self._models = models
        self._wanted = machines
        self._cluster: Any = None
        self._count = 0
        self.machines: list[TestMachine] = []
        self._apart: list[subprocess.Popen[bytes]] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.s3_port: int = probe.getsockname()[1]
        self.s3 = {
            "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{self.s3_port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        """Settings of an S3 server that a test may start there."""

    @property
    def address(self) -> str:
        """What `[ray] address` takes."""
        return str(self._cluster.gcs_address)

    def __enter__(self) -> Self:
        self._cluster = Cluster()
        self.head = self._add(num_cpus=0, include_dashboard=False)
        for _ in range(self._wanted):
            self.add()
        return self

    def __exit__(self, *error: object) -> None:
        if ray.is_initialized():
            ray.shutdown()
        for process in self._apart:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(PATIENCE)
            for child in psutil.wait_procs(children, timeout=10)[1]:
                child.kill()
        self._cluster.shutdown()

    def add(self, **environment: str) -> TestMachine:
        """Another machine. `environment`: variables of its processes."""
        machine = self._add(num_cpus=1, **environment)
        self.machines.append(machine)
        return machine

    def add_apart(self, hidden: Path) -> Path:
        """A machine that shares no files with this one: `hidden` is empty there. Its folder of temporary files.

        `hidden` must not hold the folder of this cluster.
        """
        before = len(self._cluster.global_state._live_node_ids())
        home, variables = self._home()
        command = [*APART, sys.executable, str(ROOT / "tests" / "ray_machine.py"), self.address, str(hidden)]
        self._apart.append(subprocess.Popen(command, env={**os.environ, **variables}))
        until(lambda: len(self._cluster.global_state._live_node_ids()) > before or self._apart[-1].poll() is not None)
        assert self._apart[-1].poll() is None
        return home / "tmp"

    def kill(self, machine: TestMachine) -> None:
        """A machine is gone. Ray finds that out some seconds later: see `settle`."""
        self.machines.remove(machine)
        machine.end()
        self._cluster.remove_node(machine.node, allow_graceful=False)

    @contextmanager
    def head_stopped(self) -> Iterator[None]:
        """The head's processes take connections, as their kernel does that, and do nothing."""
        own = [psutil.Process(info.process.pid) for infos in self.head.node.all_processes.values() for info in infos]
        for process in own:
            process.suspend()
        try:
            yield
        finally:
            for process in own:
                process.resume()

    def settle(self) -> None:
        """Wait until Ray takes those machines for alive that are, and no others."""
        self._cluster.wait_for_nodes(timeout=PATIENCE)

    @property
    def actors(self) -> list[Path]:
        """Folders and locks of actors on machines that live, also of those that were killed."""
        return [path for machine in self.machines for path in machine.actors]

    def _add(self, num_cpus: int, include_dashboard: bool | None = None, **environment: str) -> TestMachine:
        home, variables = self._home()
        variables |= environment
        before = dict(os.environ)
        try:
            # Its processes get the environment of this one.
            os.environ.update(variables)
            more = {} if include_dashboard is None else {"include_dashboard": include_dashboard}
            node = self._cluster.add_node(wait=False, num_cpus=num_cpus, object_store_memory=OBJECT_STORE, **more)
            self._cluster._wait_for_node(node, timeout=PATIENCE)
            return TestMachine(node, home)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _home(self) -> tuple[Path, dict[str, str]]:
        """Of another machine, and the variables of its processes."""
        self._count += 1
        home = self._folder / f"machine{self._count}"
        (home / "tmp").mkdir(parents=True)
        (home / "models").symlink_to(self._models, target_is_directory=True)
        return home, {
            "AVATARCTL_HOME": str(home),
            "AVATARCTL_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(home / "tmp"),
            # Ray's sockets lie below it: a path of theirs may have 107 characters.
            "RAY_TMPDIR": tempfile.gettempdir(),
            "RAY_USAGE_STATS_ENABLED": "0",
            **HEALTH,
            **self.s3,
        }


def can_live_apart() -> bool:
    """Whether `add_apart` works here: in many containers it is forbidden."""
    probe = [*APART, "mount", "-t", "tmpfs", "none", tempfile.gettempdir()]
    return (
        shutil.which(APART[0]) is not None and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    )


@contextmanager
def bucket(cluster: RayCluster) -> Iterator[Any]:
    """An empty bucket of an S3 server on this machine, named `films`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=cluster.s3_port, verbose=False)
    server.start()
    client = boto3.resource("s3", endpoint_url=cluster.s3["FSSPEC_S3_ENDPOINT_URL"], region_name="us-east-1",
                            aws_access_key_id="key", aws_secret_access_key="secret")  # fmt: skip
    try:
        yield client.create_bucket(Bucket="films")
    finally:
        server.stop()


def until(true: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Wait for something that has to come."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
