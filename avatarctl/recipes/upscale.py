"""One stage, alone: a larger picture or film."""

from __future__ import annotations

from pathlib import Path

from avatarctl.files import readable_file
from avatarctl.runtime.handles import Handle
from avatarctl.runtime.runner import Run

MAX_MEDIA_BYTES = 20 * 2**30


def upscale(run: Run, media: Path, scale: int) -> Handle:
    """media -> upscale. The handle has `video` or `image`."""
    given = run.store.add_file(readable_file(media, MAX_MEDIA_BYTES, "file"), "application/octet-stream")
    return run.step("upscale", {"media": given}, label=media.name, scale=scale)
