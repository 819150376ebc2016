"""Where things live, and which setting wins: flag > AVATARCTL_* > ./avatarctl.toml > user config > preset."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from avatarctl.errors import BadConfig

PROJECT_FILE = "avatarctl.toml"
TOP_LEVEL = ("preset", "avatar", "outputs", "engines", "models", "ray", "resources", "retention")
"""Settings that belong to no stage. `engines` holds a table for each engine; see `ENGINE_KEYS`, `MODELS_KEYS`,
`RAY_KEYS`, `RESOURCES_KEYS`, `RETENTION_KEYS`."""
ENGINE_KEYS = ("python", "home")
"""Of an engine that runs in a worker: its interpreter, and the folder of a program that it drives."""
CLOUD = "cloud"
"""The table that says which engines may send anything to a company's machines. It is the user's own to write: neither
a preset nor the `avatarctl.toml` of a folder can allow anything."""
RETENTION_KEYS = ("days", "size")
"""Of the table `retention`: how long what is in the cache is kept unused, and how much of it."""
MODELS_KEYS = ("mirrors",)
"""Of the table `models`: where else weights may come from, asked first; folders or http(s) addresses."""
RAY_KEYS = ("address", "store")
"""Of the table `ray`: the cluster (`host:port`, or `auto`), and what carries files between its machines: a folder that
all of them reach, or an address that fsspec knows."""
RESOURCES_KEYS = ("vram_mb",)
"""Of the table `resources`: how much of the GPU's memory all engines together may take, MiB."""

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


def check_models(table: object, where: str) -> None:
    """Raises `BadConfig` when a layer's table `models` is not what it has to be."""
    if not isinstance(table, dict):
        raise BadConfig(f"{where}: models has to be a table", hint='[models] mirrors = ["/mnt/models"]')
    for key, value in table.items():
        if key not in MODELS_KEYS:
            raise BadConfig(f"{where}: unknown key models.{key}", hint=f"known: {', '.join(MODELS_KEYS)}")
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            raise BadConfig(f"{where}: models.{key} has to be a list of texts", hint='mirrors = ["/mnt/models"]')


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def byte_count(text: str) -> int:
    """Bytes as people write them: 500M, 5G. Raises `ValueError` for what is no size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", text.strip().lower())
    if not match:
        raise ValueError(f"{text!r} is no size")
    return int(float(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True, slots=True)
class Retention:
    """What may be forgotten: what was not used for so many `days`, and what was not used for the longest time while
    the cache holds more than `max_bytes`. None: no limit."""

    days: float | None = None
    max_bytes: int | None = None

    @classmethod
    def parse(cls, table: object, where: str) -> Self:
        """The table `retention` of a layer; an empty text takes a limit away.

        Raises:
            BadConfig: unknown keys, or values that are no days or no size.
        """
        if not isinstance(table, dict):
            raise BadConfig(f"{where}: retention has to be a table", hint='[retention] days = 60, size = "20G"')
        for key in table:
            if key not in RETENTION_KEYS:
                raise BadConfig(f"{where}: unknown key retention.{key}", hint=f"known: {', '.join(RETENTION_KEYS)}")
        days, size = (str(table.get(key, "")) for key in RETENTION_KEYS)
        try:
            limit = float(days) if days else None
            if limit is not None and not 0 <= limit < float("inf"):
                raise ValueError
            return cls(limit, byte_count(size) if size else None)
        except ValueError:
            hint = 'write days = 60 and size = "20G"'
            raise BadConfig(f"{where}: retention is not understood: {table}", hint=hint) from None


def mirrors(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Where weights are looked for before their own sources: `[models] mirrors`, or `AVATARCTL_MODELS_MIRRORS`.

    Raises:
        BadConfig: it is not a list of texts.
    """
    found: list[str] = []
    for layer in layers({}, environment):
        if "models" in layer:
            check_models(layer["models"], f"{PROJECT_FILE} or AVATARCTL_*")
            found = layer["models"].get("mirrors", found)
    return found


def check_ray(table: object, where: str) -> None:
    """Raises `BadConfig` when a layer's table `ray` is not what it has to be."""
    if not isinstance(table, dict):
        raise BadConfig(f"{where}: ray has to be a table", hint='[ray] address = "10.0.0.1:6379"')
    for key, value in table.items():
        if key not in RAY_KEYS:
            raise BadConfig(f"{where}: unknown key ray.{key}", hint=f"known: {', '.join(RAY_KEYS)}")
        if not isinstance(value, str):
            raise BadConfig(f"{where}: ray.{key} is not text", hint="write it in quotes")


def ray(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Settings of the Ray cluster: `[ray]`, or `AVATARCTL_RAY_ADDRESS` and `AVATARCTL_RAY_STORE`; empty where not set.

    Raises:
        BadConfig: unknown keys, or values that are no text.
    """
    found = dict.fromkeys(RAY_KEYS, "")
    for layer in layers({}, environment):
        if "ray" in layer:
            check_ray(layer["ray"], f"{PROJECT_FILE} or AVATARCTL_*")
            found |= layer["ray"]
    return found


def check_resources(table: object, where: str) -> None:
    """Raises `BadConfig` when a layer's table `resources` is not what it has to be."""
    if not isinstance(table, dict):
        raise BadConfig(f"{where}: resources has to be a table", hint="[resources] vram_mb = 10000")
    for key, value in table.items():
        if key not in RESOURCES_KEYS:
            raise BadConfig(f"{where}: unknown key resources.{key}", hint=f"known: {', '.join(RESOURCES_KEYS)}")
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise BadConfig(f"{where}: resources.{key} has to be a whole number above 0", hint="vram_mb = 10000")


def vram_mb(environment: Mapping[str, str] = os.environ) -> int:
    """What all engines together may take of the GPU's memory: `[resources] vram_mb`, or `AVATARCTL_RESOURCES_VRAM_MB`;
    0 for all that there is.

    Raises:
        BadConfig: it is not a whole number above 0.
    """
    found = 0
    for layer in layers({}, environment):
        if "resources" in layer:
            check_resources(layer["resources"], f"{PROJECT_FILE} or AVATARCTL_*")
            found = layer["resources"].get("vram_mb", found)
    return found


def read_toml(path: Path) -> Layer:
    """A TOML file as a layer; empty when there is no such file.

    Raises:
        BadConfig: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
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
        elif stage == "retention" and key in RETENTION_KEYS:
            layer.setdefault(stage, {})[key] = value
        elif lower == "models_mirrors":
            # Addresses have colons and folders may have spaces, so it is commas that part them.
            layer["models"] = {"mirrors": [part.strip() for part in value.split(",") if part.strip()]}
        elif stage == "ray" and key in RAY_KEYS:
            layer.setdefault("ray", {})[key] = value
        elif stage == "resources" and key:
            layer.setdefault(stage, {})[key] = int(value) if value.isdecimal() else value
        elif key == "home":
            # Of a program that an engine drives: AVATARCTL_SADTALKER_HOME.
            layer.setdefault("engines", {}).setdefault(stage, {})["home"] = value
        elif lower in TOP_LEVEL:
            layer[lower] = value
        elif stage in stages and key:
            layer.setdefault(stage, {})[key] = value
    return layer
