"""A moustache that hangs over the line between the lips: its hair goes with the upper lip.

The fringe below that line is taken off the lower lip and given to the upper one, as a matte: a pixel is a mixture
C = a F + (1 - a) B of hair F and of the lip B beneath it, and B is what the lip shows beside the hair.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, smoothstep

DARK_HAIR = 0.66
"""Light of a moustache, in lights of the lower lip and of the cheeks, up to which it is told from skin."""
HIDING = 0.45
"""The same in lights of the cheeks alone, where nothing is to be seen of the lip."""
SMOOTH, DEEP = 0.05, 0.35
"""Texture in lights of what is over the lip itself, up to which it is no hair but skin in the shade, unless it is
darker than this part of the cheeks' light. Shadows of blinds and of lamps have 0.02 to 0.05, dark hair 0.053 (eyes 40
pixels apart) to 0.18."""
STRANDS = 0.11
"""Texture of skin over the lip, in lights of the cheeks, from which it is hair of any colour. Strokes of grey hair
have 0.13, deep wrinkles and brushes 0.09, noise of 25 levels 0.06, skin 0.01 to 0.04."""
STRANDS_APART = 0.2
"""How far such hair's colour is from the lip's, in lights of the cheeks."""
STRAND = 0.4
"""Part of hair in a pixel from which it may belong to a strand."""
ROOT = 0.03
"""How far over and under the line of the lips the hair of a fringe is looked for, u."""
LONGEST = 0.24
"""Of a fringe, from the line of the lips downwards, u."""
JOINED, MOSTLY = 1.0, 0.5
"""Hair that reaches further down than this, in thicknesses of the lower lip, is a beard's that begins there, unless
this part of the lip is hair: then a long moustache hangs over it."""


@dataclass(frozen=True)
class Region:
    """What is seen between nose and chin. `over`, `lip`: RGB float32 (rows, columns, 3), the skin or the hair over
    the upper lip and the lower lip, each row along the mouth; `skin`: RGB of the cheeks, float32 (3,)."""

    over: Array
    lip: Array
    skin: Array

    @property
    def texture(self) -> float:
        """How much the light over the lip varies from place to place along it, in lights of the cheeks."""
        light = self.over.mean(-1)
        even = cv2.GaussianBlur(light, (0, 0), sigmaX=0.05 * light.shape[1], sigmaY=0.01)
        return float(np.std(light - even) / (self.skin.mean() + 5))


def hair_colour(seen: Region) -> Array:
    """RGB of the moustache, float32 (3,); empty when there is none that could be told from skin."""
    over = seen.over.reshape(-1, 3)
    hair, lip = (np.asarray(np.median(part.reshape(-1, 3), 0), np.float32) for part in (over, seen.lip))
    skin = float(seen.skin.mean())
    if hair.mean() < DARK_HAIR * min(float(lip.mean()), skin):
        shade = hair.mean() > DEEP * skin and seen.texture * skin < SMOOTH * float(hair.mean())
        return np.zeros(0, np.float32) if shade else hair
    # It may hide the lower lip altogether.
    if max(float(hair.mean()), float(lip.mean())) < HIDING * skin:
        return hair
    if seen.texture > STRANDS:
        # Skin is seen between the strands.
        light = over.mean(-1)
        darker = np.asarray(np.median(over[light <= np.percentile(light, 30)], axis=0), np.float32)
        if darker.mean() < DARK_HAIR * min(float(lip.mean()), skin):
            return darker
        if float(np.linalg.norm(hair - lip)) > STRANDS_APART * float(np.linalg.norm(seen.skin)):
            return hair
    return np.zeros(0, np.float32)


@dataclass(frozen=True)
class Fringe:
    """`alpha`: float32 (h, w), of the hair below the line of the lips; `hair`, `lip`: RGB uint8 (h, w, 3), the
    colours on both sides of the mixture."""

    alpha: Array
    hair: NDArray[np.uint8]
    lip: NDArray[np.uint8]


def take_fringe(picture: NDArray[np.uint8], colour: Array, aside: Array, below: Array, thick: Array) -> Fringe:
    """Part the fringe from the lip.

    Args:
        picture: RGB uint8 (h, w, 3).
        colour: of the hair, float32 (3,).
        aside: how far each pixel lies from the middle of the mouth (0) towards its corners (1), float32 (h, w).
        below: how far below the line of the lips, in u, float32 (h, w).
        thick: of the lower lip there, u, float32 (h, w).
    """
    ends = 1 - smoothstep(0.90, 1.0, aside)
    here = (below > -ROOT) & (below < np.minimum(LONGEST, 1.5 * thick)) & (aside < 1.2)
    pixel = max(1, round(0.01 / max(float(np.abs(np.diff(below, axis=0)).max(initial=0)), 1e-6)))
    beside = picture[(below > 0.3 * thick) & (below < 1.3 * thick) & (aside < 0.6)].astype(np.float32)
    if not len(beside):
        return Fringe(np.zeros_like(aside), picture, picture)
    unlike = np.linalg.norm(beside - colour, axis=1)
    lip = np.median(beside[unlike >= np.median(unlike)], axis=0)
    mixed = picture.astype(np.float32)
    like_hair = _share(mixed, colour, np.asarray(lip, np.float32))
    strands = _grown(here & (like_hair > STRAND), below < ROOT)
    lip_itself = (below > 0.25 * thick) & (below < 0.85 * thick) & (aside < 0.6)
    if (like_hair > STRAND)[lip_itself].sum() < MOSTLY * lip_itself.sum():
        strands = _without_beard(strands, aside, below, thick)
    if not strands.any():
        return Fringe(np.zeros_like(aside), picture, picture)
    fringe = cv2.dilate(strands, np.ones((4 * pixel + 1, 4 * pixel + 1), np.uint8))
    # Over the line the lower lip cannot be seen at all: it goes on as it is below.
    covered = fringe | ((below < 0.004) & (aside < 1.2)).astype(np.uint8)
    under = _continued(picture, covered, covered | (like_hair > STRAND), below > -2 * ROOT, pixel)
    alpha = np.maximum(_share(mixed, colour, under), like_hair)
    alpha = smoothstep(0.10, 0.80, alpha) * fringe * ends
    share = alpha[..., None]
    # Where there is little of it, it has the colour of all.
    little = np.float32(0.15)
    hair = (mixed - (1 - share) * under + little * colour) / (share + little)
    darkest, lightest = np.percentile(mixed[strands > 0], (2, 90), axis=0)
    lower = mixed + (under - mixed) * ends[..., None]
    return Fringe(alpha, *(_bytes(part) for part in (np.clip(hair, darkest, lightest), lower)))


def _continued(
    picture: NDArray[np.uint8],
    covered: NDArray[np.uint8],
    unknown: NDArray[np.uint8],
    wanted: NDArray[np.bool_],
    pixel: int,
) -> Array:
    """The picture with what is `covered` in the rows that are `wanted` anywhere filled from around it, but from
    nothing that is `unknown`; float32."""
    rows = np.flatnonzero((wanted & (covered > 0)).any(axis=1))
    part = np.s_[int(rows[0]) : min(int(np.flatnonzero((covered > 0).any(axis=1))[-1]) + 8 * pixel, len(picture))]
    filled = cv2.inpaint(np.ascontiguousarray(picture[part]), np.ascontiguousarray(unknown[part]), 3, cv2.INPAINT_TELEA)
    even = cv2.GaussianBlur(filled, (0, 0), 1.5 * pixel).astype(np.float32)
    # What is known from far away only comes in streaks.
    far = cv2.distanceTransform(np.ascontiguousarray(unknown[part]), cv2.DIST_L2, 3) / np.float32(pixel)
    evener = cv2.GaussianBlur(filled, (0, 0), 7.0 * pixel).astype(np.float32)
    even += (evener - even) * smoothstep(1.5, 6.0, far)[..., None]
    under = picture.astype(np.float32)
    under[part] = np.where(covered[part][..., None] > 0, even, under[part])
    return under


def _bytes(colours: Array) -> NDArray[np.uint8]:
    return np.asarray(np.clip(colours + 0.5, 0, 255), np.uint8)


def _grown(dark: NDArray[np.bool_], roots: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The part of `dark` that hangs from `roots`, strand by strand: each row holds on to the two above it. What is
    dark further down, as the shadow under a lip, is not reached but where a strand ends in it; uint8."""
    held = (dark & roots).astype(np.uint8)
    for row in range(2, len(held)):
        above = cv2.dilate((held[row - 1] | held[row - 2])[None], np.ones((1, 3), np.uint8))[0]
        held[row] |= above & dark[row]
    return held


