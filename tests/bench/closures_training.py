"""Training of what finds p, b and m in sound: `python -m tests.bench.closures_training FILE.npz`, some 15 minutes.

Everything is made here: pseudowords and the demo's documents, spoken by espeak-ng in many languages, voices, rates and
sizes of the vocal tract, and changed in their spectra as rooms, noise and telephones do. Seeded; the last bits depend
on the machine's linear algebra, so the weights themselves are kept beside `engines/align/closures.py`.
"""

from __future__ import annotations

import itertools
import random
import re
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import closures, features
from avatarctl.engines.align.closures import OFFSETS, REACH, SOUNDS, Weights
from avatarctl.engines.align.spectrum import BANDS, HOP
from avatarctl.text.timings import Phoneme
from tests.bench import alignment

RECORDINGS, PASSES, SHARE, BATCH = 1000, 24, 0.35, 512
"""`SHARE` of all frames, chosen anew, is seen in each of the passes."""
HIDDEN = (64, 24)
STEP, DECAY = 2e-3, 2e-5

LANGUAGES = (*["ru"] * 4, *["en"] * 3, "de", "fr", "es", "it", "pl", "uk", "pt", "tr", "cs", "bg", "hu")
VARIANTS = (
    *("", "", "m5", "m6", "m8", "Andy", "anika", "belinda", "edward", "klatt", "klatt3", "max", "norbert", "pablo"),
    *("quincy", "steph", "david", "grandpa", "Michael", "Mario", "aunty", "iven", "john", "zac"),
)
"""None of those that `tests/bench/closures.py` measures with, but for espeak-ng's own voice."""
_CYRILLIC, _LATIN = ("бпмбпмтдкгнлрсзшжфвхчц", "аоуиеэыюя"), ("ppbbmmtdkgnlrsfvzh", "aeiou")
_LETTERS = {"ru": _CYRILLIC, "uk": ("бпмтдкгнлрсзшжфвхчц", "аоуиіеєюя"), "bg": ("бпмтдкгнлрсзшжфвхч", "аоуиеъ")}
_DOCUMENTS = {"ru": ("moon", "solar-system", "space-station", "women-who-led"), "en": ("space-in-english", "avatarctl")}
_DEMO = Path(__file__).parents[2] / "avatarctl" / "knowledge" / "demo"
_CLASSES = ("pbɓ", "m", "fvʋɱ", "tdnɗʈɖɳɾlɫθð", "szʃʒʂʐɕʑ", "kɡgxɣŋhɦqc", "wuoʊɔʉɒɯ", "rjɹʁɲʎɭʀ")
"""From class 1 on; 0 is silence, the last one everything else. Only the first two are looked at, but telling the others
apart, too, makes the network find what they are told apart by."""

Bands = NDArray[np.float32]
Recording = tuple[Bands, NDArray[np.int8]]
"""Power in mel bands, (frames, BANDS), and each frame's class, -1 at the borders of sounds, (frames,)."""


def _word(chance: random.Random, language: str) -> str:
    consonants, vowels = _LETTERS.get(language, _LATIN)
    word = ""
    for _ in range(chance.choice([1, 2, 2, 3, 3])):
        kind = chance.random()
        if kind < 0.9:
            word += chance.choice(consonants)
        if 0.75 < kind < 0.9:
            word += chance.choice("рл" if language in _LETTERS else "rl")
        word += chance.choice(vowels)
        if chance.random() < 0.25:
            word += chance.choice(consonants)
    return word


def _text(chance: random.Random, language: str) -> str:
    sentences = []
    for _ in range(chance.choice([2, 3, 4])):
        if language in _DOCUMENTS and chance.random() < 0.5:
            lines = (_DEMO / f"{chance.choice(_DOCUMENTS[language])}.md").read_text(encoding="utf-8").splitlines()
            plain = " ".join(line for line in lines if line and line[0] not in "#!|-")
            sentences.append(chance.choice(re.split(r"(?<=[.!?])\s+", plain)))
        else:
            sentences.append(" ".join(_word(chance, language) for _ in range(9)) + chance.choice(".?!"))
    return " ".join(sentences)


