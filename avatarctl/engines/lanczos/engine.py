"""Makes a picture or a film larger by Lanczos interpolation, in flat memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import ffmpeg as ffmpeg_python
import numpy as np

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.media import ffmpeg, image, probe
from avatarctl.media.video import h264, timescale

LARGEST_SIDE = 8192
# x264's threads change its bytes, so their number is fixed.
ENCODER_THREADS = 2

_COPIED = ("aac", "mp3", "ac3", "eac3", "alac")
"""Sound that players expect in an MP4; any other is encoded again."""
_BLOCK_BYTES = 1 << 16


class LanczosEngine:
    """The engine of the stage `upscale`."""

    def load(self, models: Mapping[str, Path]) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to close."""

    def run(self, job: Job) -> None:
        """Write image.png or video.mp4, by the content of the input.

        Raises:
            BadInput: neither a picture nor a film, or the result would be too large.
        """
        media, scale = job.inputs["media"], job.params.scale
        if _is_film(media):
            _film(job, media, scale)
            return
        rgb, _ = image.read_photo(media)
        height, width = rgb.shape[:2]
        _check(width * scale, height * scale)
        larger = cv2.resize(rgb, (width * scale, height * scale), interpolation=cv2.INTER_LANCZOS4)
        image.write_png(job.out / "image.png", larger.astype(np.uint8, copy=False))


def _is_film(path: Path) -> bool:
    """By the first bytes: ISO media, Matroska or AVI."""
    with path.open("rb") as stream:
        head = stream.read(16)
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide") or (
        head[:4] == b"\x1aE\xdf\xa3" or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    )


def _check(width: int, height: int) -> None:
    if max(width, height) > LARGEST_SIDE:
        raise BadInput(
            f"the result would be {width} x {height} pixels",
            hint=f"at most {LARGEST_SIDE} a side: use a smaller --scale",
        )


def _film(job: Job, media: Path, scale: int) -> None:
    def check() -> None:
        if job.cancelled():
            raise Cancelled

    found = probe.decode_all(media, strict=False, blame=BadInput, check=check)
    if found.video is None:
        raise BadInput("there is no picture in it", hint="give a film or a picture")
    video = found.video
    # Rotation is applied by ffmpeg before the filter, so these are the sides as they are seen.
    width, height = video.width * scale, video.height * scale
    _check(width, height)
    job.progress(0, video.frames, "frames")
    what = "the film cannot be made larger"
    # Two processes with this one between them: so both end when it ends, by whatever means.
    with (
        ffmpeg.Child(_pictures(media, video, width, height), what=what, check=check) as enlarging,
        ffmpeg.Child(_joined(job, media, found), what=what, feed=True, check=check) as joining,
    ):
        for block in enlarging.chunks(_BLOCK_BYTES):
            joining.write(block)
            job.progress(min(enlarging.frames, video.frames), video.frames, "frames")
        enlarging.finish()
        joining.finish()
    job.progress(video.frames, video.frames, "frames")


def _pictures(media: Path, video: probe.VideoFacts, width: int, height: int) -> Any:
    """The larger pictures as H.264 in NUT, a container that streams and keeps any time exactly."""
    # H.264 with 4:2:0 colour wants even sides.
    larger = ffmpeg.source(media, ffmpeg.FILM_FORMATS)["V:0"].filter(
        "scale", width + width % 2, height + height % 2, flags="lanczos+accurate_rnd"
    )
    options = {**h264(max(round(video.fps), 1), ENCODER_THREADS, crf=18), **probe.CLOCK}
    return ffmpeg.to_pipe(larger, format="nut", fps_mode="passthrough", progress="pipe:2", **options)


def _joined(job: Job, media: Path, found: probe.Probe) -> Any:
    """The larger pictures, as they arrive, with the sound of the source."""
    video = found.video
    assert video is not None
    # A stream is counted from its first picture: that one's own time is given back.
    streams = [ffmpeg_python.input("pipe:0", format="nut", itsoffset=video.start)["v:0"]]
    options: dict[str, Any] = {
        "format": "mp4",
        "c:v": "copy",
        "map_metadata": -1,
        "metadata": f"comment={job.key}",
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
    return ffmpeg.sink(*streams, path=job.out / "video.mp4", **options)
