"""Fundamental frequency of a voice by YIN (de Cheveigné and Kawahara, 2002), vectorised over frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST_HZ = 50.0
HIGHEST_HZ = 500.0
THRESHOLD = 0.15
"""Aperiodicity below which a frame counts as voiced."""

ANALYSIS_RATE = 12_000
"""Hertz; enough for 500 Hz and its first harmonics."""

HOP_SECONDS = 0.01
WINDOW_SECONDS = 0.04
_SILENT_POWER = 1e-7
"""Mean square below which a frame is silence, -70 dBFS: nothing differs from nothing at any lag."""
_FRAMES_AT_ONCE = 2000


def track(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """F0 in hertz every 10 ms, 0 where it is not voiced; float32 (frames,). Frame i looks at the 40 ms from
    i * 10 ms on, and at what follows them up to one longest period.

    Args:
        samples: float32 (n,), mono.
        sample_rate: hertz.
    """
    step = max(1, round(sample_rate / ANALYSIS_RATE))
    rate = sample_rate / step
    usable = len(samples) // step * step
    # The mean of each group of samples is a low-pass good enough before thinning them out.
    thin = samples[:usable].reshape(-1, step).mean(axis=1).astype(np.float64)
    window, longest = int(WINDOW_SECONDS * rate), int(rate / LOWEST_HZ)
    hop = HOP_SECONDS * rate
    # Each rounded by itself, so that frame i stays at i * 10 ms in long recordings at odd rates.
    starts = (np.arange(max(0, int((len(thin) - window - longest) / hop))) * hop).astype(np.int64)
    parts = [
        _frames(thin, starts[i : i + _FRAMES_AT_ONCE], window, longest, rate)
        for i in range(0, len(starts), _FRAMES_AT_ONCE)
    ]
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)


def _frames(
    samples: NDArray[np.float64], starts: NDArray[np.int64], window: int, longest: int, rate: float
) -> NDArray[np.float64]:
    block = samples[starts[:, None] + np.arange(window + longest)]
    size = 1 << (window + 2 * longest).bit_length()
    head = np.fft.rfft(block[:, :window], size)
    whole = np.fft.rfft(block, size)
    correlation = np.fft.irfft(np.conj(head) * whole, size)[:, : longest + 1]
    squares = np.concatenate([np.zeros((len(block), 1)), np.cumsum(block**2, axis=1)], axis=1)
    energy = squares[:, window : window + longest + 1] - squares[:, : longest + 1]
    difference = np.maximum(energy[:, :1] + energy - 2 * correlation, 0)
    lags = np.arange(1, longest + 1)
    mean = np.cumsum(difference[:, 1:], axis=1) / lags
    normalised = np.ones_like(difference)
    normalised[:, 1:] = difference[:, 1:] / np.maximum(mean, 1e-12)
    normalised[energy[:, 0] < _SILENT_POWER * window] = 1.0
    shortest = int(rate / HIGHEST_HZ)
    return np.array([_period(row, shortest, rate) for row in normalised])


def _period(row: NDArray[np.float64], shortest: int, rate: float) -> float:
    """The first dip below the threshold, at its bottom, refined by a parabola; 0 if there is none."""
    below = np.flatnonzero(row[shortest:-1] < THRESHOLD)
    if not below.size:
        return 0.0
    lag = int(below[0]) + shortest
    while lag + 1 < len(row) - 1 and row[lag + 1] < row[lag]:
        lag += 1
    left, middle, right = row[lag - 1], row[lag], row[lag + 1]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend > 1e-9 else 0.0
    return rate / (lag + float(np.clip(shift, -0.5, 0.5)))
