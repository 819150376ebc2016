"""The face detector: where faces are, with six points on each.

BlazeFace, short range (Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile
GPUs", 2019). It sees 128 x 128 pixels and misses faces below about a sixth of the picture; so it also looks
through a pyramid of overlapping tiles, which finds faces of 64 pixels in any photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.crop import Image, TurnedSquare, cut
from avatarctl.engines.facemesh.network import Graph

Floats = NDArray[np.float32]

SIDE = 128
"""Height and width of the picture that the network takes, pixels."""

MIN_SCORE = 0.5
SMALLEST_FACE = 50
"""The tiles are made fine enough to find a face of this width, pixels."""

_TILE_PER_FACE = 5
"""A face as wide as a fifth of a tile is found reliably."""
_SAME_FACE_IOU = 0.3
_SAME_FACE_COVER = 0.6
"""A box that lies inside another to this degree is a part of the same face."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A face. `box`: x0, y0, x1, y1 in pixels, from brows to chin, may reach beyond the picture.

    `keypoints`: float32 (6, 2), pixels: right eye, left eye, nose tip, mouth, right ear, left ear
    (right and left are the person's own). `score`: 0..1.
    """

    score: float
    box: tuple[float, float, float, float]
    keypoints: Floats

    @property
    def width(self) -> float:
        """Pixels."""
        return self.box[2] - self.box[0]


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Raw finds: scores (n,), and rows of x0, y0, x1, y1 and six x, y pairs (n, 16), in pixels of the picture."""

    scores: Floats
    values: Floats


def _anchors() -> Floats:
    """Centres, float32 (896, 2) in 0..1: two to a cell of a 16 x 16 grid, then six to a cell of an 8 x 8 grid."""
    layers = []
    for cells, per_cell in ((16, 2), (8, 6)):
        row, column = np.mgrid[:cells, :cells]
        centres = np.stack([column.ravel() + 0.5, row.ravel() + 0.5], axis=1) / cells
        layers.append(np.repeat(centres, per_cell, axis=0))
    return np.concatenate(layers).astype(np.float32)


class FaceDetector:
    """Raises `Unavailable` when the file is not this model."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        graph = Graph(path)
        self._network = graph.whole([graph.tensor("regressors"), graph.tensor("classificators")], threads)
        self._anchors = _anchors()

    def twin(self) -> FaceDetector:
        """The same for another thread."""
        other = copy(self)
        other._network = self._network.twin()
        return other

    def detect(self, rgb: Image, *, thorough: bool = False) -> list[Detection]:
        """Faces in an RGB picture, uint8 (height, width, 3), best score first.

        The tiles are looked at when the whole picture shows no face, and always when `thorough`.
        """
        found = [self._whole(rgb)]
        if thorough or not len(found[0].scores):
            found += [self._look(tile, scale, x, y) for tile, scale, x, y in _tiles(rgb)]
        return _merge(found)

    def score(self, rgb: Image, square: TurnedSquare) -> float:
        """The best score of a face within a square of the picture, 0 where there is none."""
        patch = cut(rgb, square, SIDE, border=cv2.BORDER_REPLICATE)
        return float(self._look(patch, 1, 0, 0, cut_off=False).scores.max(initial=0))

    def _whole(self, rgb: Image) -> _Candidates:
        height, width = rgb.shape[:2]
        side = max(height, width)
        square = TurnedSquare(width / 2, height / 2, side)
        patch = cut(rgb, square, SIDE, shrink_from=8, border=cv2.BORDER_CONSTANT)
        return self._look(patch, side / SIDE, (width - side) / 2, (height - side) / 2, cut_off=False)

    def _look(self, patch: Image, scale: float, x: float, y: float, *, cut_off: bool = True) -> _Candidates:
        """`scale`, `x`, `y` map the patch onto the picture. `cut_off`: drop faces that the patch's edge cuts."""
        values, logits = self._network((patch.astype(np.float32) / 127.5 - 1)[None])
        scores = 1 / (1 + np.exp(-logits[0, :, 0].clip(-60, 60)))
        sure = np.flatnonzero(scores >= MIN_SCORE)
        pairs = values[0, sure].reshape(-1, 8, 2) / SIDE
        size, centre = pairs[:, 1], pairs[:, 0] + self._anchors[sure]
        points = pairs[:, 2:] + self._anchors[sure][:, None]
        rows = np.concatenate([centre - size / 2, centre + size / 2, points.reshape(-1, 12)], axis=1)
        if cut_off:
            whole = (rows[:, :4].min(axis=1) > 0.01) & (rows[:, :4].max(axis=1) < 0.99)
            sure, rows = sure[whole], rows[whole]
        rows = rows * (SIDE * scale) + np.tile(np.array([x, y], np.float32), 8)
        return _Candidates(scores[sure].astype(np.float32), rows.astype(np.float32))


def _tiles(rgb: Image) -> Iterator[tuple[Image, float, float, float]]:
    """Square tiles that overlap by half, each level half as large as the one before: tile, scale, x, y.

    Every level is a smaller copy of the picture, from which tiles are cut without being resampled again.
    """
    height, width = rgb.shape[:2]
    tile = max(height, width) / 2
    while tile >= max(SIDE, _TILE_PER_FACE * SMALLEST_FACE):
        scale = tile / SIDE
        size = max(1, round(width / scale)), max(1, round(height / scale))
        level = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        for y in _starts(size[1]):
            for x in _starts(size[0]):
                piece = np.zeros((SIDE, SIDE, 3), np.uint8)
                seen = level[y : y + SIDE, x : x + SIDE]
                piece[: seen.shape[0], : seen.shape[1]] = seen
                yield piece, scale, x * scale, y * scale
        tile /= 2


def _starts(length: int) -> list[int]:
    """Where tiles begin along a side, in pixels of the level."""
    last = max(0, length - SIDE)
    return sorted({*range(0, last, SIDE // 2), last})


def _merge(found: list[_Candidates]) -> list[Detection]:
    """Weighted non-maximum suppression: boxes of one face become their mean, weighted by score."""
    scores = np.concatenate([c.scores for c in found])
    rows = np.concatenate([c.values for c in found])
    order = list(np.argsort(-scores, kind="stable"))
    detections = []
    while order:
        best = rows[order[0], :4]
        boxes = rows[order, :4]
        iou, cover = _overlap(best, boxes)
        same = (iou > _SAME_FACE_IOU) | (cover > _SAME_FACE_COVER)
        averaged = [i for i, near in zip(order, iou > _SAME_FACE_IOU, strict=True) if near]
        mean = np.average(rows[averaged], axis=0, weights=scores[averaged]).astype(np.float32)
        x0, y0, x1, y1 = (float(v) for v in mean[:4])
        detections.append(Detection(float(scores[order[0]]), (x0, y0, x1, y1), mean[4:].reshape(6, 2)))
        order = [i for i, gone in zip(order, same, strict=True) if not gone]
    return detections


def _overlap(box: Floats, boxes: Floats) -> tuple[Floats, Floats]:
    """Intersection over union, and over the smaller of the two areas, of one box (4,) with others (n, 4)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = sides.clip(0).prod(axis=1)
    area, areas = (box[2:] - box[:2]).prod(), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return shared / (area + areas - shared), shared / np.minimum(area, areas)
