"""`avatarctl report`: a run or a batch as one page to look at, and to show to others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from avatarctl.cli import common
from avatarctl.cli.options import a_place, bytes_of, print_json, print_result, say, state
from avatarctl.errors import BadInput
from avatarctl.store.model import BatchRecord, RunRecord
from avatarctl.store.store import Store

app = typer.Typer(add_completion=False, rich_markup_mode=None)

MANY_PICTURES = 50


@app.command()
def report(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[RUN|BATCH]", help="A run's or batch's id, or its beginning; a job file; `last`.", parser=a_place
        ),
    ] = "last",
    html: Annotated[
        str | None, typer.Option("--html", help="Where to put the page; a file or a folder.", parser=a_place)
    ] = None,
    embed: Annotated[
        str, typer.Option("--embed", help="A film of at most this size is put into the page; a larger one is linked.")
    ] = "16M",
    json: common.JsonOption = False,
) -> None:
    """One HTML page that needs nothing else: the film, its sound, when each step worked, and the film's quality.

    Without --html, the page is put beside the film, under the film's name, or into outputs/. A batch's page has a
    table of all jobs, the reasons of failures, and where the time went.
    """
    from avatarctl import pages
    from avatarctl.runtime import session
    from avatarctl.store import deliver

    limit = bytes_of(embed, "--embed")
    with session.open_store(readonly=True) as store:
        found = _find(store, what)
        page = common.destination(html, common.resolve(None, None), _name(found), ".html")
        folder = _folder(found) if html is None else None
        if folder is not None and folder != page.parent.absolute():
            page = folder / page.name
            session.check_writable(page)
        if isinstance(found, RunRecord):
            from avatarctl.recipes import report as gathered

            content = pages.run_page(gathered.of_run(store, found, page, limit))
        else:
            from avatarctl.recipes import report_batch

            content = pages.batch_page(report_batch.of_batch(store, found, page, _progress))
    deliver.write(content, page)
    if state.json:
        kind = "run" if isinstance(found, RunRecord) else "batch"
        print_json({kind: found.id, "page": str(page), "bytes": len(content)})
    else:
        print_result(str(page))


def _find(store: Store, wanted: str) -> RunRecord | BatchRecord:
    if Path(wanted).is_file():
        return common.find_batch(store, wanted)
    if wanted == "last":
        return store.ledger.run(wanted)
    found: list[RunRecord | BatchRecord] = []
    for look in (store.ledger.run, partial(common.find_batch, store)):
        try:
            found.append(look(wanted))
        except BadInput as error:
            if "more than one" in error.what:
                raise
    if not found:
        raise BadInput(
            f"there is no run and no batch {wanted!r}", hint="avatarctl runs list, or avatarctl batch status"
        )
    if len(found) > 1:
        raise BadInput(f"a run and a batch begin with {wanted!r}", hint="give more of the id")
    return found[0]


def _film(run: RunRecord) -> Path | None:
    return next((Path(o["path"]) for o in run.outputs if o["path"].endswith(".mp4")), None)


def _name(found: RunRecord | BatchRecord) -> str:
    if isinstance(found, BatchRecord):
        return Path(found.source).stem
    film = _film(found)
    return film.stem if film is not None else f"run-{found.id.lower()}"


def _folder(found: RunRecord | BatchRecord) -> Path | None:
    """Where the films are, if that is still there."""
    if isinstance(found, BatchRecord):
        folder = Path(found.outputs)
    else:
        film = _film(found)
        folder = film.parent if film is not None else Path()
    return folder if folder != Path() and folder.is_dir() else None


def _progress(done: int, total: int) -> None:
    if total >= MANY_PICTURES and (done % MANY_PICTURES == 0 or done == total):
        say(f"{done} of {total} pictures")
