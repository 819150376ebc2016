"""Shadows of blinds: stripes across a picture, nearly level, that hide a face from the networks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.crop import Image

_SIDE = 320
"""Longer side of the picture in which the stripes are sought, pixels."""
_LEANS = np.linspace(-0.5, 0.5, 9)
"""How much a stripe may rise or fall, per pixel across."""
_LENGTH, _FINEST, _COARSEST = 0.2, 0.003, 0.06
"""Sigma along the stripes and across them, in longer sides of the picture."""
_DARKEST = 4.0
"""Levels that are added before a ratio is taken."""


def without(rgb: Image) -> Image:
    """The picture, uint8 (height, width, 3), with its light evened out along the lean at which it varies most.

    Only for finding a face: brows, eyes and mouth are stripes, too, though short ones, and become fainter.
    """
    height, width = rgb.shape[:2]
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    light = np.log(lab[..., 0].astype(np.float32) + np.float32(_DARKEST))
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(light, size, interpolation=cv2.INTER_AREA), np.float32)
    bands = max((_bands(small, float(lean)) for lean in _LEANS), key=lambda found: float(found.std()))
    even = light - cv2.resize(bands, (width, height), interpolation=cv2.INTER_LINEAR)
    lab[..., 0] = np.clip(np.exp(even) - np.float32(_DARKEST) + np.float32(0.5), 0, 255)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def _bands(light: NDArray[np.float32], lean: float) -> NDArray[np.float32]:
    """What of the light, float32 (height, width), lies in stripes that fall by `lean`."""
    height, width = light.shape
    side, level = max(height, width), np.array([[1, 0, 0], [lean, 1, -lean * width / 2]])
    # Sheared until the stripes lie level; blurred along them, less what is coarser than a stripe.
    sheared = cv2.warpAffine(light, level, (width, height), flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR,
                             borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    along = _LENGTH * side
    fine = cv2.GaussianBlur(sheared, (0, 0), sigmaX=along, sigmaY=max(0.3, _FINEST * side))
    coarse = cv2.GaussianBlur(sheared, (0, 0), sigmaX=along, sigmaY=_COARSEST * side)
    back = cv2.warpAffine(fine - coarse, level, (width, height), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return np.asarray(back, np.float32)
