"""Draws frames in a process of its own: `python -m avatarctl.engines.puppet.second`, started by `drawing.Second`.

Standard input brings orders, each a line of JSON with raw arrays after it: `{"rig": PATH, "background": SHAPE}` and the
picture to draw before (uint8; none where the shape is empty), answered with one byte once both are ready; or
`{"row": N}` and N controls (float32), answered with their frame, raw I420. It ends when its input does, so it never
outlives whom it draws for.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig

READY = b"\x01"


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Draw until there are no more orders."""
    renderer: Renderer | None = None
    while line := orders.readline():
        order = json.loads(line)
        if "row" in order:
            assert renderer is not None
            answers.write(renderer.render_i420(np.frombuffer(orders.read(4 * order["row"]), np.float32)).data)
        else:
            shape = order["background"]
            size = math.prod(shape) if shape else 0
            background = np.frombuffer(orders.read(size), np.uint8).reshape(shape) if shape else None
            renderer = Renderer(Rig.load(Path(order["rig"])), background)
            answers.write(READY)


def main() -> None:
    """Keep standard output for frames, whatever a library may print there, and draw."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    # Frames are drawn side by side: see `AnimateEngine.run`.
    cv2.setNumThreads(1)
    with os.fdopen(os.dup(0), "rb") as orders, suppress(BrokenPipeError):
        serve(orders, answers)


if __name__ == "__main__":
    main()
