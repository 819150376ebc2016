"""What lies behind the person, and the person's own colours without it.

Behind the outline the photo is mirrored at it, or along its lines where it has some (`lines`), which keeps grain and
texture, and deeper in blurred colours take over (push-pull: Gortler et al. 1996); only a narrow rim is ever uncovered.
The person's colours at soft edges are estimated by fusing blurred neighbours (Forte 2021), so that another background
shows no rim of the old one.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet import lines
from avatarctl.engines.puppet.framing import TEXTURE_SCALE
from avatarctl.engines.puppet.pushpull import push_pull
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.smooth import Array, smoothstep

Picture = NDArray[np.uint8]
Mask = NDArray[np.uint8]
PLAIN = 150.0
"""Variance of a background's light that is still plain, levels squared."""
CONTRAST = 40.0
"""Difference of two colours, levels, from which on their shares in a mixture can be told."""
BEYOND_HALO = 80.0, 140.0
"""Levels from any mixture at which a pixel at the outline begins to be the background's own, and surely is."""
HALO = 0.02
"""Share of the person in a pixel from which on it belongs to the outline."""
SURELY = 0.4
"""Share of the person from which on nothing of a background can be told."""
AT_OUTLINE = 0.02
"""u from there within which a sharpened photo has a line of the person's edge that is no background."""
CORD, STANDS_OUT = 0.08, (30.0, 60.0)
"""Width of what is thin, u, and levels from which on it begins to stand out, and surely does."""
STRAY, GRAIN = 14, 4.0
"""Levels by which a stray hair stands out from the background at least, and how many times its grain's median."""
FAINT = 16
"""Alpha, of 255, that holds nothing together."""
ESTIMATE_SIDE = 720
"""Longer side of the pictures in which blurred colours are estimated, pixels."""
BAND = 256
"""Rows of a texture that are worked on at a time, to keep memory flat."""


def plate(
    canvas: Picture, colours: Picture, alpha: Mask, inside: tuple[int, int, int, int], unit: float
) -> tuple[Picture, Array]:
    """The background alone, RGB uint8 (height, width, 3): the photo wherever no person is near. And how plain it
    is, float32 (height, width), 0..1; 0 beyond the photo.

    Args:
        canvas: RGB uint8 (height, width, 3).
        colours: the person's own, RGB uint8 (height, width, 3).
        alpha: of the person, uint8 (height, width).
        inside: x0, y0, x1, y1 of the part of the canvas that shows the photo.
        unit: u, pixels.
    """
    x0, y0, x1, y1 = inside
    here = np.s_[y0:y1, x0:x1]
    picture, share = canvas[here], alpha[here].astype(np.float32) * np.float32(1 / 255)
    reach = max(2, round(0.05 * unit))
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    hole = np.asarray(cv2.dilate((share > 0).astype(np.uint8), ellipse), np.uint8)
    if hole.all():
        return canvas.copy(), np.zeros(alpha.shape, np.float32)
    hairs = _stray_hairs(picture, hole, unit)
    hole |= hairs
    known = (1 - hole).astype(np.float32)
    filled = _filled(picture, hole, known, unit)
    # Beside the outline the photo may hold strands that the matte lost: they would stay behind as ghosts. On a
    # plain background they are painted over; a busy one is better kept.
    plain = np.exp(-_busyness(picture, known, 0.15 * unit) / PLAIN)
    seen = (picture - share[..., None] * colours[here]) / np.maximum(1 - share, 0.05)[..., None]
    # So is what no mixture of person and background explains; right at the outline, where a sharpened photo has a halo,
    # only what is stronger than one.
    seen = np.clip(seen, 0, 255)
    change, step = seen - filled, colours[here] - filled
    mixture = np.clip((change * step).sum(-1) / ((step**2).sum(-1) + 1), 0, 1)[..., None] * step
    away = cv2.distanceTransform((share < HALO).astype(np.uint8), cv2.DIST_L2, 3)
    unlike = np.linalg.norm(change - mixture, axis=-1)
    own = smoothstep(14, 40, unlike) * smoothstep(0.03 * unit, 0.06 * unit, away)
    own = np.maximum(own, smoothstep(*BEYOND_HALO, unlike))
    plain *= 1 - own
    plain[hairs > 0] = 1
    # A busy one is known nearly up to the outline; it is mirrored there, too, and not further off.
    person = (share > SURELY).astype(np.uint8)
    still = (cv2.distanceTransform(1 - person, cv2.DIST_L2, 3) < AT_OUTLINE * unit).astype(np.uint8)
    beside = np.where((still > 0)[..., None], filled, np.where((hole > 0)[..., None], seen, picture))
    whole = np.clip(beside + np.float32(0.5), 0, 255).astype(np.uint8)
    known = (1 - still).astype(np.float32)
    nearer, calm = (_filled(one, still, known, unit) for one in (whole, _without_cords(whole, unit)))
    # What is seen at rest, too, ends as it does in the photo.
    nearer += (calm - nearer) * smoothstep(0.5, 0.95, share)[..., None]
    line, sure = lines.continued(whole, still, unit)
    nearer += (line - nearer) * sure[..., None]
    nearer += (seen - nearer) * (1 - still)[..., None]
    found = np.clip(nearer + (filled - nearer) * plain[..., None] + np.float32(0.5), 0, 255).astype(np.uint8)
    plainness = np.zeros(alpha.shape, np.float32)
    plainness[here] = plain
    return _continued(np.where(hole[..., None] > 0, found, picture), canvas.shape[:2], inside), plainness


