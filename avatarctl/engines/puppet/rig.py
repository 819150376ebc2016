"""All that is known of a photo before it moves, built once and kept in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.puppet import rigfile
from avatarctl.engines.puppet.expression import ExpressionField, expression_field
from avatarctl.engines.puppet.eyes import Eye, build_eyes
from avatarctl.engines.puppet.framing import frame
from avatarctl.engines.puppet.head import Depth, face_axes, head_weight, neck_pivot
from avatarctl.engines.puppet.interior import Interior, build_interior
from avatarctl.engines.puppet.lattice import Box, Lattice
from avatarctl.engines.puppet.layers import LipLayers, lip_layers, mouth_box
from avatarctl.engines.puppet.lips import MouthFrame, PhotoLips, mouth_frame, photo_lips
from avatarctl.engines.puppet.mouthfield import MouthField, mouth_field
from avatarctl.engines.puppet.photolight import photo_light
from avatarctl.engines.puppet.shading import Shading, build_shading
from avatarctl.engines.puppet.smooth import Array

HEAD_NODES = (112, 112)
MOUTH_NODES = (84, 64)
"""Columns and rows of the lattices over the moving part of the canvas and over the mouth's box."""
STILL = 1e-4
"""Head weight up to which the picture is the photo in every frame."""


@dataclass(frozen=True)
class Patch:
    """A lattice over a box of the canvas with what its nodes know. `depth`: pixels; `weight`: 0..1, how
    much of the head's motion a node follows; float32 (rows, columns) both."""

    left: int
    top: int
    width: int
    height: int
    depth: Array
    weight: Array
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


@dataclass(frozen=True)
class Rig:
    """A photo, ready to be moved. `canvas`: RGB uint8 (size, size, 3); `texture`: the same at twice the
    size; `moving`: uint8 (size, size), 0 where every frame equals the canvas. `pivot`: float32 (3,),
    the joint of the neck, pixels. `lip_depth`: z of the lips, pixels."""

    size: int
    canvas: NDArray[np.uint8]
    texture: NDArray[np.uint8]
    moving: NDArray[np.uint8]
    pivot: Array
    lip_depth: float
    frame: MouthFrame
    lips: PhotoLips
    head: Patch
    mouth: Patch
    layers: LipLayers
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


def build_rig(photo: NDArray[np.uint8], landmarks: Array, size: int, face_fraction: float) -> Rig:
    """Prepare a photo.

    Args:
        photo: RGB uint8 (height, width, 3).
        landmarks: the face's mesh with irises, float32 (478, 3), pixels of the photo, z on the same scale.
        size: side of the film's picture, pixels.
        face_fraction: height of the face in heights of the picture.
    """
    framed = frame(photo, np.asarray(landmarks, np.float32), size, face_fraction)
    points, canvas = framed.landmarks, framed.canvas
    axes = face_axes(points)
    mouth = mouth_frame(points, axes.unit)
    lips = photo_lips(points, mouth, canvas)
    light = photo_light(canvas, points)
    depth = Depth(points, axes.unit)

    def patch(box: Box, nodes: tuple[int, int], layered: bool) -> Patch:
        at = Lattice(box, *nodes).points
        return Patch(
            *box,
            depth=np.asarray(cv2.GaussianBlur(depth.at(at), (0, 0), 0.7), np.float32),
            weight=head_weight(axes, at),
            mouth=mouth_field(mouth, lips, at, layered=layered),
            expression=expression_field(axes, points, at),
        )

    whole = Lattice((0, 0, size, size), *HEAD_NODES)
    follows = cv2.resize(head_weight(axes, whole.points), (size, size), interpolation=cv2.INTER_LINEAR)
    moving = (follows > STILL).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(moving)
    box = mouth_box(mouth, lips, canvas.shape[:2])
    return Rig(
        size=size,
        canvas=canvas,
        texture=framed.texture,
        moving=moving,
        pivot=neck_pivot(axes, points),
        lip_depth=float(points[[mesh.LIP_UPPER_INNER_MIDDLE, mesh.LIP_LOWER_INNER_MIDDLE], 2].mean()),
        frame=mouth,
        lips=lips,
        head=patch((left, top, width, height), HEAD_NODES, False),
        mouth=patch(box, MOUTH_NODES, True),
        layers=lip_layers(framed.texture, box, mouth, lips),
        shading=build_shading(canvas, points, light, mouth, lips, Lattice(box, *MOUTH_NODES)),
        interior=build_interior(canvas, light, mouth, lips),
        eyes=build_eyes(canvas, points, axes.unit),
    )
