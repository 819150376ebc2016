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
from avatarctl.text import emotions
from avatarctl.text import language as languages
from avatarctl.text.sentences import clean, split
from avatarctl.text.timings import Timings


@dataclass(frozen=True)
class Answer:
    """Handles of what was asked for; `film` is None when only the text was wanted.

    `question`: in words, also where it was spoken; empty while that is not known, in a dry run.
    """

    question: str
    text: Handle
    film: Film | None


def ask(
    run: Run,
    question: str | Ref,
    *,
    avatar: AvatarRecord | None,
    index: Sequence[str] | None = None,
    subtitles: bool | None = None,
    background: Ref | None = None,
) -> Answer:
    """transcribe -> answer -> (speak -> animate -> upscale) per sentence -> finish -> check.

    Args:
        question: text, or a recording of it.
        avatar: who answers on film; None for the text alone.
        index: digests of the documents to answer from; None for those known now.
        background: a picture to see behind the person; None for what the photo shows.
    """
    if isinstance(question, str):
        asked = question
        heard = run.text(question)
    else:
        words = run.step("transcribe", {"audio": question}, label="question")
        asked = "" if run.dry and words.known() is None else run.read_text(words, "text").strip()
        heard = words["text"]
        remark = run.settings.choice("transcribe").spec.remark
        run.note(" ".join(filter(None, [f"heard: {asked}", remark and f"({remark})"])))
    inputs: dict[str, Ref] = {"question": heard}
    passages = documents.index(run, index)
    if passages is not None:
        inputs["index"] = passages["index"]
    if avatar is not None and avatar.persona:
        inputs["persona"] = run.text(avatar.persona)
    answer = run.step("answer", inputs, label=film.shorten(asked, 32))
    if avatar is None:
        return Answer(asked, answer, None)
    made = film.from_sentences(
        run,
        avatar,
        run.sentences(answer),
        title=asked,
        language=languages.detect(asked) if asked else "",
        subtitles=subtitles,
        background=background,
    )
    return Answer(asked, answer, made)


def render_text(
    run: Run, text: str, avatar: AvatarRecord, *, subtitles: bool | None = None, background: Ref | None = None
) -> Film:
    """(speak -> animate -> upscale) per sentence -> finish -> check."""
    sentences = split(clean(text))
    if not sentences:
        raise BadInput("there is nothing to say", hint="give a text with words in it")
    return film.from_sentences(
        run,
        avatar,
        ((sentence, run.text(sentence.text)) for sentence in sentences),
        title=emotions.untagged(text),
        language=languages.detect(emotions.untagged(text)),
        subtitles=subtitles,
        background=background,
    )


def render_recording(
    run: Run,
    recording: Path | Ref,
    avatar: AvatarRecord,
    title: str,
    *,
    text: str | None = None,
    subtitles: bool | None = None,
    background: Ref | None = None,
) -> Film:
    """align -> animate -> upscale -> finish -> check. `text`: what the recording says, if that is known; its tags of
    emotions are not said."""
    audio = load_recording(run, recording) if isinstance(recording, Path) else recording
    if text is None:
        return film.from_recording(run, avatar, audio, title=title, subtitles=subtitles, background=background)
    written = clean(text)
    said = clean(emotions.untagged(written))
    shown = [sentence.emotion for sentence in split(written)]
    return film.from_recording(
        run,
        avatar,
        audio,
        title=title,
        text=said,
        emotion=",".join(shown) if any(shown) else "",
        language=languages.detect(said),
        subtitles=subtitles,
        background=background,
    )


LONGEST_IDLE, SHORTEST_IDLE = 600.0, 1.0
"""Seconds."""
_SILENCE_RATE = 22050


def check_idle(seconds: float) -> None:
    """Raises `BadInput` where `render_idle` can make no film of so many seconds."""
    if not SHORTEST_IDLE <= seconds <= LONGEST_IDLE:
        raise BadInput(
            f"{seconds:g} s is no length for a film", hint=f"from {SHORTEST_IDLE:g} to {LONGEST_IDLE:g} seconds"
        )


def render_idle(run: Run, seconds: float, avatar: AvatarRecord, *, background: Ref | None = None) -> Film:
    """animate -> upscale -> finish -> check: somebody who says nothing, in a film that may be played in a circle."""
    from avatarctl.media import wav

    with run.folder() as folder:
        silence = folder / "silence.wav"
        wav.write_silence(silence, seconds, _SILENCE_RATE)
        speech = run.take_in(silence, "audio/wav")
    timings = run.text(Timings("und", seconds, "engine").to_json())
    sound: film.Sound = {"speech": speech, "timings": timings}
    return film.from_silence(run, avatar, sound, title=f"idle {seconds:g} s", background=background)


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
