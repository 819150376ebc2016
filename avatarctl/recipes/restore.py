"""The portrait in more detail, once per person, where an upscaler is installed that can add some.

It is a step like any other: whoever installs one later gets it with the next film, and everybody finds it in
the cache afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avatarctl.engines import registry
from avatarctl.engines.contract import EngineSpec
from avatarctl.runtime.handles import Handle, Ref
from avatarctl.runtime.runner import Run

SMALLEST_FACE = 90
"""Width in pixels: smaller faces come out deformed."""
LARGEST_FACE = 400
"""Width in pixels: larger ones take minutes, and have detail enough."""
FACE_IN_FILM = 0.65
"""Width, in sizes of the film, of the largest face whose every pixel is shown: animators look closer than they draw."""
FOURFOLD_FACE = 170
"""Width in pixels up to which a face is made four times larger. A wider one becomes twice as large, for which slow
upscalers look at half its size: a quarter of the work, and as sharp in a film of 1024 pixels."""
FOURFOLD_SIDE = 2048
"""Longest side in pixels of a portrait that may be made four times larger."""


def restored(run: Run, portrait: Ref, report: Mapping[str, Any], name: str) -> Handle | None:
    """The portrait, two or four times larger and restored, in `image`; None where that would be of no use."""
    engine = _restorer(run)
    if engine is None or not SMALLEST_FACE <= report["face_width"] < _largest(run):
        return None
    size = report["image"]
    fourfold = report["face_width"] <= FOURFOLD_FACE and max(size["width"], size["height"]) <= FOURFOLD_SIDE
    changes: dict[str, Any] = {"engine": engine.name, "scale": 4 if fourfold else 2}
    if "part" in engine.params.__dataclass_fields__:
        changes["part"] = _head(report["face"]["box"])
    return run.step("upscale", {"media": portrait}, label=name, **changes)


def remark(run: Run, report: Mapping[str, Any]) -> str:
    """What the user should know when a portrait is left as it is; empty when there is nothing to say."""
    if report["face_width"] >= SMALLEST_FACE or _restorer(run) is None:
        return ""
    return (
        f"the face is {report['face_width']:.0f} pixels wide: too small to be restored, so the photo is used as it is "
        f"({SMALLEST_FACE} or more are wanted)"
    )


def _restorer(run: Run) -> EngineSpec | None:
    """The user's own upscaler if it restores, else any that does; None if none is here or nobody asks for it."""
    rig = run.settings.choice("rig")
    if "detailed" not in rig.spec.reads or rig.params.detailed == "off":  # type: ignore[attr-defined]
        return None
    own = registry.find("upscale", run.settings.engine_name("upscale"))
    candidates = [*([own] if own else []), *registry.built_in("upscale")]
    return next((spec for spec in candidates if spec.restores and run.usable(spec)), None)


def _largest(run: Run) -> float:
    size: int = run.settings.choice("animate").params.size  # type: ignore[attr-defined]
    return min(LARGEST_FACE, FACE_IN_FILM * size)


def _head(box: tuple[float, float, float, float]) -> str:
    """The head around a face's box, hair and neck included, as "x,y,width,height" in whole pixels."""
    x0, y0, x1, y1 = box
    height = y1 - y0
    left, top = (x0 + x1) / 2 - 0.8 * height, y0 - 0.5 * height
    return f"{left:.0f},{top:.0f},{1.6 * height:.0f},{1.9 * height:.0f}"
