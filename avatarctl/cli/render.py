"""`avatarctl render`: a text or a recording becomes a film; no language model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatarctl.cli import common, offer
from avatarctl.cli.options import a_path, print_json, print_result, state
from avatarctl.errors import BadInput
from avatarctl.recipes.film import Film
from avatarctl.runtime.runner import Run

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def render(
    text: Annotated[str | None, typer.Argument(help="The text, or - for standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A text file.", parser=a_path)] = None,
    audio: Annotated[
        Path | None, typer.Option("--audio", help="A recording to speak along with.", parser=a_path)
    ] = None,
    text_file: Annotated[
        Path | None, typer.Option("--text-file", help="What the recording says.", parser=a_path)
    ] = None,
    idle: Annotated[
        float | None, typer.Option("--idle", help="Say nothing for so many seconds; may be looped.")
    ] = None,
    avatar: common.AvatarOption = None,
    preset: common.PresetOption = None,
    set_: common.SetOption = None,
    emotion: common.EmotionOption = None,
    out: common.OutOption = None,
    subtitles: common.SubtitlesOption = False,
    export: common.ExportOption = None,
    background: common.BackgroundOption = None,
    aspect: common.AspectOption = None,
    dry_run: common.DryRunOption = False,
    refresh: common.RefreshOption = False,
    take: common.TakeOption = 0,
    seed: common.SeedOption = None,
    json: common.JsonOption = False,
) -> None:
    """Turn a text or a recording into a film. The film's path goes to stdout."""
    from avatarctl.files import readable_file
    from avatarctl.recipes import answers, exports, preflight
    from avatarctl.recipes.enroll import MAX_SAMPLE_BYTES
    from avatarctl.runtime import session
    from avatarctl.text import emotions

    if sum(given is not None for given in (text, file, audio, idle)) != 1:
        raise BadInput(
            "give one thing to say", hint="a text, - for standard input, --file F, --audio F or --idle SECONDS"
        )
    if idle is not None:
        answers.check_idle(idle)
    if idle is not None and subtitles:
        raise BadInput("nothing is said in an idle film", hint="leave out --subtitles")
    if text_file is not None and audio is None:
        raise BadInput("--text-file belongs to a recording", hint="give --audio F too, or the text with --file")
    look = common.look(background, aspect)
    offer.offer(preset)
    settings = common.resolve(preset, [*look.settings, *(set_ or ())], avatar, emotion=emotion)
    options = common.chance(seed, take, refresh)
    wanted = exports.checked(export)
    spoken_file = file if audio is None else text_file
    said = "" if text is None and spoken_file is None else common.read_text(text, spoken_file)
    words = said if text_file is not None else None
    if audio is not None:
        readable_file(audio, MAX_SAMPLE_BYTES * 4, "recording")
    spoken = emotions.untagged(said) if idle is None else f"idle {idle:g}"
    name = common.slug(audio.stem if audio is not None else spoken)
    with session.open_store(readonly=dry_run) as store:
        who = common.find_avatar(store, avatar, settings)
        request = answers.request_of(text=said if audio is None else "", idle=idle, avatar=who.id, subtitles=subtitles)
        request.update(answers.request_of(exports=wanted))

        def perform(run: Run) -> Film:
            behind = look.background(run)
            if behind is not None:
                request["background"] = behind.digest
            if idle is not None:
                learned(run)
                return answers.render_idle(run, idle, who, background=behind)
            if audio is None:
                learned(run)
                return answers.render_text(run, said, who, subtitles=subtitles or None, background=behind)
            recording = answers.load_recording(run, audio)
            request.update(answers.request_of(recording=recording.digest, title=audio.stem, text=said))
            learned(run)
            return answers.render_recording(
                run, recording, who, audio.stem, text=words, subtitles=subtitles or None, background=behind
            )

        def learned(run: Run) -> None:
            if not run.dry:
                store.ledger.update_request(run.id, request)

        if dry_run:
            plan = session.planning(store, settings, **options)
            perform(plan)
            exports.beside(plan, wanted)
            common.print_plan(plan)
            return
        common.destination(out, settings, name, ".mp4")
        preflight.look_ahead(store, settings, perform, options)
        with common.performing(store, "render", request, settings, **options) as run:
            film, moves = perform(run), exports.beside(run, wanted)
            files = common.deliver_film(run, film, moves, out, settings, name)
        if state.json:
            print_json({"run": run.id, "outputs": common.paths_by_role(files)})
        else:
            print_result(str(files["film"]))
