"""Table `pins`: runs whose steps no collection forgets, so that their films can be made again at once.

A pin is its run's: who erases a person erases their runs' files, pinned or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from avatarctl.errors import BadInput
from avatarctl.store.ids import now
from avatarctl.store.runs import RunTables


@dataclass(frozen=True, slots=True)
class Pin:
    """A pinned run and what it keeps."""

    run_id: str
    recipe: str
    since: str
    steps: int
    """Different steps that it performed, or found in the cache."""
    kept: int
    """Those of them that are still in the cache. What was collected before the pin is made again when it is wanted."""
    bytes: int
    """Of their files."""


class PinTables(RunTables):
    """Pins of runs."""

    def runs_of(self, wanted: str) -> list[str]:
        """The run that `run` finds; or those that delivered a film to a path, the latest first.

        Raises:
            BadInput: there is no such run, or no run delivered that file.
        """
        if not Path(wanted).is_file():
            return [self.run(wanted).id]
        place = str(Path(wanted).absolute())
        runs = [run_id for _, path, run_id in self.deliveries() if path == place]
        if not runs:
            raise BadInput(f"no run delivered {wanted}", hint="give the id of a run: avatarctl runs list")
        return sorted(set(runs), reverse=True)

    def pin_runs(self, run_ids: Iterable[str]) -> int:
        """Pin runs: how many were not pinned before."""
        with self.write(durable=True) as connection:
            return sum(
                connection.execute("INSERT OR IGNORE INTO pins VALUES (?, ?)", (run_id, now())).rowcount
                for run_id in run_ids
            )

    def unpin_runs(self, run_ids: Iterable[str]) -> int:
        """Let runs go: how many were pinned."""
        with self.write(durable=True) as connection:
            return sum(
                connection.execute("DELETE FROM pins WHERE run_id = ?", (run_id,)).rowcount for run_id in run_ids
            )

    def pins(self) -> list[Pin]:
        """Every pin, the newest first."""
        found = self.rows(
            """
            SELECT run_id, recipe, since,
                (SELECT count(DISTINCT key) FROM steps WHERE steps.run_id = pins.run_id AND key != '') AS steps,
                (SELECT count(*) FROM actions
                    WHERE key IN (SELECT key FROM steps WHERE steps.run_id = pins.run_id)) AS kept,
                (SELECT coalesce(sum(size), 0) FROM artefacts WHERE digest IN (
                    SELECT digest FROM action_outputs JOIN steps USING (key)
                    WHERE steps.run_id = pins.run_id)) AS bytes
            FROM pins JOIN runs ON runs.id = run_id ORDER BY since DESC, run_id DESC
            """
        )
        return [Pin(**dict(row)) for row in found]

    def pinned_keys(self) -> set[str]:
        """Keys of the steps of pinned runs."""
        return {str(row["key"]) for row in self.rows("SELECT DISTINCT key FROM steps JOIN pins USING (run_id)")}
