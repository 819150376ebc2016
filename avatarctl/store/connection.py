"""The ledger's file: opened, checked, brought up to date, and written to in short exclusive transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from avatarctl.errors import Unavailable
from avatarctl.store.faults import STORE_HINT, file_faults, ledger_faults

APPLICATION_ID = 0x61766374
"""Marks the SQLite file as ours ("avct")."""

SCHEMA_VERSION = 7
"""How many steps `migrations` has; kept in the file as `user_version`, where reading it costs nothing."""

BUSY_SECONDS = 30.0


class LedgerFile:
    """One connection, which the threads of a process share in turn. Open it with `open`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, readonly: bool) -> None:
        self.path = path
        self.readonly = readonly
        self._connection = connection
        self._guard = threading.RLock()

    @classmethod
    def connect(cls, path: Path, *, readonly: bool) -> sqlite3.Connection:
        """A connection to a ledger whose schema is this version's.

        For writing, the file is made or migrated as needed. For reading, it is left as it is: a file that is
        not there reads as an empty ledger, and an older one through a migrated copy in memory.

        Raises:
            Unavailable: made by a newer version, not a ledger, damaged, no permission, no WAL on its file system.
            Busy: others kept it locked for 30 s.
        """
        with ledger_faults(path):
            if readonly:
                return _open_for_reading(path)
            return _open_for_writing(path)

    def close(self) -> None:
        """Close the connection. Nothing else may be called afterwards."""
        with self._guard:
            self._connection.close()

    def rows(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._guard, ledger_faults(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        with self._guard, ledger_faults(self.path):
            found: sqlite3.Row | None = self._connection.execute(sql, parameters).fetchone()
            return found

    @contextmanager
    def write(self, *, durable: bool = False, secure: bool = False) -> Iterator[sqlite3.Connection]:
        """A short transaction that holds the write lock from its first statement, and is undone by any error.

        Args:
            durable: survive a loss of power right after it (otherwise it may be forgotten, never torn).
            secure: overwrite what is deleted with zeros.
        """
        if self.readonly:
            raise RuntimeError("the ledger was opened for reading")
        with self._guard, ledger_faults(self.path):
            connection = self._connection
            if connection.in_transaction:
                # Called from within another write of the same thread: one transaction, ended by the outer one.
                yield connection
                return
            if durable:
                connection.execute("PRAGMA synchronous = FULL")
            if secure:
                connection.execute("PRAGMA secure_delete = ON")
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                _undo(connection)
                if durable:
                    connection.execute("PRAGMA synchronous = NORMAL")
                if secure:
                    connection.execute("PRAGMA secure_delete = OFF")

    def checkpoint(self) -> None:
        """Move everything from the write-ahead log into the file, and empty the log."""
        with self._guard, ledger_faults(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _connect(path: Path, query: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{query}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    return connection


def _open_for_writing(path: Path) -> sqlite3.Connection:
    with file_faults(path.parent, STORE_HINT):
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(path, "mode=rwc")
    try:
        if _version(connection, path) < SCHEMA_VERSION:
            _use_wal(connection, path)
            _migrate(connection, path)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_for_reading(path: Path) -> sqlite3.Connection:
    if not path.exists():
        return _in_memory(None, path)
    # Beside a log, SQLite wants to write its index. In a folder where it may not, and without a log, the file
    # cannot change under us except by its owner's next command.
    alone = not os.access(path.parent, os.W_OK) and not _log_of(path).exists()
    connection = _connect(path, "mode=ro&immutable=1" if alone else "mode=ro")
    try:
        if _version(connection, path) < SCHEMA_VERSION:
            older, connection = connection, _in_memory(connection, path)
            older.close()
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _in_memory(source: sqlite3.Connection | None, path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    if source is not None:
        source.backup(connection)
    _migrate(connection, path)
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The file's schema; 0 for an empty file. Refuses what is not a ledger, and what is from the future."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if application != APPLICATION_ID:
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            return 0
        raise Unavailable(
            f"{path} is not a ledger of avatarctl",
            why="it is another program's SQLite file",
            hint="move it away, or set AVATARCTL_HOME to another folder",
        )
    if version > SCHEMA_VERSION:
        raise Unavailable(
            f"the ledger {path} was made by a newer avatarctl",
            why=f"its schema is {version}, and this version knows {SCHEMA_VERSION}",
            hint="update avatarctl, or set AVATARCTL_HOME to another folder",
        )
    return version


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    # Two processes that switch a new file at once: SQLite refuses one of them without waiting.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    if mode == "wal":
        return
    raise Unavailable(
        f"the ledger {path} cannot be shared between commands there",
        why=f"its file system refuses a write-ahead log ({mode})",
        hint="set AVATARCTL_HOME to a folder on a local disk",
    )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    from avatarctl.store import migrations

    connection.execute("BEGIN IMMEDIATE")
    try:
        # Somebody else may have done it while we waited.
        if _version(connection, path) < SCHEMA_VERSION:
            migrations.apply(connection)
        connection.execute("COMMIT")
    finally:
        _undo(connection)


def _undo(connection: sqlite3.Connection) -> None:
    """Roll back what was not committed."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
