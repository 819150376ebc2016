"""A recording and its reference made comparable: equal colour, equal noise, equal scale of every feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import spectrum
from avatarctl.engines.align.spectrum import HOP, Normaliser

_DECIBELS = np.float32(10 / np.log(10))
_ABOVE_NOISE, _BELOW_SPEECH, _SMALLEST_RANGE = 8.0, 35.0, 25.0
"""Decibels: what is louder than noise, what is silence beside speech, and how far above all noise speech has to be for
weak sounds not to be taken for it."""
_SILENT_LEVEL, _DEAD_LEVEL = -66.0, -100.0
"""Decibels of full scale: what nobody hears, and what no microphone gives."""
_SHORTEST_PAUSE, _NO_VOWEL, _BESIDE_SPEECH = 0.2, 0.5, 0.15
"""Seconds; a stop consonant is silent for less, in so many seconds of speech there is a vowel, and what is weaker than
vowels may be so near to a pause."""
_FLOOR = 4.5 * np.log(10)
"""How far below the mean of speech the noise in a band is taken to be at least, in nepers of power: 45 dB."""
_FEWEST_QUIET = 10
_AROUND, _QUIETEST = 9, 0.04
"""Frames over which power is looked at where no pause is sure, and the part of them that is taken for noise alone."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What the recording's loudness tells of each frame, bool (frames,): no noise surely, or a pause surely."""

    loud: NDArray[np.bool_]
    pause: NDArray[np.bool_]

    @property
    def sounding(self) -> NDArray[np.bool_]:
        """Frames that are not part of a pause."""
        return ~self.pause


def activity(logs: NDArray[np.float32]) -> Activity | None:
    """From the log powers of a recording, (frames, BANDS); None when nothing can be heard."""
    if not len(logs):
        return None
    level = _DECIBELS * np.log(np.exp(logs).sum(axis=1) + np.float32(1e-12))
    smooth = np.convolve(np.pad(level, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    live = np.flatnonzero(smooth > _DEAD_LEVEL)
    if not live.size:
        return None
    # What a program has put before or after a recording tells nothing of the noise in it.
    given = smooth[live[0] : live[-1] + 1]
    speech, noise = float(np.percentile(given, 95)), float(np.percentile(given, 5))
    if speech < _SILENT_LEVEL:
        return None
    # A recording without any pause has no noise to be seen: its quietest moments are speech too.
    spread = speech - noise
    threshold = speech - _BELOW_SPEECH
    if spread > _SMALLEST_RANGE + _ABOVE_NOISE:
        threshold = max(threshold, noise + _ABOVE_NOISE)
    threshold = max(threshold, _SILENT_LEVEL)
    # What is no louder than noise may be noise; where vowels would have to be and are not, it is.
    doubtful = max(threshold, noise + min(_ABOVE_NOISE, spread / 2))
    pause = _runs(smooth < doubtful, _NO_VOWEL, within=_BESIDE_SPEECH)
    quiet = smooth < threshold
    pause |= _runs(quiet, _SHORTEST_PAUSE)
    for end in (slice(None), slice(None, None, -1)):
        pause[end] |= np.logical_and.accumulate(quiet[end])
    return Activity(smooth >= max(threshold, noise + _ABOVE_NOISE), pause)


def _runs(there: NDArray[np.bool_], least: float, within: float = 0.0) -> NDArray[np.bool_]:
    """Where it lasts for so many seconds, without those at both ends."""
    kept = np.zeros_like(there)
    margin = round(within / HOP)
    borders = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8))).reshape(-1, 2)
    for start, end in borders:
        if (end - start) * HOP >= least:
            kept[start + margin : end - margin] = True
    return kept


@dataclass(frozen=True, slots=True)
class Common:
    """Brings log powers of either side to features, float32 (frames, 2 * COEFFICIENTS).

    `colour`: what is added to the reference's log powers, (BANDS,); `noise`: power in each band, (BANDS,).
    """

    colour: NDArray[np.float32]
    noise: NDArray[np.float32]
    recorded: Normaliser
    spoken: Normaliser

    def recording(self, logs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of a part of the recording."""
        return self.recorded(_cepstra(logs, self.noise))

    def reference(self, logs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of a part of the reference."""
        return self.spoken(_cepstra(logs + self.colour, self.noise))

    def silence(self) -> NDArray[np.float32]:
        """Features of a silent frame, (1, 2 * COEFFICIENTS)."""
        return self.recorded.still(spectrum.cepstra(np.log(2 * self.noise)[None].astype(np.float32)))


def _cepstra(logs: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
    return spectrum.cepstra(np.log(np.exp(logs) + noise).astype(np.float32))


def _quietest(logs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The frames around which there is the least power: pauses, if there are any and noise fills them."""
    around = np.convolve(np.exp(logs).sum(axis=1), np.full(_AROUND, 1 / _AROUND), mode="same")
    return np.asarray(logs[around <= np.percentile(around, 100 * _QUIETEST)], np.float32)


def level_with(logs: NDArray[np.float32], active: Activity, spoken: NDArray[np.float32]) -> Common:
    """What makes the reference `spoken` sound like the recording `logs`; both log powers, (frames, BANDS).

    Microphones colour what they hear and rooms are never silent. The recording's own noise is added to the
    reference, for a cepstrum of speech in noise resembles none of speech alone.
    """
    speech = logs[active.sounding]
    quiet = logs[active.pause & ~active.loud]
    floor = np.log(np.exp(speech).mean(axis=0)) - np.float32(_FLOOR)
    if len(quiet) < _FEWEST_QUIET:
        quiet = _quietest(speech)
    measured = np.log(np.exp(quiet).mean(axis=0))
    noise = np.exp(np.maximum(measured, floor)).astype(np.float32)
    louder = np.log(np.exp(speech).mean(axis=0)) - np.log(np.exp(spoken).mean(axis=0))
    colour = louder.astype(np.float32)
    return Common(colour, noise, Normaliser(_cepstra(speech, noise)), Normaliser(_cepstra(spoken + colour, noise)))
