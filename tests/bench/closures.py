"""How many p, b and m are found in sound alone: `python -m tests.bench.closures` prints a table.

The voices are others than those of `tests/bench/closures_training.py`, as are what is said, noises and rates. With
`--flite PROGRAM` Flite speaks too (Black & Lenzo 2001; in Debian), whose voices are cut from recordings of people.
A closure is found if it covers a sound's middle, and right if a sound covers its middle, each within 30 ms.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import segments
from avatarctl.engines.align.features import HOP, Features, margin, measure
from avatarctl.text.timings import Phoneme
from avatarctl.text.visemes import viseme
from tests.bench import alignment
from tests.media_support import read_wav

FLITE_TEXT = (
    "The committee may publish a report about problems with the pump, but nobody can remember who built it. "
    "Tom bought a big map of Bombay from my brother. Please keep the baby's bottle in a cupboard by the lamp. "
    "Did you count ten kind dogs and take the tickets to the dentist? Nine hundred guests danced until night. "
    "A simple example might help people to improve. I put my best apples into the basement before September came."
)
FLITE = (("kal16", 1.0, False), ("awb", 1.0, False), ("rms", 1.0, False), ("rms", 1.2, False), ("rms", 1.0, True))
FLITE += (("slt", 1.0, False), ("slt", 0.8, False), ("slt", 1.0, True))
"""Voice, slowness, noise at -20 dB."""
TOLERANCE = 0.03
"""Seconds."""

Case = tuple[str, NDArray[np.float32], int, list[Phoneme]]
"""Name, samples, their rate, and what is said when."""


def closures(samples: NDArray[np.float32], rate: int) -> list[Phoneme]:
    """Where the lips close by the sound."""
    count, edge = int(len(samples) * 100 / rate), margin(rate)
    padded = np.pad(samples.astype(np.float32), (edge, edge + rate // 50))
    starts = range(0, count, 1000)
    parts = [measure(padded[round(i * HOP * rate) :], rate, min(1000, count - i)) for i in starts]
    return [sound for sound in segments.find(Features.joined(parts)) if sound.ipa == segments.CLOSURE]


def score(found: list[Phoneme], truth: list[Phoneme]) -> NDArray[np.int64]:
    """How many of the p, b and m are found, of how many; how many of what is found is right, of how many."""

    def covered(moment: float, spans: list[Phoneme]) -> bool:
        return any(s.start - TOLERANCE <= moment <= s.end + TOLERANCE for s in spans)

    wanted = [sound for sound in truth if viseme(sound.ipa, 0).closes]
    hits = sum(covered((sound.start + sound.end) / 2, found) for sound in wanted)
    right = sum(covered((sound.start + sound.end) / 2, wanted) for sound in found)
    return np.array([hits, len(wanted), right, len(found)])


def spoken() -> Iterator[Case]:
    """espeak-ng's voices, as the alignment is measured with."""
    for case in alignment.CASES:
        samples, rate, truth = alignment.speak(case, alignment.TEXTS[case.language])
        yield str(case), samples.astype(np.float32), rate, truth


def recorded(program: Path) -> Iterator[Case]:
    """Flite's voices."""
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "said.wav"
        for voice, slowness, noisy in FLITE:
            stretch = f"duration_stretch={slowness}"
            command = [program, "-voice", voice, "-psdur", "--setf", stretch, "-t", FLITE_TEXT, "-o", sound]
            listing = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
            samples, rate = read_wav(sound)
            if noisy:
                speech = np.mean(samples[np.abs(samples) > 0.01] ** 2)
                samples = samples + np.random.default_rng(3).normal(scale=0.1 * np.sqrt(speech), size=len(samples))
            ends = [(name, float(end)) for name, end in re.findall(r"(\w+):([\d.]+)", listing)]
            starts = [0.0, *(end for _, end in ends)]
            truth = [Phoneme(a, end, name) for a, (name, end) in zip(starts, ends, strict=False) if name != "pau"]
            yield f"flite {voice}, slowness {slowness:g}" + (", noise 20 dB" if noisy else ""), samples, rate, truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flite", type=Path)
    program = parser.parse_args().flite
    sums: dict[str, NDArray[np.int64]] = {}
    for cases in (spoken(), recorded(program) if program else iter(())):
        for name, samples, rate, truth in cases:
            row = score(closures(samples, rate), truth)
            group = ("flite" if name.startswith("flite") else "espeak-ng") + (", noisy" if "noise" in name else "")
            sums[group] = sums.get(group, 0) + row
            _print(name, row)
    for group, row in sums.items():
        _print(f"all of {group}", row)


def _print(name: str, row: NDArray[np.int64]) -> None:
    hits, wanted, right, found = row.tolist()
    print(f"{name:<62} found {hits:4} of {wanted:4} {hits / wanted:4.0%}   right {right:4} of {found:4} "
          f"{right / max(found, 1):4.0%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
