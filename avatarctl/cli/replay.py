"""`avatarctl replay`: a past run again, with one thing changed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from avatarctl.cli import common
from avatarctl.cli.options import print_json, print_result, say, state
from avatarctl.errors import BadInput

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def replay(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, its beginning, or `last`.")],
    set_: common.SetOption = None,
    from_: Annotated[str | None, typer.Option("--from", help="Make this stage and all after it again.")] = None,
    preset: common.PresetOption = None,
    out: common.OutOption = None,
    export: common.ExportOption = None,
    dry_run: common.DryRunOption = False,
    take: Annotated[int | None, typer.Option("--take", min=0, help="Another take than that run's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Another seed than that run's.")] = None,
    json: common.JsonOption = False,
) -> None:
    """Perform a past run again, with something changed. Steps that the change does not touch are hits."""
    from avatarctl import presets
    from avatarctl.recipes import answers, exports, preflight, replays
    from avatarctl.runtime import session
    from avatarctl.text import emotions

    with session.open_store(readonly=dry_run) as store:
        before = store.ledger.run(run_id)
        settings = presets.change(before.settings, preset, set_ or ())
        options: dict[str, Any] = {
            "seed": int(before.settings.get("seed", 0)) if seed is None else seed,
            "take": int(before.settings.get("take", 0)) if take is None else take,
            "refresh_from": from_,
        }
        replays.check(before)
        wanted = exports.checked(export or before.request.get("exports"))
        if wanted and not replays.makes_film(before):
            raise BadInput("movements are exported beside a film", hint="that run made none: ask again with --render")
        if dry_run:
            plan = session.planning(store, settings, **options)
            replays.perform(plan, before)
            exports.beside(plan, wanted)
            common.print_plan(plan)
            return
        name = common.slug(replays.title(before))
        if replays.makes_film(before):
            common.destination(out, settings, name, ".mp4")
        preflight.look_ahead(store, settings, lambda run: replays.perform(run, before), options)
        request = {**before.request, "replay_of": before.id, **answers.request_of(exports=wanted)}
        with common.performing(store, before.recipe, request, settings, **options) as run:
            again = replays.perform(run, before)
            moves = exports.beside(run, wanted)
            text = ""
            if again.text is not None:
                run.wait(again.text)
                text = emotions.untagged(run.read_text(again.text, "answer"))
            files = common.deliver_film(run, again.film, moves, out, settings, name) if again.film else {}
    if state.json:
        outputs = common.paths_by_role(files)
        print_json({"run": run.id, "replay_of": before.id, "answer": text, "outputs": outputs})
    elif files:
        if text:
            say(text)
        print_result(str(files["film"]))
    else:
        print_result(text)
