"""Faces of another shape: warped by thin-plate splines, turned in space, and mixed of two people."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from tests.quality.paint import Floats, Image, mix, region, to_bytes, unit

CONTROL_POINTS = tuple(range(0, 468, 3))


def warp(photo: Image, before: Floats, after: Floats) -> Image:
    """Move points of a photo; a thin-plate spline (Bookstein 1989) between them, the border stays."""
    height, width = photo.shape[:2]
    rim = [(x, y) for x in (0, width / 2, width) for y in (0, height / 2, height) if (x, y) != (width / 2, height / 2)]
    source = np.concatenate([before[:, :2], rim]).astype(np.float64)
    target = np.concatenate([after[:, :2], rim]).astype(np.float64)
    scale = max(height, width)
    centres, values = target / scale, (source - target) / scale
    n = len(centres)
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = _kernel(centres, centres) + 1e-5 * np.eye(n)
    system[:n, n:] = np.c_[np.ones(n), centres]
    system[n:, :n] = system[:n, n:].T
    weights = np.linalg.solve(system, np.r_[values, np.zeros((3, 2))])
    rows, columns = height // 4 + 2, width // 4 + 2
    y, x = np.mgrid[:rows, :columns]
    nodes = np.stack([x.ravel() * 4, y.ravel() * 4], axis=1) / scale
    shift = _kernel(nodes, centres) @ weights[:n] + np.c_[np.ones(len(nodes)), nodes] @ weights[n:]
    grid = (shift * scale).reshape(rows, columns, 2).astype(np.float32)
    py, px = np.mgrid[:height, :width].astype(np.float32)
    moved = cv2.remap(grid, px / 4, py / 4, cv2.INTER_LINEAR)
    where = np.stack([px, py], axis=-1) + moved
    return cv2.remap(photo, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _kernel(points: Floats, centres: Floats) -> NDArray[np.float64]:
    squares = ((points[:, None] - centres[None]) ** 2).sum(-1)
    return 0.5 * squares * np.log(squares + 1e-12)


def reshaped(photo: Image, points: Floats, after: Floats) -> Image:
    chosen = list(CONTROL_POINTS)
    return warp(photo, points[chosen, :2], after[chosen, :2])


def child(photo: Image, points: Floats, much: float = 1.0) -> Image:
    """Larger eyes, a shorter and narrower lower face, a smaller nose and mouth. `much` above 2: a cartoon."""
    u = unit(points)
    after = points[:468, :2].astype(np.float64)
    eyes = [points[list(c), :2].mean(0) for c in ((33, 133), (263, 362))]
    level = (eyes[0] + eyes[1]) / 2
    below = np.clip((after[:, 1] - level[1]) / u, 0, None)
    after[:, 1] -= 0.17 * much * u * below
    after[:, 0] -= (after[:, 0] - level[0]) * 0.07 * much * below
    for eye in eyes:
        offset = points[:468, :2] - eye
        near = np.exp(-((np.hypot(*offset.T) / (0.42 * u)) ** 2))[:, None]
        after += 0.38 * much * near * offset
    for middle, amount in ((points[4, :2], -0.25 * much), (points[13, :2], -0.15 * much)):
        offset = points[:468, :2] - middle
        near = np.exp(-((np.hypot(*offset.T) / (0.4 * u)) ** 2))[:, None]
        after += amount * near * offset
    return reshaped(photo, points, after)


def old(photo: Image, points: Floats) -> Image:
    """Deep wrinkles, thin lips, heavy cheeks, grey hair."""
    u = unit(points)
    after = points[:468, :2].astype(np.float64)
    mouth = points[[13, 14], :2].mean(0)
    offset = points[:468, :2] - mouth
    near = np.exp(-((offset[:, 0] / (0.5 * u)) ** 2) - (offset[:, 1] / (0.16 * u)) ** 2)[:, None]
    after += near * offset * (0, -0.35)
    for cheek in (points[205, :2], points[425, :2]):
        distance = points[:468, :2] - cheek
        after[:, 1] += 0.05 * u * np.exp(-((np.hypot(*distance.T) / (0.35 * u)) ** 2))
    photo = reshaped(photo, points, after)
    fine = photo.astype(np.float32)
    for sigma, gain in ((0.02, 1.2), (0.05, 0.8)):
        fine += gain * (photo - cv2.GaussianBlur(photo, (0, 0), sigma * u).astype(np.float32))
    face = region(photo, points[list(mesh.FACE_OVAL), :2], 0.08 * u)
    wrinkled = mix(photo, fine, face)
    oval = points[list(mesh.FACE_OVAL), :2]
    head = region(photo, oval.mean(0) - (0, 0.25 * u) + 1.45 * (oval - oval.mean(0)), 0.15 * u) * (1 - face)
    light = cv2.cvtColor(wrinkled, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] * 0.7 + 85
    return mix(wrinkled, np.broadcast_to(light, photo.shape), head * 0.8)


def turned_in_space(photo: Image, points: Floats, yaw: float, pitch: float) -> Image:
    """The head turned about the neck: pixels with the depth of the mesh are thrown and what is behind them filled.

    yaw: face to image right, pitch: face down, degrees.
    """
    u = unit(points)
    height, width = photo.shape[:2]
    scale = 2
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    z, weight = _depth(photo, points)
    z = cv2.resize(z, large.shape[1::-1])
    weight = cv2.resize(weight, large.shape[1::-1])
    y, x = np.mgrid[: large.shape[0], : large.shape[1]].astype(np.float32)
    x, y = (x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5
    pivot = np.array([*points[[234, 454], :2].mean(0), points[[234, 454], 2].mean() + 0.5 * u])
    pivot[1] += 0.4 * u
    a, b = np.radians(yaw) * weight, np.radians(pitch) * weight
    dx, dy, dz = x - pivot[0], y - pivot[1], z - pivot[2]
    x1, z1 = dx * np.cos(a) - dz * np.sin(a), dx * np.sin(a) + dz * np.cos(a)
    y2, z2 = dy * np.cos(b) - z1 * np.sin(b), dy * np.sin(b) + z1 * np.cos(b)
    to_x, to_y = np.rint(x1 + pivot[0]).astype(int), np.rint(y2 + pivot[1]).astype(int)
    inside = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height)
    order = np.argsort(-z2[inside], kind="stable")
    out = np.zeros_like(photo)
    filled = np.zeros((height, width), np.uint8)
    out[to_y[inside][order], to_x[inside][order]] = large[inside][order]
    filled[to_y[inside][order], to_x[inside][order]] = 1
    out = cv2.inpaint(out, 1 - filled, 3, cv2.INPAINT_TELEA)
    return cv2.addWeighted(out, 0.5, cv2.medianBlur(out, 3), 0.5, 0)


def _depth(photo: Image, points: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """z and how much of the head's turn a pixel follows: the mesh within its oval, a ball around it."""
    u = unit(points)
    height, width = photo.shape[:2]
    oval = points[list(mesh.FACE_OVAL)]
    known, depth = points[:468, :2], points[:468, 2]
    rings = [(size, behind) for size, behind in ((1.2, 0.35), (1.45, 0.7), (1.9, 1.0))]
    centre = oval[:, :2].mean(0)
    known = np.concatenate([known] + [centre + size * (oval[:, :2] - centre) for size, _ in rings])
    depth = np.concatenate([depth] + [oval[:, 2] + behind * u for _, behind in rings])
    step = 6
    y, x = np.mgrid[0 : height + step : step, 0 : width + step : step].astype(np.float32)
    squares = (x[..., None] - known[:, 0]) ** 2 + (y[..., None] - known[:, 1]) ** 2
    near = 1 / (squares + (0.06 * u) ** 2) ** 2
    z = ((near * depth).sum(-1) / near.sum(-1)).astype(np.float32)
    radius = np.hypot((x - centre[0]) / np.ptp(oval[:, 0]), (y - centre[1]) / np.ptp(oval[:, 1])) * 2
    neck = np.clip((oval[:, 1].max() + 0.7 * u - y) / (0.7 * u), 0, 1)
    weight = (np.clip((2.1 - radius) / 0.7, 0, 1) * neck).astype(np.float32)
    px, py = np.meshgrid(np.arange(width, dtype=np.float32) / step, np.arange(height, dtype=np.float32) / step)
    return cv2.remap(z, px, py, cv2.INTER_LINEAR), cv2.remap(weight, px, py, cv2.INTER_LINEAR)


