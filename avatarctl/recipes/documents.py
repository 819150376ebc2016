"""Documents that answers come from: adding, listing, searching, and the index that a run reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avatarctl import knowledge
from avatarctl.errors import BadInput
from avatarctl.runtime.handles import Handle, Ref
from avatarctl.runtime.runner import Run
from avatarctl.store.model import DocumentRecord, now
from avatarctl.store.store import Store

JSON = "application/json"


def add(store: Store, paths: Sequence[Path]) -> list[DocumentRecord]:
    """Take documents in; one of the same name is replaced. All are read before any is added."""
    files = [file for path in paths for file in _files(path)]
    if not files:
        raise BadInput("there are no documents there", hint="give Markdown or text files, or a folder of them")
    read = [(file, knowledge.read_document(file)) for file in files]
    added = []
    for file, document in read:
        artefact = store.add_bytes(document.to_json().encode("utf-8"), JSON)
        record = DocumentRecord(
            name=document.name,
            digest=artefact.digest,
            media_type=document.media_type,
            title=document.title,
            language=document.language,
            added=now(),
            source=file.name,
        )
        store.ledger.add_document(record)
        added.append(record)
    return added


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix.lower() in (".md", ".markdown", ".txt"))
    return [path]


def known(store: Store) -> list[str]:
    """Digests of the documents, in the order of their names."""
    return [d.digest for d in sorted(store.ledger.documents(), key=lambda d: d.name)]


def index(run: Run, digests: Sequence[str] | None = None) -> Handle | None:
    """The step that makes passages searchable; None when there are no documents."""
    chosen = known(run.store) if digests is None else list(digests)
    if not chosen:
        return None
    inputs: dict[str, Ref] = {}
    for i, digest in enumerate(chosen):
        artefact = run.store.artefact(digest)
        if artefact is None:
            raise BadInput("a document is gone from the store", hint="avatarctl knowledge add it again")
        inputs[f"document.{i:03d}"] = artefact
    return run.step("index", inputs, label=f"{len(chosen)} documents")


def search(run: Run, query: str, limit: int) -> list[Any]:
    """The passages nearest to `query`, best first."""
    handle = index(run)
    if handle is None:
        return []
    made = run.wait(handle)
    from avatarctl.knowledge.search import search as find

    return list(find(run.store.cas.path(made.outputs["index"].digest), query, limit))
