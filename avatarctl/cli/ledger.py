"""`avatarctl ledger`: the one file that cannot be made again, backed up, looked over, and put back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from avatarctl.amounts import size
from avatarctl.cli import common
from avatarctl.cli.options import a_path, print_json, print_result, print_table, say, state
from avatarctl.errors import StepFailed

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The ledger: what is known of every run."
)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to put the copy.", parser=a_path)],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: common.JsonOption = False,
) -> None:
    """Copy the ledger while anything runs, check the copy, and put it there whole or not at all.

    The ledger knows every avatar, run and job. Photos, voices and films are files of their own, below cas/.
    """
    from avatarctl.store import backup as copies

    made = copies.backup(_path(), file, force=force)
    if state.json:
        print_json(dataclasses.asdict(made))
    else:
        print_result(made.path)
        say(f"{size(made.bytes)}, {made.rows['runs']} runs, {made.rows['avatars']} avatars; checked")


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="A copy; the ledger itself if not given.", parser=a_path)] = None,
    json: common.JsonOption = False,
) -> None:
    """Look over every page and reference of the ledger, or of a copy. Changes nothing."""
    from avatarctl.store import backup as copies

    found = copies.look_over(file or _path())
    if state.json:
        print_json(dataclasses.asdict(found))
    else:
        print_table(["table", "rows"], [[name, count] for name, count in found.rows.items()])
    if found.problems:
        raise StepFailed(
            f"the ledger {found.path} is damaged",
            why="; ".join(found.problems[:3]),
            hint="avatarctl ledger restore FILE puts a backup in its place",
        )


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `avatarctl ledger backup` made.", parser=a_path)],
    json: common.JsonOption = False,
) -> None:
    """Put a backup in the ledger's place. The present ledger stays beside it, under another name.

    What was made since then is still in the cache, but not known any more: it is made again when it is asked for.
    """
    from avatarctl import config
    from avatarctl.store import backup as copies
    from avatarctl.store.store import cache_lock

    with cache_lock(config.paths().data).exclusive(config.lock_timeout()):
        put, before = copies.restore(_path(), file)
    if state.json:
        print_json({**dataclasses.asdict(put), "before": str(before or "")})
    else:
        print_result(put.path)
        say(f"{put.rows['runs']} runs, {put.rows['avatars']} avatars" + (f"; before: {before}" if before else ""))


def _path() -> Path:
    from avatarctl import config
    from avatarctl.store.ledger import FILE_NAME

    return config.paths().data / FILE_NAME
