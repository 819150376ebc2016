"""Mouth shapes over time, as Rhubarb Lip Sync writes them: nine drawings, and when each one is shown.

Every cue begins where the one before it ends, the first at 0 and the last ending with the recording. Times are
whole centiseconds, the finest that Rhubarb's formats hold.

    X  idle, lips closed and relaxed        D  wide open: father
    A  lips closed: p, b, m                 E  slightly rounded: off
    B  slightly open, teeth together:       F  puckered: you, way
       most consonants, and bee             G  lower lip under the teeth: f, v
    C  open: men, bat                       H  tongue up behind the teeth: a long l

Shapes and formats: the README of Rhubarb Lip Sync 1.14. The timing follows its ideas too: a sound that hardly
touches the lips keeps the mouth near where it was, a shape that would only flicker gives way to its neighbours,
closed lips never do, and a wide mouth closes through a smaller one.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from avatarctl.text.articulation import LEAD, LONG_PAUSE
from avatarctl.text.phonemes import is_vowel
from avatarctl.text.timings import Phoneme, Timings
from avatarctl.text.visemes import class_of

IDLE, CLOSED = "X", "A"
SHAPES = "ABCDEFGHX"

_SHAPES: dict[str, str] = {
    "open": "D",
    "near open": "C",
    "reduced": "C",
    "mid front": "C",
    "close front": "B",
    "close central": "B",
    "mid back": "C",
    "mid round": "E",
    "open round": "E",
    "close round": "F",
    "front round": "F",
    "bilabial stop": "A",
    "bilabial fricative": "A",
    "labiodental": "G",
    "dental": "B",
    "alveolar": "B",
    "lateral": "BEFH",
    "rhotic": "BEF",
    "round rhotic": "BEF",
    "sibilant": "B",
    "hushing": "BF",
    "soft hushing": "BF",
    "palatal": "B",
    "velar": "BCEFH",
    "glottal": "BCDEFH",
    "labial velar": "F",
}
"""The shapes that do for each class of `visemes.CLASSES`; of several, the nearest to the shape around it."""
_PLACES = {
    "A": (0.0, 0.0), "X": (0.0, 0.0), "G": (0.1, 0.0), "B": (0.2, 0.0), "C": (0.5, 0.0), "H": (0.6, 0.0),
    "D": (1.0, 0.0), "E": (0.45, 0.5), "F": (0.2, 1.0),
}  # fmt: skip
"""Opening and rounding of each shape, 0..1: what is near is little effort for the mouth."""
_LONG_LATERAL = 20
_HELD_PAUSE, _REST_PAUSE = 12, round(100 * LONG_PAUSE)
"""Shorter silences keep the shape before them; from the second length on the mouth rests, as it does on film."""
_RELAXED = {"A": "A", "B": "B", "C": "B", "D": "C", "E": "C", "F": "B", "G": "B", "H": "B"}
_SHORTEST_SHAPE = 7
_SHORTEST_STATE, _FURTHEST = 8, 6
"""Closed and open states that are shorter grow to the left, by so much at most."""
_BETWEEN = {
    "DA": "C", "DB": "C", "DG": "C", "DX": "C",
    "CF": "E", "DF": "E", "FC": "E", "HF": "E", "FH": "E",
}  # fmt: skip
"""What is drawn between two shapes."""
_SHORTEST_BETWEEN, _LONGEST_BETWEEN = 4, 8
"""All in centiseconds."""


@dataclass(frozen=True, slots=True)
class Cue:
    """A mouth shape, shown from `start` to `end` centiseconds."""

    start: int
    end: int
    shape: str


def from_timings(parts: Sequence[tuple[float, Timings]], duration: float) -> list[Cue]:
    """The cues of a film of several recordings, each given with the second at which it begins.

    The mouth is ahead of the sound by `articulation.LEAD`, as it is on film. The end is cut off to a centisecond,
    as Rhubarb does.
    """
    track = [IDLE] * math.floor(100 * duration + 1e-6)
    for begins, timings in parts:
        first = min(round(100 * begins), len(track))
        last = min(round(100 * (begins + timings.duration)), len(track))
        _speak(track, first, last, begins - LEAD, timings.phonemes)
    track = _between(_steady(track))
    return _cues(track)


def _speak(track: list[str], first: int, last: int, shift: float, phonemes: Sequence[Phoneme]) -> None:
    """Lay a recording's shapes into `track[first:last]`."""
    edges = [(round(100 * (p.start + shift)), round(100 * (p.end + shift))) for p in phonemes]
    edges = [(min(max(a, first), last), min(max(b, first), last)) for a, b in edges]
    shapes = _shapes(phonemes, [end - start for start, end in edges])
    for number, ((start, end), shape) in enumerate(zip(edges, shapes, strict=True)):
        track[start:end] = shape * (end - start)
        if number + 1 < len(edges) and (pause := edges[number + 1][0] - end) > 0:
            filler = shape if pause < _HELD_PAUSE else _RELAXED[shape] if pause < _REST_PAUSE else IDLE
            track[end : end + pause] = filler * pause


