"""espeak-ng's events to timings: sounds without gaps that are not heard, words as they were written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from avatarctl.engines.espeak.library import Spoken
from avatarctl.text import phonemes, sentences
from avatarctl.text.timings import Phoneme, Span
from avatarctl.text.tracked import Tracked

_SHORTEST_PAUSE = 0.06
"""Seconds. espeak-ng marks the joints inside consonant groups as pauses; shorter ones are not heard."""
_CORRECTIONS = str.maketrans("yø", "ɨɨ")
_WITH_CENTRAL_I = frozenset({"ru", "be", "uk"})
"""espeak-ng writes the unrounded ы of these languages as rounded vowels, which would round the lips."""
_TOKEN = re.compile(r"\S+")


def heard(spoken: Spoken, language: str) -> list[Phoneme]:
    """The phonemes in seconds of `spoken`; silence is left out, splinters of it go to the sound before."""
    corrections = _CORRECTIONS if language in _WITH_CENTRAL_I else {}
    times = [sample / spoken.rate for sample, _ in spoken.phonemes]
    ends = [*times[1:], len(spoken.samples) / spoken.rate]
    found: list[Phoneme] = []
    for (_, symbol), start, end in zip(spoken.phonemes, times, ends, strict=True):
        end = max(start, end)
        if symbol.startswith("("):
            # The name of the language that follows takes no time.
            continue
        if phonemes.is_modifier(symbol):
            if found:
                found[-1] = replace(found[-1], end=end, ipa=found[-1].ipa + symbol.strip("ˈˌ"))
        elif sounds := phonemes.segments(symbol.translate(corrections)):
            position = start
            for sound in sounds:
                following = position + (end - start) * sound.share
                found.append(Phoneme(position, following, sound.ipa, sound.stress))
                position = following
            found[-1] = replace(found[-1], end=end)
        elif found and end - start < _SHORTEST_PAUSE:
            found[-1] = replace(found[-1], end=end)
    return [p for p in found if p.end > p.start]


def words(spoken: Spoken, sounds: list[Phoneme], normalised: Tracked, written: str) -> list[Span]:
    """The words of `written`, punctuation included, in seconds of `spoken`.

    What one rewriting made of several words (`5 км/ч`) is shared among them by their length.
    """
    tokens = [m for m in _TOKEN.finditer(written) if sentences.speakable(m.group())]
    if not tokens or not sounds:
        return []
    groups: list[list[float]] = []
    members: list[tuple[int, int]] = []
    borders = [sample / spoken.rate - 1e-3 for sample, _, _ in spoken.words]
    for index, (begin, (_, position, length)) in enumerate(zip(borders, spoken.words, strict=True)):
        end = borders[index + 1] if index + 1 < len(borders) else float("inf")
        own = [p for p in sounds if begin <= p.start < end] if end > begin else []
        first, last = normalised.origin(position, position + max(length, 1))
        hit = [i for i, token in enumerate(tokens) if token.start() < max(last, first + 1) and token.end() > first]
        if not own or not hit:
            continue
        if members and hit[0] <= members[-1][1]:
            groups[-1][1] = own[-1].end
            members[-1] = (members[-1][0], max(members[-1][1], hit[-1]))
        else:
            groups.append([own[0].start, own[-1].end])
            members.append((hit[0], hit[-1]))
    # A token without sounds of its own (`I am`, spoken as one) shares the time of the one before it.
    firsts = [0, *(first for first, _ in members[1:]), len(tokens)] if members else [0]
    found: list[Span] = []
    for (start, end), first, following in zip(groups, firsts, firsts[1:], strict=False):
        found += _share(start, end, [token.group() for token in tokens[first:following]])
    return found


def _share(start: float, end: float, texts: list[str]) -> Iterable[Span]:
    total = sum(len(t) for t in texts)
    position = start
    for text in texts:
        following = position + (end - start) * len(text) / total
        yield Span(position, min(following, end), text)
        position = following


def spans_of_sentences(written: str, said: list[Span], start: float, end: float) -> list[Span]:
    """The sentences of `written`; the words in `said` tell where each begins and ends."""
    parts = [s.text for s in sentences.split(written)]
    if len(parts) < 2:
        return [Span(start, end, " ".join(written.split()))]
    found: list[Span] = []
    used = 0
    for index, part in enumerate(parts):
        count = sum(sentences.speakable(t) for t in part.split())
        own = said[used : used + count] if index < len(parts) - 1 else said[used:]
        used += count
        if own:
            found.append(Span(own[0].start, own[-1].end, part))
    return found
