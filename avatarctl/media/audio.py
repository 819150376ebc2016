"""Sound of any common format, decoded safely; `media/wav.py` has the plain WAV of everything of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import AvatarctlError, BadInput, StepFailed
from avatarctl.media import ffmpeg, kinds, probe, wav

LOWEST_RATE = 8_000
HIGHEST_RATE = 48_000
LOWEST_READ_RATE, HIGHEST_READ_RATE = 1_000, 768_000
"""Hertz: of what others recorded. What is beyond stands in damaged headers."""
MOST_CHANNELS = 8
"""ffmpeg knows where the speakers of up to so many channels stand, and how to mix them."""
LOUDEST_FLOAT = 32.0
"""Where 1 is full scale: real recordings in floating point stay within a few decibels of it."""
_WHOLE = 0.8
"""The least share of what a file says it lasts; lengths in headers are not always exact."""
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
    sound = ffmpeg.source(path, ffmpeg.SOUND_FORMATS)["a:0"]
    for data in _samples_of(ffmpeg.to_pipe(sound, format="s16le", ac=1, ar=sample_rate), 2, "speech", blame=StepFailed):
        yield np.frombuffer(data, "<i2").astype(np.int16)


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
    header = survey(path, max_seconds, what)
    rate = _own_rate(header) if sample_rate is None else sample_rate
    blocks: list[NDArray[np.int16]] = []
    count = 0
    for block in _blocks(path, header, rate, what, check):
        blocks.append(block)
        count += block.size
        if count > max_seconds * rate:
            raise _too_long(what, None, max_seconds)
    samples = np.concatenate([np.zeros(0, np.int16), *blocks]).astype(np.float32) / np.float32(32768)
    _judge(count / rate, float(np.abs(samples).max(initial=0.0)), what, min_seconds)
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
        BadInput: not sound, longer than `max_seconds`, shorter than `min_seconds`, silent, or broken off.
    """
    header = survey(path, max_seconds, what)
    rate = _own_rate(header)

    def written(blocks: Iterator[NDArray[np.int16]]) -> tuple[int, float]:
        frames, peak = 0, 0
        with wav.writer(out, rate) as stream:
            for block in blocks:
                frames += block.size
                peak = max(peak, int(np.abs(block.astype(np.int32)).max(initial=0)))
                if frames > max_seconds * rate:
                    raise _too_long(what, None, max_seconds)
                stream.writeframesraw(block.tobytes())
        return frames, peak / 32768

    frames, peak = written(_blocks(path, header, rate, what, check))
    if peak < SILENCE and frames:
        # Of a microphone wired wrongly one channel is the other upside down, and their mean is nothing.
        frames, peak = written(_blocks(path, header, rate, what, check, one_channel=True))
    _judge(frames / rate, peak, what, min_seconds)
    _judge_whole(frames / rate, header, what)
    return wav.WavInfo(frames / rate, rate, frames, 1)


def survey(path: Path, max_seconds: float, what: str) -> probe.Header:
    """What a sound file says of itself, before any of it is decoded.

    Raises:
        BadInput: it is of another kind, damaged, without sound, too long, or of more channels than can be mixed.
    """
    try:
        header = probe.header(path, what=_cannot(what), blame=BadInput)
    except BadInput as error:
        kind = kinds.of(path)
        if kind:
            raise BadInput(error.what, why=f"it is {kind}", hint=_FORMATS) from error
        raise
    if header.sample_rate is None:
        without = "it is a film without sound" if header.has_video else "there is no sound in it"
        raise BadInput(_cannot(what), why=without, hint=_FORMATS)
    if not LOWEST_READ_RATE <= header.sample_rate <= HIGHEST_READ_RATE:
        raise BadInput(_cannot(what), why=f"it says that it has {header.sample_rate} samples a second", hint=_FORMATS)
    if header.channels is not None and header.channels > MOST_CHANNELS:
        raise BadInput(
            _cannot(what), why=f"it has {header.channels} channels", hint="mix it down to one or two channels first"
        )
    # A guess from the bit rate may be far off: then only decoding tells.
    if header.duration is not None and not header.estimated and header.duration > max_seconds + 1:
        raise _too_long(what, header.duration, max_seconds)
    return header


