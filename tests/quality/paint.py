"""What can be done to a portrait: light, cameras, hair, cloth, brushes, other bones. Deterministic.

Pictures are RGB uint8 (height, width, 3); `points` are a face's landmarks, float32 (478, 3), pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]


def to_bytes(picture: Floats) -> Image:
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def unit(points: Floats) -> float:
    """Distance between the eye centres."""
    eyes = [(points[a, :2] + points[b, :2]) / 2 for a, b in ((33, 133), (263, 362))]
    return float(np.hypot(*(eyes[1] - eyes[0])))


def region(photo: Image, polygon: Floats, soft: float = 0.0) -> NDArray[np.float32]:
    """A polygon as weights, float32 (height, width, 1)."""
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 255)
    weight = mask.astype(np.float32) / 255
    if soft > 0:
        weight = cv2.GaussianBlur(weight, (0, 0), soft)
    return weight[..., None]


def mix(photo: Image, other: Floats, weight: Floats) -> Image:
    return to_bytes(photo * (1 - weight) + other * weight)


# -- frame and light


def turned(photo: Image, degrees: float) -> Image:
    """Clockwise, about the middle, on a canvas that holds all of it."""
    height, width = photo.shape[:2]
    side = int(np.hypot(height, width)) if degrees % 90 else max(height, width)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    return cv2.warpAffine(photo, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)


def rolled(photo: Image, degrees: float, about: float = 0.5) -> Image:
    """Clockwise, within the frame as it is; `about`: the height of the pivot, 0 the top .. 1 the bottom."""
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height * about), -degrees, 1)
    return cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def mirrored(photo: Image) -> Image:
    return np.ascontiguousarray(photo[:, ::-1])


def scaled(photo: Image, factor: float) -> Image:
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(photo, None, fx=factor, fy=factor, interpolation=method)


def bright(photo: Image, factor: float) -> Image:
    return to_bytes(photo.astype(np.float32) * factor)


def side_light(photo: Image, points: Floats, least: float, most: float) -> Image:
    """From `least` at the face's right to `most` at its left; steep at the nose."""
    x = (np.arange(photo.shape[1]) - points[mesh.NOSE_TIP, 0]) / (0.35 * unit(points))
    return to_bytes(photo * (least + (most - least) / (1 + np.exp(-x)))[None, :, None])


def grey(photo: Image) -> Image:
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def sepia(photo: Image) -> Image:
    return to_bytes(grey(photo) * np.array([1.07, 0.88, 0.66]))


def jpeg(photo: Image, percent: int) -> Image:
    content = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, percent])[1]
    return np.ascontiguousarray(cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1])


def noise(photo: Image, sigma: float) -> Image:
    return to_bytes(photo + np.random.default_rng(0).normal(0, sigma, photo.shape))