def _shapes(phonemes: Sequence[Phoneme], lengths: Sequence[int]) -> list[str]:
    """One shape for each sound."""
    chosen: list[str] = []
    for number, (phoneme, length) in enumerate(zip(phonemes, lengths, strict=True)):
        kind = class_of(phoneme.ipa)
        possible = "H" if kind == "lateral" and length >= _LONG_LATERAL else _SHAPES[kind]
        around = chosen[-1] if chosen else IDLE
        if kind == "glottal":
            # A breath has no shape of its own: it takes that of the vowel that it leads to.
            vowel = next((p for p in phonemes[number + 1 : number + 3] if is_vowel(p.ipa)), None)
            around = _SHAPES[class_of(vowel.ipa)] if vowel else around
        chosen.append(min(possible, key=lambda shape: math.dist(_PLACES[shape], _PLACES[around])))
    return chosen


def _runs(track: Sequence[str]) -> list[tuple[int, int, str]]:
    """(first, behind the last, letter) of equal neighbours."""
    found, start = [], 0
    for letter, group in groupby(track):
        end = start + sum(1 for _ in group)
        found.append((start, end, letter))
        start = end
    return found


def _state(shape: str) -> str:
    return shape if shape in (IDLE, CLOSED) else "open"


def _steady(track: list[str]) -> list[str]:
    """The same without flicker: states that can be seen, and within them no shape shorter than can be seen."""
    states = _runs([_state(shape) for shape in track])
    made = [IDLE] * len(track)
    number, limit = len(states) - 1, len(track)
    while number >= 0:
        start, end, state = states[number]
        if state == IDLE:
            limit = start
            number -= 1
        elif min(end, limit) - start >= _SHORTEST_STATE:
            made[start : min(end, limit)] = _thinned(track[start : min(end, limit)])
            limit = start
            number -= 1
        else:
            first = number
            while first > 0 and states[first - 1][2] != IDLE and _length(states[first - 1]) < _SHORTEST_STATE:
                first -= 1
            limit = _spread(track, made, states, first, number, min(end, limit))
            number = first - 1
    return made


def _length(run: tuple[int, int, str]) -> int:
    return run[1] - run[0]


