"""WAV files of 16 bits, which every recording of our own is. Needs no ffmpeg, so that workers can use it too."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import StepFailed


@dataclass(frozen=True, slots=True)
class WavInfo:
    """`duration` in seconds, `sample_rate` in hertz, `frames`: samples of one channel."""

    duration: float
    sample_rate: int
    frames: int
    channels: int


@contextmanager
def reader(path: Path) -> Iterator[wave.Wave_read]:
    """The file, open. Raises `StepFailed` if it is no WAV of 16 bits."""
    try:
        with wave.open(str(path), "rb") as stream:
            if stream.getsampwidth() != 2:
                raise StepFailed("the sound is not 16-bit PCM")
            yield stream
    except (wave.Error, EOFError) as error:
        raise StepFailed("the sound is not a WAV file", why=str(error)) from error


@contextmanager
def writer(path: Path, sample_rate: int) -> Iterator[wave.Wave_write]:
    """A new mono file, to be given little-endian samples."""
    with path.open("wb") as raw, wave.open(raw, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(sample_rate)
        yield stream


def info(path: Path) -> WavInfo:
    """Length and rate. Raises `StepFailed` if it is no WAV of 16 bits."""
    with reader(path) as stream:
        rate, frames = stream.getframerate(), stream.getnframes()
        return WavInfo(frames / rate, rate, frames, stream.getnchannels())


def write(path: Path, samples: NDArray[np.float32], sample_rate: int) -> None:
    """float32 (samples,) in [-1, 1] as 16-bit mono; what is beyond is clipped. Equal samples, equal bytes."""
    write_pcm(path, np.clip(np.rint(samples.astype(np.float64) * 32768), -32768, 32767).astype(np.int16), sample_rate)


def write_pcm(path: Path, samples: NDArray[np.int16], sample_rate: int) -> None:
    """int16 (samples,) as mono."""
    with writer(path, sample_rate) as stream:
        stream.writeframes(samples.astype("<i2", copy=False).tobytes())


def write_silence(path: Path, seconds: float, sample_rate: int) -> None:
    """So many seconds of nothing as 16-bit mono."""
    write_pcm(path, np.zeros(round(seconds * sample_rate), np.int16), sample_rate)