def motion_blur(photo: Image, pixels: int, *, level: bool = False) -> Image:
    """Falling from left to right, or level."""
    kernel = np.eye(pixels, dtype=np.float32) / pixels
    if level:
        kernel = np.zeros_like(kernel)
        kernel[pixels // 2] = 1 / pixels
    return cv2.filter2D(photo, -1, kernel)


# -- brushes


def painting(photo: Image) -> Image:
    return np.ascontiguousarray(cv2.stylization(photo, sigma_s=40, sigma_r=0.35))


def oil(photo: Image) -> Image:
    flat = cv2.pyrMeanShiftFiltering(photo, 7, 24)
    return np.ascontiguousarray(cv2.edgePreservingFilter(flat, flags=1, sigma_s=20, sigma_r=0.3))


def sketch(photo: Image, points: Floats) -> Image:
    """Soft pencil: the picture divided by its own surroundings (colour dodge)."""
    light = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    around = cv2.GaussianBlur(light, (0, 0), 0.12 * unit(points))
    return cv2.cvtColor(to_bytes(255 * light / np.maximum(around, 1)), cv2.COLOR_GRAY2RGB)


def pencil(photo: Image) -> Image:
    return cv2.cvtColor(cv2.pencilSketch(photo, sigma_s=40, sigma_r=0.07, shade_factor=0.05)[0], cv2.COLOR_GRAY2RGB)


def ink(photo: Image, points: Floats) -> Image:
    """Black lines on white."""
    block = 2 * round(0.12 * unit(points)) + 3
    calm = cv2.bilateralFilter(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 7, 30, 5)
    lines = cv2.adaptiveThreshold(calm, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, block, 5)
    return cv2.cvtColor(lines, cv2.COLOR_GRAY2RGB)


def poster(photo: Image, colours: int) -> Image:
    calm = cv2.bilateralFilter(photo, 9, 40, 7)
    samples = calm.reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(1)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0)
    _, labels, centres = cv2.kmeans(samples, colours, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
    return to_bytes(centres[labels.ravel()].reshape(photo.shape))


# -- skin and hair


def skin(photo: Image, points: Floats) -> NDArray[np.float32]:
    """Weights of what has the cheeks' colour on head, neck and ears; lips and eyes belong to it."""
    u = unit(points)
    lab = cv2.cvtColor(cv2.GaussianBlur(photo, (0, 0), 0.03 * u), cv2.COLOR_RGB2LAB).astype(np.float32)
    cheeks = region(photo, points[[50, 6, 280], :2])[..., 0] > 0.5
    usual = np.median(lab[cheeks], axis=0)
    alike = np.exp(-(((lab[..., 1:] - usual[1:]) / 14) ** 2).sum(axis=-1)) * (lab[..., 0] > 0.3 * usual[0])
    oval = points[list(mesh.FACE_OVAL), :2]
    near = region(photo, oval.mean(0) + 1.5 * (oval - oval.mean(0)), 0.2 * u)[..., 0]
    face = region(photo, oval, 0.06 * u)[..., 0]
    return np.maximum(cv2.GaussianBlur(alike.astype(np.float32) * near, (0, 0), 0.03 * u), 0.9 * face)[..., None]


def complexion(photo: Image, points: Floats, lightness: float, red: float, yellow: float) -> Image:
    """Skin of another colour. `lightness` scales L, `red` and `yellow` scale what is a and b beyond grey."""
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 0] *= lightness
    lab[..., 1] = 128 + (lab[..., 1] - 128) * red
    lab[..., 2] = 128 + (lab[..., 2] - 128) * yellow
    other = cv2.cvtColor(to_bytes(lab), cv2.COLOR_LAB2RGB)
    return mix(photo, other, skin(photo, points))


def strokes(photo: Image, points: Floats, polygon: Floats, colour: tuple[int, int, int], density: float) -> Image:
    """Short hairs that grow downwards and away from the middle, within a polygon."""
    u = unit(points)
    random = np.random.default_rng(3)
    weight = region(photo, polygon, 0.04 * u)[..., 0]
    hairs = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    low, high = polygon.min(0), polygon.max(0)
    middle = points[mesh.NOSE_TIP, 0]
    for _ in range(int(density * (high - low).prod() / u**2 * 2600)):
        x, y = random.uniform(low, high)
        if not (0 <= x < photo.shape[1] and 0 <= y < photo.shape[0]) or random.random() > weight[int(y), int(x)]:
            continue
        lean = 0.5 * (x - middle) / u + random.normal(0, 0.25)
        length = u * random.uniform(0.05, 0.13)
        shade = np.clip(np.array(colour) * random.uniform(0.5, 1.6), 0, 255)
        ends = np.rint(np.array([[x, y], [x + lean * length, y + length]]) * 64).astype(int)
        cv2.line(hairs, ends[0], ends[1], [float(v) for v in shade], max(1, round(0.02 * u)), cv2.LINE_AA, 4)
    return cv2.resize(hairs, photo.shape[1::-1], interpolation=cv2.INTER_AREA)


def beard_region(points: Floats) -> Floats:
    """From the ears along the jaw and back above the chin, around the mouth."""
    jaw = points[[323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93], :2]
    centre = points[mesh.NOSE_TIP, :2]
    outer = centre + 1.04 * (jaw - centre)
    back = points[[147, 187, 207, 57, 43, 106, 182, 83, 18, 313, 406, 335, 273, 287, 427, 411, 376], :2]
    return np.concatenate([outer, back])


