"""`avatarctl check`: one stage, alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatarctl.cli import common
from avatarctl.cli.options import a_path, print_json, state

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def check(
    film: Annotated[Path, typer.Argument(help="A film, of avatarctl or not.", parser=a_path)],
    preset: common.PresetOption = None,
    set_: common.SetOption = None,
    refresh: common.RefreshOption = False,
    json: common.JsonOption = False,
) -> None:
    """Measure a film and judge it by the preset's limits. The figures go to stdout; exit code 1 if one breaks a limit.

    Lips against sound are not measured, since only a run knows what its film says: see `avatarctl runs show`.
    """
    from avatarctl.recipes import deliveries
    from avatarctl.recipes.check import check as perform
    from avatarctl.runtime import session

    settings = common.resolve(preset, set_)
    options = {"refresh_from": "" if refresh else None}
    with (
        session.open_store() as store,
        common.performing(store, "check", {"media": film.name}, settings, **options) as run,
    ):
        figures = dict(run.wait(perform(run, film)).facts)
        broken = deliveries.broken_limits(figures, settings)
    if state.json:
        print_json({"run": run.id, "figures": figures, "broken": [fault.as_dict() for fault in broken]})
    else:
        common.print_figures(figures)
    if broken:
        raise deliveries.rejection(broken, settings, str(film))
