"""`avatarctl knowledge`: the documents that answers come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatarctl.cli import common
from avatarctl.cli.options import a_path, print_json, print_result, print_table, say, state
from avatarctl.errors import BadInput

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The documents that answers come from."
)


@app.command()
def add(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Markdown or text files, or folders of them.", parser=a_path)
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Add the documents that come with avatarctl.")] = False,
    json: common.JsonOption = False,
) -> None:
    """Take documents in. One of the same name is replaced."""
    from avatarctl import knowledge
    from avatarctl.recipes import documents
    from avatarctl.runtime import session

    wanted = [*(files or []), *(knowledge.demo_documents() if demo else [])]
    if not wanted:
        raise BadInput("give at least one document", hint="avatarctl knowledge add FILE, or --demo")
    with session.open_store() as store:
        added = documents.add(store, wanted)
    if state.json:
        print_json({"added": [{"name": d.name, "title": d.title, "language": d.language} for d in added]})
        return
    for document in added:
        say(f"added {document.name}: {document.title}")
    print_result(f"{len(added)} documents")


@app.command("list")
def list_(json: common.JsonOption = False) -> None:
    """All documents, by name."""
    from avatarctl.runtime import session

    with session.open_store(readonly=True) as store:
        found = sorted(store.ledger.documents(), key=lambda d: d.name)
    if state.json:
        fields = ("name", "title", "language", "media_type", "added", "digest")
        print_json({"documents": [{f: getattr(d, f) for f in fields} for d in found]})
        return
    print_table(["name", "language", "title"], [[d.name, d.language, d.title] for d in found])


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Words to look for, in any inflection.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many passages at most.")] = 5,
    json: common.JsonOption = False,
) -> None:
    """The passages nearest to a query."""
    from avatarctl.recipes import documents
    from avatarctl.runtime import session

    settings = common.resolve(None, None)
    with (
        session.open_store() as store,
        session.performing(store, "search", {"query": query}, settings) as run,
    ):
        hits = documents.search(run, query, limit)
    if state.json:
        fields = ("document", "heading", "text", "score")
        print_json({"hits": [{f: getattr(h, f) for f in fields} for h in hits]})
        return
    for hit in hits:
        print_result(f"{hit.document} | {hit.heading}\n  {' '.join(hit.text.split())}")
    if not hits:
        say("nothing was found")


@app.command()
def rm(
    names: Annotated[list[str], typer.Argument(help="Names of documents.")], json: common.JsonOption = False
) -> None:
    """Forget documents. Answers that were made from them stay in the cache until `cache gc`."""
    from avatarctl.runtime import session

    with session.open_store() as store:
        known = {d.name for d in store.ledger.documents()}
        for name in names:
            if name not in known:
                raise BadInput(f"there is no document {name!r}", hint="avatarctl knowledge list")
        for name in names:
            store.ledger.remove_document(name)
    if state.json:
        print_json({"removed": names})
    else:
        print_result(f"removed {', '.join(names)}")
