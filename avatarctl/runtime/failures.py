"""An engine's own exception in our words."""

from __future__ import annotations

from collections.abc import Callable

from avatarctl.engines.worker import memory
from avatarctl.errors import AvatarctlError, OutOfMemory, StepFailed, Unavailable
from avatarctl.store.faults import LOOK_AT_KERNEL, disk_fails, disk_is_full


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, by our own error or by an engine's exception."""
    return isinstance(error, OutOfMemory) or memory.is_out_of_memory(error)


def explained(title: str, error: BaseException, damaged: Callable[[], str]) -> AvatarctlError:
    """What to tell of an exception that is not of our tree; a disk that is full or fails, and a model that rotted
    on it, are no fault of the engine's.

    Args:
        title: of the step: "animate/puppet".
        damaged: the first of the engine's models whose bytes are wrong; empty if none is.
    """
    found: AvatarctlError
    if disk_is_full(error):
        found = Unavailable("the disk is full", why=str(error), hint="make room, or run avatarctl cache gc")
    elif disk_fails(error):
        found = Unavailable(f"the disk fails, seen by {title}", why=str(error), hint=LOOK_AT_KERNEL)
    elif model := damaged():
        found = Unavailable(f"the model {model} is damaged", hint=f"avatarctl models pull {model}")
    elif is_out_of_memory(error):
        hint = "close what else uses memory, or take a smaller size or model"
        found = OutOfMemory(f"{title} ran out of memory", why=str(error), hint=hint)
    else:
        found = StepFailed(f"{title} failed", why=f"{type(error).__name__}: {error}", hint="-v shows more")
    found.__cause__ = error
    return found
