"""Engine instances: made on first use, loaded once, shared by the steps of a process."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avatarctl import models
from avatarctl.engines import registry
from avatarctl.engines.contract import Engine, EngineSpec


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engine: Engine | None = None


class EnginePool:
    """One instance of each engine. An engine performs one step at a time."""

    def __init__(self, models_folder: Path) -> None:
        self._models = models_folder
        self._slots: dict[tuple[str, str], _Slot] = {}
        self._guard = threading.Lock()

    @contextmanager
    def use(self, spec: EngineSpec) -> Iterator[tuple[Engine, float]]:
        """The engine, for one step, with the milliseconds that loading took (0 when it was warm).

        Raises:
            Unavailable: a package or model that it needs is missing.
        """
        with self._guard:
            slot = self._slots.setdefault((spec.stage, spec.name), _Slot())
        with slot.lock:
            load_ms = 0.0
            if slot.engine is None:
                start = time.perf_counter()
                files = {name: models.path(self._models, name) for name in spec.models}
                engine = registry.create(spec)
                engine.load(files)
                slot.engine = engine
                load_ms = (time.perf_counter() - start) * 1000
            yield slot.engine, load_ms

    def has(self, spec: EngineSpec) -> bool:
        """Whether an engine's packages and models are here, by a look that imports nothing and reads no file."""
        packages = (importlib.util.find_spec(package) for package in spec.packages)
        states = (models.installed(self._models, name) for name in spec.models)
        return all(packages) and all(state == "ok" for state in states)

    def damaged(self, spec: EngineSpec) -> str:
        """The first of the engine's models whose bytes are wrong; empty if none is. Reads them all."""
        for name in spec.models:
            # One that cannot be read at all is a fault of its own, which `use` reports.
            with suppress(OSError):
                if models.verify(self._models, name) == "damaged":
                    return name
        return ""

    def close(self) -> None:
        """Close every engine."""
        for slot in self._slots.values():
            with slot.lock:
                if slot.engine is not None:
                    slot.engine.close()
                    slot.engine = None
