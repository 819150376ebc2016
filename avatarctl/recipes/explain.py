"""Why a job would run or hit: its plan of today beside what its last run did, step by step.

A key is a digest and tells nothing, so the ledger keeps what each key was made of. Steps are matched by stage and by
their place among the steps of that stage; what differs in what they were made of is the reason.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avatarctl import config
from avatarctl.jobs import Job
from avatarctl.recipes import jobs
from avatarctl.runtime import session
from avatarctl.runtime.dryrun import PlannedStep
from avatarctl.store.model import StepRecord
from avatarctl.store.store import Store

_LONGEST = 40


@dataclass(frozen=True, slots=True)
class Explained:
    """One step: what would happen to it, and why. `verdict`: hit, run or unknown."""

    stage: str
    engine: str
    label: str
    verdict: str
    reason: str


def explain(store: Store, job: Job, run_id: str) -> list[Explained]:
    """Plan a job without doing anything, and compare it with an earlier run of it.

    Args:
        run_id: the job's last run; empty if it was never performed.

    Raises:
        AvatarctlError: what the job itself would fail with before its first step.
    """
    settings = jobs.settings_of(job)
    said = jobs.spoken_text(job)
    avatar = jobs.avatar_of(job, store, settings)
    seed = config.seed() if job.seed is None else job.seed
    plan = session.planning(store, settings, seed=seed, take=job.take)
    jobs.ask_for(plan, job, avatar, said, {})
    before = _by_place(store.ledger.steps(run_id) if run_id else [])
    places: dict[str, int] = defaultdict(int)
    explained = []
    for step in plan.planned:
        place = places[step.stage]
        places[step.stage] += 1
        earlier = before.get((step.stage, place))
        explained.append(
            Explained(step.stage, step.engine, step.label, step.verdict, _reason(store, step, earlier, bool(run_id)))
        )
    return explained


def _by_place(steps: Sequence[StepRecord]) -> dict[tuple[str, int], StepRecord]:
    """The last attempt at each step, by stage and place among the steps of that stage."""
    latest = {step.index: step for step in steps}
    places: dict[str, int] = defaultdict(int)
    found = {}
    for index in sorted(latest):
        step = latest[index]
        found[step.stage, places[step.stage]] = step
        places[step.stage] += 1
    return found


def _reason(store: Store, step: PlannedStep, earlier: StepRecord | None, was_run: bool) -> str:
    if step.verdict == "unknown":
        return step.reason
    if step.verdict == "hit":
        return step.reason if earlier is None or earlier.key == step.key else f"{step.reason}, for another run"
    if not was_run:
        return "the job was never performed"
    if earlier is None:
        return "its last run had no such step"
    if earlier.key == step.key:
        return f"its last attempt {earlier.status}: {earlier.error}" if earlier.error else "its result is gone"
    kept = store.ledger.identity(earlier.key)
    if not kept:
        return "it changed, and what its last result was made of is no longer known"
    return "; ".join(differences(json.loads(kept), json.loads(step.identity))) or "it changed"


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the identities of two steps, in words: `seed changed from 0 to 3`."""
    found = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            for key in sorted(old.keys() | new.keys()):
                if old.get(key) != new.get(key):
                    found.append(_change(name, key, old.get(key), new.get(key)))
        else:
            found.append(_change("", _WORDS.get(name, name), old, new))
    return found


_WORDS = {"cache_version": "the engine's version", "stage_version": "the stage's version", "engine": "the engine"}


def _change(kind: str, name: str, old: Any, new: Any) -> str:
    if kind == "inputs":
        what = f"its {name}"
    elif kind == "models":
        what = f"the model {name}"
    else:
        what = name
    if old is None or new is None:
        return f"{what} is new" if old is None else f"{what} is no longer there"
    if kind in ("inputs", "models"):
        return f"{what} changed"
    return f"{what} changed from {_short(old)} to {_short(new)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
