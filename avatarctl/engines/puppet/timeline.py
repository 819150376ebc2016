"""From the times of sounds to the controls of the face, one row a frame.

The mouth comes from `text.articulation`, the head and the chest from `idle`, the eyes from `gaze` and `blinks`, the
face between the words from `emotion`. The clip begins and ends at rest, in the emotion that the face is in: that of
the sentence before, and its own last one. One without speech ends a frame before that, so that it can be played in a
circle without showing its rest twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from avatarctl.engines.puppet import blinks, emotion, gaze, idle
from avatarctl.engines.puppet.controls import INDEX, Timeline
from avatarctl.engines.puppet.phrasing import Curve, phrasing
from avatarctl.text import articulation, emotions
from avatarctl.text.loudness import Loudness
from avatarctl.text.timings import Timings
from avatarctl.text.visemes import POSE

HEAD_RAMP = 0.5
"""Seconds from rest to the head's and the eyes' full motion at the clip's beginning, and back at its end."""
_ROUND_EASES = 0.6
"""Part of a smile that goes while the lips are fully rounded."""
_EASE_WIDTH = 0.28
"""Seconds."""
_DRIFT_RAMP = 0.2
_WHOLE_CIRCLE = 3.0
"""Seconds."""


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
    @property
    def gaze(self) -> float: ...
    @property
    def brows(self) -> float: ...
    @property
    def breath(self) -> float: ...
    @property
    def mood(self) -> str: ...
    @property
    def emotion(self) -> str: ...
    @property
    def emotion_before(self) -> str: ...
    @property
    def emotion_strength(self) -> float: ...


def build(timings: Timings, fps: int, seed: int, params: Settings, loudness: Loudness | None = None) -> Timeline:
    """The controls of a clip as long as the speech, rounded up to a frame; the same for the same arguments.

    Args:
        loudness: of the speech. Without it the timings alone tell how loud a sound is.

    Raises:
        BadConfig: the emotions are not known.
    """
    frames = articulation.frame_count(timings.duration, fps)
    circular = not timings.phonemes
    before = params.mood
    if params.emotion_before:
        before = emotions.canonical(params.emotion_before, "animate.emotion_before")
    named = emotion.of_sentences(timings, params.mood, emotions.listed(params.emotion, "animate.emotion"))
    mood, begins, ends = (
        emotion.rest(name, params.mood, params.emotion_strength)
        for name in (params.mood, before, named[-1] if named else before)
    )
    values = np.tile(begins, (frames, 1))
    if frames > 2:
        # In a circle the last frame is followed by the first one, which is made once more and left out.
        values = _moving(timings, frames + circular, fps, seed, params, before, named, loudness)
        emotion.bound(values)
    values[:1], values[-1:] = begins, ends
    if params.mode == "still":
        held = [INDEX[name] for name in emotion.HEAD]
        values[:, held] = mood[held]
    return Timeline(fps, values[:frames].astype(np.float32))


def _moving(
    timings: Timings,
    frames: int,
    fps: int,
    seed: int,
    params: Settings,
    before: str,
    named: Sequence[str],
    loudness: Loudness | None,
) -> Curve:
    """Every control between the two ends, (frames, controls). `before`, `named`: see `emotion.shown`."""
    time = np.arange(frames) / fps
    face = emotion.shown(timings, time, params.mood, before, named, params.emotion_strength)
    values = face.rows
    of_said, of_head, of_gaze, of_lids, of_breath = _generator(timings, seed).spawn(5)
    said = phrasing(timings, loudness, of_said)
    look = gaze.plan(said, of_gaze)
    values[:, INDEX["blink"]] = blinks.blinks(said, look.large, frames, fps, params.blinks, of_lids)
    if not said.silent:
        mouth = articulation.poses(timings, fps, params.mouth, loudness)
        columns = [INDEX[name] for name in POSE]
        values[:, columns] = mouth + (1 - articulation.voiced(timings, fps)[:, None]) * values[:, columns]
    _ease_smile(values, fps)
    if params.mode == "still":
        return values
    window = articulation.rest_window(frames, fps, HEAD_RAMP, HEAD_RAMP)
    if said.silent:
        # It goes round, and is at rest at its ends by itself. A short circle has to be a small one: it is soon over.
        window = np.full(frames, min(1.0, float(time[-1]) / _WHOLE_CIRCLE))
    breath = np.minimum(params.breath * idle.breathing(said, time, of_breath), 1.0)
    values[:, INDEX["breath"]] = breath
    question = idle.questions(said, time)
    values[:, INDEX["brow"]] += params.brows * window * idle.brows(said, question, frames, fps, of_head)
    strength = params.motion * window * face.tempo
    head = idle.head(said, question, time, face.tempo, fps, of_head)
    turned = {name: strength * curve for name, curve in head.items()}
    for name, curve in turned.items():
        values[:, INDEX[name]] += curve
    values[:, INDEX["ty"]] += window * idle.lifted(breath)
    _look(values, look, time, turned, params.gaze, of_gaze)
    return values


def _ease_smile(values: Curve, fps: int) -> None:
    """A rounded mouth cannot smile as wide; the corners follow more slowly than the lips."""
    around = np.hanning(2 * round(_EASE_WIDTH * fps / 2) + 3)[1:-1]
    rounded = np.convolve(values[:, INDEX["round"]], around / around.sum(), mode="same")[: len(values)]
    values[:, INDEX["smile"]] *= 1 - _ROUND_EASES * np.clip(rounded, 0, 1)


def _look(
    values: Curve,
    look: gaze.Look,
    time: Curve,
    turned: dict[str, Curve],
    strength: float,
    random: np.random.Generator,
) -> None:
    """The eyes follow their plan, and stay on the camera while the head turns."""
    jumps, drifts = gaze.curves(look, time), gaze.drift(time, random)
    quiet = np.minimum(1.0, np.minimum(time, time[-1] - time) / _DRIFT_RAMP)
    limits = (gaze.LARGEST_X, gaze.LARGEST_Y)
    for name, turn, jump, drift, limit in zip(
        ("gaze_x", "gaze_y"), ("yaw", "pitch"), jumps, drifts, limits, strict=True
    ):
        moved = strength * (jump + quiet * drift) + min(strength, 1.0) * gaze.held(turned[turn])
        values[:, INDEX[name]] = np.clip(values[:, INDEX[name]] + moved, -limit, limit)


def _generator(timings: Timings, seed: int) -> np.random.Generator:
    """Seeded by the seed and by what is said and when."""
    said = (f"{p.start:.4f} {p.end:.4f} {p.ipa} {p.stress}" for p in timings.phonemes)
    written = (f"{s.start:.4f} {s.end:.4f} {s.text}" for s in timings.sentences)
    whole = "\n".join([f"{seed} {timings.language} {timings.duration:.4f}", *said, *written])
    return np.random.default_rng(np.frombuffer(hashlib.sha256(whole.encode()).digest(), np.uint32))
