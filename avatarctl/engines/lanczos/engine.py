"""Makes a picture or a film larger by Lanczos interpolation, in flat memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.media import enlarged, ffmpeg, image, probe

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
        if enlarged.is_film(media):
            _film(job, media, scale)
            return
        rgb, _ = image.read_photo(media)
        height, width = rgb.shape[:2]
        enlarged.check_size(width * scale, height * scale)
        larger = cv2.resize(rgb, (width * scale, height * scale), interpolation=cv2.INTER_LANCZOS4)
        image.write_png(job.out / "image.png", larger.astype(np.uint8, copy=False))


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
    enlarged.check_size(width, height)
    job.progress(0, video.frames, "frames")
    what = "the film cannot be made larger"
    arriving = enlarged.arriving("nut", video)
    film = enlarged.joined(arriving, media, found, job.out / "video.mp4", job.key, **{"c:v": "copy"})
    # Two processes with this one between them: so both end when it ends, by whatever means.
    with (
        ffmpeg.Child(_pictures(media, video, width, height), what=what, check=check) as enlarging,
        ffmpeg.Child(film, what=what, feed=True, check=check) as joining,
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
    return ffmpeg.to_pipe(larger, format="nut", progress="pipe:2", **enlarged.encoded(video))
