"""From sentences to a film: the part of the flow that `ask` and `render` share.

    sentence -> speak -> animate -> upscale -+
    sentence -> speak -> animate -> upscale -+-> finish -> film -> check
    portrait -> rig -------^
    voice -> speaker ^         once per person, for a voice that clones; `align` follows one that gives no timings
       +-> upscale -^     once per person, where a restoring upscaler is installed

Each call returns at once; steps run as their inputs come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl.engines import registry
from avatarctl.errors import BadInput
from avatarctl.recipes import dictionaries, restore
from avatarctl.runtime.handles import Handle, OutputOf, Ref
from avatarctl.runtime.runner import Run
from avatarctl.store.model import Artefact, AvatarRecord, Manifest
from avatarctl.text.sentences import Sentence

TITLE_LENGTH = 80
Sound = Mapping[str, Ref]
"""`speech` and `timings`."""


@dataclass(frozen=True)
class Film:
    """A film on its way. `made` has `film` and perhaps `subtitles`; `checked` has `report`, and is None when the
    preset wants no check."""

    made: Handle
    checked: Handle | None


@dataclass(frozen=True)
class _Part:
    """One sentence or recording of a film."""

    sound: Sound
    animated: Handle
    clip: OutputOf


def from_sentences(
    run: Run,
    avatar: AvatarRecord,
    sentences: Iterable[tuple[Sentence, Ref]],
    *,
    title: str,
    language: str = "",
    subtitles: bool | None = None,
    background: Ref | None = None,
) -> Film:
    """Speak and animate each sentence, join the clips, and measure the film."""
    face = _face(run, avatar, background)
    voice = _voice(run, avatar)
    words = dictionaries.of(run, avatar)
    usual = str(run.settings.choice("animate").params.as_dict().get("emotion", "")).partition(",")[0].strip()
    parts: list[_Part] = []
    before = ""
    for sentence, text in sentences:
        label = shorten(sentence.text, 32)
        said = {"text": text, **dictionaries.used(run, words, sentence.text)}
        sound = _spoken(run, voice, sentence, said, label)
        # What comes after is not looked at: while an answer is being written, it is not known.
        parts.append(_part(run, face, sound, label, sentence.emotion, before))
        before = sentence.emotion or usual
    if not parts:
        raise BadInput("there is nothing to say", hint="give a text with words in it")
    return _finish(run, parts, title, language, subtitles)


def from_recording(
    run: Run,
    avatar: AvatarRecord,
    audio: Ref,
    *,
    title: str,
    text: str | None = None,
    emotion: str = "",
    language: str = "",
    subtitles: bool | None = None,
    background: Ref | None = None,
) -> Film:
    """Animate a recording, by what is said in it where that is known. Its timings come from the stage `align`.

    Args:
        emotion: what the face shows, one a sentence with commas between; empty: by the settings.
    """
    face = _face(run, avatar, background)
    heard: dict[str, Ref] = {"audio": audio}
    if text is not None:
        heard |= {"text": run.text(text), **dictionaries.used(run, dictionaries.of(run, avatar), text)}
    aligned = run.step("align", heard, label=title)
    aligned.future.add_done_callback(lambda future: _tell_doubts(run, future))
    sound = _sound(aligned)
    return _finish(run, [_part(run, face, sound, title, emotion)], title, language, subtitles)


def from_silence(run: Run, avatar: AvatarRecord, sound: Sound, *, title: str, background: Ref | None = None) -> Film:
    """A film of somebody who waits, over a sound track without sound; it begins as it ends."""
    face = _face(run, avatar, background)
    return _finish(run, [_part(run, face, sound, title)], title, "", None, silent=True)


def rig(run: Run, avatar: AvatarRecord) -> Handle | None:
    """What the animator computes once per photo; None for an animator that computes nothing ahead."""
    if registry.find("rig", run.settings.engine_name("rig")) is None:
        return None
    wanted = run.settings.choice("rig").params.as_dict()
    # What both have to know (size, aspect, ...) is the film's.
    changes = {k: v for k, v in run.settings.choice("animate").params.as_dict().items() if k in wanted}
    if "face" in wanted:
        changes["face"] = chosen_face(avatar.portrait_report)
    portrait = stored(run, avatar.portrait)
    inputs: dict[str, Ref] = {"portrait": portrait}
    better = restore.restored(run, portrait, avatar.portrait_report, avatar.name)
    if better is not None:
        inputs["detailed"] = better["image"]
    return run.step("rig", inputs, label=avatar.name, **changes)


def chosen_face(report: Mapping[str, Any]) -> str:
    """Centre and width of the face that enrolment took, as "x,y,width" in pixels of the portrait."""
    x0, y0, x1, y1 = report["face"]["box"]
    return f"{(x0 + x1) / 2:.1f},{(y0 + y1) / 2:.1f},{x1 - x0:.1f}"


def stored(run: Run, digest: str) -> Ref:
    """An artefact of the store by its digest."""
    artefact = run.store.artefact(digest)
    if artefact is None:
        raise BadInput("a file of this avatar is gone from the store", hint="enrol the person again")
    return artefact


def shorten(text: str, length: int) -> str:
    """The first words of `text`, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def load_background(run: Run, path: Path) -> Artefact:
    """A user's picture, read as carefully as a photo of a face, as a PNG artefact."""
    from avatarctl.files import readable_file
    from avatarctl.media import image
    from avatarctl.recipes.enroll import MAX_PHOTO_BYTES

    rgb, _ = image.read_photo(readable_file(path, MAX_PHOTO_BYTES, "background"))
    with run.folder() as folder:
        image.write_png(folder / "background.png", rgb)
        return run.take_in(folder / "background.png", "image/png")


