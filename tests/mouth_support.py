"""What the tests of the mouth share: controls, figures of a measured mouth, and rigs of both portraits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet.controls import INDEX
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig, build_rig
from avatarctl.text.visemes import CLASSES, POSE
from tests.quality import paint

SIZE = 384
PARTS = ("upper_teeth", "lower_teeth", "tongue")

Picture = NDArray[np.uint8]

VARIANTS: dict[str, Callable[[Picture], Picture]] = {
    "as it is": lambda photo: photo,
    "mirrored": paint.mirrored,
    "rolled": lambda photo: paint.rolled(photo, -20, about=0.3),
    "dark": lambda photo: paint.bright(photo, 0.35),
    "grey": paint.grey,
    "small": lambda photo: paint.scaled(photo, 0.35),
}
"""What a rig has to be made of as well as of the photo itself."""


def row(**controls: float) -> NDArray[np.float32]:
    values = np.zeros(len(INDEX), np.float32)
    for name, value in controls.items():
        values[INDEX[name]] = value
    return values


def viseme(name: str, **controls: float) -> NDArray[np.float32]:
    return row(**{**dict(zip(POSE, CLASSES[name].pose, strict=True)), **controls})


def gap(face: Landmarks) -> float:
    """Opening between the lips, u."""
    pairs = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
    return float(np.mean([np.linalg.norm(face.xy[a] - face.xy[b]) for a, b in pairs]) / face.interocular)


def corners_above_middle(face: Landmarks) -> float:
    """u."""
    return float(face.xy[[13, 14], 1].mean() - face.xy[[61, 291], 1].mean()) / face.interocular


def rig_of(photo: Picture, mesh: FaceMesh) -> Rig:
    return build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42)


def mouth_part(rig: Rig, picture: Picture) -> Picture:
    left, top, width, height = rig.mouth.box
    return picture[top : top + height, left : left + width]


def opening(rig: Rig, controls: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where something of the inside is seen: black and white insides tell it from the lips."""
    pictures = []
    for light in (0, 255):
        inside = {name: _one_light(getattr(rig.interior, name), light) for name in PARTS}
        cavity = np.full_like(rig.interior.cavity, light)
        painted = replace(rig.interior, **inside, cavity=cavity, wall=cavity[0, 0], glow=np.ones(3, np.float32))
        pictures.append(Renderer(replace(rig, interior=painted)).render(controls).astype(int))
    return np.asarray((pictures[1] - pictures[0]).min(-1) > 127)


def _one_light(sprite: NDArray[np.float32], light: float) -> NDArray[np.float32]:
    return np.dstack([np.repeat(light * sprite[..., 3:], 3, -1), sprite[..., 3]])
