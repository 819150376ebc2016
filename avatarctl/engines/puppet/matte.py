"""The person's matte: how much of each pixel is the person, and whether that can be believed.

The network's answer is right to some pixels of 256, and may lose part of a hat. A graph cut (GrabCut: Rother,
Kolmogorov and Blake 2004) puts its outline on the photo's edges, within a band around it that is wider about
the head; a guided filter (He, Sun and Tang 2013) then gives hair its soft edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.facemesh.person import PersonNetwork
from avatarctl.engines.puppet.framing import TEXTURE_SCALE, Outline, View
from avatarctl.engines.puppet.smooth import Array, smoothstep

WORKING_FACE = 200
"""Height of a face at which the outline is sought, pixels; larger photos are scaled down to it."""
CUT_FACE = 130
"""The same for the graph cut, which is slow."""
LARGEST_WORK = 1024
RIM, HEAD_RIM = 0.05, 0.13
"""How far from the network's outline the real one may lie, elsewhere and about the head, in face heights."""
CUTS = 3
STRANGE = 40.0
"""How far the colour of what the cut adds to the network's person may be from the person beside it, levels of a tone
curve by which as much is seen in the dark as in the light."""
SCRAP, SPLINTER = 0.005, 0.05
"""Less of that is no scrap of background but the person's own rim: areas of a face height squared. What is left beside
a scrap is no narrower than this, in face heights."""
CONTRAST = (0.06, 0.94)
"""Alpha is stretched from here: what is nearly nothing is nothing."""
BAND = 256
"""Rows of a texture that are worked on at a time, to keep memory flat."""
BROADEST_RIM, LIKE_RIM = 0.06, 40.0
"""Breadth of a line drawn around the person, in face heights at most; levels by which its pixels stray from its colour.
"""
ALONG, BEYOND = 0.65, 0.3
"""Share of what is right outside the head that has the line's colour, at least; of what is further out, and of what is
right inside, at most."""
LARGEST_HOLE = 0.12
"""Of the face's area: smaller gaps are patches on clothes rather than background."""
MOST_DOUBT, MOST_MOVED, LEAST_FACE = 0.12, 0.10, 0.995
"""A matte is trusted up to these figures of `Matte`."""


@dataclass(frozen=True)
class Matte:
    """The person in a photo that was scaled by `scale`. `outline`: uint8 (h, w), 1 on the person. Alpha is
    `slope` . colour + `offset`, float32 (h, w, 3) and (h, w), before it is stretched; colours are 0..1.

    How it was judged: `doubt`, what the network is unsure of about the head; `moved`, what the graph cut changed
    there, both in areas of the head; `face`, the part of the face's oval that the network takes for a person."""

    outline: NDArray[np.uint8]
    slope: Array
    offset: Array
    scale: float
    doubt: float
    moved: float
    face: float

    @property
    def trusted(self) -> bool:
        """Whether the head can be cut out by it."""
        return self.doubt <= MOST_DOUBT and self.moved <= MOST_MOVED and self.face >= LEAST_FACE

    def silhouette(self, landmarks: Array) -> Outline:
        """What framing has to know; `landmarks`: float32 (478, 3), pixels of the photo."""
        rows = np.flatnonzero(self.outline.any(1))
        chin = int(landmarks[mesh.CHIN, 1] * self.scale)
        return Outline(
            top=float(rows[0] / self.scale) if len(rows) else 0.0,
            cut_above=bool(self.outline[0].any()),
            cut_aside=bool(self.outline[: max(1, chin), [0, -1]].any()),
        )

    def on(self, texture: NDArray[np.uint8], seen: View) -> NDArray[np.uint8]:
        """Alpha for a texture that was cut out of the photo, uint8 (h, w); 0 beyond the photo's borders."""
        height, width = texture.shape[:2]
        across = seen.from_canvas(self.scale, TEXTURE_SCALE)
        alpha = np.empty((height, width), np.uint8)
        known = np.dstack([self.slope, self.offset])
        ones = np.ones(self.outline.shape, np.float32)
        for start in range(0, height, BAND):
            rows = min(BAND, height - start)
            place = across.copy()
            place[1, 2] += across[1, 1] * start

            def read(source: Array, border: int, place: NDArray[np.float64] = place, rows: int = rows) -> Array:
                flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                return np.asarray(cv2.warpAffine(source, place, (width, rows), flags=flags, borderMode=border))

            line = read(known, cv2.BORDER_REPLICATE)
            fine = (line[..., :3] * texture[start : start + rows]).sum(-1) / np.float32(255) + line[..., 3]
            inside = read(ones, cv2.BORDER_CONSTANT) > 0.5
            alpha[start : start + rows] = smoothstep(*CONTRAST, fine) * inside * 255 + np.float32(0.5)
        return alpha


