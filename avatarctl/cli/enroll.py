"""`avatarctl enroll`: a photo and a voice sample become an avatar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatarctl.cli import common
from avatarctl.cli.options import a_path, a_place, print_json, print_result, say, state

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def enroll(
    photo: Annotated[Path, typer.Argument(help="A photo of one face: JPEG, PNG or WebP.", parser=a_path)],
    voice: Annotated[
        Path | None, typer.Argument(help="A recording of the person, of some 10 s to 2 min.", parser=a_path)
    ] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="What to call the avatar; the photo's name.")] = None,
    persona: Annotated[str, typer.Option("--persona", help="Who it is, told to a language model.")] = "",
    consent_by: Annotated[str, typer.Option("--consent-by", help="Who agreed to this use of face and voice.")] = "",
    face: Annotated[int, typer.Option("--face", min=0, help="Which face to take, counted from the left.")] = 0,
    preset: common.PresetOption = None,
    set_: common.SetOption = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="Where to put the preview.", parser=a_place)] = None,
    json: common.JsonOption = False,
) -> None:
    """Make an avatar from a photo and a voice sample. The preview's path goes to stdout."""
    from avatarctl.recipes.enroll import enroll as perform
    from avatarctl.runtime import session

    settings = common.resolve(preset, set_)
    called = common.avatar_name(name if name is not None else photo.stem)
    target = common.destination(out, settings, f"{common.slug(called)}-preview", ".png")
    request = {"photo": photo.name, "voice": voice.name if voice else "", "name": called}
    with (
        session.open_store() as store,
        common.performing(store, "enroll", request, settings) as run,
    ):
        made = perform(run, photo, voice, name=called, persona=persona, consent_by=consent_by, face=face)
        avatar = made.avatar
        preview = store.artefact(avatar.preview)
        if preview is not None:
            session.deliver(run, preview, target, "preview")
    if state.json:
        print_json(
            {
                "run": run.id,
                "avatar": {"id": avatar.id, "name": avatar.name, "version": avatar.version, "known": made.known},
                "portrait": common.without_landmarks(avatar.portrait_report),
                "voice": avatar.voice_report,
                "outputs": {"preview": str(target)},
            }
        )
        return
    again = "is enrolled already" if made.known else "is enrolled"
    say(f"{avatar.name} {again}, version {avatar.version}")
    for line in common.describe_portrait(avatar.portrait_report):
        say("  " + line)
    for line in common.describe_voice(avatar.voice_report):
        say("  " + line)
    print_result(str(target))
