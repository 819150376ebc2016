"""The mouth of a speaker over time: from the times of sounds to poses, at any frame rate.

Co-articulation follows Cohen & Massaro (1993): every sound pulls each part of the pose towards its target
with a dominance that decays exponentially around it, and the pose is the mean weighted by dominance. Then
come guarantees that no averaging may spoil: lips meet on p, b and m and tuck on f and v, and the mouth is
at rest on the first and the last frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatarctl.text.timings import Timings
from avatarctl.text.visemes import CLASSES, LIP_SHAPE, POSE, Viseme, viseme

INDEX = {name: i for i, name in enumerate(POSE)}
LEAD = 0.03
"""Seconds by which the mouth is ahead of the sound."""
REST_RAMP = 0.18
"""Seconds from rest to full motion at the clip's beginning, and back at its end."""
LONG_PAUSE = 0.2
"""Seconds of silence after which the mouth goes to rest."""

_PLATEAU = 0.55
"""Part of a sound's half length around its centre where its dominance is full."""
_REST_MARGIN = 0.05
"""Seconds from the edge of a silence to its full dominance."""
_REACH = 0.45
"""Seconds beyond which a sound has no influence."""
_NEIGHBOURS = 9
"""Sounds on either side that are looked at."""
_CHUNK = 4096
_HELD = 0.3
"""Part of a long p, b or m around its centre during which the lips stay shut."""
_OUTSIDE = 0.6
"""Seconds of silence assumed before and after the clip."""


@dataclass(frozen=True, slots=True)
class _Track:
    """Sounds and silences in order: `poses` (n, POSE); times in seconds and dominances (n,)."""

    centres: NDArray[np.float64]
    halves: NDArray[np.float64]
    plateaus: NDArray[np.float64]
    poses: NDArray[np.float64]
    vertical: NDArray[np.float64]
    shape: NDArray[np.float64]
    decays: NDArray[np.float64]
    visemes: list[Viseme]


def frame_count(duration: float, fps: int) -> int:
    """Frames of a clip for `duration` seconds of speech: rounded up."""
    return math.ceil(duration * fps - 1e-6)


def poses(timings: Timings, fps: int, gain: float = 1.0) -> NDArray[np.float64]:
    """The mouth's pose for each frame, float64 (frame_count, len(POSE)), in the units of `POSE`.

    Args:
        gain: factor of the opening of vowels.
    """
    frames = frame_count(timings.duration, fps)
    if frames <= 2:
        return np.zeros((frames, len(POSE)))
    track = _track(timings, gain)
    values = _mouth(track, frames, fps)
    _tuck(values, track, fps)
    _ramp(values, timings, fps)
    _close(values, track, fps)
    values[0] = values[-1] = 0.0
    return values


def _track(timings: Timings, gain: float) -> _Track:
    rest = CLASSES["rest"]
    spans: list[tuple[float, float, Viseme]] = []
    position = -_OUTSIDE
    for phoneme in timings.phonemes:
        if phoneme.start - position > LONG_PAUSE or not spans:
            spans.append((position, max(phoneme.start, position), rest))
        spans.append((phoneme.start, phoneme.end, viseme(phoneme.ipa, phoneme.stress)))
        position = phoneme.end
    spans.append((position, max(timings.duration + _OUTSIDE, position), rest))
    poses = np.array([v.pose for _, _, v in spans])
    vowels = np.array([v.vowel for _, _, v in spans])
    for name in ("open", "jaw"):
        poses[vowels, POSE.index(name)] *= gain
    starts, ends = np.array([s[0] for s in spans]), np.array([s[1] for s in spans])
    halves = (ends - starts) / 2
    silent = np.array([v is rest for _, _, v in spans])
    return _Track(
        centres=(starts + ends) / 2,
        halves=halves,
        plateaus=np.where(silent, np.maximum(halves - _REST_MARGIN, 0), _PLATEAU * halves),
        poses=poses,
        vertical=np.array([v.vertical for _, _, v in spans]),
        shape=np.array([v.shape for _, _, v in spans]),
        decays=np.array([v.decay for _, _, v in spans]),
        visemes=[v for _, _, v in spans],
    )


