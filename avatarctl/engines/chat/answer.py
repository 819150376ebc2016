"""The stage `answer` by a language model, whichever server runs it: passages, prompt, stream, files.

Nothing is written before the server has said that the answer is complete, so a broken stream leaves nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from avatarctl.engines.chat import retrieval
from avatarctl.engines.chat.follow import Line, follow
from avatarctl.engines.chat.prompt import Message, messages
from avatarctl.engines.chat.spec import ChatParams
from avatarctl.engines.chat.spoken import Spoken
from avatarctl.engines.contract import Job
from avatarctl.errors import BadInput, StepFailed
from avatarctl.knowledge.refusal import NO_DOCUMENTS, NOT_FOUND
from avatarctl.knowledge.words import language_of
from avatarctl.text import emotions
from avatarctl.text import language as languages
from avatarctl.text.sentences import speakable

_HINTS = {
    "no_match": "add a document that holds it (avatarctl knowledge add FILE), or --set answer.only_documents=false",
    "no_documents": "add documents (avatarctl knowledge add FILE), or --set answer.only_documents=false",
}
_ENDINGS = '.!?…»"”)]。！？؟।'


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the stream. `finish`: why the model stopped (`stop`, `length`, ...), once it did."""

    text: str = ""
    finish: str = ""


Talk = Callable[[list[Message], Line], Iterator[Delta]]
"""Sends a conversation, tells the line its socket, and reads the answer to its end."""


def perform(job: Job, model: str, talk: Talk) -> None:
    """Write `answer.txt`, `sources.json`, and `script.txt` where the answer has tags of emotions.

    Raises:
        BadInput: the question is empty.
        StepFailed: the stream broke off, or the model said nothing.
        Cancelled: the run ends; the connection is closed.
    """
    params: ChatParams = job.params
    question = job.inputs["question"].read_text(encoding="utf-8").strip()
    if not question:
        raise BadInput("the question is empty", hint='ask something: avatarctl ask "..."')
    found = retrieval.find(job.inputs.get("index"), question, params.passages)
    if params.only_documents and not found.passages:
        _refuse(job, model, question, "no_documents" if found.empty else "no_match")
        return
    persona = job.inputs["persona"].read_text(encoding="utf-8") if "persona" in job.inputs else ""
    conversation = messages(question, persona, found.passages, languages.detect(question), params)
    script, finish = _listen(job, lambda line: talk(conversation, line))
    if script is None:
        _refuse(job, model, question, "no_match")
        return
    answer = emotions.untagged(script)
    sources = retrieval.sources(found.passages, answer)
    _write(job, answer, script, _document(model, question, sources, truncated=finish == "length"))


def _listen(job: Job, read: Callable[[Line], Iterator[Delta]]) -> tuple[str | None, str]:
    """The answer with its tags, None for a refusal, and why the model stopped. What is said is emitted at once."""
    params: ChatParams = job.params
    spoken = Spoken(may_refuse=params.only_documents)
    finish = ""
    pieces = 0
    with closing(follow(read, cancelled=job.cancelled, patience=params.timeout)) as stream:
        for delta in stream:
            _emit(job, spoken.feed(delta.text))
            finish = delta.finish or finish
            pieces += 1
            job.progress(pieces, params.max_tokens, "tokens")
    if not finish:
        raise StepFailed("the model server broke off in the middle of the answer", hint="try again")
    _emit(job, spoken.close())
    if spoken.refused:
        return None, finish
    if not speakable(emotions.untagged(spoken.text)):
        raise StepFailed(
            "the model gave no answer",
            why="it only thought" if spoken.thought else f"it stopped: {finish}",
            hint="give it more room with --set answer.max_tokens=..., or try --take 1 or another model",
        )
    if finish == "length" and spoken.text[-1] not in _ENDINGS:
        # Cut off in the middle of a sentence: the voice trails off too.
        _emit(job, "…")
        return spoken.text + "…", finish
    return spoken.text, finish


def _emit(job: Job, text: str) -> None:
    if text:
        job.emit(text)


def _refuse(job: Job, model: str, question: str, reason: str) -> None:
    answer = (NO_DOCUMENTS if reason == "no_documents" else NOT_FOUND)[language_of(question)]
    _emit(job, answer)
    _write(job, answer, answer, _document(model, question, [], reason=reason))


def _document(
    model: str, question: str, sources: list[dict[str, Any]], *, reason: str = "", truncated: bool = False
) -> dict[str, Any]:
    return {
        "schema": "sources/1",
        "found": not reason,
        "language": languages.detect(question),
        "reason": reason,
        "hint": _HINTS.get(reason, ""),
        "model": model,
        "truncated": truncated,
        "sources": sources,
    }


def _write(job: Job, answer: str, script: str, sources: dict[str, Any]) -> None:
    (job.out / "answer.txt").write_text(answer + "\n", encoding="utf-8")
    if script != answer:
        (job.out / "script.txt").write_text(script + "\n", encoding="utf-8")
    text = json.dumps(sources, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    (job.out / "sources.json").write_text(text, encoding="utf-8")
