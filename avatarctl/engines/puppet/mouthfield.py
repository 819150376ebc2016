"""How far each place of the face follows the lips, the jaw and the corners of the mouth.

Every influence is smooth and reaches past the lip line, so each layer has a field of its own that is
defined wherever the layer may be read. Beyond the corners the layers' fields merge into one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from avatarctl.engines.puppet.lips import REACH, SAMPLES, LipMotion, MouthFrame, PhotoLips
from avatarctl.engines.puppet.smooth import Array, smoothstep


@dataclass(frozen=True)
class LayerField:
    """Influences on one layer at n nodes. `curves`: float32 (4, n), of the four lip curves in the order of
    `LipMotion.curves`; `jaw`: float32 (n,)."""

    curves: Array
    jaw: Array


LEAST = 1e-4
"""An influence below this moves nothing by a hundredth of a pixel."""


@dataclass(frozen=True)
class MouthField:
    """Influences at the nodes of a lattice, of which only a rectangle has any: `top`, `left`, `rows`,
    `columns`, n nodes together. `column`: float32 (n,), position in the curves' samples;
    `corner`: float32 (n,), signed: the corners' shift outwards. `cheek`: float32 (n,), the flesh beside the
    nose. `layers`: upper lip, lower lip."""

    top: int
    left: int
    rows: int
    columns: int
    column: Array
    corner: Array
    cheek: Array
    layers: tuple[LayerField, ...]


def curve_columns(x: Array) -> Array:
    """Fractional index into the curves' samples for X; float32."""
    return np.asarray(np.clip((x + REACH) * ((SAMPLES - 1) / (2 * REACH)), 0, SAMPLES - 1.001), np.float32)


def at_columns(curves: Array, columns: Array) -> Array:
    """Curves (..., SAMPLES) read at fractional indices, linearly; float32 (..., *columns.shape)."""
    left = columns.astype(np.int32)
    # By itself, float32 less int32 would be float64.
    fraction = columns - left.astype(np.float32)
    low: Array = curves.take(left, -1)
    return low + (curves.take(left + 1, -1) - low) * fraction


def with_corner(aside: ArrayLike) -> Array:
    """How much of a corner's shift the lips take part in, from their middle (0) to the corner (1): their thin ends give
    way, so that round lips keep most of what is full in them; float32."""
    x = np.asarray(aside, np.float32)
    return np.asarray(np.float32(0.6) * x + np.float32(0.4) * x**3, np.float32)


def mouth_field(frame: MouthFrame, lips: PhotoLips, points: Array, outline: Array, *, layered: bool) -> MouthField:
    """Influences at `points` (rows, columns, 2).

    Args:
        outline: of the face as the camera sees it, float32 (k, 2): it stays where it is when corners move.
        layered: two layers, each defined on both sides of the lip line; otherwise one, which is the upper
            layer above the line and the lower one below it.
    """
    unit = np.float32(frame.unit)
    x, y = frame.local(points.reshape(-1, 2))
    column = curve_columns(x)
    upper_outer, upper_inner, lower_inner, lower_outer = at_columns(
        np.stack([lips.upper_outer, lips.upper_inner, lips.lower_inner, lips.lower_outer]), column
    )
    aside = np.abs(x)
    away = _away(frame, points.reshape(-1, 2), aside, outline)
    near_corner = smoothstep(0.7, 1.3, aside)
    sideways = away * (1 - near_corner * (1 - np.exp(-((y / (0.48 * unit)) ** 2))))

    # Over the lip the nose holds the skin; the cheek beside it has nothing that it would fold against.
    on_cheek = smoothstep(0.22, 0.50, aside * frame.half_width / unit)
    above = np.maximum(upper_outer - 0.92 * lips.nose, 0.12 * unit)
    above += np.maximum(0.32 * unit - above, 0) * on_cheek
    to_nose = _fall(np.clip((upper_outer - y) / above, 0, 1))
    into_upper = np.clip((y - upper_outer) / np.maximum(upper_inner - upper_outer, 0.5), 0, 1)
    outside = y < upper_outer
    follow_upper_outer = np.where(outside, to_nose, 1 - into_upper) * sideways
    follow_upper_inner = np.where(outside, 0, into_upper) * sideways

    below = np.maximum((lips.chin - lower_outer) * 0.62, 0.2 * unit)
    to_chin = _fall(np.clip((y - lower_outer) / below, 0, 1))
    into_lower = np.clip((lower_outer - y) / np.maximum(lower_outer - lower_inner, 0.5), 0, 1)
    outside = y > lower_outer
    follow_lower_outer = np.where(outside, to_chin, 1 - into_lower) * sideways
    follow_lower_inner = np.where(outside, 0, into_lower) * sideways

    across_jaw = 1 - smoothstep(0.75, 2.15, aside)
    jaw_line = lips.chin + 0.02 * unit
    neck = 1 - smoothstep(jaw_line, jaw_line + 0.75 * unit, y)
    under_lip = (1 - to_chin) * (y > lower_outer) * across_jaw * neck
    beside = across_jaw * smoothstep(-0.05 * unit, lips.chin * 0.75, y) * neck
    past_corner = smoothstep(0.85, 1.15, aside)
    jaw_lower = np.where(y > 0, under_lip * (1 - past_corner) + beside * past_corner, beside * past_corner)
    lower_side = (y > (upper_inner + lower_inner) / 2).astype(np.float32)
    jaw_upper = jaw_lower * (1 - lower_side)

    none = np.zeros_like(y)
    upper = np.stack([follow_upper_outer, follow_upper_inner, none, none])
    lower = np.stack([none, none, follow_lower_inner, follow_lower_outer])
    # Between the corners a layer has its own field on both sides of the line; past them all are one.
    apart = 1 - smoothstep(0.93, 1.06, aside) if layered else none
    upper_share, lower_share = (1 - lower_side) + lower_side * apart, lower_side * (1 - apart)
    layers = [_layer(upper * upper_share + lower * lower_share, jaw_lower * (1 - apart) + jaw_upper * apart)]
    if layered:
        lower_share, upper_share = lower_side + (1 - lower_side) * apart, (1 - lower_side) * (1 - apart)
        layers.append(_layer(lower * lower_share + upper * upper_share, jaw_lower))

    band = np.maximum(np.maximum(upper_outer - y, y - lower_outer), 0)
    inside = np.minimum(aside, 1)
    reach = np.where(aside <= 1, with_corner(inside), away)
    # Nearly a bell, but one that ends: the lids are not to feel a smile let go.
    corner = np.sign(x) * reach * np.maximum(1 - (band / ((0.57 + 0.17 * on_cheek) * unit)) ** 2, 0) ** 3
    # Of a face that looks aside, the far half is foreshortened: its corner moves less, and the outline is near.
    corner *= np.where(x < 0, 1 + lips.middle, 1 - lips.middle)
    corner = np.asarray(corner, np.float32)
    beside_nose = np.exp(-(((aside * frame.half_width / unit - 0.62) / 0.24) ** 2) - ((y / unit + 0.24) / 0.2) ** 2)
    return _cropped(points.shape[:2], column, corner, beside_nose.astype(np.float32), layers)


