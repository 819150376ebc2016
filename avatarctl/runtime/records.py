"""What the ledger keeps of an attempt at a step."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from typing import Any

from avatarctl.runtime.handles import Handle
from avatarctl.runtime.plan import StepOrder
from avatarctl.store.model import Artefact, Manifest, StepRecord


def step_record(
    run_id: str,
    handle: Handle,
    order: StepOrder,
    key: str,
    status: str,
    *,
    queue_ms: float = 0.0,
    load_ms: float = 0.0,
    run_ms: float = 0.0,
    manifest: Manifest | None = None,
    error: BaseException | None = None,
    memory: Mapping[str, Any] | None = None,
    device: str = "",
    node: str = "",
) -> StepRecord:
    """A row about a step as it stands. Times in milliseconds; `memory`: what a worker said of its own."""
    known = {r: i.digest for r, i in order.inputs.items() if isinstance(i, Artefact)}
    return StepRecord(
        run_id=run_id,
        index=handle.index,
        stage=handle.stage,
        engine=order.spec.name,
        key=key,
        status=status,
        queue_ms=round(queue_ms, 3),
        load_ms=round(load_ms, 3),
        run_ms=round(run_ms, 3),
        device=(device or (memory["device"] if memory else "cpu")) + (f" on {node}" if node else ""),
        peak_memory_mb=_peak_memory_mb(memory) if status == "done" else 0.0,
        error_code=getattr(error, "code", type(error).__name__) if error else "",
        error=str(error) if error else "",
        label=handle.label,
        inputs=known,
        notes="\n".join(handle.notes),
        output_bytes=sum(a.size for a in manifest.outputs.values()) if manifest else 0,
    )


def _peak_memory_mb(memory: Mapping[str, Any] | None) -> float:
    """Of the worker if a worker did it (on the GPU if it used one), else of this process; MiB."""
    if not memory:
        return _own_peak_mb()
    return round(float(memory.get("peak", memory["resident_peak"])) / 2**20, 1)


def _own_peak_mb() -> float:
    """The most resident memory this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
