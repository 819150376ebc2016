"""Speech as the networks hear it: mel windows of 0.2 seconds around each picture.

The mel spectrogram is that of Wav2Lip (Prajwal et al., 2020), on which the audio encoder was trained: 16 kHz,
pre-emphasis 0.97, Hann windows of 50 ms every 12.5 ms, 80 bands of Slaney's scale from 55 to 7600 Hz, decibels from
-100 to 0 on [-4, 4].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.media import audio

Array = NDArray[np.float32]

SAMPLE_RATE = 16_000
RATE = 25
"""Pictures a second that the networks were trained on."""
BANDS, STEPS = 80, 16
"""Bands and steps of a window."""

_WINDOW, _HOP = 800, 200
_PRE_EMPHASIS = 0.97
_LOWEST, _HIGHEST = 55.0, 7600.0
_QUIETEST_DB, _REFERENCE_DB, _RANGE = -100.0, 20.0, 4.0
_AHEAD = 2
"""Pictures by which a window begins before its own."""
_BLOCK = 4096
"""Steps that are transformed at a time."""


def mel_spectrogram(path: Path, pictures: int) -> Array:
    """Of a WAV, continued by silence or cut to so many pictures: float32 (steps, BANDS), 80 steps a second."""
    wanted = pictures * SAMPLE_RATE // RATE
    heard = np.zeros(wanted, np.int16)
    filled = 0
    for block in audio.pcm_blocks(path, SAMPLE_RATE):
        part = block[: wanted - filled]
        heard[filled : filled + part.size] = part
        filled += part.size
    return _mels(heard)


def windows(mels: Array, first: int, last: int) -> Array:
    """The windows of pictures `first` to `last` (not included), float32 (n, BANDS, STEPS)."""
    # Towards zero, as it was in training.
    starts = (80.0 * (np.arange(first, last) - _AHEAD) / RATE).astype(np.int64)
    steps = np.clip(starts[:, None] + np.arange(STEPS), 0, len(mels) - 1)
    return np.ascontiguousarray(mels[steps].transpose(0, 2, 1))


def _mels(heard: NDArray[np.int16]) -> Array:
    steps = 1 + heard.size // _HOP
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    bands = _bands()
    made = np.empty((steps, BANDS), np.float32)
    for first in range(0, steps, _BLOCK):
        last = min(first + _BLOCK, steps)
        # Windows are centred: half a window of silence stands before and behind the sound.
        begin = first * _HOP - _WINDOW // 2
        wave = _emphasised(heard, begin, (last - 1) * _HOP + _WINDOW - _WINDOW // 2)
        frames = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW)[::_HOP]
        strength = np.abs(np.fft.rfft(frames * hann, axis=1)) @ bands.T
        decibels = 20 * np.log10(np.maximum(10 ** (_QUIETEST_DB / 20), strength)) - _REFERENCE_DB
        scaled = 2 * _RANGE * (decibels - _QUIETEST_DB) / -_QUIETEST_DB - _RANGE
        made[first:last] = np.clip(scaled, -_RANGE, _RANGE)
    return made


def _emphasised(heard: NDArray[np.int16], begin: int, end: int) -> NDArray[np.float64]:
    """Samples from `begin` to `end` in [-1, 1], each less the most of the one before; 0 beyond the sound."""
    low, high = max(begin, 0), min(end, heard.size)
    before = heard[low - 1 : low] if low else np.zeros(1, np.int16)
    wave = np.concatenate([before, heard[low:high]]).astype(np.float64) / 32768
    return np.pad(wave[1:] - _PRE_EMPHASIS * wave[:-1], (low - begin, end - high))


def _bands() -> NDArray[np.float64]:
    """Triangles of equal area over the spectrum, float64 (BANDS, _WINDOW // 2 + 1)."""
    edges = _hertz(np.linspace(_mel(_LOWEST), _mel(_HIGHEST), BANDS + 2))
    bins = np.arange(_WINDOW // 2 + 1) * SAMPLE_RATE / _WINDOW
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    return triangles * 2 / (high - low)


# Slaney's scale: even up to 1 kHz, logarithmic above.
_LINEAR, _KNEE, _RATIO = 200 / 3, 1000.0, np.log(6.4) / 27


def _mel(hertz: float) -> float:
    if hertz < _KNEE:
        return hertz / _LINEAR
    return float(_KNEE / _LINEAR + np.log(hertz / _KNEE) / _RATIO)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _KNEE / _LINEAR
    return np.where(mels < knee, mels * _LINEAR, _KNEE * np.exp(_RATIO * (mels - knee)))
