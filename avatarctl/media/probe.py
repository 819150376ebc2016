"""What is really in a sound or film: every frame decoded and counted, nothing believed from headers.

`header` alone reads only the beginning, for a quick answer before any work is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryFile

import ffmpeg as ffmpeg_python
import numpy as np

from avatarctl.errors import AvatarctlError, StepFailed
from avatarctl.media import ffmpeg

_WHAT = "the film does not decode"
_FORMATS = f"{ffmpeg.FILM_FORMATS},{ffmpeg.SOUND_FORMATS}"

FULL_SCALE = 0.999
"""A sample at or above this share of full scale counts as clipped."""

CLOCK_RATE = 90_000
CLOCK = {"enc_time_base:v": f"1:{CLOCK_RATE}"}
"""Ticks in which every usual frame rate is a whole number; ffmpeg's names for "as in the file" differ by release."""

_UNFILTERED = {"skip_loop_filter": "all"}
"""Every block is decoded, and none is smoothed: nobody looks at these pictures."""
_COUNTED = {"format": "framecrc", "c:v": "wrapped_avframe", "fps_mode": "passthrough", **CLOCK}
"""A listing of decoded pictures that neither copies nor sums up their pixels; their sizes in it mean nothing."""

_COPIED = {"format": "framecrc", "c": "copy"}
"""A listing of packets, with the checksum of each."""
_SOUND_DECODED = {"format": "framecrc", "c:v": "copy"}
_SAMPLES = {"format": "f32le"}

_AT_ONCE = 50
"""Films opened by one process: each costs it a file and a thread."""

_EVEN = Fraction(11, 10_000)
"""How far from its place a frame may be, seconds: containers with millisecond clocks round by up to this."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself. `duration`: seconds, None if it does not say; `estimated`: ffmpeg guessed it
    from the bit rate. `sample_rate` (hertz), `sound_codec` (ffmpeg's name) and `channels`: of the first sound track,
    None without one; `channels` also where ffmpeg has a name for how they are laid out."""

    duration: float | None
    estimated: bool
    sample_rate: int | None
    sound_codec: str | None
    has_video: bool
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """Decoded picture. `duration`: seconds, from the first frame's start to the last one's end; `start`: of the
    first frame; `constant_step`: every frame is in its place at `fps` frames a second."""

    frames: int
    width: int
    height: int
    fps: float
    duration: float
    start: float
    constant_step: bool


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """Decoded sound, after the container's edit list has cut the encoder's priming. `duration` and `start`:
    seconds; `peak`: full scale is 1; `clipped`: share of samples at full scale, 0..1. The last two are None unless
    levels were asked for."""

    duration: float
    start: float
    sample_rate: int
    channels: int
    peak: float | None = None
    clipped: float | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """The first picture track and the first sound track, None where there is none."""

    video: VideoFacts | None
    audio: AudioFacts | None


def header(
    path: Path, formats: str = ffmpeg.SOUND_FORMATS, *, what: str, blame: type[AvatarctlError] = StepFailed
) -> Header:
    """The beginning of a file, opened only as one of `formats`.

    Raises:
        AvatarctlError: of the class `blame`, with the message `what`, when it cannot be opened.
    """
    given = ffmpeg.source(path, formats)
    peek = ffmpeg.to_pipe(given["a:0?"], given["V:0?"], format="null", c="copy", t=0)
    _, log = ffmpeg.run(peek, what=what, blame=blame, level="info")
    duration: float | None = None
    sample_rate: int | None = None
    codec: str | None = None
    channels: int | None = None
    has_video = False
    for line in log:
        if line.startswith(("[info] Stream mapping", "[info] Output")):
            break
        # Anchored at the column where ffmpeg prints its own fields, because tags may hold any text.
        if found := re.match(r"\[info\]   Duration: (\d+):(\d+):(\d+\.\d+)", line):
            duration = int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
        elif found := re.match(r"\[info\]   Stream #0:\d+\S*: Audio: (\w+).*?(\d+) Hz(?:, (\d+) channels)?", line):
            if codec is None:
                codec, sample_rate, channels = found[1], int(found[2]), int(found[3]) if found[3] else None
        elif re.match(r"\[info\]   Stream #0:\d+\S*: Video: ", line) and "(attached pic)" not in line:
            has_video = True
    estimated = any("Estimating duration from bitrate" in line for line in log)
    return Header(duration, estimated, sample_rate, codec, has_video, channels)


