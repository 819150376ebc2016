"""From a picture to the landmarks of its faces: detector, region of interest, attention mesh.

The region of interest is cut exactly as MediaPipe cuts it, since the mesh was trained on such crops: half a
pixel of shift in the crop moves the points by as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from avatarctl.engines.facemesh import stripes
from avatarctl.engines.facemesh.attention import SIDE, AttentionMesh
from avatarctl.engines.facemesh.crop import Image, TurnedSquare, cut
from avatarctl.engines.facemesh.detector import Detection, FaceDetector
from avatarctl.engines.facemesh.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Landmarks, plausible
from avatarctl.errors import NoFace

DETECTOR_MODEL, MESH_MODEL = "face-detector", "face-mesh"

_MARGIN = 1.5
"""Side of the region of interest over the longer side of the face's box."""
_HEIGHT = 1.3
"""Of a face, in its widths."""
_LOOKS = 12
"""Crops whose points are averaged for a photo."""
_SECOND_LOOKS = (1.0, 1.33, 2.0)
_MIN_SECOND_SCORE = 0.63
"""Measured: faces 0.66 (half covered, noisy) to 0.95, patterns mistaken for one up to 0.6."""
_MOST_APART = 0.27
"""u between the detector's eyes, nose, mouth and ears and the mesh's, mean. Measured on other looks: faces up to 0.21,
an emblem in a burnt-out photo 0.34, a mesh that lies beside a profile 0.82."""
_BESIDE_SURE = 0.25, 0.9
"""Of several faces, those whose score is below the first are none, if one's is above the second: a badge, a fold, a
curl. Measured: faces of a group 1.0, such things 0.01 to 0.04."""
_RETRY_SIDE = 1600
"""A picture in which no face was found is looked at again at most this large, pixels."""
_ENLARGED_UP_TO = 1000
_LITTLE_LESS = 0.05
"""Blur that a sure place of the lips survives, sigma in u."""
_NOSE_MOUTH_EARS = (1, 13, 234, 454)
"""The detector's last four points on the mesh."""
_LIPS = (61, 291, 0, 17, 13, 14, 37, 267, 84, 314)
"""Their corners, edges and middle."""
_LEVELS = np.arange(256, dtype=np.float32) / np.float32(255)
"""What the mesh sees for a byte."""
_CALMED = (2 / 512, 3 / 512)
"""Blur of a picture of lines and brush strokes, sigma in longer sides of the picture."""


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

    def twin(self) -> FaceMesh:
        """The same for another thread; made sooner than from the files."""
        other = copy(self)
        other._detector, other._mesh = self._detector.twin(), self._mesh.twin()
        return other

    def detect(self, rgb: Image, *, thorough: bool = False) -> list[Detection]:
        """Faces in an RGB picture, uint8 (height, width, 3), best score first; see `FaceDetector.detect`.

        Candidates: a few may be no face. `faces` holds what the mesh confirms.
        """
        return self._detector.detect(rgb, thorough=thorough)

    def faces(self, rgb: Image, *, again: bool = True) -> list[Landmarks]:
        """Every face that both detector and mesh agree on, at any size down to some 50 pixels, left to right.

        `again`: where there is none, look once more for small, drawn and dim ones.
        """
        return self._confirmed(rgb, thorough=True) or (self._again(rgb) if again else [])

    def landmarks(self, rgb: Image, detection: Detection | None = None) -> Landmarks:
        """The points of one face in a photo: of `detection`, else of the largest. Some 30 ms; see `track` for films.

        Raises:
            NoFace: there is none.
        """
        if detection is not None:
            faces = [self._refined(rgb, _square_of_detection(detection))]
            faces = [self._averaged(rgb, face) for face in faces if plausible(face)]
        else:
            faces = self._confirmed(rgb, largest=True) or self._again(rgb)
        if not faces:
            raise NoFace("there is no face in the picture", hint="take a photo that shows one face from the front")
        return max(faces, key=lambda face: face.interocular)

    def near(self, rgb: Image, place: tuple[float, float, float]) -> Landmarks:
        """The points of the face that was found at a place: x, y of the middle of its box, and width, pixels.

        It may have been seen in the photo as it was, with bars, dots or blank corners, and not be found in what is left
        of that: then the mesh looks at the place itself.

        Raises:
            NoFace: there is none.
        """
        x, y, width = place

        def far(face: Landmarks) -> float:
            x0, y0, x1, y1 = face.box
            return math.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y)

        faces = self.faces(rgb)
        within = 0 <= x < rgb.shape[1] and 0 <= y < rgb.shape[0] and 0 < width < 2 * max(rgb.shape[:2])
        if within and not (faces and far(min(faces, key=far)) <= width / 2):
            face = self._refined(rgb, TurnedSquare(x, y, _MARGIN * _HEIGHT * width, 0.0))
            faces = [self._averaged(rgb, face)] if plausible(face) else []
        if not faces or not far(min(faces, key=far)) <= width / 2:
            raise NoFace("the chosen face is not in the portrait", hint="enrol the person again")
        return min(faces, key=far)

    def start(self, rgb: Image) -> Landmarks:
        """The points of the largest face, from which `track` goes on: seen once, not averaged as those of a photo are.

        Raises:
            NoFace: there is none.
        """
        faces = self._confirmed(rgb, averaged=False)
        return max(faces, key=lambda face: face.interocular) if faces else self.landmarks(rgb)

    def track(self, rgb: Image, previous: Landmarks) -> Landmarks:
        """The same face in the next frame of a video: one pass of the mesh, no detector unless it is lost.

        Raises:
            NoFace: lost, and not found again.
        """
        landmarks = self._measure(rgb, _square_of_landmarks(previous))
        if not plausible(landmarks):
            return self.landmarks(rgb)
        return landmarks

    def doubt(self, rgb: Image, landmarks: Landmarks) -> float:
        """How far the lips go elsewhere, in u, when the picture is blurred a little: the mesh always names a place
        for them, but where it only guesses, as in a cartoon, a little less detail makes it guess another one."""
        calm = _blurred(rgb, _LITTLE_LESS * landmarks.interocular)
        again = self._averaged(calm, self._measure(calm, _square_of_landmarks(landmarks)))
        lips = list(_LIPS)
        return float(np.linalg.norm(again.xy[lips] - landmarks.xy[lips], axis=1).mean()) / landmarks.interocular

    def _confirmed(
        self,
        rgb: Image,
        *,
        thorough: bool = False,
        largest: bool = False,
        averaged: bool = True,
        agreed: bool = False,
    ) -> list[Landmarks]:
        """What both detector and mesh take for a face, left to right; or only the `largest`. `agreed`: only where they
        also see the same parts of it in the same places."""
        found: list[Landmarks] = []
        for detection in self.detect(rgb, thorough=thorough):
            landmarks = self._refined(rgb, _square_of_detection(detection))
            if agreed and _apart(detection, landmarks) > _MOST_APART:
                continue
            if self._is_face(rgb, landmarks) and not any(_same_face(landmarks, other) for other in found):
                found.append(landmarks)
        if largest:
            found = [max(found, key=lambda face: face.interocular)] if found else []
        if averaged:
            found = [self._averaged(rgb, face) for face in found]
        least, sure = _BESIDE_SURE
        if any(face.score > sure for face in found):
            found = [face for face in found if face.score >= least]
        return sorted(found, key=lambda face: face.box)

    def _again(self, rgb: Image) -> list[Landmarks]:
        """Another look at a picture that seems to show no face: enlarged, calmed, with its contrast raised, and
        without the shadow of blinds.

        The networks know photos: lines and brush strokes hide a drawn face from them until they are blurred, a
        face below 50 pixels until it is larger. Each look has to pass the same tests as the first, and one more: what
        makes a hidden face visible makes other things look like one.
        """
        for seen, scale in _other_looks(rgb):
            faces = self._confirmed(seen, thorough=True, agreed=True)
            if faces:
                return [_scaled_back(face, scale) for face in faces]
        return []

    def _is_face(self, rgb: Image, landmarks: Landmarks) -> bool:
        """Whether the detector, asked again about the upright face at three sizes, stands by it.

        Among a thousand tiles some cloth or foliage always reaches the detector's threshold once, and the
        mesh then believes it; but not from closer and farther. A face upside down can look like one that is
        upright, with its forehead for a chin: so it must not look more like one when it is turned over.
        """
        if not plausible(landmarks):
            return False
        square = _square_of_landmarks(landmarks)
        score, turned_over = (
            sum(self._detector.score(rgb, s.grown(factor)) for factor in _SECOND_LOOKS) / len(_SECOND_LOOKS)
            for s in (square, replace(square, angle=square.angle + math.pi))
        )
        return score >= _MIN_SECOND_SCORE and score > turned_over

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
        on_crop, score = self._mesh(cv2.LUT(crop, _LEVELS).astype(np.float32, copy=False))
        points = np.empty_like(on_crop)
        points[:, :2] = on_crop[:, :2] @ to_picture[:, :2].T + to_picture[:, 2]
        points[:, 2] = on_crop[:, 2] * (square.side / SIDE)
        return Landmarks(points, score)


