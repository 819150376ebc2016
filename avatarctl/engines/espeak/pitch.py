"""Which pitch setting gives a wanted median F0: measured once per voice, on espeak-ng's own speech."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.espeak import library
from avatarctl.errors import StepFailed

_PROBE = {
    "ru": "Мы поговорим о малых делах, милая моя, и о доме на длинном лугу.",
    "en": "We are willing to allow a long morning alone in our room.",
}
_SETTINGS = (0, 50, 99)
_LOWEST, _HIGHEST = 55.0, 450.0
_WINDOW, _HOP = 0.06, 0.02
FEMALE_FROM = 160.0
"""Hz; from here on the own voice of most languages sounds strained, and a female variant is taken."""


def variant_for(f0: float) -> str:
    """The voice variant whose natural pitch is nearest."""
    return "f1" if f0 >= FEMALE_FROM else ""


def setting_for(f0: float, voice: str, rate: int, intonation: int) -> int:
    """The setting (0..99) whose median F0 is nearest to `f0` hertz."""
    settings = np.arange(100)
    measured = np.log(np.array(_curve(voice, rate, intonation)))
    fitted = np.polyval(np.polyfit(np.array(_SETTINGS), measured, 2), settings)
    return int(np.abs(fitted - np.log(f0)).argmin())


@cache
def _curve(voice: str, rate: int, intonation: int) -> tuple[float, ...]:
    """Median F0 at the three settings. Each is spoken by a fresh library, so it is the same in every process."""
    text = _PROBE.get(voice.split("-")[0].split("+")[0], _PROBE["en"])
    measured = []
    for pitch in _SETTINGS:
        with library.opened() as espeak:
            espeak.choose(voice, rate=rate, pitch=pitch, intonation=intonation)
            spoken = espeak.synthesise(text)
        f0 = median_f0(spoken.samples, spoken.rate) if spoken else None
        if f0 is None:
            raise StepFailed(f"the pitch of espeak-ng's voice {voice} cannot be measured")
        measured.append(f0)
    return tuple(measured)


def median_f0(samples: NDArray[np.int16], rate: int) -> float | None:
    """Median F0 of clean synthetic speech, Hz, by autocorrelation; None when nothing is voiced.

    The autocorrelation is divided by the window's own (Boersma 1993), else long periods would lose.
    """
    length, hop = int(_WINDOW * rate), int(_HOP * rate)
    if len(samples) < length:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop].astype(np.float64)
    windows = windows - windows.mean(axis=1, keepdims=True)
    size = 1 << (2 * length - 1).bit_length()
    taper = np.hanning(length)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(windows * taper, size)) ** 2)
    own = np.fft.irfft(np.abs(np.fft.rfft(taper, size)) ** 2)
    first, last = int(rate / _HIGHEST), int(rate / _LOWEST)
    power = correlation[:, :1]
    normalised = correlation[:, first:last] / np.maximum(power, 1e-9) / (own[first:last] / own[0])
    best = normalised.max(axis=1)
    # The first lag that is nearly the best: twice the period correlates as well.
    lags = first + (normalised >= 0.9 * best[:, None]).argmax(axis=1)
    peaks = normalised[:, 1:-1]
    local = (peaks >= normalised[:, :-2]) & (peaks >= normalised[:, 2:]) & (peaks >= 0.9 * best[:, None])
    lags = np.where(local.any(axis=1), first + 1 + local.argmax(axis=1), lags)
    voiced = (best > 0.6) & (power[:, 0] > 0.02 * power.max())
    return float(np.median(rate / lags[voiced])) if voiced.any() else None
