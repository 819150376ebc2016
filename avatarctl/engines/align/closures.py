"""Where lips seem to meet in a recording of unknown words: p, b and m, by a small network.

A labial closure is heard by its surroundings more than by itself: silence or a faint low hum of 40 to 120 ms, into
which the second and third formants fall and out of which they rise (those of t and d bend towards 1.8 kHz, those of
k and g towards each other), and a burst that is weak and low where that of t hisses (Delattre, Liberman & Cooper 1955;
Stevens & Blumstein 1978); in m the damped spectrum of a nasal with its low first formant (Fujimura 1962). All of that
is in the mel spectrum of 140 ms before and after. The network is a perceptron of two hidden layers over it, as in
hybrid speech recognition (Bourlard & Morgan 1994). It was trained on espeak-ng's speech in many languages, voices,
rates, rooms and noises by `tests/bench/closures_training.py`; `tests/bench/closures.py` measures it on others.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align.spectrum import HOP

OFFSETS = np.array([-14, -11, -9, -7, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 14])
"""Frames whose spectra are looked at, counted from the frame that is judged."""
REACH = 14
STOP, NASAL, SOUNDS = 1, 2, 10
"""Outputs for p and b, and for m; how many there are."""

_LOUD = 10**-2.5
"""Power, as a share of loud speech, from which on a frame counts for the recording's mean spectrum."""
_FLOOR = 10**-4.5
"""Of the mean power in a band: what is fainter is as good as nothing."""
_DEAD = 1e-9
"""Share of the loudest band's mean below which a band holds nothing, as those above half the sample rate do."""
_NOTHING, _TINY = -3.0, 1e-12
_BLOCK = 2000
"""Frames at a time."""

THRESHOLD, _EDGE = 0.4, 0.5
"""The least probability at a closure's height, and the share of it at its ends."""
_SHORTEST, _LONGEST = 0.02, 0.16
"""Seconds."""

Weights = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""A matrix and a bias for each layer."""


class Level:
    """The mean spectrum of a recording's speech, which microphone and voice have coloured; it is taken out."""

    def __init__(self, bands: NDArray[np.float32]) -> None:
        """`bands`: power in mel bands, float32 (frames, BANDS)."""
        power = bands.sum(axis=1)
        loud = power > np.percentile(power, 95) * _LOUD
        self._mean = bands[loud].mean(axis=0) if loud.any() else np.zeros(bands.shape[1], np.float32)
        self._live = self._mean > _DEAD * self._mean.max()

    def __call__(self, bands: NDArray[np.float32]) -> NDArray[np.float32]:
        """Nepers of power above the mean, with a floor; float32 (frames, BANDS)."""
        over = np.log(bands + self._mean * _FLOOR + _TINY) - np.log(self._mean + _TINY)
        return np.asarray(np.where(self._live, over, _NOTHING), np.float32)


def contexts(levels: NDArray[np.float32], frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """What the network sees of each of `frames`: float32 (frames, OFFSETS * BANDS). `levels` go on for `REACH` frames
    on either side."""
    return np.asarray(levels[frames[:, None] + OFFSETS].reshape(len(frames), -1), np.float32)


def forward(weights: Weights, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """What goes into each layer, and behind that the last one's outputs."""
    layers = [inputs]
    for i, (matrix, bias) in enumerate(weights):
        made = layers[-1] @ matrix + bias
        layers.append(np.maximum(made, 0) if i < len(weights) - 1 else made)
    return layers


def softmax(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities, each row's sum being 1."""
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


@cache
def trained() -> Weights:
    """The weights that ship."""
    with np.load(Path(__file__).with_name("closures.npz"), allow_pickle=False) as stored:
        arrays = [stored[name].astype(np.float32) for name in sorted(stored.files)]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def probabilities(bands: NDArray[np.float32], weights: Weights | None = None) -> NDArray[np.float32]:
    """How probably the lips are closed in each frame, 0..1, float32 (frames,)."""
    network = weights or trained()
    found = np.zeros(len(bands), np.float32)
    if not len(bands):
        return found
    level = Level(bands)
    for start in range(0, len(bands), _BLOCK):
        end = min(start + _BLOCK, len(bands))
        before, after = max(start - REACH, 0), min(end + REACH, len(bands))
        missing = (REACH - (start - before), REACH - (after - end))
        levels = np.pad(level(bands[before:after]), (missing, (0, 0)), mode="edge")
        shares = softmax(forward(network, contexts(levels, np.arange(REACH, REACH + end - start)))[-1])
        found[start:end] = shares[:, STOP] + shares[:, NASAL]
    return found


def spans(bands: NDArray[np.float32], weights: Weights | None = None) -> list[tuple[int, int]]:
    """(first frame, frame behind the last) of every closure, in order."""
    if not len(bands):
        return []
    likely = np.convolve(np.pad(probabilities(bands, weights), 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], likely >= THRESHOLD * _EDGE, [False]]).astype(np.int8)))
    found = []
    for start, end in edges.reshape(-1, 2):
        height = start + int(likely[start:end].argmax())
        if likely[height] < THRESHOLD or (end - start) * HOP < _SHORTEST - 1e-9:
            continue
        half = round(_LONGEST / HOP / 2)
        found.append((int(max(start, height - half)), int(min(end, height + half))))
    return found