def mixed(one: Image, points: Floats, other: Image, others: Floats, bones: float, flesh: float) -> Image:
    """A new person: the photo of `one` with `bones` of the other's shape and `flesh` of the other's skin."""
    chosen = list(CONTROL_POINTS)
    placed = _aligned(others[:468, :2], points[:468, :2])
    after = points[:468, :2] * (1 - bones) + placed * bones
    photo = warp(one, points[chosen, :2], after[chosen])
    if not flesh:
        return photo
    move, _ = cv2.estimateAffinePartial2D(others[:468, :2].astype(np.float32), placed.astype(np.float32))
    theirs = cv2.warpAffine(other, move, one.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    theirs = warp(theirs, placed[chosen], after[chosen])
    u = unit(points)
    oval = after[list(mesh.FACE_OVAL)]
    within = region(photo, oval.mean(0) + 0.9 * (oval - oval.mean(0)), 0.1 * u)
    sure = within[..., 0] > 0.9
    toned = (theirs - theirs[sure].mean(0)) * (photo[sure].std() / theirs[sure].std()) + photo[sure].mean(0)
    return mix(photo, to_bytes(toned).astype(np.float32), within * flesh)


def _aligned(points: Floats, onto: Floats) -> NDArray[np.float64]:
    """Scaled, turned and moved to lie nearest."""
    move, _ = cv2.estimateAffinePartial2D(points.astype(np.float32), onto.astype(np.float32), ransacReprojThreshold=99)
    return points @ move[:, :2].T + move[:, 2]
