"""The lips as four curves: where they lie in the photo, and where a frame's controls put them.

The mouth has coordinates of its own: X along the line between the corners, in half mouth widths (-1 and 1
are the corners), Y across it in pixels, downwards. A curve is Y sampled at `SAMPLES` places of X.
Because the edges of the opening are curves, the gap between them is never negative and closes exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.puppet import anatomy, moustache
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, gaussian_smooth, monotone_cubic, smoothstep

SAMPLES = 161
REACH = 2.6
"""Curves are given for X in [-REACH, REACH]."""
OPEN_GAP = 0.025
"""A gap between the lips above this, in u, means that the photo shows an open mouth."""
HIDDEN_GAP = 0.07
"""The same under a moustache that hangs over the lips."""
TOOTH = 1.12
"""Light of teeth in lights of the lower lip, at least, by which they are known under a moustache."""
NEUTRAL_WIDTH = 0.80
"""Width of a relaxed mouth, u; a smile is wider."""
MEETING = 0.5
"""Where the lips of an open mouth meet when they close, from the upper lip (0) to the lower (1)."""
KEPT_SMILE = 0.38
"""How much of a smile with teeth is left when its lips close."""
DRAWN_UP = 0.6
"""How much of its waves the edge of an upper lip that is drawn up loses."""
TAPER = 1.35, 0.08
"""Most height of a closed lip, in mean heights of its middle: the first near the middle, the second at the corner."""
FURTHEST_MIDDLE = 0.35
"""Of a face that looks aside: where the middle of its lips may lie, X."""


@cache
def positions() -> Array:
    """X of the curves' samples; float32 (SAMPLES,), not to be written to."""
    places = np.linspace(-REACH, REACH, SAMPLES, dtype=np.float32)
    places.flags.writeable = False
    return places


@dataclass(frozen=True)
class MouthFrame:
    """The mouth's own coordinates in the canvas. `origin`: float32 (2,), middle of the corners; `across`,
    `down`: unit vectors, float32 (2,); `half_width`: pixels; `unit`: u in pixels."""

    origin: Array
    across: Array
    down: Array
    half_width: float
    unit: float

    def local(self, points: Array) -> tuple[Array, Array]:
        """X and Y of canvas points (..., 2)."""
        offset = points - self.origin
        along = np.asarray(offset @ self.across, np.float32) / np.float32(self.half_width)
        return along, np.asarray(offset @ self.down, np.float32)

    def canvas(self, x: Array, y: Array) -> Array:
        """Canvas points (..., 2) of X and Y."""
        along = (np.asarray(x) * self.half_width)[..., None] * self.across
        return np.asarray(self.origin + along + np.asarray(y)[..., None] * self.down, np.float32)


@dataclass(frozen=True)
class PhotoLips:
    """The lips in the photo: float32 (SAMPLES,) curves in pixels, from the outer edge of the upper lip to
    that of the lower. `meeting`: where they meet when closed; `even`: the same without its waves. `is_open`:
    the photo shows them apart. `smile_arc`: how far the corners lie above the middle of the lips, u;
    `smile_drop`, `smile_inset`: how far those of a smile with teeth come down and in at rest, u. `middle`: X
    of the lips' middle, not 0 when the face looks aside. `chin`, `nose`: Y of the chin and of the nose's base,
    pixels. `hair`: RGB of a moustache, float32 (3,), or empty."""

    upper_outer: Array
    upper_inner: Array
    lower_inner: Array
    lower_outer: Array
    meeting: Array
    even: Array
    is_open: bool
    smile_drop: float
    smile_inset: float
    smile_arc: float
    middle: float
    chin: float
    nose: float
    hair: Array

    @property
    def level(self) -> float:
        """Y of the middle of the closed lips."""
        return float(np.interp(self.middle, positions(), self.meeting))

    def aside(self) -> Array:
        """How far each sample lies from the middle of the lips (0) towards its corner (1, also beyond it)."""
        return np.minimum(np.abs(straightened(positions(), self.middle)), np.float32(1))

    @cached_property
    def closed(self) -> tuple[Array, Array]:
        """Heights of the upper and the lower lip when they are level; float32 (SAMPLES,) each, pixels. Those of an open
        mouth end steeply, which is high along Y: they would be blunt if they were only laid flat."""
        aside = self.aside()
        heights = []
        for height in (self.upper_inner - self.upper_outer, self.lower_outer - self.lower_inner):
            most = float(height[aside < 0.5].mean()) * (TAPER[0] * (1 - aside**2) + TAPER[1])
            heights.append(np.minimum(height, most).astype(np.float32))
        return heights[0], heights[1]