def _cropped(
    shape: tuple[int, int], column: Array, corner: Array, cheek: Array, layers: list[LayerField]
) -> MouthField:
    """Without the rows and columns around that nothing moves."""
    strongest = np.maximum(np.abs(corner), np.abs(cheek))
    for layer in layers:
        strongest = np.maximum(strongest, np.maximum(np.abs(layer.curves).max(0), np.abs(layer.jaw)))
    moved = strongest.reshape(shape) > LEAST
    rows, columns = (np.flatnonzero(moved.any(axis)) for axis in (1, 0))
    top, bottom = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    left, right = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 0)

    def part(values: Array) -> Array:
        inside = values.reshape(*values.shape[:-1], *shape)[..., top:bottom, left:right]
        return np.ascontiguousarray(inside.reshape(*values.shape[:-1], -1), np.float32)

    return MouthField(
        top,
        left,
        bottom - top,
        right - left,
        part(column),
        part(corner),
        part(cheek),
        tuple(LayerField(part(layer.curves), part(layer.jaw)) for layer in layers),
    )


def _away(frame: MouthFrame, points: Array, aside: Array, outline: Array) -> Array:
    """How much of the corners' motion the skin beside them takes part in: 1 between the corners, 0 on and outside
    the face's outline, and evenly less from there to here, since where it fell steeply there would be a crease;
    float32 (n,)."""
    around = np.ascontiguousarray(outline, np.float32)[:, None]
    inside = [cv2.pointPolygonTest(around, (float(x), float(y)), True) for x, y in points]
    to_outline = np.maximum(np.asarray(inside, np.float32), 0)
    from_corner = np.maximum(aside - 1, 0) * np.float32(frame.half_width)
    share = to_outline / np.maximum(to_outline + from_corner, np.float32(1e-3))
    return np.where(aside <= 1, np.float32(1), _even(np.asarray(share, np.float32)))


def _even(t: Array) -> Array:
    """0 at 0, 1 at 1, level at both and straight between: the steepest place is 1.25, that of a cubic 1.5."""
    bend = np.float32(0.2)
    t = np.clip(t, 0, 1)
    low, high = np.minimum(t, bend), np.minimum(1 - t, bend)
    middle = np.clip(t, bend, 1 - bend) - bend
    return np.asarray((low**2 / (2 * bend) + middle + bend / 2 - high**2 / (2 * bend)) / (1 - bend), np.float32)


def _fall(t: Array) -> Array:
    """1 at 0 with slope 0, down to 0 at 1 with slope 0."""
    return np.asarray((1 - t) ** 2 * (1 + 2 * t), np.float32)


def _layer(curves: Array, jaw: Array) -> LayerField:
    return LayerField(np.ascontiguousarray(curves, np.float32), np.ascontiguousarray(jaw, np.float32))


def displacements(field: MouthField, frame: MouthFrame, motion: LipMotion, shape: tuple[int, int]) -> list[Array]:
    """One forward displacement field a layer, float32 (rows, columns, 2), canvas pixels."""
    curves = at_columns(motion.curves, field.column)
    along = field.corner * np.float32(motion.corner)
    cheek = field.cheek * np.float32(motion.cheek)
    here = np.s_[field.top : field.top + field.rows, field.left : field.left + field.columns]
    fields = []
    for layer in field.layers:
        down = (layer.curves * curves).sum(0) + layer.jaw * np.float32(motion.jaw) + cheek
        moved = np.zeros((*shape, 2), np.float32)
        for axis in (0, 1):
            inside = along * frame.across[axis] + down * frame.down[axis]
            moved[(*here, axis)] = inside.reshape(field.rows, field.columns)
        fields.append(moved)
    return fields
