"""Every failure a user may meet, as one tree.

    AvatarctlError                     exit  trying again helps
    |- BadInput                          2   no: the photo, sound, text or arguments are wrong
    |  `- NoFace                         2   no
    |- BadConfig                         3   no: a preset, setting or job file is wrong
    |- Unavailable                       4   after doing what the hint says
    |  `- Offline                        4   with the network allowed
    |- StepFailed                        1   perhaps: an engine broke or made something invalid
    |  `- OutOfMemory                    1   once others have let go of it, or with a smaller model
    |- Rejected                          1   with another take: a finished film breaks a limit of its preset
    `- Busy                             75   yes, later: a lock was not had in time
    Stopped                        130/143   yes: a signal ended the run; finished steps are kept

`Stopped` stands apart, as `KeyboardInterrupt` does: whoever looks past a fault and goes on must not go on past a
signal. An error carries one line for what happened, one for why, and one for what to do. Nothing else may reach
the user: the command line turns any other exception into `internal`, with exit code 1.
"""

from __future__ import annotations

from typing import ClassVar


class _Told(BaseException):
    """`what`, `why` and `hint` are single lines of plain text."""

    code: ClassVar[str] = "internal"
    exit_code: int = 1
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def as_dict(self) -> dict[str, str]:
        """The JSON form, `{code, message, hint}`."""
        message = f"{self.what} ({self.why})" if self.why else self.what
        return {"code": self.code, "message": message, "hint": self.hint}


class AvatarctlError(_Told, Exception):
    """Base of the tree."""


class BadInput(AvatarctlError):
    """The photo, sound, text or arguments cannot be used."""

    code = "bad_input"
    exit_code = 2


class NoFace(BadInput):
    """No usable face was found in a picture."""

    code = "no_face"


class BadConfig(AvatarctlError):
    """A preset, setting or job file is wrong."""

    code = "bad_config"
    exit_code = 3


class Unavailable(AvatarctlError):
    """The environment lacks a model, server, GPU, codec, permission or disk space."""

    code = "unavailable"
    exit_code = 4


class Offline(Unavailable):
    """The network is needed and `AVATARCTL_OFFLINE` forbids it."""

    code = "offline"


class StepFailed(AvatarctlError):
    """An engine failed, or what it made did not pass the stage's validator."""

    code = "step_failed"
    exit_code = 1
    retryable = True


class OutOfMemory(StepFailed):
    """The memory of the GPU, or of the machine, was not enough for a step."""

    code = "out_of_memory"


class Rejected(AvatarctlError):
    """A film was finished and measured, and a figure of it breaks a limit."""

    code = "rejected"
    exit_code = 1


class Busy(AvatarctlError):
    """A lock was not had in time."""

    code = "busy"
    exit_code = 75
    retryable = True


class Stopped(_Told):
    """A signal ended the run. `exit_code` is 128 + the signal's number. No `Exception`, so that none catches it."""

    code = "stopped"
    retryable = True

    def __init__(self, signal_number: int) -> None:
        super().__init__(
            "stopped by a signal",
            hint="finished steps are kept: the same command goes on where this one stopped",
        )
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
