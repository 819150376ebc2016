"""What a moment of sound looks like: loudness, share of hiss, and the first two formants.

Formants come from selective linear prediction (Makhoul 1975): the autocorrelation of the part of the power
spectrum below 5 kHz, whatever the sample rate, then the Levinson-Durbin recursion for all frames at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOP = 0.01
"""Seconds between two frames."""
_WINDOW = 0.025
_FORMANT_BAND = 5000.0
_HISS_FROM = 3000.0
_SPEECH_BAND = (90.0, 8000.0)
_ORDER = 10
_GRID = np.arange(200.0, 3400.0, 25.0)
_F1, _F2 = (230.0, 950.0), (650.0, 2700.0)
_PREEMPHASIS = 50.0
"""Hertz; above it the spectrum is raised by 6 dB an octave, as the voice falls."""


@dataclass(frozen=True, slots=True)
class Features:
    """Each float32 (frames,): `level` in dB of full scale, `hiss` 0..1, `f1` and `f2` in hertz."""

    level: NDArray[np.float32]
    hiss: NDArray[np.float32]
    f1: NDArray[np.float32]
    f2: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: list[Features]) -> Features:
        """One after another."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("level", "hiss", "f1", "f2")))


def margin(rate: int) -> int:
    """Samples that have to be known on either side of a frame's middle."""
    return round(_WINDOW * rate / 2)


def measure(samples: NDArray[np.float32], rate: int, count: int) -> Features:
    """Features of `count` frames, frame i in the middle of hop i. `samples`: float32, -1..1, with `margin(rate)`
    more before the first hop and after the last."""
    length = 2 * margin(rate)
    middles = np.round((np.arange(count) + 0.5) * HOP * rate).astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(samples, length)[middles] * np.hanning(length).astype(np.float32)
    size = 1 << (length - 1).bit_length()
    power = np.abs(np.fft.rfft(windows, size)) ** 2
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    speech = (frequencies >= _SPEECH_BAND[0]) & (frequencies <= _SPEECH_BAND[1])
    energy = power[:, speech].sum(axis=1)
    hiss = power[:, speech & (frequencies >= _HISS_FROM)].sum(axis=1) / (energy + 1e-12)
    scale = 2 / (size * float((np.hanning(length) ** 2).sum()))
    level = 10 * np.log10(energy * scale + 1e-12)
    f1, f2 = _formants(power, frequencies)
    return Features(level.astype(np.float32), hiss.astype(np.float32), f1, f2)


def _formants(
    power: NDArray[np.float64], frequencies: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    band = power[:, frequencies <= _FORMANT_BAND] * (frequencies[frequencies <= _FORMANT_BAND] ** 2 + _PREEMPHASIS**2)
    correlation = np.fft.irfft(band)[:, : _ORDER + 1]
    correlation = correlation / (correlation[:, :1] + 1e-12)
    correlation[:, 0] += 1e-4
    predictor = _levinson(correlation)
    top = float(frequencies[frequencies <= _FORMANT_BAND][-1])
    turns = np.exp(-1j * np.pi * np.outer(np.arange(_ORDER + 1), _GRID / top))
    envelope = 1 / (np.abs(predictor @ turns) ** 2 + 1e-12)
    f1 = _peak(envelope, np.full(len(envelope), _F1[0]), np.full(len(envelope), _F1[1]))
    f2 = _peak(envelope, np.maximum(f1 + 200, _F2[0]), np.full(len(envelope), _F2[1]))
    return f1.astype(np.float32), f2.astype(np.float32)


def _levinson(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prediction polynomials (frames, order + 1) from autocorrelations (frames, order + 1)."""
    frames = len(correlation)
    predictor = np.zeros((frames, _ORDER + 1))
    predictor[:, 0] = 1.0
    error = correlation[:, 0].copy()
    for step in range(1, _ORDER + 1):
        reflection = -(predictor[:, :step] * correlation[:, step:0:-1]).sum(axis=1) / np.maximum(error, 1e-9)
        predictor[:, 1 : step + 1] += reflection[:, None] * predictor[:, step - 1 :: -1][:, :step]
        error *= np.maximum(1 - reflection**2, 1e-9)
    return predictor


def _peak(
    envelope: NDArray[np.float64], lowest: NDArray[np.float64], highest: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Frequency of the highest local peak between two frequencies of each frame; of the maximum where none is."""
    inside = (_GRID >= lowest[:, None]) & (_GRID <= highest[:, None])
    local = np.zeros_like(inside)
    local[:, 1:-1] = (envelope[:, 1:-1] >= envelope[:, :-2]) & (envelope[:, 1:-1] >= envelope[:, 2:])
    peaks = inside & local
    wanted = np.where(peaks.any(axis=1, keepdims=True), peaks, inside)
    found: NDArray[np.float64] = _GRID[np.where(wanted, envelope, -1.0).argmax(axis=1)]
    return found
