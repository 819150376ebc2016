"""Where a recording says something else than its text, the sound alone tells what the lips do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avatarctl.engines.align.spectrum import HOP
from avatarctl.engines.align.windows import Alignment
from avatarctl.text.timings import Phoneme, Span

Stretch = tuple[float, float]
"""Seconds of the recording, from and to."""

_SHORTEST = 0.3
"""Seconds that have to be strange to the text; less may be a cough, or a word that was said twice."""
_UNSAID = 0.3
"""Confidence in a sentence below which its sound is better than its text. Recorded voices in noisy rooms have 0.4 and
more for what they say; in trials what was not said had 0.3 at most."""
_SPLINTER, _NO_SOUND = 0.02, 0.8
"""Seconds: shorter sounds are not cut out of longer ones; what lasts longer is noise or a tone, no sound of speech."""


def stretches(found: Alignment, sentences: Sequence[Span], confidence: Sequence[float]) -> list[Stretch]:
    """Where a sentence is surely not said, or nothing of the text; ascending, apart from each other."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found.outside, [False]]).astype(np.int8))).reshape(-1, 2)
    strange = [(first * HOP, last * HOP) for first, last in edges.tolist() if (last - first) * HOP >= _SHORTEST]
    strange += [
        (s.start, s.end) for s, sure in zip(sentences, confidence, strict=True) if sure < _UNSAID and s.end > s.start
    ]
    apart: list[Stretch] = []
    for start, end in sorted(strange):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def spliced(told: Sequence[Phoneme], heard: Sequence[Phoneme], strange: Sequence[Stretch]) -> list[Phoneme]:
    """The phonemes that the text tells, and within the stretches those that are heard there. All ascending."""
    made = [p for p in told if not any(a <= (p.start + p.end) / 2 < b for a, b in strange)]
    for start, end in strange:
        made += [
            replace(p, start=max(p.start, start), end=min(p.end, end))
            for p in heard
            if min(p.end, end) - max(p.start, start) >= _SPLINTER and p.end - p.start <= _NO_SOUND
        ]
    made.sort(key=lambda p: p.start)
    following = [*(p.start for p in made), float("inf")][1:]
    return [replace(p, end=min(p.end, behind)) for p, behind in zip(made, following, strict=True) if behind > p.start]
