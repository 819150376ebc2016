"""Stage `speak` by a voice of Piper's: one sentence to a levelled WAV and the times of its sounds and words."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align.dtw import WarpingEngine
from avatarctl.engines.align.spec import WarpingParams
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.espeak import events, library, stress
from avatarctl.engines.espeak.library import Spoken
from avatarctl.engines.piper import reading, timing
from avatarctl.engines.piper.spec import CONFIG, VOICE, PiperParams
from avatarctl.engines.piper.voice import Settings, Voice, unfit
from avatarctl.errors import BadInput, StepFailed
from avatarctl.media import wav
from avatarctl.media.level import gain, scaled
from avatarctl.stages.catalog import DICTIONARY
from avatarctl.text import dictionary, normalise, sentences
from avatarctl.text.timings import Phoneme, Timings
from avatarctl.text.tracked import Tracked

_KEPT = 0.03
"""Seconds kept on both sides of the speech, and faded."""
_BETWEEN = 0.25
"""Seconds of silence between sentences of one text."""


class PiperEngine:
    """One voice, read when a step first wants it and kept for the next."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Read the voice's settings. Its network waits for the first step, which says how many threads there are."""
        self._network = _network(models[VOICE])
        config = models.get(CONFIG, Path(f"{self._network}.json"))
        self._settings = Settings.read(config)
        self._voice: Voice | None = None

    def close(self) -> None:
        """Give back the network's memory."""
        self._voice = None

    def run(self, job: Job) -> None:
        """Write `speech.wav` (mono, 16 bit, the voice's rate) and `timings.json`.

        Raises:
            BadInput: nothing to speak, a language that is not the voice's, or no such speaker.
            Unavailable: the file is no voice.
            StepFailed: the network broke, or was silent.
        """
        params: PiperParams = job.params
        settings = self._settings
        written = job.inputs["text"].read_text(encoding="utf-8").strip()
        if not sentences.speakable(written):
            raise BadInput("there is nothing to speak", why=f"no letter and no digit in {written[:40]!r}")
        if params.language not in ("auto", settings.language):
            raise BadInput(
                f"this voice does not speak {params.language!r}",
                why=f"it speaks {settings.language!r}",
                hint="choose another with --set speak.voice=...",
            )
        speaker = settings.speaker(params.speaker)
        words = dictionary.read(job.inputs.get(DICTIONARY))
        said, parts = _read(words.respelled(written), settings)
        if not parts:
            raise StepFailed("nothing of the text can be spoken by this voice", why=f"{written[:40]!r}")
        if self._voice is None:
            self._voice = Voice(self._network, settings, job.threads)
        sounded = []
        for number, part in enumerate(parts):
            if job.cancelled():
                raise Cancelled
            made = self._voice.speak(
                part.symbols,
                speaker=speaker,
                noise=settings.noise if params.noise < 0 else params.noise,
                length=settings.length / params.rate,
                rhythm=settings.rhythm if params.rhythm < 0 else params.rhythm,
                seed=_seed(job.seed, number),
            )
            sounded.append(timing.sounded(made, part, settings))
            job.progress(number + 1, len(parts), "sentences")
        pause = params.pause if params.pause >= 0 else sentences.split(written)[-1].pause
        samples, sound, phonemes = _joined(sounded, settings.rate, params.lead, pause)
        if not np.any(samples):
            raise StepFailed("the voice was silent", why=f"{written[:40]!r}", hint="try --take 1")
        wav.write_pcm(job.out / "speech.wav", samples, settings.rate)
        if all(part.phonemes for part in sounded):
            spans = events.words(sound, phonemes, said, written)
            found = Timings(
                language=settings.language,
                duration=len(samples) / settings.rate,
                source="engine",
                phonemes=tuple(phonemes),
                words=tuple(spans),
                sentences=tuple(events.spans_of_sentences(written, spans, phonemes[0].start, phonemes[-1].end)),
            )
        else:
            found = _aligned(job, settings.language)
        (job.out / "timings.json").write_text(found.to_json(), encoding="utf-8")


def _aligned(job: Job, language: str) -> Timings:
    """For a voice that does not tell when its sounds are: what the stage `align` finds."""
    aligner = WarpingEngine()
    aligner.load({})
    with tempfile.TemporaryDirectory() as folder:
        inputs = {**job.inputs, "audio": job.out / "speech.wav"}
        params = WarpingParams(lead=0.0, pause=0.0, language=language, sure=True)
        aligner.run(replace(job, inputs=inputs, out=Path(folder), params=params))
        return Timings.read(Path(folder) / "timings.json")


def _network(path: Path) -> Path:
    """The `.onnx` file, which may be given by its folder."""
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.onnx"))
    if len(found) != 1:
        raise unfit(path, f"the folder holds {len(found)} files *.onnx")
    return found[0]


def _read(respelled: Tracked, settings: Settings) -> tuple[Tracked, list[reading.Sentence]]:
    """The text as it is said, and its sentences in phonemes."""
    with library.opened() as espeak:

        def pronounce(text: str) -> str:
            espeak.choose("en-us")
            return espeak.phonemes(text)

        said = normalise.tracked(respelled, settings.language, pronounce)
        if settings.espeak:
            espeak.choose(settings.espeak)
            if settings.language == "ru":
                said = stress.applied(said, espeak)
        return said, reading.sentences(said.text, settings, espeak)


def _joined(
    parts: list[timing.Part], rate: int, lead: float, pause: float
) -> tuple[NDArray[np.int16], Spoken, list[Phoneme]]:
    """All sentences at one loudness between silences; words in samples, sounds in seconds of the whole."""
    pieces = [np.zeros(round(lead * rate), np.int16)]
    at = len(pieces[0])
    phonemes: list[Phoneme] = []
    words: list[tuple[int, int, int]] = []
    for number, part in enumerate(parts):
        first = max(part.first - round(_KEPT * rate), 0)
        body = part.samples[first : part.last + round(_KEPT * rate)]
        moved = at - first
        phonemes += [replace(p, start=p.start + moved / rate, end=p.end + moved / rate) for p in part.phonemes]
        words += [(max(sample + moved, 0), position, length) for sample, position, length in part.words]
        silence = round((pause if number == len(parts) - 1 else _BETWEEN) * rate)
        pieces += [_level(body, rate), np.zeros(silence, np.int16)]
        at += len(body) + silence
    samples = np.concatenate(pieces)
    return samples, Spoken(samples, rate, [], words), phonemes


def _level(body: NDArray[np.float32], rate: int) -> NDArray[np.int16]:
    """Full scale first, so that rounding costs nothing before the loudness is set; faded at both ends."""
    peak = float(np.abs(body).max(initial=0))
    if peak == 0:
        return np.zeros(len(body), np.int16)
    pcm = np.round(body * (32767 / peak)).astype(np.int16)
    pcm = scaled(pcm, gain(pcm, rate))
    ramp = np.linspace(0, 1, min(round(_KEPT * rate), len(pcm) // 2), endpoint=False)
    for edge in (pcm, pcm[::-1]):
        edge[: len(ramp)] = np.round(edge[: len(ramp)] * ramp)
    return pcm


def _seed(seed: int, sentence: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{sentence}".encode()).digest()[:8])
