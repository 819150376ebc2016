"""Tables `artefacts` and `actions`: what is in the cache, what made it, and out of what."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping

from avatarctl.store.connection import LedgerFile
from avatarctl.store.faults import ledger_damage
from avatarctl.store.ids import now
from avatarctl.store.model import Artefact, Manifest, StepRecord
from avatarctl.store.runs import insert_step


class ActionTables(LedgerFile):
    """The cache's index. An action's row exists only while all its files do, damage aside."""

    def find_action(self, key: str) -> Manifest | None:
        """What an action made, by the key of its step."""
        row = self.row("SELECT manifest FROM actions WHERE key = ?", (key,))
        return _manifest(row) if row else None

    def record_action(
        self,
        manifest: Manifest,
        stage: str,
        inputs: Mapping[str, str],
        step: StepRecord | None = None,
        *,
        sticky: bool = False,
        identity: str = "",
        replaces: Callable[[Manifest], bool] = lambda before: False,
    ) -> Manifest:
        """Write an action, its artefacts and its step, all or nothing: the manifest that now holds.

        Args:
            inputs: digests by role.
            sticky: made by an engine that would not make the same again.
            identity: JSON of all that the key was made of, so that a later key can be compared with it.
            replaces: whether to take the place of a manifest that is there already. By default the first holds.
        """
        with self.write() as connection:
            if step is not None:
                insert_step(connection, step)
            row = connection.execute("SELECT manifest FROM actions WHERE key = ?", (manifest.key,)).fetchone()
            if row is not None:
                before = _manifest(row)
                if not replaces(before):
                    return before
                connection.execute("DELETE FROM actions WHERE key = ?", (manifest.key,))
            connection.execute(
                """
                INSERT INTO actions (key, stage, engine, manifest, sticky, run_ms, created, last_used, identity)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (
                    manifest.key,
                    stage,
                    manifest.engine,
                    manifest.to_json(),
                    int(sticky),
                    manifest.run_ms,
                    manifest.created,
                    manifest.created,
                    identity,
                ),
            )
            origins = _origins_of(connection, inputs.values())
            for artefact in manifest.outputs.values():
                _note_origins(connection, artefact.digest, origins)
                _insert_artefact(connection, artefact, given=False)
            # OR REPLACE: in a ledger whose bits flipped there may be such rows without their action.
            connection.executemany(
                "INSERT OR REPLACE INTO action_inputs (key, role, digest) VALUES (?, ?, ?)",
                [(manifest.key, role, digest) for role, digest in inputs.items()],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO action_outputs (key, role, digest) VALUES (?, ?, ?)",
                [(manifest.key, role, artefact.digest) for role, artefact in manifest.outputs.items()],
            )
        return manifest

    def identity(self, key: str) -> str:
        """JSON of all that a key was made of; empty for an action that is gone, or older than this column."""
        row = self.row("SELECT identity FROM actions WHERE key = ?", (key,))
        return str(row["identity"]) if row else ""

    def forget_action(self, key: str, only: Manifest | None = None) -> bool:
        """Remove an action, so that its step is made again. Its files stay until garbage is collected.

        `only`: leave it if it is no longer this one, because another process has made it anew.
        """
        with self.write() as connection:
            if only is not None and self.find_action(key) != only:
                return False
            return connection.execute("DELETE FROM actions WHERE key = ?", (key,)).rowcount > 0

    def touch(self, keys: Iterable[str], when: str | None = None) -> None:
        """Note that actions were used."""
        moment = when or now()
        with self.write() as connection:
            connection.executemany(
                "UPDATE actions SET last_used = ? WHERE key = ? AND last_used < ?",
                [(moment, key, moment) for key in sorted(keys)],
            )

    def artefact(self, digest: str) -> Artefact | None:
        """What is known about an artefact."""
        row = self.row("SELECT digest, size, media_type FROM artefacts WHERE digest = ?", (digest,))
        return Artefact(row["digest"], row["size"], row["media_type"]) if row else None

    def add_artefact(self, artefact: Artefact) -> None:
        """Note a file that was given from outside, rather than made by a step."""
        known = self.row("SELECT given FROM artefacts WHERE digest = ?", (artefact.digest,))
        if known is None or not known["given"]:
            with self.write() as connection:
                _insert_artefact(connection, artefact, given=True)

    def made_by(self, digest: str) -> list[str]:
        """Keys of the actions that have the artefact among their outputs."""
        found = self.rows("SELECT DISTINCT key FROM action_outputs WHERE digest = ? ORDER BY key", (digest,))
        return [str(row["key"]) for row in found]

    def owners(self) -> dict[str, str]:
        """Artefacts that are never collected: whose they are ("avatar Anna"), by digest."""
        return {row["digest"]: row["owner"] for row in self.rows("SELECT digest, owner FROM pinned ORDER BY owner")}


def _insert_artefact(connection: sqlite3.Connection, artefact: Artefact, *, given: bool) -> None:
    connection.execute(
        """
        INSERT INTO artefacts (digest, size, media_type, given, made, created) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (digest) DO UPDATE SET given = max(given, excluded.given), made = max(made, excluded.made)
        """,
        (artefact.digest, artefact.size, artefact.media_type, int(given), int(not given), now()),
    )


def _origins_of(connection: sqlite3.Connection, digests: Iterable[str]) -> set[str]:
    """The artefacts that these come from in the end: given files stand for themselves, made ones for theirs."""
    origins: set[str] = set()
    for digest in digests:
        rows = connection.execute("SELECT origin FROM origins WHERE digest = ?", (digest,)).fetchall()
        origins.update(row["origin"] for row in rows)
        row = connection.execute("SELECT given, made FROM artefacts WHERE digest = ?", (digest,)).fetchone()
        if row is None or row["given"] or not row["made"]:
            origins.add(digest)
    return origins


def _note_origins(connection: sqlite3.Connection, digest: str, origins: set[str]) -> None:
    """Write where an output comes from.

    Equal bytes made in two ways come only from what both have in common: the timings of a sentence, equal for
    two voices, belong to neither.
    """
    rows = connection.execute("SELECT origin FROM origins WHERE digest = ?", (digest,)).fetchall()
    row = connection.execute("SELECT made FROM artefacts WHERE digest = ?", (digest,)).fetchone()
    known = {r["origin"] for r in rows}
    if known or (row is not None and row["made"]):
        connection.executemany(
            "DELETE FROM origins WHERE digest = ? AND origin = ?", [(digest, origin) for origin in known - origins]
        )
    else:
        connection.executemany(
            "INSERT INTO origins (digest, origin) VALUES (?, ?)", [(digest, origin) for origin in sorted(origins)]
        )


def _manifest(row: sqlite3.Row) -> Manifest:
    try:
        return Manifest.from_json(row["manifest"])
    except ValueError as error:
        raise ledger_damage(str(error)) from error
