"""A voice: its settings (`voice.onnx.json`), its network, and one call from phonemes to sound."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from avatarctl.engines.piper import onnxfile
from avatarctl.errors import BadInput, StepFailed, Unavailable

_PAD, _BEGIN, _END = "_", "^", "$"
_HOP = 256
_NOISE, _LENGTH, _RHYTHM = 0.667, 1.0, 0.8
"""What Piper takes where a voice says nothing."""


@dataclass(frozen=True)
class Settings:
    """What a voice was made with. `rate` in hertz; `hop`: samples a frame; `espeak`: the name of espeak-ng's voice,
    empty where letters are the phonemes; `clusters`: symbols that are one to this voice."""

    rate: int
    hop: int
    espeak: str
    language: str
    ids: Mapping[str, Sequence[int]]
    clusters: tuple[str, ...]
    speakers: int
    names: Mapping[str, int]
    first: int
    noise: float
    length: float
    rhythm: float

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Raises `Unavailable` if the file is not a voice's."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            kind = raw.get("phoneme_type", "espeak")
            espeak = str(raw["espeak"]["voice"]) if kind == "espeak" else ""
            code = str((raw.get("language") or {}).get("code", "")) or str(raw["espeak"]["voice"])
            scales = raw.get("inference", {})
            made = cls(
                rate=int(raw["audio"]["sample_rate"]),
                hop=int(raw.get("hop_length", _HOP)),
                espeak=espeak,
                language=code.replace("_", "-").partition("-")[0].lower(),
                ids={str(symbol): [int(one) for one in ids] for symbol, ids in raw["phoneme_id_map"].items()},
                clusters=tuple("".join(cluster) for cluster in raw.get("vowel_clusters") or ()),
                speakers=int(raw.get("num_speakers", 1)),
                names={str(name): int(number) for name, number in (raw.get("speaker_id_map") or {}).items()},
                first=int(raw.get("default_speaker_id", 0)),
                noise=float(scales.get("noise_scale", _NOISE)),
                length=float(scales.get("length_scale", _LENGTH)),
                rhythm=float(scales.get("noise_w", _RHYTHM)),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise unfit(path, f"{type(error).__name__}: {error}") from error
        if kind not in ("espeak", "text"):
            raise unfit(path, f"its phonemes are {kind!r}, which only Piper itself can make")
        if not 8000 <= made.rate <= 192_000 or made.hop < 1 or not {_PAD, _BEGIN, _END} <= made.ids.keys():
            raise unfit(path, "it has no sensible sample rate or phonemes")
        return made

    def speaker(self, wanted: str) -> int | None:
        """The number of a speaker by name or number; None for a voice that has only one.

        Raises:
            BadInput: there is none; the hint names those that there are.
        """
        if self.speakers <= 1:
            if wanted not in ("", "0"):
                raise BadInput(f"this voice has no speaker {wanted!r}", why="it has only one", hint="leave it out")
            return None
        number = self.names.get(wanted, int(wanted) if wanted.isdecimal() else -1) if wanted else self.first
        if not 0 <= number < self.speakers:
            known = ", ".join(list(self.names)[:8]) or f"0 to {self.speakers - 1}"
            raise BadInput(f"this voice has no speaker {wanted!r}", hint=f"for example {known}")
        return number

    def symbols(self, ipa: str) -> list[str]:
        """A text of phonemes as the voice's own symbols; those that it does not have are left out."""
        found = []
        plain = unicodedata.normalize("NFD", ipa)
        at = 0
        while at < len(plain):
            symbol = next((c for c in self.clusters if plain.startswith(c, at)), plain[at])
            at += len(symbol)
            if symbol in self.ids:
                found.append(symbol)
        return found


@dataclass(frozen=True)
class Sounded:
    """float32 (samples,) in [-1, 1], and for each symbol where it begins, in samples; the end of the last is added.

    `starts` is empty where the voice does not tell.
    """

    samples: NDArray[np.float32]
    starts: NDArray[np.int64]


class Voice:
    """One network on the CPU. The same symbols, scales and seed give the same samples, whatever was said before."""

    def __init__(self, network: Path, settings: Settings, threads: int) -> None:
        """Raises `Unavailable` if the file is not a network of Piper's."""
        self.settings = settings
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin while they wait take the time of other steps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            changed = onnxfile.changed(network.read_bytes())
            self._session = onnxruntime.InferenceSession(changed.model, options, providers=["CPUExecutionProvider"])
        except (OSError, ValueError) as error:
            raise unfit(network, str(error).splitlines()[0]) from error
        except Exception as error:  # onnxruntime's errors have no common type of their own.
            raise unfit(network, str(error).splitlines()[0]) from error
        self._noise = changed.noise
        inputs = {one.name for one in self._session.get_inputs()}
        if not {"input", "input_lengths", "scales"} <= inputs:
            raise unfit(network, f"its inputs are {', '.join(sorted(inputs))}")
        self._outputs = [one.name for one in self._session.get_outputs()][:2]

    def speak(
        self, symbols: Sequence[str], *, speaker: int | None, noise: float, length: float, rhythm: float, seed: int
    ) -> Sounded:
        """One sentence.

        Args:
            symbols: without the marks of beginning and end.
            noise, length, rhythm: the scales of the network (noise_scale, length_scale, noise_w).

        Raises:
            StepFailed: the network broke.
        """
        ids, counts = self._numbered(symbols)
        feed: dict[str, Any] = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([noise, length, rhythm], np.float32),
        }
        if speaker is not None:
            feed["sid"] = np.array([speaker], np.int64)
        chance = np.random.Generator(np.random.PCG64(seed))
        feed |= {name: chance.standard_normal(onnxfile.POOL, dtype=np.float32) for name in self._noise}
        try:
            made = self._session.run(self._outputs, feed)
        except Exception as error:
            raise StepFailed("the voice broke off", why=str(error).splitlines()[0]) from error
        samples = np.clip(np.asarray(made[0], np.float32).reshape(-1), -1, 1)
        if not np.isfinite(samples).all():
            raise StepFailed("the voice made numbers that are no sound", hint="avatarctl models verify")
        starts = np.zeros(0, np.int64)
        if len(made) > 1 and made[1].size == len(ids):
            ends = np.cumsum(np.round(np.asarray(made[1], np.float64).reshape(-1)).astype(np.int64)) * self.settings.hop
            edges = np.concatenate([[0], ends])
            # The mark of the beginning is before the first symbol, that of the end behind the last.
            starts = edges[np.cumsum(counts)]
        return Sounded(samples, starts)

    def _numbered(self, symbols: Sequence[str]) -> tuple[list[int], list[int]]:
        """Phoneme ids, and how many belong to the beginning, to each symbol, and so on: a pad follows each."""
        table = self.settings.ids
        ids = [*table[_BEGIN], *table[_PAD]]
        counts = [len(ids)]
        for symbol in symbols:
            own = [*table[symbol], *table[_PAD]]
            ids += own
            counts.append(len(own))
        return [*ids, *table[_END]], counts


def unfit(path: Path, why: str) -> Unavailable:
    """What is there is no voice of Piper's."""
    return Unavailable(
        f"{path.name} is no voice of Piper's", why=why, hint="take one that `avatarctl models list` names"
    )
