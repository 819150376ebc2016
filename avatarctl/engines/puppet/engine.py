"""The puppet as two engines: a portrait to its rig; speech, timings and a rig to a silent clip.

Frames are drawn side by side (`drawing`) and encoded by ffmpeg's process, which the caller's thread feeds a few frames
behind. Memory does not grow with the clip's length.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.person import MATTE_MODEL, PersonNetwork
from avatarctl.engines.puppet import backdrop, drawing, timeline
from avatarctl.engines.puppet.controls import CONTROLS, Timeline
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig, build_rig
from avatarctl.engines.puppet.scene import Scene
from avatarctl.engines.puppet.spec import PuppetAnimateParams, PuppetRigParams
from avatarctl.errors import BadConfig, BadInput
from avatarctl.media import image, loudness, video, wav
from avatarctl.stages.catalog import picture_size
from avatarctl.text import colours
from avatarctl.text.timings import Timings

WORTH_A_PROCESS = 2.0
"""Seconds of speech from which on a second process is started to draw: it takes a third of a second to be of use."""
PROGRESS_EVERY = 25
"""Frames."""
LEAST_FACE_FOR_BACKGROUND = 0.9
"""Part of the face that has to be taken for a person before anything is cut out."""
_COLOURS = "write it like #20c060"


class RigEngine:
    """A portrait to its rig."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Read the face finder, the face mesh and the network that tells people from backgrounds."""
        self._mesh = FaceMesh(models)
        self._network = PersonNetwork(models[MATTE_MODEL])

    def run(self, job: Job) -> None:
        """Write `rig.rig`, and `report.json` (schema `rig/1`): how far the background could be told apart.

        Raises:
            NoFace: the portrait has no face that can be used.
            BadConfig: `face` is not three numbers.
        """
        params: PuppetRigParams = job.params
        if params.size % 2:
            raise BadConfig(f"a film cannot be {params.size} pixels wide or high", hint="the size has to be even")
        cv2.setNumThreads(job.threads)
        portrait = image.read_png(job.inputs["portrait"])
        landmarks = self._landmarks(portrait, _chosen(params.face))
        if job.cancelled():
            raise Cancelled
        rig = build_rig(
            portrait,
            landmarks,
            params.size,
            params.face_fraction,
            aspect=params.aspect,
            detailed=image.read_png(job.inputs["detailed"]) if "detailed" in job.inputs else None,
            network=self._network,
        )
        rig.save(job.out / "rig.rig")
        report = json.dumps(_report(rig.scene), sort_keys=True, separators=(",", ":"))
        (job.out / "report.json").write_text(report, encoding="utf-8")
        job.progress(1, 1, "rigs")

    def _landmarks(self, portrait: NDArray[np.uint8], chosen: tuple[float, float, float] | None) -> NDArray[np.float32]:
        face = self._mesh.landmarks(portrait) if chosen is None else self._mesh.near(portrait, chosen)
        return face.points

    def close(self) -> None:
        """Nothing outlives a rig."""


def _report(scene: Scene) -> dict[str, Any]:
    figures = {name: round(getattr(scene, name), 4) for name in ("doubt", "moved", "face")}
    warnings = []
    if not scene.trusted:
        warnings.append(
            {
                "code": "background",
                "message": "the outline of the person is not certain",
                "advice": "another background may show a rim; take a photo before a plain wall, head and hair whole",
            }
        )
    return {"schema": "rig/1", "scene": {"trusted": scene.trusted, **figures}, "warnings": warnings}


def _chosen(face: str) -> tuple[float, float, float] | None:
    if not face.strip():
        return None
    try:
        x, y, width = (float(number) for number in face.split(","))
    except ValueError:
        raise BadConfig(f"rig.face = {face!r} is not a face", hint='write it as "x,y,width" in pixels') from None
    if not (math.isfinite(x + y) and math.isfinite(width) and width > 0):
        raise BadConfig(f"rig.face = {face!r} is not a face", hint="the width has to be above 0")
    return x, y, width


