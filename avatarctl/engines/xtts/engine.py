"""The engines `speaker/xtts` and `speak/xtts`: one worker listens to a voice sample, and speaks with it.

A sampled voice goes wrong now and then: it stammers, leaves words out, or babbles on. So each piece is judged, by its
length and, where a recogniser was asked for, by what that hears; a bad one is spoken again with another seed, and the
best try is taken.

There is no streaming. Sentences are steps of their own, the animator wants a whole one, and a bad piece has to be
thrown away before anybody hears it; progress and a quick end are had between the tokens. The package's
`inference_stream` would give the first second of sound early (of 11 s on a small network: after 0.7 s instead of 12),
but since it runs the vocoder from the beginning again for every 20 tokens, all of it took five times as long.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.espeak import library
from avatarctl.engines.xtts import reading
from avatarctl.engines.xtts.spec import RECOGNISER, WEIGHTS, XttsParams, XttsSpeakerParams
from avatarctl.errors import BadInput, StepFailed, Unavailable
from avatarctl.media import spoken, wav
from avatarctl.stages.catalog import DICTIONARY
from avatarctl.text import dictionary, sentences
from avatarctl.text import language as languages
from avatarctl.text.compare import character_error_rate

SCHEMA = "speech/1"
_TOKENS_A_SECOND = 23.4
_FASTEST, _SLOWEST = 0.03, 0.16
"""Seconds of speech for each character: what lies outside, and a second more, is no reading of the text."""
_LEFT_OVER = 1.0


@dataclass(frozen=True)
class _Try:
    """One reading of a piece. `wrong`: how bad it is, 0 is good; `error_rate`: of characters, if somebody listened."""

    samples: NDArray[np.int16]
    seed: int
    wrong: float
    error_rate: float | None


class XttsEngine:
    """One network and at most one recogniser, read when a step first wants them and kept for the next."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Import what is heavy, and note where the models lie."""
        from avatarctl.engines.xtts import standin

        standin.install()
        from avatarctl.engines.xtts import network

        self._network_module = network
        self._models = models
        self._network: Any = None
        self._device = ""
        self._recogniser: Any = None

    def close(self) -> None:
        """Give back the models' memory."""
        self._network = self._recogniser = None

    def run(self, job: Job) -> None:
        """Write `speaker.speaker`, what is kept of a voice, or `speech.wav` (mono, 16 bit, 24 kHz) and `report.json`.

        Raises:
            BadInput: nothing to speak, or a language that XTTS lacks.
            Unavailable: no GPU where one was asked for, or the model cannot be read.
            StepFailed: every try at a piece was silent.
        """
        import torch

        torch.set_num_threads(job.threads)
        network = self._ready(job.params.device)
        if isinstance(job.params, XttsSpeakerParams):
            self._listen(network, job)
        else:
            self._speak(network, job)

    def _ready(self, device: str) -> Any:
        import torch

        there = torch.cuda.is_available()
        if device == "cuda" and not there:
            why = "torch sees none" if torch.version.cuda else "this torch is built for the CPU"
            hint = "avatarctl engines install xtts --torch cuda, or --set speak.device=cpu"
            raise Unavailable("speak.device is cuda, and there is no GPU", why=why, hint=hint)
        wanted = "cuda" if there and device != "cpu" else "cpu"
        if self._network is None or self._device != wanted:
            self._network = None
            self._network = self._network_module.XttsNetwork(self._models[WEIGHTS], wanted)
            self._device = wanted
        return self._network

    def _listen(self, network: Any, job: Job) -> None:
        from safetensors.torch import save

        params: XttsSpeakerParams = job.params
        heard = network.listen(job.inputs["voice"], params.longest)
        if not all(bool(tensor.isfinite().all()) for tensor in heard.values()):
            raise StepFailed("the voice sample led to nothing", why="XTTS made numbers that are none of it")
        (job.out / "speaker.speaker").write_bytes(save(heard))

    def _speak(self, network: Any, job: Job) -> None:
        from safetensors.torch import load_file

        params: XttsParams = job.params
        written = job.inputs["text"].read_text(encoding="utf-8").strip()
        if not sentences.speakable(written):
            raise BadInput("there is nothing to speak", why=f"no letter and no digit in {written[:40]!r}")
        language = languages.detect(written) if params.language == "auto" else params.language
        if language not in reading.LIMITS:
            raise BadInput(
                f"XTTS does not speak {language!r}",
                why=f"it speaks {', '.join(sorted(reading.LIMITS))}",
                hint="say the text's language with --set speak.language=..., or --set speak.engine=espeak",
            )
        words = dictionary.read(job.inputs.get(DICTIONARY))
        said = words.respelled(written).text
        pieces = reading.pieces(said, language, _pronounce if language == "ru" else None)
        speaker = load_file(str(job.inputs["speaker"]))
        total = sum(len(piece.text) for piece in pieces)
        done = 0
        parts, facts = [], []
        for number, piece in enumerate(pieces):
            tries = self._tries(network, piece, number, language, speaker, job, done, total)
            best = min(tries, key=lambda one: one.wrong)
            if not len(best.samples):
                why = f"{len(tries)} tries at {piece.text[:40]!r}"
                raise StepFailed("XTTS was silent", why=why, hint="try --take 1")
            parts.append((best.samples, piece.pause))
            facts.append({"text": piece.text, "seconds": len(best.samples) / self._rate, "tries": len(tries),
                          "seed": best.seed, "character_error_rate": best.error_rate})  # fmt: skip
            done += len(piece.text)
            job.progress(done, total, "characters")
        if params.pause >= 0:
            parts[-1] = (parts[-1][0], params.pause)
        wav.write_pcm(job.out / "speech.wav", spoken.joined(parts, self._rate, params.lead), self._rate)
        _report(job.out / "report.json", language, facts)

    @property
    def _rate(self) -> int:
        rate: int = self._network_module.RATE
        return rate

    def _tries(
        self,
        network: Any,
        piece: reading.Piece,
        number: int,
        language: str,
        speaker: Any,
        job: Job,
        done: int,
        total: int,
    ) -> list[_Try]:
        """Readings of a piece until one is good, or there were enough."""
        params: XttsParams = job.params
        tokens = len(piece.text) * 0.07 / params.rate * _TOKENS_A_SECOND

        def tick(count: int) -> None:
            if job.cancelled():
                raise Cancelled
            job.progress(done + len(piece.text) * min(count / tokens, 0.95), total, "characters")

        found: list[_Try] = []
        while len(found) < params.tries and not (found and found[-1].wrong == 0):
            seed = _seed(job.seed, number, len(found))
            raw = network.speak(
                piece.text,
                language,
                speaker,
                seed=seed,
                speed=params.rate,
                temperature=params.temperature,
                top_p=params.top_p,
                top_k=params.top_k,
                repetition_penalty=params.repetition_penalty,
                tick=tick,
            )
            samples = spoken.trimmed(raw, self._rate)
            wrong = _misfit(len(samples) / self._rate * params.rate, len(piece.text))
            error_rate = None
            if RECOGNISER in self._models:
                error_rate = character_error_rate(piece.text, self._heard(samples, language, job.threads))
                wrong += error_rate if error_rate > params.max_cer else 0.0
            found.append(_Try(samples, seed, wrong, error_rate))
        return found

    def _heard(self, samples: NDArray[np.int16], language: str, threads: int) -> str:
        """What a recogniser makes of a piece. It runs on the CPU: the GPU's memory is the voice's."""
        import faster_whisper
        import torch

        from avatarctl.engines.xtts import standin

        if self._recogniser is None:
            folder = str(self._models[RECOGNISER])
            self._recogniser = faster_whisper.WhisperModel(
                folder, device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
            )
        wave = torch.from_numpy(samples.astype(np.float32) / 32768)
        at_16k = standin.resample(wave, self._rate, 16_000).numpy()
        segments, _ = self._recogniser.transcribe(
            at_16k, language=language, beam_size=1, temperature=0.0, condition_on_previous_text=False
        )
        return " ".join(segment.text for segment in segments)


