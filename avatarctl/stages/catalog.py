"""All stages, by name. The flow of a film: transcribe -> answer -> speak -> animate -> upscale -> finish -> check.

Beside them stand the stages that prepare what a film needs once per person or per set of documents:
portrait, voiceprint, rig, speaker, index. `align` finds the timings of speech that came without them, and `export`
writes a film's movements for other programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from avatarctl.errors import BadConfig
from avatarctl.stages import validators
from avatarctl.stages.contract import Input, Output, Stage
from avatarctl.stages.params import Params, nearest, param

JSON = "application/json"
PNG = "image/png"
WAV = "audio/wav"
MP4 = "video/mp4"
TEXT = "text/plain; charset=utf-8"
TSV = "text/tab-separated-values"
SCRIPT = "script"
"""The role of a text with tags of emotions, beside the same text without them."""
DICTIONARY = "dictionary"
"""The role of the entries of a user's dictionary (`text/dictionary.py`) that a text has."""
ASPECTS = ("1:1", "9:16", "16:9")


def picture_size(size: int, aspect: str) -> tuple[int, int]:
    """Width and height in pixels of a picture with this shorter side; the longer one is even."""
    across, down = (int(part) for part in aspect.split(":"))
    longer = 2 * round(size * max(across, down) / min(across, down) / 2)
    return (longer, size) if across > down else (size, longer)


def _limit(help: str, *, ge: float | None = None, le: float | None = None) -> Any:
    """A limit that a finished film must keep: off by default, and never part of a key."""
    return param(None, f"{help}; none: no limit", ge=ge, le=le, keyed=False)


@dataclass(frozen=True, kw_only=True)
class PortraitParams(Params):
    """Enrolment of a photo."""

    face: int = param(0, "which face to take, from the left, starting at 1; 0: the only or largest one", ge=0)


@dataclass(frozen=True, kw_only=True)
class RigParams(Params):
    """What every animator has to know when it prepares a photo."""

    size: int = param(512, "shorter side of the film's picture, pixels", ge=128, le=2048)
    aspect: str = param("1:1", "shape of the film's picture, width to height", choices=ASPECTS)
    detailed: str = param(
        "auto",
        "auto: the portrait is restored first where an upscaler is installed that can; off: it is not",
        choices=("auto", "off"),
        keyed=False,  # What comes of it is an input.
    )


@dataclass(frozen=True, kw_only=True)
class TranscribeParams(Params):
    """Every recogniser can do this much."""

    language: str = param("auto", "language of the recording (ru, en, ...); auto: found from what is heard")


@dataclass(frozen=True, kw_only=True)
class SpeakerParams(Params):
    """What every voice that clones has to know when it listens to a sample: nothing."""


@dataclass(frozen=True, kw_only=True)
class SpeakParams(Params):
    """Every voice can do this much."""

    language: str = param("auto", "language of the text (ru, en, ...); auto: found from the text")
    rate: float = param(1.0, "speed of speech; 1 is the voice's own", ge=0.5, le=2.0)
    pause: float = param(-1.0, "seconds of silence after the sentence; -1: by its punctuation", ge=-1, le=10)
    dictionary: str = param(
        "",
        "path of a file that says how words are said (`Ollama = оллама`), for everybody",
        keyed=False,  # Its entries that a sentence has are an input.
    )


@dataclass(frozen=True, kw_only=True)
class AnimateParams(Params):
    """Every animator can do this much."""

    size: int = param(512, "shorter side of the film's picture, pixels", ge=128, le=2048)
    aspect: str = param("1:1", "shape of the film's picture, width to height", choices=ASPECTS)
    fps: int = param(25, "frames a second", choices=(25, 30, 50))


@dataclass(frozen=True, kw_only=True)
class UpscaleParams(Params):
    """Every upscaler can do this much."""

    scale: int = param(1, "how many times larger; 1 leaves the picture as it is", choices=(1, 2, 4))
    # In the key, unlike the limits of a check: a step that broke it is not to be had from the cache.
    max_flicker: float | None = param(
        None,
        "levels of 255 by which still places of a film may change from picture to picture, more than before; "
        "none: no limit",
        ge=0,
    )


@dataclass(frozen=True, kw_only=True)
class FinishParams(Params):
    """The finished film."""

    fps: int = param(25, "frames a second of every clip", choices=(25, 30, 50))
    title: str = param("", "the film's title, in its metadata")
    language: str = param("", "language of the speech, in its metadata (ru, en, ...)")
    subtitles: bool = param(False, "embed subtitles, and make an .srt")
    silent: bool = param(False, "nothing is to be heard in it: a film of somebody who waits")


