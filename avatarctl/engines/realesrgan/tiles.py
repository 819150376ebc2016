"""A picture enlarged by a network tile by tile, so that memory depends on the tile alone.

Each tile is given more than is taken from it, since the network has to see what lies around; neighbours
cross-fade, so no seam shows. Where tiles lie depends on the picture's size only, hence so does the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""RGB uint8 (height, width, 3)."""
Pixels = NDArray[np.float32]
"""RGB float32 (height, width, 3), 0..255 and a little beyond; weights along an axis too."""

NETWORK_SCALE = 4
CONTEXT = 8
"""Pixels of the source around a tile that the network sees and nobody else."""
FADE = 4
"""Pixels of the source on either side of a border between tiles in which they cross-fade."""
PART_FADE = 24
"""Pixels of the source within which the part that gains detail gives way to interpolation."""
FARTHEST = 24.0
"""Mean difference from the source, of 255, of what cannot be the same picture; good ones differ by 1 to 6."""

BAND = 256
"""Larger rows that are mixed at a time, to keep memory flat."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


class Network(Protocol):
    """What enlarges a tile: under ncnn here, under any other runtime elsewhere."""

    def enlarge(self, pixels: Pixels) -> Pixels:
        """The same at `NETWORK_SCALE` times the size. Equal pixels, equal result."""


@dataclass(frozen=True, slots=True)
class Look:
    """`scale`: 2 or 4. `detail`: share of what the network adds. `grain`: share given back of what it removes.
    `side`: longest side of a tile, without what is around it, pixels of the source. `part`: what gains detail."""

    scale: int
    detail: float
    grain: float
    side: int
    part: Box


def count(look: Look) -> int:
    """How many tiles there are."""
    return sum(1 for _ in _tiles(look))


def enlarge(source: Picture, network: Network, look: Look, tile_done: Callable[[int], None]) -> Picture:
    """`source`, `look.scale` times larger. `tile_done(number)` is called after each tile and may raise."""
    height, width = source.shape[:2]
    left, top, right, bottom = look.part
    part = np.empty(((bottom - top) * look.scale, (right - left) * look.scale, 3), np.uint8)
    for number, tile in enumerate(_tiles(look), start=1):
        columns, xs = _span(tile[0], tile[2], left, right, look.scale)
        rows, ys = _span(tile[1], tile[3], top, bottom, look.scale)
        seen_x, seen_y = _widened(columns, CONTEXT, width), _widened(rows, CONTEXT, height)
        pixels = source[seen_y, seen_x].astype(np.float32)
        larger = _mixed(pixels, network.enlarge(pixels), look)
        taken = larger[_inside(rows, seen_y.start, look.scale), _inside(columns, seen_x.start, look.scale)]
        region = part[_inside(rows, top, look.scale), _inside(columns, left, look.scale)]
        _lay(region, taken, ys, xs)
        tile_done(number)
    if part.shape[:2] == (height * look.scale, width * look.scale):
        return part
    size = width * look.scale, height * look.scale
    made: Picture = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_LANCZOS4), np.uint8)
    rows, columns = _inside(slice(top, bottom), 0, look.scale), _inside(slice(left, right), 0, look.scale)
    _lay(made[rows, columns], part, _cover(top, bottom, height, look.scale), _cover(left, right, width, look.scale))
    return made


def _lay(under: Picture, over: NDArray[Any], ys: Pixels, xs: Pixels) -> None:
    """Put `over` on `under`, which is changed; it covers as much as its row's and its column's weight say."""
    for first in range(0, len(under), BAND):
        rows = slice(first, first + BAND)
        weight = (ys[rows, None] * xs[None])[..., None]
        mixed = under[rows] * (1 - weight) + over[rows] * weight
        under[rows] = np.clip(mixed + np.float32(0.5), 0, 255).astype(np.uint8)


def _mixed(pixels: Pixels, drawn: Pixels, look: Look) -> Pixels:
    """Between the interpolated tile and what the network drew, grain given back.

    Raises:
        RuntimeError: the network drew something else: its weights are damaged.
    """
    height, width = pixels.shape[:2]
    removed = pixels - cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
    far = float(np.abs(removed).mean())
    if not far < FARTHEST:
        raise RuntimeError(f"the network drew another picture than it was given (they differ by {far:.0f} of 255)")
    size = width * look.scale, height * look.scale
    plain = cv2.resize(pixels, size, interpolation=cv2.INTER_LANCZOS4)
    if look.scale != NETWORK_SCALE:
        drawn = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    grain = cv2.resize(removed, size, interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(plain + look.detail * (drawn + look.grain * grain - plain), np.float32)


def _tiles(look: Look) -> Iterator[Box]:
    left, top, right, bottom = look.part
    columns, rows = _borders(left, right, look.side), _borders(top, bottom, look.side)
    for y0, y1 in pairwise(rows):
        for x0, x1 in pairwise(columns):
            yield x0, y0, x1, y1


def _borders(start: int, end: int, side: int) -> list[int]:
    """Tiles of nearly equal length, the shortest that are at most `side` long."""
    pieces = max(1, -(-(end - start) // side))
    return [start + (end - start) * i // pieces for i in range(pieces + 1)]


def _span(start: int, end: int, first: int, last: int, scale: int) -> tuple[slice, Pixels]:
    """Along one axis: what is taken from the tile start..end of the part first..last, and the share in which each
    of its larger pixels covers what the tile before it left there."""
    taken = slice(max(first, start - FADE), min(last, end + FADE))
    place = _places(taken.start, taken.stop, scale)
    if start == first:
        return taken, np.ones_like(place)
    return taken, np.clip((place - np.float32(start - FADE)) / np.float32(2 * FADE), 0, 1)


def _cover(start: int, end: int, length: int, scale: int) -> Pixels:
    """Along one axis: how much the part start..end covers; all, but near its borders inside the picture."""
    place = _places(start, end, scale)
    cover = np.ones_like(place)
    for inside, distance in ((start > 0, place - np.float32(start)), (end < length, np.float32(end) - place)):
        if inside:
            ramp = np.clip(distance / np.float32(PART_FADE), 0, 1)
            cover *= ramp * ramp * (3 - 2 * ramp)
    return cover


def _places(start: int, end: int, scale: int) -> Pixels:
    """Centres of the larger pixels of start..end, in pixels of the source."""
    return (np.arange(start * scale, end * scale, dtype=np.float32) + np.float32(0.5)) / np.float32(scale)


def _widened(span: slice, by: int, length: int) -> slice:
    return slice(max(0, span.start - by), min(length, span.stop + by))


def _inside(span: slice, origin: int, scale: int) -> slice:
    """Where `span` of the source lies in a larger picture that begins at `origin`."""
    return slice((span.start - origin) * scale, (span.stop - origin) * scale)
