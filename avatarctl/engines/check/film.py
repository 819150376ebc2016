"""What a film says of its tracks, and its pictures one after another, in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import BadInput
from avatarctl.media import ffmpeg, probe

_FORMATS = f"{ffmpeg.FILM_FORMATS},{ffmpeg.SOUND_FORMATS}"
_WHAT = "the film cannot be measured"
_LISTING = {"format": "framecrc", "c": "copy"}

Check = Callable[[], None]
"""Called several times a second; raises to end the work."""


@dataclass(frozen=True, slots=True)
class Film:
    """A film's tracks by their packets. `frames`: pictures; `fps`: their mean rate; `start`: time of the first one,
    seconds; `uneven`: how far the picture farthest from its place in an even row is off it, seconds; `side`: the
    shorter one of a picture, pixels; `channels` of the sound, 0 without one."""

    path: Path
    frames: int
    fps: float
    start: float
    uneven: float
    side: int
    channels: int

    @property
    def duration(self) -> float:
        """Seconds of picture."""
        return self.frames / self.fps


def survey(path: Path, check: Check) -> Film:
    """Read every packet's time, and decode none.

    Raises:
        BadInput: it is no film, or has no picture.
    """
    given = ffmpeg.source(path, _FORMATS)
    listing = ffmpeg.to_pipe(given["V:0?"], given["a:0?"], **_LISTING)
    output, _ = ffmpeg.run(listing, what=_WHAT, blame=BadInput, check=check)
    tracks = [track for track in probe.tracks(output).values() if track.times]
    pictures = next((t for t in tracks if t.properties.get("media_type") == "video"), None)
    sound = next((t for t in tracks if t.properties.get("media_type") == "audio"), None)
    if pictures is None:
        raise BadInput(_WHAT, why="there is no picture in it")
    base = float(pictures.time_base)
    times = np.sort(np.array(pictures.times, np.float64)) * base
    last = pictures.durations[-1] * base or 0.04
    step = float(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else last
    if step <= 0:
        raise BadInput(_WHAT, why="its pictures have no times")
    even = times[0] + np.arange(len(times)) * step
    layout = sound.properties.get("channel_layout_name", "") if sound is not None else ""
    return Film(
        path=path,
        frames=len(times),
        fps=1 / step,
        start=float(times[0]),
        uneven=float(np.abs(times - even).max()),
        side=min(int(side) for side in pictures.properties["dimensions"].split("x")),
        channels=0 if sound is None else 1 if layout == "mono" else 2,
    )


def pictures(
    film: Film, size: tuple[int, int] | None, threads: int, check: Check, *, first_alone: bool = False
) -> Generator[NDArray[np.uint8]]:
    """Every picture, or the `first_alone`, as I420, uint8 (height * 3 // 2, width).

    Args:
        size: width and height, both even; None for the film's own, as it is seen, rounded to even numbers.

    Raises:
        BadInput: the film does not decode.
    """
    width, height = size or ("max(16,2*round(iw/2))", "max(16,2*round(ih/2))")
    stream = ffmpeg.source(film.path, _FORMATS, threads=threads)["V:0"].filter("scale", width, height, flags="area")
    # A format that says itself how large the pictures are, which before their rotation nobody else can.
    options = {"frames:v": 1} if first_alone else {}
    raw = ffmpeg.to_pipe(stream, format="yuv4mpegpipe", pix_fmt="yuv420p", fps_mode="passthrough", **options)
    with ffmpeg.Child(raw, what=_WHAT, blame=BadInput, check=check) as child:
        line = b""
        while not line.endswith(b"\n") and (byte := child.read(1)):
            line += byte
        if line:
            across, down = (int(part[1:]) for part in line.split()[1:3])
            # Each picture is preceded by a line of its own.
            start = len(b"FRAME\n")
            while child.fill((frame := np.empty(start + across * down * 3 // 2, np.uint8)).data):
                yield frame[start:].reshape(down * 3 // 2, across)
        child.finish()


def samples(film: Film, rate: int, seconds: float, check: Check) -> Iterator[NDArray[np.float32]]:
    """The sound from the first picture's moment on, in blocks of `seconds`, float32 (samples, channels).

    Sound that begins later is preceded by zeros, sound that begins earlier is cut.
    """
    count = round(rate * seconds)
    timed = ffmpeg.source(film.path, _FORMATS)["a:0"]
    if film.start:
        timed = timed.filter("asetpts", f"PTS-({film.start:.6f})/TB")
    timed = timed.filter("aresample", rate, **{"async": 1, "first_pts": 0})
    raw = ffmpeg.to_pipe(timed, format="f32le", ac=film.channels)
    rest = b""
    size = count * film.channels * 4
    with ffmpeg.Child(raw, what=_WHAT, blame=BadInput, check=check) as child:
        for block in child.chunks():
            rest += block
            while len(rest) >= size:
                yield np.frombuffer(rest[:size], "<f4").reshape(-1, film.channels)
                rest = rest[size:]
        child.finish()
    whole = len(rest) - len(rest) % (film.channels * 4)
    if whole:
        yield np.frombuffer(rest[:whole], "<f4").reshape(-1, film.channels)