@dataclass(frozen=True, kw_only=True)
class ExportParams(Params):
    """A film's movements for other programs; each kind is made only when it is asked for."""

    fps: int = param(25, "frames a second of the film", choices=(25, 30, 50))
    visemes: bool = param(False, "mouth shapes over time, in the formats of Rhubarb Lip Sync")
    blendshapes: bool = param(False, "ARKit's 52 blend shapes and the head's rotation, for each frame")


@dataclass(frozen=True, kw_only=True)
class CheckParams(Params):
    """Which figures a finished film must reach. A limit `min_x` or `max_x` holds for the figure `x` of the report.

    Nothing is measured differently by a limit, so none is in a key. A figure that cannot be known breaks no limit.
    """

    enabled: bool = param(True, "measure every finished film", keyed=False)
    min_sync: float | None = _limit("r of the mouth that is seen with the mouth that the sound calls for", ge=-1, le=1)
    max_lag_ms: float | None = _limit("milliseconds of the sound before or after the picture", ge=0)
    min_as_intended: float | None = _limit("r of the mouth that is seen with the animator's own curve", ge=-1, le=1)
    min_closures: float | None = _limit("share of p, b and m at which the lips meet", ge=0, le=1)
    min_blinks_as_intended: float | None = _limit("r of the eyes with the animator's curve, around blinks", ge=-1, le=1)
    min_blinks_per_minute: float | None = _limit("blinks a minute", ge=0)
    max_blinks_per_minute: float | None = _limit("blinks a minute", ge=0)
    max_silence_motion: float | None = _limit("speed of the lips in pauses over that in speech", ge=0)
    min_face: float | None = _limit("share of the pictures that show a face", ge=0, le=1)
    min_eyes: float | None = _limit("share of the face's pictures that show an open eye", ge=0, le=1)
    min_background_db: float | None = _limit("PSNR of the background with the first picture, mean, dB", ge=0)
    min_background_min_db: float | None = _limit("the same of the worst picture, dB", ge=0)
    max_flicker: float | None = _limit("jumps of the face's light from picture to picture, levels of 255", ge=0)
    max_background_flicker: float | None = _limit("the same of the background", ge=0)
    min_sharpness: float | None = _limit("faintest over clearest detail of the upper face", ge=0, le=1)
    min_lufs: float | None = _limit("loudness, LUFS", ge=-70, le=0)
    max_lufs: float | None = _limit("loudness, LUFS", ge=-70, le=0)
    max_peak_db: float | None = _limit("highest sample, dBFS", ge=-70, le=10)
    max_clipped: float | None = _limit("share of samples at full scale", ge=0, le=1)
    max_length_difference: float | None = _limit("seconds between the ends of sound and picture", ge=0)
    max_uneven_ms: float | None = _limit("milliseconds of a picture off its place", ge=0)


