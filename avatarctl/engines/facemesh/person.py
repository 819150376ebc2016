"""The network that tells a person from the background, and how its answer for a photo is put together.

MediaPipe's selfie segmentation sees 256 x 256 pixels and was trained on people who film themselves; so it looks
several times, at the whole picture and at squares around the head, mirrored too, and the answers are averaged.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.network import Graph
from avatarctl.errors import Unavailable

Array = NDArray[np.float32]

MATTE_MODEL = "person-matte"
SIDE = 256
"""Height and width of the picture that the network takes, pixels."""
LOOKS = (2.6, 3.6, 5.0)
"""Sides of the squares around the head, in heights of the face."""


class PersonNetwork:
    """Probability of a person for every pixel.

    Raises:
        Unavailable: the file is not the model that it should be.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        graph = Graph(path)
        operators = graph.custom_operators()
        if [op.name for op in operators] != ["Convolution2DTransposeBias"]:
            raise Unavailable(
                "the person model is not the one that is known",
                hint="avatarctl models verify, then avatarctl models pull",
            )
        # The last layer is an operator of MediaPipe's own: a transposed convolution, 2 x 2 with stride 2.
        features, kernel, bias = operators[0].inputs
        self._kernel, self._bias = graph.constant(kernel)[0], graph.constant(bias)[0]
        self._trunk = graph.part(graph.inputs, [features], threads)

    def __call__(self, rgb: NDArray[np.uint8]) -> Array:
        """RGB uint8 (height, width, 3) to float32 (256, 256), 0 background .. 1 person. Stretched, not cut."""
        method = cv2.INTER_AREA if min(rgb.shape[:2]) >= SIDE else cv2.INTER_LINEAR
        small = cv2.resize(rgb, (SIDE, SIDE), interpolation=method).astype(np.float32)
        (features,) = self._trunk(small[None] / np.float32(255))
        # As a product of matrices: `np.einsum` of the same takes as long as all layers before.
        half = SIDE // 2
        spread = features.reshape(half * half, -1) @ self._kernel.reshape(4, -1).T
        score = spread.reshape(half, half, 2, 2).transpose(0, 2, 1, 3).reshape(SIDE, SIDE) + self._bias
        return np.asarray(1 / (1 + np.exp(-np.clip(score, -40, 40))), np.float32)

    def looks(
        self, rgb: NDArray[np.uint8], centre: tuple[float, float], face: float, *, mirrored: bool = True
    ) -> tuple[Array, Array]:
        """Mean and spread (standard deviation) of several answers; float32 (height, width) both.

        Args:
            rgb: uint8 (height, width, 3).
            centre: of the head, pixels.
            face: height of the face, pixels.
            mirrored: look at each mirrored, too, for an outline that nothing is to be seen of.
        """
        height, width = rgb.shape[:2]
        total = np.zeros((height, width), np.float32)
        squares, weights = total.copy(), total.copy()
        for x0, y0, x1, y1 in self._boxes(height, width, centre, face):
            part = rgb[y0:y1, x0:x1]
            answer = self(part)
            if mirrored:
                answer = (answer + self(np.ascontiguousarray(part[:, ::-1]))[:, ::-1]) * np.float32(0.5)
            found = cv2.resize(answer, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC)
            here = np.s_[y0:y1, x0:x1]
            weight = _window(y0, y1, height)[:, None] * _window(x0, x1, width)[None]
            total[here] += found * weight
            squares[here] += found**2 * weight
            weights[here] += weight
        mean = total / weights
        variance = np.maximum(squares / weights - mean**2, 0)
        return np.clip(mean, 0, 1), np.sqrt(variance)

    def _boxes(
        self, height: int, width: int, centre: tuple[float, float], face: float
    ) -> list[tuple[int, int, int, int]]:
        boxes = [(0, 0, width, height)]
        for times in LOOKS:
            half = times * face / 2
            # Shoulders are wanted below the head, as in the pictures that the network has seen.
            x, y = centre[0], centre[1] + 0.16 * times * face
            box = (max(0, x - half), max(0, y - half), min(width, x + half), min(height, y + half))
            whole = (round(box[0]), round(box[1]), round(box[2]), round(box[3]))
            if whole not in boxes and min(whole[2] - whole[0], whole[3] - whole[1]) > 32:
                boxes.append(whole)
        return boxes


def _window(start: int, end: int, length: int) -> Array:
    """Weight of a look along one axis: it counts little at its borders, unless the picture ends there too."""
    place = (np.arange(end - start, dtype=np.float32) + 0.5) / (end - start)
    low = np.ones_like(place) if start == 0 else np.clip(place / 0.15, 0.01, 1)
    high = np.ones_like(place) if end == length else np.clip((1 - place) / 0.15, 0.01, 1)
    return np.minimum(low, high)
