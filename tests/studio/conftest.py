"""Which heavy engines are here. A test of one that is not is skipped, and the closing lines say why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarctl.runtime import environments

# Set by `run.py`: where it has installed the engines.
MADE = Path(os.environ.get("AVATARCTL_TEST_ENGINES", "/nonexistent"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("engine"):
        for name in marker.args:
            if environments.read(MADE, name) is None:
                pytest.skip(f"the engine {name} is not installed")


@pytest.fixture(scope="session")
def interpreter() -> Callable[[str], str]:
    """The Python of an engine's environment, by the engine's name."""

    def find(name: str) -> str:
        made = environments.read(MADE, name)
        assert made is not None, f"mark the test with @pytest.mark.engine({name!r})"
        return str(made.interpreter)

    return find


@pytest.fixture
def cluster(ray_cluster: Any) -> Iterator[Any]:
    """The Ray cluster, whose two machines are there again for the next test, which sees none that is gone."""
    yield ray_cluster
    while len(ray_cluster.machines) < 2:
        ray_cluster.add()
    ray_cluster.settle()
