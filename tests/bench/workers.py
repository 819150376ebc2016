"""What it costs that an engine is a process of its own: a step's round trip, and the first step against later ones."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from avatarctl.engines import registry
from avatarctl.engines.contract import Engine, EngineSpec, Job
from avatarctl.engines.worker.host import WorkerEngine

STEPS = 50
_TEXT = "Да."


def round_trip(repeat: int) -> tuple[float, float, float]:
    """With espeak-ng, which takes milliseconds itself.

    Returns:
        Milliseconds that a worker adds to a warm step; of a warm step in a worker; of the first step in a new one,
        from the start of its interpreter.
    """
    spec = registry.get("speak", "espeak")
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text(_TEXT, encoding="utf-8")
        cold = [_first(spec, text) for _ in range(repeat)]
        worker, inside = WorkerEngine(spec), registry.create(spec)
        try:
            alone, apart = [], []
            for engine in (worker, inside):
                engine.load({})
                _step(engine, spec, text)
            # By turns, so that a machine that is busy for a while slows both.
            for _ in range(STEPS * repeat):
                alone.append(_step(inside, spec, text))
                apart.append(_step(worker, spec, text))
        finally:
            worker.close()
            inside.close()
    warm = statistics.median(apart)
    return warm - statistics.median(alone), warm, statistics.median(cold)


def _first(spec: EngineSpec, text: Path) -> float:
    start = time.perf_counter()
    worker = WorkerEngine(spec)
    try:
        worker.load({})
        _step(worker, spec, text)
        return (time.perf_counter() - start) * 1000
    finally:
        worker.close()


def _step(engine: Engine, spec: EngineSpec, text: Path) -> float:
    """Milliseconds."""
    with tempfile.TemporaryDirectory() as out:
        job = Job(inputs={"text": text}, out=Path(out), params=spec.params())
        start = time.perf_counter()
        engine.run(job)
        return (time.perf_counter() - start) * 1000