def _own_rate(header: probe.Header) -> int:
    return min(max(header.sample_rate or 0, LOWEST_RATE), HIGHEST_RATE)


def _blocks(
    path: Path,
    header: probe.Header,
    rate: int,
    what: str,
    check: Callable[[], None] | None,
    *,
    one_channel: bool = False,
) -> Iterator[NDArray[np.int16]]:
    """All of a file's sound, mixed to one channel of `rate` hertz, or the first one, in blocks of int16 (samples,)."""
    if (header.sound_codec or "").startswith("pcm_f"):
        _refuse_strange_floats(path, what, check)
    sound = ffmpeg.source(path, ffmpeg.SOUND_FORMATS)["a:0"]
    if one_channel:
        sound = sound.filter("channelmap", map="0", channel_layout="mono")
    mono = ffmpeg.to_pipe(sound, format="s16le", ac=1, ar=rate)
    for data in _samples_of(mono, 2, what, check):
        yield np.frombuffer(data, "<i2")


def _refuse_strange_floats(path: Path, what: str, check: Callable[[], None] | None) -> None:
    """ffmpeg makes numbers of what is none, and the loudest noise of samples on another scale."""
    sound = ffmpeg.source(path, ffmpeg.SOUND_FORMATS)["a:0"]
    for data in _samples_of(ffmpeg.to_pipe(sound, format="f32le"), 4, what, check):
        peak = float(np.abs(np.frombuffer(data, "<f4")).max(initial=0.0))
        if not peak <= LOUDEST_FLOAT:
            found = f"go up to {peak:g}, where 1 is full scale" if np.isfinite(peak) else "are no numbers"
            raise BadInput(
                f"the {what} is damaged",
                why=f"it holds samples that {found}",
                hint="export it again, as WAV of 16 bits",
            )


def _samples_of(
    stream: object,
    width: int,
    what: str,
    check: Callable[[], None] | None = None,
    blame: type[AvatarctlError] = BadInput,
) -> Iterator[bytes]:
    """The output of a decoder in blocks of whole samples, `width` bytes each."""
    with ffmpeg.Child(stream, what=_cannot(what), blame=blame, check=check) as child:
        yield from child.chunks(unit=width)
        child.finish()


_FORMATS = "give sound: WAV, FLAC, MP3, OGG, M4A, or a film that has some"


def _cannot(what: str) -> str:
    return f"the {what} cannot be read as sound"


def _too_long(what: str, duration: float | None, limit: float) -> BadInput:
    found = f"{duration / 60:.0f} min" if duration else f"more than {limit / 60:.0f} min"
    return BadInput(f"the {what} is too long", why=found, hint=f"cut it to at most {limit / 60:.0f} min")


def _judge_whole(duration: float, header: probe.Header, what: str) -> None:
    """A film's sound may be shorter than the film; a recording that is much shorter than it says has lost its end."""
    if header.duration is None or header.estimated or header.has_video or duration >= _WHOLE * header.duration:
        return
    raise BadInput(
        f"the {what} is damaged",
        why=f"it says that it lasts {header.duration:.1f} s, and {duration:.1f} s of it can be read",
        hint="copy or download it again, or export what is left of it anew",
    )


def _judge(duration: float, peak: float, what: str, min_seconds: float) -> None:
    if duration == 0:
        raise BadInput(f"the {what} is empty", why="there is no sound in it", hint="record or export it again")
    if duration < min_seconds:
        raise BadInput(f"the {what} is too short", why=f"{duration:.2f} s", hint=f"at least {min_seconds:g} s")
    if peak < SILENCE:
        raise BadInput(f"the {what} is silent", hint="check the microphone and record it again")