def straightened(x: Array, middle: float) -> Array:
    """X as it would be if the face looked ahead: `middle` becomes 0, the corners stay."""
    offset = x - np.float32(middle)
    return np.asarray(np.where(offset < 0, offset / (1 + middle), offset / (1 - middle)), np.float32)


def mouth_frame(landmarks: Array, unit: float) -> MouthFrame:
    """From the corners of the mouth; `landmarks`: float32 (478, 3)."""
    left, right = landmarks[anatomy.MOUTH_CORNERS[0], :2], landmarks[anatomy.MOUTH_CORNERS[1], :2]
    half = float(np.linalg.norm(right - left) / 2)
    across = ((right - left) / (2 * half)).astype(np.float32)
    down = np.array([-across[1], across[0]], np.float32)
    return MouthFrame(((left + right) / 2).astype(np.float32), across, down, half, unit)


def photo_lips(landmarks: Array, frame: MouthFrame, canvas: NDArray[np.uint8]) -> PhotoLips:
    """Measure the lips in the photo. A closed mouth's line is snapped to the darkest path near it."""
    upper_outer, upper_inner, lower_inner, lower_outer = (
        _curve(landmarks, frame, points)
        for points in (
            mesh.LIPS_OUTER_UPPER,
            mesh.LIPS_INNER_UPPER,
            mesh.LIPS_INNER_LOWER,
            mesh.LIPS_OUTER_LOWER,
        )
    )
    unit, x = frame.unit, np.abs(positions())
    nose, chin = (float(frame.local(landmarks[[n], :2])[1][0]) for n in (anatomy.NOSE_BASE, mesh.CHIN))
    between = np.float32(0.5) * (upper_inner + lower_inner)
    cheeks = landmarks[[p for side in anatomy.CHEEKS for p in side], :2]
    seen = _seen(frame, canvas, between, lower_outer, nose, cheeks)
    hair = moustache.hair_colour(seen)
    # Under hair the mesh sees lips apart that are not, unless teeth are seen between them.
    hidden = hair.size > 0 and not _teeth(frame, canvas, upper_inner, lower_inner, seen)
    least = HIDDEN_GAP if hidden else OPEN_GAP
    if float((lower_inner - upper_inner)[x < 0.8].mean()) <= least * unit:
        # Strands are darker than the line under them, which the mesh guesses well.
        upper_inner = between if hair.size else _dark_seam(frame, canvas, between, seen.texture)
        lower_inner = upper_inner.copy()
    elif hair.size:
        upper_inner = _under_hair(frame, canvas, upper_outer, upper_inner, lower_inner)
    upper_inner = np.maximum(upper_inner, upper_outer + np.float32(0.3))
    lower_inner = np.minimum(np.maximum(lower_inner, upper_inner), np.maximum(lower_outer - 0.3, upper_inner))
    gap = np.where(x < 1, lower_inner - upper_inner, 0).astype(np.float32)
    is_open = float(gap.max()) > least * unit
    meeting = upper_inner + np.float32(MEETING) * gap
    middle_points = landmarks[[mesh.LIP_UPPER_INNER_MIDDLE, mesh.LIP_LOWER_INNER_MIDDLE], :2]
    middle = float(np.clip(frame.local(middle_points)[0].mean(), -FURTHEST_MIDDLE, FURTHEST_MIDDLE))
    arc = max(0.0, float(np.interp(middle, positions(), meeting)) / unit - (0.0 if is_open else 0.015))
    excess = max(0.0, 2 * frame.half_width / unit - NEUTRAL_WIDTH) if is_open else 0.0
    return PhotoLips(
        upper_outer=upper_outer,
        upper_inner=upper_inner,
        lower_inner=lower_inner,
        lower_outer=np.maximum(lower_outer, lower_inner),
        meeting=meeting,
        even=_even(meeting, middle),
        is_open=is_open,
        smile_drop=(1 - KEPT_SMILE) * arc if is_open else 0.0,
        smile_inset=0.35 * excess,
        smile_arc=arc,
        middle=middle,
        chin=chin,
        nose=nose,
        hair=hair,
    )


