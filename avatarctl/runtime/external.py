"""What servers say about the models that engines use: asked once a run, so that every step of it is named alike."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.params import Params


class ExternalDigests:
    """Digests by the role of a model, for each engine and its params."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, Params], dict[str, str]] = {}
        self._guard = threading.Lock()

    def of(self, spec: EngineSpec, params: Params) -> Mapping[str, str]:
        """What `spec.external` says.

        Raises:
            Unavailable: the server or the model is not there.
        """
        with self._guard:
            slot = (spec.stage, spec.name, params)
            if slot not in self._known:
                module, _, function = spec.external.partition(":")
                self._known[slot] = dict(getattr(importlib.import_module(module), function)(params))
            return self._known[slot]
