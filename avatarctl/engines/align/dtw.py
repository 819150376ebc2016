"""Stage `align` with a known text: when each phoneme, word and sentence of a recording is heard.

espeak-ng says the text about as fast as the recording does, and knows when each of its own sounds begins. Dynamic
time warping of the two maps these times across. It goes through long recordings in windows that begin and end
between sentences, so only spectra of 26 bands stay in memory, 100 a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import common, doubts, heard, mapping, recording, reference, spectrum
from avatarctl.engines.align.reference import Reference
from avatarctl.engines.align.spec import WarpingParams
from avatarctl.engines.align.spectrum import HOP
from avatarctl.engines.align.windows import AHEAD, Alignment, through
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.media import wav
from avatarctl.stages.catalog import DICTIONARY
from avatarctl.text import dictionary
from avatarctl.text import language as languages
from avatarctl.text.dictionary import Dictionary
from avatarctl.text.timings import Phoneme, Span, Timings

_SPEEDS = (0.3, 3.2)
"""How much faster than the reference voice a recording of the same text may be."""
_VOICES = (1.0, 0.87, 0.93, 1.08, 1.16, 1.25)
"""Factors on the reference voice's frequencies, for longer and shorter vocal tracts; the likeliest first.

Lee and Rose (1998), A frequency warping approach to speaker normalization.
"""
_TRIED_SECONDS = 12.0
_REFERENCE_SHARE = 0.3
"""How much of the work is done when the reference is spoken, about."""
_MATCH = 0.84
"""Mean distance of frames that surely say the same, in that of frames which cannot.

