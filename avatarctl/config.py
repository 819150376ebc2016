"""Where things live, and which setting wins: flag > AVATARCTL_* > ./avatarctl.toml > user config > preset."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl.errors import BadConfig
from avatarctl.tables import TABLES

PROJECT_FILE = "avatarctl.toml"
TOP_LEVEL = ("preset", "avatar", "outputs", "engines", *TABLES)
"""Settings that belong to no stage. `engines` holds a table for each engine; see `ENGINE_KEYS`."""
ENGINE_KEYS = ("python", "home")
"""Of an engine that runs in a worker: its interpreter, and the folder of a program that it drives."""
CLOUD = "cloud"
"""The table that says which engines may send anything to a company's machines. It is the user's own to write: neither
a preset nor the `avatarctl.toml` of a folder can allow anything."""

# Variables that are not settings of a stage, so that a typing error in the others can be reported.
_OTHER_VARIABLES = {"HOME", "OFFLINE", "FFMPEG", "LOCK_TIMEOUT", "THREADS", "TEST_MODELS", "SEED"}


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one installation. `AVATARCTL_HOME` moves them all."""

    data: Path
    """Ledger and artefacts: what must not be lost."""
    models: Path
    """Weights, which can be fetched again."""
    config: Path
    """The user's own `avatarctl.toml` and presets."""

    @property
    def environments(self) -> Path:
        """Python environments of engines that cannot live in this one, by the engine's name."""
        return self.models.parent / "environments"

    @property
    def user_file(self) -> Path:
        """Settings of this user."""
        return self.config / PROJECT_FILE

    @property
    def user_presets(self) -> Path:
        """Presets of this user."""
        return self.config / "presets"


def paths(environment: Mapping[str, str] = os.environ) -> Paths:
    """The folders; none is made here."""
    home = environment.get("AVATARCTL_HOME")
    if home:
        root = Path(home).expanduser().absolute()
        return Paths(data=root, models=root / "models", config=root / "config")
    from platformdirs import user_cache_path, user_config_path, user_data_path

    return Paths(
        data=user_data_path("avatarctl"),
        models=user_cache_path("avatarctl") / "models",
        config=user_config_path("avatarctl"),
    )


