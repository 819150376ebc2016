"""Reading pictures and fields between their pixels."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.smooth import Array

Scalar = TypeVar("Scalar", np.uint8, np.float32)
_NO_SECOND_MAP: Any = None


def remap(source: NDArray[Scalar], places: Array, border: int = cv2.BORDER_REPLICATE) -> NDArray[Scalar]:
    """`source` (h, w) or (h, w, channels) at `places`, float32 (rows, columns, 2) of x and y; bilinear.

    `border`: OpenCV's rule for places outside.
    """
    found: Any = cv2.remap(source, places, _NO_SECOND_MAP, cv2.INTER_LINEAR, borderMode=border)
    return found  # type: ignore[no-any-return]  # a cast would build its type anew at every call


def read(source: NDArray[Scalar], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[Scalar]:
    """As `remap`, with the places' x and y apart, float32 (rows, columns) each; the border is held."""
    found: Any = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found  # type: ignore[no-any-return]  # as above


def near(source: NDArray[Scalar], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[Scalar]:
    """As `read`, without interpolation."""
    found: Any = cv2.remap(source, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return found  # type: ignore[no-any-return]  # as above


def nearest(source: NDArray[Scalar], places: Array) -> NDArray[Scalar]:
    """As `remap`, without interpolation; the border is held."""
    found: Any = cv2.remap(source, places, _NO_SECOND_MAP, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return found  # type: ignore[no-any-return]  # as above


def split(picture: NDArray[Scalar]) -> tuple[NDArray[Scalar], ...]:
    """The channels of (h, w, channels), contiguous, (h, w) each."""
    # In half the time of `cv2.split`.
    return tuple(picture.transpose(2, 0, 1).copy())


def coloured(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) three times over, (h, w, 3): a broadcast over so few channels is slower than what it is for."""
    return np.asarray(cv2.cvtColor(weight, cv2.COLOR_GRAY2RGB), np.float32)
