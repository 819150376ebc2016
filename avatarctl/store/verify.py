"""Reads every artefact again, and finds those whose content is no longer their name's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from avatarctl.store.store import Store

_READERS = 2


@dataclass(frozen=True, slots=True)
class Damage:
    """One artefact that cannot be used."""

    digest: str
    reason: str
    """`changed` or `missing`."""
    owner: str
    """The avatar or document that it belongs to; empty if the cache can make it again."""
    actions: tuple[str, ...]
    """Keys of the actions that made it; forgotten if there was a repair."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How many files and bytes were read, and what was found."""

    files: int
    bytes: int
    damaged: tuple[Damage, ...]


def verify(store: Store, repair: bool = True) -> VerifyReport:
    """Hash every artefact again. `repair`: put damaged ones aside and forget their actions, so that they are
    made anew. What belongs to an avatar or a document can only be given again by its owner.
    """
    there = list(store.cas)
    with ThreadPoolExecutor(_READERS) as readers:
        sound = dict(zip(there, readers.map(store.cas.verify, there), strict=True))
    size = sum(store.cas.size(digest) for digest in there)
    owners = store.ledger.owners()
    wanted = {str(row["digest"]) for row in store.ledger.rows("SELECT digest FROM action_outputs")} | owners.keys()
    reasons = {digest: "changed" for digest in there if not sound[digest]}
    reasons |= dict.fromkeys(wanted - sound.keys(), "missing")
    damaged = []
    for digest, reason in sorted(reasons.items()):
        actions = tuple(store.ledger.made_by(digest))
        damaged.append(Damage(digest, reason, owners.get(digest, ""), actions))
        if repair:
            store.forget(digest, "its content was not its digest's when the cache was verified")
    return VerifyReport(len(there), size, tuple(damaged))
