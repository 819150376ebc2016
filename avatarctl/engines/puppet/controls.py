"""The controls of the puppet: what the timeline writes and the renderer reads, one row a frame.

Lengths are in u, the distance between the two eye centres, so that one viseme table fits every face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONTROLS: dict[str, str] = {
    "open": "gap between the lips, u (0 closed, 0.27 a loud A)",
    "jaw": "drop of the jaw, u",
    "up": "rise of the upper lip, u",
    "round": "lip rounding, 0..1",
    "press": "lips pressed together, 0..1 (p, b, m)",
    "tuck": "lower lip under the upper teeth, 0..1 (f, v)",
    "wide": "corners outward, u",
    "tongue": "tip of the tongue up behind the upper teeth, 0..0.8 (t, d, n, l), and between the rows, 1 (th)",
    "smile": "corners up, -1..1 (below 0: corners down)",
    "brow": "brows up, u",
    "brow_inner": "inner ends of the brows up, u",
    "brow_skew": "the brow at image right up and the other one down, u",
    "furrow": "brows together, u",
    "cheek": "cheeks up, u",
    "squint": "lower lids up, u",
    "lid": "upper lids, -0.3 (wide open) .. 0.4 (heavy), in openings of the eye",
    "blink": "both lids, 0 open .. 1 closed",
    "gaze_x": "eyes to image right, degrees",
    "gaze_y": "eyes down, degrees",
    "yaw": "head to image right, degrees",
    "pitch": "head down, degrees",
    "roll": "head clockwise in the image, degrees",
    "tx": "head to image right, u",
    "ty": "head down, u",
    "breath": "chest and shoulders raised by a breath, 0..1",
}
INDEX = {name: i for i, name in enumerate(CONTROLS)}


@dataclass(frozen=True, slots=True)
class Timeline:
    """`values`: float32 (frames, len(CONTROLS)); column `INDEX[name]`; row i is shown at i / fps seconds.

    The first and the last row are the rest pose: all zeros, or `emotion.rest` of what the face is in there; without
    speech the last one is the step before the first, so that a clip can be played in a circle. Where the head turns,
    `gaze_x` and `gaze_y` turn the eyes back in it, so that they keep looking at the camera.
    """

    fps: int
    values: NDArray[np.float32]

    def curve(self, name: str) -> NDArray[np.float32]:
        """One control over time, float32 (frames,)."""
        column: NDArray[np.float32] = self.values[:, INDEX[name]]
        return column
