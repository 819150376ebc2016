"""A Ray cluster of several nodes on this machine, each with a home of its own. Ray has to be installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

# Before Ray is imported: its processes are to listen on this machine only.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

import ray
from ray.cluster_utils import Cluster

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
        self.machines: list[Any] = []

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
        home = self._folder / f"machine{len(self.machines)}"
        home.mkdir(exist_ok=True)
        if not (home / "models").exists():
            (home / "models").symlink_to(self._models, target_is_directory=True)
        variables = {
            "AVATARCTL_HOME": str(home),
            "AVATARCTL_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_enable_metrics_collection": "0",
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