def _face(run: Run, avatar: AvatarRecord, background: Ref | None) -> dict[str, Ref]:
    animate = run.settings.choice("animate")
    if background is not None and "background" not in animate.spec.reads:
        raise BadInput(
            f"the animator {animate.spec.name} cannot put another background behind a person",
            hint="leave out --background, or take the animator puppet",
        )
    made = rig(run, avatar)
    face: dict[str, Ref] = {"portrait": stored(run, avatar.portrait)}
    if made is not None:
        face["rig"] = made["rig"]
        if background is not None or animate.params.as_dict().get("background"):
            made.future.add_done_callback(lambda future: _tell_warnings(run, future))
    if background is not None:
        face["background"] = background
    return face


def _facts(made: Future[Manifest]) -> Mapping[str, Any]:
    """Of a step that has ended; none of one that was not performed or failed, which is told elsewhere."""
    return {} if made.cancelled() or made.exception() is not None else made.result().facts


def _tell_doubts(run: Run, made: Future[Manifest]) -> None:
    """What the recording says otherwise than its text, and where the lips therefore follow the sound."""
    facts = _facts(made)
    doubtful, by_sound = facts.get("doubtful", ()), facts.get("by_sound", ())
    told = []
    if doubtful:
        first, count = doubtful[0], len(facts["confidence"])
        told.append(
            f"{len(doubtful)} of {count} sentences are hardly what the recording says, the first at "
            f"{first['start']:.1f} s, {shorten(first['text'], 50)!r}"
        )
    if by_sound:
        total = sum(end - start for start, end in by_sound)
        told.append(
            f"for {total:.1f} s, the first at {by_sound[0][0]:.1f} s, the recording says what the text does not, and "
            "the lips follow the sound alone"
        )
    if told:
        run.note(f"warning: {'; '.join(told)}: correct the text for better lips")


def _tell_warnings(run: Run, made: Future[Manifest]) -> None:
    """What is known against cutting this person out."""
    for warning in _facts(made).get("warnings", ()):
        if warning["code"] == "background":
            run.note(f"warning: {warning['message']}: {warning['advice']}")


