"""From a recipe's request to a step's identity: engine, params, inputs, and the key that names it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatarctl.engines import readiness
from avatarctl.engines.contract import EngineSpec
from avatarctl.errors import BadInput, StepFailed
from avatarctl.presets import Settings
from avatarctl.runtime.external import ExternalDigests
from avatarctl.runtime.handles import OutputOf, Ref, Unknown
from avatarctl.stages.contract import Stage
from avatarctl.stages.params import Params
from avatarctl.store.keys import canonical_json, step_key
from avatarctl.store.model import Artefact


@dataclasses.dataclass(frozen=True)
class StepOrder:
    """A step that was asked for. `inputs` may still wait for other steps."""

    stage: Stage
    spec: EngineSpec
    params: Params
    inputs: Mapping[str, Ref]
    label: str
    seed: int
    take: int
    models_folder: Path
    external: ExternalDigests = dataclasses.field(default_factory=ExternalDigests, repr=False, compare=False)
    asked: Params | None = None
    """The params that were asked for, where memory ran out with them."""
    rungs: int = 0
    """How far down the engine's ladder this order is."""
    told: str = ""
    """What is different on this rung."""

    def lower(self) -> StepOrder | None:
        """What may be tried where memory ran out with this; None at the end of the ladder."""
        asked = self.asked or self.params
        # What was streamed is read already.
        ladder = self.spec.ladder(asked) if self.spec.ladder and not self.spec.streams else ()
        if self.rungs >= len(ladder):
            return None
        rung = ladder[self.rungs]
        return dataclasses.replace(self, params=rung.params, asked=asked, rungs=self.rungs + 1, told=rung.told)

    def resolved(self) -> StepOrder:
        """The same with every input known. Raises `StepFailed` when an earlier step did not make it."""
        known: dict[str, Ref] = {}
        for role, ref in self.inputs.items():
            if isinstance(ref, OutputOf):
                artefact = ref.artefact()
                if artefact is None:
                    if self._optional(role):
                        continue
                    raise StepFailed(f"{self.stage.name} needs {role}, which {ref.handle.stage} did not make")
                known[role] = artefact
            else:
                known[role] = ref
        return dataclasses.replace(self, inputs=known)

    def _optional(self, role: str) -> bool:
        base = role.partition(".")[0]
        return any(i.role == base and i.optional for i in self.stage.inputs)

    def artefacts(self) -> dict[str, Artefact]:
        """The inputs of a resolved order."""
        return {role: ref for role, ref in self.inputs.items() if isinstance(ref, Artefact)}

    def waits_for(self) -> str:
        """In a dry run: which step keeps this one from being named, or nothing."""
        for ref in self.inputs.values():
            if isinstance(ref, Unknown):
                return ref.waits_for
            if isinstance(ref, OutputOf) and ref.handle.known() is None:
                return f"{ref.handle.stage} {ref.handle.label}".strip()
        return ""

    def identity(self) -> dict[str, Any]:
        """Everything that the result depends on, and nothing else: no path, host, thread count or time.

        Raises:
            Unavailable: the server is not there whose models the engine uses.
        """
        identity: dict[str, Any] = {
            "stage": self.stage.name,
            "stage_version": self.stage.version,
            "engine": self.spec.name,
            "cache_version": self.spec.cache_version,
            "models": self._model_digests(),
            "params": self.params.keyed(),
            "inputs": {role: artefact.digest for role, artefact in self.artefacts().items()},
        }
        if self.spec.uses_seed:
            identity["seed"] = self.seed
        if self.take and not self.spec.deterministic:
            identity["take"] = self.take
        if self.asked is not None:
            # Also of params that no key has: what was made otherwise than asked is never taken for what was asked.
            asked = self.asked.as_dict()
            identity["instead"] = {k: v for k, v in self.params.as_dict().items() if v != asked[k]}
        return identity

    def _model_digests(self) -> dict[str, str]:
        digests = dict(readiness.digests(self.spec, self.params, self.models_folder))
        if self.spec.external:
            digests.update(self.external.of(self.spec, self.params))
        return digests

    def key(self) -> str:
        """`s1:` and the SHA-256 of the identity."""
        return step_key(self.identity())

    def identity_json(self) -> str:
        """The identity as the ledger keeps it, so that another key can be compared with this one."""
        return canonical_json(self.identity()).decode()


class Plan:
    """Turns requests into orders with a run's settings."""

    def __init__(self, settings: Settings, *, models_folder: Path, seed: int, take: int) -> None:
        self._settings = settings
        # Another take of an engine that follows its seed is another seed; others get the take in their key.
        self._seed = seed + 1_000_003 * take
        self._take = take
        self._external = ExternalDigests()
        self._models_folder = models_folder

    def order(self, stage: Stage, inputs: Mapping[str, Ref], label: str, changes: Mapping[str, Any]) -> StepOrder:
        """Keep the inputs that the engine reads; validate the params.

        Raises:
            BadInput: an input is missing that the engine cannot do without.
        """
        given = {role.partition(".")[0] for role in inputs}
        choice = self._settings.choice(stage.name, given, **changes)
        for role in choice.spec.needs:
            if role not in given:
                raise BadInput(
                    f"the engine {stage.name}/{choice.spec.name} needs a {role}",
                    hint=f"give one, or choose another engine with --set {stage.name}.engine=...",
                )
        wanted = {i.role for i in stage.inputs if not i.optional} | {*choice.spec.reads, *choice.spec.needs}
        kept = {role: ref for role, ref in inputs.items() if role.partition(".")[0] in wanted}
        return StepOrder(
            stage,
            choice.spec,
            choice.params,
            kept,
            label,
            self._seed,
            self._take,
            self._models_folder,
            self._external,
        )
