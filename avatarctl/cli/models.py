"""`avatarctl models`: weights and demo portraits."""

from __future__ import annotations

from typing import Annotated

import typer

from avatarctl import config, models
from avatarctl.cli import common
from avatarctl.cli.options import print_json, print_result, print_table, say, size, state
from avatarctl.errors import Unavailable

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Weights and demo portraits.")

NamesArgument = Annotated[list[str] | None, typer.Argument(help="Names of models or groups; default: face.")]


@app.command("list")
def list_(json: common.JsonOption = False) -> None:
    """All that can be fetched, with licence and state."""
    folder = config.paths().models
    rows = [
        {
            "name": m.name,
            "summary": m.summary,
            "licence": m.licence,
            "bytes": m.size,
            "sha256": m.sha256,
            "state": str(models.installed(folder, m.name)),
        }
        for m in models.CATALOG.values()
    ]
    if state.json:
        print_json({"models": rows})
        return
    table = [[r["name"], r["state"], size(float(str(r["bytes"]))), r["licence"], r["summary"]] for r in rows]
    print_table(["name", "state", "size", "licence", "what it is"], table)


@app.command()
def pull(names: NamesArgument = None, json: common.JsonOption = False) -> None:
    """Fetch what is missing, verified by SHA-256. The files' paths go to stdout."""
    wanted = [m for name in names or ["face"] for m in models.resolve(name)]
    pulled = models.pull(config.paths().models, [m.name for m in wanted], offline=config.offline())
    if state.json:
        print_json({"models": [{"name": p.name, "path": str(p.path), "fetched": p.fetched} for p in pulled]})
        return
    for p in pulled:
        if p.fetched:
            say(f"fetched {p.name}, {size(p.bytes)}, {models.model(p.name).licence}")
        print_result(str(p.path))


@app.command()
def verify(names: NamesArgument = None, json: common.JsonOption = False) -> None:
    """Read every model again and compare its SHA-256."""
    folder = config.paths().models
    wanted = [m.name for name in names for m in models.resolve(name)] if names else list(models.CATALOG)
    states = {name: str(models.verify(folder, name)) for name in wanted}
    if state.json:
        print_json({"models": states})
    else:
        print_table(["name", "state"], [[n, s] for n, s in states.items()])
    bad = [n for n, s in states.items() if s == "damaged" or (names and s == "missing")]
    if bad:
        raise Unavailable(f"not in order: {', '.join(bad)}", hint=f"avatarctl models pull {' '.join(bad)}")
