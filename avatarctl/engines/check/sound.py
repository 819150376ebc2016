"""What a film's sound is: its loudness, its peaks, and where in it the given recordings are heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check.film import Check, Film, samples
from avatarctl.media import wav
from avatarctl.media.probe import FULL_SCALE

Floats = NDArray[np.float32]

RATE = 48_000
LOW = 4_000
"""Hertz at which film and recordings are compared: speech has most of its energy below 2 kHz."""
SILENCE = -70.0
"""LUFS and dBFS at and below which it is silence."""

_BLOCK = 1.0
"""Seconds that are decoded at a time."""
_HOP = 0.1
_TAIL = round(0.1 * RATE)
"""The filters' response has died down (e^-24) after this many samples."""
_PIECE = 30.0
"""Seconds of a recording that are looked for at a time."""
_REACH = 1.0
"""Seconds on either side within which they are looked for."""
_SAME = 0.3
"""Correlation of waveforms from which the film's sound is that of the recordings."""

# ITU-R BS.1770-4, tables 1 and 2, for 48 kHz: numerator and denominator of the two stages of the K-weighting.
_STAGES = (
    ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)


@dataclass(frozen=True, slots=True)
class Sound:
    """`lufs`: integrated loudness (ITU-R BS.1770-4, gated), LUFS, None below 0.4 s; `peak`: highest sample, dBFS;
    `clipped`: share of samples at full scale, 0..1; `duration`: seconds from the first picture to the sound's end;
    `low`: the mixed sound at `LOW` hertz."""

    lufs: float | None
    peak: float
    clipped: float
    duration: float
    low: Floats


def measure(film: Film, check: Check) -> Sound:
    """Decode the sound once, in blocks; what stays in memory is `low`, 16 kB a second."""
    weighting = _KWeighting(film.channels)
    energies: list[float] = []
    low: list[Floats] = []
    count, clipped, peak = 0, 0, 0.0
    for block in samples(film, RATE, _BLOCK, check):
        loud = np.abs(block)
        count += len(block)
        clipped += int(np.count_nonzero(loud >= FULL_SCALE))
        peak = max(peak, float(loud.max()))
        energies += weighting.energies(block)
        mixed = block.mean(axis=1)
        whole = len(mixed) - len(mixed) % (RATE // LOW)
        low.append(mixed[:whole].reshape(-1, RATE // LOW).mean(axis=1))
    return Sound(
        lufs=_gated(np.array(energies)),
        peak=max(SILENCE, 20 * np.log10(max(peak, 1e-9))),
        clipped=clipped / max(1, count * film.channels),
        duration=count / RATE,
        low=np.concatenate(low) if low else np.zeros(0, np.float32),
    )


@cache
def _response(size: int) -> NDArray[np.complex128]:
    """What the K-weighting does to each frequency of a spectrum of so many samples, complex128 (size // 2 + 1,)."""
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones_like(turn)
    for above, below in _STAGES:
        response *= np.polyval(above[::-1], turn) / np.polyval(below[::-1], turn)
    return np.asarray(response)


class _KWeighting:
    """The filters as products of spectra, since a recursion sample by sample would be slow here."""

    def __init__(self, channels: int) -> None:
        self._size = round(_BLOCK * RATE) + _TAIL
        self._response = _response(self._size)
        self._before = np.zeros((_TAIL, channels), np.float32)

    def energies(self, block: Floats) -> list[float]:
        """Mean squares of each whole hop, channels added up."""
        padded = np.zeros((self._size, block.shape[1]), np.float32)
        padded[:_TAIL] = self._before
        padded[_TAIL : _TAIL + len(block)] = block
        weighted = np.fft.irfft(np.fft.rfft(padded, axis=0) * self._response[:, None], self._size, axis=0)
        self._before = padded[len(block) : len(block) + _TAIL].copy()
        hop = round(_HOP * RATE)
        heard = weighted[_TAIL : _TAIL + len(block) - len(block) % hop]
        energies: list[float] = (heard**2).sum(axis=1).reshape(-1, hop).mean(axis=1).tolist()
        return energies


def _gated(hops: NDArray[np.float64]) -> float | None:
    """Loudness over blocks of 0.4 s that overlap by 0.3 s: those above -70 LUFS, then those within 10 LU of these."""
    if len(hops) < 4:
        return None
    blocks = np.convolve(hops, np.full(4, 0.25), "valid")

    def loudness(energy: float) -> float:
        return -0.691 + 10 * float(np.log10(max(energy, 1e-12)))

    gate = 10 ** ((SILENCE + 0.691) / 10)
    above = blocks[blocks > gate]
    if not above.size:
        return SILENCE
    return loudness(float(blocks[blocks > max(gate, 0.1 * above.mean())].mean()))


def shift(film: Floats, recordings: Sequence[tuple[float, Path]], check: Check) -> float | None:
    """Seconds by which the film's sound is late against where its recordings belong; below 0: early.

    The waveforms are correlated at `LOW` hertz, all pieces of all recordings together, and the peak is found
    between the samples by a parabola. None when the film's sound is another one.

    Args:
        film: the film's sound at `LOW` hertz.
        recordings: for each, the second of the film at which it belongs.
    """
    reach = round(_REACH * LOW)
    total = np.zeros(2 * reach + 1)
    energy = [0.0, 0.0]
    for start, path in recordings:
        for offset, piece in _pieces(path):
            check()
            first = round((start + offset) * LOW) - reach
            heard = _part(film, first, len(piece) + 2 * reach)
            size = 1 << (len(heard) + len(piece)).bit_length()
            spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(piece, size))
            total += np.fft.irfft(spectrum, size)[: 2 * reach + 1]
            energy[0] += float(np.dot(piece, piece))
            middle = heard[reach : len(heard) - reach]
            energy[1] += float(np.dot(middle, middle))
    best = int(np.argmax(total))
    # A shift of the sound leaves its energy in the middle nearly what it was.
    if energy[0] * energy[1] == 0 or total[best] < _SAME * np.sqrt(energy[0] * energy[1]):
        return None
    return (best + peak_between(total, best) - reach) / LOW


def peak_between(values: NDArray[np.float64], best: int) -> float:
    """Where around index `best` the parabola through it and its neighbours is highest, -0.5..0.5."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, at, after = values[best - 1 : best + 2]
    bend = before - 2 * at + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _part(signal: Floats, first: int, count: int) -> Floats:
    """`count` samples from index `first` on, zeros where there are none."""
    part = np.zeros(count, np.float32)
    low, high = max(first, 0), min(first + count, len(signal))
    if high > low:
        part[low - first : high - first] = signal[low:high]
    return part


def _pieces(path: Path) -> Iterator[tuple[float, Floats]]:
    """A recording at `LOW` hertz, piece by piece: the second at which each begins, and the piece."""
    with wav.reader(path) as stream:
        rate, channels = stream.getframerate(), stream.getnchannels()
        at = 0.0
        while data := stream.readframes(round(_PIECE * rate)):
            whole = np.frombuffer(data, "<i2").reshape(-1, channels).mean(axis=1) / 32768
            # The mean of the samples within each step, exact for any rate.
            added = np.concatenate([[0.0], np.cumsum(whole)])
            steps = np.arange(int(len(whole) * LOW / rate) + 1) * (rate / LOW)
            piece = np.diff(np.interp(steps, np.arange(len(added)), added)) * (LOW / rate)
            yield at, piece.astype(np.float32)
            at += _PIECE
