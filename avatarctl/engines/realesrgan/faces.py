"""Faces too small for a network: at some 25 pixels it deforms them, so there the picture stays interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from avatarctl.engines.facemesh.crop import TurnedSquare
from avatarctl.engines.facemesh.detector import Detection, FaceDetector
from avatarctl.engines.realesrgan.tiles import Box, Picture, Pixels

HEAD = (0.9, 1.1)
"""Half the width and height of a head with its hair, in widths and heights of the detector's box."""
FEATHER = 0.6
"""How much farther than the head the interpolated place reaches until it has faded, in sizes of the head."""
ENLARGED_UP_TO = 1280
"""Longest side in pixels of a picture that is searched at twice its size, in which faces of 25 pixels are found."""
EVERY = 10
"""Pictures of a film between two searches."""
SURE = 0.75
"""Score from which a face is believed, when it is found or when it is looked at from nearer. Faces of 14 pixels and
more reach 0.85 then, folds of clothes that look like one at most 0.7; and a patch that is left out of a sharper
picture for nothing is seen at once."""
NEARER = 2.0
"""Side of what that second look is given, in widths of the box."""
LARGE = 1.8
"""Widths of the narrowest face from which one is drawn well even at half the picture's size."""
FOLLOWING = 0.25
"""Share in which the spared places of a film move, from picture to picture, to where they were found last."""

FaceBox = tuple[float, float, float, float]
"""Left, top, right, bottom of a face from brows to chin, pixels; may reach beyond the picture."""


class Faces:
    """Finds the faces that are narrower than a limit, and the others.

    Args:
        detector: the catalog's file.
        narrowest: width in pixels of the narrowest face that a network draws well; 0: no face is looked for.
        part: of the picture, that gains detail; faces outside of it are nobody's concern.
    """

    def __init__(self, detector: Path, narrowest: float, part: Box, threads: int) -> None:
        self._narrowest, self._part = narrowest, part
        self._detector = FaceDetector(detector, threads) if narrowest else None
        self._number = 0
        self._target: Pixels | None = None
        self._spared: Pixels | None = None

    def boxes(self, source: Picture) -> list[FaceBox]:
        """Every face of the part; none where no face is looked for."""
        if self._detector is None:
            return []
        zoom = 2 if max(source.shape[:2]) <= ENLARGED_UP_TO else 1
        size = zoom * source.shape[1], zoom * source.shape[0]
        searched = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        left, top, right, bottom = self._part
        boxes = []
        for face in self._detector.detect(searched, thorough=True):
            x0, y0, x1, y1 = (side / zoom for side in face.box)
            inside = left < (x0 + x1) / 2 < right and top < (y0 + y1) / 2 < bottom
            if inside and self._sure(searched, face):
                boxes.append((x0, y0, x1, y1))
        return boxes

    def _sure(self, searched: Picture, face: Detection) -> bool:
        """Whether it really is a face."""
        assert self._detector is not None
        x0, y0, x1, y1 = face.box
        nearer = TurnedSquare((x0 + x1) / 2, (y0 + y1) / 2, NEARER * face.width)
        return face.score >= SURE or self._detector.score(searched, nearer) >= SURE

    def spared(self, boxes: Sequence[FaceBox], height: int, width: int) -> Pixels | None:
        """Share of interpolation at each pixel, float32 (height, width), 0..1; None where no face is too narrow."""
        small = [box for box in boxes if box[2] - box[0] < self._narrowest]
        return _mask(small, height, width) if small else None

    def large(self, boxes: Sequence[FaceBox]) -> bool:
        """Whether there are faces, and all of them are wide enough even at half the picture's size."""
        return bool(boxes) and all(box[2] - box[0] >= LARGE * self._narrowest for box in boxes)

    def next(self, source: Picture) -> tuple[Pixels | None, Pixels | None]:
        """Of the next picture of a film: what is spared, and by how much that differs from the picture before."""
        if self._detector is None:
            return None, None
        first = self._number == 0
        if self._number % EVERY == 0:
            self._target = self.spared(self.boxes(source), *source.shape[:2])
        self._number += 1
        before = self._spared
        if self._target is None and before is None:
            return None, None
        nothing = np.zeros(source.shape[:2], np.float32)
        target, before = nothing if self._target is None else self._target, nothing if before is None else before
        now = target if first else before + np.float32(FOLLOWING) * (target - before)
        # Without an end to the fading the same place would be drawn anew for ever.
        now = np.where(np.abs(now - target) < 0.01, target, now)
        self._spared = now if now.any() else None
        return self._spared, np.abs(now - before)


def _mask(boxes: Sequence[FaceBox], height: int, width: int) -> Pixels:
    """1 on the heads around the boxes, falling smoothly to 0 around them."""
    mask = np.zeros((height, width), np.float32)
    y, x = np.ogrid[:height, :width]
    for x0, y0, x1, y1 in boxes:
        across = (x + 0.5 - (x0 + x1) / 2) / (HEAD[0] * (x1 - x0))
        # Hair reaches farther up than the chin down.
        down = (y + 0.5 - (y0 + y1) / 2 + 0.15 * (y1 - y0)) / (HEAD[1] * (y1 - y0))
        ramp = np.clip((1 + FEATHER - np.hypot(across, down)) / FEATHER, 0, 1)
        mask = np.maximum(mask, (ramp * ramp * (3 - 2 * ramp)).astype(np.float32))
    return mask
