"""Presets: named choices of engines and params, and how they are laid under the user's own settings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatarctl import config
from avatarctl.engines import readiness, registry
from avatarctl.engines.contract import EngineSpec
from avatarctl.errors import AvatarctlError, BadConfig
from avatarctl.stages.catalog import STAGES
from avatarctl.stages.params import Params, nearest
from avatarctl.tables import TABLES, Retention

DEFAULT = "lite"

# Stages that prepare something; a preset need not name their engines. Of several engines the first is taken whose
# needs are met by the inputs that a step has, which knows the language, and which is here with all it needs.
_PREPARING = {
    "portrait": ("facemesh",),
    "voiceprint": ("voiceprint",),
    "index": ("fts5",),
    "align": ("dtw", "sound"),
    "transcribe": ("faster-whisper", "pocketsphinx"),
    "finish": ("film",),
    "check": ("measure",),
    "export": ("movements",),
}
FOLLOWING = {"rig": "animate", "speaker": "speak"}
"""Stages that prepare for another and have its engine, if that prepares anything."""
_META = {"description", "extends", "wants"}


def _shipped() -> Path:
    inside = Path(__file__).parent / "_data" / "presets"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "presets"


def available(where: config.Paths | None = None) -> dict[str, Path]:
    """Every preset by name; the user's own hide the shipped ones of the same name."""
    folders = [_shipped(), (where or config.paths()).user_presets]
    return {p.stem: p for folder in folders if folder.is_dir() for p in sorted(folder.glob("*.toml"))}


def read(name: str, where: config.Paths | None = None) -> config.Layer:
    """A preset with everything that it extends, as one layer.

    Raises:
        BadConfig: unknown preset, stage, or a circle of `extends`.
    """
    known = available(where)
    chain: list[config.Layer] = []
    seen: list[str] = []
    while True:
        if name not in known:
            raise BadConfig(f"there is no preset {name!r}", hint=nearest(name, known))
        if name in seen:
            raise BadConfig(f"the preset {name!r} extends itself", why=" -> ".join([*seen, name]))
        seen.append(name)
        layer = config.read_toml(known[name])
        _check_tables(layer, f"preset {name}")
        chain.append(layer)
        if "extends" not in layer:
            break
        name = str(layer["extends"])
    merged: config.Layer = {"description": chain[0].get("description", "")}
    for layer in reversed(chain):
        _lay(merged, layer)
    return merged


@dataclass(frozen=True, slots=True)
class Wants:
    """What a preset asks of a machine: MiB of memory and of a GPU's, bytes of models on the disk; 0 is not said."""

    memory_mb: int = 0
    gpu_memory_mb: int = 0
    disk_bytes: int = 0


def wants(name: str, where: config.Paths | None = None) -> Wants:
    """The preset's own table `wants`; what it extends does not count.

    Raises:
        BadConfig: no such preset, or no such key.
    """
    known = available(where)
    if name not in known:
        raise BadConfig(f"there is no preset {name!r}", hint=nearest(name, known))
    table = config.read_toml(known[name]).get("wants", {})
    keys = {"memory_gb", "gpu_memory_gb", "disk_gb"}
    if not isinstance(table, dict) or not set(table) <= keys:
        raise BadConfig(f"preset {name}: wants is not understood", hint=f"a table with {', '.join(sorted(keys))}")
    try:
        memory, gpu, disk = (float(table.get(k, 0)) for k in ("memory_gb", "gpu_memory_gb", "disk_gb"))
    except (TypeError, ValueError):
        raise BadConfig(f"preset {name}: wants holds something that is no number") from None
    return Wants(round(memory * 1024), round(gpu * 1024), round(disk * 1e9))


def _check_tables(layer: Mapping[str, Any], where: str) -> None:
    for name, value in layer.items():
        if name in STAGES:
            if not isinstance(value, dict):
                raise BadConfig(f"{where}: {name} has to be a table", hint=f"write [{name}]")
        elif name == "engines":
            _check_engines(value, where)
        elif name == "retention":
            Retention.parse(value, where)
        elif name in TABLES:
            TABLES[name].check(value, where)
        elif name not in _META and name not in config.TOP_LEVEL:
            raise BadConfig(f"{where}: unknown key {name!r}", hint=nearest(name, [*STAGES, *config.TOP_LEVEL, *_META]))


def _check_engines(tables: object, where: str) -> None:
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise BadConfig(f"{where}: engines has to hold a table for each engine", hint='[engines.xtts] python = "..."')
    for engine, table in tables.items():
        for key, value in table.items():
            if key not in config.ENGINE_KEYS:
                raise BadConfig(f"{where}: unknown key engines.{engine}.{key}", hint=nearest(key, config.ENGINE_KEYS))
            if not isinstance(value, str):
                raise BadConfig(f"{where}: engines.{engine}.{key} is not text", hint="give a path")


