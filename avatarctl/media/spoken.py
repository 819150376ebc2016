"""Spoken pieces to one recording: trimmed to their speech, of one loudness, with silence between and around them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatarctl.media.level import gain, scaled

_BLOCK = 0.01
_QUIETER = 10 ** (-40 / 20)
"""Of the loudest block: what is below at the ends is no speech."""
_KEPT = 0.03
"""Seconds kept on both sides of the speech, and faded."""


def trimmed(samples: NDArray[np.float32], rate: int) -> NDArray[np.int16]:
    """Speech without the silence around it, at the loudness of all speech; empty if there is none.

    float32 (samples,) in [-1, 1] to int16.
    """
    block = max(round(_BLOCK * rate), 1)
    whole = len(samples) // block * block
    if not whole or not np.isfinite(samples).all():
        return np.zeros(0, np.int16)
    levels = np.sqrt(np.mean(samples[:whole].reshape(-1, block).astype(np.float64) ** 2, axis=1))
    if levels.max() < 1e-4:
        return np.zeros(0, np.int16)
    loud = np.flatnonzero(levels > _QUIETER * levels.max())
    kept = round(_KEPT * rate)
    body = samples[max(loud[0] * block - kept, 0) : min((loud[-1] + 1) * block + kept, len(samples))]
    # To full scale first, so that rounding costs nothing before the loudness is set.
    pcm = np.round(body * (32767 / np.abs(body).max())).astype(np.int16)
    pcm = scaled(pcm, gain(pcm, rate))
    ramp = np.linspace(0, 1, min(kept, len(pcm) // 2), endpoint=False)
    for edge in (pcm, pcm[::-1]):
        edge[: len(ramp)] = np.round(edge[: len(ramp)] * ramp)
    return pcm


def joined(parts: Sequence[tuple[NDArray[np.int16], float]], rate: int, lead: float) -> NDArray[np.int16]:
    """Parts, each with the seconds of silence after it, behind `lead` seconds of silence."""
    made = [np.zeros(round(lead * rate), np.int16)]
    for samples, pause in parts:
        made += [samples, np.zeros(round(pause * rate), np.int16)]
    return np.concatenate(made)


_WINDOW, _REACH = 0.03, 0.008
"""Seconds of one piece that is laid over the others when the speed changes, and how far it is moved to fit."""


def stretched(samples: NDArray[np.int16], rate: int, speed: float) -> NDArray[np.int16]:
    """The same speech at another speed, without a change of its pitch; int16 (samples,).

    Overlapping windows, each taken from where the sound goes on most alike: Verhelst and Roelands (1993), An
    overlap-add technique based on waveform similarity (WSOLA) for high quality time-scale modification of speech.
    """
    if speed == 1 or not len(samples):
        return samples
    hop, reach = round(_WINDOW * rate / 2), round(_REACH * rate)
    size = 2 * hop
    count = max(math.ceil(len(samples) / speed / hop), 1)
    sound = np.pad(samples.astype(np.float32), (reach, reach + 2 * size + math.ceil(hop * speed)))
    window = np.hanning(size + 1)[:size].astype(np.float32)
    made = np.zeros((count + 1) * hop, np.float32)
    at = reach
    for number in range(count):
        if number:
            likely = min(round(number * hop * speed), len(samples)) + reach
            going_on = sound[at + hop : at + hop + size]
            region = sound[likely - reach : likely + reach + size]
            at = likely - reach + int(np.correlate(region, going_on, "valid").argmax())
        made[number * hop : number * hop + size] += window * sound[at : at + size]
    # The first half window has nothing to be laid over.
    made[:hop] += window[hop:] * sound[reach : reach + hop]
    return np.clip(np.round(made[: round(len(samples) / speed)]), -32768, 32767).astype(np.int16)