def decode_all(
    path: Path,
    levels: bool = False,
    *,
    strict: bool = True,
    blame: type[AvatarctlError] = StepFailed,
    check: Callable[[], None] | None = None,
    joined: Sequence[Path] = (),
) -> Probe:
    """Decode every frame and measure. With `levels` the sound's loudness too.

    Args:
        strict: a single complaint of a decoder is a failure; else only what stops ffmpeg is.
        joined: clips that have been decoded before. A picture track that consists of their packets, byte for byte and
            in this order, is not decoded once more.

    Raises:
        StepFailed: (or the class `blame`) it does not decode, or holds neither picture nor sound.
    """
    found = _decode_joined(path, joined, levels, check) if joined else None
    if found is not None:
        return found
    given = ffmpeg.source(path, _FORMATS, **_UNFILTERED)
    listing = ffmpeg.to_pipe(given["V:0?"], given["a:0?"], **_COUNTED)
    output, log = ffmpeg.run(listing, what=_WHAT, blame=blame, check=check)
    complaints = ffmpeg.complaints(log)
    if strict and complaints:
        raise blame(_WHAT, why=complaints[0])
    found = _facts(list(tracks(output).values()))
    if found.video is None and found.audio is None:
        raise blame(_WHAT, why="it holds neither a picture nor sound")
    if found.audio is not None and levels:
        samples = ffmpeg.to_pipe(ffmpeg.source(path, _FORMATS)["a:0"], **_SAMPLES)
        with ffmpeg.Child(samples, what=_WHAT, blame=blame, check=check) as child:
            peak, clipped = _levels(child)
        return replace(found, audio=replace(found.audio, peak=peak, clipped=clipped))
    return found


def _decode_joined(path: Path, clips: Sequence[Path], levels: bool, check: Callable[[], None] | None) -> Probe | None:
    """A film whose pictures are the packets of clips: they are compared and its sound is decoded, all in one process.

    None where they are not, and where anything is amiss: decoding all of it will tell what.
    """
    film = ffmpeg.source(path, _FORMATS)
    parts = [ffmpeg.source(clip, ffmpeg.FILM_FORMATS)["V:0"] for clip in clips[:_AT_ONCE]]
    with TemporaryFile() as listing, suppress(StepFailed):
        output = ffmpeg.to_file(film["V:0"], film["a:0?"], *parts, file=listing, **_SOUND_DECODED)
        if levels:
            output = ffmpeg_python.merge_outputs(output, ffmpeg.to_pipe(film["a:0"], **_SAMPLES))
        with ffmpeg.Child(output, what=_WHAT, check=check, files=[listing]) as child:
            peak, clipped = _levels(child)
            if child.errors:
                return None
        listing.seek(0)
        listed = list(tracks(listing.read()).values())
        own = len(listed) - len(parts)
        if _consists_of(listed[0], [*listed[own:], *packets(*clips[_AT_ONCE:])]):
            found = _facts(listed[:own])
            if found.audio is None:
                return found
            return replace(found, audio=replace(found.audio, peak=peak, clipped=clipped))
    return None


def packets(*paths: Path) -> list[Track]:
    """The picture tracks of films, as they are stored; nothing is decoded.

    Raises:
        StepFailed: one of them cannot be read.
    """
    found: list[Track] = []
    for start in range(0, len(paths), _AT_ONCE):
        streams = [ffmpeg.source(path, ffmpeg.FILM_FORMATS)["V:0"] for path in paths[start : start + _AT_ONCE]]
        listing, _ = ffmpeg.run(ffmpeg.to_pipe(*streams, **_COPIED), what="a clip cannot be read")
        found += tracks(listing).values()
    return found


def _consists_of(made: Track, parts: Sequence[Track]) -> bool:
    """Whether a film's pictures are the clips' packets, to be decoded with the same settings."""
    wanted = [packet for part in parts for packet in zip(part.sizes, part.checksums, strict=True)]
    alike = all(part.properties.get("extradata") == made.properties.get("extradata") for part in parts)
    return alike and wanted == list(zip(made.sizes, made.checksums, strict=True))


def picture_times(path: Path, check: Callable[[], None] | None = None) -> list[int]:
    """When each decoded picture of a film is shown, in ticks of `CLOCK`, counted from the first one.

    Raises:
        StepFailed: it does not decode.
    """
    pictures = ffmpeg.source(path, ffmpeg.FILM_FORMATS, **_UNFILTERED)["V:0"]
    listing = ffmpeg.to_pipe(pictures, **_COUNTED)
    output, _ = ffmpeg.run(listing, what=_WHAT, check=check)
    times = next(iter(tracks(output).values())).times
    return [time - times[0] for time in times]


