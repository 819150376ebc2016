"""`avatarctl cache`: what is kept, whether it is whole, and what may go."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from avatarctl.amounts import size
from avatarctl.cli import common
from avatarctl.cli.options import a_place, bytes_of, print_json, print_result, print_table, say, state
from avatarctl.errors import StepFailed

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="What is kept, and what may go."
)


@app.command()
def stats(json: common.JsonOption = False) -> None:
    """How much each stage keeps."""
    from avatarctl.runtime import session
    from avatarctl.store import gc

    with session.open_store(readonly=True) as store:
        use = gc.stats(store)
    if state.json:
        print_json(dataclasses.asdict(use))
        return
    rows = [[s.stage, s.engine, s.actions, s.files, size(s.bytes)] for s in use.stages]
    print_table(["stage", "engine", "steps", "files", "size"], rows)
    print_result(
        f"{use.files} files, {size(use.bytes)}; of these {use.pinned_files} belong to avatars and documents, "
        f"{use.orphan_files} to nobody; {use.quarantined_files} were set aside as damaged"
    )


@app.command()
def verify(json: common.JsonOption = False) -> None:
    """Read every file again. A damaged one is set aside, and made again when it is next wanted."""
    from avatarctl.runtime import session
    from avatarctl.store.verify import verify as read_all

    with session.open_store() as store:
        report = read_all(store)
    if state.json:
        print_json(dataclasses.asdict(report))
    else:
        print_result(f"{report.files} files, {size(report.bytes)}: {len(report.damaged)} damaged")
    for damage in report.damaged:
        if damage.owner:
            say(f"{damage.owner} has to be given again: {damage.digest[:12]} {damage.reason}")
    if report.damaged:
        raise StepFailed(
            f"{len(report.damaged)} files were damaged and set aside",
            hint="give the commands that made them again; a disk that damages files should be replaced",
        )


@app.command("gc")
def gc_(
    max_size: Annotated[str | None, typer.Option("--max-size", help="Keep at most this much, as in 5G.")] = None,
    max_age: Annotated[
        float | None, typer.Option("--max-age", min=0, help="Forget what was not used for so many days.")
    ] = None,
    dry_run: common.DryRunOption = False,
    json: common.JsonOption = False,
) -> None:
    """Delete what was used longest ago, also while others work. Avatars, documents, pins and delivered films stay.

    Without limits here, those of `[retention]` in your settings or preset hold. What running commands use, and what
    was made for jobs that are not finished, stays whatever the limits say.
    """
    from avatarctl import config
    from avatarctl.runtime import session
    from avatarctl.store import gc

    kept = common.resolve(None, None).retention
    limit = bytes_of(max_size, "--max-size") if max_size is not None else kept.max_bytes
    max_age = kept.days if max_age is None else max_age
    with session.open_store(readonly=dry_run) as store:
        plan = gc.plan(store, max_bytes=limit, max_age_days=max_age)
        if not dry_run:
            plan = gc.apply(store, plan, timeout=config.lock_timeout())
    if state.json:
        print_json({"dry_run": dry_run, **dataclasses.asdict(plan)})
        return
    verb = "would delete" if dry_run else "deleted"
    print_result(
        f"{verb} {len(plan.actions)} steps and {len(plan.files)} files, {size(plan.freed)}; {size(plan.kept)} stay"
    )
    if plan.pinned:
        say(f"{plan.pinned} steps stay because their runs are pinned: avatarctl cache pins")
    if plan.in_use:
        say(f"{plan.in_use} files are in use, or were made for jobs that are not finished: they stay")
    if limit is None and max_age is None:
        say("only unused files were looked at; give --max-size 5G or --max-age 30 to delete more")


RunsArgument = Annotated[
    list[str],
    typer.Argument(metavar="RUN...", help="Runs by their ids, `last`, or films that they delivered.", parser=a_place),
]


@app.command()
def pin(runs: RunsArgument, json: common.JsonOption = False) -> None:
    """Keep every step of these runs, whatever `gc` and `[retention]` say. Avatars and documents stay anyway."""
    from avatarctl.runtime import session

    with session.open_store() as store:
        wanted = {store.ledger.runs_of(run)[0] for run in runs}
        store.ledger.pin_runs(sorted(wanted))
        pinned = [p for p in store.ledger.pins() if p.run_id in wanted]
    if state.json:
        print_json({"pins": [dataclasses.asdict(p) for p in pinned]})
        return
    for p in pinned:
        gone = f"; {p.steps - p.kept} were collected before: avatarctl replay {p.run_id}" if p.kept < p.steps else ""
        say(f"{p.run_id} is pinned: {p.kept} steps, {size(p.bytes)}{gone}")


@app.command()
def unpin(runs: RunsArgument, json: common.JsonOption = False) -> None:
    """Let `gc` have the steps of these runs again."""
    from avatarctl.runtime import session

    with session.open_store() as store:
        # The same film may have been delivered again since it was pinned.
        wanted = {run_id for run in runs for run_id in store.ledger.runs_of(run)}
        count = store.ledger.unpin_runs(sorted(wanted))
    if state.json:
        print_json({"unpinned": count})
    else:
        say(f"{count} {'run is' if count == 1 else 'runs are'} pinned no more")


@app.command()
def pins(json: common.JsonOption = False) -> None:
    """Runs that are pinned, and how much that keeps."""
    from avatarctl.runtime import session

    with session.open_store(readonly=True) as store:
        found = store.ledger.pins()
    if state.json:
        print_json({"pins": [dataclasses.asdict(p) for p in found]})
        return
    rows = [[p.run_id, p.recipe, p.since[:19], f"{p.kept} of {p.steps}", size(p.bytes)] for p in found]
    print_table(["run", "recipe", "pinned (UTC)", "steps kept", "size"], rows)