class AnimateEngine:
    """Speech and its timings to a silent clip of the rig's face, and the curves that moved it."""

    def __init__(self) -> None:
        self._second = drawing.Second()
        self._last: tuple[drawing.Shown, Renderer] | None = None
        self._file = 0
        """The number of the last rig's file."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Nothing to read before the first rig."""

    def get_ready(self, threads: int) -> None:
        """Start the second process, before it is known whether a clip is worth one: most are."""
        if threads > 1:
            with suppress(drawing.Lost):
                self._second.start()

    def run(self, job: Job) -> None:
        """Write `clip.mp4`, ceil(duration x fps) frames that begin and end at rest, and `curves.npz`.

        Raises:
            BadInput: the rig or the timings are missing or broken, or the rig is of another size; or there is to be
                another background, and the person cannot be told from the photo's own.
            BadConfig: `background` is not a colour.
        """
        params: PuppetAnimateParams = job.params
        # Whole frames are shared out: OpenCV's own threads cost more than they save on pieces as small as ours.
        cv2.setNumThreads(1)
        path = _given(job, "rig")
        self._forget_damaged(path)
        both = job.threads > 1 and wav.info(job.inputs["speech"]).duration >= WORTH_A_PROCESS
        if both:
            with suppress(drawing.Lost):
                self._second.start()
        rig = self._last[1].rig if self._last is not None and self._last[0][0] == path else Rig.load(path)
        wanted = picture_size(params.size, params.aspect)
        if (rig.width, rig.height) != wanted:
            raise BadInput(
                "the rig has another size than the film",
                why=f"{rig.width} x {rig.height} and {wanted[0]} x {wanted[1]} pixels",
                hint=f"set animate.size={min(rig.width, rig.height)}, or build the rig again",
            )
        behind = _background(job, rig)
        moves = timeline.build(_timings(job), params.fps, job.seed, params, loudness.measure(job.inputs["speech"]))
        save_curves(job.out / "curves.npz", moves)
        total = len(moves.values)
        shown = path, behind
        if self._last is None or not drawing.alike(self._last[0], shown):
            self._last = shown, Renderer(rig, behind)
        second = (self._second, shown) if both else None
        with (
            video.Encoder(job.out / "clip.mp4", rig.width, rig.height, params.fps, crf=params.crf) as encoder,
            closing(drawing.frames(self._last[1], moves.values, second)) as frames,
        ):
            for number, frame in enumerate(frames):
                if job.cancelled():
                    raise Cancelled
                encoder.write(frame)
                if number % PROGRESS_EVERY == 0:
                    job.progress(number, total, "frames")
        job.progress(total, total, "frames")

    def _forget_damaged(self, path: Path) -> None:
        """Let go of a rig that was found damaged since, put aside and made anew under the same name."""
        number = path.stat().st_ino if path.exists() else 0
        if self._last is not None and self._last[0][0] == path and number != self._file:
            self.close()
        self._file = number

    def close(self) -> None:
        """End the second process, and let go of the last rig, which is kept for the next clip: most are of one face."""
        self._second.close()
        self._last = None


def _given(job: Job, role: str) -> Path:
    path = job.inputs.get(role)
    if path is None:
        raise BadInput(
            f"the puppet needs {role} to animate a face", hint="chain the stage that makes it before animate"
        )
    return path


def _background(job: Job, rig: Rig) -> NDArray[np.uint8] | None:
    """What is to be seen behind the person, RGB uint8 of the rig's size; None for the photo's own background."""
    colour, picture = job.params.background.strip(), job.inputs.get("background")
    if not colour and picture is None:
        return None
    if rig.scene.alpha.size == 0 or rig.scene.face < LEAST_FACE_FOR_BACKGROUND:
        raise BadInput(
            "this photo's background cannot be replaced",
            why="the person cannot be told from it",
            hint="enrol a photo before a plain wall, or leave the background as it is",
        )
    if colour:
        try:
            return np.full((rig.height, rig.width, 3), colours.parse(colour), np.uint8)
        except ValueError as error:
            raise BadConfig(f"animate.background = {colour!r} is not possible", why=str(error), hint=_COLOURS) from None
    assert picture is not None
    return backdrop.cover(image.read_png(picture), rig.width, rig.height)


def _timings(job: Job) -> Timings:
    """The timings, as long as the recording itself: the clip has to match the sound."""
    try:
        timings = Timings.read(_given(job, "timings"))
    except ValueError as error:
        raise BadInput("the timings cannot be read", why=str(error)) from error
    return replace(timings, duration=wav.info(job.inputs["speech"]).duration)


def save_curves(path: Path, moves: Timeline) -> None:
    """Write a timeline as `.npz` for `numpy.load`: `values`, `fps`, `names`. Equal timelines, equal bytes."""
    arrays = {"values": moves.values, "fps": np.array(moves.fps, np.int32), "names": np.array(list(CONTROLS))}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, np.asarray(values, order="C"), allow_pickle=False)