@dataclass(slots=True)
class Track:
    """One track of a framecrc listing. Times and durations are in ticks of `time_base` seconds, sizes in bytes,
    checksums Adler-32 as ffmpeg writes them; `properties`: `media_type`, `dimensions`, `extradata` (length and
    checksum) and the like."""

    time_base: Fraction
    properties: dict[str, str] = field(default_factory=dict)
    decode_times: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    checksums: list[str] = field(default_factory=list)


def tracks(listing: bytes) -> dict[int, Track]:
    """Every track of a listing that ffmpeg's framecrc muxer wrote, by its index, in order."""
    lines = listing.decode("ascii", "replace").splitlines()
    properties: dict[int, dict[str, str]] = {}
    for name, index, value in re.findall(r"^#(\w+) (\d+): *(.*)$", "\n".join(lines), re.MULTILINE):
        properties.setdefault(int(index), {})[name] = value
    found = {index: Track(Fraction(its["tb"]), its) for index, its in sorted(properties.items()) if "tb" in its}
    for line in lines:
        if line and not line.startswith("#"):
            index, *columns = line.split(",")
            track = found[int(index)]
            for column, value in zip(
                (track.decode_times, track.times, track.durations, track.sizes), columns, strict=False
            ):
                column.append(int(value))
            track.checksums.append(columns[4].strip())
    return found


def _video_facts(track: Track) -> VideoFacts:
    width, height = (int(side) for side in track.properties["dimensions"].split("x"))
    frames = len(track.times)
    times = [ticks * track.time_base for ticks in (track.times[0], track.times[-1])]
    last = track.durations[-1] * track.time_base
    step = (times[1] - times[0]) / (frames - 1) if frames > 1 else last
    ticks = step / track.time_base
    tolerance = min(_EVEN / track.time_base, ticks / 4)
    # In whole numbers, which are as exact as fractions and much faster.
    scale, numerator = ticks.denominator, ticks.numerator
    farthest = max(abs((time - track.times[0]) * scale - index * numerator) for index, time in enumerate(track.times))
    even = step > 0 and farthest <= tolerance * scale
    return VideoFacts(
        frames=frames,
        width=width,
        height=height,
        fps=float(1 / step) if step > 0 else 0.0,
        duration=float(times[1] - times[0] + (step if even else last)),
        start=float(times[0]),
        constant_step=even,
    )


def _audio_facts(track: Track) -> AudioFacts:
    rate = int(track.properties["sample_rate"])
    samples = sum(track.durations) * track.time_base * rate
    return AudioFacts(
        duration=float(samples / rate),
        start=float(track.times[0] * track.time_base),
        sample_rate=rate,
        channels=round(sum(track.sizes) / 2 / float(samples)) if samples else 0,
    )


def _facts(listed: Sequence[Track]) -> Probe:
    played = [track for track in listed if track.times]
    video = next((_video_facts(t) for t in played if t.properties.get("media_type") == "video"), None)
    audio = next((_audio_facts(t) for t in played if t.properties.get("media_type") == "audio"), None)
    return Probe(video, audio)


def _levels(child: ffmpeg.Child) -> tuple[float | None, float | None]:
    """`peak` and `clipped` of the samples that a child puts out, to its end; None if there are none."""
    count, clipped, peak = 0, 0, 0.0
    for data in child.chunks(unit=4):
        block = np.abs(np.frombuffer(data, dtype="<f4"))
        if block.size:
            count += block.size
            peak = max(peak, float(block.max()))
            clipped += int(np.count_nonzero(block >= FULL_SCALE))
    child.finish()
    return (peak, clipped / count) if count else (None, None)


def tags(path: Path) -> dict[str, str]:
    """Metadata of a film: `title`, `comment` and the like, names in lower case; `language` of the first track
    that has one.

    Raises:
        StepFailed: it cannot be opened.
    """
    dump = ffmpeg.to_pipe(ffmpeg.source(path, _FORMATS), format="ffmetadata", map=0, c="copy")
    output, _ = ffmpeg.run(dump, what="the film cannot be opened")
    found: dict[str, str] = {}
    for entry in re.split(r"(?<!\\)\n", output.decode("utf-8", "replace")):
        name, separator, value = entry.partition("=")
        if separator and not entry.startswith(";") and (name, value) != ("language", "und"):
            found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL))
    return found