def bands_of(samples: NDArray[np.float64], rate: int) -> Bands:
    """Power in mel bands, (frames, BANDS), as the engine measures it."""
    count = len(samples) * 100 // rate
    edge = features.margin(rate)
    padded = np.pad(samples.astype(np.float32), (edge, edge + rate // 50))
    parts = []
    for start in range(0, count, 1000):
        parts.append(features.measure(padded[round(start * HOP * rate) :], rate, min(1000, count - start)).bands)
    return np.concatenate(parts)


def classes(truth: list[Phoneme], frames: int) -> NDArray[np.int8]:
    """What sounds in each frame."""
    found = np.zeros(frames, np.int8)
    times = (np.arange(frames) + 0.5) * HOP
    for sound in truth:
        margin = min(HOP, (sound.end - sound.start) / 4)
        kind = next((i for i, group in enumerate(_CLASSES, 1) if sound.ipa[0] in group), SOUNDS - 1)
        found[(times >= sound.start - HOP) & (times <= sound.end + HOP)] = -1
        found[(times >= sound.start + margin) & (times <= sound.end - margin)] = kind
    return found


def recordings(count: int) -> list[Recording]:
    """Speech with what is said in it."""
    chance = random.Random(1)
    made = []
    for i in range(count):
        language = chance.choice(LANGUAGES)
        case = alignment.Case(
            language,
            chance.choice(VARIANTS),
            rate=chance.uniform(0.75, 1.6),
            pitch=chance.randrange(20, 90),
            resample=chance.uniform(0.88, 1.14),
            pauses=chance.choice([0, 0, 0.1]),
        )
        samples, rate, truth = alignment.speak(case, _text(chance, language))
        bands = bands_of(samples, rate)
        made.append((bands, classes(truth, len(bands))))
        if i % 100 == 99:
            print(f"{i + 1} recordings", flush=True)
    return made


def disturbed(bands: Bands, chance: np.random.Generator) -> Bands:
    """The same in a room, in noise, over a telephone; or as it is."""
    made = bands.copy()
    if chance.random() < 0.3:
        fall = np.exp(-6.9 * HOP / chance.uniform(0.1, 0.35))
        wet = 3 * 10 ** (-chance.uniform(5, 15) / 10)
        rest = np.zeros(BANDS, np.float32)
        for i, frame in enumerate(bands):
            rest = rest * fall + frame * (1 - fall)
            made[i] += wet * rest
    power = made.sum(axis=1)
    loud = made[power > np.percentile(power, 95) * 0.01].mean(axis=0).sum()
    below = chance.uniform(10, 40) if chance.random() < 0.6 else chance.uniform(45, 70)
    # Noise of equal power at every frequency grows with the width of the bands, by about this much.
    slope = chance.uniform(1.8, 3) if chance.random() < 0.45 else chance.uniform(-4, 2)
    shape = np.exp(np.linspace(0, 1, BANDS) * slope)
    made += loud * 10 ** (-below / 10) * shape / shape.sum() * chance.gamma(2, 0.5, made.shape)
    if chance.random() < 0.2:
        made[:, chance.choice([19, 20, 22, 24]) :] = 0
    return made


def _seen(
    recordings: list[Recording], chance: np.random.Generator
) -> tuple[Bands, NDArray[np.int64], NDArray[np.int8]]:
    """A pass: levels of all recordings in a row, the frames that are looked at, and their classes."""
    levels, chosen, wanted, begin = [], [], [], 0
    for bands, kinds in recordings:
        disturbed_bands = disturbed(bands, chance)
        loudness = np.float32(chance.uniform(0.8, 1.15))
        levels.append(
            np.pad(loudness * closures.Level(disturbed_bands)(disturbed_bands), ((REACH, REACH), (0, 0)), "edge")
        )
        frames = np.flatnonzero((kinds >= 0) & (chance.random(len(kinds)) < SHARE))
        chosen.append(frames + REACH + begin)
        wanted.append(kinds[frames])
        begin += len(levels[-1])
    return np.concatenate(levels), np.concatenate(chosen), np.concatenate(wanted)


def train(speech: list[Recording], passes: int = PASSES) -> Weights:
    """Weights by Adam (Kingma & Ba 2015) with a step that falls along a cosine."""
    chance = np.random.default_rng(0)
    sizes = (len(OFFSETS) * BANDS, *HIDDEN, SOUNDS)
    weights: Weights = []
    for before, after in itertools.pairwise(sizes):
        matrix = 0.7 * np.sqrt(2 / before) * chance.normal(size=(before, after))
        weights.append((matrix.astype(np.float32), np.zeros(after, np.float32)))
    values = [array for layer in weights for array in layer]
    means, squares = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
    total, done = passes * SHARE * sum(int(np.count_nonzero(kinds >= 0)) for _, kinds in speech) / BATCH, 0
    for number in range(passes):
        levels, frames, wanted = _seen(speech, chance)
        order, lost = chance.permutation(len(frames)), 0.0
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            loss, slopes = _slopes(weights, closures.contexts(levels, frames[batch]), wanted[batch])
            lost += loss
            done += 1
            step = STEP * (1e-2 + 0.5 * (1 + np.cos(np.pi * min(done / total, 1))))
            for value, mean, square, slope in zip(values, means, squares, slopes, strict=True):
                mean += 0.1 * (slope - mean)
                square += 0.001 * (slope * slope - square)
                value -= step * (mean / (1 - 0.9**done)) / (np.sqrt(square / (1 - 0.999**done)) + 1e-8)
        print(f"pass {number + 1}: loss {lost / len(order):.4f}", flush=True)
    return weights


def _slopes(weights: Weights, inputs: Bands, wanted: NDArray[np.int8]) -> tuple[float, list[NDArray[np.float32]]]:
    """The batch's cross entropy, and its slopes by matrices and biases."""
    layers = closures.forward(weights, inputs)
    shares = closures.softmax(layers[-1])
    rows = np.arange(len(wanted))
    loss = -float(np.log(shares[rows, wanted] + 1e-9).sum())
    back = shares
    back[rows, wanted] -= 1
    back /= len(wanted)
    slopes: list[NDArray[np.float32]] = []
    for i in range(len(weights) - 1, -1, -1):
        matrix = weights[i][0]
        slopes = [layers[i].T @ back + np.float32(DECAY) * matrix, back.sum(axis=0), *slopes]
        if i:
            back = (back @ matrix.T) * (layers[i] > 0)
    return loss, slopes


def main(path: str) -> None:
    weights = train(recordings(RECORDINGS))
    arrays = {
        f"{i}{name}": a.astype(np.float16)
        for i, layer in enumerate(weights)
        for name, a in zip("ab", layer, strict=True)
    }
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
