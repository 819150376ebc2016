"""Which sentences answer a question, or that none does.

A sentence is scored by the share of the question's weight that it covers: each stem weighs as much as it is rare
(inverse document frequency, Sparck Jones 1972), and counts fully in the sentence itself, less in its title and
heading, less again in its neighbours. An answer is given only when what is covered is most of the question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from avatarctl.engines.extractive.question import Kind, Question, gives_evidence, is_number
from avatarctl.knowledge.search import Candidate, Reader
from avatarctl.knowledge.words import STOP_WORDS, fold, related, words

CANDIDATES = 24
"""Passages looked at."""

_IN_DERIVATION = 0.85
_IN_HEADING = 0.9
_IN_NEIGHBOUR = 0.7
_IN_PASSAGE = 0.4
_EVIDENCE = 0.15
_CLOSE = 0.1
_SUBJECT = 0.3
_RANK = 0.08
_OWN = 0.4
_BURDEN = 0.1
_SMALLEST_COLLECTION = 50
"""Sentences assumed at least: rarity means nothing among three."""
_LONGEST = 60
"""Words beyond which a sentence is a burden to a listener."""
_LONGEST_SUBJECT = 6
"""Words that may stand before the copula of a definition."""
_ONE_FACT: frozenset[Kind] = frozenset({"when", "where", "count", "duration", "which"})
"""Kinds of question whose answer needs no second sentence."""
_NEEDS_EVIDENCE: frozenset[Kind] = frozenset({"when", "count", "duration"})
"""Kinds of question that no sentence without a number or time answers."""

_ANAPHORA = re.compile(
    r"(?:он|она|оно|они|его|ее|их|ему|ей|им|это|этот|эта|эти|там|тогда|затем|потом|поэтому|также|тот|та|тем|при этом|"
    r"следом|с тех пор|однако|но|и|а|he|she|it|they|his|her|its|their|this|that|these|those|there|then|but|and|also|so)"
    r"\b"
)
_PRONOUN = re.compile(r"\b(?:он|она|они|ему|ей|его|ее|he|she|they|his|her|him)\b")
_APPOSITION = re.compile(r"[,(]|\bили\b|\bor\b")
_ADJECTIVE = re.compile(r"\b[a-zа-яё]+(?:ая|яя|ый|ий|ой|ое|ее|ые|ие|est)\b")
_NAME_INSIDE = re.compile(r"\s[A-ZА-ЯЁ]")
_QUOTED = re.compile(r"«[^»]*»")
_COPULA = re.compile(r"\s[—–-]\s|\s(?:это|является|is|was|are|were)\s")


@dataclass(frozen=True, slots=True)
class Choice:
    """One sentence and where it stands. `score` is the covered share and some
    bonuses, in [0, 1.7]; `coverage` lies in [0, 1]. `leads_back`: it needs the sentence before it."""

    document: str
    heading: str
    passage: int
    position: int
    sentence: str
    score: float
    coverage: float
    leads_back: bool


def choose(reader: Reader, question: Question, *, most: int, min_coverage: float) -> list[Choice]:
    """At most `most` sentences in the order in which to say them; none when the documents do not answer."""
    weights = _weights(reader, question)
    candidates = reader.candidates(list(weights), CANDIDATES)
    if not candidates:
        return []
    top = candidates[0].score or 1.0
    scored = [
        choice
        for candidate in candidates
        for choice in _scored(candidate, question, weights, candidate.score / top if top > 0 else 0.0)
        if choice.coverage >= min_coverage
    ]
    if not scored:
        return []
    scored.sort(key=lambda c: (-c.score, c.passage, c.position))
    best = scored[0]
    passage = next(c for c in candidates if c.passage == best.passage)
    return _told(best, passage, question, most)


def _weights(reader: Reader, question: Question) -> dict[str, float]:
    _, sentences = reader.counts()
    collection = max(sentences, _SMALLEST_COLLECTION)
    return {
        stem: weight * math.log(1.0 + collection / (reader.frequency(stem) + 0.5))
        for stem, weight in question.weights.items()
    }


def _scored(candidate: Candidate, question: Question, weights: Mapping[str, float], rank: float) -> Iterator[Choice]:
    heading = frozenset(candidate.heading_stems)
    everywhere = heading.union(*candidate.stems)
    if not all(_found(stem, everywhere) for stem in _required(question)):
        return
    for position, (sentence, stems) in enumerate(zip(candidate.sentences, candidate.stems, strict=True)):
        fitness = _fitness(candidate, position, question, weights)
        if fitness is None:
            continue
        leads_back = _leads_back(sentence, stems, heading) and _continues(candidate, position)
        coverage, own = _coverage(candidate, position, question, weights, leads_back=leads_back)
        burden = _BURDEN * (leads_back or len(sentence.split()) > _LONGEST)
        bonus = fitness + _RANK * rank + _CLOSE * _closeness(stems, weights) - burden
        yield Choice(
            document=candidate.document,
            heading=candidate.heading,
            passage=candidate.passage,
            position=position,
            sentence=sentence,
            score=(1.0 - _OWN) * coverage + _OWN * own + bonus,
            coverage=coverage,
            leads_back=leads_back,
        )


def _coverage(
    candidate: Candidate, position: int, question: Question, weights: Mapping[str, float], *, leads_back: bool
) -> tuple[float, float]:
    """Shares of the question's weight: with all that surrounds the sentence, and in what would be said alone."""
    heading = frozenset(candidate.heading_stems)
    everywhere = heading.union(*candidate.stems)
    near = frozenset[str]().union(*candidate.stems[max(0, position - 2) : position])
    said = frozenset(candidate.stems[position]).union(*candidate.stems[position - 1 : position] if leads_back else ())
    covered = own = 0.0
    for stem, weight in weights.items():
        in_heading = _IN_HEADING * _found(stem, heading)
        in_said = _found(stem, said)
        # Whose section this is needs not be said again.
        own += weight * (max(in_said, in_heading) if stem in question.names else in_said)
        covered += weight * max(
            in_said, in_heading, _IN_NEIGHBOUR * _found(stem, near), _IN_PASSAGE * _found(stem, everywhere)
        )
    total = sum(weights.values())
    return covered / total, own / total


