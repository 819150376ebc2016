"""A picture enlarged by a network tile by tile, so that memory depends on the tile alone.

Each tile is given more than is taken from it, since the network has to see what lies around; neighbours
cross-fade, so no seam shows. Where tiles lie depends on the picture's size only, hence so does the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""RGB uint8 (height, width, 3)."""
Pixels = NDArray[np.float32]
"""RGB float32 (height, width, 3), 0..255 and a little beyond; weights along an axis or of a picture too."""

CONTEXT = 8
"""Pixels around a tile that the network sees and nobody else, as it sees them."""
FADE = 4
"""Pixels of the source on either side of a border between tiles in which they cross-fade."""
PART_FADE = 24
"""Pixels of the source within which the part that gains detail gives way to interpolation."""
FARTHEST = 24.0
"""Mean difference from the source, of 255, of what cannot be the same picture; good ones differ by 1 to 6."""
COARSE = 1.5
"""Standard deviation in pixels of the source of what separates colour and shade, which are the source's, from
grain, of which some comes back. Up to 6, films and portraits look alike and flicker alike; the least changes colours
least."""

GRID = 16
"""Pixels of the source, on which the sides of what changes in a film are laid."""
BAND = 256
"""Larger rows that are mixed at a time, to keep memory flat."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


class Network(Protocol):
    """What enlarges tiles, under any runtime."""

    scale: int
    """How many times larger it draws."""
    side: int
    """Longest side of a tile, without what is around it, pixels as the network sees them."""
    batch: int
    """How many tiles it takes at a time."""
    slow: bool
    """Seconds for a face; so it is spared work that can hardly be seen."""

    def enlarge(self, tiles: list[Pixels], told: Callable[[float], None]) -> list[Pixels]:
        """Each at `scale` times its size. Equal pixels, equal result. `told(share)` of the work that is done, 0..1,
        is called now and then, and may raise."""


@dataclass(frozen=True, slots=True)
class Look:
    """`scale`: 2 or 4. `detail`: share of what the network adds. `grain`: share given back of what it removes.
    `part`: what gains detail. `half`: the network is shown the picture at half its size."""

    scale: int
    detail: float
    grain: float
    part: Box
    half: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What need not be drawn anew. `picture`: what there is, at its full size. `changed`: float32 (height, width) of
    the source, 0 where the picture stays as it is."""

    picture: Picture
    changed: Pixels


def enlarge(
    source: Picture,
    network: Network,
    look: Look,
    told: Callable[[float, int], None],
    spared: Pixels | None = None,
    kept: Kept | None = None,
) -> Picture:
    """`source`, `look.scale` times larger.

    Args:
        told: called with how many tiles are done, and how many there are; may raise.
        spared: share of interpolation at each pixel of the source, float32 (height, width), 0..1.
        kept: where nothing changes the picture is taken from there, and nothing is drawn. A film of which but a part
            gains detail is drawn anew.

    Raises:
        RuntimeError: the network drew something else: its weights are damaged.
    """
    height, width = source.shape[:2]
    whole = look.part == (0, 0, width, height)
    if kept is not None and whole:
        changed = _bounds(kept.changed)
        if changed is None:
            return kept.picture.copy()
        look = replace(look, part=changed)
    left, top, right, bottom = look.part
    part = np.empty(((bottom - top) * look.scale, (right - left) * look.scale, 3), np.uint8)
    total, done = count(look, network.side), 0
    waiting = _tiles(look, network.side)
    while group := list(islice(waiting, network.batch)):
        seen = [_seen(tile, source, look) for tile in group]
        size, before = len(group), done
        drawn = network.enlarge(
            [_shown(source[ys, xs], look) for ys, xs in seen],
            lambda share, before=before, size=size: told(before + share * size, total),  # type: ignore[misc]
        )
        for tile, (ys, xs), picture in zip(group, seen, drawn, strict=True):
            larger = _mixed(source[ys, xs], picture, look, None if spared is None else spared[ys, xs])
            _place(part, larger, tile, (ys, xs), look)
        done += size
        told(done, total)
    if look.part == (0, 0, width, height):
        return part
    rows, columns = _inside(slice(top, bottom), 0, look.scale), _inside(slice(left, right), 0, look.scale)
    if kept is not None and whole:
        made = kept.picture.copy()
        made[rows, columns] = part
        return made
    size_of_all = width * look.scale, height * look.scale
    made = np.asarray(cv2.resize(source, size_of_all, interpolation=cv2.INTER_LANCZOS4), np.uint8)
    _lay(made[rows, columns], part, _cover(top, bottom, height, look.scale), _cover(left, right, width, look.scale))
    return made


