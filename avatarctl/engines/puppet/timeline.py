"""From the times of sounds to the controls of the face, one row a frame.

The mouth comes from `text.articulation`, everything else from `idle`; the clip begins and ends at rest.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np

from avatarctl.engines.puppet import idle
from avatarctl.engines.puppet.controls import CONTROLS, INDEX, Timeline
from avatarctl.text import articulation
from avatarctl.text.articulation import REST_RAMP
from avatarctl.text.timings import Timings
from avatarctl.text.visemes import POSE


class Settings(Protocol):
    """What the timeline needs of the animator's params."""

    @property
    def motion(self) -> float: ...
    @property
    def blinks(self) -> float: ...
    @property
    def mouth(self) -> float: ...
    @property
    def mode(self) -> str: ...


def build(timings: Timings, fps: int, seed: int, params: Settings) -> Timeline:
    """The controls of a clip as long as the speech, rounded up to a frame; the same for the same arguments."""
    frames = articulation.frame_count(timings.duration, fps)
    values = np.zeros((frames, len(CONTROLS)))
    if frames > 2:
        mouth = [INDEX[name] for name in POSE]
        values[:, mouth] = articulation.poses(timings, fps, params.mouth)
        others = [i for i in range(len(CONTROLS)) if i not in mouth]
        idle.add_to(
            values,
            timings,
            fps,
            motion=params.motion,
            often=params.blinks,
            still=params.mode == "still",
            random=_generator(timings, seed),
        )
        values[:, others] *= articulation.rest_window(frames, fps, REST_RAMP, REST_RAMP)[:, None]
        values[0] = values[-1] = 0.0
    return Timeline(fps, values.astype(np.float32))


def _generator(timings: Timings, seed: int) -> np.random.Generator:
    """Seeded by the seed and by what is said and when."""
    digest = hashlib.sha256(f"{seed}\n{timings.to_json()}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))
