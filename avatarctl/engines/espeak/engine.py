"""Stage `speak` by espeak-ng: one sentence to a levelled WAV and the times of its sounds and words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.espeak import events, library, pitch
from avatarctl.engines.espeak.spec import EspeakParams
from avatarctl.engines.espeak.utterance import say, voice_name, words_a_minute
from avatarctl.errors import BadInput, StepFailed
from avatarctl.media import wav
from avatarctl.media.level import gain, scaled
from avatarctl.stages.catalog import DICTIONARY
from avatarctl.text import dictionary, sentences
from avatarctl.text import language as languages
from avatarctl.text.timings import Phoneme, Timings

_FADE_IN = 0.004
_TAIL = 0.03
"""Seconds kept behind the last sound, faded, so that it does not break off."""


class EspeakEngine:
    """Needs no models; each run opens espeak-ng anew and is alone in it."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Nothing to read: espeak-ng is opened for each run."""

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, job: Job) -> None:
        """Write `speech.wav` (mono, 16 bit, 22050 Hz) and `timings.json`.

        Raises:
            BadInput: nothing to speak, or a language that espeak-ng lacks.
            BadConfig: no such voice variant.
            StepFailed: espeak-ng broke, or was silent.
        """
        params: EspeakParams = job.params
        written = job.inputs["text"].read_text(encoding="utf-8").strip()
        if not sentences.speakable(written):
            raise BadInput("there is nothing to speak", why=f"no letter and no digit in {written[:40]!r}")
        language = languages.detect(written) if params.language == "auto" else params.language
        rate = words_a_minute(params.rate)
        voice, setting = _voice(params, language, rate, _enrolled_f0(job))
        with library.opened() as espeak:
            said = say(
                espeak,
                written,
                language,
                voice,
                words=dictionary.read(job.inputs.get(DICTIONARY)),
                rate=rate,
                pitch=setting,
                intonation=params.intonation,
                cancelled=job.cancelled,
            )
        if said is None:
            raise Cancelled
        spoken, sounds = said.spoken, said.phonemes
        pause = params.pause if params.pause >= 0 else sentences.split(written)[-1].pause
        samples, moved = _framed(spoken, sounds, params.lead, pause)
        duration = len(samples) / spoken.rate
        timings = Timings(
            language=language,
            duration=duration,
            source="engine",
            phonemes=tuple(replace(p, start=p.start + moved, end=p.end + moved) for p in sounds),
            words=tuple(replace(w, start=w.start + moved, end=w.end + moved) for w in said.words),
            sentences=tuple(
                events.spans_of_sentences(
                    written,
                    [replace(w, start=w.start + moved, end=w.end + moved) for w in said.words],
                    sounds[0].start + moved,
                    sounds[-1].end + moved,
                )
            ),
            extra={"voice": voice, "pitch": setting},
        )
        wav.write_pcm(job.out / "speech.wav", samples, spoken.rate)
        (job.out / "timings.json").write_text(timings.to_json(), encoding="utf-8")
        job.progress(duration, duration, "s")


def _enrolled_f0(job: Job) -> float:
    """Median F0 of the enrolled voice in hertz, 0 when unknown."""
    if "voice_report" not in job.inputs:
        return 0.0
    try:
        report = json.loads(job.inputs["voice_report"].read_text(encoding="utf-8"))
        return float(report.get("f0") or 0.0)
    except (ValueError, TypeError, AttributeError) as error:
        raise StepFailed("the report on the voice cannot be read", why=str(error).splitlines()[0]) from error


def _voice(params: EspeakParams, language: str, rate: int, enrolled: float) -> tuple[str, int]:
    """espeak-ng's name of the voice, and the pitch setting."""
    wanted = params.f0 or enrolled
    variant = params.variant or (pitch.variant_for(wanted) if wanted else "")
    voice = voice_name(language, variant)
    if not wanted:
        return voice, params.pitch
    return voice, pitch.setting_for(wanted, voice, rate, params.intonation)


def _framed(
    spoken: library.Spoken, sounds: list[Phoneme], lead: float, pause: float
) -> tuple[NDArray[np.int16], float]:
    """The sound between silences of `lead` and `pause` seconds, and by how many seconds it was moved."""
    rate = spoken.rate
    first = round(sounds[0].start * rate)
    last = min(round((sounds[-1].end + _TAIL) * rate), len(spoken.samples))
    body = spoken.samples[first:last]
    body = scaled(body, gain(body, rate))
    for edge, length in ((body, round(_FADE_IN * rate)), (body[::-1], round(_TAIL * rate))):
        faded = min(length, len(body) // 2)
        edge[:faded] = np.round(edge[:faded] * np.linspace(0, 1, faded, endpoint=False))
    ahead, behind = round(lead * rate), round(pause * rate)
    whole = np.concatenate([np.zeros(ahead, np.int16), body, np.zeros(behind, np.int16)])
    return whole, (ahead - first) / rate
