"""From speech to keypoints: what the face does, 25 times a second, and then as often as the film has pictures.

Every clip begins and ends as the photo is, so that one follows another without a jump: pose and keypoints are eased
out of and into rest. The networks' 25 pictures a second become 30 or 50 between the keypoints, not between pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.sadtalker import hearing
from avatarctl.engines.sadtalker.face import ANGLES, EXPRESSION, Face
from avatarctl.engines.sadtalker.spec import SadTalkerParams
from avatarctl.text.articulation import rest_window

Array = NDArray[np.float32]

RADIUS = 13
"""Pictures before and behind each that the mapping sees with it."""
HEAD_RAMP, FACE_RAMP = 0.5, 0.16
"""Seconds that head and face take out of and into the photo's own pose."""
_AT_A_TIME = 64
"""Pictures that are heard or mapped at a time."""
_BLINK = (0.5, 0.9, 1.0, 0.9, 0.5)
"""How far the eyes are shut, picture by picture, as the network was taught."""
_BETWEEN_BLINKS = (0.4, 2.8)
"""Seconds that the eyes stay open at the least and at the most."""
_SMOOTHED, _ORDER = 13, 2
"""Width and order of the polynomials that smooth the poses (Savitzky and Golay, 1964)."""


class Mover(Protocol):
    """The networks that hear and move."""

    sequence: int
    latent: int

    def expressions(self, mels: Array, reference: Array, blinks: Array) -> Array:
        """(n, 80, 16), (64,), (n,) to (n, 64)."""

    def poses(self, mels: Array, reference: Array, noise: Array, style: int) -> Array:
        """(sequence, 80, 16), (6,), (latent,) to (sequence, 6), what is added to the reference."""

    def keypoints(self, semantics: Array, canonical: Array) -> Array:
        """(n, coefficients, 27), (15, 3) to (n, 15, 3)."""


@dataclass(frozen=True)
class Motion:
    """`source`: keypoints of the photo, float32 (15, 3). `driving`: of each picture of the film, float32
    (pictures, 15, 3); the first and the last are `source`. `blinks`: how far the eyes are shut, (pictures,), 0..1."""

    source: Array
    driving: Array
    blinks: Array


def plan(
    networks: Mover,
    face: Face,
    mels: Array,
    params: SadTalkerParams,
    heard: int,
    pictures: int,
    random: np.random.Generator,
    check: Callable[[], None],
) -> Motion:
    """What the face does.

    Args:
        mels: of the speech, `hearing.mel_spectrogram`.
        heard: pictures at the networks' own rate.
        pictures: of the film, at its own.
        random: the only source of chance.
        check: called often; raises to stop.
    """
    # Each has chance of its own, so that other blinks are not other poses.
    of_lids, of_head = random.spawn(2)
    eyes = blinks(heard, params.blinks, of_lids)
    coefficients = np.empty((heard, 70), np.float32)
    reference = face.coefficients[:70]
    for first in range(0, heard, _AT_A_TIME):
        check()
        some = slice(first, min(first + _AT_A_TIME, heard))
        window = hearing.windows(mels, some.start, some.stop)
        coefficients[some, EXPRESSION] = networks.expressions(window, reference[EXPRESSION], eyes[some])
    coefficients[:, EXPRESSION] *= np.float32(params.expression_scale)
    coefficients[:, ANGLES] = reference[ANGLES]
    if not params.still:
        moved = _poses(networks, mels, heard, reference[ANGLES], params.pose_style, of_head, check)
        coefficients[:, ANGLES] += _window(heard, hearing.RATE, HEAD_RAMP)[:, None] * moved
    # The network for the whole photo knows where in the crop the face lies.
    place = face.coefficients[70:73] if params.preprocess == "full" else face.coefficients[:0]
    rows = np.concatenate([coefficients, np.tile(place, (heard, 1))], axis=1)
    rest = np.concatenate([reference, place])
    source = networks.keypoints(np.tile(rest[None, :, None], (1, 1, 2 * RADIUS + 1)), face.keypoints)[0]
    driven = np.empty((heard, *source.shape), np.float32)
    for first in range(0, heard, _AT_A_TIME):
        check()
        last = min(first + _AT_A_TIME, heard)
        driven[first:last] = networks.keypoints(_semantics(rows, first, last), face.keypoints)
    at = np.arange(pictures) * (hearing.RATE / params.fps)
    window = _window(pictures, params.fps, FACE_RAMP).astype(np.float32)
    driving = source + window[:, None, None] * (_resampled(driven, at) - source)
    return Motion(source, driving, _resampled(eyes, at) * window)


