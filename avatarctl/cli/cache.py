"""`avatarctl cache`: what is kept, whether it is whole, and what may go."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from avatarctl.cli import common
from avatarctl.cli.options import print_json, print_result, print_table, say, size, state
from avatarctl.errors import BadInput, StepFailed

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="What is kept, and what may go."
)

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@app.command()
def stats(json: common.JsonOption = False) -> None:
    """How much each stage keeps."""
    from avatarctl.runtime import session
    from avatarctl.store import gc

    with session.open_store(readonly=True) as store:
        found = gc.stats(store)
    if state.json:
        print_json(found.as_dict())
        return
    print_table(["stage", "steps", "size"], [[s.stage, s.actions, size(s.bytes)] for s in found.stages])
    print_result(f"{found.files} files, {size(found.bytes)}; {found.orphans} unused, {found.quarantined} quarantined")


@app.command()
def verify(json: common.JsonOption = False) -> None:
    """Read every file again. A damaged one is set aside, and made again when it is next wanted."""
    from avatarctl.runtime import session
    from avatarctl.store import gc

    with session.open_store() as store:
        report = gc.verify(store)
    if state.json:
        print_json(report.as_dict())
    else:
        print_result(f"{report.checked} files, {size(report.bytes)}: {len(report.damaged)} damaged")
    if report.damaged:
        raise StepFailed(
            f"{len(report.damaged)} files were damaged and set aside",
            hint="give the commands that made them again; a disk that damages files should be replaced",
        )


@app.command("gc")
def gc_(
    max_size: Annotated[str | None, typer.Option("--max-size", help="Keep at most this much, as in 5G.")] = None,
    max_age: Annotated[float | None, typer.Option("--max-age", min=0, help="Forget what was not used for so many days.")] = None,
    dry_run: common.DryRunOption = False,
    json: common.JsonOption = False,
) -> None:
    """Delete what was used longest ago. Avatars and documents stay."""
    from avatarctl import config
    from avatarctl.runtime import session
    from avatarctl.store import gc

    limit = _bytes(max_size) if max_size is not None else None
    with session.open_store(readonly=dry_run) as store:
        plan = gc.plan(store, max_bytes=limit, max_age_days=max_age)
        if not dry_run:
            plan = gc.apply(store, plan, timeout=config.lock_timeout())
    if state.json:
        print_json({"dry_run": dry_run, **plan.as_dict()})
        return
    verb = "would delete" if dry_run else "deleted"
    print_result(f"{verb} {len(plan.actions)} steps and {len(plan.blobs)} files, {size(plan.bytes)}")
    if limit is None and max_age is None:
        say("only unused files were looked at; give --max-size 5G or --max-age 30 to delete more")


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", text.strip().lower())
    if not match:
        raise BadInput(f"--max-size {text!r} is not understood", hint="write 500M or 5G")
    return int(float(match[1]) * _UNITS[match[2]])
