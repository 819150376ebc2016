"""What is known of a photo before it speaks, in one file: the networks need not look at it again."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import BadInput
from avatarctl.media import arrays

SCHEMA = 1
EXPRESSION, ANGLES = slice(0, 64), slice(64, 70)
"""Of the coefficients: what mouth and face do; the head's angles and place."""


@dataclass(frozen=True)
class Face:
    """A photo as the networks saw it.

    picture       RGB uint8 (height, width, 3): the film's picture at rest
    crop          RGB uint8 (resolution, resolution, 3): the square that the networks draw anew
    place         int32 (4,): left, top, width and height of that square in the picture, beyond which it may reach
    coefficients  float32 (73,): 64 of expression, 3 angles, 3 of place, then scale, x and y of the alignment
    keypoints     float32 (15, 3): of the face at rest, straight ahead, in [-1, 1]
    whole         whether the film shows the square alone, int32 ()
    """

    picture: NDArray[np.uint8]
    crop: NDArray[np.uint8]
    place: NDArray[np.int32]
    coefficients: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    whole: NDArray[np.int32]

    def save(self, path: Path) -> None:
        """Equal faces give equal bytes."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays.write(path, {"schema": np.array(SCHEMA, np.int32), **named})

    @classmethod
    def load(cls, path: Path) -> Face:
        """Read what `save` wrote.

        Raises:
            BadInput: another animator's rig, or one of another version.
        """
        try:
            stored = arrays.read(path)
            if int(stored.pop("schema")) != SCHEMA:
                raise ValueError("it is of another version")
            face = cls(**stored)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                "this is not a rig of SadTalker", why=str(error), hint="build it again: enrol the person again"
            ) from error
        if face.coefficients.shape != (73,) or face.crop.shape[0] != face.crop.shape[1]:
            raise BadInput("this is not a rig of SadTalker", why="its parts do not fit together")
        return face
