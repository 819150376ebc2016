"""What the cache holds, whether it is sound, and what it can do without.

Collected are: actions that were not used for the longest time, where a limit asks for it; files that nobody
needs any more; what dead runs left. Never: files of avatars and documents, the steps of runs that were pinned, what the
steps of unfinished jobs made, and what living commands rely on (`uses`). So it may be done beside running batches,
which wait for a moment meanwhile.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Set
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from avatarctl.errors import Busy
from avatarctl.store.ids import iso
from avatarctl.store.store import Store, remove

QUARANTINE_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """An action to be forgotten."""

    key: str
    stage: str
    engine: str
    last_used: str


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What a collection removes. `files` are (digest, bytes) pairs; `leftovers` are paths."""

    max_bytes: int | None
    used_before: str
    """Actions last used before this time are too old; empty: none is."""
    actions: tuple[PlannedAction, ...]
    files: tuple[tuple[str, int], ...]
    leftovers: tuple[str, ...]
    freed: int
    """Bytes that the removal gives back."""
    kept: int
    """Bytes of artefacts that stay."""
    in_use: int = 0
    """Files that stay because living commands or unfinished jobs need them."""
    pinned: int = 0
    """Actions that would be removed, were they not of pinned runs."""


def plan(store: Store, max_bytes: int | None = None, max_age_days: float | None = None) -> GcPlan:
    """What would be removed to keep artefacts within `max_bytes`, and no action unused for `max_age_days`.

    Without limits: only what nobody needs. Pinned files alone may be larger than `max_bytes`.
    """
    used_before = "" if max_age_days is None else iso(datetime.now(UTC) - timedelta(days=max_age_days))
    return _plan(store, max_bytes, used_before)


def apply(store: Store, planned: GcPlan, *, timeout: float = 0.0) -> GcPlan:
    """Collect within the limits of `planned`: what was really removed, which is the same if nobody came between.

    Other commands may be at work; of what this store itself was asked for, nothing is spared.

    Raises:
        Busy: the cache could not be had for a moment within `timeout` seconds.
    """
    with ExitStack() as stack:
        alone = True
        try:
            stack.enter_context(store.alone(0.0))
        except Busy:
            alone = False
        stack.enter_context(store.uses.closed(timeout))
        actual = _plan(store, planned.max_bytes, planned.used_before, alone=alone)
        # Rows first: a crash after it leaves files without rows, which are harmless and collected next time.
        forget(store, (a.key for a in actual.actions), (digest for digest, _ in actual.files))
        remove_files(store, actual, alone=alone)
    return actual


def remove_files(store: Store, planned: GcPlan, *, alone: bool) -> None:
    """Delete the files of a plan whose rows are gone from the ledger already. `alone`: nobody else is at work."""
    for digest, _ in planned.files:
        store.cas.delete(digest)
    for name in planned.leftovers:
        remove(Path(name))
    if alone:
        store.uses.clear()
        for path in (store.locks_folder / "steps").glob("*"):
            remove(path)


def forget(store: Store, keys: Iterable[str], digests: Iterable[str]) -> None:
    """Remove actions and artefacts from the ledger, in one transaction.

    Where a file was delivered from, its origins stay known, so that an erasure finds it later.
    """
    gone = [(digest,) for digest in digests]
    with store.ledger.write() as connection:
        connection.executemany("DELETE FROM actions WHERE key = ?", [(key,) for key in keys])
        connection.executemany("DELETE FROM artefacts WHERE digest = ?", gone)
        delivered = {digest for digest, _, _ in store.ledger.deliveries()}
        connection.executemany("DELETE FROM origins WHERE digest = ?", [d for d in gone if d[0] not in delivered])


class _References:
    """Counts who needs each artefact: a pin, an action that made it, an action that a given file went into.

    `in_use`: artefacts that are as good as pinned, for now.
    """

    def __init__(self, store: Store, in_use: Set[str] = frozenset()) -> None:
        ledger = store.ledger
        self.pinned = set(ledger.owners()) | in_use
        self.count: Counter[str] = Counter(self.pinned)
        self.by_action: dict[str, list[str]] = defaultdict(list)
        self.outputs: dict[str, list[str]] = defaultdict(list)
        for row in ledger.rows("SELECT key, digest FROM action_outputs"):
            self.outputs[row["key"]].append(row["digest"])
            self.by_action[row["key"]].append(row["digest"])
        # A made input is not needed for a hit, and can be made again; a given one cannot.
        given = "SELECT key, digest FROM action_inputs JOIN artefacts USING (digest) WHERE given AND NOT made"
        for row in ledger.rows(given):
            self.by_action[row["key"]].append(row["digest"])
        for digests in self.by_action.values():
            self.count.update(digests)

    def drop(self, key: str) -> list[str]:
        """Without this action: the artefacts that nobody needs now."""
        free = []
        for digest in self.by_action.pop(key, ()):
            self.count[digest] -= 1
            if self.count[digest] == 0:
                free.append(digest)
        return free