STAGES: dict[str, Stage] = {
    s.name: s
    for s in (
        Stage(
            name="portrait",
            version=1,
            summary="find and judge the face in a photo",
            params=PortraitParams,
            inputs=(Input("photo"),),
            outputs=(
                Output("portrait", PNG, ".png"),
                Output("report", JSON, ".json"),
                Output("preview", PNG, ".png"),
            ),
            validate=validators.portrait,
        ),
        Stage(
            name="voiceprint",
            version=1,
            summary="clean and judge a voice sample",
            inputs=(Input("sample"),),
            outputs=(Output("voice", WAV, ".wav"), Output("report", JSON, ".json")),
            validate=validators.voiceprint,
        ),
        Stage(
            name="rig",
            version=1,
            summary="what an animator computes once per photo",
            params=RigParams,
            inputs=(Input("portrait"), Input("detailed", optional=True)),
            outputs=(
                Output("rig", "application/octet-stream", ".rig"),
                Output("report", JSON, ".json", optional=True),
            ),
            validate=validators.rig,
        ),
        Stage(
            name="index",
            version=1,
            summary="passages of documents, ready to be searched",
            inputs=(Input("document", many=True),),
            outputs=(Output("index", "application/vnd.sqlite3", ".sqlite"),),
            validate=validators.nonempty,
        ),
        Stage(
            name="transcribe",
            version=1,
            summary="speech to text",
            params=TranscribeParams,
            inputs=(Input("audio"),),
            outputs=(Output("text", TEXT, ".txt"), Output("words", JSON, ".json")),
            validate=validators.transcript,
        ),
        Stage(
            name="answer",
            version=1,
            summary="a question to its answer",
            inputs=(Input("question"), Input("index", optional=True), Input("persona", optional=True)),
            outputs=(
                Output("answer", TEXT, ".txt"),
                Output("sources", JSON, ".json"),
                Output(SCRIPT, TEXT, ".txt", optional=True),
            ),
            validate=validators.answer,
        ),
        Stage(
            name="speaker",
            version=1,
            summary="what a cloning voice computes once per sample",
            params=SpeakerParams,
            inputs=(Input("voice"),),
            outputs=(Output("speaker", "application/octet-stream", ".speaker"),),
            validate=validators.nonempty,
        ),
        Stage(
            name="speak",
            version=1,
            summary="a sentence to speech",
            params=SpeakParams,
            inputs=(
                Input("text"),
                Input("voice", optional=True),
                Input("voice_report", optional=True),
                Input("speaker", optional=True),
                Input(DICTIONARY, optional=True),
            ),
            outputs=(
                Output("speech", WAV, ".wav"),
                Output("timings", JSON, ".json", optional=True),
                Output("report", JSON, ".json", optional=True),
            ),
            validate=validators.speech,
        ),
        Stage(
            name="align",
            version=1,
            summary="when each sound of a recording is heard",
            inputs=(Input("audio"), Input("text", optional=True), Input(DICTIONARY, optional=True)),
            outputs=(Output("speech", WAV, ".wav"), Output("timings", JSON, ".json")),
            validate=validators.speech,
        ),
        Stage(
            name="animate",
            version=1,
            summary="a face and speech to a silent clip",
            params=AnimateParams,
            inputs=(
                Input("speech"),
                Input("timings", optional=True),
                Input("rig", optional=True),
                Input("portrait", optional=True),
                Input("background", optional=True),
            ),
            outputs=(
                Output("clip", MP4, ".mp4"),
                Output("curves", "application/octet-stream", ".npz", optional=True),
            ),
            validate=validators.clip,
        ),
        Stage(
            name="upscale",
            version=1,
            summary="a larger picture or film",
            params=UpscaleParams,
            inputs=(Input("media"),),
            outputs=(Output("video", MP4, ".mp4", optional=True), Output("image", PNG, ".png", optional=True)),
            validate=validators.upscaled,
        ),
        Stage(
            name="finish",
            version=1,
            summary="clips and speech to a film",
            params=FinishParams,
            inputs=(
                Input("clip", many=True),
                Input("speech", many=True),
                Input("timings", many=True, optional=True),
            ),
            outputs=(Output("film", MP4, ".mp4"), Output("subtitles", "application/x-subrip", ".srt", optional=True)),
            validate=validators.film,
        ),
        Stage(
            name="check",
            version=1,
            summary="a finished film measured",
            params=CheckParams,
            inputs=(
                Input("film"),
                Input("curves", many=True, optional=True),
                Input("timings", many=True, optional=True),
                Input("speech", many=True, optional=True),
            ),
            outputs=(Output("report", JSON, ".json"),),
            validate=validators.check,
        ),
        Stage(
            name="export",
            version=1,
            summary="a film's movements for other programs",
            params=ExportParams,
            inputs=(
                Input("speech", many=True),
                Input("timings", many=True, optional=True),
                Input("curves", many=True, optional=True),
            ),
            outputs=(
                Output("visemes_tsv", TSV, ".tsv", optional=True),
                Output("visemes_json", JSON, ".json", optional=True),
                Output("blendshapes", JSON, ".json", optional=True),
            ),
            validate=validators.export,
        ),
    )
}


def stage(name: str) -> Stage:
    """Raises `BadConfig` when there is none of that name, with the nearest one."""
    try:
        return STAGES[name]
    except KeyError:
        raise BadConfig(f"there is no stage {name!r}", hint=nearest(name, STAGES)) from None


def stages_from(name: str | None) -> set[str]:
    """The stages that a refresh makes again: from `name` on, in the order of the catalog; all that a film is made of
    for "", none for None."""
    if name is None:
        return set()
    order = list(STAGES)
    if name == "":
        return set(order[order.index("transcribe") :])
    stage(name)
    return set(order[order.index(name) :])
