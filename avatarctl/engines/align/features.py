"""What a moment of sound looks like: loudness, share of hiss, and three ratios of bands that tell vowels apart.

Band ratios stand for the formants: they need no peak to be found, so they hold for high voices and telephone sound
too. `front` falls for o and u, whose second formant is low; `height` rises with the first formant, from i and u to
a; `back` tells i from u.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import spectrum
from avatarctl.engines.align.spectrum import HOP as HOP

_WINDOW = 0.025
_HISS_FROM = 3000.0
_SPEECH_BAND = (90.0, 8000.0)
_RATIOS = {
    "front": ((1400.0, 3000.0), (200.0, 1200.0)),
    "height": ((550.0, 1000.0), (200.0, 450.0)),
    "back": ((700.0, 1100.0), (1400.0, 3000.0)),
}
"""Hertz: the energy of the first band over that of the second."""


@dataclass(frozen=True, slots=True)
class Features:
    """Each float32 (frames,): `level` in dB of full scale, `hiss` 0..1, the ratios in dB. `bands`: power in mel bands,
    float32 (frames, spectrum.BANDS), 0 in those above what the recording has."""

    level: NDArray[np.float32]
    hiss: NDArray[np.float32]
    front: NDArray[np.float32]
    height: NDArray[np.float32]
    back: NDArray[np.float32]
    bands: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: list[Features]) -> Features:
        """One after another."""
        if not parts:
            return cls(*(np.zeros(0, np.float32),) * 5, np.zeros((0, spectrum.BANDS), np.float32))
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


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
    ratios = {name: _decibels(power, frequencies, *bands) for name, bands in _RATIOS.items()}
    bands = (power * scale).astype(np.float32) @ spectrum.bank(size, rate)
    return Features(level.astype(np.float32), hiss.astype(np.float32), **ratios, bands=bands)


def _decibels(power: NDArray[Any], frequencies: NDArray[Any], *bands: tuple[float, float]) -> NDArray[np.float32]:
    first, second = (power[:, (frequencies >= low) & (frequencies < high)].sum(axis=1) + 1e-9 for low, high in bands)
    ratio: NDArray[np.float32] = (10 * np.log10(first / second)).astype(np.float32)
    return ratio