def _fitness(candidate: Candidate, position: int, question: Question, weights: Mapping[str, float]) -> float | None:
    """What the sentence gains by being the kind of answer that was asked for; None: it can be no answer."""
    sentence, stems = candidate.sentences[position], candidate.stems[position]
    if sentence.endswith("?") or not any(_found(stem, frozenset(stems)) for stem in weights):
        return None
    if not all(_found(name, _context(candidate, position)) for name in question.names):
        return None
    if question.counted and not _counts(sentence, stems, question.counted):
        return None
    evident = gives_evidence(question.kind, sentence)
    if question.kind in _NEEDS_EVIDENCE and not evident:
        return None
    if question.kind != "definition":
        return _EVIDENCE * evident
    subject = _is_subject(candidate, position, weights, question)
    return _SUBJECT * subject if subject >= 0 else None


def _required(question: Question) -> frozenset[str]:
    """Stems without which a passage is about something else: both words of a question of two."""
    special = [stem for stem, weight in question.weights.items() if weight == 1.0]
    return frozenset(special) if len(special) <= 2 else frozenset()


def _found(stem: str, stems: frozenset[str]) -> float:
    if stem in stems:
        return 1.0
    return _IN_DERIVATION if any(related(stem, other) for other in stems) else 0.0


def _closeness(stems: tuple[str, ...], weights: Mapping[str, float]) -> float:
    """1 when the question's words stand side by side in the sentence, towards 0 the farther they are apart."""
    places: dict[str, int] = {stem: place for place, stem in enumerate(stems) if stem in weights}
    if len(places) < 2:
        return 0.0
    return (len(places) - 1) / (max(places.values()) - min(places.values()))


def _is_subject(candidate: Candidate, position: int, weights: Mapping[str, float], question: Question) -> float:
    """1: the sentence defines what was asked; about 0: it is about it; -1: it only mentions it."""
    sentence, stems = candidate.sentences[position], candidate.stems[position]
    places = [place for place, stem in enumerate(stems) if _found(stem, frozenset(weights))]
    copula = _COPULA.search(sentence)
    if copula and places:
        subject = sentence[: copula.start()]
        content = [word for word in words(subject) if word not in STOP_WORDS]
        if len(content) <= _LONGEST_SUBJECT and places[0] < len(content):
            # `The hottest planet is ...` defines no planet.
            return -1.0 if _narrowed(subject, content[places[0]]) else 1.0
    if all(_found(stem, frozenset(candidate.heading_stems)) for stem in weights):
        return 0.5 if position == 0 and candidate.paragraphs[0] == 0 else 0.0
    return 0.0 if (places and places[0] == 0) or question.names.issuperset(weights) else -1.0


def _context(candidate: Candidate, position: int) -> frozenset[str]:
    """Stems of a sentence, of what its paragraph says before it, and of its headings: all it can refer to."""
    paragraph = candidate.paragraphs[position]
    before = [
        stems
        for stems, number in zip(candidate.stems[: position + 1], candidate.paragraphs, strict=False)
        if number == paragraph
    ]
    return frozenset(candidate.heading_stems).union(*before)


def _counts(sentence: str, stems: tuple[str, ...], counted: str) -> bool:
    """Whether a number that is no year stands within two words of what was to be counted."""
    content = [word for word in words(sentence) if word not in STOP_WORDS]
    numbers = [place for place, word in enumerate(content) if is_number(word)]
    return any(
        abs(place - number) <= 2
        for place, stem in enumerate(stems)
        if stem == counted or related(stem, counted)
        for number in numbers
    )


def _narrowed(subject: str, word: str) -> bool:
    """Whether an adjective stands before the word, in the same part of a definition's subject."""
    part = next(part for part in _APPOSITION.split(subject) if word in words(part))
    return bool(_ADJECTIVE.search(part[: fold(part).find(word)]))


def _leads_back(sentence: str, stems: tuple[str, ...], heading: frozenset[str]) -> bool:
    """Whether a sentence needs the one before it: it begins with such a word, or says `he` before any name."""
    folded = fold(sentence)
    if _ANAPHORA.match(folded):
        return True
    pronoun = _PRONOUN.search(folded)
    if not pronoun or (stems and stems[0] in heading):
        return False
    return not _NAME_INSIDE.search(_QUOTED.sub("", sentence[: pronoun.start()]))


def _continues(candidate: Candidate, position: int) -> bool:
    """Whether the sentence before is of the same paragraph."""
    return position > 0 and candidate.paragraphs[position] == candidate.paragraphs[position - 1]


def _told(best: Choice, passage: Candidate, question: Question, most: int) -> list[Choice]:
    """The best sentence, the one that it leads back to, and what goes on from it, as one would read it aloud."""
    first = last = best.position
    if best.leads_back and most > 1:
        first -= 1
    if question.kind not in _ONE_FACT:
        while last - first + 1 < most and last + 1 < len(passage.sentences) and _continues(passage, last + 1):
            last += 1
        if passage.sentences[last].endswith(("?", ":")) and last > best.position:
            last -= 1
    return [
        replace(best, position=position, sentence=passage.sentences[position]) for position in range(first, last + 1)
    ]
