"""The XTTS network: read from a folder of the model store, listened into, and spoken with.

The weights are read here and not by the package's own `load_checkpoint`, which writes to the file that it reads, and
opens another (`speakers_xtts.pth`) that is not needed. Nothing but tensors and four named classes is ever unpickled.
`standin.install()` comes before this module is imported.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import StoppingCriteria, StoppingCriteriaList
from TTS.config.shared_configs import BaseDatasetConfig
from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig
from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
from TTS.tts.models import xtts as upstream

from avatarctl.errors import BadInput, Unavailable

RATE = 24_000
"""Hertz of what it speaks."""
CONFIG, WEIGHTS, VOCABULARY = "config.json", "model.pth", "vocab.json"
_CHUNK_SECONDS = 4
"""Of a sample that is listened to at a time, as XTTS-v2's own settings have it."""
_TRAINING_ONLY = ("torch_mel_spectrogram_style_encoder", "torch_mel_spectrogram_dvae", "dvae")


class XttsNetwork:
    """A network in evaluation mode on one device."""

    def __init__(self, folder: Path, device: str) -> None:
        """`device`: `cpu` or `cuda`. Raises `Unavailable` if the folder holds no whole XTTS model."""
        absent = [name for name in (CONFIG, WEIGHTS, VOCABULARY) if not (folder / name).is_file()]
        if absent:
            raise _unfit(folder, f"{', '.join(absent)} missing")
        # Its complaints about long texts are ours to prevent.
        logging.getLogger("TTS").setLevel(logging.ERROR)
        config = XttsConfig()
        config.load_json(str(folder / CONFIG))
        self._model = upstream.Xtts(config)
        self._model.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / VOCABULARY))
        self._model.init_models()
        try:
            self._model.load_state_dict(_state(folder / WEIGHTS))
        except (RuntimeError, KeyError, TypeError) as error:
            raise _unfit(folder, str(error).splitlines()[0]) from error
        self._model.gpt.init_gpt_for_inference(kv_cache=config.model_args.kv_cache)
        # Not `eval()` of the whole, which prepares the network for inference once more.
        self._model.gpt.eval()
        self._model.hifigan_decoder.eval()
        self._model.to(device)

    def listen(self, wav: Path, longest: int) -> dict[str, torch.Tensor]:
        """What is kept of a voice: float32 tensors `latents` (1, n, width) and `embedding` (1, 512, 1), on the CPU."""
        latents, embedding = self._model.get_conditioning_latents(
            audio_path=str(wav), max_ref_length=longest, gpt_cond_len=longest, gpt_cond_chunk_len=_CHUNK_SECONDS
        )
        return {"latents": latents.float().cpu().contiguous(), "embedding": embedding.float().cpu().contiguous()}

    def speak(
        self,
        text: str,
        language: str,
        speaker: dict[str, torch.Tensor],
        *,
        seed: int,
        speed: float,
        temperature: float,
        top_p: float,
        top_k: int,
        repetition_penalty: float,
        tick: Callable[[int], None],
    ) -> NDArray[np.float32]:
        """One piece of text as float32 (samples,) at `RATE`.

        Args:
            seed: of what is drawn; nothing before this call has an influence.
            tick: called after each token of about 43 ms with their number; what it raises ends the call.

        Raises:
            BadInput: the text has more tokens than the network can read.
        """
        tokens = len(self._model.tokenizer.encode(text.lower(), lang=language))
        if tokens >= self._model.args.gpt_max_text_tokens:
            raise BadInput("a piece of the text is too long for the voice", why=f"{text[:40]!r} has {tokens} tokens")
        torch.manual_seed(seed)
        made = self._model.inference(
            text,
            language,
            speaker["latents"],
            speaker["embedding"],
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            repetition_penalty=repetition_penalty,
            speed=speed,
            stopping_criteria=StoppingCriteriaList([_Tick(tick)]),
        )
        samples: NDArray[np.float32] = np.asarray(made["wav"], np.float32).reshape(-1)
        return samples


class _Tick(StoppingCriteria):  # type: ignore[misc]
    """Never stops: between two tokens it tells how many there are."""

    def __init__(self, tick: Callable[[int], None]) -> None:
        self._tick = tick
        self._count = 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        self._count += 1
        self._tick(self._count)
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def _state(path: Path) -> dict[str, torch.Tensor]:
    """The network's tensors by name."""
    try:
        with _named_classes():
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        # A truncated archive, a pickle that wants more than tensors, an older format: each has its own exception.
        raise _unfit(path.parent, f"{path.name}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in checkpoint["model"].items():
        name = name.removeprefix("xtts.")
        if name.split(".")[0] not in _TRAINING_ONLY:
            tensors[name] = tensor
    return tensors


@contextlib.contextmanager
def _named_classes() -> Any:
    """The published file has its settings in it, as objects of these classes, under the module they once lived in."""
    moved = {cls: cls.__module__ for cls in (XttsArgs, XttsAudioConfig)}
    try:
        for cls in moved:
            cls.__module__ = upstream.__name__
        with torch.serialization.safe_globals([XttsArgs, XttsAudioConfig, XttsConfig, BaseDatasetConfig]):
            yield
    finally:
        for cls, module in moved.items():
            cls.__module__ = module


def _unfit(folder: Path, why: str) -> Unavailable:
    hint = "avatarctl models pull xtts-v2, or give the folder of another XTTS-v2 model"
    return Unavailable(f"{folder} is no whole XTTS model", why=why, hint=hint)
