"""Stage `align` with a known text: when each phoneme, word and sentence of a recording is heard.

espeak-ng says the text about as fast as the recording does, and knows when each of its own sounds begins. Dynamic
time warping of the two maps these times across. It goes through long recordings in windows that begin and end
between sentences, so only spectra of 26 bands stay in memory, 100 a second.
"""

from __future__ import annotations

import wave
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import common, mapping, recording, reference, spectrum
from avatarctl.engines.align.reference import Reference
from avatarctl.engines.align.spec import WarpingParams
from avatarctl.engines.align.spectrum import HOP
from avatarctl.engines.align.windows import AHEAD, through
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.text import language as languages
from avatarctl.text.timings import Phoneme, Span, Timings

_SPEEDS = (0.3, 3.2)
"""How much faster than the reference voice a recording of the same text may be."""
_VOICES = (1.0, 0.87, 0.93, 1.08, 1.16, 1.25)
"""Factors on the reference voice's frequencies: a man's, a longer and a shorter vocal tract."""
_TRIED_SECONDS = 20.0
_MATCH, _MISMATCH = 0.6, 0.95
"""Mean distance of frames that say the same, and of frames that do not."""


class WarpingEngine:
    """Needs no models and keeps nothing."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Nothing to read."""

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, job: Job) -> None:
        """Write `speech.wav`, the recording with silence ensured at both ends, and `timings.json`.

        `extra["confidence"]` of the timings has a number from 0 to 1 for each sentence.

        Raises:
            BadInput: not a mono WAV of 16 bits, nothing to be heard in it, nothing to be spoken in the text, or
                a text that is not what the recording says.
        """
        params: WarpingParams = job.params
        source = job.inputs["audio"]
        rate, frames = recording.checked(source)
        text = job.inputs["text"].read_text(encoding="utf-8")
        parts = reference.parts_of(text)
        language = languages.detect(text) if params.language == "auto" else params.language
        made = _aligned(source, rate, frames, parts, language, job)
        total = frames / rate
        lead, tail = recording.silence_needed(
            made.phonemes[0].start, made.phonemes[-1].end, rate, frames, params.lead, params.pause
        )
        recording.copy(source, job.out / "speech.wav", lead, tail, job)
        moved, duration = lead / rate, (lead + frames + tail) / rate
        timings = Timings(
            language=language,
            duration=duration,
            source="aligned",
            phonemes=tuple(
                replace(p, start=p.start + moved, end=min(p.end, total) + moved)
                for p in made.phonemes
                if p.start < total
            ),
            words=tuple(replace(w, start=w.start + moved, end=w.end + moved) for w in made.words),
            sentences=tuple(replace(s, start=s.start + moved, end=s.end + moved) for s in made.sentences),
            extra={"confidence": made.confidence},
        )
        (job.out / "timings.json").write_text(timings.to_json(), encoding="utf-8")
        job.progress(total, total, "s")


@dataclass(frozen=True, slots=True)
class _Aligned:
    """Seconds of the recording as it was given."""

    phonemes: list[Phoneme]
    words: list[Span]
    sentences: list[Span]
    confidence: list[float]


def _aligned(source: Path, rate: int, frames: int, parts: list[str], language: str, job: Job) -> _Aligned:
    highest = spectrum.upper_limit(rate)
    logs = _logs(source, rate, frames, highest, job)
    active = common.activity(logs)
    if active is None:
        raise BadInput("nothing can be heard in the recording", hint="check its level, or take another one")
    sounding = float(active.sounding.sum()) * HOP
    usual = reference.usual_seconds(parts, language, job.cancelled)
    speed = usual / max(sounding, HOP)
    if not _SPEEDS[0] <= speed <= _SPEEDS[1]:
        raise _misfit(sounding, usual)
    spoken = _reference(parts, language, speed, highest, logs, active, job)
    shared = common.level_with(logs, active, spoken.logs)
    found = through(
        logs,
        active,
        spoken,
        shared,
        pace=len(spoken.logs) / active.sounding.sum(),
        told=lambda seconds: _tell(job, seconds, frames / rate),
    )
    if found is None:
        raise _misfit(sounding, usual)
    clock = mapping.Clock(found)
    confidence = [_confidence(cost) for cost in mapping.sentence_costs(found, spoken)]
    return _Aligned(
        mapping.phonemes(clock, spoken),
        mapping.spans(clock, spoken.words),
        mapping.spans(clock, spoken.sentences),
        confidence,
    )


def _tell(job: Job, seconds: float, total: float) -> None:
    if job.cancelled():
        raise Cancelled
    job.progress(seconds, total, "s")


def _misfit(sounding: float, usual: float) -> BadInput:
    return BadInput(
        "the text is not what the recording says",
        why=f"{sounding:.1f} s of speech, for a text that takes about {usual:.1f} s",
        hint="give the whole text, and only it",
    )


def _confidence(cost: float) -> float:
    return round(float(np.clip((_MISMATCH - cost) / (_MISMATCH - _MATCH), 0, 1)), 3)


def _reference(
    parts: list[str],
    language: str,
    speed: float,
    highest: float,
    logs: NDArray[np.float32],
    active: common.Activity,
    job: Job,
) -> Reference:
    """The text in the voice that resembles the recording's best, as far as its beginning tells."""

    def spoken(some: list[str], warp: float) -> Reference:
        return reference.speak(some, language, speed, highest, warp, job.cancelled, lambda done: None)

    total = float(active.sounding.sum())
    characters = np.cumsum([len(part) for part in parts])
    share = characters / characters[-1]
    enough = int(np.searchsorted(share * total * HOP, _TRIED_SECONDS + AHEAD)) + 1
    some = parts[:enough]
    pace_of = 1 / (share[len(some) - 1] * total)
    costs = []
    for warp in _VOICES:
        tried = spoken(some, warp)
        shared = common.level_with(logs, active, tried.logs)
        found = through(
            logs, active, tried, shared, pace=len(tried.logs) * pace_of, limit=_TRIED_SECONDS, told=lambda seconds: None
        )
        costs.append(float("inf") if found is None else float(found.costs[~found.silent].mean()))
    return spoken(parts, _VOICES[int(np.argmin(costs))])


def _logs(path: Path, rate: int, frames: int, highest: float, job: Job) -> NDArray[np.float32]:
    """Log powers of the whole recording, float32 (hops, BANDS)."""
    edge = spectrum.margin(rate)
    count = int(frames / (HOP * rate))
    logs = np.zeros((count, spectrum.BANDS), np.float32)
    with wave.open(str(path), "rb") as file:
        buffer = np.zeros(edge, np.float32)
        begins, done = -edge, 0
        while done < count:
            if job.cancelled():
                raise Cancelled
            data = file.readframes(round(recording.WINDOW * rate))
            fresh = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
            buffer = np.concatenate([buffer, fresh if len(data) else np.zeros(4 * edge, np.float32)])
            ready = min(int((begins + len(buffer) - edge) / (HOP * rate) - 0.5), count) - done
            if ready <= 0:
                continue
            offset = int(done * HOP * rate) - edge - begins
            power = spectrum.mel_power(buffer[offset:], rate, ready, highest)
            logs[done : done + ready] = spectrum.log_power(power)
            done += ready
            keep = int(done * HOP * rate) - edge - begins
            buffer, begins = buffer[keep:], begins + keep
    return logs
