"""`avatarctl models`: weights and demo portraits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from avatarctl import config, models, presets
from avatarctl.amounts import size
from avatarctl.cli import common, downloads, prompt
from avatarctl.cli.options import print_json, print_result, print_table, say, state
from avatarctl.errors import BadInput, Unavailable
from avatarctl.machine import needs

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Weights and demo portraits.")

NamesArgument = Annotated[
    list[str] | None, typer.Argument(help="Presets, or names of models or groups; default: face.")
]
FilesOption = Annotated[bool, typer.Option("--files", help="Every file, not only what is used together.")]


@app.command("list")
def list_(files: FilesOption = False, json: common.JsonOption = False) -> None:
    """All that can be fetched, with licence and state, what it serves and what it takes on the disk."""
    folder = config.paths().models
    rows = [_row(folder, m) for m in models.CATALOG.values()]
    on_disk, parts = (sum(r[field] for r in rows) for field in ("on_disk", "unfinished"))
    if state.json:
        print_json({"models": rows, "on_disk": on_disk, "unfinished": parts, "folder": str(folder)})
        return
    shown = rows if files else _by_folder(rows)
    table = [
        [r["name"], r["state"], size(r["bytes"]), r["licence"], ",".join(r["serves"]), r["summary"]] for r in shown
    ]
    print_table(["name", "state", "size", "licence", "serves", "what it is"], table)
    unfinished = f", and {size(parts)} unfinished" if parts else ""
    say(f"{size(on_disk)} on the disk{unfinished}, in {folder}")


@app.command()
def pull(
    names: NamesArgument = None,
    accept_licence: Annotated[
        list[str] | None, typer.Option("--accept-licence", help="Name of a licence that you have read and accept.")
    ] = None,
    trust: Annotated[
        str | None, typer.Option("--trust", help="SHA-256 that the one named model has, by your own knowledge.")
    ] = None,
    json: common.JsonOption = False,
) -> None:
    """Fetch what is missing, verified by SHA-256; what broke off goes on. The files' paths go to stdout."""
    folder = config.paths().models
    wanted = _meant(names or ["face"])
    if trust is not None:
        _trust(folder, wanted, trust)
    _ask_for_licences(folder, wanted, accept_licence or [])
    shown = downloads.watch()
    try:
        pulled = models.pull(
            folder,
            [m.name for m in wanted],
            progress=shown,
            offline=config.offline(),
            mirrors=config.mirrors(),
        )
    finally:
        shown.close()
    if state.json:
        print_json({"models": [{"name": p.name, "path": str(p.path), "fetched": p.fetched} for p in pulled]})
        return
    for p in pulled:
        if p.fetched:
            licence = models.model(p.name).licence
            terms = f"{licence.name} ({licence.url})" if licence.url else licence.name
            say(f"fetched {p.name}, {size(p.bytes)}, {terms}")
        print_result(str(p.path))


@app.command()
def verify(names: NamesArgument = None, json: common.JsonOption = False) -> None:
    """Read every model again and compare its SHA-256."""
    folder = config.paths().models
    wanted = [m.name for m in _meant(names)] if names else list(models.CATALOG)
    states = {name: str(models.verify(folder, name)) for name in wanted}
    if state.json:
        print_json({"models": states})
    else:
        print_table(["name", "state"], [[n, s] for n, s in states.items()])
    bad = [n for n, s in states.items() if s == "damaged" or (names and s == "missing")]
    if bad:
        raise Unavailable(
            f"not in order: {', '.join(bad)}", hint=f"avatarctl models pull {' '.join(models.short(bad))}"
        )


@app.command()
def rm(
    names: Annotated[list[str], typer.Argument(help="Presets, or names of models or groups.")],
    forget: Annotated[
        bool, typer.Option("--forget", help="Also forget the digests that were pinned on this machine.")
    ] = False,
    json: common.JsonOption = False,
) -> None:
    """Take models away, with what is unfinished of them. They can be fetched again."""
    folder = config.paths().models
    wanted = [m.name for m in _meant(names)]
    freed = models.remove(folder, wanted)
    forgotten = models.forget(folder, wanted) if forget else []
    if state.json:
        print_json({"removed": freed, "forgotten": forgotten})
        return
    for name, count in freed.items():
        print_result(f"{name}  {size(count)}")
    if not freed:
        say("none of them is here")
    if forgotten:
        say(f"forgotten: {', '.join(forgotten)}")


def _meant(names: Iterable[str]) -> list[models.Model]:
    """What names stand for: models, groups, or all that a preset needs; each once."""
    found: dict[str, models.Model] = {}
    shipped = presets.available()
    for name in names:
        known = name in models.CATALOG or name in models.groups
        if not known and name in shipped:
            found |= {m.name: m for m in needs.weights(presets.resolve(name))}
        else:
            found |= {m.name: m for m in models.resolve(name)}
    return list(found.values())


def _trust(folder: Path, wanted: list[models.Model], sha256: str) -> None:
    if len(wanted) != 1:
        raise BadInput("--trust is about one model", hint="name one, as `avatarctl models list --files` does")
    try:
        models.trust(folder, wanted[0], sha256.strip().lower())
    except ValueError:
        raise BadInput(f"{sha256!r} is not a SHA-256", hint="64 digits and letters from a to f") from None


def _ask_for_licences(folder: Path, wanted: list[models.Model], accepted: list[str]) -> None:
    """Licences that nobody has accepted yet are taken from the command line, or asked for on a terminal.

    Those that stay open are refused by the pull itself, with what to type.
    """
    absent = [m for m in wanted if models.installed(folder, m.name) != "ok"]
    known = {m.licence.name for m in models.CATALOG.values() if m.licence.accept}
    for name in accepted:
        if name not in known:
            raise BadInput(f"no licence {name!r} has to be accepted", hint=f"known: {', '.join(sorted(known))}")
    for licence in models.to_accept(folder, absent):
        if licence.name in accepted:
            models.accept(folder, licence)
        elif prompt.can_ask():
            say(f"{licence.name}: {licence.accept}\n{licence.url}")
            if prompt.agreed("Do you accept it?"):
                models.accept(folder, licence)


def _row(folder: Path, m: models.Model) -> dict[str, Any]:
    here = str(models.installed(folder, m.name))
    parts = models.unfinished(folder, m.name)
    return {
        "name": m.name,
        "group": m.folder,
        "summary": m.summary,
        "licence": m.licence.name,
        "bytes": m.size,
        "sha256": m.sha256,
        "verified": m.verified,
        "state": here,
        "on_disk": models.bytes_here(folder, m.name),
        "unfinished": parts,
        "serves": list(m.serves),
    }


def _by_folder(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for what is used together."""
    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = row["group"] or row["name"]
        if name not in table:
            summary = row["summary"].rpartition(": ")[0] if row["group"] else row["summary"]
            table[name] = {**row, "name": name, "summary": summary or row["summary"], "states": []}
        else:
            table[name]["bytes"] += row["bytes"]
        table[name]["states"].append(row["state"])
    for row in table.values():
        states = set(row["states"])
        row["state"] = states.pop() if len(states) == 1 else "damaged" if "damaged" in states else "partly"
    return list(table.values())
