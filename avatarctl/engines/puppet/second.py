"""Draws frames in a process of its own: `python -m avatarctl.engines.puppet.second`, started by `drawing.Second`.

Standard input brings pickled orders: a rig's path and the background to draw before, answered with one byte once both
are ready; or one row of controls, answered with its frame, raw I420. It ends when its input does, so it never outlives
whom it draws for.
"""

from __future__ import annotations

import os
import pickle
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
    while True:
        try:
            order = pickle.load(orders)
        except EOFError:
            return
        if isinstance(order, np.ndarray):
            assert renderer is not None
            answers.write(renderer.render_i420(order).data)
        else:
            rig, background = order
            renderer = Renderer(Rig.load(Path(rig)), background)
            answers.write(READY)
        answers.flush()


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