def _voice(run: Run, avatar: AvatarRecord) -> dict[str, Ref]:
    speak = run.settings.choice("speak")
    if not avatar.voice:
        if speak.spec.clones_voice:
            raise BadInput(
                f"{avatar.name} was enrolled without a voice, which {speak.spec.name} is to speak with",
                hint="enroll the photo again with a recording of the voice, or add --set speak.engine=espeak",
            )
        return {}
    voice: dict[str, Ref] = {
        "voice": stored(run, avatar.voice),
        "voice_report": run.text(avatar.voice_report_text()),
    }
    if speak.spec.clones_voice and run.settings.prepares("speaker"):
        # Settings that speaker and speech have in common, the model above all, are set for speech.
        wanted = set(run.settings.choice("speaker").params.as_dict())
        common = {name: value for name, value in speak.params.as_dict().items() if name in wanted}
        voice["speaker"] = run.step("speaker", {"voice": voice["voice"]}, label=avatar.name, **common)["speaker"]
    return voice


def _spoken(run: Run, voice: Mapping[str, Ref], sentence: Sentence, said: Mapping[str, Ref], label: str) -> Sound:
    """A sentence's speech and timings. A voice that gives no timings is aligned with its own text.

    `said`: the text, and how words in it are said.
    """
    speech = run.step("speak", {**said, **voice}, label=label, pause=sentence.pause)
    if run.settings.choice("speak").spec.gives_timings:
        return _sound(speech)
    heard = {"audio": speech["speech"], **said}
    sure = {"sure": True} if "sure" in run.settings.choice("align", heard).params.as_dict() else {}
    return _sound(run.step("align", heard, label=label, lead=0.0, pause=0.0, **sure))


def _sound(speech: Handle) -> Sound:
    return {"speech": speech["speech"], "timings": speech["timings"]}


def _part(
    run: Run, face: Mapping[str, Ref], sound: Sound, label: str, emotion: str = "", emotion_before: str = ""
) -> _Part:
    """`emotion`: the text's own, for an animator that can show one; `emotion_before`: of the text before it."""
    taken = run.settings.choice("animate").params.as_dict()
    wanted = {"emotion": emotion, "emotion_before": emotion_before}
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value and name in taken}
    animated = run.step("animate", {**face, **sound}, label=label, **changes)
    clip = animated["clip"]
    if run.settings.choice("upscale").params.scale != 1:  # type: ignore[attr-defined]
        clip = run.step("upscale", {"media": clip}, label=label)["video"]
    return _Part(sound, animated, clip)


def _finish(
    run: Run,
    parts: list[_Part],
    title: str,
    language: str,
    subtitles: bool | None,
    *,
    silent: bool = False,
) -> Film:
    inputs: dict[str, Ref] = {}
    for i, part in enumerate(parts):
        inputs[f"clip.{i:03d}"] = part.clip
        inputs[f"speech.{i:03d}"] = part.sound["speech"]
        inputs[f"timings.{i:03d}"] = part.sound["timings"]
    changes: dict[str, Any] = {
        "fps": run.settings.choice("animate").params.fps,  # type: ignore[attr-defined]
        "title": shorten(title, TITLE_LENGTH),
    }
    if language:
        changes["language"] = language
    if subtitles is not None:
        changes["subtitles"] = subtitles
    if silent:
        changes["silent"] = True
    made = run.step("finish", inputs, label="film", **changes)
    return Film(made, _check(run, made, parts))


def _check(run: Run, made: Handle, parts: list[_Part]) -> Handle | None:
    if not run.settings.choice("check").params.enabled:  # type: ignore[attr-defined]
        return None
    inputs: dict[str, Ref] = {"film": made["film"]}
    for i, part in enumerate(parts):
        inputs[f"curves.{i:03d}"] = part.animated["curves"]
        inputs[f"timings.{i:03d}"] = part.sound["timings"]
        inputs[f"speech.{i:03d}"] = part.sound["speech"]
    return run.step("check", inputs, label="film")