def find_matte(photo: NDArray[np.uint8], landmarks: Array, network: PersonNetwork) -> Matte:
    """`photo`: RGB uint8 (height, width, 3); `landmarks`: float32 (478, 3), its pixels."""
    top, chin = landmarks[mesh.FOREHEAD, :2], landmarks[mesh.CHIN, :2]
    face = float(np.linalg.norm(top - chin))
    scale = min(1.0, WORKING_FACE / face, LARGEST_WORK / max(photo.shape[:2]))
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    work = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else photo
    points = (landmarks[:, :2] * scale).astype(np.float32)
    face *= scale
    centre = (points[mesh.FOREHEAD] + points[mesh.CHIN]) / 2
    mean, spread = network.looks(work, (float(centre[0]), float(centre[1])), face)
    oval = np.zeros(work.shape[:2], np.uint8)
    cv2.fillPoly(oval, [np.rint(points[list(mesh.FACE_OVAL)]).astype(np.int32)], 1)
    head = _head(work.shape[:2], points, face)
    outline = _cut(work, mean, oval, head, face)
    # Further down clothes may well be of another colour where they end.
    head_alone = np.s_[: max(1, int(points[mesh.LIP_UPPER_INNER_MIDDLE, 1]))]
    outline[head_alone] = _without_scraps(work[head_alone], mean[head_alone], outline[head_alone], face)
    outline = _connected(outline, oval)
    judged = _judge(mean, spread, outline, oval, head)
    outline = with_rim(work, outline, head, face)
    soft = np.asarray(cv2.GaussianBlur(outline.astype(np.float32), (0, 0), max(0.7, 0.006 * face)), np.float32)
    guide = work.astype(np.float32) / np.float32(255)
    slope, offset = guided_filter(guide, soft, max(2, round(0.035 * face)), 1e-4)
    return Matte(outline, slope, offset, scale, *judged)


def _head(shape: tuple[int, ...], points: Array, face: float) -> NDArray[np.uint8]:
    """Where the head with hair and hat is looked for: a generous ellipse, cut off below the chin."""
    top, chin = points[mesh.FOREHEAD], points[mesh.CHIN]
    up = (top - chin) / np.linalg.norm(top - chin)
    centre = chin + up * np.float32(0.75 * face)
    tilt = float(np.degrees(np.arctan2(up[0], -up[1])))
    head = np.zeros(shape[:2], np.uint8)
    axes = (round(0.72 * face), round(0.95 * face))
    cv2.ellipse(head, (round(float(centre[0])), round(float(centre[1]))), axes, tilt, 0, 360, 1, -1)
    return head


