"""All that is known of a photo before it moves, built once and kept in one file."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.facemesh.person import PersonNetwork
from avatarctl.engines.puppet import glasses, rigfile
from avatarctl.engines.puppet.corners import Corner, find_corners
from avatarctl.engines.puppet.expression import ExpressionField, expression_field
from avatarctl.engines.puppet.eyes import Eye, build_eyes
from avatarctl.engines.puppet.head import (
    Depth,
    Pose,
    breath_field,
    carried_weight,
    chest_pivot,
    face_axes,
    head_weight,
    neck_pivot,
    stance,
    within_frame,
)
from avatarctl.engines.puppet.interior import Interior, build_interior
from avatarctl.engines.puppet.lattice import TILE_COLUMNS, TILE_ROWS, Box, Lattice
from avatarctl.engines.puppet.layers import LipLayers, lip_layers, mouth_box
from avatarctl.engines.puppet.lips import MouthFrame, PhotoLips, mouth_frame, photo_lips
from avatarctl.engines.puppet.matte import find_matte
from avatarctl.engines.puppet.mouthfield import MouthField, mouth_field
from avatarctl.engines.puppet.photolight import photo_light
from avatarctl.engines.puppet.sampling import split
from avatarctl.engines.puppet.scene import Scene, set_scene
from avatarctl.engines.puppet.shading import Shading, build_shading
from avatarctl.engines.puppet.smooth import Array
from avatarctl.engines.puppet.texture import for_bilinear
from avatarctl.stages.catalog import picture_size

HEAD_NODES = 112
"""Along a side of the lattice over the moving part of the canvas, if that is a square."""
MOUTH_NODES = (84, 64)
"""Columns and rows of the lattice over the mouth's box."""
FURTHEST_TURN, FURTHEST_SHIFT = 16.0, 0.16
"""Degrees and u that no head is moved beyond."""
STILL = 1e-4
"""Head weight up to which the picture is the photo in every frame."""


@dataclass(frozen=True)
class Patch:
    """A lattice over a box of the canvas with what its nodes know. `depth`: pixels; `weight`, `body`: 0..1,
    how much of the head's and of the body's motion a node follows; float32 (rows, columns) all; the body does so
    at all if `follows`. `breath`: where a full breath moves them, float32 (rows, columns, 2), pixels."""

    left: int
    top: int
    width: int
    height: int
    follows: bool
    depth: Array
    weight: Array
    body: Array
    breath: Array
    mouth: MouthField
    expression: ExpressionField

    @property
    def box(self) -> Box:
        """Its place on the canvas."""
        return self.left, self.top, self.width, self.height

    def lattice(self) -> Lattice:
        """The nodes themselves."""
        rows, columns = self.depth.shape
        return Lattice(self.box, columns, rows)

    def carried(self, points: Array, turn: Pose) -> Array:
        """Where head and body carry the nodes that stand at `points`: float32 (rows, columns, 2), pixels."""
        x, y = split(points)
        planes = []
        for axis in (0, 1):
            moved = turn.motion(axis, x, y, self.depth) * self.weight
            if turn.body is not None and self.follows:
                moved += turn.body.motion(axis, x, y, self.depth) * self.body
            planes.append(moved)
        carried = cv2.merge(planes)
        return np.asarray(cv2.scaleAdd(self.breath, turn.breath, carried) if turn.breath else carried, np.float32)


@dataclass(frozen=True)
class Rig:
    """A photo, ready to be moved. `canvas`: RGB uint8 (height, width, 3); `texture`: the same at twice the
    size, or the colours of the person alone where they can be cut out; `moving`: uint8 (height, width), 0
    where every frame equals the canvas. `pivot`, `chest`: float32 (3,), the joint of the neck and the point
    that the shoulders turn about, pixels. `lip_depth`: z of the lips, pixels."""

    width: int
    height: int
    canvas: NDArray[np.uint8]
    texture: NDArray[np.uint8]
    scene: Scene
    moving: NDArray[np.uint8]
    pivot: Array
    chest: Array
    lip_depth: float
    frame: MouthFrame
    lips: PhotoLips
    head: Patch
    mouth: Patch
    layers: LipLayers
    corners: tuple[Corner, ...]
    shading: Shading
    interior: Interior
    eyes: tuple[Eye, ...]

    def save(self, path: Path) -> None:
        """Write it to one file; equal rigs give equal bytes."""
        rigfile.save(path, self)

    @classmethod
    def load(cls, path: Path) -> Rig:
        """Read what `save` wrote, in milliseconds. Raises `BadInput` when it is not a rig of this version."""
        return rigfile.load(path, cls)


