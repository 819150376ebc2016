"""What the store keeps, as frozen records. Times are UTC in ISO form; sizes are bytes; `_ms` is milliseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avatarctl.store.ids import new_id, now

__all__ = [
    "Artefact",
    "AvatarRecord",
    "BatchRecord",
    "DocumentRecord",
    "JobRecord",
    "Manifest",
    "RunRecord",
    "StepRecord",
    "new_id",
    "now",
]

RUN_STATUSES = ("running", "done", "failed", "stopped", "lost")
"""`lost`: the process died without a word, by SIGKILL or with the machine."""

STEP_STATUSES = ("hit", "done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Artefact:
    """Immutable bytes, named by their SHA-256."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an action made: the cache's answer to a key."""

    key: str
    outputs: Mapping[str, Artefact]
    facts: Mapping[str, Any]
    """The validator's figures."""
    created: str
    run_ms: float
    engine: str

    def to_json(self) -> str:
        """One line; `from_json` gives the same manifest back."""
        outputs = {role: [a.digest, a.size, a.media_type] for role, a in self.outputs.items()}
        return json.dumps(
            {
                "key": self.key,
                "outputs": outputs,
                "facts": self.facts,
                "created": self.created,
                "run_ms": self.run_ms,
                "engine": self.engine,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Raises `ValueError` when `text` is not a manifest."""
        try:
            raw = json.loads(text)
            outputs = {role: Artefact(str(d), int(size), str(kind)) for role, (d, size, kind) in raw["outputs"].items()}
            return cls(raw["key"], outputs, raw["facts"], raw["created"], raw["run_ms"], raw["engine"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One attempt at a step in a run."""

    run_id: str
    index: int
    """Place in the run, from 0."""
    stage: str
    engine: str
    key: str
    """Empty when the step ended before its inputs were known."""
    status: str
    queue_ms: float = 0.0
    load_ms: float = 0.0
    run_ms: float = 0.0
    device: str = ""
    peak_memory_mb: float = 0.0
    error_code: str = ""
    error: str = ""
    label: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Digests by role."""
    notes: str = ""
    """What did not go as it should have, though the step went on; a line each."""
    output_bytes: int = 0
    ended: str = field(default="", compare=False)
    """When its row was written, which the ledger fills in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One recipe performed for a user. `request` and `settings` are enough to ask for the same again."""

    id: str
    recipe: str
    status: str = "running"
    started: str = field(default_factory=now)
    ended: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[Mapping[str, str]] = ()
    """Files put where the user wanted them, each with `path`, `digest` and `role`."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvatarRecord:
    """One version of an enrolled person. Files are digests of artefacts; an empty one is not there."""

    id: str
    name: str
    version: int
    """From 1. Enrolling the same name again makes the next."""
    photo: str
    """As it was given."""
    portrait: str
    preview: str
    portrait_report: Mapping[str, Any]
    sample: str = ""
    """The voice as it was given."""
    voice: str = ""
    voice_report: Mapping[str, Any] | None = None
    persona: str = ""
    consent_by: str = ""
    created: str = field(default_factory=now)

    def files(self) -> tuple[str, ...]:
        """The digests of this version's own files."""
        digests = (self.photo, self.portrait, self.preview, self.sample, self.voice)
        return tuple(dict.fromkeys(d for d in digests if d))

    def voice_report_text(self) -> str:
        """The voice report as engines read it; empty when there is no voice."""
        if self.voice_report is None:
            return ""
        return json.dumps(self.voice_report, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """A document that answers may come from."""

    name: str
    digest: str
    media_type: str
    title: str
    language: str
    added: str
    source: str
    """The file's name when it was added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A job file that is or was performed."""

    id: str
    source: str
    """Absolute path of the job file."""
    digest: str
    """Of the file's content when it was last queued."""
    created: str
    ended: str
    """Empty while jobs wait or run."""
    outputs: str
    """Folder of the results."""
    round: int
    """How often the whole file was performed, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job of a batch."""

    id: str
    batch_id: str
    position: int
    """Place in the file, from 0."""
    name: str
    status: str
    request: Mapping[str, Any]
    fingerprint: str
    """Digest of the request and of what is known about its files."""
    priority: int
    owner: str
    """Id of the process that performs it; empty when none does."""
    heartbeat: str
    """When its owner last said that it lives."""
    attempt: int
    cancel: bool
    """Somebody wants it stopped."""
    run_id: str
    error_code: str
    error: str
    retryable: bool
    """Whether the same again may succeed."""
    cached: bool
    """Whether nothing had to be made."""
    seconds: float
    """That engines worked for it, steps that ran side by side each counted; without waiting for their turn."""
    media_seconds: float
    """Length of the film."""
    output: str
    """The film that was delivered."""
    ended: str
    remark: str = ""
    """How the film was made otherwise than asked."""
