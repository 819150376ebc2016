"""Index documents, and answer from them in their own words. Both take milliseconds and no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from avatarctl.engines.contract import Job
from avatarctl.engines.extractive.choose import Choice, choose
from avatarctl.engines.extractive.question import understand
from avatarctl.engines.extractive.spec import ExtractiveParams
from avatarctl.errors import BadInput
from avatarctl.knowledge import index
from avatarctl.knowledge.documents import Document
from avatarctl.knowledge.refusal import NO_DOCUMENTS, NOT_FOUND
from avatarctl.knowledge.schema import require_fts5
from avatarctl.knowledge.search import opened
from avatarctl.knowledge.words import Stemmer, language_of

HINTS = {
    "no_match": "add a document that holds it (avatarctl knowledge add FILE), or let a language model answer",
    "no_documents": "add documents (avatarctl knowledge add FILE), or let a language model answer",
}


class Fts5Index:
    """Stage `index`: documents as JSON (`Document.to_json`) to one SQLite file."""

    def load(self, models: Mapping[str, Path]) -> None:
        require_fts5()

    def run(self, job: Job) -> None:
        """Raises `BadInput` when an input is not a document, `Unavailable` when SQLite lacks FTS5."""
        documents = []
        for role in sorted(job.inputs):
            try:
                documents.append(Document.from_json(job.inputs[role].read_text(encoding="utf-8")))
            except ValueError as error:
                raise BadInput("a document cannot be read", why=str(error), hint="add it again") from error
        index.build(documents, job.out / "index.sqlite")

    def close(self) -> None: ...


class Extractive:
    """Stage `answer`: a question to the sentences that answer it, or to an honest no."""

    def load(self, models: Mapping[str, Path]) -> None:
        self._stemmer = Stemmer()

    def run(self, job: Job) -> None:
        """Raises `BadInput` when the question is empty, `Unavailable` when SQLite lacks FTS5."""
        text = job.inputs["question"].read_text(encoding="utf-8").strip()
        if not text:
            raise BadInput("the question is empty", hint='ask something: avatarctl ask "..."')
        choices, reason = self._choices(text, job.inputs.get("index"), job.params)
        language = language_of(text)
        if choices:
            answer = " ".join(choice.sentence for choice in choices)
        else:
            answer = (NO_DOCUMENTS if reason == "no_documents" else NOT_FOUND)[language]
        job.emit(answer)
        (job.out / "answer.txt").write_text(answer + "\n", encoding="utf-8")
        (job.out / "sources.json").write_text(_sources(choices, reason, language), encoding="utf-8")

    def _choices(self, text: str, path: Path | None, params: ExtractiveParams) -> tuple[list[Choice], str]:
        if path is None:
            return [], "no_documents"
        with opened(path) as reader:
            if not reader.counts()[0]:
                return [], "no_documents"
            question = understand(text, self._stemmer)
            found = choose(reader, question, most=params.max_sentences, min_coverage=params.min_coverage)
        return found, "" if found else "no_match"

    def close(self) -> None: ...


def _sources(choices: list[Choice], reason: str, language: str) -> str:
    document = {
        "schema": "sources/1",
        "found": bool(choices),
        "language": language,
        "reason": reason,
        "hint": HINTS.get(reason, ""),
        "sources": [
            {
                "document": choice.document,
                "heading": choice.heading,
                "sentence": choice.sentence,
                "score": round(choice.score, 4),
                "coverage": round(choice.coverage, 4),
            }
            for choice in choices
        ],
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