def moustache_region(points: Floats) -> Floats:
    under_nose = points[[98, 97, 2, 326, 327], :2]
    upper_lip = points[[291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61], :2]
    return np.concatenate([under_nose, upper_lip])


def beard(photo: Image, points: Floats, colour: tuple[int, int, int]) -> Image:
    photo = strokes(photo, points, beard_region(points), colour, 1.0)
    return strokes(photo, points, moustache_region(points), colour, 1.2)


def fringe(photo: Image, points: Floats) -> Image:
    """Long dark hair over the right half of the face."""
    half = points[[10, 109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 205, 50, 126, 193, 9], :2]
    for _ in range(3):
        photo = strokes(photo, points, half, (46, 32, 24), 1.4)
    return photo


# -- things before the face


def glasses(photo: Image, points: Floats, fill: float = 0.0) -> Image:
    """Round dark frames. `fill`: 0 clear .. 1 opaque glass."""
    u = unit(points)
    large = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    eyes = [points[list(c), :2].mean(0) for c in ((33, 133), (263, 362))]
    across = (eyes[1] - eyes[0]) / u
    down = np.array([-across[1], across[0]])
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    axes = (round(4 * 0.38 * u), round(4 * 0.3 * u))
    centres = [eye + 0.06 * u * down for eye in eyes]
    if fill:
        glass = large.copy()
        for centre in centres:
            cv2.ellipse(glass, np.rint(centre * 4).astype(int), axes, angle, 0, 360, (16, 16, 18), -1, cv2.LINE_AA)
        large = to_bytes(large * (1 - fill) + glass.astype(np.float32) * fill)
    thickness = max(2, round(4 * 0.05 * u))
    for centre in centres:
        cv2.ellipse(large, np.rint(centre * 4).astype(int), axes, angle, 0, 360, (30, 22, 18), thickness, cv2.LINE_AA)
    bars = [(centres[0] + 0.38 * u * across, centres[1] - 0.38 * u * across)]
    bars += [(centres[0] - 0.38 * u * across, points[127, :2]), (centres[1] + 0.38 * u * across, points[356, :2])]
    for start, end in bars:
        cv2.line(large, np.rint(start * 4).astype(int), np.rint(end * 4).astype(int), (30, 22, 18), thickness, 16)
    return cv2.resize(large, photo.shape[1::-1], interpolation=cv2.INTER_AREA)


def patch(photo: Image, points: Floats, around: tuple[int, ...], grow: float, colour: tuple[int, int, int]) -> Image:
    """Something of one colour, a little shaded, over the hull of some points."""
    hull = cv2.convexHull(points[list(around), :2].astype(np.float32))[:, 0]
    hull = hull.mean(0) + grow * (hull - hull.mean(0))
    shade = np.linspace(1.1, 0.8, photo.shape[0])[:, None, None] * np.array(colour)
    return mix(photo, np.broadcast_to(shade, photo.shape), region(photo, hull, 0.02 * unit(points)))


def face_mask(photo: Image, points: Floats) -> Image:
    """A surgical mask: nose, mouth and chin."""
    edge = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 195)
    return patch(photo, points, edge, 1.0, (150, 190, 205))


def hand(photo: Image, points: Floats) -> Image:
    """Skin-coloured fingers over the mouth."""
    u = unit(points)
    colour = np.median(photo[region(photo, points[[50, 6, 280], :2])[..., 0] > 0.5], axis=0)
    left, right, mid = points[61, :2], points[291, :2], points[13, :2]
    for row in range(3):
        y = mid[1] + (row - 0.8) * 0.27 * u
        quad = np.array([(left[0] - 0.5 * u, y - 0.14 * u), (right[0] + 0.35 * u, y - 0.17 * u)])
        polygon = np.concatenate([quad, quad[::-1] + np.array([0, 0.27 * u])])
        rounded = region(photo, polygon, 0.05 * u)
        photo = mix(photo, np.broadcast_to(colour * 0.55, photo.shape), rounded)
        inner = region(photo, polygon.mean(0) + (polygon - polygon.mean(0)) * (0.96, 0.75), 0.03 * u)
        photo = mix(photo, np.broadcast_to(colour * (0.92 + 0.05 * row), photo.shape), inner)
    return photo
