"""The recipes behind `ask` and `render`: a question, a text or a recording becomes an answer and a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl.errors import BadInput
from avatarctl.recipes import documents, film
from avatarctl.recipes.film import Film
from avatarctl.runtime.handles import Handle, Ref
from avatarctl.runtime.runner import Run
from avatarctl.store.model import Artefact, AvatarRecord
from avatarctl.text import language as languages
from avatarctl.text.sentences import clean, split


@dataclass(frozen=True)
class Answer:
    """Handles of what was asked for; `film` is None when only the text was wanted."""

    text: Handle
    film: Film | None


def ask(
    run: Run,
    question: str | Ref,
    *,
    avatar: AvatarRecord | None,
    index: Sequence[str] | None = None,
    subtitles: bool | None = None,
) -> Answer:
    """transcribe -> answer -> (speak -> animate -> upscale) per sentence -> finish -> check.

    Args:
        question: text, or a recording of it.
        avatar: who answers on film; None for the text alone.
        index: digests of the documents to answer from; None for those known now.
    """
    if isinstance(question, str):
        asked = question
        heard = run.text(question)
    else:
        words = run.step("transcribe", {"audio": question}, label="question")
        asked = "" if run.dry else run.read_text(words, "text")
        heard = words["text"]
    inputs: dict[str, Ref] = {"question": heard}
    passages = documents.index(run, index)
    if passages is not None:
        inputs["index"] = passages["index"]
    if avatar is not None and avatar.persona:
        inputs["persona"] = run.text(avatar.persona)
    answer = run.step("answer", inputs, label=film.shorten(asked, 32))
    if avatar is None:
        return Answer(answer, None)
    made = film.from_sentences(
        run,
        avatar,
        run.sentences(answer),
        title=asked,
        language=languages.detect(asked) if asked else "",
        subtitles=subtitles,
    )
    return Answer(answer, made)


def render_text(run: Run, text: str, avatar: AvatarRecord, *, subtitles: bool | None = None) -> Film:
    """(speak -> animate -> upscale) per sentence -> finish -> check."""
    sentences = split(clean(text))
    if not sentences:
        raise BadInput("there is nothing to say", hint="give a text with words in it")
    return film.from_sentences(
        run,
        avatar,
        ((sentence, run.text(sentence.text)) for sentence in sentences),
        title=text,
        language=languages.detect(text),
        subtitles=subtitles,
    )


def render_recording(
    run: Run,
    recording: Path | Ref,
    avatar: AvatarRecord,
    title: str,
    *,
    text: str | None = None,
    subtitles: bool | None = None,
) -> Film:
    """align -> animate -> upscale -> finish -> check. `text`: what the recording says, if that is known."""
    audio = load_recording(run, recording) if isinstance(recording, Path) else recording
    if text is None:
        return film.from_recording(run, avatar, audio, title=title, subtitles=subtitles)
    said = clean(text)
    return film.from_recording(
        run,
        avatar,
        audio,
        title=title,
        text=run.text(said),
        language=languages.detect(said),
        subtitles=subtitles,
    )


MAX_RECORDING_SECONDS = 3600.0


def load_recording(run: Run, path: Path) -> Artefact:
    """A sound file of any common format as a mono WAV artefact at its own sample rate."""
    from avatarctl.media import audio

    with run.folder() as folder:
        wav = folder / "recording.wav"
        audio.decode_to_wav(path, wav, MAX_RECORDING_SECONDS)
        return run.take_in(wav, "audio/wav")


def request_of(**fields: Any) -> dict[str, Any]:
    """What the ledger keeps of a request, without empty fields, so that `replay` can ask again."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], False)}