def _lay(under: config.Layer, over: Mapping[str, Any]) -> list[str]:
    """Put `over` on top. A layer that changes a stage's engine leaves the former engine's own params behind.

    Returns:
        What was left behind, as `stage.key`.
    """
    left: list[str] = []
    for name, value in over.items():
        if name not in STAGES:
            if name == "engines":
                known = under.get(name, {})
                under[name] = {**known, **{engine: {**known.get(engine, {}), **t} for engine, t in value.items()}}
            elif name == "retention":
                under[name] = {**under.get(name, {}), **value}
            elif name not in _META:
                under[name] = value
            continue
        table = dict(under.get(name, {}))
        if "engine" in value and value["engine"] != table.get("engine"):
            kept = _taken_over(name, table, str(value["engine"]))
            left += [f"{name}.{key}" for key in table if key not in kept and key not in ("engine", *value)]
            table = kept
        under[name] = {**table, **value}
    return left


def _taken_over(stage: str, table: Mapping[str, Any], engine: str) -> config.Layer:
    """Of a stage's settings those that mean the same to another engine: what both have from a class that both inherit,
    and what the former engine does not know, so that it was never meant for it.

    A voice called `irina` is Piper's; a language is anybody's.
    """
    before = registry.find(stage, str(table.get("engine") or _PREPARING.get(stage, ("",))[0]))
    after = registry.find(stage, engine)
    # A field that is inherited is the very object of the class that declares it.
    theirs = before.params.__dataclass_fields__ if before else {}
    ours = after.params.__dataclass_fields__ if after else {}
    return {key: value for key, value in table.items() if key in ours and theirs.get(key, ours[key]) is ours[key]}


def parse_assignments(assignments: Iterable[str]) -> config.Layer:
    """`--set stage.key=value` pairs as a layer.

    Raises:
        BadConfig: not of that form, or no such stage.
    """
    layer: config.Layer = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        stage, dot, key = name.strip().partition(".")
        if not equals or not dot or not key:
            raise BadConfig(f"--set {assignment} is not understood", hint="write --set stage.key=value")
        if stage not in STAGES:
            raise BadConfig(f"--set {assignment}: there is no stage {stage!r}", hint=nearest(stage, STAGES))
        layer.setdefault(stage, {})[key] = value.strip()
    return layer


def every_role(stage: str) -> frozenset[str]:
    """The inputs that a step of this stage has when nothing is missing."""
    return frozenset(i.role for i in STAGES[stage].inputs)


def _params_of_others(stage: str, spec: EngineSpec) -> set[str]:
    """Params that only the stage's other default engines have: they may be set, and mean nothing to this one."""
    rivals = [registry.find(stage, name) for name in _PREPARING.get(stage, ())]
    known = {name for rival in rivals if rival is not None for name in rival.params.__dataclass_fields__}
    return known - set(spec.params.__dataclass_fields__)


def _suffices(stage: str, engine: str, roles: Collection[str]) -> bool:
    spec = registry.find(stage, engine)
    return spec is not None and set(spec.needs) <= set(roles)


@dataclass(frozen=True)
class Choice:
    """An engine with its validated params."""

    spec: EngineSpec
    params: Params


