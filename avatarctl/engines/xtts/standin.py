"""The parts of torchaudio that XTTS calls, on torch alone: in place of torchaudio and torchcodec.

torchaudio's wheels fit one build of one torch, and break others that they are imported beside; XTTS wants three
functions of it. These follow the documented definitions, and their modules' state has the names that the weights have.
"""

from __future__ import annotations

import importlib.machinery
import math
import sys
import types
import wave
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

_LOBES = 6
"""Zero crossings of the sinc to either side that a sample is interpolated from."""
_ROLLOFF = 0.99
"""Where the low-pass begins, of the lower rate's half."""


def install() -> None:
    """Make `import torchaudio` and `import torchcodec` give what is in this module, whatever is installed."""
    audio = _module("torchaudio", load=load)
    _module("torchaudio.functional", audio, resample=resample)
    _module("torchaudio.transforms", audio, MelSpectrogram=MelSpectrogram)
    _module("torchcodec")


def _module(name: str, parent: types.ModuleType | None = None, **members: object) -> types.ModuleType:
    made = types.ModuleType(name, __doc__)
    # `find_spec` refuses a loaded module that has none.
    made.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=parent is None)
    made.__path__ = []
    vars(made).update(members)
    sys.modules[name] = made
    if parent is not None:
        setattr(parent, name.rpartition(".")[2], made)
    return made


def load(path: str | Path) -> tuple[Tensor, int]:
    """A 16-bit WAV as float32 (channels, samples) in [-1, 1), and its rate in hertz."""
    with wave.open(str(path), "rb") as file:
        channels, width, rate, frames = file.getparams()[:4]
        if width != 2:
            raise ValueError(f"{8 * width} bits a sample instead of 16")
        data = torch.frombuffer(bytearray(file.readframes(frames)), dtype=torch.int16)
    return data.reshape(-1, channels).T.to(torch.float32) / 32768, rate


def resample(waveform: Tensor, orig_freq: int, new_freq: int) -> Tensor:
    """(..., samples) at another rate, by a sinc under a squared cosine of `_LOBES` lobes.

    Smith, Digital Audio Resampling, https://ccrma.stanford.edu/~jos/resample/.
    """
    common = math.gcd(int(orig_freq), int(new_freq))
    old, new = int(orig_freq) // common, int(new_freq) // common
    if old == new:
        return waveform
    cutoff = _ROLLOFF * min(old, new)
    reach = math.ceil(_LOBES * old / cutoff)
    # One filter for each of the `new` places that a sample can have between `old` ones; times in units of old / common.
    taps = torch.arange(-reach, old + reach, dtype=torch.float64) / old
    places = torch.arange(new, dtype=torch.float64).unsqueeze(1) / new
    phase = ((taps - places) * cutoff).clamp(-_LOBES, _LOBES)
    filters = torch.sinc(phase) * torch.cos(phase * (math.pi / 2 / _LOBES)) ** 2 * (cutoff / old)
    samples = waveform.reshape(-1, 1, waveform.shape[-1])
    padded = nn.functional.pad(samples, (reach, reach + old))
    made = nn.functional.conv1d(padded, filters.unsqueeze(1).to(samples), stride=old)
    length = math.ceil(new * waveform.shape[-1] / old)
    return made.transpose(1, 2).reshape(*waveform.shape[:-1], -1)[..., :length]


class _Spectrogram(nn.Module):  # type: ignore[misc]
    def __init__(self, window: Tensor) -> None:
        super().__init__()
        self.register_buffer("window", window)


class _Bands(nn.Module):  # type: ignore[misc]
    def __init__(self, bands: Tensor) -> None:
        super().__init__()
        self.register_buffer("fb", bands)


class MelSpectrogram(nn.Module):  # type: ignore[misc]
    """Power in mel bands (HTK's scale): (..., samples) to (..., n_mels, frames)."""

    def __init__(
        self,
        sample_rate: int = 16_000,
        n_fft: int = 400,
        win_length: int | None = None,
        hop_length: int | None = None,
        f_min: float = 0.0,
        f_max: float | None = None,
        n_mels: int = 128,
        window_fn: Callable[[int], Tensor] = torch.hann_window,
        power: float = 2.0,
        normalized: bool = False,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        if normalized:
            raise NotImplementedError("normalized spectrograms")
        self._n_fft, self._win = n_fft, win_length or n_fft
        self._hop = hop_length or self._win // 2
        self._power = power
        self.spectrogram = _Spectrogram(window_fn(self._win))
        self.mel_scale = _Bands(_mel_bands(n_fft // 2 + 1, f_min, f_max or sample_rate // 2, n_mels, sample_rate, norm))

    def forward(self, waveform: Tensor) -> Tensor:
        """See the class."""
        flat = waveform.reshape(-1, waveform.shape[-1])
        spectrum = torch.stft(
            flat,
            self._n_fft,
            self._hop,
            self._win,
            self.spectrogram.window,
            center=True,
            pad_mode="reflect",
            onesided=True,
            return_complex=True,
        )
        power = spectrum.abs() ** self._power
        bands = torch.matmul(power.transpose(-1, -2), self.mel_scale.fb).transpose(-1, -2)
        return bands.reshape(*waveform.shape[:-1], *bands.shape[-2:])


def _mel_bands(bins: int, lowest: float, highest: float, count: int, rate: int, norm: str | None) -> Tensor:
    """Triangles between evenly spaced mels, float32 (bins, count); `norm="slaney"`: of equal area."""

    def mels(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    corners = 700 * (10 ** (torch.linspace(mels(lowest), mels(highest), count + 2) / 2595) - 1)
    frequencies = torch.linspace(0, rate // 2, bins).unsqueeze(1)
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (frequencies - left) / (middle - left), (right - frequencies) / (right - middle)
    bands = torch.minimum(rising, falling).clamp(min=0)
    return bands * (2 / (right - left)) if norm == "slaney" else bands
