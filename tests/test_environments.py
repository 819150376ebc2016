"""Environments of engines: made whole or not at all, from wheels that the lock names, and found by who needs them."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from avatarctl import config, presets
from avatarctl.engines import readiness, registry
from avatarctl.engines.contract import EngineSpec
from avatarctl.engines.worker.host import WorkerEngine
from avatarctl.errors import BadInput, Busy, Unavailable
from avatarctl.machine import hardware
from avatarctl.runtime import environments
from avatarctl.runtime.environments import Installable
from avatarctl.store.locks import FileLock
from tests.tools import Studio, refused

SPEC = EngineSpec(
    stage="speak",
    name="tiny",
    summary="",
    cache_version=1,
    factory="tests.fake_workers:Actor",
    worker=True,
    packages=("tiny_package",),
)


def wheel(folder: Path, version: str = "1.0", content: str = "VALUE = 1\n") -> str:
    """A wheel of one module; its SHA-256."""
    information = f"tiny_package-{version}.dist-info"
    files = {
        "tiny_package.py": content,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: tiny-package\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/entry_points.txt": "[console_scripts]\ntiny = tiny_package:main\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    path = folder / f"tiny_package-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{information}/RECORD": f"{record}{information}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_lock(folder: Path, *digests: str, version: str = "1.0") -> None:
    hashes = "".join(f" \\\n    --hash=sha256:{digest}" for digest in digests)
    (folder / "requirements.lock").write_text(f"tiny-package=={version}{hashes}\n", encoding="utf-8")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip looks, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    # A setting of the user's that would lead elsewhere.
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    return folder


@pytest.fixture
def tiny(tmp_path: Path, wheels: Path) -> Installable:
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "requirements.in").write_text("# why\ntiny-package>=1\n", encoding="utf-8")
    write_lock(folder, wheel(wheels))
    return Installable(SPEC, folder)


def left(home: Path) -> list[str]:
    """What lies among the environments, locks aside."""
    return sorted(p.name for p in home.iterdir() if not p.name.endswith(".lock")) if home.exists() else []


def test_an_environment_is_made_from_the_lock_and_found(tiny: Installable, isolated: Path) -> None:
    # Modules that lie where the user happens to be are nothing to us.
    for name in ("pip", "venv", "platform"):
        Path(f"{name}.py").write_text("raise SystemExit('hostile')\n", encoding="utf-8")
    home = config.paths().environments
    told: list[tuple[int, int, str]] = []
    made, new = environments.install(tiny, home, offline=True, progress=lambda *at: told.append(at))
    assert new and left(home) == ["tiny"]
    assert made.packages == {"tiny-package": "1.0"} and made.build == "" and made.size() > 1000
    done = subprocess.run(
        [str(made.interpreter), "-c", "import sys, tiny_package; print(tiny_package.VALUE, sys.prefix)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["1", str(home / "tiny")]
    assert presets.resolve().interpreter("tiny") == str(made.interpreter)
    assert told and told[-1][0] == told[-1][1] == 1
    # Commands would name the folder where it was made.
    assert {p.name for p in (home / "tiny" / "bin").iterdir() if not p.name.startswith("python")} == set()
    again, new = environments.install(tiny, home, offline=True)
    assert again == made and not new


def test_a_worker_runs_with_it(tiny: Installable, isolated: Path) -> None:
    made, _ = environments.install(tiny, config.paths().environments, offline=True)
    engine = WorkerEngine(SPEC, str(made.interpreter))
    engine.load({})
    assert engine.pid is not None
    engine.close()


def test_other_bytes_than_the_lock_says_change_nothing(tiny: Installable, wheels: Path, isolated: Path) -> None:
    home = config.paths().environments
    before, _ = environments.install(tiny, home, offline=True)
    wheel(wheels, content="VALUE = 'hostile'\n")
    with pytest.raises(Unavailable, match="pip failed") as caught:
        environments.install(tiny, home, offline=True, again=True)
    assert "other bytes than the lock says" in caught.value.why
    assert left(home) == ["tiny"] and environments.read(home, "tiny") == before


def test_what_is_nowhere_to_be_had_leaves_nothing(tiny: Installable, wheels: Path, isolated: Path) -> None:
    (wheels / "tiny_package-1.0-py3-none-any.whl").unlink()
    with pytest.raises(Unavailable, match="pip failed") as caught:
        environments.install(tiny, config.paths().environments, offline=True)
    assert "tiny-package==1.0" in caught.value.why and "pip config list" in caught.value.hint
    assert "unset AVATARCTL_OFFLINE" in caught.value.hint
    assert left(config.paths().environments) == []


def test_a_lock_that_lacks_what_the_engine_imports_is_told(tiny: Installable, isolated: Path) -> None:
    poorer = replace(tiny, spec=replace(SPEC, packages=("tiny_package", "another_package")))
    with pytest.raises(Unavailable, match="does not work") as caught:
        environments.install(poorer, config.paths().environments, offline=True)
    assert caught.value.why == "another_package is missing from it"
    assert left(config.paths().environments) == []


def test_a_newer_lock_makes_it_anew(tiny: Installable, wheels: Path, isolated: Path) -> None:
    home = config.paths().environments
    made, _ = environments.install(tiny, home, offline=True)
    write_lock(tiny.folder, wheel(wheels, "2.0", "VALUE = 2\n"), version="2.0")
    assert not environments.is_current(tiny, made)
    made, new = environments.install(tiny, home, offline=True)
    assert new and made.packages == {"tiny-package": "2.0"} and left(home) == ["tiny"]


def test_what_a_killed_process_left_is_swept_away(tiny: Installable, isolated: Path) -> None:
    home = config.paths().environments
    half = home / f"{environments.UNFINISHED}tiny-0123abcd" / "bin"
    half.mkdir(parents=True)
    (half / "python").touch()
    other = home / f"{environments.UNFINISHED}tinyer-0123abcd"
    other.mkdir()
    assert environments.read(home, "tiny") is None
    environments.install(tiny, home, offline=True)
    assert left(home) == [other.name, "tiny"]


def test_one_process_at_a_time(tiny: Installable, isolated: Path) -> None:
    home = config.paths().environments
    with FileLock(home / ".tiny.lock").exclusive(), pytest.raises(Busy, match="the environment of tiny"):
        environments.install(tiny, home, offline=True, lock_timeout=0.0)


def test_an_environment_whose_python_is_gone_is_none(tiny: Installable, isolated: Path) -> None:
    home = config.paths().environments
    made, _ = environments.install(tiny, home, offline=True)
    made.interpreter.unlink()
    assert environments.read(home, "tiny") is None
    assert presets.resolve().interpreter("tiny") == ""


def test_a_python_that_cannot_be_used(tiny: Installable, tmp_path: Path, isolated: Path) -> None:
    with pytest.raises(Unavailable, match="no environment can be made with /bin/false") as caught:
        environments.install(tiny, config.paths().environments, python="/bin/false", offline=True)
    assert "--python" in caught.value.hint
    assert left(config.paths().environments) == []


def test_torch_for_the_cpu_that_is_nowhere(wheels: Path, isolated: Path) -> None:
    xtts = environments.find("xtts")
    assert xtts.wants_torch
    with pytest.raises(Unavailable, match="no torch for the CPU") as caught:
        environments.install(xtts, config.paths().environments, torch="cpu", offline=True)
    assert "PIP_FIND_LINKS" in caught.value.hint and "--torch cuda" in caught.value.hint


def test_the_build_of_torch_fits_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for card, build in ((None, "cpu"), (hardware.Gpu("NVIDIA GeForce RTX 3060", 12_288), "cuda")):
        monkeypatch.setattr("avatarctl.machine.hardware.gpu", lambda found=card: found)
        assert environments.choose_build("auto") == build
        assert environments.choose_build("cpu") == "cpu"
    monkeypatch.setattr("avatarctl.machine.hardware.gpu", lambda: None)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert environments.choose_build("auto") == "cuda"


def test_every_worker_that_names_packages_can_be_installed() -> None:
    names = {one.name for one in environments.installable()}
    assert {s.name for s in registry.specs() if s.worker and s.packages and not s.extra} == names
    for one in environments.installable():
        assert one.wanted(), one.name
        assert not one.spec.packages or one.wants_torch == ("torch" in one.spec.packages)


def test_an_engine_without_an_environment_says_what_to_type(tmp_path: Path) -> None:
    spec = registry.get("speak", "xtts")
    absent = replace(spec, packages=("a_package_that_is_not_here",))
    with pytest.raises(Unavailable, match="speak/xtts cannot start") as caught:
        readiness.paths(absent, spec.params(), tmp_path)
    assert caught.value.hint == "avatarctl engines install xtts, then avatarctl models pull xtts-v2"
    assert not readiness.is_ready(absent, spec.params(), tmp_path)
    # With an interpreter of its own only the model is missing.
    with pytest.raises(Unavailable, match="xtts-v2"):
        readiness.paths(absent, spec.params(), tmp_path, "/some/python")
    (tmp_path / "xtts-v2").mkdir()
    with pytest.raises(Unavailable, match="cannot start") as caught:
        readiness.paths(absent, spec.params(), tmp_path)
    assert not readiness.is_ready(absent, spec.params(), tmp_path)


# -- the command


def test_engines_are_listed_with_what_to_type(bare: Studio) -> None:
    listed = bare.ok("engines", "list", "--json").json["engines"]
    xtts = next(e for e in listed if e["name"] == "xtts")
    assert (xtts["state"], xtts["hint"], xtts["bytes"]) == ("missing", "avatarctl engines install xtts", 0)
    shown = bare.ok("engines", "list")
    assert "xtts" in shown.out and "avatarctl engines install xtts" in shown.err


def test_an_interpreter_that_is_set_is_looked_at(bare: Studio) -> None:
    (bare.work / "avatarctl.toml").write_text('[engines.xtts]\npython = "/no/such/python"\n', encoding="utf-8")
    listed = bare.ok("engines", "list", "--json").json["engines"]
    xtts = next(e for e in listed if e["name"] == "xtts")
    assert xtts["state"] == "broken" and "/no/such/python" in xtts["hint"]
    listed = bare.ok("engines", "list", "--json", AVATARCTL_ENGINES_XTTS_PYTHON=sys.executable).json["engines"]
    assert next(e for e in listed if e["name"] == "xtts")["state"] == "set"


def test_an_environment_is_listed_and_removed(bare: Studio) -> None:
    xtts = environments.find("xtts")
    folder = bare.home / "environments" / "xtts"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    record = {"engine": "xtts", "python": "3.11.0", "build": "cpu", "lock": xtts.digest("cpu"),
              "packages": {"torch": "2.13.0+cpu"}}  # fmt: skip
    (folder / environments.RECORD).write_text(json.dumps(record), encoding="utf-8")
    (row,) = [e for e in bare.ok("engines", "list", "--json").json["engines"] if e["name"] == "xtts"]
    assert (row["state"], row["packages"]) == ("ready", {"torch": "2.13.0+cpu"})
    assert row["python"] == str(folder / "bin" / "python") and row["bytes"] > 0
    (folder / environments.RECORD).write_text(json.dumps({**record, "lock": "of last year"}), encoding="utf-8")
    (row,) = [e for e in bare.ok("engines", "list", "--json").json["engines"] if e["name"] == "xtts"]
    assert row["state"] == "outdated" and "avatarctl engines install xtts" in row["hint"]
    assert bare.ok("engines", "rm", "xtts").out == "removed xtts\n"
    assert left(bare.home / "environments") == []
    assert bare.ok("engines", "rm", "xtts").out == "xtts has no environment\n"


def test_wrong_names_are_refused(bare: Studio) -> None:
    refused(bare.run("engines", "install", "xtt"), 2, "did you mean 'xtts'")
    refused(bare.run("engines", "install", "xtts", "--torch", "rocm"), 2, "rocm", "cuda")
    refused(bare.run("engines", "install", "xtts", "--python", "/no/python"), 2, "/no/python")
    refused(bare.run("engines", "rm", "../models"), 2, "../models")
    with pytest.raises(BadInput):
        environments.find("espeak")
