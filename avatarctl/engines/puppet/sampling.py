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
