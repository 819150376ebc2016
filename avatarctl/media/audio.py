"""Sound of any common format, decoded safely; `media/wav.py` has the plain WAV of everything of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import BadInput, StepFailed
from avatarctl.media import ffmpeg, probe, wav

LOWEST_RATE = 8_000
HIGHEST_RATE = 48_000
SILENCE = 1e-3
"""Peak below which a recording counts as silent; full scale is 1."""


def pcm_blocks(path: Path, sample_rate: int, seconds: float = 10.0) -> Iterator[NDArray[np.int16]]:
    """A mono 16-bit WAV in blocks of int16 (samples,) at `sample_rate` hertz, resampled if that is not its own."""
    with wav.reader(path) as stream:
        if stream.getnchannels() != 1:
            raise StepFailed("the speech is not mono")
        if stream.getframerate() == sample_rate:
            while data := stream.readframes(round(seconds * sample_rate)):
                yield np.frombuffer(data, "<i2").astype(np.int16)
            return
    rest = b""
    with ffmpeg.Child(_mono(path, sample_rate, "s16le"), what=_cannot("speech")) as child:
        for block in child.chunks():
            data = rest + block
            whole = len(data) - len(data) % 2
            rest = data[whole:]
            yield np.frombuffer(data[:whole], "<i2").astype(np.int16)
        child.finish()


def decode(
    path: Path,
    sample_rate: int | None = None,
    max_seconds: float = 600.0,
    what: str = "voice",
    *,
    min_seconds: float = 0.0,
    check: Callable[[], None] | None = None,
) -> tuple[NDArray[np.float32], int]:
    """Decode sound of any common format to float32 mono (samples,) in [-1, 1], and its rate in hertz.

    The rate is the source's own, between 8 and 48 kHz, unless one is given.

    Raises:
        BadInput: not sound, longer than `max_seconds`, shorter than `min_seconds`, or silent.
    """
    rate = _source_rate(path, max_seconds, what) if sample_rate is None else sample_rate
    if sample_rate is not None:
        _source_rate(path, max_seconds, what)
    limit = int(max_seconds * rate)
    blocks: list[bytes] = []
    size = 0
    with ffmpeg.Child(_mono(path, rate, "s16le"), what=_cannot(what), blame=BadInput, check=check) as child:
        for block in child.chunks():
            blocks.append(block)
            size += len(block)
            if size > 2 * limit:
                raise _too_long(what, None, max_seconds)
        child.finish()
    samples = np.frombuffer(b"".join(blocks), "<i2").astype(np.float32) / np.float32(32768)
    _judge(len(samples) / rate, float(np.abs(samples).max(initial=0.0)), what, min_seconds)
    return samples, rate


def decode_to_wav(
    path: Path,
    out: Path,
    max_seconds: float,
    what: str = "recording",
    *,
    min_seconds: float = 0.3,
    check: Callable[[], None] | None = None,
) -> wav.WavInfo:
    """Decode sound of any common format and length into a mono 16-bit WAV at its own rate, in flat memory.

    Raises:
        BadInput: not sound, longer than `max_seconds`, shorter than `min_seconds`, or silent.
    """
    rate = _source_rate(path, max_seconds, what)
    frames, peak, rest = 0, 0, b""
    with (
        ffmpeg.Child(_mono(path, rate, "s16le"), what=_cannot(what), blame=BadInput, check=check) as child,
        wav.writer(out, rate) as stream,
    ):
        for block in child.chunks():
            data = rest + block
            whole = len(data) - len(data) % 2
            rest = data[whole:]
            samples = np.frombuffer(data[:whole], "<i2")
            frames += samples.size
            peak = max(peak, int(np.abs(samples.astype(np.int32)).max(initial=0)))
            if frames > max_seconds * rate:
                raise _too_long(what, None, max_seconds)
            stream.writeframesraw(data[:whole])
        child.finish()
    _judge(frames / rate, peak / 32768, what, min_seconds)
    return wav.WavInfo(frames / rate, rate, frames, 1)


def _mono(path: Path, rate: int, format: str) -> object:
    source = ffmpeg.source(path, ffmpeg.SOUND_FORMATS)
    return ffmpeg.to_pipe(source["a:0"], format=format, ac=1, ar=rate)


def _source_rate(path: Path, max_seconds: float, what: str) -> int:
    header = probe.header(path, what=_cannot(what), blame=BadInput)
    if header.sample_rate is None:
        raise BadInput(_cannot(what), why="there is no sound in it")
    # A guess from the bit rate may be far off: then only decoding tells.
    if header.duration is not None and not header.estimated and header.duration > max_seconds + 1:
        raise _too_long(what, header.duration, max_seconds)
    return min(max(header.sample_rate, LOWEST_RATE), HIGHEST_RATE)


def _cannot(what: str) -> str:
    return f"the {what} cannot be read as sound"


def _too_long(what: str, duration: float | None, limit: float) -> BadInput:
    found = f"{duration / 60:.0f} min" if duration else f"more than {limit / 60:.0f} min"
    return BadInput(f"the {what} is too long", why=found, hint=f"cut it to at most {limit / 60:.0f} min")


def _judge(duration: float, peak: float, what: str, min_seconds: float) -> None:
    if duration == 0:
        raise BadInput(f"the {what} is empty", why="there is no sound in it")
    if duration < min_seconds:
        raise BadInput(f"the {what} is too short", why=f"{duration:.2f} s", hint=f"at least {min_seconds:g} s")
    if peak < SILENCE:
        raise BadInput(f"the {what} is silent", hint="check the microphone and record it again")
