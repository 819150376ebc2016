"""The loudness of a recording over time, read in blocks: memory grows by one number for each hundredth of a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.media import wav
from avatarctl.text.loudness import HOP, LOWEST, Loudness

_BLOCK = 1000
"""Hops read at a time."""
_SMOOTHED = 5
"""Hops."""
_SPEECH_RANGE = 30.0
"""Decibels below the loudest moments within which there is speech."""
_SILENT = -70.0
"""Decibels of full scale below which nothing is heard at all."""
_WINDOW, _REACH = 1000, 1500
"""Hops between two medians, and to either side of each that it is taken of."""
_FEWEST = 20
_FLOOR_PERCENTILE = 4


def measure(path: Path) -> Loudness | None:
    """Loudness of a 16-bit WAV; None when there is nothing to be heard in it.

    Raises:
        StepFailed: it is none.
    """
    level = _levels(path)
    if not len(level):
        return None
    loudest = float(np.percentile(level, 97))
    if loudest < _SILENT:
        return None
    speech = level > loudest - _SPEECH_RANGE
    relative = np.clip(level - _usual(level, speech), LOWEST, 30.0).astype(np.float32)
    return Loudness(relative, float(np.percentile(relative, _FLOOR_PERCENTILE)))


def _levels(path: Path) -> NDArray[np.float64]:
    """Decibels of full scale of each hop, smoothed."""
    with wav.reader(path) as file:
        channels, _, rate, frames = file.getparams()[:4]
        count = int(frames / (rate * HOP))
        parts = []
        for first in range(0, count, _BLOCK):
            bounds = np.round(np.arange(first, min(first + _BLOCK, count) + 1) * (rate * HOP)).astype(np.int64)
            raw = np.frombuffer(file.readframes(int(bounds[-1] - bounds[0])), "<i2").astype(np.float64)
            squares = (raw.reshape(-1, channels) ** 2).mean(axis=1)
            bounds -= bounds[0]
            kept = bounds[:-1][bounds[:-1] < len(squares)]
            parts.append(np.add.reduceat(squares, kept) / np.diff(bounds)[: len(kept)])
    if not parts:
        return np.zeros(0)
    power = np.concatenate(parts) / 32768**2
    around = np.full(_SMOOTHED, 1 / _SMOOTHED)
    smooth = np.convolve(np.pad(power, _SMOOTHED // 2, mode="edge"), around, mode="valid")
    decibels: NDArray[np.float64] = 10 * np.log10(smooth + 1e-12)
    return decibels


def _usual(level: NDArray[np.float64], speech: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The median of the speech around each hop: a voice that comes nearer to the microphone is no shout."""
    whole = float(np.median(level[speech]))
    middles = np.arange(_WINDOW // 2, max(len(level), _WINDOW), _WINDOW)
    medians = []
    for middle in middles:
        near = slice(max(middle - _REACH, 0), middle + _REACH)
        said = level[near][speech[near]]
        medians.append(float(np.median(said)) if len(said) >= _FEWEST else whole)
    usual: NDArray[np.float64] = np.interp(np.arange(len(level)), middles, medians)
    return usual
