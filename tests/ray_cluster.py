"""A Ray cluster of several nodes on this machine, each with a home of its own. Where Ray is not installed, whoever
imports this is skipped.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

# Before Ray is imported: its processes are to listen on this machine only.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

import pytest

ray = pytest.importorskip("ray", reason="not tried: Ray is not in this environment (make test-studio makes one)")
from ray.cluster_utils import Cluster  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
OBJECT_STORE = 80 << 20
"""Bytes, of each node."""


class RayCluster:
    """A head that performs nothing, and machines with one CPU each."""

    def __init__(self, folder: Path, models: Path, machines: int) -> None:
        """`folder`: for the homes. `models`: the folder of models that each machine has."""
        self._folder = folder
        self._models = models
        self._wanted = machines
        self._cluster: Any = None
        self._count = 0
        self.machines: list[Any] = []
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
        self._add(num_cpus=0, include_dashboard=False)
        for _ in range(self._wanted):
            self.add()
        return self

    def __exit__(self, *error: object) -> None:
        if ray.is_initialized():
            ray.shutdown()
        self._cluster.shutdown()

    def add(self, **environment: str) -> Any:
        """Another machine. `environment`: variables of its processes."""
        node = self._add(num_cpus=1, **environment)
        self.machines.append(node)
        return node

    def kill(self, node: Any) -> None:
        """All of a machine's processes, at once, as when its power fails."""
        self.machines.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def _add(self, num_cpus: int, include_dashboard: bool | None = None, **environment: str) -> Any:
        self._count += 1
        home = self._folder / f"machine{self._count}"
        home.mkdir()
        (home / "models").symlink_to(self._models, target_is_directory=True)
        variables = {
            "AVATARCTL_HOME": str(home),
            "AVATARCTL_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            # A machine that is gone is known to be so after some seconds, not half a minute.
            "RAY_health_check_period_ms": "1000",
            **self.s3,
            **environment,
        }
        before = dict(os.environ)
        try:
            # Its processes get the environment of this one.
            os.environ.update(variables)
            more = {} if include_dashboard is None else {"include_dashboard": include_dashboard}
            return self._cluster.add_node(num_cpus=num_cpus, object_store_memory=OBJECT_STORE, **more)
        finally:
            os.environ.clear()
            os.environ.update(before)


def temporary() -> list[Path]:
    """Folders and locks of actors that live, or were killed."""
    return list((Path(tempfile.gettempdir()) / f"avatarctl-ray-{os.getuid()}").glob("*"))


def until(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait for something that has to come."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
