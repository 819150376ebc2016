"""What upscalers with a network share: pictures and films, in memory that does not grow with them."""

from __future__ import annotations

import math
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.realesrgan import tiles
from avatarctl.engines.realesrgan.faces import Faces
from avatarctl.engines.realesrgan.spec import FACE_DETECTOR, NetworkParams
from avatarctl.engines.realesrgan.steady import Steady
from avatarctl.errors import BadConfig, BadInput
from avatarctl.media import enlarged, ffmpeg, image, probe
from avatarctl.media.video import COLOUR


class Upscaler(ABC):
    """An engine of the stage `upscale`; how a network is had is left to its heirs."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Note where the networks lie."""
        self._models = models

    def close(self) -> None:
        """Give back what outlives a step."""
        return

    @abstractmethod
    def _network(self, job: Job, film: bool) -> AbstractContextManager[tiles.Network]:
        """The network for a step; leaving it gives back what does not outlive the step."""

    def _drawn(
        self,
        network: tiles.Network,
        source: tiles.Picture,
        look: tiles.Look,
        told: Callable[[float, int], None],
        spared: tiles.Pixels | None = None,
        kept: tiles.Kept | None = None,
    ) -> tiles.Picture:
        """See `tiles.enlarge`."""
        return tiles.enlarge(source, network, look, told, spared, kept)

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
        params: NetworkParams = job.params
        enlarged.check_size(width * params.scale, height * params.scale)
        part = _part(params.part, width, height)

        def told(done: float, total: int) -> None:
            job.progress(done, total, "tiles")
            _go_on(job)

        _go_on(job)
        with self._network(job, False) as network:
            faces = self._faces(job, part)
            boxes = faces.boxes(rgb)
            look = _look(params, part, network, faces.large(boxes))
            told(0, tiles.count(look, network.side))
            spared = faces.spared(boxes, height, width)
            made = self._drawn(network, rgb, look, told, spared)
        image.write_png(job.out / "image.png", made)

    def _film(self, job: Job, media: Path) -> None:
        def check() -> None:
            _go_on(job)

        found = probe.decode_all(media, strict=False, blame=BadInput, check=check)
        if found.video is None:
            raise BadInput("there is no picture in it", hint="give a film or a picture")
        video = found.video
        params: NetworkParams = job.params
        width, height = video.width * params.scale, video.height * params.scale
        enlarged.check_size(width, height)
        part = _part(params.part, video.width, video.height)
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
            self._network(job, True) as network,
            ffmpeg.Child(reading, what=what, check=check) as decoding,
            ffmpeg.Child(film, what=what, feed=True, check=check) as joining,
        ):
            joining.write(_ivf_header(width, height))
            look = _look(params, part, network, False)
            faces, steady = self._faces(job, part), Steady(params.still)
            pictures = _pictures(decoding, video.width, video.height)
            for number, (time, picture) in enumerate(zip(times, pictures, strict=True), start=1):
                spared, moved = faces.next(picture)
                kept = steady.kept(picture)
                if kept is not None and moved is not None:
                    kept = tiles.Kept(kept.picture, np.maximum(kept.changed, np.sign(moved)))

                def told(done: float, total: int, before: int = number - 1) -> None:
                    job.progress(before + done / max(total, 1), video.frames, "frames")
                    check()

                larger = self._drawn(network, picture, look, told, spared, kept)
                larger = steady.settled(picture, larger, kept)
                frame = cv2.cvtColor(larger, cv2.COLOR_RGB2YUV_I420).tobytes()
                joining.write(struct.pack("<IQ", len(frame), time) + frame)
                told(1, 1)
            decoding.finish()
            joining.finish()

    def _faces(self, job: Job, part: tiles.Box) -> Faces:
        return Faces(self._models[FACE_DETECTOR], job.params.smallest_face, part, job.threads)


def _go_on(job: Job) -> None:
    if job.cancelled():
        raise Cancelled


def _look(params: NetworkParams, part: tiles.Box, network: tiles.Network, large_faces: bool) -> tiles.Look:
    wanted = params.half == "on" or (params.half == "auto" and network.slow and large_faces)
    half = wanted and network.scale == 2 * params.scale
    return tiles.Look(params.scale, params.detail, params.grain, part, half)


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
