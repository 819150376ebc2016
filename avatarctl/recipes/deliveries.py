"""The two ends of a film's recipe: who is in it, and where it is put when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatarctl import presets
from avatarctl.errors import BadInput, Rejected
from avatarctl.presets import Settings
from avatarctl.recipes import verdict
from avatarctl.recipes.exports import FORMATS
from avatarctl.recipes.film import Film
from avatarctl.recipes.verdict import Fault
from avatarctl.runtime import session
from avatarctl.runtime.handles import Handle
from avatarctl.runtime.runner import Run
from avatarctl.stages.catalog import CheckParams
from avatarctl.store.model import AvatarRecord
from avatarctl.store.store import Store

REJECTED = ".rejected"
"""What the name of a film that breaks a limit ends with."""


def find_avatar(store: Store, name: str | None, settings: Settings) -> AvatarRecord:
    """The avatar of that name (or name@version, or id), or the newest one."""
    wanted = name or settings.avatar
    if wanted:
        return store.ledger.avatar(wanted)
    avatars = store.ledger.newest_avatars()
    if not avatars:
        raise BadInput("nobody is enrolled yet", hint="avatarctl enroll photo.jpg voice.wav")
    return avatars[0]


def film(run: Run, made: Film, moves: Handle | None, good: Path, settings: Settings) -> dict[str, Path]:
    """Wait for a film and copy it, with its subtitles and movements, to where the user wants it: paths by role.

    A film that breaks a limit of its preset becomes `NAME.rejected.mp4`, and so do the files beside it. What an
    earlier run left as `NAME.mp4` then stays as it is; and a good film takes away what runs left as rejected.

    Args:
        moves: the movements that were asked for, if any.
        good: path of a film that keeps every limit; ends with `.mp4`.

    Raises:
        Rejected: the film breaks a limit. It was delivered all the same.
    """
    manifest = run.wait(made.made)
    broken = broken_limits(run.wait(made.checked).facts, settings) if made.checked else []
    rejected = good.with_name(good.stem + REJECTED + ".mp4")
    target = rejected if broken else good
    files = {"film": session.deliver(run, manifest.outputs["film"], target, "film")}
    if "subtitles" in manifest.outputs:
        beside = target.with_suffix(".srt")
        files["subtitles"] = session.deliver(run, manifest.outputs["subtitles"], beside, "subtitles")
    files |= _deliver_exports(run, moves, target)
    if broken:
        raise rejection(broken, settings, str(target))
    for ending in (".mp4", ".srt", *_export_endings().values()):
        run.store.withdraw(rejected.with_suffix(ending))
    return files


def broken_limits(figures: Mapping[str, Any], settings: Settings) -> list[Fault]:
    """The limits of these settings that a film with these figures breaks."""
    limits = settings.choice("check", presets.every_role("check")).params
    assert isinstance(limits, CheckParams)
    return verdict.faults(figures, limits)


def rejection(broken: list[Fault], settings: Settings, film: str) -> Rejected:
    """The error that tells each figure with its limit, and what can be done."""
    as_it_is = " ".join(f"--set check.{fault.limit}=none" for fault in broken)
    return Rejected(
        "the film was rejected: " + "; ".join(str(fault) for fault in broken),
        why=f"these are the limits of the preset {settings.preset} and your own settings",
        hint=f"look at {film}; make it again with other params, or take it as it is with {as_it_is}",
    )


def _deliver_exports(run: Run, made: Handle | None, film: Path) -> dict[str, Path]:
    """Wait for the movements that were asked for, if any, and copy them beside the film: paths by role."""
    if made is None:
        return {}
    outputs = run.wait(made).outputs
    return {
        role: session.deliver(run, outputs[role], film.with_suffix(ending), role)
        for role, ending in _export_endings().items()
        if role in outputs
    }


def _export_endings() -> dict[str, str]:
    """What a film's name ends with in place of `.mp4`, by role."""

    return {role: ending for roles in FORMATS.values() for role, ending in roles.items()}