def _without_beard(strands: NDArray[np.uint8], aside: Array, below: Array, thick: Array) -> NDArray[np.uint8]:
    """The strands, but no further down than usual where they meet a beard that grows up to the lip: uint8."""
    mouth = ((aside < 0.95) & (below > 0) & (below < ROOT)).any(axis=0)
    reach = np.where(strands > 0, below, np.float32(-1)).max(axis=0)
    joined = (np.where(strands > 0, below - np.float32(JOINED) * thick, np.float32(-1)) > 0).any(axis=0) & mouth
    usual = float(np.median(reach[mouth & ~joined])) if (mouth & ~joined).any() else 0.0
    return _grown((strands > 0) & ~(joined & (below > usual)), below < ROOT)


def _share(mixed: Array, hair: Array, lip: Array) -> Array:
    """How much of a mixture is hair, 0..1: its place between two colours. A colour that lies beside the line
    between them, as that of a shadow on skin, is none of their mixtures."""
    apart, offset = hair - lip, mixed - lip
    length = np.maximum((apart * apart).sum(-1), 1.0)
    share = (offset * apart).sum(-1) / length
    beside = (offset * offset).sum(-1) / length - share * share
    return np.asarray(np.clip(share, 0, 1) * (1 - smoothstep(0.03, 0.12, beside)), np.float32)


def look(canvas: NDArray[np.uint8], places: tuple[Array, Array, Array]) -> Region:
    """Read a region of the canvas. `places`: float32 (rows, columns, 2) over the lip, on the lower lip, and on the
    cheeks."""
    over, lip, cheeks = (np.asarray(remap(canvas, place), np.float32) for place in places)
    return Region(over, lip, np.median(cheeks.reshape(-1, 3), 0).astype(np.float32))
