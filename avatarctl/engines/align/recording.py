"""The recording that is to be aligned: its form checked, read in blocks, copied with silence at its ends."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.media import wav

WINDOW = 10.0
"""Seconds that are in memory at a time."""
_LOWEST_RATE = 8000


def checked(path: Path) -> tuple[int, int]:
    """(sample rate in hertz, number of samples).

    Raises:
        BadInput: not a mono WAV of 16 bits.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, frames = file.getparams()[:4]
    except (wave.Error, EOFError) as error:
        raise BadInput("the recording is not a WAV file", why=str(error) or "it ends too early") from error
    if channels != 1 or width != 2 or rate < _LOWEST_RATE:
        raise BadInput(
            "the recording has the wrong form",
            why=f"{channels} channels of {8 * width} bits at {rate} Hz",
            hint=f"make it mono, 16 bits, at least {_LOWEST_RATE} Hz",
        )
    return rate, frames


def blocks(file: wave.Wave_read, samples: int, job: Job) -> Iterator[bytes]:
    """What is left of a file. Raises `Cancelled` when the job was."""
    while data := file.readframes(samples):
        if job.cancelled():
            raise Cancelled
        yield data


def silence_needed(first: float, last: float, rate: int, frames: int, lead: float, pause: float) -> tuple[int, int]:
    """Samples of silence to add before and after a recording that speaks from `first` to `last`, seconds."""
    return max(round((lead - first) * rate), 0), max(round((pause - (frames / rate - last)) * rate), 0)


def copy(source: Path, target: Path, lead: int, tail: int, job: Job) -> None:
    """The recording with `lead` and `tail` samples of silence around it."""
    rate = wav.info(source).sample_rate
    with wav.reader(source) as file, wav.writer(target, rate) as made:
        made.writeframes(bytes(2 * lead))
        for data in blocks(file, round(WINDOW * rate), job):
            made.writeframes(data)
        made.writeframes(bytes(2 * tail))
