"""The drawn square laid back into the picture that the film shows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.sadtalker.face import Face

Image = NDArray[np.uint8]

_SOLID, _GONE = 0.74, 0.98
"""Where the drawn square begins to fade and has faded, in halves of its side from its middle."""
_TONE_BLUR = 1 / 14
"""Sigma of what counts as tone, in sides of the square."""
_MOST_TONE = 48.0
"""Levels of 255 by which a tone is corrected at the most."""


class Paste:
    """Blends each drawn square into the photo, feathered; outside of it the photo stays as it is, pixel for pixel.

    The networks shift the photo's tones a little, which would show as a patch. What they make of the photo at rest
    tells by how much: this difference, blurred, is added to every picture, the same one to each, so nothing flickers.

    Args:
        face: the photo.
        at_rest: the square as the networks draw it without any motion, RGB uint8 (side, side, 3).
    """

    def __init__(self, face: Face, at_rest: Image) -> None:
        left, top, width, height = (int(v) for v in face.place)
        rows, columns = face.picture.shape[:2]
        self._size = width, height
        self._photo = face.picture
        self._inside = slice(max(top, 0), min(top + height, rows)), slice(max(left, 0), min(left + width, columns))
        down, across = self._inside
        self._part = slice(down.start - top, down.stop - top), slice(across.start - left, across.stop - left)
        self._shrinks = width < at_rest.shape[1]
        self._tone = self._larger(_tone(face.crop, at_rest))
        mask = np.ones((height, width), np.float32) if face.whole else _feather(width, height)
        self._mask = np.ascontiguousarray(mask[self._part])[..., None]
        self._under = face.picture[self._inside].astype(np.float32) * (1 - self._mask)

    def frame(self, drawn: Image) -> Image:
        """The film's picture, RGB uint8 (height, width, 3)."""
        toned = self._larger(drawn.astype(np.float32)) + self._tone
        blended = self._under + self._mask * np.clip(toned, 0, 255)
        frame = self._photo.copy()
        frame[self._inside] = np.rint(blended).astype(np.uint8)
        return frame

    def _larger(self, square: NDArray[np.float32]) -> NDArray[np.float32]:
        how = cv2.INTER_AREA if self._shrinks else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(square, self._size, interpolation=how)[self._part], np.float32)


def _tone(crop: Image, at_rest: Image) -> NDArray[np.float32]:
    difference = crop.astype(np.float32) - at_rest.astype(np.float32)
    blurred = cv2.GaussianBlur(difference, (0, 0), _TONE_BLUR * len(crop), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(blurred, -_MOST_TONE, _MOST_TONE), np.float32)


def _feather(width: int, height: int) -> NDArray[np.float32]:
    """1 in the middle, 0 at the edge, between a circle and a square in shape; float32 (height, width)."""
    across, down = (np.abs((np.arange(n) + 0.5) / n * 2 - 1) for n in (width, height))
    radius = (across[None] ** 4 + down[:, None] ** 4) ** 0.25
    fall = np.clip((radius - _SOLID) / (_GONE - _SOLID), 0, 1)
    return np.asarray(1 - fall * fall * (3 - 2 * fall), np.float32)
