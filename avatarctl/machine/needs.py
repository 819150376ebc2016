"""What a preset needs that is not here, each gap with the command that closes it."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl import config, models, presets
from avatarctl.engines import readiness, registry
from avatarctl.engines.contract import Cloud, EngineSpec
from avatarctl.errors import BadConfig, Unavailable
from avatarctl.machine.hardware import Hardware
from avatarctl.models import Model
from avatarctl.models import weights as references
from avatarctl.presets import Choice, Settings
from avatarctl.stages.catalog import STAGES as CATALOG_OF_STAGES

_INSTALLED_BY = {"ollama": "curl -fsSL https://ollama.com/install.sh | sh"}
"""How programs come here that servers are started with, as their makers say."""

_PROGRAMS = {"avatarctl", "export", "ollama", "pip"}
"""With which a hint begins that can be typed as it stands."""
_PULLED_BY = {"ollama": "ollama pull {model}"}

STAGES = tuple(stage for stage in CATALOG_OF_STAGES if stage not in {"index", "export"})
"""What a film of a spoken question goes through; documents and exports need nothing that is not always here."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that is missing, and what brings it: a command, or models that are to be pulled."""

    stage: str
    """Empty where it concerns the machine as a whole."""
    what: str
    typed: str = ""
    pulls: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    """Names of licences that these models ask to be accepted."""
    bytes: int = 0
    """To be fetched."""
    advice: str = ""
    """What helps, where that is no command."""

    @property
    def command(self) -> str:
        """What is to be typed; empty where nothing helps."""
        return pull_command(self.pulls, self.licences) if self.pulls else self.typed

    @property
    def final(self) -> bool:
        """Whether nothing helps on this machine."""
        return not (self.command or self.advice)


def bytes_to_come(found: Iterable[Gap]) -> int:
    """Of models; one that several stages use counts once."""
    return sum({gap.pulls: gap.bytes for gap in found}.values())


def distinct(found: Iterable[Gap]) -> list[Gap]:
    """Without what another stage lacks too, for people."""
    return list({(gap.what, gap.command): gap for gap in reversed(list(found))}.values())[::-1]


def pull_command(names: Iterable[str], licences: Iterable[str]) -> str:
    """One command for all of these models."""
    flags = "".join(f" --accept-licence {shlex.quote(one)}" for one in dict.fromkeys(licences))
    return f"avatarctl models pull {' '.join(models.short(names))}{flags}"


def weights(settings: Settings) -> list[Model]:
    """The models of the catalog that these settings use, those for a spoken question included."""
    names: dict[str, None] = {}
    for _, choice in _choices(settings):
        for reference in (*choice.spec.models, *choice.spec.requirements(choice.params).weights.values()):
            if reference in models.CATALOG or reference in models.groups:
                names |= dict.fromkeys(m.name for m in models.resolve(reference))
    return [models.model(name) for name in names]


def gaps(settings: Settings, hardware: Hardware, folder: Path) -> list[Gap]:
    """All that keeps these settings from working on this machine; what cannot be helped first.

    Args:
        folder: where models lie.
    """
    found: list[Gap] = []
    for stage in STAGES:
        try:
            choice = _choice(settings, stage)
        except BadConfig as error:
            found.append(Gap(stage, _sentence(error)))
            continue
        if choice is not None:
            found += _of_engine(settings, stage, choice, hardware, folder)
    found = list(dict.fromkeys(found))
    wanted = presets.wants(settings.preset)
    if hardware.memory_mb and wanted.memory_mb > hardware.memory_mb * 1.05:
        gb = f"{wanted.memory_mb / 1024:.0f} GB of memory, this machine has {hardware.memory_mb / 1024:.1f}"
        found.append(Gap("", f"it wants {gb}"))
    if wanted.gpu_memory_mb > hardware.gpu_memory_mb * 1.05:
        wants_gpu = f"it wants a GPU with {wanted.gpu_memory_mb / 1024:.0f} GB"
        found.append(_without_gpu("", wants_gpu, hardware))
    to_come = bytes_to_come(found)
    if to_come > hardware.free_bytes:
        lack = f"{to_come / 1e9:.1f} GB are to come, {hardware.free_bytes / 1e9:.1f} GB are free on the disk"
        found.append(Gap("", lack, "avatarctl cache gc --max-size 5G"))
    return sorted(found, key=lambda gap: not gap.final)


def commands(found: Iterable[Gap], preset: str = "") -> list[str]:
    """What is to be typed, each once, in an order that works; pulls of models become one.

    Args:
        preset: whose gaps they are, all of them; several models are then pulled by its name.
    """
    known = list(found)
    pulls = [name for gap in known for name in gap.pulls]
    typed = [gap.typed for gap in known if gap.typed]
    if pulls:
        if preset and len(models.short(pulls)) > 1:
            pulls = [preset]
        typed.append(pull_command(pulls, [one for gap in known for one in gap.licences]))
    return list(dict.fromkeys(typed))


