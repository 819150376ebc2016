"""The wheel: what it carries, and that it works from a folder that is not this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from avatarctl import __version__

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without build isolation, so without the network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel in it and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command += ["--no-deps", "--no-index", "--no-compile", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_is_one_wheel_for_every_machine(wheel: Path) -> None:
    assert wheel.name == f"avatarctl-{__version__}-py3-none-any.whl"


def test_it_carries_every_module_and_every_document(wheel: Path) -> None:
    kinds = {".py", ".md", ".typed", ".in", ".lock"}
    wanted = {
        str(p.relative_to(ROOT)) for p in (ROOT / "avatarctl").rglob("*") if p.suffix in kinds or p.name == "py.typed"
    }
    assert wanted <= names(wheel)
    assert "avatarctl/py.typed" in names(wheel)
    assert any(name.startswith("avatarctl/knowledge/demo/") and name.endswith(".md") for name in names(wheel))


def test_it_carries_the_presets(wheel: Path) -> None:
    presets = {f"avatarctl/_data/presets/{p.name}" for p in (ROOT / "presets").glob("*.toml")}
    assert presets
    assert presets <= names(wheel)


def test_it_carries_nothing_else(wheel: Path) -> None:
    information = f"avatarctl-{__version__}.dist-info/"
    assert {n for n in names(wheel) if not n.startswith(("avatarctl/", information))} == set()
    assert {n for n in names(wheel) if n.endswith((".pyc", ".tflite", ".png", ".jpg", ".mp4"))} == set()


def test_its_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        information = f"avatarctl-{__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{information}/METADATA").decode("utf-8"))
        entry_points = archive.read(f"{information}/entry_points.txt").decode("utf-8")
        licence = archive.read(f"{information}/licenses/LICENSE").decode("utf-8")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "avatarctl = avatarctl.cli:main" in entry_points
    assert "Apache License" in licence


def test_the_same_tree_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def perform(installed: Path, folder: Path, *arguments: str) -> str:
    """Run the installed copy in `folder`; PYTHONPATH puts it before the editable one."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-m", "avatarctl", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_installed_copy_is_the_one_that_runs(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import avatarctl; print(avatarctl.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(installed)


def test_it_runs(installed: Path, tmp_path: Path) -> None:
    assert perform(installed, tmp_path, "--version").strip() == f"avatarctl {__version__}"


def test_it_finds_its_presets(installed: Path, tmp_path: Path) -> None:
    shown = perform(installed, tmp_path, "presets", "list")
    for preset in (ROOT / "presets").glob("*.toml"):
        assert preset.stem in shown


def test_it_finds_its_documents(installed: Path, tmp_path: Path) -> None:
    program = "from avatarctl.knowledge import demo_documents; print(*demo_documents(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = [Path(line) for line in done.stdout.splitlines()]
    assert {p.name for p in found} == {p.name for p in (ROOT / "avatarctl" / "knowledge" / "demo").glob("*.md")}
    assert all(p.is_relative_to(installed) for p in found)


GUEST = """
import importlib.util
from pathlib import Path

import avatarctl


class Guest:
    def load(self, models): ...
    def close(self): ...

    def run(self, job):
        other = importlib.util.find_spec("of_another_python")
        (job.out / "said").write_text(f"{Path(avatarctl.__file__).parent.parent}\\n{other}\\n", encoding="utf-8")
"""

DRIVER = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import of_another_python
from avatarctl.engines.contract import EngineSpec, Job
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.stages.params import Params

spec = EngineSpec(
    stage="speak", name="guest", summary="", cache_version=1, factory="guest_engine:Guest", worker=True, params=Params
)
engine = WorkerEngine(spec)
engine.load({})
engine.run(Job(inputs={}, out=Path(sys.argv[2]), params=Params()))
engine.close()
"""


def test_a_worker_sees_the_installed_copy_and_nothing_that_lies_beside_it(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    shutil.copytree(installed / "avatarctl", tmp_path / "site" / "avatarctl")
    (tmp_path / "site" / "of_another_python.py").touch()
    (tmp_path / "site" / "guest_engine.py").write_text(GUEST, encoding="utf-8")
    command = [sys.executable, "-P", "-c", DRIVER, str(tmp_path / "site"), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "said").read_text(encoding="utf-8") == f"{tmp_path / 'site'}\nNone\n"
