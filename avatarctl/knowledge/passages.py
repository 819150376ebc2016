"""Documents cut into passages of about a hundred words that keep their heading and end with a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass

from avatarctl.knowledge.documents import MARKDOWN, Document
from avatarctl.knowledge.markdown import Section, sections
from avatarctl.knowledge.words import language_of
from avatarctl.text.sentences import split as split_sentences

LEAST_WORDS = 80
MOST_WORDS = 150
LONGEST_SENTENCE = 1000
"""Characters. An answer is made of whole sentences; what is too long for one breath is the speaker's to cut."""

_BLANK = re.compile(r"\n[ \t]*\n")
_SPEAKABLE = re.compile(r"[^\W\d_]{2}")


@dataclass(frozen=True, slots=True)
class Passage:
    """Neighbouring sentences of one section. `heading` is the path below the title, `›` between its levels."""

    heading: str
    sentences: tuple[str, ...]
    paragraphs: tuple[int, ...]
    """For each sentence the number of its paragraph within the section."""
    language: str

    @property
    def text(self) -> str:
        """The sentences, a space between them."""
        return " ".join(self.sentences)


def split(document: Document) -> list[Passage]:
    """Passages of 80 to 150 words where the text allows it; a section's last one may be shorter."""
    if document.media_type == MARKDOWN:
        parts = sections(document.text)
    else:
        parts = [Section((), [" ".join(p.split()) for p in _BLANK.split(document.text) if p.strip()])]
    passages: list[Passage] = []
    for part in parts:
        heading = " › ".join(part.heading)
        for group in _grouped([_sentences(paragraph) for paragraph in part.paragraphs]):
            numbers, texts = zip(*group, strict=True)
            passages.append(Passage(heading, texts, numbers, language_of(" ".join(texts))))
    return passages


def _sentences(paragraph: str) -> list[str]:
    found = (" ".join(sentence.text.split()) for sentence in split_sentences(paragraph, LONGEST_SENTENCE))
    return [sentence for sentence in found if _SPEAKABLE.search(sentence)]


def _grouped(paragraphs: list[list[str]]) -> list[list[tuple[int, str]]]:
    """(paragraph, sentence) by passage: whole paragraphs together while they fit; one too long is cut in between."""
    groups: list[list[tuple[int, str]]] = []
    group: list[tuple[int, str]] = []
    count = 0
    for number, paragraph in enumerate(paragraphs):
        for position, sentence in enumerate(paragraph):
            length = len(sentence.split())
            ends_paragraph = position == 0 and count >= LEAST_WORDS
            if group and (ends_paragraph or count + length > MOST_WORDS):
                groups.append(group)
                group, count = [], 0
            group.append((number, sentence))
            count += length
    return [*groups, group] if group else groups