def offline(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `AVATARCTL_OFFLINE` forbids every connection."""
    return environment.get("AVATARCTL_OFFLINE", "").lower() not in ("", "0", "false", "no")


def threads(environment: Mapping[str, str] = os.environ) -> int:
    """Upper bound on busy threads: `AVATARCTL_THREADS`, or the cores this process may use (at most 8)."""
    value = _number(environment, "AVATARCTL_THREADS")
    return int(value) if value else min(len(os.sched_getaffinity(0)), 8)


def lock_timeout(environment: Mapping[str, str] = os.environ) -> float:
    """Seconds to wait for another process before giving up with exit code 75; `AVATARCTL_LOCK_TIMEOUT`."""
    value = _number(environment, "AVATARCTL_LOCK_TIMEOUT")
    return 600.0 if value is None else value


def seed(environment: Mapping[str, str] = os.environ) -> int:
    """Start of all chance where no flag gives it: `AVATARCTL_SEED`, or 0."""
    text = environment.get("AVATARCTL_SEED") or "0"
    if not text.isdecimal():
        raise BadConfig(f"AVATARCTL_SEED={text!r} is not a whole number")
    return int(text)


def _number(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name, "")
    if not text:
        return None
    try:
        number = float(text)
        if not 0 <= number < 1e6:
            raise ValueError
        return number
    except ValueError:
        raise BadConfig(f"{name}={text!r} is not a sensible number") from None


_SWITCH = {**dict.fromkeys(("1", "true", "yes", "on"), True), **dict.fromkeys(("0", "false", "no", "off"), False)}

Layer = dict[str, Any]
"""One source of settings: top-level values and a table for each stage."""


def layers(
    stages: Mapping[str, object],
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
    where: Paths | None = None,
) -> list[Layer]:
    """Settings outside presets and flags, weakest first: user config, project file, environment."""
    where = where or paths(environment)
    project = read_toml((folder or Path()) / PROJECT_FILE)
    if CLOUD in project:
        raise BadConfig(
            f"./{PROJECT_FILE}: a folder cannot allow that anything is sent away",
            hint=f"put [cloud] into {where.user_file}, or set AVATARCTL_CLOUD_ALLOW",
        )
    found = [read_toml(where.user_file), project, _from_environment(stages, environment)]
    return [kept for layer in found if (kept := {k: v for k, v in layer.items() if k != CLOUD})]


def cloud_allows(engine: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the user lets this engine send what it sends: `[cloud] allow` of their own file, a list of engines or
    true for all, or `AVATARCTL_CLOUD_ALLOW`, which wins.

    Raises:
        BadConfig: it is neither.
    """
    said = environment.get("AVATARCTL_CLOUD_ALLOW", "").strip()
    table = read_toml(paths(environment).user_file).get(CLOUD, {})
    if said:
        words = [word.strip() for word in said.split(",") if word.strip()]
        allow: object = _SWITCH.get(said.lower(), words)
    elif not isinstance(table, dict) or not set(table) <= {"allow"}:
        raise BadConfig(f"{PROJECT_FILE}: cloud has to be a table with allow", hint='[cloud] allow = ["gemini"]')
    else:
        allow = table.get("allow", False)
    if isinstance(allow, bool):
        return allow
    if not isinstance(allow, list) or not all(isinstance(one, str) for one in allow):
        raise BadConfig(f"{PROJECT_FILE}: cloud.allow has to be a list of engines, true or false", hint='["gemini"]')
    return engine in allow


def mirrors(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Where weights are looked for before their own sources: `[models] mirrors`, or `AVATARCTL_MODELS_MIRRORS`."""
    found: list[str] = _table("models", environment).get("mirrors", [])
    return found


def ray(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The Ray cluster: `[ray]`, or `AVATARCTL_RAY_ADDRESS` and `AVATARCTL_RAY_STORE`; empty where not set."""
    return {**dict.fromkeys(TABLES["ray"].keys, ""), **_table("ray", environment)}


def vram_mb(environment: Mapping[str, str] = os.environ) -> int:
    """What all engines together may take of the GPU's memory: `[resources] vram_mb`, or `AVATARCTL_RESOURCES_VRAM_MB`;
    0 for all that there is."""
    return int(_table("resources", environment).get("vram_mb", 0))


def _table(name: str, environment: Mapping[str, str]) -> Layer:
    """One of `TABLES` over all layers, each key from the strongest that has it; no preset is asked.

    Raises:
        BadConfig: an unknown key, or a value that is not what it has to be.
    """
    found: Layer = {}
    for layer in layers({}, environment):
        if name in layer:
            TABLES[name].check(layer[name], f"{PROJECT_FILE} or AVATARCTL_*")
            found |= layer[name]
    return found


def read_toml(path: Path) -> Layer:
    """A TOML file as a layer; empty when there is no such file, or its folder may not be entered (`sudo -u`, cron).

    Raises:
        BadConfig: it cannot be read, or is not TOML.
    """
    try:
        if path.exists() and not path.is_file():
            raise BadConfig(f"{path} is no file", why="settings are read from ordinary files", hint="take it away")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError) and not os.access(path.parent, os.X_OK):
            return {}
        raise BadConfig(f"{path} cannot be read", why=str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{path} is not valid TOML", why=str(error)) from error


def _from_environment(stages: Mapping[str, object], environment: Mapping[str, str]) -> Layer:
    layer: Layer = {}
    for variable, value in environment.items():
        if not variable.startswith("AVATARCTL_"):
            continue
        name = variable.removeprefix("AVATARCTL_")
        if name in _OTHER_VARIABLES:
            continue
        lower = name.lower()
        stage, _, key = lower.partition("_")
        if stage == "engines" and key.rpartition("_")[2] in ENGINE_KEYS:
            engine, _, field = key.rpartition("_")
            layer.setdefault("engines", {}).setdefault(engine.replace("_", "-"), {})[field] = value
        elif stage in TABLES and key:
            layer.setdefault(stage, {})[key] = TABLES[stage].from_text(value)
        elif key == "home":
            # Of a program that an engine drives: AVATARCTL_SADTALKER_HOME.
            layer.setdefault("engines", {}).setdefault(stage, {})["home"] = value
        elif lower in TOP_LEVEL:
            layer[lower] = value
        elif stage in stages and key:
            layer.setdefault(stage, {})[key] = value
    return layer
