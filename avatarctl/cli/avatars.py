"""`avatarctl avatars`: the enrolled people."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import typer

from avatarctl.amounts import size
from avatarctl.cli import common
from avatarctl.cli.options import a_path, print_json, print_result, print_table, say, state
from avatarctl.errors import BadInput

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The enrolled people.")

NameArgument = Annotated[str, typer.Argument(help="Name, name@version, or id.")]


@app.command("list")
def list_(json: common.JsonOption = False) -> None:
    """Everyone who is enrolled, newest first."""
    from avatarctl.runtime import session

    with session.open_store(readonly=True) as store:
        avatars = store.ledger.newest_avatars()
    if state.json:
        fields = ("id", "name", "version", "created", "consent_by")
        print_json({"avatars": [{**{f: getattr(a, f) for f in fields}, "voice": bool(a.voice)} for a in avatars]})
        return
    rows = [[a.name, a.version, "yes" if a.voice else "no", a.consent_by or "-", a.created[:16]] for a in avatars]
    print_table(["name", "version", "voice", "consent by", "enrolled (UTC)"], rows)


@app.command()
def show(name: NameArgument, json: common.JsonOption = False) -> None:
    """What enrolment found in the photo and the voice."""
    from avatarctl.runtime import session

    with session.open_store(readonly=True) as store:
        avatar = store.ledger.avatar(name)
    if state.json:
        print_json(
            {
                "id": avatar.id,
                "name": avatar.name,
                "version": avatar.version,
                "created": avatar.created,
                "persona": avatar.persona,
                "consent_by": avatar.consent_by,
                "portrait": common.without_landmarks(avatar.portrait_report),
                "voice": avatar.voice_report,
            }
        )
        return
    print_result(f"{avatar.name}, version {avatar.version}, enrolled {avatar.created}\nid        {avatar.id}")
    print_result(f"persona   {avatar.persona or '-'}\nconsent   {avatar.consent_by or '-'}")
    for line in (*common.describe_portrait(avatar.portrait_report), *common.describe_voice(avatar.voice_report)):
        print_result(line)


@app.command()
def dictionary(
    name: NameArgument,
    file: Annotated[
        Path | None, typer.Argument(help="Take these entries in place of the person's own.", parser=a_path)
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the person's own entries.")] = False,
    json: common.JsonOption = False,
) -> None:
    """How a person says words: show, take from a file, or forget lines like `Ollama = оллама`, `замок = з+амок`."""
    from avatarctl.recipes import dictionaries
    from avatarctl.runtime import session
    from avatarctl.store import dictionaries as kept

    if file is not None and remove:
        raise BadInput("give a file, or --remove, not both")
    with session.open_store(readonly=file is None and not remove) as store:
        person = store.ledger.avatar(name).name
        if file is not None:
            dictionaries.load(file)
            kept.write(store, person, file.expanduser().read_bytes())
        elif remove:
            kept.remove(store, person)
        words = dictionaries.own(store, person)
        text, where = kept.read(store, person).decode("utf-8-sig"), kept.path(store, person)
    if state.json:
        print_json({"name": person, "path": str(where) if words.entries else "", "entries": dict(words.entries)})
        return
    say(f"{person}: {len(words.entries)} entries" + (f" in {where}" if words.entries else ""))
    if file is None and text:
        # As the user wrote it: it can go into a file, be changed, and come back.
        print_result(text.rstrip())


@app.command()
def rm(name: Annotated[str, typer.Argument(help="The person's name.")], json: common.JsonOption = False) -> None:
    """Erase a person: every version's face and voice, and all files made from them, films in outputs/ too."""
    from avatarctl import config
    from avatarctl.runtime import session
    from avatarctl.store import erase

    with session.open_store() as store:
        avatar = store.ledger.avatar(name)
        if "@" in name or name.upper() == avatar.id:
            # Who names one version may think that the others stay.
            raise BadInput(
                "rm erases every version of a person", hint=f"avatarctl avatars rm {shlex.quote(avatar.name)}"
            )
        report = erase.erase(store, avatar, timeout=config.lock_timeout())
    if state.json:
        print_json({"erased": dataclasses.asdict(report)})
        return
    print_result(f"erased {report.name}: {report.versions} versions, {report.files} files, {size(report.bytes)}")
    for stage, count in report.steps.items():
        print_result(f"  {count} x {stage}")
    for path in report.deleted:
        print_result(f"  {path}")
    for path, reason in report.left:
        say(f"left {path}: {reason}")
