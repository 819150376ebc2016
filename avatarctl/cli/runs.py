"""`avatarctl runs`: what was done, and how long it took."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from avatarctl.amounts import milliseconds, size
from avatarctl.cli import common
from avatarctl.cli.options import print_json, print_result, print_table, state

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Past runs and their steps.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many; 0 for all.")] = 20,
    status: Annotated[str | None, typer.Option("--status", help="running, done, failed, stopped or lost.")] = None,
    json: common.JsonOption = False,
) -> None:
    """Past runs, newest first."""
    from avatarctl.recipes.replays import title
    from avatarctl.runtime import session

    with session.open_store(readonly=True) as store:
        found = store.ledger.runs(limit or -1, status=status)
    if state.json:
        print_json({"runs": [_run(r) for r in found]})
        return
    rows = [[r.id, r.recipe, r.status, r.started[:19], common.one_line(title(r), 40)] for r in found]
    print_table(["run", "recipe", "status", "started (UTC)", "about"], rows)


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, its beginning, or `last`.")],
    json: common.JsonOption = False,
) -> None:
    """Every step of a run: engine, key, hit or run, times, size, device."""
    from avatarctl.runtime import session

    with session.open_store(readonly=True) as store:
        run = store.ledger.run(run_id)
        steps = store.ledger.steps(run.id)
        made = {s.key: store.ledger.find_action(s.key) for s in steps if s.key}
    facts = {key: dict(manifest.facts) for key, manifest in made.items() if manifest is not None}
    if state.json:
        fields = [
            "index",
            "stage",
            "engine",
            "key",
            "status",
            "label",
            "queue_ms",
            "load_ms",
            "run_ms",
            "device",
            "peak_memory_mb",
            "error_code",
            "error",
            "inputs",
            "output_bytes",
            "notes",
        ]
        print_json({"run": _run(run), "steps": [_step(s, fields, facts) for s in steps]})
        return
    print_result(f"{run.id}  {run.recipe}  {run.status}  {run.started} .. {run.ended or '?'}")
    if run.error:
        print_result(f"error: {common.one_line(run.error, 200)}")
    for output in run.outputs:
        print_result(f"{output['role']:<9} {output['path']}")
    headers = ["#", "stage", "engine", "was", "queue", "load", "run", "size", "device", "key", "label"]
    table: list[list[Any]] = []
    for s in steps:
        key = s.key if state.verbose else s.key[:11]
        times = [milliseconds(t) for t in (s.queue_ms, s.load_ms, s.run_ms)]
        was = s.status if not s.error_code else f"{s.status}: {s.error_code}"
        table.append([s.index, s.stage, s.engine, was, *times, size(s.output_bytes), s.device, key, s.label])
    print_table(headers, table)
    for s in steps:
        if s.status == "done" and "used" in facts.get(s.key, {}):
            counted = ", ".join(f"{amount:g} {unit}" for unit, amount in facts[s.key]["used"].items())
            print_result(f"{s.stage}/{s.engine} was counted: {counted}")
    # A step that was tried again keeps what was noted before.
    for line in dict.fromkeys(f"{s.index} {s.stage}/{s.engine}: {n}" for s in steps for n in s.notes.splitlines()):
        print_result(line)
    for s in steps:
        if s.stage == "check" and s.key in facts:
            print_result("")
            common.print_figures(facts[s.key])


def _step(step: Any, fields: list[str], facts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {**{f: getattr(step, f) for f in fields}, "facts": facts.get(step.key, {})}


def _run(run: Any) -> dict[str, Any]:
    fields = ("id", "recipe", "status", "started", "ended", "request", "settings", "outputs", "error")
    return {f: getattr(run, f) for f in fields}