def _mouth(track: _Track, frames: int, fps: int) -> NDArray[np.float64]:
    """float64 (frames, POSE): dominance blend on a grid of half frames, then a short bell over each frame."""
    steps = np.arange(-1, 2 * frames) / (2 * fps) + LEAD
    fine = np.concatenate([_blend(track, steps[i : i + _CHUNK]) for i in range(0, len(steps), _CHUNK)])
    blended: NDArray[np.float64] = 0.25 * fine[:-2:2] + 0.5 * fine[1:-1:2] + 0.25 * fine[2::2]
    return blended


def _blend(track: _Track, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 (times, POSE)."""
    nearest = np.searchsorted(track.centres, times)
    near = nearest[:, None] + np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1)
    valid = (near >= 0) & (near < len(track.centres))
    near = near.clip(0, len(track.centres) - 1)
    distance = np.abs(times[:, None] - track.centres[near])
    outside = np.maximum(distance - track.plateaus[near], 0)
    reached = valid & (distance - track.halves[near] < _REACH)
    decay = np.where(reached, np.exp(-track.decays[near] * outside), 0.0)
    result = np.empty((len(times), len(POSE)))
    for strength, names in ((track.vertical, set(POSE) - LIP_SHAPE), (track.shape, LIP_SHAPE)):
        columns = [i for i, name in enumerate(POSE) if name in names]
        dominance = strength[near] * decay
        total = dominance.sum(axis=1, keepdims=True) + 1e-6
        result[:, columns] = np.einsum("tk,tkp->tp", dominance, track.poses[near][:, :, columns]) / total
    return result


def rest_window(frames: int, fps: int, rise: float, fall: float) -> NDArray[np.float64]:
    """0 on the first and last frame, 1 in the middle, smooth between; float64 (frames,)."""
    step = np.arange(frames) / fps
    length = step[-1]
    share = min(1.0, length / 2 / max(rise, fall))
    near = np.clip(np.minimum(step / (rise * share), (length - step) / (fall * share)), 0, 1)
    window: NDArray[np.float64] = near * near * (3 - 2 * near)
    return window


def _ramp(values: NDArray[np.float64], timings: Timings, fps: int) -> None:
    """Into the first sound and out of the last one within the silence around them, but never in one frame."""
    first = timings.phonemes[0].start if timings.phonemes else REST_RAMP
    last = timings.duration - timings.phonemes[-1].end if timings.phonemes else REST_RAMP
    shortest = 2.5 / fps
    window = rest_window(len(values), fps, min(max(first, shortest), REST_RAMP), min(max(last, shortest), REST_RAMP))
    values *= window[:, None]


def _frame(moment: float, frames: int, fps: int) -> int:
    """The frame whose mouth shows this moment of the sound."""
    return min(max(math.floor((moment - LEAD) * fps + 0.5), 0), frames - 1)


def _close(values: NDArray[np.float64], track: _Track, fps: int) -> None:
    """Lips meet on the frame nearest the middle of each p, b and m, and while a long one is held."""
    for centre, half, made in zip(track.centres, track.halves, track.visemes, strict=True):
        if made.closes:
            nearest = _frame(centre, len(values), fps)
            first, last = (_frame(centre + side * _HELD * half, len(values), fps) for side in (-1, 1))
            held = slice(first, last + 1) if last - first > 1 else slice(nearest, nearest + 1)
            for name in ("open", "up", "tuck"):
                values[held, INDEX[name]] = 0.0
            values[held, INDEX["press"]] = np.maximum(values[held, INDEX["press"]], 0.5)


def _tuck(values: NDArray[np.float64], track: _Track, fps: int) -> None:
    """The lower lip is under the teeth on the frame nearest the middle of each f and v."""
    for centre, made in zip(track.centres, track.visemes, strict=True):
        if made.tucks:
            frame = _frame(centre, len(values), fps)
            values[frame, INDEX["tuck"]] = max(values[frame, INDEX["tuck"]], 0.55)
            values[frame, INDEX["open"]] = min(values[frame, INDEX["open"]], 0.06)