def build_rig(
    photo: NDArray[np.uint8],
    landmarks: Array,
    size: int,
    face_fraction: float,
    *,
    aspect: str = "1:1",
    detailed: NDArray[np.uint8] | None = None,
    network: PersonNetwork | None = None,
) -> Rig:
    """Prepare a photo.

    Args:
        photo: RGB uint8 (height, width, 3).
        landmarks: the face's mesh with irises, float32 (478, 3), pixels of the photo, z on the same scale.
        size: shorter side of the film's picture, pixels.
        face_fraction: height of the face in shorter sides of the picture.
        aspect: width to height, one of `ASPECTS`.
        detailed: the same photo a whole number of times larger, restored.
        network: tells the person from the background; without it the head moves with what surrounds it.
    """
    landmarks = np.asarray(landmarks, np.float32)
    width, height = picture_size(size, aspect)
    matte = None if network is None else find_matte(photo, landmarks, network)
    stage = set_scene(photo, landmarks, (width, height), face_fraction, matte, detailed)
    points, canvas, trusted = stage.landmarks, stage.canvas, stage.scene.trusted
    axes = face_axes(points)
    mouth = mouth_frame(points, axes.unit)
    lips = photo_lips(points, mouth, canvas)
    light = photo_light(canvas, points)
    depth = Depth(points, axes.unit)
    neck = neck_pivot(axes, points)
    chest = chest_pivot(axes, neck)
    framework = glasses.find(canvas, points, axes)

    def patch(box: Box, nodes: tuple[int, int], layered: bool) -> Patch:
        at = Lattice(box, *nodes).points
        weight = carried_weight(axes, at) if trusted else head_weight(axes, at) * within_frame(at, width, height)
        return Patch(
            *box,
            follows=trusted,
            depth=np.asarray(cv2.GaussianBlur(depth.at(at), (0, 0), 0.7), np.float32),
            weight=weight,
            body=1 - weight if trusted else np.zeros_like(weight),
            breath=breath_field(axes, at, weight, everywhere=trusted),
            mouth=mouth_field(mouth, lips, at, points[list(mesh.FACE_OVAL), :2], layered=layered),
            expression=expression_field(axes, points, at, framework),
        )

    nodes = _nodes(width, height)
    if trusted:
        whole = patch((0, 0, width, height), nodes, False)
        moving = _reached(whole, stage.scene.alpha, neck, chest, axes.unit)
    else:
        at = Lattice((0, 0, width, height), *nodes).points
        weight = head_weight(axes, at) * within_frame(at, width, height)
        lifted = np.abs(breath_field(axes, at, weight, everywhere=False)).max(-1) / np.float32(axes.unit)
        follows = cv2.resize(np.maximum(weight, lifted), (width, height), interpolation=cv2.INTER_LINEAR)
        moving = (follows > STILL).astype(np.uint8)
    box = cv2.boundingRect(moving)
    sharper = for_bilinear(stage.texture)
    lip_box = mouth_box(mouth, lips, canvas.shape[:2])
    lip_lattice = Lattice(lip_box, *MOUTH_NODES)
    layers = lip_layers(sharper, lip_box, points, mouth, lips, light)
    shading = build_shading(canvas, points, light, mouth, lips, lip_lattice)
    return Rig(
        width=width,
        height=height,
        canvas=canvas,
        texture=stage.texture,
        scene=stage.scene,
        moving=moving,
        pivot=neck,
        chest=chest,
        lip_depth=float(points[[mesh.LIP_UPPER_INNER_MIDDLE, mesh.LIP_LOWER_INNER_MIDDLE], 2].mean()),
        frame=mouth,
        lips=lips,
        head=patch((box[0], box[1], box[2], box[3]), _nodes(box[2], box[3]), False),
        mouth=patch(lip_box, MOUTH_NODES, True),
        layers=layers,
        corners=find_corners(layers, mouth, lips, shading.released, lip_lattice),
        shading=shading,
        interior=build_interior(canvas, light, mouth, lips),
        eyes=build_eyes(canvas, sharper, points, axes.unit, framework),
    )


def _nodes(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of the head's lattice, whole tiles, about as dense both ways."""
    wide = HEAD_NODES / np.sqrt(width * height)
    sides = ((width, TILE_COLUMNS), (height, TILE_ROWS))
    columns, rows = (max(4, round(side * wide / tile)) * tile for side, tile in sides)
    return columns, rows


def _reached(patch: Patch, alpha: NDArray[np.uint8], neck: Array, chest: Array, unit: float) -> NDArray[np.uint8]:
    """Where the person may come to lie; uint8 (height, width), 0 or 1."""
    lattice = patch.lattice()
    some = (alpha > 0).astype(np.float32)
    held = np.asarray(cv2.resize(some, patch.depth.shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
    held = (cv2.dilate(held, np.ones((3, 3), np.uint8)) > 0).astype(np.float32)
    reached = held > 0
    for yaw, pitch, roll, across, down, breath in product((-1, 1), (-1, 1), (-1, 1), (-1, 1), (-1, 1), (0, 1)):
        angles = (yaw * FURTHEST_TURN, pitch * FURTHEST_TURN, roll * FURTHEST_TURN)
        shift = (across * FURTHEST_SHIFT * unit, down * FURTHEST_SHIFT * unit)
        turn = stance(neck, chest, unit, angles, shift, breath)
        backward = lattice.invert(patch.carried(lattice.points, turn), 2)
        reached |= lattice.sample(held, lattice.points + backward) > 0
    grown = cv2.dilate(reached.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(cv2.resize(grown, (patch.width, patch.height), interpolation=cv2.INTER_NEAREST), np.uint8)
