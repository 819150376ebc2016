"""The engine of the stage `rig`: a portrait to what SadTalker has to know of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.facemesh.landmarks import CHIN, FOREHEAD, Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.sadtalker import alignment
from avatarctl.engines.sadtalker.face import Face
from avatarctl.engines.sadtalker.spec import NETWORKS, PROGRAM, SadTalkerRigParams
from avatarctl.errors import BadConfig, BadInput
from avatarctl.media import image
from avatarctl.stages.catalog import picture_size

EYE_LEVEL = 0.44
"""Height of the eyes in the film, 0 top .. 1 bottom, where the photo allows it."""
LARGEST_FACE = 0.8
"""Of the film's height: beyond it head and chin are cut off."""

Array = NDArray[np.float32]


class FaceReader(Protocol):
    """The networks that look at a photo."""

    def coefficients(self, face: Array) -> Array:
        """A face as `alignment.aligned` lays it to float32 (70,): expression, angles, place."""

    def keypoints(self, crop: NDArray[np.uint8]) -> Array:
        """A square crop to float32 (15, 3) in [-1, 1]."""

    def standard_points(self) -> NDArray[np.float64]:
        """Five points of an average face, float64 (5, 3)."""

    def close(self) -> None:
        """Give back memory."""


def _open(program: Path, weights: Path) -> FaceReader:
    from avatarctl.engines.sadtalker.networks import FaceNetworks

    return FaceNetworks(program, weights)


class RigEngine:
    """A portrait to its rig."""

    def __init__(self, open_networks: Callable[[Path, Path], FaceReader] = _open) -> None:
        self._open = open_networks
        self._networks: FaceReader | None = None

    def load(self, models: Mapping[str, Path]) -> None:
        """Read the face mesh, and the two networks that look at a photo.

        Raises:
            Unavailable: no SadTalker, or weights that are not its own.
        """
        self._mesh = FaceMesh(models)
        self._networks = self._open(models[PROGRAM], models[NETWORKS])

    def run(self, job: Job) -> None:
        """Write `rig.rig`, and `report.json` (schema `rig/1`).

        Raises:
            NoFace: the portrait has no face that can be used.
            BadConfig: `face` is not three numbers; or the film is to show the face's square and be no square itself.
            BadInput: the photo is too narrow for the film's shape.
        """
        params: SadTalkerRigParams = job.params
        networks = self._networks
        assert networks is not None, "load comes first"
        columns, rows = picture_size(params.size, params.aspect)
        whole = params.preprocess == "crop"
        if whole and columns != rows:
            raise BadConfig(
                f"a film of the face's square cannot be {params.aspect}",
                hint="set animate.preprocess=full, or animate.aspect=1:1",
            )
        if columns % 2 or rows % 2:
            raise BadConfig(f"a film cannot be {params.size} pixels wide or high", hint="the size has to be even")
        cv2.setNumThreads(job.threads)
        portrait = image.read_png(job.inputs["portrait"])
        face = self._face(portrait, params.face)
        source = image.read_png(job.inputs["detailed"]) if "detailed" in job.inputs else portrait
        times = source.shape[1] / portrait.shape[1]
        landmarks = Landmarks(np.asarray(face.points * np.float32(times), np.float32), face.score)
        _go_on(job)
        points = alignment.five_points(landmarks)
        left, top, side = alignment.square(points)
        if whole:
            picture = alignment.cut(source, left, top, side, side, columns, rows)
            place = (0, 0, columns, rows)
        else:
            view = _view(source, landmarks, columns / rows, params.face_fraction)
            picture = alignment.cut(source, *view, columns, rows)
            # Whole pixels of the film, so that what is drawn is laid back without being moved.
            scale = columns / view[2]
            pixels = max(2, round(side * scale))
            place = (round((left - view[0]) * scale), round((top - view[1]) * scale), pixels, pixels)
            left, top, side = view[0] + place[0] / scale, view[1] + place[1] / scale, pixels / scale
        crop = alignment.cut(source, left, top, side, side, params.resolution, params.resolution)
        inside = (points - (left, top) + 0.5) * (params.resolution / side) - 0.5
        laid, trans = alignment.aligned(crop, inside, networks.standard_points())
        _go_on(job)
        Face(
            picture=picture,
            crop=crop,
            place=np.array(place, np.int32),
            coefficients=np.concatenate([networks.coefficients(laid), trans]).astype(np.float32),
            keypoints=networks.keypoints(crop),
            whole=np.array(whole, np.int32),
        ).save(job.out / "rig.rig")
        (job.out / "report.json").write_text(json.dumps(_report(side, params.resolution)), encoding="utf-8")
        job.progress(1, 1, "rigs")

    def _face(self, portrait: NDArray[np.uint8], chosen: str) -> Landmarks:
        if not chosen.strip():
            return self._mesh.landmarks(portrait)
        try:
            x, y, width = (float(number) for number in chosen.split(","))
        except ValueError:
            raise BadConfig(f"rig.face = {chosen!r} is not a face", hint='write it as "x,y,width" in pixels') from None
        return self._mesh.near(portrait, (x, y, width))

    def close(self) -> None:
        """Give back the networks' memory."""
        if self._networks is not None:
            self._networks.close()
            self._networks = None


def _view(
    photo: NDArray[np.uint8], landmarks: Landmarks, shape: float, fraction: float
) -> tuple[float, float, float, float]:
    """Left, top, width and height of the part of the photo that the film shows; it lies within the photo.

    Args:
        shape: width over height.
        fraction: height of the face in shorter sides of the film.
    """
    rows, columns = photo.shape[:2]
    tall = float(np.linalg.norm(landmarks.xy[FOREHEAD] - landmarks.xy[CHIN]))
    height = tall / fraction / min(shape, 1.0)
    height = min(height, rows, columns / shape)
    if tall > LARGEST_FACE * height:
        raise BadInput(
            "the photo is too narrow for a film of this shape",
            why=f"the face would take {tall / height:.0%} of its height",
            hint="set animate.aspect=1:1, or enrol a photo with more around the head",
        )
    width = height * shape
    eyes = landmarks.eye_centres.mean(axis=0)
    left = min(max(float(eyes[0]) - width / 2, 0.0), columns - width)
    top = min(max(float(eyes[1]) - EYE_LEVEL * height, 0.0), rows - height)
    return left, top, width, height


def _report(side: float, resolution: int) -> dict[str, object]:
    warnings = []
    if side < 0.75 * resolution:
        warnings.append(
            {
                "code": "small_face",
                "message": f"the face's square is {side:.0f} pixels wide, the networks draw {resolution}",
                "advice": "take a larger photo, or let an upscaler restore it (rig.detailed=auto)",
            }
        )
    return {"schema": "rig/1", "scene": {"side": round(side, 1), "resolution": resolution}, "warnings": warnings}


def _go_on(job: Job) -> None:
    if job.cancelled():
        raise Cancelled
