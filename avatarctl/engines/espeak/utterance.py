"""One text through espeak-ng: its sound, and when each phoneme and each written word is heard in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatarctl.engines.espeak import events, stress
from avatarctl.engines.espeak.library import Espeak, Spoken
from avatarctl.errors import StepFailed
from avatarctl.text import normalise
from avatarctl.text.dictionary import Dictionary
from avatarctl.text.timings import Phoneme, Span

WORDS_A_MINUTE = 155
SLOWEST, FASTEST = 80, 450
"""Words a minute."""
_STRESS_MARK = re.compile("\u0301")
"""espeak-ng 1.52 knows no stress marks: they only keep it from finding the word in its own dictionary."""
_VOICES = {"en": "en-us"}


@dataclass(frozen=True, slots=True)
class Utterance:
    """Times are seconds of `spoken`. `phonemes` is never empty."""

    spoken: Spoken
    phonemes: list[Phoneme]
    words: list[Span]


def voice_name(language: str, variant: str = "") -> str:
    """espeak-ng's name of the voice."""
    return _VOICES.get(language, language) + (f"+{variant}" if variant else "")


def words_a_minute(rate: float) -> int:
    """espeak-ng's setting for a speed; 1 is the voice's own."""
    return min(max(round(WORDS_A_MINUTE * rate), SLOWEST), FASTEST)


def say(
    espeak: Espeak,
    written: str,
    language: str,
    voice: str,
    *,
    words: Dictionary | None = None,
    rate: int = WORDS_A_MINUTE,
    pitch: int = 50,
    intonation: int = 65,
    cancelled: Callable[[], bool] = lambda: False,
) -> Utterance | None:
    """Speak a text; None when `cancelled` became true. `words`: how some are said; `rate` in words a minute.

    Raises:
        BadInput, BadConfig: no such language or voice variant.
        StepFailed: espeak-ng broke, or was silent.
    """

    def pronounce(text: str) -> str:
        espeak.choose("en-us")
        return espeak.phonemes(text)

    respelled = (words or Dictionary()).respelled(written)
    normalised = normalise.tracked(respelled, language, pronounce)
    espeak.choose(voice, rate=rate, pitch=pitch, intonation=intonation)
    normalised = stress.applied(normalised, espeak) if language == "ru" else normalised.sub(_STRESS_MARK, "")
    spoken = espeak.synthesise(normalised.text, cancelled)
    if spoken is None:
        return None
    phonemes = events.heard(spoken, language)
    if not phonemes or not np.any(spoken.samples):
        raise StepFailed("espeak-ng said nothing", why=f"{written[:40]!r} in {language}")
    return Utterance(spoken, phonemes, events.words(spoken, phonemes, normalised, written))