def _pronounce(text: str) -> str:
    with library.opened() as espeak:
        espeak.choose("en-us")
        return espeak.phonemes(text)


def _seed(seed: int, piece: int, again: int) -> int:
    """Another for each piece and try, none of them near another."""
    digest = hashlib.sha256(f"{seed}/{piece}/{again}".encode()).digest()
    return int.from_bytes(digest[:4])


def _misfit(seconds: float, characters: int) -> float:
    """0 for speech that is about as long as such a text takes, else by which factor it is off, from 1."""
    if seconds == 0:
        return float("inf")
    shortest, longest = _FASTEST * characters, _SLOWEST * characters + _LEFT_OVER
    return max(shortest / seconds, seconds / longest, 1.0) if not shortest <= seconds <= longest else 0.0


def _report(path: Path, language: str, pieces: list[dict[str, Any]]) -> None:
    """Each piece with its seconds, tries, seed and error rate; the error rate of all, by their length."""
    rates = [(p["character_error_rate"], len(p["text"])) for p in pieces if p["character_error_rate"] is not None]
    overall = sum(rate * length for rate, length in rates) / sum(n for _, n in rates) if rates else None
    document = {
        "schema": SCHEMA,
        "language": language,
        "character_error_rate": None if overall is None else round(overall, 4),
        "tries": sum(p["tries"] for p in pieces),
        "pieces": pieces,
    }
    path.write_text(json.dumps(document, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