@dataclass(frozen=True)
class Settings:
    """Everything that was decided before a run starts. Engines are looked up when a stage is used."""

    preset: str
    tables: Mapping[str, Mapping[str, Any]]
    avatar: str = ""
    outputs: str = "outputs"
    engines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Where engines of their own interpreter live: `config.ENGINE_KEYS` by the engine's name. Never in a key."""
    retention: Retention = field(default_factory=Retention)
    left: tuple[str, ...] = ()
    """What the user set for an engine and then chose another, which begins with its own: `stage.key`."""
    _choices: dict[tuple[str, str], Choice] = field(default_factory=dict, repr=False, compare=False)

    def engine_name(self, stage: str, roles: Collection[str] = ()) -> str:
        """The engine's name, from the preset or the stage's own default; a rig is built by the animator.

        `roles`: the inputs that there are. They decide between the stage's default engines.
        """
        table = self.tables.get(stage, {})
        if "engine" in table:
            return str(table["engine"])
        if stage in FOLLOWING:
            return self.engine_name(FOLLOWING[stage])
        if stage in _PREPARING:
            able = [n for n in _PREPARING[stage] if _suffices(stage, n, roles)] or [_PREPARING[stage][-1]]
            return able[0] if len(able) == 1 else next((n for n in able if self._is_here(stage, n)), able[0])
        raise BadConfig(f"the preset {self.preset} names no engine for {stage}", hint=f"--set {stage}.engine=...")

    def _is_here(self, stage: str, engine: str) -> bool:
        """Whether an engine can be used at once, with the user's own params and for their language."""
        spec = registry.get(stage, engine)
        table = {k: v for k, v in self.tables.get(stage, {}).items() if k in spec.params.__dataclass_fields__}
        if spec.languages is not None and table.get("language", "auto") not in ("auto", *spec.languages):
            return False
        return readiness.is_ready(
            spec,
            spec.params.parse(table, stage),
            config.paths().models,
            self.interpreter(engine) if spec.worker else "",
        )

    def choice(self, stage: str, roles: Collection[str] = (), engine: str = "", **changes: Any) -> Choice:
        """The engine and its params for a stage that has these inputs; `changes` are params that the recipe decides.

        `engine`: one that the recipe takes. The user's params of the stage are its own only if it is the user's too.
        """
        name = engine or self.engine_name(stage, roles)
        if (stage, name) not in self._choices:
            spec = registry.get(stage, name)
            table = self.tables.get(stage, {})
            if engine and table.get("engine") not in (None, engine):
                table = {}
            others = set() if "engine" in table else _params_of_others(stage, spec)
            raw = {k: v for k, v in table.items() if k != "engine" and k not in others}
            home = self.engines.get(name, {}).get("home", "")
            if home and "home" in spec.params.__dataclass_fields__:
                raw.setdefault("home", home)
            self._choices[stage, name] = Choice(spec, spec.params.parse(raw, stage))
        chosen = self._choices[stage, name]
        if not changes:
            return chosen
        raw = {**chosen.params.as_dict(), **changes}
        return Choice(chosen.spec, chosen.spec.params.parse(raw, stage))

    def interpreter(self, engine: str) -> str:
        """The Python of an engine's worker: the one that is set, or the environment made for it, or "" for this one."""
        named = self.engines.get(engine, {}).get("python", "")
        if named:
            return str(Path(named).expanduser())
        made = config.paths().environments / engine / "bin" / "python"
        return str(made) if made.exists() else ""

    def servers(self) -> tuple[tuple[EngineSpec, Params], ...]:
        """Engine and params of the answer where a server's model gives it, which may hold the GPU's memory for long."""
        try:
            chosen = self.choice("answer")
        except AvatarctlError:
            return ()
        return ((chosen.spec, chosen.params),) if chosen.spec.lane == "server" else ()

    def prepares(self, stage: str) -> bool:
        """Whether the engine that a stage of `FOLLOWING` prepares for has anything to prepare."""
        return registry.find(stage, self.engine_name(stage)) is not None

    def check(self) -> None:
        """Look at every stage that is set, so that a typing error is found before any work is done."""
        for stage in self.tables:
            if stage in FOLLOWING and "engine" not in self.tables[stage] and not self.prepares(stage):
                # Settings of a preparation, which are meant for other engines, say nothing to this one.
                continue
            self.choice(stage, every_role(stage))

    def as_dict(self) -> dict[str, Any]:
        """For the ledger: enough to make the same settings again."""
        return {
            "preset": self.preset,
            "avatar": self.avatar,
            "tables": {stage: dict(table) for stage, table in self.tables.items()},
        }


def resolve(
    preset: str | None = None,
    assignments: Sequence[str] = (),
    *,
    avatar: str | None = None,
    where: config.Paths | None = None,
) -> Settings:
    """All layers, laid in order, checked.

    Raises:
        BadConfig: any unknown preset, stage, engine or param, with the nearest name.
    """
    outer = config.layers(STAGES, where=where)
    for layer in outer:
        _check_tables(layer, "avatarctl.toml or AVATARCTL_*")
    chosen = [str(layer["preset"]) for layer in outer if "preset" in layer]
    name = preset or (chosen[-1] if chosen else DEFAULT)
    base = read(name, where)
    said: set[str] = set()
    left: list[str] = []
    for layer in (*outer, parse_assignments(assignments)):
        left += [setting for setting in _lay(base, layer) if setting in said]
        said |= {f"{stage}.{key}" for stage in STAGES for key in layer.get(stage, ())}
    settings = Settings(
        preset=name,
        tables={stage: base[stage] for stage in STAGES if stage in base},
        avatar=avatar or str(base.get("avatar", "")),
        outputs=str(base.get("outputs", "outputs")),
        engines=base.get("engines", {}),
        retention=Retention.parse(base.get("retention", {}), f"preset {name}"),
        left=tuple(one for one in left if one.partition(".")[2] not in base[one.partition(".")[0]]),
    )
    settings.check()
    return settings


def plain(name: str) -> Settings:
    """A preset as it is, without any of the user's settings; their engines' environments are known all the same.

    Raises:
        BadConfig: unknown preset, or one that does not fit.
    """
    base = read(name)
    engines: dict[str, Mapping[str, str]] = {}
    for layer in config.layers(STAGES):
        engines |= layer.get("engines", {})
    settings = Settings(
        preset=name,
        tables={stage: base[stage] for stage in STAGES if stage in base},
        engines={**base.get("engines", {}), **engines},
    )
    settings.check()
    return settings


def change(recorded: Mapping[str, Any], preset: str | None, assignments: Sequence[str]) -> Settings:
    """Settings of an earlier run (`Settings.as_dict`) with another preset or some params changed.

    Another preset brings the user's present settings with it. Results go where they go today.
    """
    today = resolve(preset, assignments if preset else (), avatar=str(recorded.get("avatar", "")) or None)
    if preset:
        return today
    base: config.Layer = {k: dict(v) for k, v in recorded["tables"].items()}
    _lay(base, parse_assignments(assignments))
    settings = Settings(
        preset=str(recorded["preset"]),
        tables={stage: base[stage] for stage in STAGES if stage in base},
        avatar=str(recorded.get("avatar", "")),
        outputs=today.outputs,
        engines=today.engines,
    )
    settings.check()
    return settings
