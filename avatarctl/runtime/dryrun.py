"""The same recipe, walked without doing anything: what would be a hit, what would run, what cannot be known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl import config
from avatarctl.engines import readiness
from avatarctl.engines.contract import EngineSpec
from avatarctl.errors import AvatarctlError, Unavailable
from avatarctl.presets import Settings
from avatarctl.runtime.handles import Handle, Ref, Unknown
from avatarctl.runtime.plan import StepOrder
from avatarctl.runtime.runner import Run, spoken_role
from avatarctl.stages.params import Params
from avatarctl.store.keys import digest_bytes, digest_file
from avatarctl.store.model import Artefact, Manifest
from avatarctl.store.store import Store
from avatarctl.text.sentences import Sentence, split


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One line of a dry run. `verdict`: hit, run or unknown; `reason` says why; `key` where it is known."""

    stage: str
    engine: str
    label: str
    verdict: str
    reason: str
    key: str
    params: Mapping[str, Any]
    identity: str = ""
    """JSON of all that the key is made of; empty where that is not known."""


class DryRun(Run):
    """Performs nothing and writes nothing; collects `planned`, and in `faults` why steps could not be performed.

    `refusal`: the first fault of a step that would send something away.
    """

    dry = True

    def __init__(self, store: Store, settings: Settings, **options: Any) -> None:
        super().__init__(store, settings, run_id="dry", **options)
        self.planned: list[PlannedStep] = []
        self.faults: list[AvatarctlError] = []
        self.refusal: AvatarctlError | None = None

    def text(self, content: str) -> Ref:
        data = content.encode("utf-8")
        return Artefact(digest_bytes(data), len(data), "text/plain; charset=utf-8")

    @contextmanager
    def folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def take_in(self, path: Path, media_type: str) -> Artefact:
        return Artefact(digest_file(path), path.stat().st_size, media_type)

    def _when_ready(self, handle: Handle, order: StepOrder, waiting: list[Handle]) -> None:
        waits_for = order.waits_for()
        if waits_for:
            self._plan(handle, order, "unknown", f"waits for {waits_for}{self._outlook(order)}", "")
            return
        order = order.resolved()
        try:
            key = order.key()
        except Unavailable as error:
            # Of a model that is not here, and the package that would read it, this look tells both.
            fault = unable(order.spec, order.params, self.settings, order.models_folder) or error
            self.faults.append(fault)
            self._plan(handle, order, "unknown", f"{fault.what}; {fault.hint}" if fault.hint else fault.what, "")
            return
        if self._must_refresh(handle.stage, key):
            self._plan(handle, order, "run", f"a refresh was asked for{self._outlook(order)}", key)
            return
        manifest = self.store.lookup(key)
        if manifest is None:
            reason = f"not made yet with these inputs and params{self._outlook(order)}"
            self._plan(handle, order, "run", reason, key)
        else:
            # What is kept is sent nowhere, and wants no engine.
            self._plan(handle, order, "hit", f"made {manifest.created}", key)
            handle.finish(manifest)

    def _plan(self, handle: Handle, order: StepOrder, verdict: str, reason: str, key: str) -> None:
        self.planned.append(
            PlannedStep(
                handle.stage,
                order.spec.name,
                handle.label,
                verdict,
                reason,
                key,
                order.params.as_dict(),
                order.identity_json() if key else "",
            )
        )

    def _outlook(self, order: StepOrder) -> str:
        """What is to be known of a step before it is performed; a fault is noted, too."""
        cloud = order.spec.cloud
        sent = f"; sends {cloud.sends} to {cloud.title}" if cloud else ""
        fault = unable(order.spec, order.params, self.settings, order.models_folder) or _server_fault(order)
        if fault is None:
            return sent
        self.faults.append(fault)
        if cloud is None:
            return f"; not possible: {fault.what}"
        self.refusal = self.refusal or fault
        return f"{sent}, which is refused"

    def sentences(self, handle: Handle, role: str = "answer") -> Iterator[tuple[Sentence, Ref]]:
        manifest = handle.known()
        if manifest is None:
            yield Sentence("...", 0.0), Unknown(f"{handle.stage} {handle.label}".strip())
            return
        for sentence in split(self.read_text(handle, spoken_role(manifest, role))):
            yield sentence, self.text(sentence.text)

    def wait(self, handle: Handle) -> Manifest:
        """Nothing is waited for; an unknown step has an empty manifest."""
        return handle.known() or Manifest("", {}, {}, "", 0.0, "")

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        return


def unable(spec: EngineSpec, params: Params, settings: Settings, models_folder: Path) -> AvatarctlError | None:
    """Why an engine could not begin on a step now: it may not send what it sends, or lacks a package or model."""
    try:
        readiness.check_allowed(spec, config.cloud_allows)
        readiness.paths(spec, params, models_folder, settings.interpreter(spec.name) if spec.worker else "")
    except AvatarctlError as error:
        return error
    return None


def _server_fault(order: StepOrder) -> AvatarctlError | None:
    """Why the server does not answer whose models the engine uses, or lacks the model; it is asked once a run."""
    try:
        if order.spec.external:
            order.external.of(order.spec, order.params)
    except AvatarctlError as error:
        return error
    return None
