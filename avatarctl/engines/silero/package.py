"""Silero's package, opened from bytes that `trusted` has compared with what is known."""

from __future__ import annotations

import inspect
import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avatarctl.errors import BadInput, StepFailed, Unavailable


class Package:
    """One of Silero's models, on the CPU."""

    def __init__(self, data: bytes, name: str) -> None:
        """Runs the code in `data`: only for what `trusted.read` gave. Raises `Unavailable` if it is no package."""
        try:
            self._model: Any = torch.package.PackageImporter(io.BytesIO(data)).load_pickle("tts_models", "model")
            self._model.to(torch.device("cpu"))
        except Exception as error:  # Its own code runs here, and may raise anything.
            raise Unavailable(f"{name} cannot be opened", why=f"{type(error).__name__}: {error}") from error
        self._known = set(inspect.signature(self._model.apply_tts).parameters)

    def speak(self, text: str, *, speaker: str, rate: int, stress: bool, yo: bool, seed: int) -> NDArray[np.float32]:
        """One piece of text, with `+` before stressed vowels, as float32 (samples,) at `rate` hertz.

        Raises:
            BadInput: there is no such speaker.
            StepFailed: the model broke.
        """
        speakers = [str(one) for one in getattr(self._model, "speakers", [])]
        if speakers and speaker not in speakers:
            raise BadInput(f"this model has no speaker {speaker!r}", hint=f"one of {', '.join(speakers)}")
        wanted = {
            "put_accent": stress,
            "put_yo": yo,
            # Since version 5: homographs (за́мок, замо́к; все, всё).
            "put_stress_homo": stress,
            "put_yo_homo": yo,
        }
        options = {name: value for name, value in wanted.items() if name in self._known}
        torch.manual_seed(seed)
        try:
            with torch.inference_mode():
                made = self._model.apply_tts(text=text, speaker=speaker, sample_rate=rate, **options)
        except Exception as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise StepFailed(f"Silero could not speak {text[:40]!r}", why=why) from error
        samples: NDArray[np.float32] = torch.as_tensor(made).detach().to(torch.float32).reshape(-1).cpu().numpy()
        return samples
