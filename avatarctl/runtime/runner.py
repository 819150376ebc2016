"""Performs a recipe's steps: looks each up by its key, makes what is missing, publishes it, tells listeners.

A call of `Run.step` returns at once with a handle. A step starts when its inputs are known; it runs on the
lane of its engine (one worker for each scarce resource), so sentence 2 is spoken while sentence 1 is drawn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from avatarctl import config
from avatarctl.engines import readiness
from avatarctl.engines.contract import Cancelled, EngineSpec
from avatarctl.errors import AvatarctlError, StepFailed, Stopped
from avatarctl.presets import Settings
from avatarctl.runtime import events
from avatarctl.runtime.attempt import Attempt
from avatarctl.runtime.executors import Executor
from avatarctl.runtime.executors.local import LocalExecutor
from avatarctl.runtime.failures import explained, is_out_of_memory
from avatarctl.runtime.handles import Handle, OutputOf, Ref
from avatarctl.runtime.plan import Plan, StepOrder
from avatarctl.runtime.records import step_record
from avatarctl.runtime.stopwatch import Stopwatch
from avatarctl.runtime.turns import Turns, when_known
from avatarctl.stages.catalog import SCRIPT, stage, stages_from
from avatarctl.store.locks import Abandoned, key_lock
from avatarctl.store.model import Artefact, Manifest
from avatarctl.store.store import Store
from avatarctl.text.sentences import Sentence, SentenceStream, split


class Run:
    """One recipe at work. Use it as a context manager: leaving it waits for, or cancels, what is under way."""

    dry = False

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        run_id: str,
        listener: events.Listener = events.silent,
        seed: int = 0,
        take: int = 0,
        refresh_from: str | None = None,
        models_folder: Path | None = None,
        executor: Executor | None = None,
        priority: int = 0,
    ) -> None:
        """`refresh_from`: this stage and all after it are made again ("" for every stage).

        `executor`: one that other runs use too; without it the run has one of its own, on this machine.
        """
        self.store = store
        self.settings = settings
        self.id = run_id
        self.listener = listener
        folder = models_folder or config.paths().models
        self.plan = Plan(settings, models_folder=folder, seed=seed, take=take)
        self._refresh = stages_from(refresh_from)
        self._refreshed: set[str] = set()
        self._own_executor = executor is None
        self._executor: Executor = executor or LocalExecutor(folder, settings.interpreter, servers=settings.servers)
        self._priority = priority
        self._cancel = threading.Event()
        self._error: BaseException | None = None
        self._guard = threading.Lock()
        self._open = 0
        self._idle = threading.Condition(self._guard)
        self._turns = Turns()
        self.handles: list[Handle] = []
        self.delivered: list[dict[str, str]] = []
        """What was copied out of the store: path, digest, role."""
        self.at_work = Stopwatch()
        """Runs while a step has its turn: a job is not late because others go first."""
        self.remarks: list[str] = []
        """What was made otherwise than asked."""

    # -- what recipes call

    def text(self, content: str) -> Ref:
        """Text as an artefact that steps can read."""
        return self.store.add_bytes(content.encode("utf-8"), "text/plain; charset=utf-8")

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder for a recipe's own work, removed in the end."""
        with self.store.workspace(self.id) as folder:
            yield folder

    def take_in(self, path: Path, media_type: str) -> Artefact:
        """A file from outside as an artefact that steps can read."""
        return self.store.add_file(path, media_type)

    def step(
        self,
        stage_name: str,
        inputs: Mapping[str, Ref],
        *,
        label: str = "",
        **changes: Any,
    ) -> Handle:
        """Ask for a step. `inputs` by role; roles that the engine does not read are left out.

        Raises:
            BadConfig: no such engine, or wrong params. Everything else comes from the handle.
        """
        order = self.plan.order(stage(stage_name), inputs, label, changes)
        handle = Handle(len(self.handles), stage_name, label, inputs)
        self.handles.append(handle)
        self._turns.enter(handle)
        self.listener(events.Planned(handle.index, stage_name, order.spec.name, label))
        with self._guard:
            self._open += 1
        try:
            handle.future.add_done_callback(lambda future: self._closed(handle))
            waiting = [r.handle for r in order.inputs.values() if isinstance(r, OutputOf) and r.handle.known() is None]
            self._when_ready(handle, order, waiting)
        except BaseException as error:
            # A signal. The run's end waits for every handle, and nobody else might end this one.
            handle.fail(error)
            raise
        return handle

    def sentences(self, handle: Handle, role: str = "answer") -> Iterator[tuple[Sentence, Ref]]:
        """The sentences of a step's text, each as soon as it is complete, with its artefact."""
        for sentence in self._sentences(handle, role):
            self.listener(events.Text(sentence.text))
            yield sentence, self.text(sentence.text)

    def _sentences(self, handle: Handle, role: str) -> Iterator[Sentence]:
        streamed = False
        stream = SentenceStream()
        for piece in handle.chunks():
            streamed = True
            yield from stream.feed(piece)
        made = handle.result()
        yield from stream.close() if streamed else split(self.read_text(handle, spoken_role(made, role)))

    def read_text(self, handle: Handle, role: str) -> str:
        """The text that a step made; waits for it."""
        return self.store.cas.path(handle.result().outputs[role].digest).read_text(encoding="utf-8")

    def cancel(self) -> None:
        """Let nothing of this run begin any more, and ask what is under way to stop; `wait` then raises `Cancelled`."""
        self._cancel.set()

    def note(self, message: str) -> None:
        """A line for the user."""
        self.listener(events.Note(message))

    def usable(self, spec: EngineSpec) -> bool:
        """Whether an engine's packages and models are here."""
        return self._executor.usable(spec)

    # -- from request to work

    def _when_ready(self, handle: Handle, order: StepOrder, waiting: list[Handle]) -> None:
        def look_ahead() -> None:
            # What the last one makes is new, so that this step is hardly in the cache.
            if not self._cancel.is_set():
                self._executor.expect(order.spec, order.params)

        when_known(waiting, lambda: self._resolve(handle, order), handle.fail, look_ahead)

    def _resolve(self, handle: Handle, order: StepOrder) -> None:
        """All inputs are known: name the step, and either take it from the cache or queue it in its turn."""
        try:
            order = order.resolved()
            key = order.key()
            queued = time.perf_counter()
            if not self._must_refresh(handle.stage, key):
                manifest = self.store.lookup(key)
                if manifest is not None:
                    self._take_hit(handle, order, manifest)
                    return
            readiness.check_allowed(order.spec, config.cloud_allows)
            self._turns.begin(handle, lambda: self._queue(handle, order, key, queued))
        except BaseException as error:
            self._fail(handle, order, error, "")
            if isinstance(error, Stopped):
                raise

    def _queue(self, handle: Handle, order: StepOrder, key: str, queued: float) -> None:
        try:
            self._executor.submit(
                lambda: self._perform_guarded(handle, order, key, queued),
                order.spec,
                order.params,
                priority=self._priority,
            )
        except BaseException as error:
            self._fail(handle, order, error, key)
            if isinstance(error, Stopped):
                raise

    def _must_refresh(self, stage_name: str, key: str) -> bool:
        return stage_name in self._refresh and key not in self._refreshed

    def _take_hit(self, handle: Handle, order: StepOrder, manifest: Manifest, queue_ms: float = 0.0) -> None:
        record = step_record(self.id, handle, order, manifest.key, "hit", queue_ms=queue_ms, manifest=manifest)
        self.store.ledger.add_step(record)
        self._tell_finished(handle, order, "hit", 0.0, manifest.facts)
        handle.finish(manifest)

    def _perform_guarded(self, handle: Handle, order: StepOrder, key: str, queued: float) -> None:
        try:
            with self.at_work:
                self._perform(handle, order, key, queued)
        except BaseException as error:
            # The handle has its error whatever happens here; a ledger that cannot be written has been told already.
            with suppress(Exception):
                lower = order.lower() if is_out_of_memory(error) and not self._cancel.is_set() else None
                if lower is None:
                    self._fail(handle, order, error, key)
                else:
                    self._step_down(handle, order, lower, key, error)

    def _step_down(self, handle: Handle, order: StepOrder, lower: StepOrder, key: str, error: BaseException) -> None:
        """Memory ran out: write down the attempt, and ask for the step as the engine's next rung has it."""
        if not isinstance(error, AvatarctlError):
            error = self._explained(order, error)
        told = f"memory ran out; made {lower.told}"
        handle.notes.append(told)
        self.remarks.append(f"{handle.stage}/{order.spec.name}: {told}")
        self.note(self.remarks[-1])
        record = step_record(self.id, handle, order, key, "failed", run_ms=self._since_begun(handle), error=error)
        handle.began = None
        try:
            self.store.ledger.add_step(record)
        except BaseException as fault:
            self._fail(handle, order, fault, key)
        else:
            self._resolve(handle, lower)

    def _since_begun(self, handle: Handle) -> float:
        """Milliseconds that an engine has been at work on a step."""
        return 0.0 if handle.began is None else (time.perf_counter() - handle.began) * 1000

    def _perform(self, handle: Handle, order: StepOrder, key: str, queued: float) -> None:
        if self._cancel.is_set():
            raise Cancelled
        locks = self.store.locks_folder
        waited = time.perf_counter()

        def given_up() -> bool:
            nonlocal waited
            if time.perf_counter() - waited > 2.0:
                waited = float("inf")
                self.listener(events.Waiting(handle.index, handle.stage, order.spec.name, handle.label))
            return self._cancel.is_set()

        with key_lock(locks, key, config.lock_timeout(), cancelled=given_up):
            refresh = self._must_refresh(handle.stage, key)
            if not refresh:
                manifest = self.store.lookup(key)
                if manifest is not None:
                    self._take_hit(handle, order, manifest, (time.perf_counter() - queued) * 1000)
                    return
            manifest = self._make(handle, order, key, queued, refresh)
        handle.finish(manifest)

    def _make(self, handle: Handle, order: StepOrder, key: str, queued: float, refresh: bool) -> Manifest:
        attempt = Attempt(
            self.store, self._executor, self.id, handle, order, key, self.listener, self.note, self._cancel.is_set
        )
        manifest, run_ms, facts = attempt.make(queued, replace=refresh)
        self._refreshed.add(key)
        self._tell_finished(handle, order, "done", run_ms, facts)
        return manifest

    # -- endings

    def _fail(self, handle: Handle, order: StepOrder, error: BaseException, key: str) -> None:
        cancelled = isinstance(error, Cancelled | Abandoned | Stopped)
        if not cancelled and not isinstance(error, AvatarctlError):
            error = self._explained(order, error)
        with self._guard:
            if not cancelled and self._error is None:
                self._error = error
        self._cancel.set()
        if handle.future.done():
            # It was told and written down before: a signal fails a step wherever it is on its way.
            return
        status = "cancelled" if cancelled else "failed"
        run_ms = self._since_begun(handle)
        try:
            self.store.ledger.add_step(step_record(self.id, handle, order, key, status, run_ms=run_ms, error=error))
            self._tell_finished(handle, order, status, run_ms, {})
        finally:
            handle.fail(error)

    def _explained(self, order: StepOrder, error: BaseException) -> AvatarctlError:
        title = f"{order.stage.name}/{order.spec.name}"
        return explained(title, error, lambda: self._executor.damaged(order.spec, order.params))

    def _tell_finished(
        self, handle: Handle, order: StepOrder, status: str, run_ms: float, facts: Mapping[str, Any]
    ) -> None:
        self.listener(
            events.Finished(handle.index, handle.stage, order.spec.name, handle.label, status, run_ms, dict(facts))
        )

    def _closed(self, handle: Handle) -> None:
        self._turns.leave(handle)
        with self._guard:
            self._open -= 1
            self._idle.notify_all()

    def wait(self, handle: Handle) -> Manifest:
        """Wait for a step, raising the run's first error rather than a consequence of it."""
        try:
            return handle.result()
        except (Cancelled, Abandoned):
            raise self._error or StepFailed("the step was cancelled") from None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            self._cancel.set()
        with self._idle:
            while self._open:
                self._idle.wait(0.5)
        if self._own_executor:
            self._executor.close()
        if isinstance(error, Cancelled) and self._error is not None:
            raise self._error


def spoken_role(made: Manifest, role: str) -> str:
    """The script of a text where it has one: its words with the tags of emotions, which are not to be read."""
    return SCRIPT if SCRIPT in made.outputs else role
