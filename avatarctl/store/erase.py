"""Forgets a person: face, voice, and everything that was made from them, in the cache and where it was delivered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from avatarctl.store import deliver, dictionaries, gc
from avatarctl.store.keys import digest_bytes
from avatarctl.store.ledger import Ledger
from avatarctl.store.model import Artefact, AvatarRecord
from avatarctl.store.runs import from_json, to_json
from avatarctl.store.store import Store, remove


@dataclass(frozen=True, slots=True)
class Derived:
    """What was made from certain files, at any number of steps from them."""

    actions: dict[str, str]
    """Stages by key."""
    artefacts: frozenset[str]


@dataclass(frozen=True, slots=True)
class ErasedReport:
    """What an erasure removed."""

    name: str
    versions: int
    steps: dict[str, int]
    """How many cached steps of each stage."""
    files: int
    bytes: int
    deleted: tuple[str, ...]
    """Delivered files that were deleted."""
    left: tuple[tuple[str, str], ...]
    """Delivered files that were not, each with the reason."""


def derived(ledger: Ledger, roots: Set[str]) -> Derived:
    """Everything that comes from `roots`, which are included.

    Bytes that were also made without them (the timings of a sentence, equal for two voices) do not count.
    """
    chosen = {"roots": json.dumps(sorted(roots))}
    found = ledger.rows(
        "SELECT DISTINCT digest FROM origins WHERE origin IN (SELECT value FROM json_each(:roots))", chosen
    )
    artefacts = frozenset(str(row["digest"]) for row in found) | roots
    touched = ledger.rows(
        """
        SELECT key, stage FROM actions WHERE key IN (
            SELECT key FROM action_inputs WHERE digest IN (SELECT value FROM json_each(:all))
            UNION SELECT key FROM action_outputs WHERE digest IN (SELECT value FROM json_each(:all))
        )
        """,
        {"all": json.dumps(sorted(artefacts))},
    )
    return Derived({row["key"]: row["stage"] for row in touched}, frozenset(artefacts))


def erase(store: Store, avatar: AvatarRecord, *, timeout: float = 0.0) -> ErasedReport:
    """Erase every version of a person, with what was made from them alone.

    What another avatar or a document also owns stays. Delivered files go too, unless they were changed since.
    Done again after an interruption, it goes on where it stopped.

    Raises:
        Busy: other commands were still at work after `timeout` seconds.
    """
    with store.alone(timeout):
        versions = [a for a in store.ledger.avatars() if a.name == avatar.name]
        others = [a for a in store.ledger.avatars() if a.name != avatar.name]
        kept = _roots(store.ledger, others) | {d.digest for d in store.ledger.documents()}
        found = derived(store.ledger, _roots(store.ledger, versions) - kept)
        artefacts = found.artefacts - kept
        deleted, left = _delete_delivered(store.ledger, artefacts)
        sizes = [store.cas.delete(digest) for digest in sorted(artefacts)]
        for path in store.cas.quarantine_older_than(0):
            if path.stem in artefacts:
                remove(path)
        rest = _forget(store, found, artefacts, [a.id for a in versions])
        gc.remove_files(store, rest, alone=True)
        # Notes of what was handed out name what is gone now.
        store.uses.end()
        dictionaries.remove(store, avatar.name)
        store.ledger.checkpoint()
        sizes += [size for _, size in rest.files]
    return ErasedReport(
        name=avatar.name,
        versions=len(versions),
        steps=dict(sorted(Counter(found.actions.values()).items())),
        files=sum(size > 0 for size in sizes),
        bytes=sum(sizes),
        deleted=tuple(deleted),
        left=tuple(left),
    )


def _roots(ledger: Ledger, avatars: list[AvatarRecord]) -> set[str]:
    roots = {digest for avatar in avatars for digest in avatar.files()}
    # Engines may read the report in place of the voice.
    roots |= {digest_bytes(a.voice_report_text().encode()) for a in avatars if a.voice_report is not None}
    # A recording that the face was to speak is most likely the person's own voice too.
    recordings = ledger.rows(
        """
        SELECT json_extract(request, '$.recording') AS digest FROM runs
        WHERE digest IS NOT NULL AND json_extract(request, '$.avatar') IN (SELECT value FROM json_each(:avatars))
        """,
        {"avatars": json.dumps([a.id for a in avatars])},
    )
    return roots | {str(row["digest"]) for row in recordings}


def _delete_delivered(ledger: Ledger, artefacts: Set[str]) -> tuple[list[str], list[tuple[str, str]]]:
    deleted, left = [], []
    for digest, path, _ in sorted(set(ledger.deliveries())):
        file = Path(path)
        if digest not in artefacts or not file.exists():
            continue
        if file.is_symlink() or not deliver.holds(file, Artefact(digest, file.stat().st_size, "")):
            left.append((path, "it was changed after it was delivered"))
            continue
        try:
            file.unlink()
            deleted.append(path)
        except OSError as error:
            left.append((path, error.strerror or str(error)))
    # A path delivered to twice may have been left as one version's and deleted as the other's.
    return deleted, [(path, why) for path, why in left if Path(path).exists()]


def _forget(store: Store, found: Derived, artefacts: Set[str], avatars: list[str]) -> gc.GcPlan:
    """Remove the rows, overwriting them: what nobody needs any more, such as the sentences that were spoken."""
    ledger = store.ledger
    with ledger.write(durable=True, secure=True) as connection:
        for run in ledger.rows("SELECT id, outputs FROM runs WHERE outputs != '[]'"):
            outputs = from_json(run["outputs"])
            others = [o for o in outputs if o["digest"] not in artefacts]
            if others != outputs:
                connection.execute("UPDATE runs SET outputs = ? WHERE id = ?", (to_json(others), run["id"]))
        connection.execute(
            """
            UPDATE steps SET label = '', inputs = '{}', error = ''
            WHERE key IN (SELECT value FROM json_each(:keys))
            OR EXISTS (SELECT 1 FROM json_each(inputs) WHERE value IN (SELECT value FROM json_each(:digests)))
            """,
            {"keys": json.dumps(sorted(found.actions)), "digests": json.dumps(sorted(artefacts))},
        )
        gc.forget(store, found.actions, artefacts)
        ledger.remove_avatar(avatars)
        rest = gc.plan(store)
        gc.forget(store, (), (digest for digest, _ in rest.files))
    return rest