def count(look: Look, side: int) -> int:
    """How many tiles there are."""
    return sum(1 for _ in _tiles(look, side))


def _bounds(changed: Pixels) -> Box | None:
    """The part of the source outside of which nothing changes; its sides lie on a grid, so that they rarely move."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return None
    height, width = changed.shape
    down, across = (slice(int(i[0]) // GRID * GRID, (int(i[-1]) // GRID + 1) * GRID) for i in (rows, columns))
    return across.start, down.start, min(width, across.stop), min(height, down.stop)


def _seen(tile: Box, source: Picture, look: Look) -> tuple[slice, slice]:
    """Rows and columns of the source that the network is shown for a tile."""
    context = CONTEXT * (2 if look.half else 1)
    left, top, right, bottom = look.part
    columns, _ = _span(tile[0], tile[2], left, right, look.scale)
    rows, _ = _span(tile[1], tile[3], top, bottom, look.scale)
    return _widened(rows, context, source.shape[0]), _widened(columns, context, source.shape[1])


def _shown(pixels: Picture, look: Look) -> Pixels:
    """The tile as the network sees it. An odd side is made even first: its last pixel is there twice."""
    if not look.half:
        return pixels.astype(np.float32)
    height, width = pixels.shape[:2]
    even = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    size = even.shape[1] // 2, even.shape[0] // 2
    return np.asarray(cv2.resize(even.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def _place(part: Picture, larger: Pixels, tile: Box, seen: tuple[slice, slice], look: Look) -> None:
    """Lay what was drawn for a tile where it belongs, over its neighbours' fading borders."""
    left, top, right, bottom = look.part
    columns, xs = _span(tile[0], tile[2], left, right, look.scale)
    rows, ys = _span(tile[1], tile[3], top, bottom, look.scale)
    taken = larger[_inside(rows, seen[0].start, look.scale), _inside(columns, seen[1].start, look.scale)]
    _lay(part[_inside(rows, top, look.scale), _inside(columns, left, look.scale)], taken, ys, xs)


def _lay(under: Picture, over: NDArray[Any], ys: Pixels, xs: Pixels) -> None:
    """Put `over` on `under`, which is changed; it covers as much as its row's and its column's weight say."""
    for first in range(0, len(under), BAND):
        rows = slice(first, first + BAND)
        weight = (ys[rows, None] * xs[None])[..., None]
        mixed = under[rows] * (1 - weight) + over[rows] * weight
        under[rows] = np.clip(mixed + np.float32(0.5), 0, 255).astype(np.uint8)


def _mixed(source: Picture, drawn: Pixels, look: Look, spared: Pixels | None) -> Pixels:
    """Between the interpolated tile and what the network drew; colour and shade are the source's, and a share of
    its grain."""
    pixels = source.astype(np.float32)
    height, width = pixels.shape[:2]
    size = width * look.scale, height * look.scale
    if look.half:
        # What an odd side was given more is taken away again.
        drawn = drawn[: size[1], : size[0]]
    removed = pixels - cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
    far = float(np.abs(removed).mean())
    if not far < FARTHEST:
        raise RuntimeError(f"the network drew another picture than it was given (they differ by {far:.0f} of 255)")
    plain = cv2.resize(pixels, size, interpolation=cv2.INTER_LANCZOS4)
    if drawn.shape[1::-1] != size:
        shrinks = drawn.shape[1] > size[0]
        drawn = np.asarray(
            cv2.resize(drawn, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4), np.float32
        )
    coarse = cv2.GaussianBlur(removed, (0, 0), COARSE, borderType=cv2.BORDER_REPLICATE)
    back = cv2.resize(coarse + look.grain * (removed - coarse), size, interpolation=cv2.INTER_LANCZOS4)
    detail: Any = look.detail
    if spared is not None and spared.any():
        detail = (look.detail * (1 - cv2.resize(spared, size, interpolation=cv2.INTER_LINEAR)))[..., None]
    return np.asarray(plain + detail * (drawn + back - plain), np.float32)


def _tiles(look: Look, side: int) -> Iterator[Box]:
    left, top, right, bottom = look.part
    side *= 2 if look.half else 1
    columns, rows = _borders(left, right, side), _borders(top, bottom, side)
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
