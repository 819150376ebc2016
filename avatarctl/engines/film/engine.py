"""Joins clips by copying their packets, lays the speech under them sample by sample, and adds subtitles.

Invariant: clip k begins at the same instant in picture and sound, whatever came before it.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ffmpeg as ffmpeg_python
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import StepFailed
from avatarctl.media import audio, concat, ffmpeg, subtitles, wav
from avatarctl.media.video import timescale
from avatarctl.text.timings import Timings

AUDIO_RATE = 48_000
AUDIO_BIT_RATE = "128k"
CEILING = 10 ** (-1 / 20)
"""Highest peak of the sound, -1 dBFS: what AAC adds to a peak stays below full scale."""

# The language tags of MP4 tracks are ISO 639-2.
_LANGUAGES = {
    "ru": "rus", "en": "eng", "uk": "ukr", "be": "bel", "kk": "kaz", "de": "deu", "fr": "fra", "es": "spa",
    "it": "ita", "pt": "por", "pl": "pol", "cs": "ces", "nl": "nld", "tr": "tur", "ar": "ara", "he": "heb",
    "zh": "zho", "ja": "jpn", "ko": "kor",
}  # fmt: skip


class FilmEngine:
    """The engine of the stage `finish`."""

    def load(self, models: Mapping[str, Path]) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to close."""

    def run(self, job: Job) -> None:
        """Write film.mp4, and subtitles.srt if wanted and known.

        Raises:
            StepFailed: the clips do not fit together, or a recording is longer than its clip.
        """
        clips, speeches = _by_number(job.inputs, "clip"), _by_number(job.inputs, "speech")
        if not clips or clips.keys() != speeches.keys():
            raise StepFailed("every clip needs its speech", why=f"{len(clips)} clips, {len(speeches)} recordings")
        fps: int = job.params.fps
        counts = concat.frame_counts(list(clips.values()), fps)
        starts = [0, *itertools.accumulate(counts)]
        playlist = job.out / "clips.ffconcat"
        playlist.write_text(concat.playlist(list(clips.values())), encoding="utf-8")
        cues = _write_subtitles(job, dict(zip(clips, starts, strict=False))) if job.params.subtitles else None
        speech = Speech(list(speeches.values()), starts, fps)

        def check() -> None:
            if job.cancelled():
                raise Cancelled

        with ffmpeg.Child(
            _command(job, playlist, cues, speech.rate), what="the film cannot be joined", feed=True, check=check
        ) as child:
            written = 0
            for samples in speech.blocks():
                child.write(samples.tobytes())
                written += samples.size
                job.progress(written * fps // speech.rate, starts[-1], "frames")
            child.finish()
        playlist.unlink()


def _by_number(inputs: Mapping[str, Path], role: str) -> dict[int, Path]:
    numbered = {
        int(number): path for name, path in inputs.items() for kind, _, number in [name.partition(".")] if kind == role
    }
    return dict(sorted(numbered.items()))


class Speech:
    """The recordings of a film as one stream of 16-bit samples: recording k begins with frame `starts[k]`.

    The highest rate among them is everybody's, `rate` hertz, so that none loses its high tones. They are read
    twice, in blocks: once for the loudest sample, once for the film.
    """

    def __init__(self, recordings: Sequence[Path], starts: Sequence[int], fps: int) -> None:
        self._recordings = recordings
        found = [wav.info(path) for path in recordings]
        self.rate = max(info.sample_rate for info in found)
        # Rounded from the film's beginning, so that a rate that is no multiple of fps does not drift.
        self._bounds = [round(start * self.rate / fps) for start in starts]
        for k, (info, (begin, end)) in enumerate(zip(found, itertools.pairwise(self._bounds), strict=True)):
            if info.duration * self.rate - (end - begin) >= self.rate / fps:
                raise StepFailed("the speech is longer than its clip", why=f"number {k + 1}")

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """int16 (samples,) in order, all clips together exactly as long as the film; quieter if it would clip."""
        gain = self._gain()
        for path, (begin, end) in zip(self._recordings, itertools.pairwise(self._bounds), strict=True):
            left = end - begin
            for samples in audio.pcm_blocks(path, self.rate):
                samples = samples[:left]
                left -= samples.size
                yield samples.astype("<i2") if gain == 1.0 else np.rint(samples * gain).astype("<i2")
            while left:
                silence = np.zeros(min(left, 10 * self.rate), "<i2")
                left -= silence.size
                yield silence

    def _gain(self) -> float:
        peak = 0
        for path in self._recordings:
            for samples in audio.pcm_blocks(path, self.rate):
                peak = max(peak, int(np.abs(samples.astype(np.int32)).max(initial=0)))
        return min(1.0, CEILING * 32768 / peak) if peak else 1.0


def _write_subtitles(job: Job, starts: Mapping[int, int]) -> Path | None:
    """The .srt beside the film; None when no sentence's time is known."""
    timings = _by_number(job.inputs, "timings")
    parts = [(starts[n] / job.params.fps, Timings.read(path).sentences) for n, path in timings.items() if n in starts]
    text = subtitles.srt(parts)
    if not text:
        return None
    path = job.out / "subtitles.srt"
    path.write_bytes(text.encode("utf-8"))
    return path


def _command(job: Job, playlist: Path, cues: Path | None, rate: int) -> Any:
    fps = job.params.fps
    # Only this list, written a moment ago, may be opened as a list of files.
    pictures = ffmpeg_python.input(
        f"file:{playlist}",
        format="concat",
        safe=0,
        auto_convert=0,
        protocol_whitelist="file",
        format_whitelist="concat,mov",
    )
    sound = ffmpeg_python.input("pipe:0", format="s16le", ar=rate, ch_layout="mono")
    streams = [pictures["v:0"], sound["a:0"]]
    language = _LANGUAGES.get(job.params.language, "und")
    options: dict[str, Any] = {
        "format": "mp4",
        "c:v": "copy",
        # Numbered anew, because the joined clock counts microseconds and would round.
        "bsf:v": f"setts=ts=N*512:duration=512:time_base=1/{timescale(fps)}",
        "video_track_timescale": timescale(fps),
        "c:a": "aac",
        "b:a": AUDIO_BIT_RATE,
        "ar": AUDIO_RATE,
        "flags:a": "+bitexact",
        "threads:a": 1,
        "map_metadata": -1,
        # Both are tags of the whole film; ffmpeg-python knows an option once by each of its spellings.
        "metadata": f"title={_plain(job.params.title)}",
        "metadata:g": f"comment={job.key}",
        "metadata:s:a:0": f"language={language}",
        "movflags": "+faststart",
    }
    if cues is not None:
        streams.append(ffmpeg_python.input(f"file:{cues}", format="srt", protocol_whitelist="file")["s:0"])
        options |= {"c:s": "mov_text", "metadata:s:s:0": f"language={language}"}
    return ffmpeg.sink(*streams, path=job.out / "film.mp4", **options)


def _plain(title: str) -> str:
    """One line without control characters, which neither a command line nor a player's title bar can show."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in title)
    return " ".join("".join(kept).split())
