"""What a film's mouth and eyes should do, on the film's own clock: by its timings, and by the animator's curves."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check.film import Film
from avatarctl.errors import BadInput
from avatarctl.media import loudness, wav
from avatarctl.text import articulation
from avatarctl.text.timings import Timings
from avatarctl.text.visemes import viseme

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording in the film. `start`, `duration`: seconds; `curves`: by name, one value a frame at `fps`."""

    start: float
    duration: float
    speech: Path
    timings: Timings | None
    curves: Mapping[str, Floats]
    fps: float


@dataclass(frozen=True, slots=True)
class Expected:
    """`opening`: of the mouth by the times of the sounds and by their loudness, and between phrases by the mood that
    the animator has the face rest in; `intended`, `blink`: by the animator's curves. All one value a picture of the
    film, NaN where nothing is known; in u, and 0..1 for `blink`."""

    opening: Floats
    intended: Floats
    blink: Floats


def clips_of(inputs: Mapping[str, Path], film: Film) -> list[Clip]:
    """The recordings in order, each where the film lays it: after the clips before it, which are whole frames long.

    Raises:
        BadInput: timings or curves that cannot be read.
    """
    found: list[Clip] = []
    start = 0.0
    for role in sorted(r for r in inputs if r.startswith("speech.")):
        number = role.partition(".")[2]
        curves, fps = _curves(inputs.get(f"curves.{number}"))
        rate = fps or round(film.fps)
        length = wav.info(inputs[role]).duration
        timings = _timings(inputs.get(f"timings.{number}"), length)
        found.append(Clip(start, length, inputs[role], timings, curves, rate))
        start += articulation.frame_count(length, max(1, round(rate))) / rate
    return found


def _timings(path: Path | None, duration: float) -> Timings | None:
    if path is None:
        return None
    try:
        return replace(Timings.read(path), duration=duration)
    except ValueError as error:
        raise BadInput("the timings cannot be read", why=str(error)) from error


def _curves(path: Path | None) -> tuple[dict[str, Floats], float]:
    """Curves by name, and their frames a second; nothing and 0 where there are none."""
    if path is None:
        return {}, 0.0
    try:
        with np.load(path, allow_pickle=False) as stored:
            values, names = stored["values"].astype(np.float64), [str(name) for name in stored["names"]]
            return {name: values[:, i] for i, name in enumerate(names)}, float(stored["fps"])
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, IndexError) as error:
        raise BadInput("the animator's curves cannot be read", why=str(error)) from error


def expect(clips: list[Clip], film: Film, frames: int) -> Expected:
    """What the clips call for, laid on the film's `frames` pictures."""
    intended, blink = (intention(clips, film, frames, name) for name in ("open", "blink"))
    opening = np.full(frames, np.nan)
    for clip in clips:
        inside, local = _place(clip, film, frames)
        if clip.timings is not None and clip.timings.phonemes:
            rate = max(1, round(film.fps))
            loud = loudness.measure(clip.speech)
            poses = articulation.poses(clip.timings, rate, loudness=loud)[:, articulation.INDEX["open"]]
            poses = poses + (1 - articulation.voiced(clip.timings, rate)) * _at_rest(clip, len(poses), rate)
            opening[inside] = np.interp(local * rate, np.arange(len(poses)), poses)
    return Expected(opening, intended, blink)


def intention(clips: list[Clip], film: Film, frames: int, name: str) -> Floats:
    """The animator's curve of that name, laid on the film's `frames` pictures; NaN where there is none."""
    row = np.full(frames, np.nan)
    for clip in clips:
        curve = clip.curves.get(name)
        if curve is not None and curve.size:
            inside, local = _place(clip, film, frames)
            row[inside] = np.interp(local * clip.fps, np.arange(len(curve)), curve)
    return row


def _place(clip: Clip, film: Film, frames: int) -> tuple[NDArray[np.bool_], Floats]:
    """Which of the film's pictures belong to a clip, and the seconds since its beginning of each of them."""
    times = np.arange(frames) / film.fps
    inside = (times >= clip.start - 0.5 / film.fps) & (times < clip.start + clip.duration)
    return inside, times[inside] - clip.start


def _at_rest(clip: Clip, frames: int, fps: float) -> Floats:
    """How far the mood alone parts the lips, u, float64 (frames,): as at the clip's beginning up to its first sound,
    and from there on as at its end. What the animator's curve does between the two says nothing of the sound.
    """
    curve = clip.curves.get("open")
    if curve is None or not curve.size or clip.timings is None:
        return np.zeros(frames)
    before = np.arange(frames) < clip.timings.phonemes[0].start * fps
    return np.asarray(np.where(before, curve[0], curve[-1]), np.float64)


def closures(clips: list[Clip]) -> Floats:
    """The film's seconds at which lips have to meet: a p, b or m's middle, less the time the mouth is ahead."""
    return np.array(
        [
            clip.start + (sound.start + sound.end) / 2 - articulation.LEAD
            for clip in clips
            if clip.timings is not None
            for sound in clip.timings.phonemes
            if viseme(sound.ipa, sound.stress).closes
        ]
    )


def closures_guessed(clips: list[Clip]) -> int:
    """How many of `closures` come from a recording whose words were not known, or not what it says."""
    return sum(
        viseme(sound.ipa, sound.stress).closes and clip.timings.is_guessed(sound)
        for clip in clips
        if clip.timings is not None
        for sound in clip.timings.phonemes
    )


def pauses(clips: list[Clip], shortest: float) -> list[tuple[float, float]]:
    """Stretches of the film, in seconds, without a sound for at least `shortest` seconds."""
    if not clips or any(clip.timings is None for clip in clips):
        return []
    found: list[tuple[float, float]] = []
    silent_since = clips[0].start
    for clip in clips:
        for sound in clip.timings.phonemes if clip.timings is not None else ():
            if clip.start + sound.start - silent_since >= shortest:
                found.append((silent_since, clip.start + sound.start))
            silent_since = clip.start + sound.end
    end = clips[-1].start + clips[-1].duration
    if end - silent_since >= shortest:
        found.append((silent_since, end))
    return found
