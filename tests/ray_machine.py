"""`ray_machine.py ADDRESS FOLDER...`: another machine of a Ray cluster, that has none of these folders.

They are covered by empty ones, in a mount namespace that whoever starts this has made (`unshare --mount`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

# Before Ray is imported: its processes are to listen on this machine only.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

OBJECT_STORE = 80 << 20
"""Bytes."""


def main(address: str, folders: list[str]) -> None:
    for folder in folders:
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
        assert not any(Path(folder).iterdir())
    os.chdir("/")
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    # As `ray.cluster_utils.Cluster.add_node` makes one; that starts it where the test itself lives.
    params: object = RayParams(
        gcs_address=address,
        redis_address=address,
        num_cpus=1,
        num_gpus=0,
        object_store_memory=OBJECT_STORE,
        min_worker_port=0,
        max_worker_port=0,
        node_manager_port=0,
        include_log_monitor=False,
    )
    params.dashboard_agent_listen_port = None  # type: ignore[attr-defined]
    Node(params, head=False, shutdown_at_exit=True, spawn_reaper=True)
    signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    main(sys.argv[1], sys.argv[2:])