def _curve(landmarks: Array, frame: MouthFrame, points: tuple[int, ...]) -> Array:
    x, y = frame.local(landmarks[list(points), :2])
    order = np.argsort(x)
    x, y = x[order], y[order]
    keep = np.r_[True, np.diff(x) > 1e-3]
    x, y = x[keep], y[keep]
    inner = (x > -0.999) & (x < 0.999)
    return monotone_cubic(np.r_[-1, x[inner], 1], np.r_[0, y[inner], 0], positions())


def _even(meeting: Array, middle: float) -> Array:
    """The parabola nearest to the line between the lips, through the line's middle; beyond the corners the line."""
    x = positions()
    within = np.abs(x) < 1
    parabola = np.polynomial.Polynomial.fit(x[within], meeting[within], 2)
    lowered = np.interp(middle, x, meeting) - parabola(middle)
    return np.where(within, parabola(x) + lowered, meeting).astype(np.float32)


def _teeth(frame: MouthFrame, canvas: NDArray[np.uint8], upper: Array, lower: Array, seen: moustache.Region) -> bool:
    """Whether what is between the lips is lighter than the lower lip."""
    x = np.linspace(-0.5, 0.5, 41, dtype=np.float32)
    top, bottom = (np.interp(x, positions(), curve).astype(np.float32) for curve in (upper, lower))
    y = top + np.linspace(0.3, 0.8, 5, dtype=np.float32)[:, None] * (bottom - top)
    between = remap(canvas, frame.canvas(np.broadcast_to(x, y.shape), y))
    return float(np.median(between.mean(-1))) > TOOTH * float(np.median(seen.lip.mean(-1)))


def _under_hair(frame: MouthFrame, canvas: NDArray[np.uint8], outer: Array, inner: Array, lower: Array) -> Array:
    """The upper edge of a smile under a moustache, whose hair the mesh takes for lip and the teeth's upper part for lip
    as well: each column's teeth begin where it becomes as dark as half of the way to the hair; float32 (SAMPLES,)."""
    x = np.linspace(-0.8, 0.8, 65, dtype=np.float32)
    top, edge, bottom = (np.interp(x, positions(), curve).astype(np.float32) for curve in (outer, inner, lower))
    teeth = remap(canvas, frame.canvas(x, 0.5 * (edge + bottom))[None]).mean(-1)
    share = np.linspace(0, 1, 41, dtype=np.float32)[:, None]
    y = edge + share * (top - 0.03 * frame.unit - edge)
    light = remap(canvas, frame.canvas(np.broadcast_to(x, y.shape), y)).mean(-1)
    dark = light < 0.5 * (np.median(teeth) + light.min(0))
    first = np.where(dark.any(0), dark.argmax(0), 0)
    found = gaussian_smooth(np.take_along_axis(y, first[None], 0)[0], 3.5)
    raised = np.interp(positions(), x, found - edge, left=0.0, right=0.0).astype(np.float32)
    return np.asarray(inner + np.minimum(raised, 0) * (1 - smoothstep(0.65, 0.8, np.abs(positions()))), np.float32)


def _dark_seam(frame: MouthFrame, canvas: NDArray[np.uint8], guess: Array, texture: float) -> Array:
    """The line between closed lips: the darkest smooth path near `guess`, by dynamic programming.

    `texture`: of the skin over it; where it is rough, what is dark need not be the line."""
    columns, rows, reach, furthest_step = 121, 41, 0.075 * frame.unit, 2
    x = np.linspace(-0.96, 0.96, columns, dtype=np.float32)
    middle = np.interp(x, positions(), guess).astype(np.float32)
    offsets = np.linspace(-reach, reach, rows, dtype=np.float32)
    places = frame.canvas(np.broadcast_to(x, (rows, columns)), middle + offsets[:, None])
    grey = cv2.GaussianBlur(cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY), (0, 0), max(0.3, 0.008 * frame.unit))
    light = remap(grey.astype(np.float32), places)
    light = (light - light.mean(0)) / (light.std() + 1e-3)
    cost = light + (0.6 + 30 * max(0.0, texture - 0.04)) * (offsets[:, None] / reach) ** 2
    came_from = np.zeros((rows, columns), np.int64)
    here = np.arange(rows)
    steps = np.arange(-furthest_step, furthest_step + 1)
    before = here[:, None] + steps
    allowed = (before >= 0) & (before < rows)
    for column in range(1, columns):
        previous = cost[np.clip(before, 0, rows - 1), column - 1] + 0.06 * np.abs(steps)
        previous = np.where(allowed, previous, np.inf)
        best = previous.argmin(1)
        came_from[:, column] = before[here, best]
        cost[:, column] += previous[here, best]
    path = np.empty(columns, np.int64)
    path[-1] = int(cost[:, -1].argmin())
    for column in range(columns - 1, 0, -1):
        path[column - 1] = came_from[path[column], column]
    line = gaussian_smooth(middle + offsets[path], 2.0)
    curve = np.interp(positions(), x, line).astype(np.float32)
    between_corners = 1 - smoothstep(0.9, 1.0, np.abs(positions()))
    ends = np.interp(positions(), [-1, 1], [line[0], line[-1]])
    return np.asarray(curve * between_corners + ends * (1 - between_corners), np.float32)


