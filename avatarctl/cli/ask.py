"""`avatarctl ask`: a question becomes an answer, in text or on film."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avatarctl.cli import common, offer
from avatarctl.cli.options import a_path, print_json, print_result, say, state
from avatarctl.errors import BadInput
from avatarctl.runtime.runner import Run

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def ask(
    question: Annotated[str | None, typer.Argument(help="The question, or - for standard input.")] = None,
    audio: Annotated[Path | None, typer.Option("--audio", help="The question as a recording.", parser=a_path)] = None,
    render: Annotated[bool, typer.Option("--render", "-r", help="Make a film of the answer.")] = False,
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
    """Answer a question, in text or on film.

    The text goes to stdout, or with --out into a file. With --render the film's path goes to stdout, and the text is
    shown on stderr at once.
    """
    from avatarctl.files import readable_file
    from avatarctl.recipes import answers, documents, exports, preflight
    from avatarctl.recipes.enroll import MAX_SAMPLE_BYTES
    from avatarctl.runtime import session
    from avatarctl.text import emotions
    from avatarctl.text.sentences import clean

    if emotion is not None and not render:
        raise BadInput("an emotion belongs to a film", hint="add --render")
    if subtitles and not render:
        raise BadInput("subtitles belong to a film", hint="add --render")
    if (question is None) == (audio is None):
        raise BadInput("give one question", hint='avatarctl ask "вопрос", or - for standard input, or --audio FILE')
    if export and not render:
        raise BadInput("movements are exported beside a film", hint="add --render")
    if (background is not None or aspect is not None) and not render:
        raise BadInput("a background and a shape belong to a film", hint="add --render")
    wanted = exports.checked(export)
    look = common.look(background, aspect)
    offer.offer(preset)
    settings = common.resolve(preset, [*look.settings, *(set_ or ())], avatar, emotion=emotion)
    options = common.chance(seed, take, refresh)
    if audio is not None:
        readable_file(audio, MAX_SAMPLE_BYTES * 4, "recording")
    asked = clean(common.read_text(question)) if question is not None else ""
    with session.open_store(readonly=dry_run) as store:
        who = common.find_avatar(store, avatar, settings) if render else None

        def walk(plan: Run) -> None:
            spoken = answers.load_recording(plan, audio) if audio is not None else asked
            answers.ask(plan, spoken, avatar=who, subtitles=subtitles or None, background=look.background(plan))

        if dry_run:
            plan = session.planning(store, settings, **options)
            walk(plan)
            exports.beside(plan, wanted)
            common.print_plan(plan)
            return
        name = common.slug(asked or "answer")
        if render or out is not None:
            common.destination(out, settings, name, ".mp4" if render else ".txt")
        preflight.look_ahead(store, settings, walk, options)
        request = answers.request_of(
            question=asked,
            avatar=who.id if who else None,
            documents=documents.known(store),
            subtitles=subtitles,
            exports=wanted,
        )

        def show(text: str) -> None:
            if not state.json:
                say(text.strip())

        with common.performing(store, "ask", request, settings, on_text=show, **options) as run:
            recording = answers.load_recording(run, audio) if audio is not None else None
            behind = look.background(run)
            if recording is not None:
                request["recording"] = recording.digest
            if behind is not None:
                request["background"] = behind.digest
            if recording is not None or behind is not None:
                store.ledger.update_request(run.id, request)
            given = answers.ask(run, recording or asked, avatar=who, subtitles=subtitles or None, background=behind)
            if recording is not None:
                name = common.slug(given.question)
                store.ledger.update_request(run.id, {**request, "title": given.question})
            moves = exports.beside(run, wanted)
            manifest = run.wait(given.text)
            # A language model may write tags of emotions, for the film alone.
            text = emotions.untagged(run.read_text(given.text, "answer"))
            sources = run.read_text(given.text, "sources")
            files: dict[str, Path] = {}
            if given.film is not None:
                files = common.deliver_film(run, given.film, moves, out, settings, name)
            elif out is not None:
                target = common.destination(out, settings, name, ".txt")
                written = store.add_bytes(text.encode("utf-8"), "text/plain; charset=utf-8")
                files = {"answer": session.deliver(run, written, target, "answer")}
        if not manifest.facts.get("found", True):
            say(
                "No answer was found: add documents (avatarctl knowledge add FILE), or let a language model answer "
                "(--set answer.engine=ollama)."
            )
        _print(run.id, given.question, text, sources, manifest.facts, files)


def _print(run_id: str, asked: str, text: str, sources: str, facts: Any, files: dict[str, Path]) -> None:
    import json

    if state.json:
        document = {
            "run": run_id,
            "question": asked,
            "answer": text,
            "found": facts.get("found"),
            "sources": json.loads(sources).get("sources", []),
            "outputs": common.paths_by_role(files),
        }
        print_json(document)
    elif files:
        print_result(str(next(iter(files.values()))))
    else:
        print_result(text)
        names = [s.get("document", "") for s in json.loads(sources).get("sources", [])]
        if names:
            say("source: " + ", ".join(dict.fromkeys(names)))
