"""The stage `answer` by a language model, whichever server runs it: passages, prompt, stream, files.

Nothing is written before the server has said that the answer is complete, so a broken stream leaves nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from avatarctl.engines.chat import retrieval
from avatarctl.engines.chat.follow import Line, follow
from avatarctl.engines.chat.prompt import Message, messages
from avatarctl.engines.chat.spec import ChatParams
from avatarctl.engines.chat.spoken import Spoken
from avatarctl.engines.chat.structured import SCHEMA, Reader, SchemaRefused
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
_PIECES = 32
"""Of a stream for each token that was asked for. Servers send one, or one for each character; a few add empty ones."""
_ENDINGS = '.!?…»"”)]。！？؟।'


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the stream. `finish`: why the model stopped (`stop`, `length`, ...), once it did."""

    text: str = ""
    finish: str = ""


Talk = Callable[[list[Message], Mapping[str, Any] | None, Line], Iterator[Delta]]
"""Sends a conversation, tells the line its socket, and reads the answer to its end. With a JSON schema the answer is to
follow that; raises `SchemaRefused` where the server does not take one."""


class NoAnswer(StepFailed):
    """The model came to an end, and nothing was said."""


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
    language = languages.detect(question)

    def ask(schema: Mapping[str, Any] | None) -> tuple[str | None, str]:
        conversation = messages(question, persona, found.passages, language, params, structured=schema is not None)
        return _listen(job, lambda line: talk(conversation, schema, line), Reader() if schema else None)

    script, finish = _with_emotions(job, ask) if params.emotions and params.structured else ask(None)
    if script is None:
        _refuse(job, model, question, "no_match")
        return
    answer = emotions.untagged(script)
    sources = retrieval.sources(found.passages, answer)
    _write(job, answer, script, _document(model, question, sources, truncated=finish == "length"))


def _with_emotions(
    job: Job, ask: Callable[[Mapping[str, Any] | None], tuple[str | None, str]]
) -> tuple[str | None, str]:
    """By the schema; with tags where the server does not take it, or the model makes nothing of it."""
    try:
        return ask(SCHEMA)
    except SchemaRefused:
        job.note("the server takes no schema, so the model is asked for tags")
    except NoAnswer as error:
        job.note(f"by the schema {error.what}; asked again with tags")
    return ask(None)


def _listen(job: Job, read: Callable[[Line], Iterator[Delta]], reader: Reader | None) -> tuple[str | None, str]:
    """The answer with its tags, None for a refusal, and why the model stopped. What is said is emitted at once.

    Args:
        reader: of an answer that is to follow the schema.
    """
    params: ChatParams = job.params
    thoughtless = Spoken()
    spoken = Spoken(may_refuse=params.only_documents)

    def said(text: str) -> str:
        return spoken.feed(reader.feed(thoughtless.feed(text)) if reader else text)

    finish = ""
    pieces = 0
    with closing(follow(read, cancelled=job.cancelled, patience=params.timeout)) as stream:
        for delta in stream:
            _emit(job, said(delta.text))
            # The first reason is the model's; what ends the stream adds none.
            finish = finish or delta.finish
            pieces += 1
            if pieces > _PIECES * params.max_tokens:
                raise StepFailed(
                    "the model server does not come to an end",
                    why=f"{params.max_tokens} tokens were asked for, and it has sent {pieces} pieces",
                    hint="look at the server, or take another model",
                )
            job.progress(pieces, params.max_tokens, "tokens")
    if not finish and not pieces:
        raise StepFailed(
            "the model server sent no answer",
            why="some are silent like that where the question and its passages do not fit into their context",
            hint="try again; then give it more context, or less to read with --set answer.passages=1",
        )
    if not finish:
        raise StepFailed("the model server broke off in the middle of the answer", hint="try again")
    if reader:
        _emit(job, spoken.feed(reader.feed(thoughtless.close()) + reader.close()))
    _emit(job, spoken.close())
    if spoken.refused:
        return None, finish
    if not speakable(emotions.untagged(spoken.text)):
        raise NoAnswer(
            "the model gave no answer",
            why="it only thought" if spoken.thought or thoughtless.thought else f"it stopped: {finish}",
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
