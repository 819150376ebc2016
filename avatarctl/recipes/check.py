"""One stage, alone: a film measured."""

from __future__ import annotations

from pathlib import Path

from avatarctl.files import readable_file
from avatarctl.recipes.upscale import MAX_MEDIA_BYTES
from avatarctl.runtime.handles import Handle
from avatarctl.runtime.runner import Run


def check(run: Run, film: Path) -> Handle:
    """film -> check. The handle has `report`; what is said in the film is not known, so neither is its sync."""
    given = run.store.add_file(readable_file(film, MAX_MEDIA_BYTES, "film"), "application/octet-stream")
    return run.step("check", {"film": given}, label=film.name)