Of voices of espeak-ng and of four of Flite's, in English: sentences that were said had 0.21 to 0.88 without noise, up
to 0.92 with 15 dB of it and 0.96 with 8 dB; others had 0.90 to 1.1.
"""
_UNLIKE_SECONDS = 20.0
_UNLIKE = 0.92
"""What is usual."""


class WarpingEngine:
    """Needs no models and keeps nothing."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Nothing to read."""

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, job: Job) -> None:
        """Write `speech.wav`, the recording with silence ensured at both ends, and `timings.json`.

        `extra["confidence"]` of the timings has a number from 0 to 1 for each sentence; one that is not said at all
        begins where it ends. `extra["by_sound"]` has the seconds from and to which the recording says something else
        than the text: the phonemes there are heard, as the engine `sound` hears them.

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
        words = dictionary.read(job.inputs.get(DICTIONARY))
        made = _aligned(source, rate, frames, parts, language, words, job)
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
            extra={
                "confidence": made.confidence,
                "by_sound": [[round(a + moved, 4), round(b + moved, 4)] for a, b in made.by_sound],
            },
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
    by_sound: list[doubts.Stretch]


def _aligned(
    source: Path, rate: int, frames: int, parts: list[str], language: str, words: Dictionary, job: Job
) -> _Aligned:
    params: WarpingParams = job.params
    highest = spectrum.upper_limit(rate)
    logs = _logs(source, rate, frames, highest, job)
    active = common.activity(logs)
    if active is None:
        raise BadInput("nothing can be heard in the recording", hint="check its level, or take another one")
    sounding = float(active.sounding.sum()) * HOP
    usual = reference.usual_seconds(parts, language, words, job.cancelled)
    speed = usual / max(sounding, HOP)
    if not _SPEEDS[0] <= speed <= _SPEEDS[1]:
        raise _misfit(sounding, usual)
    total = frames / rate
    fits = _Fit(job, language, words, speed, highest, logs, active)
    warp = fits.best(parts)
    spoken = fits.speak(parts, warp, lambda share: _tell(job, _REFERENCE_SHARE * share * total, total))
    pace = len(spoken.logs) / float(active.sounding.sum())
    unlike = fits.unlike(spoken, pace)

    def told(done: float) -> None:
        _tell(job, _REFERENCE_SHARE * total + (1 - _REFERENCE_SHARE) * done, total)

    found = None if params.sure else fits.align(spoken, pace, told, strange=unlike)
    if found is None or found.silent.all():
        # Not a sentence is said: then each has to be somewhere, and the confidence tells that it is not.
        found = fits.align(spoken, pace, told)
    if found is None or found.silent.all():
        raise _misfit(sounding, usual)
    clock = mapping.Clock(found)
    confidence = _confidence(mapping.sentence_costs(found, spoken), [s.end - s.start for s in spoken.sentences], unlike)
    sentences = mapping.spans(clock, spoken.sentences)
    strange = [] if params.sure else doubts.stretches(found, sentences, confidence)
    phonemes = mapping.phonemes(clock, spoken)
    if strange:
        sounds = heard.sounds(source, rate, frames, job, lambda done: None)
        phonemes = doubts.spliced(phonemes, sounds, strange)
    if not phonemes:
        raise _misfit(sounding, usual)
    said = [w for w in mapping.spans(clock, spoken.words) if w.end > w.start]
    return _Aligned(phonemes, said, sentences, confidence, strange)


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


def _confidence(costs: list[float], lengths: list[float], unlike: float) -> list[float]:
    """0..1 for each sentence: 0 where it is not said, or no nearer than what cannot be said there.

    In a voice that is much like the reference, what is as far as in other voices is hardly said. And where of most of
    the text nothing is said, a sentence is likelier to be the one that happens to fit best.

    Args:
        costs: mean cost of each sentence, infinite where it is not said.
        lengths: frames that each has in the reference.
        unlike: cost of what cannot be said.
    """
    match = _MATCH * unlike
    match = (match + min(match, *costs)) / 2
    said = sum(length for length, cost in zip(lengths, costs, strict=True) if np.isfinite(cost)) / sum(lengths)
    return [round(float(np.clip(said * (unlike - cost) / (unlike - match), 0, 1)), 3) for cost in costs]


@dataclass(frozen=True, slots=True)
class _Fit:
    """A recording, and what is known of the reference before it is spoken."""

    job: Job
    language: str
    words: Dictionary
    speed: float
    highest: float
    logs: NDArray[np.float32]
    active: common.Activity

    def speak(self, parts: list[str], warp: float, told: Callable[[float], None]) -> Reference:
        """Those sentences with the voice's frequencies warped."""
        return reference.speak(
            parts,
            self.language,
            self.speed,
            self.highest,
            warp,
            self.words,
            self.job.cancelled,
            lambda done: told(done / len(parts)),
        )

    def align(
        self,
        spoken: Reference,
        pace: float,
        told: Callable[[float], None],
        limit: float | None = None,
        strange: float = float("inf"),
    ) -> Alignment | None:
        """`limit`: seconds after which to stop; `strange`: what a frame costs that is not in the text."""
        shared = common.level_with(self.logs, self.active, spoken.logs)
        return through(self.logs, self.active, spoken, shared, pace=pace, strange=strange, limit=limit, told=told)

    def unlike(self, spoken: Reference, pace: float) -> float:
        """Mean distance of the recording's beginning from what is surely not said: how far voices differ, and how much
        noise makes all sounds alike, is in it as in that of what is said."""
        found = self.align(spoken.backwards(), pace, self._check, _UNLIKE_SECONDS)
        if found is None or found.silent.all():
            return _UNLIKE
        return float(found.costs[~found.silent].mean())

    def best(self, parts: list[str]) -> float:
        """The factor on the reference voice's frequencies that suits the beginning of the recording."""
        sounding = float(self.active.sounding.sum())
        characters = np.cumsum([len(part) for part in parts])
        share = characters / characters[-1]
        some = parts[: int(np.searchsorted(share * sounding * HOP, _TRIED_SECONDS + AHEAD)) + 1]
        frames = share[len(some) - 1] * sounding

        def cost(warp: float) -> float:
            spoken = self.speak(some, warp, self._check)
            found = self.align(spoken, len(spoken.logs) / frames, self._check, _TRIED_SECONDS)
            if found is None or found.silent.all():
                return float("inf")
            return float(found.costs[~found.silent].mean())

        return min(_VOICES, key=cost)

    def _check(self, done: float) -> None:
        if self.job.cancelled():
            raise Cancelled


def _logs(path: Path, rate: int, frames: int, highest: float, job: Job) -> NDArray[np.float32]:
    """Log powers of the whole recording, float32 (hops, BANDS)."""
    edge = spectrum.margin(rate)
    count = int(frames / (HOP * rate))
    logs = np.zeros((count, spectrum.BANDS), np.float32)
    with wav.reader(path) as file:
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
