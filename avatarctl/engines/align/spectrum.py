"""Mel spectra and cepstra: what two recordings of the same words have in common, whoever spoke and however fast.

Frames of 25 ms, one each 10 ms, cut in seconds: recordings of different sample rates give comparable frames.
Davis and Mermelstein (1980), Comparison of parametric representations for monosyllabic word recognition.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

HOP = 0.01
"""Seconds between two frames."""
BANDS = 26
COEFFICIENTS = 13
_WINDOW = 0.025
_LOWEST, HIGHEST = 90.0, 7600.0
"""Hertz."""
_SLOPE_REACH = 2
_TINY = 1e-12
_DELTA_WEIGHT = 0.7


def upper_limit(*rates: int) -> float:
    """The highest frequency that recordings of these sample rates share, hertz."""
    return min(HIGHEST, *(0.47 * rate for rate in rates))


def margin(rate: int) -> int:
    """Samples that have to be known on either side of a frame's middle."""
    return round(_WINDOW * rate / 2)


@cache
def bank(size: int, rate: int, highest: float = HIGHEST, warp: float = 1.0) -> NDArray[np.float32]:
    """Triangular filters, float32 (size // 2 + 1, BANDS). `warp` stretches the frequencies of the recording."""

    def mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = 1127.0 * np.log1p(hertz / 700.0)
        return scaled

    low, high = mel(np.array([_LOWEST, highest]))
    borders = np.linspace(low, high, BANDS + 2)
    # Near the upper limit nothing is warped, so that every filter keeps something to hear.
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    knee = 0.8 * highest / max(warp, 1.0)
    bent = knee * warp + (frequencies - knee) * (highest - knee * warp) / (highest - knee)
    place = mel(np.where(frequencies < knee, frequencies * warp, bent).clip(0))[:, None]
    rising = (place - borders[:-2]) / (borders[1:-1] - borders[:-2])
    falling = (borders[2:] - place) / (borders[2:] - borders[1:-1])
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None), np.float32)


def mel_power(
    samples: NDArray[np.float32], rate: int, count: int, highest: float, warp: float = 1.0
) -> NDArray[np.float32]:
    """Power in each band, float32 (count, BANDS); frame i lies in the middle of hop i.

    Args:
        samples: float32 in [-1, 1], with `margin(rate)` more before the first hop and after the last.
        rate: hertz.
        highest: upper end of the last band, hertz.
        warp: factor on the frequencies, for a longer or shorter vocal tract.
    """
    length = 2 * margin(rate)
    middles = np.round((np.arange(count) + 0.5) * HOP * rate).astype(np.int64)
    window = np.hamming(length).astype(np.float32)
    size = 1 << (length - 1).bit_length()
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[middles] * window
    power = np.abs(np.fft.rfft(frames, size)).astype(np.float32) ** 2
    # Without this a higher sample rate would mean more power for the same sound.
    scale = np.float32(1.0 / (size * float((window**2).sum())))
    return np.asarray((power * scale) @ bank(size, rate, round(highest, 3), round(warp, 4)), np.float32)


def log_power(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Natural logarithm, with a floor below everything that is heard."""
    logarithm: NDArray[np.float32] = np.log(power + np.float32(_TINY))
    return logarithm


@cache
def _cosines() -> NDArray[np.float32]:
    n, k = np.arange(BANDS)[:, None], np.arange(COEFFICIENTS)[None]
    return np.asarray(np.sqrt(2.0 / BANDS) * np.cos(np.pi * k * (n + 0.5) / BANDS), np.float32)


def cepstra(logs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cepstral coefficients of log powers, float32 (frames, COEFFICIENTS)."""
    return np.asarray(logs @ _cosines(), np.float32)


def slopes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """How each column changes, by regression over five frames; the same shape."""
    padded = np.pad(values, ((_SLOPE_REACH, _SLOPE_REACH), (0, 0)), mode="edge")
    count = len(values)
    total = np.zeros_like(values)
    for step in range(1, _SLOPE_REACH + 1):
        total += step * (
            padded[_SLOPE_REACH + step : _SLOPE_REACH + step + count]
            - padded[_SLOPE_REACH - step : _SLOPE_REACH - step + count]
        )
    return total / np.float32(2 * sum(step**2 for step in range(1, _SLOPE_REACH + 1)))


class Normaliser:
    """Cepstral mean and variance normalisation: each coefficient and each slope gets mean 0 and variance 1."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        """`values`: cepstra of speech, float32 (frames, COEFFICIENTS)."""
        change = slopes(values)
        self._mean = values.mean(axis=0)
        self._deviation = np.maximum(values.std(axis=0), np.float32(1e-3))
        self._change = np.maximum(change.std(axis=0), np.float32(1e-3))

    def still(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of a sound that does not change, float32 (frames, 2 * COEFFICIENTS)."""
        return self._joined(values, np.zeros_like(values))

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of cepstra, float32 (frames, 2 * COEFFICIENTS)."""
        return self._joined(values, slopes(values))

    def _joined(self, values: NDArray[np.float32], change: NDArray[np.float32]) -> NDArray[np.float32]:
        static = (values - self._mean) / self._deviation
        return np.hstack([static, np.float32(_DELTA_WEIGHT) * change / self._change]).astype(np.float32)
