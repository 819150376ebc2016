"""The engine of the stage `check`: a finished film to a report in figures.

The report is JSON, schema `check/1`. `figures` holds a number for each name below, or null where it cannot be
known: no face is found (a painting, a profile), nothing is known of what is said, the film is too short. `film` holds
width, height and frames, the size at which was measured, and where the knowledge of the speech comes from.

    sync                 r, -1..1   Pearson's correlation of two openings of the mouth, at their best lag: the one
                                    that the film's sound calls for (its timings and loudness, by `text.articulation`;
                                    in pauses the mood that the animator rests in), and the one that is seen in its
                                    pictures by the face mesh and by the lips' own look
    lag_ms               ms         by how much the sound is late against the picture; below 0: it is early. Null
                                    where sync is below 0.4
    sound_shift_ms       ms         by how much the sound is late against where its recordings belong, by their
                                    waveforms; below 0: it is early
    as_intended          r          the animator's curve `open` against the opening that is seen, frame by frame
    closures             0..1       share of p, b and m at which lips are seen to meet (within 0.03 u of the film's gap
                                    at rest, u being the distance of the eyes, or within a pixel where that is more)
                                    within a frame of their time
    closures_counted     count      how many p, b and m that is out of
    closures_guessed     count      how many of these stand where the sound alone seemed to have them, since its words
                                    were not known: that the lips meet there says nothing of where they should
    eyes                 0..1       share of the pictures of the face that show an eye, open
    blinks               count      how often the eyes shut and open again; of eyes that are hardly ever to be seen,
                                    behind dark glasses or closed all along, this and what follows is not known
    blinks_per_minute    1/min
    blinks_as_intended   r          the animator's curve `blink` against the shutting of the eyes that is seen,
                                    within 0.4 s of every blink that is meant or seen: in between it would tell noise
    silence_motion       ratio      how fast lips move in pauses over 0.3 s, over how fast they move in speech (RMS)
    face                 0..1       share of the pictures that show the face
    background_db        dB         PSNR of the background against the first picture, mean; 60: perfectly still
    background_min_db    dB         the same, of the worst picture
    background_share     0..1       share of the picture that counts as background: beside and above the person, as
                                    the network that cuts people out sees one
    flicker              0..255     RMS jump of the face's mean luma against the pictures before and after
    background_flicker   0..255     the same, of the background
    sharpness            0..1       least over most RMS of the Laplacian of the upper face's luma: the region goes with
                                    the face, mouth, eyes and pictures of a blink are left out, and so are the 5 %
                                    at either end
    lufs                 LUFS       integrated loudness, ITU-R BS.1770-4; -70: silence
    peak_db              dBFS       highest sample
    clipped              0..1       share of samples at full scale
    duration             s          of the picture
    frames               count
    fps                  1/s
    length_difference    s          by how much the sound is longer than the picture; below 0: shorter
    uneven_ms            ms         how far the picture farthest from its place in an even row is off it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check import expected, lids, mouth, picture, sound, steadiness
from avatarctl.engines.check.expected import Clip
from avatarctl.engines.check.film import Film, survey
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.person import MATTE_MODEL, PersonNetwork
from avatarctl.errors import StepFailed

SCHEMA = "check/1"
SIDE_BY_SIDE = 2
"""Pictures that are looked at at a time."""
PROGRESS_EVERY = 25
"""Frames."""

Figures = dict[str, float | None]


class CheckEngine:
    """Measures; what a figure is worth is for others to say."""

    def __init__(self) -> None:
        self._meshes: list[FaceMesh] = []
        self._beginnings: picture.Beginnings | None = None

    def load(self, models: Mapping[str, Path]) -> None:
        """Raises `Unavailable` when a model file is not what it should be."""
        mesh = FaceMesh(models)
        self._meshes = [mesh, *(mesh.twin() for _ in range(SIDE_BY_SIDE - 1))]
        self._beginnings = picture.Beginnings(mesh, PersonNetwork(models[MATTE_MODEL]))

    def close(self) -> None:
        """Drop the networks."""
        self._meshes = []
        self._beginnings = None

    def run(self, job: Job) -> None:
        """Write `report.json`.

        Raises:
            BadInput: the film has no picture or does not decode; timings or curves cannot be read.
        """
        if self._beginnings is None:
            raise StepFailed("the engine check was not loaded")
        # Pictures are looked at side by side, so none of them is worth being cut up.
        cv2.setNumThreads(1)

        def check() -> None:
            if job.cancelled():
                raise Cancelled

        def progress(done: int, total: int) -> None:
            if done % PROGRESS_EVERY < SIDE_BY_SIDE:
                job.progress(min(done, total), total, "frames")

        # What waits for ffmpeg goes side by side.
        with ThreadPoolExecutor(2, "check") as pool:
            film = survey(job.inputs["film"], check)
            clips = expected.clips_of(job.inputs, film)
            listening = pool.submit(_listen, film, clips, check)
            if job.threads == 1:
                listening.exception()

            def wanted() -> NDArray[np.bool_]:
                return _worth_a_look(film, clips, listening.result()[1] or 0.0)

            seen, size = picture.look(film, self._meshes, self._beginnings, job.threads, wanted, check, progress)
            heard, shift = listening.result()
        frames = len(seen.gap)
        figures: Figures = {
            **_mouth(film, clips, seen, shift),
            **_picture(seen),
            "lufs": heard.lufs if heard else None,
            "peak_db": heard.peak if heard else None,
            "clipped": heard.clipped if heard else None,
            "duration": film.duration,
            "frames": frames,
            "fps": film.fps,
            "length_difference": heard.duration - film.duration if heard else None,
            "uneven_ms": 1000 * film.uneven,
        }
        report = {
            "schema": SCHEMA,
            "figures": {name: _rounded(value) for name, value in figures.items()},
            "film": {"measured_width": size[0], "measured_height": size[1], "timings": _sources(clips)},
        }
        text = json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False)
        (job.out / "report.json").write_text(text + "\n", encoding="utf-8")
        job.progress(frames, frames, "frames")


def _listen(film: Film, clips: list[Clip], check: Callable[[], None]) -> tuple[sound.Sound | None, float | None]:
    """The film's sound, and the seconds by which it is late; None where there is none, or nothing to compare with."""
    if not film.channels:
        return None, None
    heard = sound.measure(film, check)
    recordings = [(clip.start, clip.speech) for clip in clips]
    return heard, sound.shift(heard.low, recordings, check) if recordings else None


