"""Every test gets a home of its own; models and portraits are shared, read-only, and verified once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Before numpy is imported, as `avatarctl.cli.main` does.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.tools import Studio

if TYPE_CHECKING:
    from avatarctl.engines.facemesh.mesh import FaceMesh
    from avatarctl.engines.facemesh.person import PersonNetwork
    from avatarctl.engines.puppet.rig import Rig
    from tests.mouth_support import Picture

ROOT = Path(__file__).resolve().parent.parent
# They need environments of their own: `make test-studio`.
collect_ignore = [] if "AVATARCTL_TEST_ENGINES" in os.environ else ["studio"]

TEST_MODELS = Path(os.environ.get("AVATARCTL_TEST_MODELS", ROOT / ".venv" / "test-models"))


def _one(name: str) -> Path:
    files = [p for p in (TEST_MODELS / name).glob("*") if p.suffix != ".json"]
    assert len(files) == 1, f"{name} is missing below {TEST_MODELS}: run `make test`, which fetches it"
    return files[0]


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, a working folder and an environment that no other test and no user's setting can reach."""
    for name in list(os.environ):
        if name.startswith("AVATARCTL_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("AVATARCTL_HOME", str(home))
    monkeypatch.setenv("AVATARCTL_OFFLINE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return home


@pytest.fixture(scope="session")
def face_models() -> dict[str, Path]:
    """The catalog's face models by name."""
    return {name: _one(name) for name in ("face-detector", "face-mesh", "person-matte")}


@pytest.fixture(scope="session")
def portraits() -> dict[str, Path]:
    """The two demo portraits."""
    return {name: _one(f"portrait-{name}") for name in ("astronaut", "hopper")}


@pytest.fixture(scope="module")
def mesh(face_models: dict[str, Path]) -> FaceMesh:
    """The face mesh, which keeps its crop from picture to picture: one a module."""
    from avatarctl.engines.facemesh.mesh import FaceMesh

    return FaceMesh(face_models)


@pytest.fixture(scope="session")
def photos(portraits: dict[str, Path]) -> dict[str, Picture]:
    """Both portraits; uint8 RGB."""
    import cv2

    return {name: cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for name, path in portraits.items()}


@pytest.fixture(scope="session")
def network(face_models: dict[str, Path]) -> PersonNetwork:
    """Tells a person from what is behind; it keeps nothing from picture to picture."""
    from avatarctl.engines.facemesh.person import MATTE_MODEL, PersonNetwork

    return PersonNetwork(face_models[MATTE_MODEL])


@pytest.fixture(scope="session")
def rigs(photos: dict[str, Picture], face_models: dict[str, Path]) -> dict[str, Rig]:
    """Rigs of both, small ones, of the face alone. Not to be changed."""
    from avatarctl.engines.facemesh.mesh import FaceMesh
    from tests.mouth_support import rig_of

    mesh = FaceMesh(face_models)
    return {name: rig_of(photo, mesh) for name, photo in photos.items()}


@pytest.fixture(params=["astronaut", "hopper"])
def rig(request: pytest.FixtureRequest, rigs: dict[str, Rig]) -> Rig:
    """A smile with teeth; a closed mouth behind glasses."""
    return rigs[request.param]


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory: pytest.TempPathFactory, portraits: dict[str, Path]) -> Studio:
    """A home where the astronaut is enrolled and the demo documents are known. Not to be changed: `copy` it."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "work").mkdir()
    studio = Studio(folder / "home", folder / "work", TEST_MODELS)
    (studio.home / "config").mkdir(parents=True)
    # The size that enrolment prepares: films of another one would have to prepare again.
    (studio.home / "config" / "avatarctl.toml").write_text("[animate]\nsize = 256\n")
    studio.ok("enroll", str(portraits["astronaut"]), "--name", "astronaut")
    studio.ok("knowledge", "add", "--demo")
    return studio


@pytest.fixture
def studio(request: pytest.FixtureRequest, enrolled: Studio, tmp_path: Path) -> Studio:
    """A copy of `enrolled` of its own; where a test is `unjudged`, its films are not measured in the end."""
    studio = enrolled.copy(tmp_path / "studio")
    if request.node.get_closest_marker("unjudged"):
        with (studio.home / "config" / "avatarctl.toml").open("a") as settings:
            settings.write("[check]\nenabled = false\n")
    return studio


@pytest.fixture
def bare(tmp_path: Path) -> Studio:
    """A home with nobody and nothing in it."""
    (tmp_path / "bare" / "work").mkdir(parents=True)
    return Studio(tmp_path / "bare" / "home", tmp_path / "bare" / "work", TEST_MODELS)


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Ray cluster on this machine; see `tests.ray_cluster`."""
    from tests.ray_cluster import RayCluster

    with RayCluster(tmp_path_factory.mktemp("ray"), TEST_MODELS, machines=2) as cluster:
        yield cluster
