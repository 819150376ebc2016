"""The engine of the stage `animate`: speech and a rig to a silent clip.

Pictures are drawn a few at a time and handed to the encoder's process, so memory does not grow with the clip. The
speech is only listened to: the film's sound is the speech itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.sadtalker import hearing, motion
from avatarctl.engines.sadtalker.face import Face
from avatarctl.engines.sadtalker.paste import Paste
from avatarctl.engines.sadtalker.spec import MAPPING, NETWORKS, PROGRAM, SadTalkerParams
from avatarctl.engines.worker import memory
from avatarctl.errors import BadInput
from avatarctl.media import arrays, video, wav
from avatarctl.stages.catalog import picture_size
from avatarctl.text.articulation import frame_count

ON_GPU = {256: 8, 512: 2}
"""Pictures that are drawn at a time on a GPU, by resolution. On a CPU more than one only takes memory."""

Array = NDArray[np.float32]
Image = NDArray[np.uint8]


class Networks(motion.Mover, Protocol):
    """All that hears, moves and draws."""

    on_gpu: bool

    def set_threads(self, threads: int) -> None:
        """Upper bound on busy threads."""

    def pictures(self, crop: Image, source: Array, driving: Array, tell: Callable[[str], None]) -> Image:
        """The crop with its keypoints moved from (15, 3) to each of (n, 15, 3): RGB uint8 (n, side, side, 3)."""

    def close(self) -> None:
        """Give back memory."""


def _open(program: Path, weights: Path, mapping: Path, params: SadTalkerParams) -> Networks:
    from avatarctl.engines.sadtalker.networks import FilmNetworks

    return FilmNetworks(program, weights, mapping, params)


class AnimateEngine:
    """Speech and a rig to a clip; the networks stay warm."""

    def __init__(self, open_networks: Callable[[Path, Path, Path, SadTalkerParams], Networks] = _open) -> None:
        self._open = open_networks
        self._networks: Networks | None = None
        self._opened: tuple[str, ...] = ()

    def load(self, models: Mapping[str, Path]) -> None:
        """Note where program and weights lie; which device reads them is a step's to say."""
        self._models = dict(models)

    def run(self, job: Job) -> None:
        """Write `clip.mp4`, ceil(duration x fps) frames that begin and end as the photo is, and `curves.npz`, which
        knows of the eyes alone: what the mouth is to do is the networks' own secret.

        Raises:
            BadInput: the rig is another animator's, or was built for another size, resolution or way of showing.
            Unavailable: no SadTalker, weights that are not its own, or no GPU where one was asked for.
            MemoryError: not even one picture at a time fits.
        """
        params: SadTalkerParams = job.params
        face = Face.load(job.inputs["rig"])
        _check(face, params)
        cv2.setNumThreads(job.threads)
        networks = self._ready(params)
        networks.set_threads(job.threads)

        def go_on() -> None:
            if job.cancelled():
                raise Cancelled

        speech = job.inputs["speech"]
        duration = wav.info(speech).duration
        total = frame_count(duration, params.fps)
        job.progress(0, total, "frames")
        heard = frame_count(duration, hearing.RATE)
        mels = hearing.mel_spectrogram(speech, heard)
        random = _generator(job.seed, mels)
        moves = motion.plan(networks, face, mels, params, heard, total, random, go_on)
        arrays.write(job.out / "curves.npz", _curves(moves, params.fps))
        height, width = face.picture.shape[:2]
        drawn = _drawn(networks, face, moves, params, job, go_on)
        paste = Paste(face, next(drawn))
        with video.Encoder(job.out / "clip.mp4", width, height, params.fps, crf=params.crf) as encoder:
            for number, square in enumerate(drawn, start=1):
                encoder.write(np.asarray(cv2.cvtColor(paste.frame(square), cv2.COLOR_RGB2YUV_I420), np.uint8))
                job.progress(number, total, "frames")

    def _ready(self, params: SadTalkerParams) -> Networks:
        wanted = (params.device, params.precision, params.preprocess)
        if self._networks is None or self._opened != wanted:
            self.close()
            models = self._models
            self._networks = self._open(models[PROGRAM], models[NETWORKS], models[MAPPING], params)
            self._opened = wanted
        return self._networks

    def close(self) -> None:
        """Give back the networks' memory."""
        if self._networks is not None:
            self._networks.close()
            self._networks = None


def _drawn(
    networks: Networks, face: Face, moves: motion.Motion, params: SadTalkerParams, job: Job, check: Callable[[], None]
) -> Iterator[Image]:
    """The square at rest, and then every picture of the film. What memory cannot hold is drawn by halves, for good."""
    batch = params.batch or (ON_GPU[params.resolution] if networks.on_gpu else 1)
    driving = np.concatenate([moves.source[None], moves.driving])
    first = 0
    while first < len(driving):
        check()
        begin = first

        def attempt(size: int, begin: int = begin) -> Image:
            return networks.pictures(face.crop, moves.source, driving[begin : begin + size], job.note)

        def tell(size: int) -> None:
            nonlocal batch
            batch = max(1, size // 2)
            job.note(f"{size} pictures at a time do not fit into memory: from now on {batch}")

        yield from memory.ladder(_halves(batch), attempt, tell)
        first += batch


def _halves(size: int) -> list[int]:
    sizes = [size]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    return sizes


def _check(face: Face, params: SadTalkerParams) -> None:
    height, width = face.picture.shape[:2]
    shown = "crop" if face.whole else "full"
    if ((width, height), len(face.crop), shown) != (
        picture_size(params.size, params.aspect),
        params.resolution,
        params.preprocess,
    ):
        raise BadInput(
            "the rig was built for another film",
            why=f"{width} x {height} pixels, {shown}, drawn at {len(face.crop)}",
            hint="set size, aspect, resolution and preprocess of animate alone: rig takes them over",
        )


def _generator(seed: int, mels: Array) -> np.random.Generator:
    """Seeded by the seed and by what is heard, so that two sentences do not move alike."""
    digest = hashlib.sha256(f"sadtalker {seed}\n".encode() + np.rint(mels * 64).astype("<i2").tobytes())
    return np.random.default_rng(np.frombuffer(digest.digest(), np.uint32))


def _curves(moves: motion.Motion, fps: int) -> dict[str, NDArray[np.generic]]:
    return {
        "values": moves.blinks[:, None].astype(np.float32),
        "fps": np.array(fps, np.int32),
        "names": np.array(["blink"]),
    }
