"""When each phoneme, word and sentence of a recording is heard; the link between voice and mouth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = "timings/1"
DOUBTFUL = 0.5
"""A sentence that is found in a recording with less confidence was hardly said there: in trials those that were had
0.65 and more without noise, few of them 0.3 in much of it, and those that were not 0.4 at most, few of them 0.7."""


@dataclass(frozen=True, slots=True)
class Phoneme:
    """`ipa` holds one segment with its modifiers (`tʲ`, `aː`) and no stress mark.

    Times are seconds from the start of the recording. `stress`: 0 none, 1 secondary, 2 primary.
    Silence is not a phoneme: it is the gap between two.
    """

    start: float
    end: float
    ipa: str
    stress: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """A word or a sentence as written, in seconds from the start of the recording."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Timings:
    """All that is known of when things are said. `source`: `engine` (exact), `aligned`, `sound` (a guess
    from loudness and spectrum alone; then `ipa` holds only vowels, `s`, `n` and `m` by their look) or `rhubarb`
    (mouth shapes of Rhubarb Lip Sync; then `ipa` is for each shape a sound that looks like it, whatever was
    said: A m, B s, C ɛ, D a, E ɔ, F u, G f, H l; X is a gap)."""

    language: str
    duration: float
    source: str
    phonemes: tuple[Phoneme, ...] = ()
    words: tuple[Span, ...] = ()
    sentences: tuple[Span, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def guessed(self) -> bool:
        """Whether the sounds are made out from the recording, and not known from its words."""
        return self.source in ("sound", "rhubarb")

    def is_guessed(self, phoneme: Phoneme) -> bool:
        """Whether this sound is made out from the recording: all are, or it says something else than its text there."""
        middle = (phoneme.start + phoneme.end) / 2
        return self.guessed or any(start <= middle < end for start, end in self.extra.get("by_sound", ()))

    @property
    def doubtful(self) -> tuple[Span, ...]:
        """Sentences that are hardly what is said at their place, where the confidence in each is known."""
        known = self.extra.get("confidence", ())
        return tuple(span for span, sure in zip(self.sentences, known, strict=False) if sure < DOUBTFUL)

    def to_json(self) -> str:
        """Compact JSON with a schema tag; times rounded to 0.1 ms so that equal timings are equal bytes."""

        def seq(items: tuple[Any, ...]) -> list[dict[str, Any]]:
            return [{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(i).items()} for i in items]

        document = {
            "schema": SCHEMA,
            "language": self.language,
            "duration": round(self.duration, 6),
            "source": self.source,
            "phonemes": seq(self.phonemes),
            "words": seq(self.words),
            "sentences": seq(self.sentences),
            "extra": self.extra,
        }
        return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Timings:
        """Raises `ValueError` on another schema or missing fields."""
        document = json.loads(text)
        if document.get("schema") != SCHEMA:
            raise ValueError(f"not {SCHEMA}: {document.get('schema')!r}")
        try:
            return cls(
                language=document["language"],
                duration=float(document["duration"]),
                source=document["source"],
                phonemes=tuple(Phoneme(**p) for p in document["phonemes"]),
                words=tuple(Span(**w) for w in document["words"]),
                sentences=tuple(Span(**s) for s in document["sentences"]),
                extra=document.get("extra", {}),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"broken timings: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Timings:
        """From a file that `to_json` made."""
        return cls.from_json(path.read_text(encoding="utf-8"))
