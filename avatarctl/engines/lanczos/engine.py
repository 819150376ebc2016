"""Makes a picture or a film larger by Lanczos interpolation, in flat memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.media import ffmpeg, image, probe
from avatarctl.media.video import h264

LARGEST_SIDE = 8192
# x264's threads change its bytes, so their number is fixed.
ENCODER_THREADS = 2


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
    source = ffmpeg.source(media, ffmpeg.FILM_FORMATS)
    larger = source["V:0"].filter("scale", width + width % 2, height + height % 2, flags="lanczos+accurate_rnd")
    streams = [larger, source["a:0"]] if found.audio is not None else [larger]
    fps = max(round(video.fps), 1)
    options: dict[str, object] = {
        **h264(fps, ENCODER_THREADS, crf=18),
        "format": "mp4",
        "fps_mode": "passthrough",
        **probe.CLOCK,
        "map_metadata": -1,
        "metadata": f"comment={job.key}",
        "movflags": "+faststart",
    }
    if found.audio is not None:
        options |= {"c:a": "copy"} if _copies(media) else {"c:a": "aac", "b:a": "192k", "flags:a": "+bitexact"}
    ffmpeg.run(
        ffmpeg.sink(*streams, path=job.out / "video.mp4", **options), what="the film cannot be made larger", check=check
    )
    job.progress(video.frames, video.frames, "frames")


def _copies(media: Path) -> bool:
    """Whether the sound may go into an MP4 as it is: sound that comes from an MP4 may."""
    with media.open("rb") as stream:
        return stream.read(8)[4:8] == b"ftyp"