def refined_alpha(texture: Picture, colours: Picture, alpha: Mask, behind: Picture, plain: Array, unit: float) -> Mask:
    """Alpha that mixes person and backdrop to what the photo shows, where the backdrop is plain enough to be known.

    Args:
        texture, colours: the photo and the person's own colours, RGB uint8 (h, w, 3).
        alpha: as far as it is known, uint8 (h, w).
        behind: RGB uint8, half as high and wide.
        plain: of the backdrop, 0..1, float32, half as high and wide.
        unit: u in texture pixels.
    """
    reach = max(2, round(0.04 * unit))
    near = cv2.dilate(alpha, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    result = alpha.copy()
    for start in range(0, len(alpha), BAND):
        stop = min(len(alpha), start + BAND)
        here = alpha[start:stop]
        open_ = near[start:stop] & (here < 255)
        if not open_.any():
            continue
        under = _rows(behind, start, stop, texture.shape)
        step = colours[start:stop] - under
        contrast = (step**2).sum(-1)
        mixed = ((texture[start:stop] - under) * step).sum(-1) / (contrast + 1)
        mixed = np.clip((mixed - 0.08) / 0.86, 0, 1)
        sure = _rows(plain, start, stop, texture.shape) * contrast / (contrast + CONTRAST**2)
        share = here * np.float32(1 / 255)
        found = share + (mixed - share) * sure * open_
        result[start:stop] = np.clip(found * 255 + np.float32(0.5), 0, 255)
    return np.asarray(result, np.uint8)


def without_specks(alpha: Mask) -> Mask:
    """Alpha of the largest thing alone, uint8 (h, w); specks around it are none of the person."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((alpha > FAINT).astype(np.uint8), connectivity=8)
    if len(stats) < 2:
        return alpha
    person = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    near = cv2.dilate(person.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(near, alpha, np.uint8(0))


def _filled(picture: Picture, hole: Mask, known: Array, unit: float) -> Array:
    """Colours behind the person, float32 (h, w, 3)."""
    base = push_pull(picture.astype(np.float32), known)
    distance = cv2.distanceTransform(hole, cv2.DIST_L2, 5)
    smooth = cv2.GaussianBlur(distance, (0, 0), max(1.0, 0.15 * unit))
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)]
    slope = np.stack(slopes, -1).astype(np.float32)
    slope /= np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-3)
    place = np.stack(np.meshgrid(np.arange(hole.shape[1]), np.arange(hole.shape[0])), -1).astype(np.float32)
    place -= slope * (2 * distance[..., None])
    seen = remap(np.asarray(cv2.GaussianBlur(known, (0, 0), 1.5), np.float32), place, cv2.BORDER_CONSTANT)
    weight = smoothstep(0.5, 1.0, seen) * (1 - smoothstep(0.3 * unit, 0.7 * unit, distance))
    soft = np.asarray(cv2.GaussianBlur(weight, (0, 0), max(1.0, 0.02 * unit)), np.float32)[..., None]
    return np.asarray(base + (remap(picture, place).astype(np.float32) - base) * soft, np.float32)


def _without_cords(whole: Picture, unit: float) -> Picture:
    """The picture, RGB uint8, without what is thin in it: a cord that is mirrored is another cord."""
    broad = np.asarray(cv2.medianBlur(whole, 2 * max(1, round(CORD * unit)) + 1), np.uint8)
    thin = smoothstep(*STANDS_OUT, np.linalg.norm(whole.astype(np.float32) - broad, axis=-1))
    thin = np.asarray(cv2.dilate(thin, np.ones((3, 3), np.uint8)), np.float32)[..., None]
    calm = whole + (broad - whole.astype(np.float32)) * thin
    return np.asarray(np.clip(calm + np.float32(0.5), 0, 255), np.uint8)


def _stray_hairs(picture: Picture, hole: Mask, unit: float) -> Mask:
    """Short thin marks on a plain background close to the person, uint8 (h, w), 0 or 1: hairs that the matte lost.

    They would stand still while the head moves. What is longer, or reaches further away, is no hair.
    """
    distance = cv2.distanceTransform(1 - hole, cv2.DIST_L2, 3)
    around = (distance > 0) & (distance < 0.5 * unit)
    if not around.any():
        return np.zeros_like(hole)
    level = np.asarray(cv2.medianBlur(picture, min(2 * max(1, round(0.06 * unit)) + 1, 31)), np.uint8)
    apart = np.abs(cv2.GaussianBlur(picture, (0, 0), 0.7).astype(np.int16) - level).max(-1)
    least = max(STRAY, GRAIN * float(np.median(apart[around])))
    thin = ((apart > least) & (distance > 0)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(thin, connectivity=8)
    busy = _busyness(level, (1 - hole).astype(np.float32), 0.1 * unit)
    other = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1) >= 0.45 * unit
    other[labels[(thin > 0) & (~around | (busy >= PLAIN))]] = True
    other[0] = True
    hairs = (~other[labels]).astype(np.uint8)
    return np.asarray(cv2.dilate(hairs, np.ones((3, 3), np.uint8)), np.uint8)


def _busyness(picture: Picture, known: Array, reach: float) -> Array:
    """Variance of the known background around each pixel, levels squared; float32 (h, w)."""
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)

    def mean(values: Array) -> Array:
        return np.asarray(cv2.GaussianBlur(values * known, (0, 0), reach), np.float32)

    total = np.maximum(mean(np.ones_like(known)), 1e-4)
    return np.asarray(np.maximum(mean(light**2) / total - (mean(light) / total) ** 2, 0), np.float32)


def _continued(picture: Picture, shape: tuple[int, ...], inside: tuple[int, int, int, int]) -> Picture:
    """The picture mirrored over its borders, and the blurrier the further from them."""
    x0, y0, x1, y1 = inside
    height, width = shape[:2]
    margins = y0, height - y1, x0, width - x1
    if not any(margins):
        return np.ascontiguousarray(picture)
    whole = cv2.copyMakeBorder(picture, *margins, cv2.BORDER_REFLECT)
    outside = np.ones((height, width), np.uint8)
    outside[y0:y1, x0:x1] = 0
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 3)
    side = min(height, width)
    small = cv2.resize(whole, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    for strength, begin, end in ((0.003, 0.0, 0.12), (0.008, 0.08, 0.4)):
        blurred = cv2.GaussianBlur(small, (0, 0), strength * side)
        blurred = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC)
        weight = np.ascontiguousarray(smoothstep(begin * side, end * side, distance))
        whole = cv2.blendLinear(blurred, whole, weight, 1 - weight)
    whole[y0:y1, x0:x1] = picture
    return np.asarray(whole, np.uint8)


def person_colours(texture: Picture, alpha: Mask, unit: float) -> Picture:
    """The person's own colours, RGB uint8 like `texture`; beyond the outline they are continued.

    `texture`: RGB uint8 (h, w, 3); `alpha`: uint8 (h, w); `unit`: u in texture pixels.
    """
    height, width = alpha.shape
    scale = min(1.0, ESTIMATE_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = cv2.resize(texture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    over = under = picture
    for radius in (0.45 * unit * scale, 0.035 * unit * scale):
        blurred_over, blurred_under = _fused(over, share, radius), _fused(under, 1 - share, radius)
        error = picture - share[..., None] * blurred_over - (1 - share[..., None]) * blurred_under
        over = np.clip(blurred_over + share[..., None] * error, 0, 255)
        under = np.clip(blurred_under + (1 - share[..., None]) * error, 0, 255)
    near_over, near_under = (np.asarray(np.clip(x + 0.5, 0, 255), np.uint8) for x in (blurred_over, blurred_under))
    result = texture.copy()
    for start in range(0, height, BAND):
        stop = min(height, start + BAND)
        part = alpha[start:stop]
        if part.min() == 255:
            continue
        above, below = (_rows(x, start, stop, texture.shape) for x in (near_over, near_under))
        here = part[..., None].astype(np.float32) * np.float32(1 / 255)
        error = texture[start:stop] - here * above - (1 - here) * below
        mixed = np.clip(above + here * error + np.float32(0.5), 0, 255).astype(np.uint8)
        result[start:stop] = np.where(part[..., None] == 255, texture[start:stop], mixed)
    return result


def _fused(colour: Array, weight: Array, radius: float) -> Array:
    side = 2 * max(1, round(radius)) + 1
    total = cv2.blur(weight, (side, side), borderType=cv2.BORDER_REFLECT)[..., None]
    mean = cv2.blur(colour * weight[..., None], (side, side), borderType=cv2.BORDER_REFLECT)
    sure = np.clip(total / 0.01, 0, 1)
    return np.asarray(mean / (total + 1e-5) * sure + colour * (1 - sure), np.float32)


def _rows(small: Picture | Array, start: int, stop: int, shape: tuple[int, ...]) -> Array:
    """Rows of a small picture that was enlarged to `shape`; float32."""
    height, width = shape[:2]
    down, across = small.shape[0] / height, small.shape[1] / width
    place = np.array([[across, 0, 0.5 * across - 0.5], [0, down, (start + 0.5) * down - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(small, place, (width, stop - start), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


def continue_person(colours: Picture, alpha: Mask, inside: tuple[int, int, int, int], unit: float) -> None:
    """Let shoulders that the photo's sides cut off fall away beyond them; in place.

    Args:
        colours: RGB uint8 (h, w, 3), a texture.
        alpha: uint8 (h, w), 0 beyond the photo.
        inside: x0, y0, x1, y1 of the photo in the texture.
        unit: u in texture pixels.
    """
    x0, _, x1, y1 = inside
    height, width = alpha.shape
    if y1 < height:
        alpha[y1:] = alpha[y1 - 1]
        colours[y1:] = colours[y1 - 1]
    for edge, outward, room in ((x0, -1, x0), (x1 - 1, 1, width - x1)):
        column = alpha[:, edge] > 127
        if room <= 0 or not column.any():
            continue
        top = int(np.flatnonzero(column)[0])
        back = max(1, round(0.12 * unit))
        before = alpha[:, edge - outward * back] > 127
        rise = top - int(np.flatnonzero(before)[0]) if before.any() else 0
        slope = float(np.clip(rise / back, 0.35, 3.0))
        away = np.arange(1, room + 1, dtype=np.float32)
        line = top + slope * away + away**2 / np.float32(0.9 * unit)
        down = np.arange(height, dtype=np.float32)[:, None]
        falling = np.clip((down - line) / 2 + np.float32(0.5), 0, 1)
        mirror = np.clip(edge - outward * (away.astype(int) - 1), x0, x1 - 1)
        to = edge + outward * away.astype(int)
        solid = np.maximum(alpha[:, mirror], np.where(down > line, 255, 0).astype(np.uint8))
        colours[:, to] = colours[:, mirror]
        alpha[:, to] = (falling * solid).astype(np.uint8)


def canvas_alpha(alpha: Mask, width: int, height: int) -> Mask:
    """A texture's alpha at the canvas's size; 0 only where all of it is."""
    small = np.asarray(cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    some = alpha.reshape(height, TEXTURE_SCALE, width, TEXTURE_SCALE).max((1, 3))
    return np.where((small == 0) & (some > 0), np.uint8(1), small)


def cover(picture: Picture, width: int, height: int) -> Picture:
    """The middle of a picture, as large as covers width x height; RGB uint8."""
    rows, columns = picture.shape[:2]
    factor = max(width / columns, height / rows)
    across, down = min(columns, width / factor), min(rows, height / factor)
    left, top = round((columns - across) / 2), round((rows - down) / 2)
    part = picture[top : top + max(1, round(down)), left : left + max(1, round(across))]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width, height), interpolation=method), np.uint8)
