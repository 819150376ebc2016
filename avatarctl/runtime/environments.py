"""Environments of engines that cannot live in this one: each made by pip from the lock that ships with its engine.

What holds: an environment is there whole or not at all, since it is made beside its place and renamed last; it holds
the files that the lock names, by their SHA-256, and nothing is resolved or built; where packages come from is the
user's own setting of pip. `Settings.interpreter` finds what is made here.

An engine can be installed if `requirements.in` and `requirements.lock` lie beside its factory's module. One that names
torch shares the locks of `avatarctl/engines/torch` with the others, in the build that fits the machine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import avatarctl
from avatarctl.engines import registry
from avatarctl.engines.contract import EngineSpec
from avatarctl.errors import BadInput, Unavailable
from avatarctl.machine import hardware
from avatarctl.runtime import pip
from avatarctl.stages.params import nearest
from avatarctl.store.faults import disk_is_full
from avatarctl.store.locks import FileLock

RECORD = "environment.json"
"""In each environment, written last: what it was made from."""
UNFINISHED = ".unfinished-"
"""Begins the name of a folder that is being made, or being removed."""
TORCH_BUILDS = ("auto", "cpu", "cuda")

_TORCH = Path(avatarctl.__file__).parent / "engines" / "torch"
_NAMED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)


@dataclass(frozen=True)
class Installable:
    """An engine that ships a lock. `folder`: where its `requirements.in` and `requirements.lock` lie."""

    spec: EngineSpec
    folder: Path

    @property
    def name(self) -> str:
        """The engine's, and its environment's."""
        return self.spec.name

    @property
    def wants_torch(self) -> bool:
        """Whether torch is among its requirements."""
        return "torch" in self.wanted()

    def wanted(self) -> list[str]:
        """Names of what it needs itself; the lock holds what these need in turn."""
        return _NAMED.findall((self.folder / "requirements.in").read_text(encoding="utf-8"))

    def locks(self, build: str) -> list[Path]:
        """The files that pip is given. `build` of torch: `cpu`, `cuda`, or empty without torch."""
        # Its build first: where that is not to be had, nothing else need be fetched.
        torch = [_TORCH / f"{build}.lock", _TORCH / "requirements.lock"] if build else []
        return [*torch, self.folder / "requirements.lock"]

    def digest(self, build: str) -> str:
        """SHA-256 of all locks: whether an environment was made from today's."""
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in self.locks(build))).hexdigest()


@dataclass(frozen=True)
class Environment:
    """What was made for an engine. `build` of torch, empty without torch; `packages`: versions by name."""

    folder: Path
    engine: str
    python: str
    build: str
    lock: str
    packages: Mapping[str, str]

    @property
    def interpreter(self) -> Path:
        """What its worker is started with."""
        return self.folder / "bin" / "python"

    def size(self) -> int:
        """Bytes on disk."""
        total = 0
        for folder, _, files in os.walk(self.folder):
            for name in files:
                with suppress(OSError):
                    total += (Path(folder) / name).lstat().st_blocks * 512
        return total


def installable() -> list[Installable]:
    """Every engine that ships a lock, plugins included."""
    found = [Installable(spec, folder) for spec in registry.specs() if (folder := _lock_folder(spec)) is not None]
    return list({one.name: one for one in found}.values())


def find(name: str) -> Installable:
    """Raises `BadInput` if no engine of that name ships a lock."""
    known = {one.name: one for one in installable()}
    if name not in known:
        raise BadInput(f"there is no engine {name!r} to install", hint=nearest(name, known))
    return known[name]


def _lock_folder(spec: EngineSpec) -> Path | None:
    if not spec.worker:
        return None
    # The package is found, so that nothing of it but its `__init__` is imported.
    package = importlib.util.find_spec(spec.factory.partition(":")[0].rpartition(".")[0])
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent
    return folder if (folder / "requirements.lock").is_file() else None


