"""From a voice's symbols and their lengths to sounds: stress and modifiers to their sound, pauses to silence."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.espeak import events
from avatarctl.engines.piper.reading import Sentence
from avatarctl.engines.piper.voice import Settings, Sounded
from avatarctl.text.phonemes import AFFRICATES, PRIMARY, SECONDARY, is_modifier, segments
from avatarctl.text.timings import Phoneme

_SHORTEST_PAUSE = 0.06
"""Seconds. The joint of two words is shorter, and belongs to the sound before it."""


@dataclass(frozen=True)
class Part:
    """One sentence. `first`, `last`: samples between which it speaks; `phonemes` in seconds of `samples`; `words`:
    (sample, position in the text, length)."""

    samples: NDArray[np.float32]
    first: int
    last: int
    phonemes: list[Phoneme]
    words: list[tuple[int, int, int]]


def sounded(made: Sounded, sentence: Sentence, settings: Settings) -> Part:
    """What a voice made of a sentence; without sounds and words where it does not tell when they are."""
    if not len(made.starts):
        return Part(made.samples, 0, len(made.samples), [], [])
    starts = np.minimum(made.starts, len(made.samples))
    times = starts / settings.rate
    phonemes = _heard(sentence.symbols, [float(t) for t in times], settings.language)
    first = round(phonemes[0].start * settings.rate) if phonemes else 0
    last = round(phonemes[-1].end * settings.rate) if phonemes else len(made.samples)
    words = [(int(starts[index]), position, length) for index, position, length in sentence.words]
    return Part(made.samples, first, last, phonemes, words)


def _heard(symbols: list[str], times: list[float], language: str) -> list[Phoneme]:
    found: list[Phoneme] = []
    begun, mark = -1.0, ""
    for symbol, start, end in zip(symbols, times[:-1], times[1:], strict=True):
        if symbol in (PRIMARY, SECONDARY):
            begun, mark = start if begun < 0 else begun, symbol
            continue
        if is_modifier(symbol):
            if found:
                found[-1] = replace(found[-1], end=end, ipa=found[-1].ipa + symbol)
            continue
        if not unicodedata.category(symbol[0]).startswith("L"):
            if found and end - start < _SHORTEST_PAUSE and symbol == " ":
                found[-1] = replace(found[-1], end=end)
            begun, mark = -1.0, ""
            continue
        begin = start if begun < 0 else begun
        sounds = segments(mark + events.corrected(symbol, language))
        if found and not mark and found[-1].ipa + symbol in AFFRICATES and found[-1].end >= begin:
            found[-1] = replace(found[-1], end=end, ipa=found[-1].ipa + symbol)
        else:
            for sound in sounds:
                behind = begin + (end - begin) * sound.share
                found.append(Phoneme(begin, behind, sound.ipa, sound.stress))
                begin = behind
        begun, mark = -1.0, ""
    return [p for p in found if p.end > p.start]