def _apart(detection: Detection, landmarks: Landmarks) -> float:
    """How far the detector's six points lie from the mesh's, mean, u."""
    right, left = landmarks.eye_centres
    parts = np.stack([right, left, *landmarks.xy[list(_NOSE_MOUTH_EARS)]])
    return float(np.hypot(*(detection.keypoints - parts).T).mean()) / landmarks.interocular


def _other_looks(rgb: Image) -> Iterator[tuple[Image, float]]:
    """Pictures made of one, and their scale."""
    side = max(rgb.shape[:2])
    shrunk = min(1.0, _RETRY_SIDE / side)
    if shrunk < 1:
        rgb = _resized(rgb, shrunk)
    if side <= _ENLARGED_UP_TO:
        yield _resized(rgb, 2.0), 2.0
    for sigma in _CALMED:
        yield _blurred(rgb, sigma * max(rgb.shape[:2])), shrunk
    lab = cv2.cvtColor(_blurred(rgb, 1.0), cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(3.0, (8, 8)).apply(lab[..., 0])
    yield cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.uint8, copy=False), shrunk
    yield stripes.without(rgb), shrunk


def _resized(rgb: Image, scale: float) -> Image:
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(rgb, size, interpolation=method).astype(np.uint8, copy=False)


def _blurred(rgb: Image, sigma: float) -> Image:
    return cv2.GaussianBlur(rgb, (0, 0), max(sigma, 0.3)).astype(np.uint8, copy=False)


def _scaled_back(face: Landmarks, scale: float) -> Landmarks:
    points = face.points / np.float32(scale)
    points[:, :2] += np.float32(0.5 / scale - 0.5)
    return Landmarks(points, face.score)


def _same_face(one: Landmarks, other: Landmarks) -> bool:
    distance = np.hypot(*(one.xy.mean(axis=0) - other.xy.mean(axis=0)))
    return bool(distance < 0.5 * max(one.interocular, other.interocular))
