"""Joins clips by copying their packets, lays the speech under them sample by sample, and adds subtitles.

Invariant: clip k begins at the same instant in picture and sound, whatever came before it.
"""

from __future__ import annotations

import wave
from collections.abc import Callable, Mapping
from pathlib import Path

import ffmpeg as ffmpeg_python
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import StepFailed
from avatarctl.media import audio, ffmpeg, probe, subtitles
from avatarctl.media.video import timescale
from avatarctl.text.timings import Timings

AUDIO_RATE = 48_000
AUDIO_BIT_RATE = "128k"

# ISO 639-2 codes for the language tags of MP4 tracks.
_LANGUAGES = {"ru": "rus", "en": "eng", "uk": "ukr", "de": "deu", "fr": "fra", "es": "spa", "it": "ita"}


class FilmEngine:
    """The engine of the stage `finish`."""

    def load(self, models: Mapping[str, Path]) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to close."""

    def run(self, job: Job) -> None:
        """Write film.mp4, and subtitles.srt if wanted. Raises `StepFailed` if the clips do not fit together."""
        fps: int = job.params.fps
        clips = _in_order(job.inputs, "clip")
        speeches = _in_order(job.inputs, "speech")
        if len(clips) != len(speeches) or not clips:
            raise StepFailed("every clip needs its speech", why=f"{len(clips)} clips, {len(speeches)} recordings")

        def check() -> None:
            if job.cancelled():
                raise Cancelled

        frames = _frame_counts(clips, fps)
        check()
        starts = np.concatenate([[0], np.cumsum(frames)])
        sound = job.out / "speech.wav"
        _join_speech(speeches, starts, fps, sound)
        listing = job.out / "clips.ffconcat"
        # The store's names are hexadecimal, so nothing in them needs quoting.
        listing.write_text("ffconcat version 1.0\n" + "".join(f"file 'file:{clip}'\n" for clip in clips))
        cues = None
        if job.params.subtitles:
            timings = _in_order(job.inputs, "timings")
            spans = [
                (start / fps, Timings.read(path).sentences) for start, path in zip(starts[:-1], timings, strict=True)
            ]
            cues = job.out / "subtitles.srt"
            cues.write_text(subtitles.srt(spans), encoding="utf-8")
        _mux(job, listing, sound, cues, check)
        sound.unlink()
        listing.unlink()


def _in_order(inputs: Mapping[str, Path], role: str) -> list[Path]:
    return [path for name, path in sorted(inputs.items()) if name.partition(".")[0] == role]


def _frame_counts(clips: list[Path], fps: int) -> list[int]:
    counts = []
    size = None
    for clip in clips:
        video = probe.decode_all(clip).video
        if video is None or video.fps != fps:
            raise StepFailed("the clips do not fit together", why=f"one has not {fps} frames a second")
        if size is not None and size != (video.width, video.height):
            raise StepFailed("the clips do not fit together", why="they differ in size")
        size = (video.width, video.height)
        counts.append(video.frames)
    return counts


def _join_speech(speeches: list[Path], starts: NDArray[np.int64], fps: int, out: Path) -> None:
    """One WAV in which recording k begins at frame `starts[k]`; the highest of the rates is everybody's."""
    infos = [audio.wav_info(path) for path in speeches]
    rate = max(info.sample_rate for info in infos)
    with wave.open(str(out), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate)
        for k, (path, info) in enumerate(zip(speeches, infos, strict=True)):
            begin, end = (round(int(frame) * rate / fps) for frame in (starts[k], starts[k + 1]))
            if info.sample_rate == rate:
                samples = audio.read_pcm(path)
            else:
                decoded, _ = audio.decode(path, rate, info.duration + 1, "speech")
                samples = np.clip(np.rint(decoded * 32768), -32768, 32767).astype(np.int16)
            if samples.size > end - begin:
                if (samples.size - (end - begin)) / rate > 1 / fps:
                    raise StepFailed("the speech is longer than its clip", why=f"number {k}")
                samples = samples[: end - begin]
            padded = np.zeros(end - begin, "<i2")
            padded[: samples.size] = samples
            stream.writeframesraw(padded.tobytes())


def _mux(job: Job, listing: Path, sound: Path, cues: Path | None, check: Callable[[], None]) -> None:
    # Only this list, written above, may be opened as a list of files.
    pictures = ffmpeg_python.input(
        f"file:{listing}", format="concat", safe=0, protocol_whitelist="file", format_whitelist="concat,mov"
    )
    speech = ffmpeg_python.input(f"file:{sound}", format="wav", protocol_whitelist="file")
    streams = [pictures["v:0"], speech["a:0"]]
    language = _LANGUAGES.get(job.params.language, "und")
    title = "".join(c if c.isprintable() else " " for c in job.params.title)
    options: dict[str, object] = {
        "format": "mp4",
        "c:v": "copy",
        "c:a": "aac",
        "b:a": AUDIO_BIT_RATE,
        "ar": AUDIO_RATE,
        "flags:a": "+bitexact",
        "threads:a": 1,
        "map_metadata": -1,
        "metadata:g:0": f"title={title}",
        "metadata:g:1": f"comment={job.key}",
        "metadata:s:a:0": f"language={language}",
        "movflags": "+faststart",
        "video_track_timescale": timescale(job.params.fps),
    }
    if cues is not None:
        streams.append(ffmpeg_python.input(f"file:{cues}", format="srt", protocol_whitelist="file")["s:0"])
        options |= {"c:s": "mov_text", "metadata:s:s:0": f"language={language}"}
    output = ffmpeg.sink(*streams, path=job.out / "film.mp4", **options)
    ffmpeg.run(output, what="the film cannot be joined", check=check)
