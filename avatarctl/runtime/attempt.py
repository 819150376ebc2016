"""One attempt at a step: an engine makes it, its stage validates what was made, and the store publishes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl.engines.contract import Job
from avatarctl.errors import StepFailed
from avatarctl.runtime import events
from avatarctl.runtime.executors import LOSSES, Executor, MachineLost, Performed
from avatarctl.runtime.handles import Handle
from avatarctl.runtime.plan import StepOrder
from avatarctl.runtime.records import step_record
from avatarctl.store.model import Manifest
from avatarctl.store.store import Store


@dataclass
class Attempt:
    """What an attempt needs of its run. `order` is resolved; whoever makes it holds the lock of `key`."""

    store: Store
    executor: Executor
    run_id: str
    handle: Handle
    order: StepOrder
    key: str
    listener: events.Listener
    note: Callable[[str], None]
    """A line for the user."""
    cancelled: Callable[[], bool]

    def make(self, queued: float, *, replace: bool) -> tuple[Manifest, float, Mapping[str, Any]]:
        """Perform and publish: what the store has now, milliseconds of work, the validator's figures.

        Args:
            queued: since when it waits, by `time.perf_counter`.
            replace: take the place of what was published before.
        """
        handle, order, contract = self.handle, self.order, self.order.stage
        with self.store.workspace(self.run_id) as folder:
            # The key says what was read. A look-up only compares sizes, so that hits stay cheap.
            paths = {role: self.store.verified(a, f"the {role} of a step") for role, a in order.artefacts().items()}
            used: dict[str, float] = {}
            begun = time.perf_counter()

            def started() -> None:
                nonlocal begun
                begun = handle.began = time.perf_counter()
                self.listener(events.Started(handle.index, handle.stage, order.spec.name, handle.label))

            performed = self._perform_somewhere(self._job(paths, folder, used), started)
            made = self._made(folder)
            facts = contract.validate(made, paths, order.params)
            if used:
                facts["used"] = used
            run_ms = (time.perf_counter() - begun) * 1000
            record = step_record(
                self.run_id,
                handle,
                order,
                self.key,
                "done",
                queue_ms=max(0.0, (begun - queued) * 1000 - performed.load_ms),
                load_ms=performed.load_ms,
                run_ms=run_ms,
                memory=performed.memory,
                device=performed.device,
                node=performed.node,
            )
            manifest = self.store.publish(
                self.key,
                stage=handle.stage,
                engine=order.spec.name,
                outputs={role: (path, contract.output(role).media_type) for role, path in made.items()},
                inputs={role: a.digest for role, a in order.artefacts().items()},
                facts=facts,
                step=record,
                replace=replace,
                sticky=not order.spec.deterministic,
                identity=order.identity_json(),
            )
        return manifest, run_ms, facts

    def _job(self, paths: Mapping[str, Path], folder: Path, used: dict[str, float]) -> Job:
        handle, engine = self.handle, self.order.spec.name

        def progress(done: float, total: float, unit: str) -> None:
            self.listener(events.Progress(handle.index, handle.stage, engine, handle.label, done, total, unit))

        def note(message: str) -> None:
            handle.notes.append(message)
            self.note(f"{handle.stage}/{engine}: {message}")

        return Job(
            inputs=paths,
            out=folder,
            params=self.order.params,
            key=self.key,
            seed=self.order.seed,
            progress=progress,
            emit=handle.emit,
            note=note,
            used=used.__setitem__,
            cancelled=self.cancelled,
        )

    def _made(self, folder: Path) -> dict[str, Path]:
        """Every output that there is, by role."""
        made = {}
        for output in self.order.stage.outputs:
            path = folder / (output.role + output.suffix)
            if path.exists():
                made[output.role] = path
            elif not output.optional:
                raise StepFailed(f"{self.handle.stage}/{self.order.spec.name} did not make its {output.role}")
        return made

    def _perform_somewhere(self, job: Job, started: Callable[[], None]) -> Performed:
        """Have it performed; again, as another attempt in the ledger, if its machine is lost meanwhile."""
        losses = 0
        while True:
            try:
                return self.executor.perform(self.order.spec, job, started)
            except MachineLost as lost:
                losses += 1
                if losses == LOSSES:
                    lost.why = f"{losses} were, one after the other, with this step"
                    raise
                row = step_record(self.run_id, self.handle, self.order, self.key, "failed", error=lost)
                self.store.ledger.add_step(row)
                job.note(f"{lost.what}; it is performed elsewhere")
                for rest in job.out.iterdir():
                    rest.unlink()
