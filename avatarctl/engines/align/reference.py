"""The known text as espeak-ng says it: mel spectra without pauses, and where in them each sound lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import spectrum
from avatarctl.engines.align.spectrum import HOP
from avatarctl.engines.contract import Cancelled
from avatarctl.engines.espeak import library, utterance
from avatarctl.engines.espeak.utterance import Utterance
from avatarctl.errors import BadInput
from avatarctl.text import sentences
from avatarctl.text.dictionary import Dictionary
from avatarctl.text.timings import Phoneme, Span

_PROBES = 12
"""Sentences that tell how fast the reference voice is."""
_INTONATION = 30
_SHORTEST_GAP = 0.02
"""Seconds without a sound between two phonemes that make a pause."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Positions count frames, as fractions. Pauses are cut out; `breaks` says where one may be in the recording.

    `logs`: natural logarithm of the bands' power, float32 (frames, BANDS).
    `breaks`: int64, ascending, the beginning and the end included.
    `firsts`: index into `breaks` of the beginning of each sentence, and of the end.
    Phonemes, words and sentences have positions instead of seconds.
    """

    logs: NDArray[np.float32]
    breaks: NDArray[np.int64]
    firsts: NDArray[np.int64]
    phonemes: list[Phoneme]
    words: list[Span]
    sentences: list[Span]

    def backwards(self) -> Reference:
        """The same sounds from the last to the first: as much like speech, and nothing that anybody says."""
        breaks = self.breaks[-1] - self.breaks[::-1]
        return replace(self, logs=self.logs[::-1], breaks=breaks, firsts=len(breaks) - 1 - self.firsts[::-1])


def parts_of(text: str) -> list[str]:
    """The sentences of a text.

    Raises:
        BadInput: nothing in it can be spoken.
    """
    return [sentence.text for sentence in sentences.split(sentences.clean(text))]


def usual_seconds(parts: Sequence[str], language: str, dictionary: Dictionary, cancelled: Callable[[], bool]) -> float:
    """How long the reference voice would speak at its own speed, pauses left out; by a few sentences if many."""
    chosen = np.unique(np.linspace(0, len(parts) - 1, min(_PROBES, len(parts))).round().astype(int))
    spoken = sum(_sounding(_said(parts[index], language, 1.0, dictionary, cancelled)) for index in chosen)
    characters = sum(len(parts[index]) for index in chosen)
    return spoken * sum(map(len, parts)) / characters


def _sounding(said: Utterance) -> float:
    return sum(p.end - p.start for p in said.phonemes)


def _said(part: str, language: str, speed: float, dictionary: Dictionary, cancelled: Callable[[], bool]) -> Utterance:
    with library.opened() as espeak:
        voice = utterance.voice_name(language)
        rate = utterance.words_a_minute(speed)
        said = utterance.say(
            espeak,
            part,
            language,
            voice,
            words=dictionary,
            rate=rate,
            intonation=_INTONATION,
            cancelled=cancelled,
        )
    if said is None:
        raise Cancelled
    return said


def speak(
    parts: Sequence[str],
    language: str,
    speed: float,
    highest: float,
    warp: float,
    dictionary: Dictionary,
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> Reference:
    """The reference for a whole text; of its sound only the mel spectra stay in memory.

    Args:
        parts: its sentences.
        language: a code that espeak-ng knows.
        speed: 1 is the voice's own.
        highest: upper end of the spectra, hertz.
        warp: factor on the voice's frequencies.
        dictionary: how some words are said.
        cancelled: asked between sentences.
        progress: told how many sentences are done.

    Raises:
        BadInput: espeak-ng does not speak the language.
    """
    logs: list[NDArray[np.float32]] = []
    breaks: list[int] = []
    firsts: list[int] = []
    phonemes: list[Phoneme] = []
    words: list[Span] = []
    spans: list[Span] = []
    done = 0
    for number, part in enumerate(parts):
        said = _said(part, language, speed, dictionary, cancelled)
        power, kept = _spectra(said, highest, warp)
        position = _Positions(kept, done)
        own = sorted({position.whole(p.start) for p in _after_pauses(said)})
        firsts.append(len(breaks))
        breaks += own
        phonemes += position.snapped(said.phonemes, own)
        words += [Span(position(w.start), position(w.end), w.text) for w in said.words]
        done += len(power)
        spans.append(Span(float(own[0]), float(done), part))
        logs.append(spectrum.log_power(power))
        progress(number + 1)
    if not done:
        raise BadInput("the text is too short to be aligned")
    return Reference(
        np.concatenate(logs),
        np.array([*breaks, done], np.int64),
        np.array([*firsts, len(breaks)], np.int64),
        phonemes,
        words,
        spans,
    )


def _after_pauses(said: Utterance) -> list[Phoneme]:
    """The phonemes before which a speaker may pause: the first of each word, and those that follow a pause here."""
    starts = {round(w.start, 4) for w in said.words}
    found = []
    end = -1.0
    for phoneme in said.phonemes:
        if end < 0 or phoneme.start - end >= _SHORTEST_GAP or round(phoneme.start, 4) in starts:
            found.append(phoneme)
        end = phoneme.end
    return found


def _spectra(said: Utterance, highest: float, warp: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mel power of the frames with a sound in them, and which frames of the utterance these are."""
    rate = said.spoken.rate
    edge = spectrum.margin(rate)
    samples = said.spoken.samples.astype(np.float32) / np.float32(32768)
    count = int(len(samples) / (HOP * rate))
    padded = np.pad(samples, (edge, edge + round(HOP * rate)))
    kept = np.zeros(count, np.bool_)
    for phoneme in said.phonemes:
        kept[round(phoneme.start / HOP) : max(round(phoneme.end / HOP), round(phoneme.start / HOP) + 1)] = True
    return spectrum.mel_power(padded, rate, count, highest, warp)[kept], kept


class _Positions:
    """Seconds of one utterance to positions in the reference."""

    def __init__(self, kept: NDArray[np.bool_], before: int) -> None:
        self._sum = np.concatenate([[0], np.cumsum(kept)]).astype(np.float64) + before

    def __call__(self, second: float) -> float:
        return float(np.interp(second / HOP, np.arange(len(self._sum)), self._sum))

    def whole(self, second: float) -> int:
        return round(self(second))

    def snapped(self, phonemes: Sequence[Phoneme], breaks: Sequence[int]) -> list[Phoneme]:
        """Phonemes with positions; those that meet at a break meet exactly there."""
        known = set(breaks)

        def place(second: float) -> float:
            whole = self.whole(second)
            return float(whole) if whole in known else self(second)

        return [Phoneme(place(p.start), place(p.end), p.ipa, p.stress) for p in phonemes]