def _seen(
    frame: MouthFrame, canvas: NDArray[np.uint8], between: Array, lower_outer: Array, nose: float, cheeks: Array
) -> moustache.Region:
    """What may be a moustache, and the lip and the skin that it is told from. `cheeks`: canvas points, (n, 2)."""
    x = np.linspace(-0.55, 0.55, 81, dtype=np.float32)
    line, lower = (np.interp(x, positions(), curve).astype(np.float32) for curve in (between, lower_outer))

    def places(first: Array, last: Array, count: int) -> Array:
        y = first + np.linspace(0, 1, count, dtype=np.float32)[:, None] * (last - first)
        return frame.canvas(np.broadcast_to(x, y.shape), y)

    over = places(0.45 * nose + 0.55 * line, line - np.float32(0.05 * frame.unit), 15)
    return moustache.look(canvas, (over, places(0.4 * line + 0.6 * lower, lower, 7), cheeks[None]))


@dataclass(frozen=True, slots=True)
class MouthShape:
    """A frame's controls of the mouth; see `controls.CONTROLS` for their units."""

    open: float = 0.0
    jaw: float = 0.0
    up: float = 0.0
    round: float = 0.0
    press: float = 0.0
    tuck: float = 0.0
    wide: float = 0.0
    tongue: float = 0.0
    smile: float = 0.0


@dataclass(frozen=True)
class LipMotion:
    """What the controls do to the lips, in pixels. `curves`: float32 (4, SAMPLES), displacement along Y of
    the outer and inner upper, inner and outer lower edge. `corner`: shift of each corner outwards. `jaw`,
    `cheek`: their drop. `upper_edge`, `lower_edge`: the opening's edges, Y. `narrow`: half width of the
    opening, X. `released`: how much of the photo's smile is let go, 0..1; `smiling`, `rounded`: 0..1."""

    curves: Array
    corner: float
    jaw: float
    cheek: float
    upper_edge: Array
    lower_edge: Array
    narrow: float
    released: float
    smiling: float
    rounded: float


