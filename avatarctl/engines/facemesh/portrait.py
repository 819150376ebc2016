"""The engine of the stage `portrait`: from a user's photo to a portrait that is fit for animation.

The report is JSON, schema `portrait/1`:

    image        width, height of portrait.png, and what was found out about the photo's file
    faces        every face from left to right: its number, box (x0, y0, x1, y1) and score
    face         number (from 1), box and score of the one that is taken
    landmarks    478 x [x, y, z], pixels of portrait.png, z negative towards the camera
    face_width, interocular (pixels), pose (degrees), sharpness, exposure, mouth, glasses, greyscale,
    smeared, flat (share), covered_share, features: see `quality`; covered_lip, covered_chin, held: see `covering`;
    doubt: see `FaceMesh.doubt`; filled: see `Measurements`
    dots         distance between the dots that the photo was printed in, pixels; 0 if it was not
    around       left, top, right, bottom: pixels of bars that were cut off, after turning; round: whether the photo
                 was, and has its corners filled; sheet: whether it was a print on paper; tilt: degrees by which that
                 was turned clockwise before
    turned       degrees by which portrait.png is turned clockwise against the photo: 0, 90, 180 or 270
    warnings     [{code, message, advice}]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.facemesh import judgement, preview, quality, screen, surround
from avatarctl.engines.facemesh.crop import Image
from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.surround import Surround
from avatarctl.errors import StepFailed
from avatarctl.media import image

SCHEMA = "portrait/1"


class FaceMeshPortrait:
    """Finds the face, judges the photo, and refuses what cannot become a film."""

    def __init__(self) -> None:
        self._mesh: FaceMesh | None = None

    def load(self, models: Mapping[str, Path]) -> None:
        """Raises `Unavailable` when a model file is not what it should be."""
        self._mesh = FaceMesh(models)

    def run(self, job: Job) -> None:
        """Raises `BadInput` for a photo that cannot be read or used, `NoFace` where no face is found."""
        if self._mesh is None:
            raise StepFailed("the engine facemesh was not loaded")
        rgb, notes = image.read_photo(job.inputs["photo"])
        _go_on(job, 1)
        rgb, faces, turned = find(self._mesh, rgb, job.params.face)
        rgb, faces, around = alone(rgb, faces, job.params.face)
        rgb, faces, dots = unscreened(self._mesh, rgb, faces, job.params.face)
        chosen = judgement.choose(faces, job.params.face)
        face = faces[chosen]
        _go_on(job, 2)
        measured = judgement.measure(rgb, face, self._mesh)
        judgement.refuse(measured)
        warnings = judgement.warnings(measured, chosen, len(faces), turned, around, printed=dots > 0)

        report = {
            "schema": SCHEMA,
            "image": {**notes, "width": rgb.shape[1], "height": rgb.shape[0]},
            "turned": turned,
            "around": asdict(around),
            "dots": round(dots, 2),
            "faces": [_entry(number, one) for number, one in enumerate(faces, start=1)],
            "face": _entry(chosen + 1, face),
            "landmarks": [[round(float(v), 2) for v in point] for point in face.points],
            **judgement.as_report(measured),
            "warnings": warnings,
        }
        text = json.dumps(report, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        (job.out / "report.json").write_text(text, encoding="utf-8")
        image.write_png(job.out / "portrait.png", rgb)
        _go_on(job, 3)
        image.write_png(job.out / "preview.png", preview.draw(rgb, faces, chosen, measured, warnings))

    def close(self) -> None:
        """Drop the networks."""
        self._mesh = None


def find(finder: FaceMesh, rgb: Image, wanted: int = 0) -> tuple[Image, list[Landmarks], int]:
    """The photo with its faces, turned by quarters until the face `wanted` is upright, and by how many degrees.

    A phone's photo whose note of its orientation was lost lies on its side; nobody sits for a portrait like that.
    """
    faces = finder.faces(rgb, again=False)
    if not faces:
        turned = _turned(rgb, 180)
        upright = finder.faces(turned, again=False)
        if upright:
            return turned, upright, 180
        return rgb, finder.faces(rgb), 0
    roll = quality.pose(faces[judgement.choose(faces, wanted)]).roll
    if abs(roll) <= judgement.TURN_ROLL:
        return rgb, faces, 0
    degrees = round(-roll / 90) * 90 % 360
    turned = _turned(rgb, degrees)
    upright = finder.faces(turned, again=False)
    return (turned, upright, degrees) if upright else (rgb, faces, 0)


def alone(rgb: Image, faces: list[Landmarks], wanted: int = 0) -> tuple[Image, list[Landmarks], Surround]:
    """The photo that shows the face `wanted` without what surrounds it in the picture, its faces, and what it was."""
    if not faces:
        return rgb, faces, Surround()
    around = surround.find(rgb, faces[judgement.choose(faces, wanted)])
    if not (around.bars or around.round):
        return rgb, faces, around
    return surround.without(rgb, around), [surround.moved(face, around, rgb.shape) for face in faces], around


def unscreened(
    finder: FaceMesh, rgb: Image, faces: list[Landmarks], wanted: int = 0
) -> tuple[Image, list[Landmarks], float]:
    """A photo printed in dots without them, and its faces; and how far apart the dots were, pixels, or 0."""
    dots = screen.pitch(rgb, faces[judgement.choose(faces, wanted)])
    if not dots:
        return rgb, faces, 0.0
    smooth = screen.without(rgb, dots)
    again = finder.faces(smooth)
    return (smooth, again, dots) if len(again) == len(faces) else (rgb, faces, 0.0)


def _turned(rgb: Image, degrees: int) -> Image:
    return np.ascontiguousarray(np.rot90(rgb, -degrees // 90))


def _go_on(job: Job, done: int) -> None:
    job.progress(done, 4, "parts")
    if job.cancelled():
        raise Cancelled


def _entry(number: int, face: Landmarks) -> dict[str, Any]:
    return {"number": number, "box": [round(v, 2) for v in face.box], "score": round(face.score, 4)}
