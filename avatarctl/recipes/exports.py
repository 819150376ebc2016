"""A film's movements for other programs: the step beside `finish`.

    speech, timings -+-------------+
                     `-> animate --+-> export -> visemes, blendshapes

A run makes one film. Its clips are the steps of the stage `animate`, in the order in which they were asked for, and
each has been given its speech and timings, wherever they come from.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from avatarctl.errors import BadInput
from avatarctl.runtime.handles import Handle, Ref
from avatarctl.runtime.runner import Run
from avatarctl.stages.params import nearest

FORMATS: dict[str, dict[str, str]] = {
    "visemes": {"visemes_tsv": ".visemes.tsv", "visemes_json": ".visemes.json"},
    "blendshapes": {"blendshapes": ".blendshapes.json"},
}
"""What can be asked for, with its outputs by role, and what the film's name ends with in place of `.mp4`."""


def checked(wanted: Sequence[str] | None) -> list[str]:
    """The formats that were asked for, each once, in the order of `FORMATS`.

    Raises:
        BadInput: there is no such format.
    """
    for name in wanted or ():
        if name not in FORMATS:
            raise BadInput(f"--export {name} is not possible", hint=nearest(name, FORMATS))
    return [name for name in FORMATS if name in (wanted or ())]


def beside(run: Run, wanted: Collection[str]) -> Handle | None:
    """Ask for the movements of the film that `run` has just been asked for; None when none are wanted."""
    if not wanted:
        return None
    inputs: dict[str, Ref] = {}
    for i, clip in enumerate(handle for handle in run.handles if handle.stage == "animate"):
        inputs |= {f"{role}.{i:03d}": clip.inputs[role] for role in ("speech", "timings")}
        if "blendshapes" in wanted:
            inputs[f"curves.{i:03d}"] = clip["curves"]
    fps = run.settings.choice("animate").params.fps  # type: ignore[attr-defined]
    changes = {name: name in wanted for name in FORMATS}
    return run.step("export", inputs, label=", ".join(sorted(wanted)), fps=fps, **changes)
