"""Lids that move, drawn straight from an eye's pictures, read once.

Up to a heavy lid the photo's own skin is moved, its lashes unstretched; further down the lid of a blink takes
over. Pictures stay uint8 and are mixed by OpenCV, which saturates: nothing can wrap around.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.eyeball import look
from avatarctl.engines.puppet.eyes import ABOVE_LASHES, TRAVEL, Eye
from avatarctl.engines.puppet.framing import TEXTURE_SCALE
from avatarctl.engines.puppet.sampling import read, remap, split
from avatarctl.engines.puppet.smooth import Array, ramp, smoothstep

LASH_BAND = 0.065
"""Height above the margin of what goes down with it, u."""
LID_FOLLOWS = 0.011
"""How far the upper lid goes with the eyes, in openings of the eye a degree."""
ONSET = 0.04
"""Of the lid's way, within which the photo's skin gives way to the lid's, which has no frame over it."""
LASHES_FROM, LASHES_TO = 0.15, 0.6
"""Of the lid's way, within which its own line of lashes comes."""
PAINTED_FROM, PAINTED_TO = 0.15, 0.65
"""Of the lid's way, within which the painted lid replaces the photo's moved skin."""
LINE = 0.3
"""Of the opening: the line over a drawn eye that is closed, at most."""
HIGHEST, LOWEST = -0.35, 0.6
"""Of the upper lid beside blinks, in openings of the eye."""
Picture = NDArray[np.uint8]


def closure(lid: float, gaze_y: float, blink: float) -> float:
    """How far the upper lid is from the photo's to the closed one's place, 1 is closed, below 0 wide open."""
    rest = min(max(lid + LID_FOLLOWS * gaze_y, HIGHEST), LOWEST)
    return rest + (1 - rest) * blink


def draw(eye: Eye, under: Picture, place: Array, closed: float, gaze: tuple[float, float]) -> Picture:
    """One eye over what is there.

    Args:
        eye: the eye.
        under: RGB uint8 (h, w, 3), a part of the picture.
        place: where in the eye's box each of its pixels shows, float32 (h, w, 2), texture pixels.
        closed: of `closure`.
        gaze: degrees to image right and down.

    Returns:
        RGB uint8 (h, w, 3), a new array.
    """
    if eye.drawn:
        # A drawing's eyes look where they were drawn to.
        closed, gaze = max(closed, 0.0), (0.0, 0.0)
    picture = under.copy()
    below, opening, x, reach = split(remap(eye.places, place))
    lid, zone, cover, inside = split(remap(eye.masks, place))
    fall = np.asarray(opening * np.float32(TRAVEL * closed), np.float32)
    margin = np.asarray(below - fall, np.float32)
    left, top, width, height = cv2.boundingRect(zone)
    core = np.s_[top : top + height, left : left + width]
    if width and not eye.drawn:
        at = below[core], margin[core], opening[core], zone[core]
        picture[core] = look(eye.ball, under[core], place[core], at, gaze, eye.unit)
    if closed:
        colour = _skin(eye, place, closed, lid, (below, fall, opening, reach))
        soft = 2.8 * max(0.5, 0.006 * eye.unit, 0.7 * eye.blur)
        # Above what moves and beside the eye the lid's colour is the photo's own. Of a head that is turned, the part of
        # the picture that shows the eye's box shows what is outside, too.
        weight = ramp(soft / 2, -soft / 2, margin) * (inside * np.float32(1 / 255))
        if abs(closed) < ONSET and not eye.drawn:
            weight *= smoothstep(0, ONSET, abs(closed))
        picture = _mixed(colour, picture, weight)
        if width and closed > (0 if eye.drawn else LASHES_FROM):
            lashes = _lashes(eye, closed, margin[core], x[core])
            line = np.empty((height, width, 3), np.uint8)
            line[:] = np.rint(eye.lash).astype(np.uint8)
            picture[core] = _mixed(line, picture[core].copy(), lashes)
    if eye.framed:
        picture = _mixed(under, picture, cover * np.float32(1 / 255))
    return picture


