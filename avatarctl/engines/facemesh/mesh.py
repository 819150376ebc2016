"""From a picture to the landmarks of its faces: detector, region of interest, attention mesh.

The region of interest is cut exactly as MediaPipe cuts it, since the mesh was trained on such crops: half a
pixel of shift in the crop moves the points by as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from avatarctl.engines.facemesh.attention import SIDE, AttentionMesh
from avatarctl.engines.facemesh.crop import Image, TurnedSquare, cut
from avatarctl.engines.facemesh.detector import Detection, FaceDetector
from avatarctl.engines.facemesh.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Landmarks, plausible
from avatarctl.errors import NoFace

DETECTOR_MODEL, MESH_MODEL = "face-detector", "face-mesh"

_MARGIN = 1.5
"""Side of the region of interest over the longer side of the face's box."""
_LOOKS = 12
"""Crops whose points are averaged for a photo."""
_SECOND_LOOKS = (1.0, 1.33, 2.0)
_MIN_SECOND_SCORE = 0.63
"""Measured: faces 0.66 (upside down, half covered, noisy) to 0.95, patterns mistaken for one up to 0.6."""


def _square_of_detection(detection: Detection) -> TurnedSquare:
    x0, y0, x1, y1 = detection.box
    across = detection.keypoints[1] - detection.keypoints[0]
    side = _MARGIN * max(x1 - x0, y1 - y0)
    return TurnedSquare((x0 + x1) / 2, (y0 + y1) / 2, side, math.atan2(across[1], across[0]))


def _square_of_landmarks(landmarks: Landmarks) -> TurnedSquare:
    low, high = landmarks.xy.min(axis=0), landmarks.xy.max(axis=0)
    across = landmarks.xy[LEFT_EYE_OUTER] - landmarks.xy[RIGHT_EYE_OUTER]
    x, y = (low + high) / 2
    side = _MARGIN * float((high - low).max())
    return TurnedSquare(float(x), float(y), side, math.atan2(across[1], across[0]))


def _nudged(square: TurnedSquare, phase: float) -> TurnedSquare:
    """The square moved along a closed path around itself. `phase`: 0..1."""
    turn = 2 * math.pi * phase
    return TurnedSquare(
        square.x + 0.03 * square.side * math.cos(turn),
        square.y + 0.03 * square.side * math.sin(turn),
        square.side * (1 + 0.06 * math.cos(2 * turn + 0.5)),
        square.angle + 0.06 * math.sin(2 * turn + 0.5),
    )


class FaceMesh:
    """Finds faces and their 478 points. Not for several threads at a time.

    Args:
        models: paths by name; `face-detector` and `face-mesh` are used.
        threads: for the networks; results do not depend on it.

    Raises:
        Unavailable: a file is not the model that it should be.
    """

    def __init__(self, models: Mapping[str, Path], threads: int = 1) -> None:
        self._detector = FaceDetector(models[DETECTOR_MODEL], threads)
        self._mesh = AttentionMesh(models[MESH_MODEL], threads)

    def detect(self, rgb: Image, *, thorough: bool = False) -> list[Detection]:
        """Faces in an RGB picture, uint8 (height, width, 3), best score first; see `FaceDetector.detect`.

        Candidates: a few may be no face. `faces` holds what the mesh confirms.
        """
        return self._detector.detect(rgb, thorough=thorough)

    def faces(self, rgb: Image) -> list[Landmarks]:
        """Every face that both detector and mesh agree on, at any size down to some 50 pixels, left to right."""
        found: list[Landmarks] = []
        for detection in self.detect(rgb, thorough=True):
            landmarks = self._refined(rgb, _square_of_detection(detection))
            if self._is_face(rgb, landmarks) and not any(_same_face(landmarks, other) for other in found):
                found.append(landmarks)
        return sorted((self._averaged(rgb, face) for face in found), key=lambda face: face.box)

    def landmarks(self, rgb: Image, detection: Detection | None = None) -> Landmarks:
        """The points of one face in a photo: of `detection`, else of the largest. Some 30 ms; see `track` for films.

        Raises:
            NoFace: there is none.
        """
        if detection is not None:
            faces = [self._refined(rgb, _square_of_detection(detection))]
            faces = [face for face in faces if plausible(face)]
        else:
            faces = [self._refined(rgb, _square_of_detection(d)) for d in self.detect(rgb)]
            faces = [face for face in faces if self._is_face(rgb, face)]
        if not faces:
            raise NoFace("there is no face in the picture", hint="take a photo that shows one face from the front")
        return self._averaged(rgb, max(faces, key=lambda face: face.interocular))

    def track(self, rgb: Image, previous: Landmarks) -> Landmarks:
        """The same face in the next frame of a video: one pass of the mesh, no detector unless it is lost.

        Raises:
            NoFace: lost, and not found again.
        """
        landmarks = self._measure(rgb, _square_of_landmarks(previous))
        if not plausible(landmarks):
            return self.landmarks(rgb)
        return landmarks

    def _is_face(self, rgb: Image, landmarks: Landmarks) -> bool:
        """Whether the detector, asked again about the upright face at three sizes, stands by it.

        Among a thousand tiles some cloth or foliage always reaches the detector's threshold once, and the
        mesh then believes it; but not from closer and farther.
        """
        if not plausible(landmarks):
            return False
        square = _square_of_landmarks(landmarks)
        scores = [self._detector.score(rgb, square.grown(factor)) for factor in _SECOND_LOOKS]
        return sum(scores) / len(scores) >= _MIN_SECOND_SCORE

    def _refined(self, rgb: Image, square: TurnedSquare) -> Landmarks:
        """Once where the detector says, and again where the mesh itself then sees the face."""
        return self._measure(rgb, _square_of_landmarks(self._measure(rgb, square)))

    def _averaged(self, rgb: Image, landmarks: Landmarks) -> Landmarks:
        """The mean over crops that are shifted, scaled and turned a little around the face.

        A single crop leaves an error of about a hundredth of the eyes' distance, which depends on where exactly
        the crop lies and does not get smaller by repeating; the mean leaves a third of it.
        """
        square = _square_of_landmarks(landmarks)
        looks = [self._measure(rgb, _nudged(square, number / _LOOKS)) for number in range(_LOOKS)]
        points = np.stack([look.points for look in looks]).mean(axis=0)
        return Landmarks(points, min(look.score for look in looks))

    def _measure(self, rgb: Image, square: TurnedSquare) -> Landmarks:
        to_picture = square.to_picture(SIDE)
        crop = cut(rgb, square, SIDE, border=cv2.BORDER_REPLICATE)
        on_crop, score = self._mesh(crop.astype(np.float32) / np.float32(255))
        points = np.empty_like(on_crop)
        points[:, :2] = on_crop[:, :2] @ to_picture[:, :2].T + to_picture[:, 2]
        points[:, 2] = on_crop[:, 2] * (square.side / SIDE)
        return Landmarks(points, score)


def _same_face(one: Landmarks, other: Landmarks) -> bool:
    distance = np.hypot(*(one.xy.mean(axis=0) - other.xy.mean(axis=0)))
    return bool(distance < 0.5 * max(one.interocular, other.interocular))
