"""Stage `export`: the movements of a film's clips, one after the other, written for other programs.

Invariant: clip k begins after all the frames of the clips before it, as it does in the film. A clip lasts as long
as its speech, rounded up to a frame, whoever animated it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.export import blendshapes
from avatarctl.errors import BadInput, StepFailed
from avatarctl.media import wav
from avatarctl.stages.catalog import ExportParams
from avatarctl.text import articulation, cues
from avatarctl.text.timings import Timings
from avatarctl.text.visemes import POSE


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of the film: when it begins, in frames, and how many it has; what is known of its movements."""

    begins: int
    frames: int
    timings: Timings | None
    curves: Path | None


class MovementsEngine:
    """Needs no models and keeps nothing."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Nothing to read."""

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, job: Job) -> None:
        """Write `visemes_tsv.tsv`, `visemes_json.json` and `blendshapes.json`, those that were asked for.

        Raises:
            BadInput: of some clip it is not known what is said when.
            StepFailed: an animator's curves are broken, or of another film.
        """
        params: ExportParams = job.params
        film = list(_clips(job, params.fps))
        total = film[-1].begins + film[-1].frames
        if params.visemes:
            parts = [(clip.begins / params.fps, _known(clip.timings)) for clip in film]
            found = cues.from_timings(parts, total / params.fps)
            (job.out / "visemes_tsv.tsv").write_text(cues.to_tsv(found), encoding="utf-8")
            # Films that are alike but for their names share this file, so it names none.
            (job.out / "visemes_json.json").write_text(cues.to_json(found), encoding="utf-8")
        if params.blendshapes:
            blendshapes.write(job.out / "blendshapes.json", _movements(job, film, params.fps), total, params.fps)
        job.progress(total, total, "frames")


def _known(timings: Timings | None) -> Timings:
    if timings is None:
        raise BadInput(
            "it is not known when each sound is heard",
            why="neither the voice nor the animator tells",
            hint="choose a voice that gives timings with --set speak.engine=...",
        )
    return timings


def _clips(job: Job, fps: int) -> Iterator[Clip]:
    begins = 0
    numbers = sorted(int(role.partition(".")[2]) for role in job.inputs if role.startswith("speech."))
    if not numbers:
        raise StepFailed("a film without speech cannot be exported")
    for number in numbers:
        duration = wav.info(job.inputs[f"speech.{number:03d}"]).duration
        frames = articulation.frame_count(duration, fps)
        told = job.inputs.get(f"timings.{number:03d}")
        try:
            timings = None if told is None else replace(Timings.read(told), duration=duration)
        except ValueError as error:
            raise BadInput("the timings cannot be read", why=str(error)) from error
        yield Clip(begins, frames, timings, job.inputs.get(f"curves.{number:03d}"))
        begins += frames


def _movements(job: Job, film: list[Clip], fps: int) -> Iterator[blendshapes.Controls]:
    """The controls of each clip."""
    for clip in film:
        if job.cancelled():
            raise Cancelled
        job.progress(clip.begins, film[-1].begins + film[-1].frames, "frames")
        curves = None if clip.curves is None else _curves(clip.curves, clip.frames, fps)
        if curves is None:
            values = articulation.poses(_known(clip.timings), fps)
            curves = dict(zip(POSE, values.T, strict=True))
        yield blendshapes.Controls(clip.frames, curves, blendshapes.dentals(clip.timings))


def _curves(path: Path, frames: int, fps: int) -> dict[str, NDArray[np.float64]] | None:
    """An animator's curves; None when they are not of the controls that are known here.

    Raises:
        StepFailed: not curves, or not of this clip.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            values: NDArray[np.float64] = np.asarray(stored["values"], np.float64)
            names, rate = [str(name) for name in stored["names"]], int(stored["fps"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise StepFailed("the animator's curves cannot be read", why=str(error)) from error
    if values.ndim != 2 or values.shape[1] != len(names) or not np.isfinite(values).all():
        raise StepFailed("the animator's curves are broken", why=f"{values.shape} values of {len(names)} controls")
    if (len(values), rate) != (frames, fps):
        raise StepFailed(
            "the animator's curves are not those of the clip",
            why=f"{len(values)} frames at {rate} a second, not {frames} at {fps}",
        )
    if not set(POSE) <= set(names):
        return None
    return dict(zip(names, values.T, strict=True))
