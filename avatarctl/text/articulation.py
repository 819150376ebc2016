"""The mouth of a speaker over time: from the times of sounds to poses, at any frame rate.

Co-articulation follows Cohen & Massaro (1993): every sound pulls each part of the pose towards its target
with a dominance that decays exponentially around it, and the pose is the mean weighted by dominance. Lips round
early for a rounded vowel (Benguerel & Cowan 1974), through all consonants that leave them free. Then come
guarantees that no averaging may spoil: lips meet on p, b and m, part when a stop is released, tuck on f and v,
and the mouth is at rest on the first and the last frame.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatarctl.text.loudness import Loudness
from avatarctl.text.timings import Timings
from avatarctl.text.visemes import CLASSES, LIP_SHAPE, POSE, STRESSES, TONGUE, Viseme, parts

INDEX = {name: i for i, name in enumerate(POSE)}
LEAD = 0.03
"""Seconds by which the mouth is ahead of the sound."""
REST_RAMP = 0.18
"""Seconds from rest to full motion at the clip's beginning, and back at its end."""
LONG_PAUSE = 0.2
"""Seconds of silence after which the mouth goes to rest."""
PHRASE_PAUSE = 0.22
"""Seconds of silence that part two phrases."""

_PLATEAU, _LONG_PLATEAU = 0.55, 0.8
"""Part of a sound's half length around its centre where its dominance is full; of a long consonant."""
_LONG = 0.13
"""Seconds from which on a consonant is held."""
_REST_MARGIN = 0.05
"""Seconds from the edge of a silence to its full dominance."""
_REACH = 0.45
"""Seconds beyond which a sound has no influence."""
_NEIGHBOURS = 7
"""Sounds on either side that are looked at."""
_TIP_HASTE = 2.0
"""How much faster the tip of the tongue comes and goes than jaw and lips do."""
_CHUNK = 4096
_HELD, _LONG_HELD = 0.3, 0.7
"""Part of a p, b or m around its centre during which the lips stay shut; of a long one."""
_JAW_SHUT, _JAW_OPENS = 0.05, 1.5
"""The largest drop of the jaw under lips that are shut, u, and how fast it may grow around them, u a second."""
_TOGETHER = 0.02
"""Seconds; sounds nearer than this touch."""
_OUTSIDE = 0.6
"""Seconds of silence assumed before and after the clip."""

LEAST, MOST = 0.75, 1.25
"""Bounds of what stress and loudness together make of a vowel's opening."""
_A_DECIBEL = 0.025
_FEWEST_VOWELS = 4
"""Fewer tell nothing of how loud the speaker's vowels are."""

_EARLY = 0.2
"""Seconds before a rounded vowel from which on the lips begin to round."""
_ROUNDED = 0.5
"""Rounding from which on a sound rounds the ones before it."""
_FREE, _PRESSED, _SPREAD = 1.0, 0.6, 0.3
"""Share of the rounding that consonants take over, if they leave the lips free, press them on each other, or need them
spread."""

_BURST_AFTER, _BURST_WIDTH = 0.012, 0.022
"""Seconds from the end of a stop to the peak of its release, and its width."""
_PARTED, _PARTED_WITHIN = 0.04, 0.06
"""The least opening, u, so many seconds after a closure that opens into a vowel."""

BREATH = replace(CLASSES["rest"], pose=tuple({"open": 0.07, "jaw": 0.05, "up": 0.005}.get(n, 0.0) for n in POSE))
"""An in-breath that is heard."""


@dataclass(frozen=True, slots=True)
class _Sound:
    """`stress` counts for vowels; `first`, `last`: centres of the first and last phoneme that it was made of."""

    start: float
    end: float
    made: Viseme
    stress: int
    first: float
    last: float
    ipa: str = ""


@dataclass(frozen=True, slots=True)
class _Track:
    """Sounds and silences in order: `poses` (n, POSE); times in seconds and dominances (n,)."""

    sounds: list[_Sound]
    centres: NDArray[np.float64]
    halves: NDArray[np.float64]
    plateaus: NDArray[np.float64]
    poses: NDArray[np.float64]
    vertical: NDArray[np.float64]
    shape: NDArray[np.float64]
    tip: NDArray[np.float64]
    decays: NDArray[np.float64]


def frame_count(duration: float, fps: int) -> int:
    """Frames of a clip for `duration` seconds of speech: rounded up."""
    return math.ceil(duration * fps - 1e-6)


