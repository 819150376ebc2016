"""The engine of the stage `upscale` that restores: pictures and films, in memory that does not grow with them."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.realesrgan import tiles
from avatarctl.engines.realesrgan.network import NcnnNetwork
from avatarctl.engines.realesrgan.spec import RealEsrganParams
from avatarctl.errors import BadConfig, BadInput
from avatarctl.media import enlarged, ffmpeg, image, probe
from avatarctl.media.video import COLOUR

BLOBS = {"photo": "output", "video": "112"}
"""What holds a network's picture at four times the size: the video network's own output is scaled down from it."""
SIDES = {"photo": 72, "video": 256}
"""Of a tile, pixels: 1.2 GB and 2 s on two cores for a photo, 0.3 GB and a quarter of a second for a film."""


class RealEsrganEngine:
    """Real-ESRGAN under ncnn. A network is read for each step, in a quarter of a second, and not kept."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Note where the networks lie."""
        self._models = models

    def close(self) -> None:
        """Nothing outlives a step."""

    def run(self, job: Job) -> None:
        """Write image.png or video.mp4, by the content of the input.

        Raises:
            BadInput: neither a picture nor a film, or the result would be too large.
            BadConfig: `part` is not four numbers, or lies outside the picture.
        """
        cv2.setNumThreads(job.threads)
        media = job.inputs["media"]
        if enlarged.is_film(media):
            self._film(job, media)
        else:
            self._picture(job, media)

    def _picture(self, job: Job, media: Path) -> None:
        rgb, _ = image.read_photo(media)
        height, width = rgb.shape[:2]
        params: RealEsrganParams = job.params
        enlarged.check_size(width * params.scale, height * params.scale)
        model = "photo" if params.model == "auto" else params.model
        look = _look(params, model, width, height)
        total = tiles.count(look)
        job.progress(0, total, "tiles")

        def tile_done(number: int) -> None:
            job.progress(number, total, "tiles")
            _go_on(job)

        _go_on(job)
        with closing(self._open(model, job.threads)) as network:
            made = tiles.enlarge(rgb, network, look, tile_done)
        image.write_png(job.out / "image.png", made)

    def _film(self, job: Job, media: Path) -> None:
        def check() -> None:
            _go_on(job)

        found = probe.decode_all(media, strict=False, blame=BadInput, check=check)
        if found.video is None:
            raise BadInput("there is no picture in it", hint="give a film or a picture")
        video = found.video
        params: RealEsrganParams = job.params
        width, height = video.width * params.scale, video.height * params.scale
        enlarged.check_size(width, height)
        model = "video" if params.model == "auto" else params.model
        look = _look(params, model, video.width, video.height)
        times = probe.picture_times(media, check)
        job.progress(0, video.frames, "frames")
        what = "the film cannot be made larger"
        arriving = enlarged.arriving("ivf", video).filter("setparams", **COLOUR)
        film = enlarged.joined(arriving, media, found, job.out / "video.mp4", job.key, **enlarged.encoded(video))
        reading = ffmpeg.to_pipe(
            ffmpeg.source(media, ffmpeg.FILM_FORMATS)["V:0"].filter(
                "scale", flags="lanczos+accurate_rnd+full_chroma_int"
            ),
            format="rawvideo",
            pix_fmt="rgb24",
            fps_mode="passthrough",
        )
        with (
            closing(self._open(model, job.threads)) as network,
            ffmpeg.Child(reading, what=what, check=check) as decoding,
            ffmpeg.Child(film, what=what, feed=True, check=check) as joining,
        ):
            joining.write(_ivf_header(width, height))
            pictures = _pictures(decoding, video.width, video.height)
            for number, (time, picture) in enumerate(zip(times, pictures, strict=True), start=1):
                larger = tiles.enlarge(picture, network, look, lambda _: check())
                frame = cv2.cvtColor(larger, cv2.COLOR_RGB2YUV_I420).tobytes()
                joining.write(struct.pack("<IQ", len(frame), time) + frame)
                job.progress(number, video.frames, "frames")
            decoding.finish()
            joining.finish()

    def _open(self, model: str, threads: int) -> NcnnNetwork:
        """A network by its short name. Another runtime would differ here, and in the spec, and nowhere else."""
        name = f"realesrgan-{model}"
        return NcnnNetwork(self._models[f"{name}-graph"], self._models[name], BLOBS[model], threads)


def _go_on(job: Job) -> None:
    if job.cancelled():
        raise Cancelled


def _look(params: RealEsrganParams, model: str, width: int, height: int) -> tiles.Look:
    part = _part(params.part, width, height)
    return tiles.Look(params.scale, params.detail, params.grain, SIDES[model], part)


def _part(text: str, width: int, height: int) -> tiles.Box:
    """The named part, as far as it lies in the picture."""
    if not text.strip():
        return 0, 0, width, height
    try:
        x, y, across, down = (float(number) for number in text.split(","))
        if not all(map(math.isfinite, (x, y, across, down))):
            raise ValueError
    except ValueError:
        raise BadConfig(
            f"upscale.part = {text!r} is not a part", hint='write it as "x,y,width,height" in pixels'
        ) from None
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width, round(x + across)), min(height, round(y + down))
    if left >= right or top >= bottom:
        raise BadConfig(f"upscale.part = {text!r} is empty", why=f"the picture has {width} x {height} pixels")
    return left, top, right, bottom


def _ivf_header(width: int, height: int) -> bytes:
    """IVF is the simplest container in which a picture may have any time: raw I420 here."""
    return struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"I420", width, height, probe.CLOCK_RATE, 1, 0, 0)


def _pictures(child: ffmpeg.Child, width: int, height: int) -> Iterator[tiles.Picture]:
    """Every picture that the child decodes."""
    size = width * height * 3
    rest = bytearray()
    for data in child.chunks():
        rest += data
        while len(rest) >= size:
            yield np.frombuffer(bytes(rest[:size]), np.uint8).reshape(height, width, 3)
            del rest[:size]
