"""Which engine performs which stage. Built-in specs are listed here; others come through entry points.

Nothing heavy is imported: a spec names its factory, and `create` imports it on first use.
"""

from __future__ import annotations

import importlib
from functools import cache

from avatarctl.engines.contract import Engine, EngineSpec
from avatarctl.errors import BadConfig, Unavailable
from avatarctl.stages.params import nearest

ENTRY_POINTS = "avatarctl.engines"

BUILT_IN = (
    "avatarctl.engines.whisper.spec",
    "avatarctl.engines.sphinx.spec",
    "avatarctl.engines.facemesh.spec",
    "avatarctl.engines.voiceprint.spec",
    "avatarctl.engines.extractive.spec",
    "avatarctl.engines.chat.spec",
    "avatarctl.engines.cloud.spec",
    "avatarctl.engines.espeak.spec",
    "avatarctl.engines.piper.spec",
    "avatarctl.engines.silero.spec",
    "avatarctl.engines.xtts.spec",
    "avatarctl.engines.align.spec",
    "avatarctl.engines.puppet.spec",
    "avatarctl.engines.sadtalker.spec",
    "avatarctl.engines.lanczos.spec",
    "avatarctl.engines.realesrgan.spec",
    "avatarctl.engines.film.spec",
    "avatarctl.engines.check.spec",
    "avatarctl.engines.export.spec",
)
"""Modules with a tuple `SPECS`."""


def _register(table: dict[tuple[str, str], EngineSpec], spec: EngineSpec, where: str) -> None:
    slot = (spec.stage, spec.name)
    if slot in table:
        raise BadConfig(f"two engines are called {spec.stage}/{spec.name}", why=f"the second is in {where}")
    table[slot] = spec


@cache
def _built_in() -> dict[tuple[str, str], EngineSpec]:
    table: dict[tuple[str, str], EngineSpec] = {}
    for module in BUILT_IN:
        for spec in importlib.import_module(module).SPECS:
            _register(table, spec, module)
    return table


@cache
def _with_plugins() -> dict[tuple[str, str], EngineSpec]:
    from importlib.metadata import entry_points

    table = dict(_built_in())
    for point in entry_points(group=ENTRY_POINTS):
        loaded = point.load()
        for spec in (loaded,) if isinstance(loaded, EngineSpec) else tuple(loaded):
            _register(table, spec, point.value)
    return table


def specs() -> list[EngineSpec]:
    """Every engine there is, plugins included."""
    return list(_with_plugins().values())


def built_in(stage: str) -> list[EngineSpec]:
    """The stage's engines that come with this package. Plugins are not looked for, which takes a while."""
    return [spec for spec in _built_in().values() if spec.stage == stage]


def find(stage: str, name: str) -> EngineSpec | None:
    """The spec, or None. Plugins are looked at only when no built-in engine has the name."""
    return _built_in().get((stage, name)) or _with_plugins().get((stage, name))


def get(stage: str, name: str) -> EngineSpec:
    """The spec of an engine.

    Raises:
        BadConfig: no such engine; the hint names the nearest.
    """
    spec = find(stage, name)
    if spec is not None:
        return spec
    here = [s.name for s in specs() if s.stage == stage]
    raise BadConfig(f"there is no engine {stage}/{name}", hint=nearest(name, here))


def create(spec: EngineSpec) -> Engine:
    """Import the engine's module and make an instance.

    Raises:
        Unavailable: an optional package is missing; the hint says what to install.
    """
    module, _, attribute = spec.factory.partition(":")
    try:
        engine: Engine = getattr(importlib.import_module(module), attribute)()
        return engine
    except ImportError as error:
        hint = f"pip install 'avatarctl[{spec.extra}]'" if spec.extra else "install avatarctl again"
        raise Unavailable(f"the engine {spec.stage}/{spec.name} cannot start", why=str(error), hint=hint) from error
