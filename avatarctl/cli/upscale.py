"""`avatarctl upscale`: one stage, alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatarctl.cli import common
from avatarctl.cli.options import a_path, print_json, print_result, state
from avatarctl.errors import BadInput

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def upscale(
    media: Annotated[Path, typer.Argument(help="A film or a picture.", parser=a_path)],
    scale: Annotated[int, typer.Option("--scale", help="How many times larger: 2 or 4.")] = 2,
    engine: Annotated[
        str | None, typer.Option("--engine", help="Who does it: lanczos, realesrgan, realesrgan-torch.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="The engine's network: photo (x4plus), video (x2, x4), or a file of weights."),
    ] = None,
    preset: common.PresetOption = None,
    set_: common.SetOption = None,
    out: common.OutOption = None,
    refresh: common.RefreshOption = False,
    json: common.JsonOption = False,
) -> None:
    """Make a film or a picture larger; every frame and the sound are kept. The path goes to stdout."""
    from avatarctl.recipes.upscale import upscale as perform
    from avatarctl.runtime import session

    if scale not in (2, 4):
        raise BadInput(f"--scale {scale} is not possible", hint="--scale 2 or --scale 4")
    chosen = {"engine": engine, "model": model}
    wanted = [f"upscale.{name}={value}" for name, value in chosen.items() if value is not None]
    settings = common.resolve(preset, [*(set_ or []), *wanted])
    name = f"{media.stem}-x{scale}"
    common.destination(out, settings, name, ".mp4")
    options = {"refresh_from": "" if refresh else None}
    with (
        session.open_store() as store,
        common.performing(store, "upscale", {"media": media.name, "scale": scale}, settings, **options) as run,
    ):
        made = run.wait(perform(run, media, scale))
        role = "video" if "video" in made.outputs else "image"
        suffix = ".mp4" if role == "video" else ".png"
        target = session.deliver(run, made.outputs[role], common.destination(out, settings, name, suffix), role)
    if state.json:
        print_json({"run": run.id, "outputs": common.paths_by_role({role: target}), "facts": dict(made.facts)})
    else:
        print_result(str(target))