def poses(timings: Timings, fps: int, gain: float = 1.0, loudness: Loudness | None = None) -> NDArray[np.float64]:
    """The mouth's pose for each frame, float64 (frame_count, len(POSE)), in the units of `POSE`.

    Args:
        gain: factor of the opening of vowels.
        loudness: of the recording; loud vowels open more, and breaths that are heard part the lips.
    """
    frames = frame_count(timings.duration, fps)
    if frames <= 2:
        return np.zeros((frames, len(POSE)))
    track = _track(_sounds(timings, loudness), gain, loudness)
    values = _mouth(track, frames, fps)
    _tuck(values, track, fps)
    _ramp(values, timings, fps)
    _close(values, track, fps)
    values[0] = values[-1] = 0.0
    return values


def _sounds(timings: Timings, loudness: Loudness | None) -> list[_Sound]:
    """Every sound with the silences between; equal consonants in a row are one, diphthongs are two."""
    found: list[_Sound] = []
    position = -_OUTSIDE
    for phoneme in timings.phonemes:
        if phoneme.start - position > LONG_PAUSE or not found:
            found += _silence(position, max(phoneme.start, position), loudness if found else None)
        position = phoneme.start
        for made, share in parts(phoneme.ipa):
            end = position + share * (phoneme.end - phoneme.start)
            found.append(_joined(found, position, end, made, phoneme.stress if made.vowel else 0, phoneme.ipa))
            position = end
        position = phoneme.end
    found += _silence(position, max(timings.duration + _OUTSIDE, position), None)
    return found


def _joined(found: list[_Sound], start: float, end: float, made: Viseme, stress: int, ipa: str) -> _Sound:
    """The next sound; it swallows an equal consonant just before it."""
    centre = (start + end) / 2
    before = found[-1]
    if before.ipa == ipa and not made.vowel and before.made == made and start - before.end < _TOGETHER:
        found.pop()
        return _Sound(before.start, end, made, stress, before.first, centre, ipa)
    return _Sound(start, end, made, stress, centre, centre, ipa)


def _silence(start: float, end: float, loudness: Loudness | None) -> list[_Sound]:
    """A silence, or one on either side of a breath."""

    def span(begins: float, ends: float, made: Viseme) -> _Sound:
        return _Sound(begins, ends, made, 0, (begins + ends) / 2, (begins + ends) / 2)

    breath = loudness.breath(start, end) if loudness is not None and start >= 0 else None
    if breath is None:
        return [span(start, end, CLASSES["rest"])]
    borders = (start, *breath, end)
    made = (CLASSES["rest"], BREATH, CLASSES["rest"])
    return [span(a, b, v) for a, b, v in zip(borders, borders[1:], made, strict=False)]


def _track(sounds: list[_Sound], gain: float, loudness: Loudness | None) -> _Track:
    starts, ends = np.array([s.start for s in sounds]), np.array([s.end for s in sounds])
    poses = np.array([s.made.pose for s in sounds])
    vowels = np.array([s.made.vowel for s in sounds])
    strength = _emphasis(sounds, starts, ends, vowels, loudness)
    for name in ("open", "jaw"):
        poses[:, INDEX[name]] *= np.where(vowels, gain * strength, 1.0)
    shape = np.array([s.made.shape for s in sounds])
    _round_early(sounds, poses, shape)
    halves = (ends - starts) / 2
    silent = np.array([not s.ipa and not s.made.vowel for s in sounds])
    held = np.array([not s.made.vowel and (s.made.long or s.end - s.start > _LONG) for s in sounds])
    plateaus = np.where(held, _LONG_PLATEAU, _PLATEAU) * halves
    return _Track(
        sounds=sounds,
        centres=(starts + ends) / 2,
        halves=halves,
        plateaus=np.where(silent, np.maximum(halves - _REST_MARGIN, 0), plateaus),
        poses=poses,
        vertical=np.array([s.made.vertical for s in sounds]),
        shape=shape,
        tip=np.array([s.made.tip for s in sounds]),
        decays=np.array([s.made.decay for s in sounds]),
    )


def _emphasis(
    sounds: list[_Sound],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    vowels: NDArray[np.bool_],
    loudness: Loudness | None,
) -> NDArray[np.float64]:
    """How far each vowel opens by its stress and its loudness among the vowels, `LEAST` to `MOST`."""
    strength = np.array([STRESSES[min(max(s.stress, 0), 2)] for s in sounds])
    if loudness is not None and vowels.sum() >= _FEWEST_VOWELS:
        levels = loudness.over(starts[vowels], ends[vowels])
        strength[vowels] *= 1 + _A_DECIBEL * np.clip(levels - np.median(levels), -12, 8)
    clipped: NDArray[np.float64] = np.clip(strength, LEAST, MOST)
    return clipped