def blinks(count: int, often: float, random: np.random.Generator) -> Array:
    """How far the eyes are shut in each of `count` pictures, 25 a second; float32, 0..1. `often`: 0: never."""
    shut = np.zeros(count, np.float32)
    at = 0.0
    while often > 0:
        at += hearing.RATE * random.uniform(*_BETWEEN_BLINKS) / often
        if at + len(_BLINK) >= count:
            break
        shut[int(at) : int(at) + len(_BLINK)] = _BLINK
        at += len(_BLINK)
    return shut


def _poses(
    networks: Mover,
    mels: Array,
    count: int,
    reference: Array,
    style: int,
    random: np.random.Generator,
    check: Callable[[], None],
) -> Array:
    """What is added to the photo's own pose, float32 (count, 6); nothing in the first picture.

    Whole sequences follow each other from the second picture on. What is left at the end is the end of a sequence
    of the last pictures, or of one that begins with its first sound again and again.
    """
    moved = np.zeros((count, 6), np.float32)
    for first in range(1, count, networks.sequence):
        check()
        last = min(first + networks.sequence, count)
        wanted = np.maximum(np.arange(last - networks.sequence, last), 1)
        window = np.concatenate([hearing.windows(mels, int(i), int(i) + 1) for i in wanted])
        noise = random.standard_normal(networks.latent).astype(np.float32)
        moved[first:last] = networks.poses(window, reference, noise, style)[first - last :]
    return _smoothed(moved)


def _smoothed(poses: Array) -> Array:
    """Each row by the polynomial through those around it; near the ends by that of the outermost rows."""
    width = min(_SMOOTHED, (len(poses) - 1) // 2 * 2 + 1)
    if width <= _ORDER:
        return poses
    powers = np.vander(np.arange(width) - width // 2, _ORDER + 1, increasing=True).astype(np.float64)
    fitted = powers @ np.linalg.pinv(powers)
    smooth = np.empty(poses.shape, np.float64)
    half = width // 2
    around = np.lib.stride_tricks.sliding_window_view(poses, width, axis=0)
    smooth[half : len(poses) - half] = around @ fitted[half]
    smooth[:half] = fitted[:half] @ poses[:width]
    smooth[len(poses) - half :] = fitted[width - half :] @ poses[len(poses) - width :]
    return smooth.astype(np.float32)


def _semantics(rows: Array, first: int, last: int) -> Array:
    """Each picture's coefficients with those around it, float32 (n, coefficients, 27); ends are held."""
    around = np.arange(first, last)[:, None] + np.arange(-RADIUS, RADIUS + 1)
    return np.ascontiguousarray(rows[np.clip(around, 0, len(rows) - 1)].transpose(0, 2, 1))


def _window(count: int, rate: int, ramp: float) -> NDArray[np.float64]:
    """0 on the first and the last picture, 1 between."""
    return rest_window(count, rate, ramp, ramp) if count > 2 else np.zeros(count)


def _resampled(values: Array, at: NDArray[np.floating[Any]]) -> Array:
    """Rows of `values` at fractional places, straight lines between them; float32."""
    if len(values) == 1:
        return np.repeat(values, len(at), axis=0)
    low = np.clip(at.astype(np.int64), 0, len(values) - 2)
    share = np.clip(at - low, 0, 1).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[low] + share * (values[low + 1] - values[low]), np.float32)