def _cut(
    work: NDArray[np.uint8], mean: Array, oval: NDArray[np.uint8], head: NDArray[np.uint8], face: float
) -> NDArray[np.uint8]:
    """The person's outline on the photo's edges: uint8, 1 on the person."""
    size = work.shape[1::-1]
    scale = min(1.0, CUT_FACE / face)
    if scale < 1:
        small = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        work = np.asarray(cv2.resize(work, small, interpolation=cv2.INTER_AREA), np.uint8)
        mean = np.asarray(cv2.resize(mean, small, interpolation=cv2.INTER_AREA), np.float32)
        oval, head = (np.asarray(cv2.resize(x, small, interpolation=cv2.INTER_NEAREST), np.uint8) for x in (oval, head))
        face *= scale
    person = (mean > 0.5).astype(np.uint8)
    outside = cv2.distanceTransform(1 - person, cv2.DIST_L2, 5)
    inside = cv2.distanceTransform(person, cv2.DIST_L2, 5)
    reach = np.where(head > 0, HEAD_RIM, RIM) * face
    marks = np.where(person > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[(outside > reach) | ((outside > 0.4 * RIM * face) & (mean < 0.04))] = cv2.GC_BGD
    marks[(inside > np.where(mean > 0.9, 0.5, 1.2) * RIM * face) | (oval > 0)] = cv2.GC_FGD
    if (marks == cv2.GC_BGD).any():
        cv2.setRNGSeed(1)
        smooth = cv2.bilateralFilter(cv2.cvtColor(work, cv2.COLOR_RGB2BGR), 5, 18, 2)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(smooth, marks, (0, 0, 1, 1), *models, CUTS, cv2.GC_INIT_WITH_MASK)
        person = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    if scale == 1:
        return person
    large = np.asarray(cv2.resize(person.astype(np.float32), size, interpolation=cv2.INTER_CUBIC), np.float32)
    return (large > 0.5).astype(np.uint8)


def _without_scraps(work: NDArray[np.uint8], mean: Array, person: NDArray[np.uint8], face: float) -> NDArray[np.uint8]:
    """The outline without background that the cut took for the person because something of theirs elsewhere has its
    colour: what the network doubts has to look like what the person is right beside it."""
    added, sure = (person > 0) & (mean < 0.5), (person > 0) & (mean > 0.8)
    if not added.any() or not sure.any():
        return person
    _, nearest = cv2.distanceTransformWithLabels(
        1 - sure.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    tone = np.sqrt(work.astype(np.float32) * np.float32(255))
    tone = np.asarray(cv2.GaussianBlur(tone, (0, 0), 0.005 * face), np.float32)
    beside = np.zeros((int(nearest.max()) + 1, 3), np.float32)
    beside[nearest[sure]] = tone[sure]
    strange = added & (np.linalg.norm(tone - beside[nearest], axis=-1) > STRANGE)
    _, scraps, stats, _ = cv2.connectedComponentsWithStats(strange.astype(np.uint8), connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] > SCRAP * face**2
    large[0] = False
    scrap = large[scraps]
    side = max(3, round(SPLINTER * face))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    left = (person > 0) & ~scrap
    thin = left & (cv2.morphologyEx(left.astype(np.uint8), cv2.MORPH_OPEN, disc) == 0)
    splinter = thin & added & (cv2.dilate(scrap.astype(np.uint8), disc) > 0)
    return np.asarray(left & ~splinter, np.uint8)


def with_rim(
    work: NDArray[np.uint8], person: NDArray[np.uint8], head: NDArray[np.uint8], face: float
) -> NDArray[np.uint8]:
    """The outline with a line of one colour that is drawn around the person, as on posters and stickers: it would stand
    still while the head moves, and be a second outline."""
    outside = cv2.distanceTransform(1 - person, cv2.DIST_L2, 5)
    within = cv2.distanceTransform(person, cv2.DIST_L2, 5)
    broadest = max(3, round(BROADEST_RIM * face))
    ring = np.ceil(outside).astype(np.intp)  # 0 is the person, 1 may be of mixed colours
    around = (head > 0) & (ring > 0) & (ring <= 2 * broadest)
    inner = (head > 0) & (within > 0.5 * broadest) & (within <= broadest)
    first = around & (ring == 2)
    if not inner.any() or not first.any():
        return person
    calm = np.asarray(cv2.medianBlur(work, 3), np.float32)
    alike = np.linalg.norm(calm - np.median(calm[first], axis=0), axis=-1) < LIKE_RIM
    shares = np.bincount(ring[around], alike[around]) / np.maximum(np.bincount(ring[around]), 1)
    ends = np.flatnonzero(shares[2:] < BEYOND)
    if shares[2] < ALONG or not len(ends) or ends[0] > broadest or alike[inner].mean() > BEYOND:
        return person
    grown = person | (alike & (ring <= ends[0] + 2)).astype(np.uint8)
    return cv2.morphologyEx(grown, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(np.uint8)


def _connected(person: NDArray[np.uint8], oval: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Only what hangs together with the face, without small holes."""
    _, labels = cv2.connectedComponents(person, connectivity=4)
    kept = np.isin(labels, np.unique(labels[(oval > 0) & (person > 0)])) & (person > 0)
    _, holes, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < LARGEST_HOLE * oval.sum()
    small[0] = False
    return np.asarray(kept | small[holes], np.uint8)


def guided_filter(guide: Array, value: Array, radius: int, epsilon: float) -> tuple[Array, Array]:
    """He, Sun and Tang's filter: at each pixel, how the value follows from the colour, (h, w, 3) and (h, w).

    `guide`: float32 (h, w, 3), 0..1; `value`: float32 (h, w).
    """
    side = (2 * radius + 1, 2 * radius + 1)

    def mean(x: Array) -> Array:
        return np.asarray(cv2.blur(x, side, borderType=cv2.BORDER_REFLECT), np.float32)

    middle, level = mean(guide), mean(value)
    covariance = mean(guide * value[..., None]) - middle * level[..., None]
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    moments = {p: mean(guide[..., p[0]] * guide[..., p[1]]) - middle[..., p[0]] * middle[..., p[1]] for p in pairs}
    a, b, c = moments[0, 0] + epsilon, moments[0, 1], moments[0, 2]
    d, e, f = moments[1, 1] + epsilon, moments[1, 2], moments[2, 2] + epsilon
    determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
    inverse = (d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b)
    x, y, z = (covariance[..., i] for i in range(3))
    slope = (
        np.stack(
            [
                inverse[0] * x + inverse[1] * y + inverse[2] * z,
                inverse[1] * x + inverse[3] * y + inverse[4] * z,
                inverse[2] * x + inverse[4] * y + inverse[5] * z,
            ],
            -1,
        )
        / determinant[..., None]
    )
    offset = level - (slope * middle).sum(-1)
    return mean(slope), mean(offset)


def _judge(
    mean: Array, spread: Array, outline: NDArray[np.uint8], oval: NDArray[np.uint8], head: NDArray[np.uint8]
) -> tuple[float, float, float]:
    near = np.ones((3, 3), np.uint8)
    rim = cv2.dilate(cv2.morphologyEx(outline, cv2.MORPH_GRADIENT, near), near) > 0
    unsure = ((np.abs(mean - 0.5) < 0.3) | (spread > 0.2)) & (head > 0) & ~rim
    person = mean > 0.5
    different = (person != (outline > 0)) & (head > 0)
    area = max(1, int(((outline > 0) & (head > 0)).sum()))
    face = float((person & (oval > 0)).sum() / max(1, int(oval.sum())))
    return float(unsure.sum() / area), float(different.sum() / area), face