def _round_early(sounds: list[_Sound], poses: NDArray[np.float64], shape: NDArray[np.float64]) -> None:
    """Consonants before a rounded sound are made with rounded lips, the nearer the more."""
    rounding, wide = INDEX["round"], INDEX["wide"]
    for i, vowel in enumerate(sounds):
        aim = vowel.made.pose[rounding]
        if aim < _ROUNDED or not (vowel.made.vowel or vowel.made.shape > 1.3):
            continue
        for j in range(i - 1, -1, -1):
            before = sounds[j]
            away = vowel.start - (before.start + before.end) / 2
            if before.made.vowel or not before.ipa or away > _EARLY:
                break
            taken = _SPREAD if before.made.spreads else _PRESSED if before.made.closes else _FREE
            share = taken * (1 - 0.5 * away / _EARLY)
            poses[j, rounding] = max(poses[j, rounding], share * aim)
            poses[j, wide] *= 1 - share
            shape[j] = max(shape[j], 0.8 * share)


def _mouth(track: _Track, frames: int, fps: int) -> NDArray[np.float64]:
    """float64 (frames, POSE): dominance blend on a grid of half frames, then a short bell over each frame."""
    steps = np.arange(-1, 2 * frames) / (2 * fps) + LEAD
    fine = np.concatenate([_blend(track, steps[i : i + _CHUNK]) for i in range(0, len(steps), _CHUNK)])
    _release(fine, steps, track)
    blended: NDArray[np.float64] = 0.25 * fine[:-2:2] + 0.5 * fine[1:-1:2] + 0.25 * fine[2::2]
    return blended


