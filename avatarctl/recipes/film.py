"""From sentences to a film: the part of the flow that `ask` and `render` share.

    sentence -> speak -> animate -> upscale -+
    sentence -> speak -> animate -> upscale -+-> finish -> film
    portrait -> rig -------^
       +-> upscale -^     once per person, where a restoring upscaler is installed

Each call returns at once; steps run as their inputs come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from avatarctl.engines import registry
from avatarctl.errors import BadInput
from avatarctl.recipes import restore
from avatarctl.runtime.handles import Handle, OutputOf, Ref
from avatarctl.runtime.runner import Run
from avatarctl.store.model import AvatarRecord
from avatarctl.text.sentences import Sentence

TITLE_LENGTH = 80
Sound = Mapping[str, Ref]
"""`speech` and `timings`."""


def from_sentences(
    run: Run,
    avatar: AvatarRecord,
    sentences: Iterable[tuple[Sentence, Ref]],
    *,
    title: str,
    language: str = "",
    subtitles: bool | None = None,
) -> Handle:
    """Speak and animate each sentence, and join the clips. The handle has `film` and perhaps `subtitles`."""
    face = _face(run, avatar)
    voice = _voice(run, avatar)
    parts: list[tuple[Sound, OutputOf]] = []
    for sentence, text in sentences:
        label = shorten(sentence.text, 32)
        speech = run.step("speak", {"text": text, **voice}, label=label, pause=sentence.pause)
        parts.append((_sound(speech), _clip(run, face, _sound(speech), label, sentence.emotion)))
    if not parts:
        raise BadInput("there is nothing to say", hint="give a text with words in it")
    return _finish(run, parts, title, language, subtitles)


def from_recording(
    run: Run,
    avatar: AvatarRecord,
    audio: Ref,
    *,
    title: str,
    text: Ref | None = None,
    emotion: str = "",
    language: str = "",
    subtitles: bool | None = None,
) -> Handle:
    """Animate a recording, by what is said in it where that is known. Its timings come from the stage `align`.

    Args:
        emotion: what the face shows, one a sentence with commas between; empty: by the settings.
    """
    face = _face(run, avatar)
    heard = {"audio": audio} if text is None else {"audio": audio, "text": text}
    sound = _sound(run.step("align", heard, label=title))
    return _finish(run, [(sound, _clip(run, face, sound, title, emotion))], title, language, subtitles)


def from_silence(run: Run, avatar: AvatarRecord, sound: Sound, *, title: str) -> Handle:
    """A film of somebody who waits, over a sound track without sound; it begins as it ends."""
    clip = _clip(run, _face(run, avatar), sound, title)
    return _finish(run, [(sound, clip)], title, "", None, silent=True)


def rig(run: Run, avatar: AvatarRecord) -> Handle | None:
    """What the animator computes once per photo; None for an animator that computes nothing ahead."""
    if registry.find("rig", run.settings.engine_name("rig")) is None:
        return None
    changes: dict[str, Any] = {"size": run.settings.choice("animate").params.size}  # type: ignore[attr-defined]
    if "face" in run.settings.choice("rig").params.as_dict():
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


def _face(run: Run, avatar: AvatarRecord) -> dict[str, Ref]:
    made = rig(run, avatar)
    face: dict[str, Ref] = {"portrait": stored(run, avatar.portrait)}
    if made is not None:
        face["rig"] = made["rig"]
    return face


def _voice(run: Run, avatar: AvatarRecord) -> dict[str, Ref]:
    if not avatar.voice:
        return {}
    return {"voice": stored(run, avatar.voice), "voice_report": run.text(avatar.voice_report_text())}


def _sound(speech: Handle) -> Sound:
    return {"speech": speech["speech"], "timings": speech["timings"]}


def _clip(run: Run, face: Mapping[str, Ref], sound: Sound, label: str, emotion: str = "") -> OutputOf:
    """`emotion`: the text's own, for an animator that can show one."""
    changes: dict[str, Any] = {}
    if emotion and "emotion" in run.settings.choice("animate").params.as_dict():
        changes["emotion"] = emotion
    clip = run.step("animate", {**face, **sound}, label=label, **changes)["clip"]
    if run.settings.choice("upscale").params.scale == 1:  # type: ignore[attr-defined]
        return clip
    return run.step("upscale", {"media": clip}, label=label)["video"]


def _finish(
    run: Run,
    parts: list[tuple[Sound, OutputOf]],
    title: str,
    language: str,
    subtitles: bool | None,
    *,
    silent: bool = False,
) -> Handle:
    inputs: dict[str, Ref] = {}
    for i, (sound, clip) in enumerate(parts):
        inputs[f"clip.{i:03d}"] = clip
        inputs[f"speech.{i:03d}"] = sound["speech"]
        inputs[f"timings.{i:03d}"] = sound["timings"]
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
    return run.step("finish", inputs, label="film", **changes)