def _skin(eye: Eye, place: Array, closed: float, lid: Picture, at: tuple[Array, Array, Array, Array]) -> Picture:
    """Colours of the lid, own skin and painted one; RGB uint8 (h, w, 3). `lid`: as in `Eye.masks`."""
    below, fall, opening, reach = at
    x, y = split(place)
    across, down = (float(v) * TEXTURE_SCALE for v in eye.down)
    unit = eye.unit
    if eye.drawn:
        return _drawn_skin(eye, (x, y), closed, lid, (below, below - fall, opening))
    painted = float(smoothstep(PAINTED_FROM, PAINTED_TO, closed))
    band = np.minimum(np.float32(LASH_BAND * unit), np.float32(0.5) * reach)
    # The lashes' band moves as a whole; above it the skin stretches, or is pressed together.
    t = ramp(0, 1, (below + reach) / np.maximum(fall - band + reach, 1))
    moved = fall * t * t * (2 - t)
    own = read(eye.own, x - moved * np.float32(across), y - moved * np.float32(down))
    if painted == 0:
        return own
    shift = opening * np.float32(TRAVEL) - fall
    colour = read(eye.skin, x + shift * np.float32(across), y + shift * np.float32(down))
    weight = lid * np.float32(painted / 255)
    # Some of the photo's lashes stay on the margin that they moved with.
    lashes = ramp(-LASH_BAND * unit, -0.35 * LASH_BAND * unit, below - fall)
    lashes *= ramp(0, 0.10 * unit, opening)
    weight *= 1 - lashes * np.float32(1 - 0.6 * painted)
    return _mixed(colour, own, weight)


def _drawn_skin(
    eye: Eye, place: tuple[Array, Array], closed: float, lid: Picture, at: tuple[Array, Array, Array]
) -> Picture:
    """The same of a line drawing: what the pen drew over the eye goes down with the margin and becomes thin. Behind it
    is paper, and what was drawn above it stays. `at`: below the open margin, below the moved one, the opening."""
    below, margin, opening = at
    x, y = place
    across, down = (float(v) * TEXTURE_SCALE for v in eye.down)
    thick = np.float32(ABOVE_LASHES * eye.unit) / np.maximum(LINE * opening, np.float32(1))
    shift = below - margin * (1 + np.float32(closed) * (np.clip(thick, 2, 6) - 1))
    left, top = x - shift * np.float32(across), y - shift * np.float32(down)
    paper = _mixed(read(eye.skin, x, y), read(eye.own, x, y), np.asarray(lid * np.float32(1 / 255), np.float32))
    line = read(eye.masks, left, top)[..., 0] * np.float32(1 / 255)
    return _mixed(read(eye.own, left, top), paper, np.asarray(line, np.float32))


def _lashes(eye: Eye, closed: float, margin: Array, x: Array) -> Array:
    """How much of each pixel is lash; float32 (h, w)."""
    unit = eye.unit
    square = np.minimum(x * x, np.float32(1))
    ends = 1 - np.float32(0.89) * square * square * square
    thin = np.float32(0.015 * unit) * (1 - np.float32(0.6) * square)
    thickness = np.sqrt(thin * thin + np.float32(2 * eye.blur**2))
    off = margin / thickness
    line = np.exp(-off * off)
    if eye.drawn:
        return np.asarray(ramp(0.15, 0.6, line * ends) * smoothstep(0, ONSET, closed), np.float32)
    coming = float(smoothstep(LASHES_FROM, LASHES_TO, closed))
    line *= np.sqrt(thin / thickness)
    # Lashes hang a little below the margin of a closing lid.
    fringe = np.float32(0.45) * np.exp(-np.maximum(margin, 0) * np.float32(1 / (0.022 * unit + eye.blur)))
    fringe *= margin > 0
    return np.asarray(np.maximum(line, fringe) * ends * np.float32(0.75 * coming), np.float32)


def _mixed(over: Picture, under: Picture, weight: Array) -> Picture:
    return np.asarray(cv2.blendLinear(over, under, weight, 1 - weight), np.uint8)
