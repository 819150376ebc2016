"""Ray's machines die under a batch at work. Ray lives in an environment of its own, which `make test-studio` makes."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from avatarctl.runtime.executors.ray.manners import LOOPBACK
from tests.tools import Result, Studio
from tests.torture.workshop import FILE, MODELS, ROOT, Row, Workshop, films, ledger, statuses, told

MADE = Path(os.environ.get("AVATARCTL_TEST_ENGINES", ROOT / ".venv" / "studio" / "environments"))
PYTHON = MADE / "ray" / "bin" / "python"
PATIENCE = 300.0
"""Seconds for anything, on however busy a machine."""


@dataclass(frozen=True)
class OnRay(Studio):
    """A home whose commands are run with Ray's Python."""

    def command(self, *arguments: str) -> list[str]:
        return [str(PYTHON), "-m", "avatarctl", *arguments]


class Nodes:
    """A cluster in a process of its own; see `ray_nodes`."""

    def __init__(self, folder: Path) -> None:
        command = [str(PYTHON), "-m", "tests.torture.ray_nodes", str(folder), str(MODELS)]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._heard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=PATIENCE)

    def ask(self, what: str) -> None:
        """Have it done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        assert self._heard() == what

    def _heard(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the cluster did not do it"
        return line


def rays(shop: Workshop) -> list[Row]:
    """A batch on two machines undisturbed; with one of them killed; with the head killed, and gone on with here."""
    if not PYTHON.exists():
        why = "not tried: Ray is not there (make test-studio ENGINES=ray makes its environment)"
        return [Row("a Ray machine killed in the middle of a step", why, "films bit-identical, each step once")]
    with Nodes(shop.folder / "ray") as nodes:
        rows = [_undisturbed(shop, nodes), _machine(shop, nodes)]
        nodes.ask("mend")
        return [*rows, _head(shop, nodes)]


def _batch(shop: Workshop, nodes: Nodes) -> tuple[OnRay, subprocess.Popen[bytes]]:
    made = shop.studio()
    studio = OnRay(made.home, made.work, made.models)
    settings = {"AVATARCTL_RAY_ADDRESS": nodes.address, **LOOPBACK}
    return studio, studio.start("batch", "run", FILE, "--executor", "ray", **settings)


def _ended(process: subprocess.Popen[bytes]) -> Result:
    out, err = process.communicate(timeout=PATIENCE)
    return Result(process.returncode, out.decode(), err.decode())


def _undisturbed(shop: Workshop, nodes: Nodes) -> Row:
    began = time.monotonic()
    studio, process = _batch(shop, nodes)
    ended = _ended(process)
    seconds = time.monotonic() - began
    wrong = shop.wrong(studio) + ([] if ended.code == 0 else [f"exit code {ended.code}: {ended.err[-300:]}"])
    shop.drop(studio)
    return Row(
        f"{len(shop.whole)} films on 2 Ray machines of one CPU each, both on this computer",
        f"{seconds:.1f} s; without Ray {shop.took:.1f} s; wrong: {told(wrong)}",
        "films bit-identical, each step once",
        not wrong,
    )


def _machine(shop: Workshop, nodes: Nodes) -> Row:
    studio, process = _batch(shop, nodes)
    nodes.ask("machine")
    ended = _ended(process)
    wrong = shop.wrong(studio) + ([] if ended.code == 0 else [f"exit code {ended.code}: {ended.err[-300:]}"])
    connection = ledger(studio)
    lost = connection.execute("SELECT count(*) FROM steps WHERE error_code = 'machine_lost'").fetchone()[0]
    connection.close()
    wrong += [] if lost == 1 else [f"{lost} steps were lost"]
    shop.drop(studio)
    return Row(
        "a Ray machine killed in the middle of a step",
        f"{lost} step was made elsewhere; wrong: {told(wrong)}",
        "no job fails, films bit-identical, no finished step repeated",
        not wrong,
    )


def _head(shop: Workshop, nodes: Nodes) -> Row:
    studio, process = _batch(shop, nodes)
    while process.poll() is None and len(films(studio)) < 3:
        time.sleep(0.05)
    nodes.ask("head")
    ended = _ended(process)
    wrong = [] if ended.code == 4 and "is gone" in ended.err else [f"exit code {ended.code}: {ended.err[-300:]}"]
    kept = len(films(studio))
    if set(statuses(studio)) != {"done", "queued"}:
        wrong.append(f"jobs are {dict(statuses(studio))}")
    again = studio.run("batch", "run", FILE, timeout=PATIENCE)
    wrong += shop.wrong(studio) + ([] if again.code == 0 else [f"without Ray: {again.err[-300:]}"])
    shop.drop(studio)
    return Row(
        "the head of a Ray cluster killed in the middle of a batch",
        f"{kept} films were kept, the rest made without Ray; wrong: {told(wrong)}",
        "says so, exit 4; the same command without Ray goes on, films bit-identical, no finished step repeated",
        not wrong,
    )
