"""The engine `animate/heygen`: a photo and a sentence's speech to a film of HeyGen's, and that to a clip.

HeyGen would speak, too; but speech is a stage of its own here, so that the voice can be any engine's, and a film can be
made again without paying for its speech. `speak/heygen` is HeyGen's voice for those who want both.

A film is paid for. So it bears a title by which the next try finds it, should this one be killed; and once it is
here, it and the files for it are deleted there.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from avatarctl.engines.cloud.download import download
from avatarctl.engines.cloud.heygen import TITLE, FilmFailed, HeyGen, text_of
from avatarctl.engines.cloud.service import CloudEngine, Refused
from avatarctl.engines.cloud.spec import HeyGenFilmParams
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput, StepFailed, Unavailable
from avatarctl.media import ffmpeg, image, probe, video, wav
from avatarctl.stages.catalog import picture_size
from avatarctl.text.articulation import frame_count

LONGEST = 600.0
"""Seconds of speech that HeyGen takes at a time."""
_LONGEST_SIDE = 1920
"""Pixels of a photo: HeyGen wants less than 2K."""
_SHORT = 0.5
"""Seconds by which a film may be shorter than its speech, which ends with silence; the last picture stays."""
_SETTING = "animate.timeout"


class HeyGenFilmEngine(CloudEngine):
    """A step is one request, or a few."""

    def run(self, job: Job) -> None:
        """Write clip.mp4: ceil(duration x fps) frames of the size that is wanted.

        Raises:
            BadInput: the speech is too long.
            Unavailable: no key, a wrong one, no money, or nobody answers.
            StepFailed: HeyGen refused, failed, or is not done in time.
        """
        params: HeyGenFilmParams = job.params
        seconds = wav.info(job.inputs["speech"]).duration
        if seconds > LONGEST:
            raise BadInput(
                f"{TITLE} takes at most {LONGEST:.0f} s of speech at a time", why=f"this has {seconds:.0f} s"
            )
        frames = frame_count(seconds, params.fps)
        service = HeyGen(job, params.patience, _SETTING)
        title = f"avatarctl {job.key.removeprefix('s1:')[:32]}"
        job.progress(0, frames, "frames")
        film = service.find(title) if job.key else ""
        files: list[str] = []
        if film:
            job.note(f"{TITLE} is at this film already; waiting for it")
        else:
            job.note(f"the photo and {seconds:.1f} s of speech go to {TITLE}")
            film = _begun(job, service, params, title, files)
        done = _awaited(job, service, film, files, frames)
        arrived = job.out / "arrived.mp4"
        download(job, text_of(done, "video_url"), arrived, title=TITLE, patience=params.patience, setting=_SETTING)
        try:
            made = _clip(job, arrived, frames)
        except StepFailed as error:
            # It is found again by the next try, which may have had but a bad download; another take is another film.
            error.hint = "try again; --take 1 makes another film, which is paid for"
            raise
        arrived.unlink()
        counted = done.get("duration")
        job.used("seconds of film", round(float(counted) if isinstance(counted, int | float) else made, 3))
        service.remove(f"/v3/videos/{film}", *files)
        job.progress(frames, frames, "frames")


def _begun(job: Job, service: HeyGen, params: HeyGenFilmParams, title: str, files: list[str]) -> str:
    """Bring the files there and ask for the film: its id. `files` gets the paths of what was brought."""
    photo = job.out / "photo.png"
    image.write_png(photo, image.fit(image.read_png(job.inputs["portrait"]), _LONGEST_SIDE))
    try:
        portrait = service.upload(photo, "photo.png", "image/png")
        files.append(f"/v3/assets/{portrait}")
        speech = service.upload(job.inputs["speech"], "speech.wav", "audio/wav")
        files.append(f"/v3/assets/{speech}")
        wanted: dict[str, Any] = {
            "type": "image",
            "image": {"type": "asset_id", "asset_id": portrait},
            "audio_asset_id": speech,
            "title": title,
            "aspect_ratio": params.aspect,
            "resolution": "720p" if params.size <= 720 else "1080p",
            "fit": "cover",
            "expressiveness": params.expressiveness,
            "output_format": "mp4",
        }
        if params.motion_prompt:
            wanted["motion_prompt"] = params.motion_prompt
        return text_of(service.call("POST", "/v3/videos", wanted), "video_id")
    except (Refused, Unavailable):
        # Any other failure may hide that the film is under way, with these files.
        service.remove(*files)
        raise
    finally:
        photo.unlink()


def _awaited(job: Job, service: HeyGen, film: str, files: list[str], frames: int) -> dict[str, Any]:
    params: HeyGenFilmParams = job.params
    try:
        return service.wait_for(film, params.timeout, lambda: job.progress(0, frames, "frames"))
    except FilmFailed:
        service.remove(f"/v3/videos/{film}", *files)
        raise


def _clip(job: Job, film: Path, frames: int) -> float:
    """The film in this clip's size, rate and length, without its sound: its own seconds."""
    params: HeyGenFilmParams = job.params

    def check() -> None:
        if job.cancelled():
            raise Cancelled

    found = probe.decode_all(film, strict=False, check=check).video
    if found is None:
        raise StepFailed(f"{TITLE}'s film has no picture")
    missing = frames / params.fps - found.duration
    if missing > _SHORT:
        raise StepFailed(
            f"{TITLE}'s film is shorter than the speech",
            why=f"{found.duration:.2f} s, not {frames / params.fps:.2f} s",
        )
    width, height = picture_size(params.size, params.aspect)
    scaled = {"flags": "lanczos+accurate_rnd", "out_color_matrix": "smpte170m", "out_range": "tv"}
    pictures = (
        ffmpeg.source(film, ffmpeg.FILM_FORMATS)["V:0"]
        .filter("fps", params.fps, start_time=0)
        .filter("scale", width, height, force_original_aspect_ratio="increase", **scaled)
        .filter("crop", width, height)
        .filter("setsar", 1)
        .filter("tpad", stop_mode="clone", stop=math.ceil((max(missing, 0.0) + _SHORT) * params.fps))
        .filter("setparams", **video.COLOUR)
    )
    clip = ffmpeg.sink(
        pictures,
        path=job.out / "clip.mp4",
        format="mp4",
        **{"frames:v": frames},
        video_track_timescale=video.timescale(params.fps),
        **video.h264(params.fps),
    )
    ffmpeg.run(clip, what=f"{TITLE}'s film cannot be read", check=check)
    return found.duration