def read(environments: Path, name: str) -> Environment | None:
    """The environment of an engine, or None if there is none that is whole."""
    folder = environments / name
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        made = Environment(
            folder=folder,
            engine=str(record["engine"]),
            python=str(record["python"]),
            build=str(record["build"]),
            lock=str(record["lock"]),
            packages={str(k): str(v) for k, v in record["packages"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return made if made.interpreter.exists() else None


def is_current(wanted: Installable, made: Environment) -> bool:
    """Whether it was made from the lock that ships today."""
    return bool(made.build) == wanted.wants_torch and made.lock == wanted.digest(made.build)


def choose_build(torch: str) -> str:
    """`cuda` where there is an NVIDIA GPU, and on systems whose one build is in the registry; else `cpu`."""
    if torch != "auto":
        return torch
    return "cuda" if hardware.gpu() or not sys.platform.startswith("linux") else "cpu"


def install(
    wanted: Installable,
    environments: Path,
    *,
    torch: str = "auto",
    python: str = "",
    offline: bool = False,
    again: bool = False,
    lock_timeout: float = 600.0,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> tuple[Environment, bool]:
    """Make an engine's environment, unless it is there already.

    Args:
        torch: one of `TORCH_BUILDS`.
        python: the interpreter that it is made of; empty: this one.
        offline: pip looks into folders only (its setting `find-links`), never at an index.
        again: make it even if it is there.
        progress: packages that pip has found, of how many, and the one it is at.

    Returns:
        The environment, and whether it was made now.

    Raises:
        Unavailable: pip failed, or no environment can be made with that interpreter.
        Busy: another process is at it.
    """
    build = choose_build(torch) if wanted.wants_torch else ""
    with _alone(environments, wanted.name, lock_timeout):
        there = read(environments, wanted.name)
        if there is not None and not again and torch in ("auto", there.build) and is_current(wanted, there):
            return there, False
        making = environments / f"{UNFINISHED}{wanted.name}-{uuid.uuid4().hex[:8]}"
        try:
            version = _make_empty(making, python or sys.executable)
            pip.fill(making / "bin" / "python", wanted.locks(build), build, offline, progress)
            _check(making / "bin" / "python", wanted)
            _record(making, wanted, build, version)
            _put_in_place(making, environments / wanted.name)
        except OSError as error:
            if disk_is_full(error):
                raise pip.no_room(environments, str(error)) from error
            raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
        made = read(environments, wanted.name)
        assert made is not None
        return made, True


def remove(environments: Path, name: str, lock_timeout: float = 600.0) -> bool:
    """Remove an engine's environment; False if there was none."""
    if not (environments / name).is_dir():
        return False
    with _alone(environments, name, lock_timeout):
        # Out of its place first: what is half removed must not be found.
        leaving = environments / f"{UNFINISHED}{name}-{uuid.uuid4().hex[:8]}"
        (environments / name).rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)
        return True


@contextmanager
def _alone(environments: Path, name: str, timeout: float) -> Iterator[None]:
    environments.mkdir(parents=True, exist_ok=True)
    lock = FileLock(environments / f".{name}.lock", what=f"the environment of {name}")
    with lock.exclusive(timeout):
        # What a killed process left behind: nobody else makes this engine's while the lock is held.
        for rest in environments.glob(f"{UNFINISHED}{name}-????????"):
            shutil.rmtree(rest, ignore_errors=True)
        yield


def _make_empty(folder: Path, python: str) -> str:
    """An environment without pip, which this one's pip fills; the version of its Python."""
    program = "import platform; print(platform.python_version())"
    python = str(Path(shutil.which(python) or python).absolute())
    try:
        made = str(folder / "bin" / "python")
        for command in ([python, "-m", "venv", "--without-pip", str(folder)], [made, "-c", program]):
            # Elsewhere than the user is, where a file called venv.py would be run.
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)
            if done.returncode != 0:
                raise OSError(_last_line(done.stdout + done.stderr))
    except OSError as error:
        raise Unavailable(
            f"no environment can be made with {python}", why=str(error), hint="name another Python with --python PATH"
        ) from error
    version: str = done.stdout.strip()
    if tuple(map(int, version.split(".")[:2])) < (3, 11):
        raise Unavailable(f"{python} is Python {version}", hint="name Python 3.11 or newer with --python PATH")
    return version


def _check(interpreter: Path, wanted: Installable) -> None:
    """Whether what the engine imports is there, by a look that imports none of it."""
    program = "import sys, importlib.util as u; print(*[n for n in sys.argv[1:] if u.find_spec(n) is None])"
    query = [str(interpreter), "-I", "-c", program, *wanted.spec.packages]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    missing = done.stdout.strip()
    if done.returncode != 0 or missing:
        raise Unavailable(
            f"the environment of {wanted.name} does not work",
            why=f"{missing} is missing from it" if missing else _last_line(done.stderr),
            hint="install avatarctl again: its lock does not hold what the engine needs",
        )


def _record(folder: Path, wanted: Installable, build: str, python: str) -> None:
    # Its commands hold the path where it was made, and a worker needs none of them.
    for command in (folder / "bin").iterdir():
        if not command.name.startswith("python"):
            command.unlink()
    document = {
        "schema": "environment/1",
        "engine": wanted.name,
        "python": python,
        "build": build,
        "lock": wanted.digest(build),
        "packages": pip.pins(wanted.locks(build)),
    }
    (folder / RECORD).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _put_in_place(making: Path, place: Path) -> None:
    old = place.with_name(f"{UNFINISHED}{place.name}-{uuid.uuid4().hex[:8]}")
    with suppress(FileNotFoundError):
        place.rename(old)
    making.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
