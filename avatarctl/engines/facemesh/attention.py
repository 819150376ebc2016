"""The attention mesh: a square picture of a face to 478 points.

The published network (Grishchenko et al., "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time",
2020) crops its own feature map around the lips and each eye with operators that only MediaPipe's runtime
has. The file is cut in two around them and they are done here, in NumPy:

    Landmarks2TransformMatrix   points of a region -> affine map from a 16 x 16 grid to the feature map
    TransformTensorBilinear     feature map, map -> 16 x 16 features of the region
    TransformLandmarks          points on the grid, map -> points on the picture
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import COUNT, IRIS_LEFT_CENTRE, IRIS_RIGHT_CENTRE
from avatarctl.engines.facemesh.network import CustomOperator, Graph

SIDE = 192
"""Height and width of the picture that the network takes, pixels."""

_MESH = 468
_EYE_CONTOUR = 16
"""The first points of an eye region run around the lids."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Region:
    """A part of the face that the network looks at again, closer."""

    points: NDArray[np.intp]
    left: int
    right: int
    grid: int
    scale: float
    """Margin around the points: 1.5 is half as large again."""

    @classmethod
    def of(cls, operator: CustomOperator) -> _Region:
        options = operator.options
        return cls(
            points=np.array(options["subset_idxs"], np.intp),
            left=options["left_rotation_idx"],
            right=options["right_rotation_idx"],
            grid=options["output_width"],
            scale=options["scale_x"],
        )

    def transform(self, mesh: Floats) -> Floats:
        """Affine map, float32 (2, 3), from the grid to the plane of `mesh` (points, >= 2)."""
        across = mesh[self.right, :2] - mesh[self.left, :2]
        angle = math.atan2(float(across[1]), float(across[0]))
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        upright = mesh[self.points, :2] @ rotation
        low, high = upright.min(axis=0), upright.max(axis=0)
        linear = rotation * ((high - low) * self.scale / self.grid)
        centre = rotation @ ((low + high) / 2)
        offset = centre - linear @ np.full(2, self.grid / 2)
        return np.column_stack([linear, offset]).astype(np.float32)


def sample(features: Floats, transforms: Sequence[Floats], grid: int) -> Floats:
    """Bilinear samples (transforms, grid, grid, channels) of `features` (height, width, channels); zero outside.

    Cells are sampled at their centres, half a cell from the corner, on both sides of the map.
    """
    height, width, channels = features.shape
    cells = np.arange(grid) + 0.5
    column, row = cells[None, :], cells[:, None]
    maps = np.stack(transforms)[..., None, None]
    x = maps[:, 0, 0] * column + maps[:, 0, 1] * row + maps[:, 0, 2] - 0.5
    y = maps[:, 1, 0] * column + maps[:, 1, 1] * row + maps[:, 1, 2] - 0.5
    x0, y0 = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    all_inside = x0.min() >= 0 and y0.min() >= 0 and x0.max() < width - 1 and y0.max() < height - 1
    rows = features.reshape(height * width, channels)
    total = np.zeros((x.size, channels), np.float32)
    for dy, weight_y in ((0, y0 + 1 - y), (1, y - y0)):
        for dx, weight_x in ((0, x0 + 1 - x), (1, x - x0)):
            xs, ys = x0 + dx, y0 + dy
            weight = weight_x * weight_y
            if not all_inside:
                weight = weight * ((xs >= 0) & (xs < width) & (ys >= 0) & (ys < height))
                xs, ys = xs.clip(0, width - 1), ys.clip(0, height - 1)
            corner = rows.take((ys * width + xs).ravel(), axis=0)
            corner *= weight.astype(np.float32).reshape(-1, 1)
            total += corner
    return total.reshape(-1, grid, grid, channels)


def _placed(points: Floats, transform: Floats, stride: float) -> Floats:
    """Points as the heads give them, moved onto the picture.

    The heads count in pixels of the picture, so only the map's offset is in cells of the feature map.
    """
    moved: Floats = points @ transform[:, :2].T + stride * transform[:, 2]
    return moved


class AttentionMesh:
    """Call it with a float32 (192, 192, 3) RGB picture in 0..1.

    Raises:
        Unavailable: the file is not this model.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        graph = Graph(path)
        mesh, flag = graph.tensor("output_mesh"), graph.tensor("conv_faceflag")
        operators = graph.custom_operators()
        crops = [o for o in operators if o.name == "TransformTensorBilinear"]
        region_of = {o.outputs[0]: _Region.of(o) for o in operators if o.name == "Landmarks2TransformMatrix"}
        self._lips, self._right_eye, self._left_eye = (region_of[crop.inputs[1]] for crop in crops)
        self._trunk = graph.part(graph.inputs, [mesh, crops[0].inputs[0], flag], threads)
        # The file names the sides as the picture shows them; here they are the person's own.
        heads = ("conv_lips", "conv_left_eye", "conv_left_iris", "conv_right_eye", "conv_right_iris")
        self._heads = graph.part([crop.outputs[0] for crop in crops], [graph.tensor(name) for name in heads], threads)

    def twin(self) -> AttentionMesh:
        """The same for another thread."""
        other = copy(self)
        other._trunk, other._heads = self._trunk.twin(), self._heads.twin()
        return other

    def __call__(self, picture: Floats) -> tuple[Floats, float]:
        """Points, float32 (478, 3), in pixels of the picture, and the score of there being a face, 0..1."""
        coarse, features, flag = self._trunk(picture[None])
        mesh = coarse.reshape(_MESH, 3)
        stride = SIDE / features.shape[1]
        regions = (self._lips, self._right_eye, self._left_eye)
        transforms = [region.transform(mesh / stride) for region in regions]
        crops = sample(features[0], transforms, self._lips.grid)[:, None]
        lips, right_eye, right_iris, left_eye, left_iris = (out.reshape(-1, 2) for out in self._heads(*crops))

        points = np.empty((COUNT, 3), np.float32)
        points[:_MESH] = mesh
        on_lips, on_right, on_left = transforms
        points[self._lips.points, :2] = _placed(lips, on_lips, stride)
        for region, transform, eye, iris, first in (
            (self._right_eye, on_right, right_eye, right_iris, IRIS_RIGHT_CENTRE),
            (self._left_eye, on_left, left_eye, left_iris, IRIS_LEFT_CENTRE),
        ):
            points[region.points, :2] = _placed(eye, transform, stride)
            points[first : first + len(iris), :2] = _placed(iris, transform, stride)
            points[first : first + len(iris), 2] = points[region.points[:_EYE_CONTOUR], 2].mean()
        return points, float(1 / (1 + np.exp(-flag.item())))
