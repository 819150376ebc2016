"""A Ray cluster of two machines that obeys. It is run with Ray's Python, and ends when its standard input does.

It prints its address; then, for each line that it reads, it does what that says and prints the line again: `machine`
kills a machine in the middle of a step, `mend` puts another one in its place, `head` kills the head.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.ray_cluster import RayCluster, until


def main(folder: Path, models: Path) -> None:
    """`folder`: for what the machines keep. `models`: the folder of models that each of them has."""
    with RayCluster(folder, models, machines=2) as cluster:
        print(cluster.address, flush=True)
        for line in sys.stdin:
            if line == "machine\n":
                until(lambda: cluster.machines[0].stops_in_a_step())
                cluster.kill(cluster.machines[0])
            elif line == "mend\n":
                cluster.add()
                cluster.settle()
            elif line == "head\n":
                cluster.head.end()
            print(line, end="", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
