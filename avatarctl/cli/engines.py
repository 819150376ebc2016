"""`avatarctl engines`: environments of engines that cannot live in this one."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from avatarctl import config
from avatarctl.amounts import size
from avatarctl.cli import common
from avatarctl.cli.options import print_json, print_result, print_table, say, state
from avatarctl.errors import BadInput

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Environments of engines that cannot live in this one.",
)

NameArgument = Annotated[str, typer.Argument(help="The engine's name (avatarctl engines list).")]
SECONDS_BETWEEN_LINES = 15.0


@app.command("list")
def list_(json: common.JsonOption = False) -> None:
    """Engines that can be installed: whether each is ready, in which interpreter, its versions and disk use."""
    from avatarctl.runtime import environments

    rows = [_row(one) for one in environments.installable()]
    if state.json:
        print_json({"engines": rows})
        return
    table = [
        [r["name"], r["state"], ", ".join(f"{n} {v}" for n, v in r["packages"].items()) or "-",
         size(r["bytes"]) if r["bytes"] else "-", r["python"] or "-"]
        for r in rows
    ]  # fmt: skip
    print_table(["name", "state", "versions", "size", "interpreter"], table)
    for row in rows:
        if row["hint"]:
            say(f"{row['name']}: {row['hint']}")


@app.command()
def install(
    name: NameArgument,
    torch: Annotated[
        str, typer.Option("--torch", help="Build of torch: cpu, cuda (3 GB), or auto: cuda where there is a GPU.")
    ] = "auto",
    python: Annotated[str, typer.Option("--python", help="The Python to make it of; this one if not given.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Make it anew even if it is there.")] = False,
    json: common.JsonOption = False,
) -> None:
    """Make an engine's environment from the lock that comes with it. Its interpreter goes to stdout."""
    from avatarctl.runtime import environments

    wanted = environments.find(name)
    if torch not in environments.TORCH_BUILDS:
        raise BadInput(f"there is no build {torch!r} of torch", hint=f"one of {', '.join(environments.TORCH_BUILDS)}")
    if python and shutil.which(python) is None:
        raise BadInput(f"there is no Python {python}", hint="give the path of an interpreter")
    made, new = environments.install(
        wanted,
        config.paths().environments,
        torch=torch,
        python=python,
        offline=config.offline(),
        again=again,
        lock_timeout=config.lock_timeout(),
        progress=_Progress(),
    )
    if state.json:
        print_json({"engine": name, "made": new, **_made(made)})
        return
    build = f", torch for {'CUDA' if made.build == 'cuda' else 'the CPU'}" if made.build else ""
    say(f"{'made' if new else 'there already'}: {name}, Python {made.python}{build}, {size(made.size())}")
    print_result(str(made.interpreter))


@app.command()
def rm(name: NameArgument, json: common.JsonOption = False) -> None:
    """Remove an engine's environment; models and films stay."""
    from avatarctl.runtime import environments

    folder = config.paths().environments
    if "/" in name or name.startswith("."):
        raise BadInput(f"there is no engine {name!r}")
    removed = environments.remove(folder, name, config.lock_timeout())
    if state.json:
        print_json({"engine": name, "removed": removed})
        return
    print_result(f"removed {name}" if removed else f"{name} has no environment")


def _row(one: Any) -> dict[str, Any]:
    """One engine: `state` is ready, outdated, set, broken or missing."""
    from avatarctl import presets
    from avatarctl.engines import readiness
    from avatarctl.runtime import environments

    made = environments.read(config.paths().environments, one.name)
    chosen = presets.resolve().interpreter(one.name)
    row: dict[str, Any] = {"name": one.name, "stage": one.spec.stage, "summary": one.spec.summary, "state": "missing",
                           "python": chosen, "packages": {}, "bytes": 0, "hint": ""}  # fmt: skip
    install = f"avatarctl engines install {one.name}"
    if made is not None:
        row |= {"bytes": made.size()}
    if made is not None and chosen == str(made.interpreter):
        current = environments.is_current(one, made)
        wanted = [n for n in dict.fromkeys(one.wanted()) if n in made.packages]
        row |= {"state": "ready" if current else "outdated", "packages": {n: made.packages[n] for n in wanted}}
        row["hint"] = "" if current else f"made from an older lock: {install}"
    elif chosen:
        there = Path(chosen).exists()
        row |= {"state": "set" if there else "broken"}
        row["hint"] = "" if there else f"[engines.{one.name}] python names what is not there: {chosen}"
    elif not readiness.missing_package(one.spec):
        row |= {"state": "ready", "python": sys.executable}
    else:
        row["hint"] = install
    return row


def _made(made: Any) -> dict[str, Any]:
    return {
        "python": str(made.interpreter),
        "python_version": made.python,
        "torch": made.build or None,
        "bytes": made.size(),
        "packages": made.packages,
    }


class _Progress:
    """Says what pip is at: every package's number on a terminal's one line, elsewhere now and then."""

    def __init__(self) -> None:
        self._said = 0.0
        self._live = sys.stderr.isatty() and not state.quiet

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if self._live:
            sys.stderr.write(f"\r\x1b[K{done}/{total}  {what[:60]}" if done < total else "\r\x1b[K")
            sys.stderr.flush()
        elif now - self._said > SECONDS_BETWEEN_LINES or what.startswith("Installing "):
            self._said = now
            say(f"{done} of {total} packages: {common.one_line(what, 80)}")