def _blend(track: _Track, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 (times, POSE)."""
    nearest = np.searchsorted(track.centres, times)
    near = nearest[:, None] + np.arange(-_NEIGHBOURS, _NEIGHBOURS)
    valid = (near >= 0) & (near < len(track.centres))
    near = near.clip(0, len(track.centres) - 1)
    distance = np.abs(times[:, None] - track.centres[near])
    outside = np.maximum(distance - track.plateaus[near], 0)
    reached = valid & (distance - track.halves[near] < _REACH)
    decay = np.where(reached, np.exp(-track.decays[near] * outside), 0.0)
    result = np.empty((len(times), len(POSE)))
    opening = set(POSE) - LIP_SHAPE - TONGUE
    groups = ((track.vertical, opening, decay), (track.shape, LIP_SHAPE, decay), (track.tip, TONGUE, decay**_TIP_HASTE))
    for strength, names, left in groups:
        columns = [i for i, name in enumerate(POSE) if name in names]
        dominance = strength[near] * left
        total = dominance.sum(axis=1, keepdims=True) + 1e-6
        result[:, columns] = np.einsum("tk,tkp->tp", dominance, track.poses[:, columns][near]) / total
    return result


def _release(fine: NDArray[np.float64], steps: NDArray[np.float64], track: _Track) -> None:
    """The mouth springs open a little when a stop is released into something that is open."""
    opening = {
        s.end: s.made.burst for s, after in itertools.pairwise(track.sounds) if s.made.burst and not after.made.closes
    }
    if not opening:
        return
    moments = np.array(list(opening)) + _BURST_AFTER
    rate = 1 / (steps[1] - steps[0])
    reach = math.ceil(2.5 * _BURST_WIDTH * rate)
    near = np.round((moments - steps[0]) * rate).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    bells = np.array(list(opening.values()))[:, None] * np.exp(
        -(((near / rate + steps[0] - moments[:, None]) / _BURST_WIDTH) ** 2)
    )
    inside = (near >= 0) & (near < len(fine))
    np.add.at(fine[:, INDEX["open"]], near[inside], bells[inside])


def phrases(timings: Timings) -> list[tuple[float, float]]:
    """Start and end of what is said between two pauses, seconds."""
    found: list[tuple[float, float]] = []
    for phoneme in timings.phonemes:
        if found and phoneme.start - found[-1][1] <= PHRASE_PAUSE:
            start, end = found.pop()
            found.append((start, max(end, phoneme.end)))
        else:
            found.append((phoneme.start, phoneme.end))
    return found


def voiced(timings: Timings, fps: int) -> NDArray[np.float64]:
    """1 while the mouth belongs to the words, 0 in the pauses, where it belongs to the mood; float64 (frame_count,)."""
    frames = frame_count(timings.duration, fps)
    spans = phrases(timings)
    share = np.zeros(frames)
    if not spans or frames <= 2:
        return share
    time = np.arange(frames) / fps
    before, behind = spans[0][0] - LEAD, timings.duration - spans[-1][1]
    rise, fall = (min(max(room, 2.5 / fps), REST_RAMP) for room in (before, behind))
    for start, end in spans:
        reach = REST_RAMP + LEAD
        near = slice(*np.searchsorted(time, (start - reach, end + reach)))
        begun = np.clip((time[near] - start + LEAD) / REST_RAMP + 1, 0, 1)
        over = np.clip((time[near] - end) / REST_RAMP, 0, 1)
        begun, over = (x * x * (3 - 2 * x) for x in (begun, over))
        share[near] = np.maximum(share[near], begun * (1 - over))
    return share * rest_window(frames, fps, rise, fall)


def rest_window(frames: int, fps: int, rise: float, fall: float) -> NDArray[np.float64]:
    """0 on the first and last frame, 1 in the middle, smooth between; float64 (frames,)."""
    step = np.arange(frames) / fps
    length = step[-1]
    share = min(1.0, length / 2 / max(rise, fall))
    near = np.clip(np.minimum(step / (rise * share), (length - step) / (fall * share)), 0, 1)
    window: NDArray[np.float64] = near * near * (3 - 2 * near)
    return window


def _ramp(values: NDArray[np.float64], timings: Timings, fps: int) -> None:
    """Into the first sound and out of the last one within the silence around them, but never in one frame."""
    first = timings.phonemes[0].start if timings.phonemes else REST_RAMP
    last = timings.duration - timings.phonemes[-1].end if timings.phonemes else REST_RAMP
    shortest = 2.5 / fps
    window = rest_window(len(values), fps, min(max(first, shortest), REST_RAMP), min(max(last, shortest), REST_RAMP))
    values *= window[:, None]


def _frame(moment: float, frames: int, fps: int) -> int:
    """The frame whose mouth shows this moment of the sound."""
    return min(max(math.floor((moment - LEAD) * fps + 0.5), 0), frames - 1)


def _close(values: NDArray[np.float64], track: _Track, fps: int) -> None:
    """Lips meet on the frame nearest the middle of each p, b and m, and while a long one is held.

    Of several in a row they stay shut between; behind the last one they part at once, if a vowel follows. The jaw
    comes up with them: lips that are shut cannot be stretched over a jaw that hangs.
    """
    frames = len(values)
    shut = np.zeros(frames, np.bool_)
    opened: list[int] = []
    for s, after in itertools.pairwise(track.sounds):
        if not s.made.closes:
            continue
        half = (_LONG_HELD if s.made.long or s.end - s.start > _LONG else _HELD) * (s.end - s.start) / 2
        centre = (s.start + s.end) / 2
        first, last = _frame(min(centre - half, s.first), frames, fps), _frame(max(centre + half, s.last), frames, fps)
        if last - first < 2 and s.first == s.last:
            first = last = _frame(centre, frames, fps)
        if after.made.closes and after.start - s.end < _TOGETHER:
            last = max(last, _frame(after.first, frames, fps))
        elif after.ipa and (after.made.vowel or s.made.burst):
            opened.append(last + math.ceil(_PARTED_WITHIN * fps - 1))
        shut[first : last + 1] = True
    for name in ("open", "up", "tuck"):
        values[shut, INDEX[name]] = 0.0
    pressed = CLASSES["bilabial stop"].pose[INDEX["press"]]
    values[shut, INDEX["press"]] = np.maximum(values[shut, INDEX["press"]], pressed)
    jaw = INDEX["jaw"]
    values[:, jaw] = np.minimum(values[:, jaw], _JAW_SHUT + _JAW_OPENS * _away(shut) / fps)
    parted = np.array([f for f in opened if f < frames - 1 and not shut[f]], np.int64)
    values[parted, INDEX["open"]] = np.maximum(values[parted, INDEX["open"]], _PARTED)


def _away(shut: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How many frames each frame is from the nearest of those, inf where there is none; float64 (frames,)."""
    number = np.arange(len(shut), dtype=np.float64)
    before = np.maximum.accumulate(np.where(shut, number, -np.inf))
    behind = np.minimum.accumulate(np.where(shut, number, np.inf)[::-1])[::-1]
    nearest: NDArray[np.float64] = np.minimum(number - before, behind - number)
    return nearest


def _tuck(values: NDArray[np.float64], track: _Track, fps: int) -> None:
    """The lower lip is under the teeth on the frame nearest the middle of each f and v."""
    for s in track.sounds:
        if s.made.tucks:
            frame = _frame((s.start + s.end) / 2, len(values), fps)
            values[frame, INDEX["tuck"]] = max(values[frame, INDEX["tuck"]], 0.55)
            values[frame, INDEX["open"]] = min(values[frame, INDEX["open"]], 0.06)
