"""The better settings that this machine allows: written into the user's file, and offered once on a terminal.

What holds: off a terminal nothing is asked; whoever declined is never asked again; and on a machine with neither a GPU
nor Ollama a command loses no time here.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from avatarctl import config, presets
from avatarctl.cli import prompt
from avatarctl.cli.options import say
from avatarctl.stages.catalog import STAGES

_ASKED = "offer.json"
"""Beside the ledger: that the offer was made, or when nothing better was found."""
_FINAL = {"accepted", "declined"}
_TOLD = "told"
_AGAIN_SECONDS = 86_400.0
"""Where nothing better was found, how long it takes until this machine is looked at again."""


def apply(found: Any) -> tuple[Path, bool]:
    """Write `machine.advice.Advice` into the user's settings: where, and whether that changed anything.

    Raises:
        BadConfig: the file cannot be changed.
    """
    from avatarctl.machine import settings_file

    file = config.paths().user_file
    return file, settings_file.change(file, {"preset": found.preset}, found.tables)


def overruled(found: Any) -> str:
    """What keeps the advice, once it is in the user's file, from having its way; empty if nothing does."""
    from avatarctl.machine import advice

    local = config.read_toml(Path(config.PROJECT_FILE))
    if "preset" in local and local["preset"] != found.preset:
        return f"./{config.PROJECT_FILE} says preset = {local['preset']!r}, which goes before it"
    named = os.environ.get("AVATARCTL_PRESET")
    if named and named != found.preset:
        return f"AVATARCTL_PRESET={named} goes before it"
    stages = advice.overruling(found, config.layers(STAGES))
    return f"your own settings name another engine for {', '.join(stages)}, which goes before it" if stages else ""


def offer(preset: str | None) -> None:
    """Before a film or an answer: if this machine can do better than the default, say so once, and ask.

    Args:
        preset: what the command line says; whoever chose needs no advice.
    """
    if preset is not None or not prompt.can_ask() or _chosen():
        return
    from avatarctl.machine import advice, hardware

    if not (hardware.may_have_gpu() or shutil.which("ollama")):
        return
    marker = config.paths().data / _ASKED
    before, age = _remembered(marker)
    if before in _FINAL or (before and age < _AGAIN_SECONDS):
        return
    folder = config.paths().models
    reports = advice.reports(hardware.found(folder), folder)
    found = advice.best(reports)
    if found == advice.Advice(presets.DEFAULT):
        near = advice.within_reach(reports)
        if near is not None and before != _TOLD:
            say(f"This machine is large enough for the preset {near.name}: avatarctl doctor says what it lacks.")
        _remember(marker, _TOLD if near is not None else before or "nothing")
        return
    say(f"This machine can do better than the preset {presets.DEFAULT}: {found.words()}.")
    if prompt.agreed(f"Write that into {config.paths().user_file}?"):
        file, _ = apply(found)
        say(f"written; change it in {file}")
        _remember(marker, "accepted")
    else:
        say("It stays as it is. Later: avatarctl doctor --apply")
        _remember(marker, "declined")


def _chosen() -> bool:
    """Whether the user has said anything about the preset, or about who answers and speaks."""
    layers = config.layers(STAGES)
    return any("preset" in layer or any("engine" in layer.get(s, {}) for s in ("answer", "speak")) for layer in layers)


def _remembered(marker: Path) -> tuple[str, float]:
    """What came of the last look at this machine, and how many seconds ago; empty if there was none."""
    try:
        known = json.loads(marker.read_text(encoding="utf-8"))
        return str(known["answer"]), time.time() - float(known["when"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0.0


def _remember(marker: Path, answer: str) -> None:
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({"answer": answer, "when": time.time()}) + "\n", encoding="utf-8")
