"""espeak-ng's events to timings: sounds without gaps that are not heard, words as they were written."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from avatarctl.engines.espeak.library import Spoken
from avatarctl.text import phonemes, sentences
from avatarctl.text.timings import Phoneme, Span
from avatarctl.text.tracked import Tracked

_SHORTEST_PAUSE = 0.06
"""Seconds. espeak-ng marks the joints inside consonant groups as pauses; shorter ones are not heard."""
_OPENING, _OPENING_SOFT = frozenset("mnɲŋɴɳlɭɫʎrɾɹɻjwɥb"), frozenset("pbfvkɡ")
_TRANSITION, _LONGEST_TRANSITION = 0.25, 0.025
"""Of these sounds, and of those when palatalised, the last part, and at most so many seconds, is heard as the vowel
behind it: espeak-ng counts the way into the vowel as theirs. Of other sounds it does not."""
_SONORANTS = frozenset("mnɲŋlɭɫrɾɹ")
_VOWEL_LETTERS = frozenset("aeiouyаэоуыиіў")
"""Letters with which a word begins that is spoken with a vowel first; not е, ё, ю, я, which have a glide before it."""
_CORRECTIONS = str.maketrans("yø", "ɨɨ")
_WITH_CENTRAL_I = frozenset({"ru", "be", "uk"})
"""espeak-ng writes the unrounded ы of these languages as rounded vowels, which would round the lips."""
_TOKEN = re.compile(r"\S+")


def corrected(symbol: str, language: str) -> str:
    """espeak-ng's IPA as it is meant."""
    return symbol.translate(_CORRECTIONS) if language.partition("-")[0] in _WITH_CENTRAL_I else symbol


def heard(spoken: Spoken, language: str) -> list[Phoneme]:
    """The phonemes in seconds of `spoken`; silence is left out, splinters of it go to the sound before."""
    times = [sample / spoken.rate for sample, _ in spoken.phonemes]
    ends = [*times, len(spoken.samples) / spoken.rate][1:]
    found: list[Phoneme] = []
    for (_, symbol), start, end in zip(spoken.phonemes, times, ends, strict=True):
        end = max(start, end)
        if symbol.startswith("("):
            # The name of the language that follows takes no time.
            continue
        if phonemes.is_modifier(symbol):
            if found:
                found[-1] = replace(found[-1], end=end, ipa=found[-1].ipa + symbol.strip("ˈˌ"))
        elif sounds := phonemes.segments(corrected(symbol, language)):
            position = start
            for sound in sounds:
                following = position + (end - start) * sound.share
                found.append(Phoneme(position, following, sound.ipa, sound.stress))
                position = following
            found[-1] = replace(found[-1], end=end)
        elif found and end - start < _SHORTEST_PAUSE and found[-1].end >= start:
            found[-1] = replace(found[-1], end=end)
    return _released([p for p in found if p.end > p.start], [sample / spoken.rate for sample, _, _ in spoken.words])


def _released(found: list[Phoneme], words: list[float]) -> list[Phoneme]:
    """The phonemes, with vowels that begin when they are heard; without this some stressed ones had 20 ms left.

    `words`: when each begins, seconds; the first sounds of words stay there.
    """
    fixed = {round(second, 3) for second in words}
    for index, (before, vowel) in enumerate(pairwise(found)):
        if not phonemes.is_vowel(vowel.ipa) or vowel.start != before.end or round(vowel.start, 3) in fixed:
            continue
        if before.ipa[0] in _OPENING or ("ʲ" in before.ipa and before.ipa[0] in _OPENING_SOFT):
            border = vowel.start - min(_TRANSITION * (before.end - before.start), _LONGEST_TRANSITION)
            found[index], found[index + 1] = replace(before, end=border), replace(vowel, start=border)
    return found


def words(spoken: Spoken, sounds: list[Phoneme], normalised: Tracked, written: str) -> list[Span]:
    """The words of `written`, punctuation included, in seconds of `spoken`.

    What one rewriting made of several words (`5 км/ч`) is shared among them by their length.
    """
    tokens = [m for m in _TOKEN.finditer(written) if sentences.speakable(m.group())]
    if not tokens or not sounds:
        return []
    groups: list[list[float]] = []
    members: list[tuple[int, int]] = []
    begins, ends = [t.start() for t in tokens], [t.end() for t in tokens]
    starts = [p.start + 1e-3 for p in sounds]
    borders = [
        _first_own(sounds, bisect_left(starts, sample / spoken.rate), normalised.text[position : position + 1])
        for sample, position, _ in spoken.words
    ] + [len(sounds)]
    for own, following, (_, position, length) in zip(borders, borders[1:], spoken.words, strict=False):
        origin, behind = normalised.origin(position, position + max(length, 1))
        first, last = bisect_right(ends, origin), bisect_left(begins, max(behind, origin + 1)) - 1
        if own >= following or first > last:
            continue
        if members and first <= members[-1][1]:
            groups[-1][1] = sounds[following - 1].end
            members[-1] = (members[-1][0], max(members[-1][1], last))
        else:
            groups.append([sounds[own].start, sounds[following - 1].end])
            members.append((first, last))
    # A token without sounds of its own (`I am`, spoken as one) shares the time of the one before it.
    firsts = [0, *(first for first, _ in members[1:]), len(tokens)] if members else [0]
    found: list[Span] = []
    for (start, end), first, following in zip(groups, firsts, firsts[1:], strict=False):
        found += _share(start, end, [token.group() for token in tokens[first:following]])
    return found


def _first_own(sounds: list[Phoneme], index: int, letter: str) -> int:
    """The number of a word's first sound. Where a word ends in a sonorant and the next begins with a vowel
    (`он ушёл`), espeak-ng says that the next one begins with the sonorant."""
    plain = unicodedata.normalize("NFD", letter.lower())[:1]
    if plain in _VOWEL_LETTERS and index + 1 < len(sounds) and index > 0:
        before, own, following = sounds[index - 1 : index + 2]
        touching = own.start - before.end < _SHORTEST_PAUSE
        if touching and own.ipa[0] in _SONORANTS and phonemes.is_vowel(following.ipa):
            return index + 1
    return index


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
