"""What upscalers share: a film told from a picture, a limit, and new pictures joined with a film's own sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ffmpeg as ffmpeg_python

from avatarctl.errors import BadInput
from avatarctl.media import ffmpeg, probe
from avatarctl.media.video import h264, timescale

LARGEST_SIDE = 8192

_COPIED = ("aac", "mp3", "ac3", "eac3", "alac")
"""Sound that players expect in an MP4; any other is encoded again."""


def is_film(path: Path) -> bool:
    """By the first bytes: ISO media, Matroska or AVI."""
    with path.open("rb") as stream:
        head = stream.read(16)
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide") or (
        head[:4] == b"\x1aE\xdf\xa3" or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    )


def check_size(width: int, height: int) -> None:
    """Raises `BadInput` for a result of more than `LARGEST_SIDE` pixels a side."""
    if max(width, height) > LARGEST_SIDE:
        raise BadInput(
            f"the result would be {width} x {height} pixels",
            hint=f"at most {LARGEST_SIDE} a side: use a smaller --scale",
        )


def encoded(video: probe.VideoFacts) -> dict[str, Any]:
    """Options of ffmpeg for the larger pictures of a film: H.264 with every picture at its own time."""
    # x264's threads change its bytes, so their number is fixed.
    return {**h264(max(round(video.fps), 1), threads=2), **probe.CLOCK, "fps_mode": "passthrough"}


def arriving(form: str, video: probe.VideoFacts) -> Any:
    """The larger pictures of a film as they arrive at the pipe, in the container `form` (ffmpeg's name)."""
    # A stream is counted from its first picture: that one's own time is given back.
    return ffmpeg_python.input("pipe:0", format=form, itsoffset=video.start)["v:0"]


def joined(pictures: Any, media: Path, found: probe.Probe, out: Path, key: str, **options: Any) -> Any:
    """An output node: the larger `pictures` with the sound of `media`.

    Args:
        found: what was found in `media`; it has pictures.
        key: of the step, written into the film.
        options: what becomes of the pictures, such as `encoded(...)`.
    """
    video = found.video
    assert video is not None
    streams = [pictures]
    options |= {
        "format": "mp4",
        "map_metadata": -1,
        "metadata": f"comment={key}",
        "movflags": "+faststart",
    }
    fps = round(video.fps)
    if video.constant_step and video.fps == fps:
        # The ticks of our own clips, so that upscaled clips join as they did before.
        options["video_track_timescale"] = timescale(fps)
    if found.audio is not None:
        streams.append(ffmpeg.source(media, ffmpeg.FILM_FORMATS)["a:0"])
        codec = probe.header(media, ffmpeg.FILM_FORMATS, what="the film cannot be read").sound_codec
        options |= {"c:a": "copy"} if codec in _COPIED else {"c:a": "aac", "b:a": "192k", "flags:a": "+bitexact"}
    return ffmpeg.sink(*streams, path=out, **options)
