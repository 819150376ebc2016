"""What an engine needs with given params, whether it is here, and what to type where it is not."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from avatarctl import models
from avatarctl.engines.contract import EngineSpec
from avatarctl.errors import Unavailable
from avatarctl.models import weights
from avatarctl.stages.params import Params


def digests(spec: EngineSpec, params: Params, folder: Path) -> dict[str, str]:
    """SHA-256 of every model by its name or role, for keys.

    Raises:
        Unavailable: one that the catalog does not know is not here.
    """
    chosen = spec.requirements(params).weights
    return {
        **models.digests(folder, spec.models),
        **{role: weights.digest(folder, ref) for role, ref in chosen.items()},
    }


def paths(spec: EngineSpec, params: Params, folder: Path, python: str = "") -> dict[str, Path]:
    """Where every model lies, by its name or role. `python`: the interpreter of the engine's worker, "" for this one.

    Raises:
        Unavailable: a package or a model is not here; the hint says all that is to be typed.
    """
    package = missing_package(spec, python)
    absent = [ref for ref in _references(spec, params) if weights.state(folder, ref) != "ok"]
    fetchable = [ref for ref in absent if ref in models.CATALOG or ref in models.groups]
    command = f"avatarctl models pull {' '.join(models.short(fetchable))}"
    if package:
        pull = f", then {command}" if fetchable else ""
        install = f"pip install 'avatarctl[{spec.extra}]'" if spec.extra else "install avatarctl again"
        if spec.worker and not spec.extra:
            install = f"avatarctl engines install {spec.name}"
        raise Unavailable(
            f"the engine {spec.stage}/{spec.name} cannot start",
            why=f"the package {package} is not installed",
            hint=f"{install}{pull}",
        )
    if len(fetchable) > 1:
        raise Unavailable(f"the models {', '.join(fetchable)} are not here, or not whole", hint=command)
    chosen = spec.requirements(params).weights
    here = {name: models.path(folder, name) for name in spec.models}
    return {**here, **{role: weights.path(folder, ref) for role, ref in chosen.items()}}


def check_allowed(spec: EngineSpec, allowed: Callable[[str], bool]) -> None:
    """Whether an engine may send what it sends, and could. `allowed`: what the user says of an engine's name.

    Raises:
        Unavailable: it runs on a company's machines, and nobody has allowed that, or there is no key for it.
        Offline: `AVATARCTL_OFFLINE` forbids it.
    """
    if spec.cloud is None:
        return
    if not allowed(spec.name):
        raise Unavailable(
            f"{spec.stage}/{spec.name} sends {spec.cloud.sends} to {spec.cloud.title}",
            why="and that is not allowed yet",
            hint=f'[cloud] allow = ["{spec.name}"] in your own avatarctl.toml, or AVATARCTL_CLOUD_ALLOW={spec.name}',
        )
    from avatarctl.engines.cloud import service

    service.key_for(spec.cloud, service.address_of(spec.cloud))


def is_ready(spec: EngineSpec, params: Params, folder: Path, python: str = "") -> bool:
    """Whether packages and models are here, by a look that imports nothing and reads no file."""
    if missing_package(spec, python):
        return False
    return all(weights.state(folder, ref) == "ok" for ref in _references(spec, params))


def damaged(spec: EngineSpec, params: Params, folder: Path) -> str:
    """The first model of the catalog whose bytes are wrong; empty if none is. Reads them all."""
    for reference in _references(spec, params):
        try:
            if weights.damaged(folder, reference):
                return reference
        except OSError:
            # One that cannot be read at all is a fault of its own, which `paths` reports.
            continue
    return ""


def missing_package(spec: EngineSpec, python: str = "") -> str:
    """The first package that is not installed here. A worker with an interpreter of its own, `python`, has others."""
    if python:
        return ""
    return next((name for name in spec.packages if not is_importable(name)), "")


def is_importable(package: str) -> bool:
    """Whether this interpreter has a package. Nothing is imported."""
    return importlib.util.find_spec(package) is not None


def _references(spec: EngineSpec, params: Params) -> list[str]:
    return [*spec.models, *spec.requirements(params).weights.values()]
