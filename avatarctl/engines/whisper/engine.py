"""The engine `transcribe/faster-whisper`: windows of a recording to text with timings of words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ctranslate2
import faster_whisper
import numpy as np

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.whisper.spec import WEIGHTS, WhisperParams
from avatarctl.engines.whisper.windows import windows
from avatarctl.errors import BadConfig, Unavailable
from avatarctl.media import wav
from avatarctl.stages.params import nearest
from avatarctl.text.transcript import Segment, Transcript, Word

_FILES = ("model.bin", "config.json", "tokenizer.json")
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_WARMER = 0.2
"""Between one temperature and the next, as OpenAI's own decoder has it."""


class WhisperEngine:
    """One model at a time, read when a step first wants it and kept for the next."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Note where the model lies.

        Raises:
            Unavailable: a file of it is missing. Without its tokenizer, faster-whisper would ask the network.
        """
        self._folder = models[WEIGHTS]
        self.device = ""
        self._model: Any = None
        self._loaded: tuple[str, str, int] | None = None
        present = {p.name for p in self._folder.iterdir()} if self._folder.is_dir() else set()
        absent = [name for name in _FILES if name not in present]
        if not present & set(_VOCABULARIES):
            absent.append(" or ".join(_VOCABULARIES))
        if absent:
            raise Unavailable(
                f"{self._folder} is no whole Whisper model",
                why=f"{', '.join(absent)} missing",
                hint="give a folder that ct2-transformers-converter made, with the tokenizer.json beside it",
            )

    def close(self) -> None:
        """Give back the model's memory."""
        self._model, self._loaded = None, None

    def run(self, job: Job) -> None:
        """Write text.txt and words.json.

        Raises:
            BadInput: nothing was said.
            BadConfig: the model does not know the language, or the device not the compute type.
            Unavailable: no GPU where one was asked for, or the model cannot be read.
        """
        params: WhisperParams = job.params
        model = self._ready(params, job)
        self._check_language(model, params.language)
        duration = wav.info(job.inputs["audio"]).duration
        job.progress(0, duration, "seconds")
        language, probability = ("", 0.0) if params.language == "auto" else (params.language, 1.0)
        heard: list[Segment] = []
        for offset, samples in windows(job.inputs["audio"]):
            _go_on(job)
            # A window that went wrong must not lead the next astray, so none is conditioned on the text before it.
            segments, info = model.transcribe(
                samples,
                language=language or None,
                beam_size=params.beam_size,
                temperature=_temperatures(params.temperature),
                initial_prompt=params.initial_prompt or None,
                condition_on_previous_text=False,
                vad_filter=params.vad,
                word_timestamps=True,
            )
            found = list(_heard(segments, offset, duration, job)) if info.duration_after_vad else []
            if found and not language:
                language, probability = info.language, info.language_probability
            heard += found
            job.progress(min(offset + info.duration, duration), duration, "seconds")
        Transcript(language, probability, duration, heard).write(job.out)

    def _ready(self, params: WhisperParams, job: Job) -> Any:
        """The model on its device. One that draws lots is read anew, so that its seed counts from the start."""
        device = self._device(params)
        wanted = (device, _compute_type(params, device), job.seed if params.temperature else 0)
        if self._loaded == wanted and not params.temperature:
            return self._model
        self.close()
        ctranslate2.set_random_seed(job.seed % 2**32)
        try:
            self._model = self._read(device, wanted[1], job.threads)
        except Unavailable:
            if params.device != "auto" or device == "cpu":
                raise
            # A GPU is there, but not the libraries that CTranslate2 needs for it.
            device = "cpu"
            self._model = self._read(device, _compute_type(params, device), job.threads)
        self._loaded, self.device = wanted, device
        return self._model

    def _device(self, params: WhisperParams) -> str:
        count = ctranslate2.get_cuda_device_count() if params.device != "cpu" else 0
        if params.device == "cuda" and not count:
            raise Unavailable("CTranslate2 finds no GPU", hint="--set transcribe.device=auto")
        return "cuda" if count else "cpu"

    def _read(self, device: str, compute_type: str, threads: int) -> Any:
        try:
            model = faster_whisper.WhisperModel(
                str(self._folder), device=device, compute_type=compute_type, cpu_threads=threads
            )
            if device != "cpu":
                # Libraries of CUDA are looked for when they are first needed: now, not in the middle of a step.
                model.encode(np.zeros((model.model.n_mels, model.feature_extractor.nb_max_frames), np.float32))
        # Tokenizers are read by a library that raises nothing more precise.
        except Exception as error:
            raise Unavailable(
                f"the Whisper model in {self._folder} cannot be used",
                why=f"on {device}: {' '.join(str(error).split())}",
                hint="avatarctl models verify shows whether it is damaged; --set transcribe.device=cpu leaves the GPU",
            ) from error
        return model

    def _check_language(self, model: Any, language: str) -> None:
        known = model.supported_languages
        if language != "auto" and language not in known:
            hint = "this model hears English only" if len(known) == 1 else nearest(language, known)
            raise BadConfig(f"transcribe.language = {language!r} is not possible with this model", hint=hint)


def _go_on(job: Job) -> None:
    if job.cancelled():
        raise Cancelled


def _compute_type(params: WhisperParams, device: str) -> str:
    known: set[str] = ctranslate2.get_supported_compute_types(device)
    if params.compute_type == "auto":
        preferred = ("int8",) if device == "cpu" else ("float16", "int8")
        return next((name for name in preferred if name in known), "float32")
    if params.compute_type not in known:
        raise BadConfig(
            f"transcribe.compute_type = {params.compute_type!r} is not possible on {device}",
            hint="one of: auto, " + ", ".join(sorted(known)),
        )
    return params.compute_type


def _temperatures(highest: float) -> list[float]:
    """From 0, which has but one result, upwards. Each is tried only where the one before made no sense."""
    return [min(step * _WARMER, highest) for step in range(math.ceil(highest / _WARMER - 1e-9) + 1)]


def _heard(segments: Any, offset: float, duration: float, job: Job) -> Iterator[Segment]:
    for segment in segments:
        _go_on(job)
        words = tuple(
            Word(word.word, offset + float(word.start), offset + float(word.end), float(word.probability))
            for word in segment.words or ()
        )
        start, end = offset + float(segment.start), offset + float(segment.end)
        yield Segment(segment.text, start, end, math.exp(min(segment.avg_logprob, 0.0)), words)
        job.progress(min(end, duration), duration, "seconds")
