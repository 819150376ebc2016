"""What stands still in a film stands still when it is enlarged, to the last bit.

A network draws a still wall a little differently in every picture, because it sees the noise of the film's
encoding: that flickers. So each place keeps what was drawn for it until the film itself changes there.

Invariant: what is kept belongs to a source that differs from the present one by less than twice `levels`. Both
the drawn and the seen picture are remembered and renewed by the same weights; so a slow change, a fade for
example, is not missed, since it is compared with what was drawn and not with the picture before.
"""

from __future__ import annotations

import cv2
import numpy as np

from avatarctl.engines.realesrgan.tiles import BAND, Kept, Picture, Pixels

REACH = 4
"""Pixels of the source around a change that are drawn anew as well."""


class Steady:
    """Remembers two pictures of one film.

    Args:
        levels: difference, of 255, up to which a place counts as still; 0: nothing is kept.
    """

    def __init__(self, levels: float) -> None:
        self._levels = levels
        self._seen: Pixels | None = None
        self._drawn: Picture | None = None

    def kept(self, source: Picture) -> Kept | None:
        """What of the next picture is there already; None when all of it has to be drawn."""
        if self._seen is None or self._drawn is None or not self._levels:
            return None
        difference = source.astype(np.float32) - self._seen
        # Of the encoder's noise little is left in a mean of neighbours; what is small and changes much stays.
        smooth = np.abs(cv2.GaussianBlur(difference, (0, 0), 1.0)).max(axis=2)
        far = np.maximum(smooth, np.abs(difference).max(axis=2) / 2)
        changed = np.clip(far / np.float32(self._levels) - 1, 0, 1)
        square = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
        changed = cv2.blur(cv2.dilate(changed, square), (2 * REACH - 1, 2 * REACH - 1))
        # The running sum of a box leaves crumbs where there is nothing.
        return Kept(self._drawn, np.where(changed < 1e-3, 0, changed).astype(np.float32))

    def settled(self, source: Picture, drawn: Picture, kept: Kept | None) -> Picture:
        """The next picture of the film; `drawn` is the network's, and is not used again."""
        if self._seen is None or kept is None:
            self._seen, self._drawn = source.astype(np.float32), drawn
            return drawn
        self._seen += kept.changed[..., None] * (source - self._seen)
        size = drawn.shape[1::-1]
        weights = cv2.resize(kept.changed, size, interpolation=cv2.INTER_LINEAR)
        for first in range(0, len(drawn), BAND):
            rows = slice(first, first + BAND)
            weight = weights[rows, :, None]
            if not weight.any():
                drawn[rows] = kept.picture[rows]
                continue
            mixed = kept.picture[rows] + weight * (drawn[rows].astype(np.float32) - kept.picture[rows])
            drawn[rows] = np.clip(mixed + np.float32(0.5), 0, 255).astype(np.uint8)
        self._drawn = drawn
        return drawn
