"""Stage `speak` by a voice of Silero's: one sentence to a levelled WAV. The stage `align` finds its times."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.espeak import library
from avatarctl.engines.silero import reading, trusted
from avatarctl.engines.silero.spec import PACKAGE, SileroParams
from avatarctl.errors import BadInput, StepFailed
from avatarctl.media import spoken, wav
from avatarctl.stages.catalog import DICTIONARY
from avatarctl.text import dictionary, sentences


class SileroEngine:
    """One model, read when the engine is loaded and kept for the next steps."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Open the model if its bytes are those that are known."""
        file = models[PACKAGE]
        data = trusted.read(file)
        from avatarctl.engines.silero.package import Package

        self._package: Any = Package(data, file.name)

    def close(self) -> None:
        """Give back the model's memory."""
        self._package = None

    def run(self, job: Job) -> None:
        """Write `speech.wav` (mono, 16 bit).

        Raises:
            BadInput: nothing to speak, another language than Russian, or no such speaker.
            StepFailed: the model broke, or was silent.
        """
        import torch

        params: SileroParams = job.params
        torch.set_num_threads(job.threads)
        written = job.inputs["text"].read_text(encoding="utf-8").strip()
        if not sentences.speakable(written):
            raise BadInput("there is nothing to speak", why=f"no letter and no digit in {written[:40]!r}")
        if params.language not in ("auto", "ru"):
            raise BadInput(f"Silero does not speak {params.language!r} here", why="its voices are Russian")
        words = dictionary.read(job.inputs.get(DICTIONARY))
        pieces = reading.pieces(words.respelled(written).text, _pronounce)
        if not pieces:
            raise StepFailed("nothing of the text can be spoken by this voice", why=f"{written[:40]!r}")
        parts = []
        for number, piece in enumerate(pieces):
            if job.cancelled():
                raise Cancelled
            raw = self._package.speak(
                piece.text,
                speaker=params.speaker,
                rate=params.sample_rate,
                stress=params.stress,
                yo=params.yo,
                seed=_seed(job.seed, number),
            )
            samples = spoken.trimmed(raw, params.sample_rate)
            if not len(samples):
                raise StepFailed("Silero was silent", why=f"{piece.text[:40]!r}")
            parts.append((spoken.stretched(samples, params.sample_rate, params.rate), piece.pause))
            job.progress(number + 1, len(pieces), "pieces")
        if params.pause >= 0:
            parts[-1] = (parts[-1][0], params.pause)
        whole = spoken.joined(parts, params.sample_rate, params.lead)
        wav.write_pcm(job.out / "speech.wav", whole, params.sample_rate)


def _pronounce(text: str) -> str:
    with library.opened() as espeak:
        espeak.choose("en-us")
        return espeak.phonemes(text)


def _seed(seed: int, piece: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{piece}".encode()).digest()[:4])
