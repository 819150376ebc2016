"""What a run's page shows, gathered from the ledger and the artefacts that are still there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from avatarctl import __version__
from avatarctl.errors import AvatarctlError, Rejected
from avatarctl.pages.model import Delivered, Limit, RunView, Source, StepView
from avatarctl.recipes import report_film, verdict
from avatarctl.recipes.replays import title
from avatarctl.stages.catalog import CheckParams
from avatarctl.store.ids import now
from avatarctl.store.model import Manifest, RunRecord, StepRecord
from avatarctl.store.store import Store
from avatarctl.text import emotions
from avatarctl.text import language as languages

MOST_STEPS = 600
"""Steps that a page shows."""
PORTRAIT_SIDE = 144
MADE_BY = f"avatarctl {__version__}"


def of_run(store: Store, run: RunRecord, page: Path, embed_bytes: int) -> RunView:
    """Everything for the page at `page`.

    Args:
        embed_bytes: a film of at most so many bytes is put into the page; a larger one is linked.
    """
    steps = store.ledger.steps(run.id)
    made = {step.stage: step for step in steps if step.key and step.status in ("hit", "done")}
    checked = _manifest(store, made.get("check"))
    figures = {} if checked is None else {name: _number(value) for name, value in checked.facts.items()}
    question, text, sources = _words(store, run, made)
    avatar = store.ledger.avatar_or_none(str(run.request.get("avatar", "")))
    shown = [_step(step, _moment(run.started)) for step in steps[:MOST_STEPS]]
    name = emotions.untagged(title(run))
    return RunView(
        id=run.id,
        recipe=run.recipe,
        status="rejected" if run.error.startswith(f"{Rejected.code}:") else run.status,
        title=name,
        language=languages.detect(name),
        started=run.started,
        seconds=max(0.0, _moment(run.ended or now()) - _moment(run.started)),
        question=question,
        text=text,
        text_language=languages.detect(text) if text else "",
        sources=sources,
        error=run.error,
        avatar="" if avatar is None else f"{avatar.name}, version {avatar.version}",
        portrait=b"" if avatar is None else _portrait(store, avatar.portrait),
        preset=str(run.settings.get("preset", "")),
        settings=run.settings.get("tables", {}),
        seed=int(run.settings.get("seed", 0)),
        take=int(run.settings.get("take", 0)),
        film=report_film.of_run(store, run, made.get("finish"), page, embed_bytes),
        steps=shown,
        steps_left_out=len(steps) - len(shown),
        figures=figures,
        limits=_limits(figures, run.settings.get("tables", {}).get("check", {})),
        delivered=[
            Delivered(role=o["role"], name=Path(o["path"]).name, link=report_film.link(page, Path(o["path"])))
            for o in run.outputs
        ],
        made_by=MADE_BY,
    )


def _manifest(store: Store, step: StepRecord | None) -> Manifest | None:
    return None if step is None else store.ledger.find_action(step.key)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _moment(iso: str) -> float:
    """Seconds of the clock that all rows of a ledger share."""
    return datetime.fromisoformat(iso).timestamp()


def _step(step: StepRecord, start: float) -> StepView:
    """Its row was written when it ended, so it began by the sum of its times before that."""
    queue, load, run = step.queue_ms / 1000, step.load_ms / 1000, step.run_ms / 1000
    return StepView(
        index=step.index,
        stage=step.stage,
        engine=step.engine,
        label=step.label,
        status=step.status,
        began=max(0.0, _moment(step.ended) - start - queue - load - run),
        queue=queue,
        load=load,
        run=run,
        size=step.output_bytes,
        device=step.device,
        memory_mb=step.peak_memory_mb,
        key=step.key,
        error=step.error,
        error_code=step.error_code,
    )


def _words(store: Store, run: RunRecord, made: Mapping[str, StepRecord]) -> tuple[str, str, Sequence[Source]]:
    """The question, what was said, and where that comes from; empty where it is not known any more."""
    question = str(run.request.get("question", ""))
    if not question and run.recipe == "ask":
        question = _text(store, _manifest(store, made.get("transcribe")), "text").strip()
    answer = _manifest(store, made.get("answer"))
    if answer is None:
        return question, emotions.untagged(str(run.request.get("text", ""))), ()
    try:
        document = json.loads(_text(store, answer, "sources") or "{}")
        found = [
            Source(
                document=str(one.get("document", "")),
                heading=str(one.get("heading", "")),
                sentence=str(one.get("sentence", "")),
            )
            for one in document.get("sources", ())
        ]
    except (ValueError, AttributeError):
        found = []
    return question, _text(store, answer, "answer").strip(), found


def _text(store: Store, manifest: Manifest | None, role: str) -> str:
    if manifest is None or role not in manifest.outputs:
        return ""
    try:
        return store.cas.path(manifest.outputs[role].digest).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _portrait(store: Store, digest: str) -> bytes:
    from avatarctl.media import image

    try:
        return image.thumbnail(store.cas.path(digest), PORTRAIT_SIDE)
    except (AvatarctlError, OSError, ValueError):
        return b""


def _limits(figures: Mapping[str, float | None], table: Mapping[str, Any]) -> dict[str, list[Limit]]:
    """The limits of the run's own settings, by the figure that each is for; none where they cannot be read."""
    names = {field.name for field in dataclasses.fields(CheckParams)}
    try:
        params = CheckParams.parse({name: value for name, value in table.items() if name in names}, "check")
    except AvatarctlError:
        return {}
    broken = {fault.limit for fault in verdict.faults(figures, params)}
    found: dict[str, list[Limit]] = {}
    for name, bound in params.as_dict().items():
        side, _, figure = name.partition("_")
        if side in ("min", "max") and bound is not None and figures.get(figure) is not None:
            found.setdefault(figure, []).append(Limit(bound=float(bound), least=side == "min", broken=name in broken))
    return found
