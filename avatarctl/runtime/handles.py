"""What a recipe holds while the work is still going on: promises of steps, and references to their files."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from avatarctl.store.model import Artefact, Manifest


@dataclass(frozen=True, slots=True)
class OutputOf:
    """A file that a step will have made."""

    handle: Handle
    role: str

    def artefact(self) -> Artefact | None:
        """The file, or None while it is not known."""
        manifest = self.handle.known()
        return manifest.outputs.get(self.role) if manifest else None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A file that cannot be named in a dry run, since it waits for a step that would have to run."""

    waits_for: str


Ref = Artefact | OutputOf | Unknown
"""What may stand as a step's input."""


class Handle:
    """A step of this run: a future manifest, and the text that streams out of it meanwhile."""

    def __init__(self, index: int, stage: str, label: str, inputs: Mapping[str, Ref] | None = None) -> None:
        self.index = index
        self.stage = stage
        self.label = label
        self.inputs: Mapping[str, Ref] = inputs or {}
        """What the recipe gave it, by role."""
        self.future: Future[Manifest] = Future()
        self.waits_for = ""
        self.began: float | None = None
        """For the runner: when an engine began with it, by `time.perf_counter`."""
        self.notes: list[str] = []
        """For the runner: what did not go as it should have."""
        self._chunks: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def __getitem__(self, role: str) -> OutputOf:
        return OutputOf(self, role)

    def known(self) -> Manifest | None:
        """The manifest if the step is done, else None."""
        if self.future.done() and not self.future.cancelled() and self.future.exception() is None:
            return self.future.result()
        return None

    def result(self) -> Manifest:
        """Wait for the step. Raises what the step raised."""
        return self.future.result()

    @property
    def facts(self) -> Mapping[str, Any]:
        """The validator's figures; waits for the step."""
        return self.result().facts

    def emit(self, text: str) -> None:
        """For the runner: a piece of text came out of the engine."""
        self._chunks.put(text)

    def finish(self, manifest: Manifest) -> None:
        """For the runner: the step is done."""
        self.future.set_result(manifest)
        self._chunks.put(None)

    def fail(self, error: BaseException) -> None:
        """For the runner: the step failed, or was never begun."""
        if not self.future.done():
            self.future.set_exception(error)
        self._chunks.put(None)

    def chunks(self) -> Iterator[str]:
        """The streamed pieces, until the step is done. Nothing for a hit or an engine that does not stream."""
        while (piece := self._chunks.get()) is not None:
            yield piece