def move(lips: PhotoLips, unit: float, shape: MouthShape) -> LipMotion:
    """The lip curves of one frame. Rest (all zero) closes the lips, also when the photo shows teeth."""
    x, within = lips.aside(), np.abs(positions()) < 1
    opening, rounded = max(shape.open, 0.0), min(max(shape.round, 0.0), 1.0)
    tucked = min(max(shape.tuck, 0.0), 1.0)
    parted = float(smoothstep(0.0, 0.08, opening))
    happy, sad = min(max(shape.smile, 0.0), 1.0), min(max(-shape.smile, 0.0), 1.0)
    # A smile's upturned corners would make a laughing crescent of every vowel: they let go with the opening.
    # Lips that are made round have no smile in them, however little they part.
    release = max(float(smoothstep(0.0, 0.22, opening)), 0.9 * parted * rounded) * (1 - 0.6 * happy)
    drop = lips.smile_drop * (1 - happy) + release * (0.95 * lips.smile_arc - lips.smile_drop * (1 - happy))
    # What the opening lets go of a smile, sadness need not take: its lower lip would lie under an arch like a tongue.
    drop += sad * (0.07 * (1 - 0.3 * release) + 0.6 * (1 - release) * (lips.smile_arc - lips.smile_drop))
    drop -= happy * max(0.02, 0.085 - 0.5 * lips.smile_arc)
    # Closed lips cannot follow the arc of a laugh.
    drop += 0.35 * lips.smile_arc * happy * (1 - parted) * float(lips.is_open)
    # A tucked lip meets the canines' lip already, so that only the incisors are seen over it.
    narrow = 0.985 - 0.48 * rounded - 0.26 * tucked - (0.02 * release if lips.is_open else 0.0)
    # Wide lips would spread their opening flat along a line: they part more fully than narrow ones.
    fullness = (0.56 if lips.is_open else 0.64) + (0.10 if lips.is_open else -0.04) * rounded
    profile = np.clip(1 - (x / narrow) ** (2.3 - 0.3 * rounded), 0, 1) ** fullness
    profile = gaussian_smooth(profile, 1.2) * within
    # A lower lip that is drawn down is an even rim; its waves are those of lips that press on each other.
    evened = parted * (lips.even - lips.meeting) * np.sqrt(profile)
    # An upper lip that is drawn up is more even too: under its waves the teeth would seem to be of all lengths.
    drawn_up = np.float32(DRAWN_UP) * evened
    # Where they are drawn together they part further: as a ring, and not as a slit that is only shorter.
    gap = np.maximum(opening * (1 + 0.3 * rounded) * unit * profile + evened - drawn_up, 0)

    # What the jaw takes down is an arch over the opening: a parabola would flatten the opening's floor.
    hanging = (0.2 if lips.is_open else 0.28) * (1 - 0.35 * happy)
    lowered = hanging * max(0.0, shape.jaw) + opening * (0.05 + 0.06 * rounded)
    corners = unit * (drop * x ** (1.7 + 0.3 * happy) + lowered * (1 - profile))
    raised = np.clip(1 - (x / (1 - 0.2 * rounded)) ** 2.2, 0, 1)
    rise = shape.up + 0.025 * happy * parted + 0.012 * sad * (1 - parted) + rounded * -0.034 * parted
    # The opening is round at both of its ends: its upper edge arches over them too, most as a ring.
    arched = gap * np.float32((0.04 + 0.04 * lips.is_open) * (1 - rounded) + 0.29 * rounded)
    upper_edge = lips.meeting - rise * unit * raised - arched + drawn_up
    lower_edge = upper_edge + gap

    stretch = 2.4 * lips.smile_inset / NEUTRAL_WIDTH * (1 - happy)
    thin = 0.4 * max(0.0, opening - 0.1) + 0.12 * happy
    pressed = 0.42 * shape.press
    level = 1 - min(1.0, opening * unit / max(float((lips.lower_inner - lips.upper_inner).max()), 1.0)) ** 2
    upper, lower = lips.upper_inner - lips.upper_outer, lips.lower_outer - lips.lower_inner
    if lips.is_open and level > 0:
        upper, lower = (
            height + level * (flat - height) for height, flat in zip((upper, lower), lips.closed, strict=True)
        )
    upper = upper * (1 + stretch + 0.34 * rounded - pressed - thin)
    # Where the tucked lip is rolled in it is thinnest; its ends stay as they are.
    rolled = 0.70 * tucked * (1 - 0.5 * x**2)
    lower = lower * (
        np.maximum(1 + stretch * (1 - 0.8 * rounded) + 0.16 * rounded + 0.10 * sad - pressed - rolled - thin, 0.2)
    )
    bulge = 1 - x**2
    upper_outer = upper_edge - drawn_up - np.maximum(upper, 0) + 0.014 * shape.press * unit * bulge
    lower_outer = lower_edge - evened + lower - (0.012 * shape.tuck + 0.008 * shape.press) * unit * bulge
    curves = np.stack(
        [
            np.minimum(upper_outer, upper_edge) + corners - lips.upper_outer,
            upper_edge + corners - lips.upper_inner,
            lower_edge + corners - lips.lower_inner,
            np.maximum(lower_outer, lower_edge) + corners - lips.lower_outer,
        ]
    ).astype(np.float32)
    inset = lips.smile_inset * (1 + 0.4 * release) * (1 - happy)
    corner = shape.wide - inset + 0.055 * happy * (1 - float(smoothstep(0.0, 0.1, lips.smile_inset))) - 0.02 * sad
    corner -= 0.145 * rounded + 0.14 * max(0.0, shape.jaw - 0.05)
    released = (1 - happy) * (0.85 + 0.15 * release) if lips.is_open else release * float(lips.smile_arc > 0)
    return LipMotion(
        curves=curves,
        corner=corner * unit,
        jaw=(shape.jaw - 0.022 * sad * (1 - parted) - 0.006 * shape.press) * unit,
        cheek=0.4 * released * lips.smile_arc * unit,
        upper_edge=(upper_edge + corners).astype(np.float32),
        lower_edge=(lower_edge + corners).astype(np.float32),
        narrow=narrow,
        released=released,
        smiling=happy,
        rounded=rounded,
    )