def _spread(
    track: list[str], made: list[str], states: list[tuple[int, int, str]], first: int, last: int, limit: int
) -> int:
    """Give the short states from `first` to `last`, which end at `limit`, equal shares; where they begin now."""
    count = last - first + 1
    begin = states[first][0]
    wanted = _SHORTEST_STATE * count - (limit - begin)
    room = _length(states[first - 1]) - 1 if first > 0 else 0
    begin -= max(min(wanted, room, _FURTHEST), 0)
    for number in range(first, last + 1):
        share = number - first
        start, end = (begin + (limit - begin) * part // count for part in (share, share + 1))
        made[start:end] = _most(track[states[number][0] : states[number][1]]) * (end - start)
    return begin


def _most(part: Sequence[str]) -> str:
    """The shape that lasts longest; D where C does but D is there, for it tells more."""
    seen = Counter(part)
    longest = max(seen, key=lambda shape: (seen[shape], shape))
    return "D" if longest == "C" and seen["D"] else longest


def _thinned(part: list[str]) -> list[str]:
    """The shapes of an open mouth from its end to its beginning, each as long as can be seen at least."""
    made = list(part)
    end = len(part)
    while end > 0:
        start = _window(end)
        shape = _most(part[start:end])
        whole = start
        while whole > 0 and part[whole - 1] == part[start]:
            whole -= 1
        before = _most(part[_window(start) : start]) if start else ""
        # Its first shape in full, if that changes nothing or if it would not be seen otherwise.
        extended = _most(part[whole:end])
        if (extended == shape or extended != before) and not 0 < whole < _SHORTEST_SHAPE:
            start, shape = whole, extended
        made[start:end] = shape * (end - start)
        end = start
    return made


def _window(end: int) -> int:
    """Where the next shape begins that ends there: never so that less than a shape is left."""
    if end <= _SHORTEST_SHAPE:
        return 0
    return end - (_SHORTEST_SHAPE if end >= 2 * _SHORTEST_SHAPE else (end + 1) // 2)


def _between(track: list[str]) -> list[str]:
    """Smaller shapes at the end of wide ones, where the mouth closes or puckers."""
    made = list(track)
    runs = _runs(track)
    for (start, end, shape), (_, _, following) in pairwise(runs):
        tween = _BETWEEN.get(shape + following)
        length = min((end - start) // 3, _LONGEST_BETWEEN)
        if tween and length >= _SHORTEST_BETWEEN:
            made[end - length : end] = tween * length
    return made


def _cues(track: Sequence[str]) -> list[Cue]:
    return [Cue(start, end, shape) for start, end, shape in _runs(track)] or [Cue(0, 0, IDLE)]


def to_tsv(cues: Sequence[Cue]) -> str:
    """`start<TAB>shape` lines; the last one is the recording's end, with a closed mouth."""
    lines = [f"{cue.start / 100:.2f}\t{cue.shape}\n" for cue in cues if cue.end > cue.start]
    return "".join(lines) + f"{cues[-1].end / 100:.2f}\t{IDLE}\n"


def to_json(cues: Sequence[Cue], sound_file: str = "") -> str:
    """Rhubarb's JSON, to the space."""
    rows = ",\n".join(
        f'    {{ "start": {cue.start / 100:.2f}, "end": {cue.end / 100:.2f}, "value": "{cue.shape}" }}' for cue in cues
    )
    name = json.dumps(sound_file, ensure_ascii=False)
    return (
        f'{{\n  "metadata": {{\n    "soundFile": {name},\n    "duration": {cues[-1].end / 100:.2f}\n  }},\n'
        f'  "mouthCues": [\n{rows}\n  ]\n}}\n'
    )


def from_json(text: str) -> tuple[list[Cue], float]:
    """The cues of a document in Rhubarb's JSON, and its duration in seconds.

    Raises:
        ValueError: it is not such a document, or its cues are out of order.
    """
    try:
        document = json.loads(text)
        duration = float(document["metadata"]["duration"])
        found = [
            Cue(round(100 * float(cue["start"])), round(100 * float(cue["end"])), str(cue["value"]))
            for cue in document["mouthCues"]
        ]
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not mouth cues: {type(error).__name__} {error}") from error
    last = 0
    for cue in found:
        if cue.shape not in SHAPES or len(cue.shape) != 1:
            raise ValueError(f"there is no mouth shape {cue.shape!r}")
        if cue.start < last or cue.end < cue.start:
            raise ValueError(f"the mouth cue at {cue.start / 100:.2f} s is out of order")
        last = cue.end
    if not math.isfinite(duration):
        raise ValueError("the duration is not a number")
    return found, duration
