"""The ledger: one SQLite file that says what was asked, made and used, and by whom.

Each write is one short transaction, begun with `BEGIN IMMEDIATE` and never held while an engine works.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from avatarctl.store.actions import ActionTables
from avatarctl.store.people import PeopleTables
from avatarctl.store.pins import PinTables
from avatarctl.store.queue import QueueTables

FILE_NAME = "ledger.sqlite"


class Ledger(PinTables, ActionTables, PeopleTables, QueueTables):
    """All tables of the ledger, through one connection. Threads may share it; a forked child may not."""

    @classmethod
    def open(cls, path: Path, *, readonly: bool = False) -> Self:
        """The ledger at `path`; see `LedgerFile.connect` for what is made, migrated or refused."""
        return cls(path, cls.connect(path, readonly=readonly), readonly)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
