"""`avatarctl doctor`: whether this machine and this installation can do their work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from avatarctl import config, models
from avatarctl.cli import common
from avatarctl.cli.options import print_json, print_table, state
from avatarctl.errors import AvatarctlError, Unavailable

app = typer.Typer(add_completion=False, rich_markup_mode=None)

LOW_DISK_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `state`: ok, warning or broken."""

    name: str
    state: str
    found: str
    hint: str = ""


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also read every model and every kept file again.")] = False,
    json: common.JsonOption = False,
) -> None:
    """Check this machine and this installation; exit code 4 if something is broken."""
    looks: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("ffmpeg", _ffmpeg),
        ("espeak-ng", _espeak),
        ("rhubarb", _rhubarb),
        ("full-text search", _search),
        ("face models", lambda: _models(deep)),
        ("recognition", _recognition),
        ("store", lambda: _store(deep)),
        ("disk", _disk),
        ("settings", _settings),
    ]
    checks = [_guarded(name, look) for name, look in looks]
    if state.json:
        print_json({"checks": [vars(c) for c in checks]})
    else:
        print_table(["check", "state", "found"], [[c.name, c.state, c.found] for c in checks])
    broken = [c for c in checks if c.state == "broken"]
    if broken:
        raise Unavailable(f"not in order: {', '.join(c.name for c in broken)}", hint=broken[0].hint)


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except AvatarctlError as error:
        return Check(name, "broken", error.as_dict()["message"], error.hint)
    except ImportError as error:
        return Check(name, "broken", str(error), "install avatarctl again")
    except OSError as error:
        return Check(name, "broken", str(error), "look at that path, or set AVATARCTL_HOME to another folder")


def _python() -> Check:
    import platform

    cores = len(os.sched_getaffinity(0))
    return Check("python", "ok", f"{platform.python_version()} on {platform.machine()}, {cores} cores")


def _ffmpeg() -> Check:
    from avatarctl.media import ffmpeg

    return Check("ffmpeg", "ok", ffmpeg.binary())


def _espeak() -> Check:
    import espeakng_loader

    library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    if not library.is_file() or not data.is_dir():
        return Check(
            "espeak-ng", "broken", "its library or data is missing", "pip install --force-reinstall espeakng-loader"
        )
    return Check("espeak-ng", "ok", library.name)


def _rhubarb() -> Check:
    found = shutil.which("rhubarb")
    return Check("rhubarb", "ok", found or "not on PATH; only --set align.engine=rhubarb needs it")


def _search() -> Check:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5(content)")
    except sqlite3.OperationalError as error:
        return Check("full-text search", "broken", str(error), "use a Python whose SQLite has FTS5")
    finally:
        connection.close()
    return Check("full-text search", "ok", f"SQLite {sqlite3.sqlite_version} with FTS5")


def _models(deep: bool) -> Check:
    folder = config.paths().models
    look = models.verify if deep else models.installed
    states = {m.name: str(look(folder, m.name)) for m in models.resolve("face")}
    if all(s == "ok" for s in states.values()):
        return Check("face models", "ok", ", ".join(states))
    found = ", ".join(f"{name} {s}" for name, s in states.items())
    return Check("face models", "broken", found, "avatarctl models pull face")


def _recognition() -> Check:
    """Which engine hears a spoken question with the user's settings, and whether it can."""
    from avatarctl.engines import readiness

    chosen = common.resolve(None, None).choice("transcribe", {"audio"})
    try:
        readiness.paths(chosen.spec, chosen.params, config.paths().models)
    except Unavailable as error:
        # Nothing but `ask --audio` needs it.
        return Check("recognition", "ok", f"none; for ask --audio: {error.hint}")
    return Check("recognition", "ok", chosen.spec.summary)


def _store(deep: bool) -> Check:
    from avatarctl.runtime import session
    from avatarctl.store.verify import verify

    with session.open_store() as store:
        people = len({a.name for a in store.ledger.avatars()})
        found = f"{people} avatars, {len(store.ledger.documents())} documents in {store.home}"
        if deep:
            report = verify(store, repair=False)
            if report.damaged:
                return Check("store", "broken", f"{len(report.damaged)} damaged files", "avatarctl cache verify")
    return Check("store", "ok", found)


def _disk() -> Check:
    folder = config.paths().data
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    verdict = "ok" if free > LOW_DISK_BYTES else "warning"
    return Check("disk", verdict, f"{free / 10**9:.1f} GB free", "avatarctl cache gc --max-size 5G")


def _settings() -> Check:
    settings = common.resolve(None, None)
    return Check("settings", "ok", f"preset {settings.preset}, results in {settings.outputs}/")
