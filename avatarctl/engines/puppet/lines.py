"""Lines of a background, continued straight behind the person: stripes, shelves, the fall of a curtain.

Which way they run is told by the structure tensor of what is seen beside the person (Bigun and Granlund 1987). It is
continued smoothly behind the outline, and the picture is mirrored along it where it is seen again.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.pushpull import push_pull
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, smoothstep

Mask = NDArray[np.uint8]
ONE_WAY = 0.5, 0.75
"""Coherence of the tensor, 0..1, from which on lines begin to run one way, and surely do."""
DEEP = 0.5
"""u behind the outline down to which lines are continued; what is further from it is never uncovered."""
REACH = 0.8
"""u along a line within which it is looked for, and up to twice of which it is less and less sure."""
STEPS = 40
"""Places on either side at which it is looked for."""
GRAIN = 3.0
"""Slope of what is no line, levels a pixel."""
FINE = 48.0
"""Pixels of u at which directions are told: they change slowly."""


def continued(picture: NDArray[np.uint8], hole: Mask, unit: float) -> tuple[Array, Array]:
    """Colours of the lines, float32 (h, w, 3), and how sure they are, 0..1, float32 (h, w); 0 where there is no hole.

    Args:
        picture: RGB uint8 (h, w, 3).
        hole: 1 where nothing is known of the background, uint8 (h, w).
        unit: u, pixels.
    """
    height, width = hole.shape
    rows, columns = np.nonzero((hole > 0) & (cv2.distanceTransform(hole, cv2.DIST_L2, 3) < DEEP * unit))
    x, y = columns.astype(np.float32), rows.astype(np.float32)
    seen = cv2.erode(1 - hole, np.ones((3, 3), np.uint8)) > 0
    right, down, trust = _directions(picture, hole, unit, x, y)

    def is_seen(which: NDArray[np.intp], far: Array) -> NDArray[np.bool_]:
        to_right = np.rint(x[which] + far * right[which]).astype(np.intp)
        below = np.rint(y[which] + far * down[which]).astype(np.intp)
        inside = (to_right >= 0) & (to_right < width) & (below >= 0) & (below < height)
        return np.asarray(inside & seen[below * inside, to_right * inside], np.bool_)

    far, hidden = np.zeros_like(x), np.arange(len(x))
    for step in np.linspace(1, REACH * unit, STEPS):
        for along in (step, -step):
            found = is_seen(hidden, np.full(len(hidden), along, np.float32))
            far[hidden[found]] = along
            hidden = hidden[~found]
    trust[hidden] = 0
    # Mirrored along the line, which keeps its grain, where that is seen.
    far = np.where(is_seen(np.arange(len(x)), 2 * far), 2 * far, far)
    trust *= 1 - smoothstep(REACH * unit, 2 * REACH * unit, np.abs(far))
    places = np.stack([x + far * right, y + far * down], -1).astype(np.float32)
    colours, sure = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    for start in range(0, len(places), 1 << 14):  # `cv2.remap` takes no more rows than 16 bits count
        part = slice(start, start + (1 << 14))
        colours[rows[part], columns[part]] = remap(picture, places[part, None])[:, 0]
    sure[rows, columns] = trust
    return colours, np.asarray(cv2.GaussianBlur(sure, (0, 0), max(1.0, 0.02 * unit)), np.float32) * (sure > 0)


def _directions(picture: NDArray[np.uint8], hole: Mask, unit: float, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Which way lines run at these places, to the right and down, and how surely they do; float32 (n,) each."""
    scale = min(1.0, FINE / unit)
    size = max(1, round(hole.shape[1] * scale)), max(1, round(hole.shape[0] * scale))
    light = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    light = cv2.GaussianBlur(light.astype(np.float32), (0, 0), 0.7)
    known = (cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) == 0).astype(np.uint8)
    known = cv2.erode(known, np.ones((5, 5), np.uint8)).astype(np.float32)
    slopes = [cv2.Scharr(light, cv2.CV_32F, *axis, scale=1 / 32) for axis in ((1, 0), (0, 1))]
    products = slopes[0] ** 2, slopes[1] ** 2, slopes[0] * slopes[1], np.ones_like(known)
    blurred = [cv2.GaussianBlur(each * known, (0, 0), 0.15 * unit * scale) for each in products]
    share = np.maximum(blurred[3], 0.02)
    tensor = push_pull(np.stack([each / share for each in blurred[:3]], -1), (blurred[3] > 0.02).astype(np.float32))
    column, row = ((scale * each).astype(np.intp).clip(0, most - 1) for each, most in zip((x, y), size, strict=True))
    across, down, mixed = cv2.GaussianBlur(tensor, (0, 0), 1.0)[row, column].T
    angle = 0.5 * np.arctan2(2 * mixed, across - down)
    coherence = np.hypot(across - down, 2 * mixed) / (across + down + GRAIN**2)
    return -np.sin(angle), np.cos(angle), smoothstep(*ONE_WAY, coherence)
