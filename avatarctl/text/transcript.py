"""What was heard in a recording: text, and when each word was said. The JSON of the role `words`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl.errors import BadInput

SCHEMA = "transcript/1"
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Word:
    """`start` and `end` in seconds of the recording; `probability` as the recogniser sees it, 0..1."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech without a long pause, about a sentence; units as in `Word`."""

    text: str
    start: float
    end: float
    probability: float
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """`language`: a code such as `en`; its probability is 1 where it was given. `duration` in seconds."""

    language: str
    language_probability: float
    duration: float
    segments: Sequence[Segment]

    @property
    def text(self) -> str:
        """All of it on one line. A segment's text brings its own space, since some scripts have none."""
        return " ".join("".join(segment.text for segment in self.segments).split())

    def to_json(self) -> str:
        """The same transcript, the same bytes. Times never leave the recording, and never run backwards."""
        document = {
            "schema": SCHEMA,
            "language": self.language,
            "language_probability": round(self.language_probability, _DIGITS),
            "duration": round(self.duration, _DIGITS),
            "segments": [
                {**self._span(segment), "words": [self._span(word) for word in segment.words]}
                for segment in self.segments
            ],
        }
        return json.dumps(document, ensure_ascii=False, indent=1) + "\n"

    def write(self, folder: Path) -> None:
        """Leave text.txt and words.json, what the stage `transcribe` promises.

        Raises:
            BadInput: nothing was said.
        """
        if not self.text:
            raise BadInput(
                "nothing was said",
                why=f"no speech was found in {self.duration:.1f} s of sound",
                hint="check the microphone and record it again",
            )
        (folder / "text.txt").write_text(self.text + "\n", encoding="utf-8")
        (folder / "words.json").write_text(self.to_json(), encoding="utf-8")

    def _span(self, part: Word | Segment) -> dict[str, Any]:
        start = min(max(part.start, 0.0), self.duration)
        return {
            "start": round(start, _DIGITS),
            "end": round(min(max(part.end, start), self.duration), _DIGITS),
            "text": part.text.strip(),
            "probability": round(min(max(part.probability, 0.0), 1.0), _DIGITS),
        }