def _worth_a_look(film: Film, clips: list[Clip], late_sound: float) -> NDArray[np.bool_]:
    """Which pictures a figure hangs on: those at p, b and m, in pauses, and at blinks that are meant."""
    pauses = [(start + late_sound, end + late_sound) for start, end in expected.pauses(clips, mouth.PAUSE)]
    chosen = mouth.still_frames(pauses, film.fps, film.frames)
    for moment in expected.closures(clips) + late_sound:
        chosen[mouth.around(moment, film.fps)] = True
    return chosen | (np.nan_to_num(expected.intention(clips, film, film.frames, "blink")) > mouth.MEANT)


def _mouth(film: Film, clips: list[Clip], seen: picture.Seen, shift: float | None) -> Figures:
    frames = len(seen.gap)
    wanted = expected.expect(clips, film, frames)
    sync, late = mouth.best_lag(wanted.opening, seen.even_gap, film.fps)
    # What belongs to the sound is looked for where the film's sound has it.
    late_sound = shift or 0.0
    silent = [(start + late_sound, end + late_sound) for start, end in expected.pauses(clips, mouth.PAUSE)]
    still = mouth.still_frames(silent, film.fps, frames)
    rest = mouth.rest_gap(seen.gap, still)
    met, counted = (
        (0, 0)
        if rest is None
        else mouth.closed(seen.gap, expected.closures(clips) + late_sound, film.fps, rest, seen.closed)
    )
    eyes = seen.eyes if (seen.eyes_shown or 0.0) >= mouth.EYES_SHOWN else np.full(frames, np.nan)
    blinks = mouth.blinks(eyes, film.fps)
    near_blinks = mouth.around_blinks(wanted.blink, eyes, film.fps)
    minutes = np.count_nonzero(seen.face) / film.fps / 60
    return {
        "sync": sync,
        "lag_ms": None if late is None or shift is None else 1000 * (shift - late),
        "sound_shift_ms": None if shift is None else 1000 * shift,
        "as_intended": mouth.correlation(wanted.intended, seen.even_gap),
        "closures": met / counted if counted else None,
        "closures_counted": counted,
        "closures_guessed": min(counted, expected.closures_guessed(clips)),
        "eyes": seen.eyes_shown,
        "blinks": blinks,
        "blinks_per_minute": None if blinks is None or not minutes else blinks / minutes,
        "blinks_as_intended": mouth.correlation(wanted.blink, lids.shutting(seen.looks, eyes, near_blinks & seen.face)),
        "silence_motion": mouth.silence_motion(seen.even_gap, still),
    }


def _picture(seen: picture.Seen) -> Figures:
    mean_db, min_db = steadiness.decibels(seen.background_error)
    return {
        "face": float(seen.face.mean()) if seen.face.size else None,
        "background_db": mean_db,
        "background_min_db": min_db,
        "background_share": seen.background_share,
        "flicker": steadiness.flicker(seen.light),
        "background_flicker": steadiness.flicker(seen.background_light),
        "sharpness": steadiness.sharpness(seen.detail, mouth.awake(seen.eyes)),
    }


def _sources(clips: list[Clip]) -> list[str]:
    """Where the times of the sounds come from: `engine`, `aligned` or `sound`, the last being a guess."""
    return sorted({clip.timings.source for clip in clips if clip.timings is not None})


def _rounded(value: float | None) -> Any:
    if value is None or isinstance(value, int):
        return value
    return round(float(value), 4)