def _in_use(store: Store) -> set[str]:
    """What other living commands rely on, and what was made for jobs that have not come to their end."""
    unfinished = """
        SELECT DISTINCT digest FROM jobs JOIN steps USING (run_id) JOIN action_outputs USING (key)
        WHERE jobs.status IN ('queued', 'running')
    """
    return store.uses.of_others() | {str(row["digest"]) for row in store.ledger.rows(unfinished)}


def _plan(store: Store, max_bytes: int | None, used_before: str, *, alone: bool = True) -> GcPlan:
    sizes = {digest: store.cas.size(digest) for digest in store.cas}
    in_use = _in_use(store)
    needed = _References(store, in_use)
    kept = sum(size for digest, size in sizes.items() if needed.count[digest] > 0)
    rows = store.ledger.rows("SELECT key, stage, engine, last_used FROM actions ORDER BY sticky, last_used, key")
    pinned, spared = store.ledger.pinned_keys(), 0
    actions = []
    for row in rows:
        too_old = row["last_used"] < used_before
        too_much = max_bytes is not None and kept > max_bytes
        gives_nothing = all(digest in needed.pinned for digest in needed.outputs[row["key"]])
        if (too_old or too_much) and row["key"] in pinned:
            spared += 1
        elif (too_old or too_much) and not gives_nothing:
            kept -= sum(sizes.get(digest, 0) for digest in needed.drop(row["key"]))
            actions.append(PlannedAction(row["key"], row["stage"], row["engine"], row["last_used"]))
    known = {row["digest"] for row in store.ledger.rows("SELECT digest FROM artefacts")}
    files = [(d, sizes.get(d, 0)) for d in sorted(known | sizes.keys()) if needed.count[d] == 0]
    leftovers = [*store.stale_folders(alone=alone), *store.cas.quarantine_older_than(QUARANTINE_SECONDS)]
    freed = sum(size for _, size in files) + sum(_bytes(path) for path in leftovers)
    return GcPlan(
        max_bytes,
        used_before,
        tuple(actions),
        tuple(files),
        tuple(map(str, leftovers)),
        freed,
        kept,
        len(in_use),
        spared,
    )


def _bytes(path: Path) -> int:
    paths = [path] if path.is_file() else path.rglob("*")
    return sum(p.lstat().st_size for p in paths if p.is_file())


@dataclass(frozen=True, slots=True)
class StageUse:
    """What one engine's steps take up."""

    stage: str
    engine: str
    actions: int
    files: int
    bytes: int
    last_used: str


@dataclass(frozen=True, slots=True)
class StoreUse:
    """What the store takes up. `orphan_`: files that nobody needs; `pinned_`: of avatars and documents."""

    stages: tuple[StageUse, ...]
    files: int
    bytes: int
    pinned_files: int
    pinned_bytes: int
    orphan_files: int
    orphan_bytes: int
    quarantined_files: int
    quarantined_bytes: int


def stats(store: Store) -> StoreUse:
    """Counts and bytes, by stage and in all."""
    sizes = {digest: store.cas.size(digest) for digest in store.cas}
    needed = _References(store)
    pinned = [size for digest, size in sizes.items() if digest in needed.pinned]
    orphans = [size for digest, size in sizes.items() if needed.count[digest] == 0]
    aside = [p.stat().st_size for p in store.cas.quarantine_older_than(0) if p.suffix != ".txt"]
    rows = store.ledger.rows("SELECT stage, engine, actions, files, bytes, last_used FROM cache_by_stage")
    return StoreUse(
        stages=tuple(StageUse(**dict(row)) for row in rows),
        files=len(sizes),
        bytes=sum(sizes.values()),
        pinned_files=len(pinned),
        pinned_bytes=sum(pinned),
        orphan_files=len(orphans),
        orphan_bytes=sum(orphans),
        quarantined_files=len(aside),
        quarantined_bytes=sum(aside),
    )