def _choices(settings: Settings) -> list[tuple[str, Choice]]:
    found = []
    for stage in STAGES:
        try:
            choice = _choice(settings, stage)
        except BadConfig:
            continue
        if choice is not None:
            found.append((stage, choice))
    return found


def _choice(settings: Settings, stage: str) -> Choice | None:
    """The stage's engine; None for a stage that these settings do without."""
    roles = {"audio"} if stage == "transcribe" else presets.every_role(stage)
    if stage not in settings.tables and registry.find(stage, settings.engine_name(stage)) is None:
        # It prepares for another stage, whose engine has nothing to prepare.
        return None
    return settings.choice(stage, roles)


def _of_engine(settings: Settings, stage: str, choice: Choice, hardware: Hardware, folder: Path) -> list[Gap]:
    spec, params = choice.spec, choice.params
    wanted = spec.requirements(params)
    found: list[Gap] = []
    if spec.worker:
        # Its packages are those of its own environment, which was made with them or not at all.
        absent = [name for name in spec.packages if not readiness.is_importable(name)]
        if absent and not settings.interpreter(spec.name):
            command = f"avatarctl engines install {spec.name}"
            found.append(Gap(stage, f"the engine {spec.name} has no environment yet", command))
    elif package := readiness.missing_package(spec):
        command = f"pip install 'avatarctl[{spec.extra}]'" if spec.extra else "pip install --force-reinstall avatarctl"
        found.append(Gap(stage, f"{stage}/{spec.name} needs the package {package}", command))
    for reference in (*spec.models, *wanted.weights.values()):
        found += _of_model(stage, reference, folder)
    if wanted.gpu_memory_mb > hardware.gpu_memory_mb * 1.05:
        gb = wanted.gpu_memory_mb / 1024
        found.append(_without_gpu(stage, f"{stage}/{spec.name} wants {gb:.1f} GB of a GPU", hardware))
    if spec.cloud is not None:
        found += _of_cloud(stage, spec, spec.cloud)
    if spec.external:
        found += _of_server(stage, spec.external, params)
    return found


def _without_gpu(stage: str, wanted: str, hardware: Hardware) -> Gap:
    """Another card is no matter of typing, but a driver is."""
    if hardware.gpu is not None:
        return Gap(stage, f"{wanted}; NVIDIA's has {hardware.gpu_memory_mb / 1024:.0f} GB")
    if hardware.silent_card:
        return Gap(stage, f"{wanted}; NVIDIA's card is there, and its driver does not answer", driver_command())
    return Gap(stage, f"{wanted}; there is none of NVIDIA's")


def driver_command() -> str:
    """What brings NVIDIA's driver to a system of the Debian family; it works after a restart."""
    return "sudo ubuntu-drivers install" if shutil.which("ubuntu-drivers") else "sudo apt install nvidia-driver"


def _of_model(stage: str, reference: str, folder: Path) -> list[Gap]:
    if references.state(folder, reference) == "ok":
        return []
    if reference not in models.CATALOG and reference not in models.groups:
        return [Gap(stage, f"the model {reference} is not here, and the catalog does not know it")]
    absent = [m for m in models.resolve(reference) if models.installed(folder, m.name) != "ok"]
    to_come = sum(max(0, m.size - models.unfinished(folder, m.name)) for m in absent)
    licences = tuple(one.name for one in models.to_accept(folder, absent))
    return [Gap(stage, f"the model {reference} is not here", pulls=(reference,), licences=licences, bytes=to_come)]


def _of_cloud(stage: str, spec: EngineSpec, cloud: Cloud) -> list[Gap]:
    found = []
    try:
        readiness.check_allowed(spec, config.cloud_allows)
    except (Unavailable, BadConfig) as error:
        found.append(Gap(stage, _sentence(error), advice=error.hint))
    if not os.environ.get(cloud.key_variable, "").strip():
        # Said by the look above, too, where sending is allowed; one of two equal gaps is dropped.
        found.append(Gap(stage, f"{cloud.title} wants a key", advice=f"export {cloud.key_variable}=..."))
    return found


def _of_server(stage: str, external: str, params: Any) -> list[Gap]:
    """What the engine's own look at its server says; its hint is the command."""
    module, _, function = external.partition(":")
    try:
        getattr(importlib.import_module(module), function)(params)
    except (Unavailable, BadConfig) as error:
        # "start it with: ollama serve (or ...)": what is to be typed is between the colon and the bracket.
        command = error.hint.partition(" (")[0].rpartition("with: ")[2]
        program = command.partition(" ")[0]
        if program not in _PROGRAMS:
            return [Gap(stage, _sentence(error), advice=error.hint)]
        found = [Gap(stage, _sentence(error), command)]
        if program in _INSTALLED_BY and shutil.which(program) is None:
            found.insert(0, Gap(stage, f"the program {program} is not on PATH", _INSTALLED_BY[program]))
        pull = _PULLED_BY.get(program, "").format(model=getattr(params, "model", ""))
        if pull and pull != command:
            found.append(Gap(stage, f"and its model {params.model} may not be there", pull))
        return found
    return []


def _sentence(error: Unavailable | BadConfig) -> str:
    return " ".join(error.what.split())
