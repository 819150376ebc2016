"""What the engines on other companies' machines need and offer. Nothing heavy is imported here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from avatarctl.engines.chat.spec import ChatParams
from avatarctl.engines.contract import Cloud, EngineSpec
from avatarctl.errors import BadConfig
from avatarctl.stages.catalog import DICTIONARY, AnimateParams, SpeakParams, TranscribeParams
from avatarctl.stages.params import param

DEEPGRAM = Cloud(
    title="Deepgram",
    sends="the recording",
    key_variable="DEEPGRAM_API_KEY",
    url="https://api.deepgram.com",
    url_variable="DEEPGRAM_API_BASE",
)
GEMINI = Cloud(
    title="Google",
    sends="the question, passages of your documents and the persona",
    key_variable="GEMINI_API_KEY",
    url="https://generativelanguage.googleapis.com",
    url_variable="GOOGLE_GEMINI_BASE_URL",
)
HEYGEN_FILM = Cloud(
    title="HeyGen",
    sends="the photo and the speech",
    key_variable="HEYGEN_API_KEY",
    url="https://api.heygen.com",
    url_variable="HEYGEN_API_BASE",
)
HEYGEN_VOICE = replace(HEYGEN_FILM, sends="the text")

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _check_model(model: str, where: str) -> None:
    """It becomes part of an address."""
    if not _MODEL.fullmatch(model):
        raise BadConfig(f"{where} = {model!r} is no name of a model", hint="letters, digits, points and dashes")


@dataclass(frozen=True, kw_only=True)
class DeepgramParams(TranscribeParams):
    """What Deepgram is asked for (its /v1/listen)."""

    model: str = param("nova-3", "name of one of its models")
    keyterms: str = param("", "names and words that are likely to come up, with commas between (nova-3)")
    mip_opt_out: bool = param(
        False, "keep the recording out of its Model Improvement Program, at a higher price", keyed=False
    )
    timeout: float = param(600.0, "seconds without a sign of the service before giving up", ge=1, le=7200, keyed=False)

    def __post_init__(self) -> None:
        _check_model(self.model, "transcribe.model")


@dataclass(frozen=True, kw_only=True)
class GeminiParams(ChatParams):
    """A model of Google's Gemini API."""

    model: str = param("gemini-3.5-flash", "name of one of its models")
    max_tokens: int = param(1500, "tokens of an answer at most, thoughts included", ge=1, le=65536)
    thinking: str = param(
        "low",
        "how much it thinks first, which is paid for and never spoken; default: as the model likes",
        choices=("default", "minimal", "low", "medium", "high"),
    )

    def __post_init__(self) -> None:
        _check_model(self.model, "answer.model")


@dataclass(frozen=True, kw_only=True)
class HeyGenVoiceParams(SpeakParams):
    """A voice of HeyGen's."""

    voice: str = param("", "the voice's id there; one that its speech interface knows (engine starfish)")
    lead: float = param(0.1, "seconds of silence before the sentence", ge=0, le=2)
    timeout: float = param(300.0, "seconds without a sign of the service before giving up", ge=1, le=7200, keyed=False)


@dataclass(frozen=True, kw_only=True)
class HeyGenFilmParams(AnimateParams):
    """How HeyGen moves the photo."""

    expressiveness: str = param("low", "how lively the face is", choices=("low", "medium", "high"))
    motion_prompt: str = param("", "what the body does, in words")
    timeout: float = param(3600.0, "seconds to wait for the film", ge=1, le=86400, keyed=False)
    patience: float = param(300.0, "seconds without a sign of the service before giving up", ge=1, le=7200, keyed=False)


SPECS: tuple[EngineSpec, ...] = (
    EngineSpec(
        stage="transcribe",
        name="deepgram",
        summary="Deepgram's service: many languages, punctuation, timings of words; the recording leaves this machine",
        cache_version=1,
        factory="avatarctl.engines.cloud.deepgram:DeepgramEngine",
        params=DeepgramParams,
        gives_timings=True,
        deterministic=False,
        lane="server",
        cloud=DEEPGRAM,
    ),
    EngineSpec(
        stage="answer",
        name="gemini",
        summary="Google's Gemini API, with passages of your documents, which leave this machine",
        cache_version=1,
        factory="avatarctl.engines.cloud.gemini:GeminiEngine",
        params=GeminiParams,
        reads=("index", "persona"),
        deterministic=False,
        uses_seed=True,
        streams=True,
        lane="server",
        cloud=GEMINI,
    ),
    EngineSpec(
        stage="speak",
        name="heygen",
        summary="a voice of HeyGen's; the text leaves this machine",
        cache_version=1,
        factory="avatarctl.engines.cloud.heygen_voice:HeyGenVoiceEngine",
        params=HeyGenVoiceParams,
        reads=(DICTIONARY,),
        deterministic=False,
        lane="server",
        cloud=HEYGEN_VOICE,
    ),
    EngineSpec(
        stage="animate",
        name="heygen",
        summary="HeyGen's films of a photo; photo and speech leave this machine, and each second is paid for",
        cache_version=4,
        factory="avatarctl.engines.cloud.heygen_film:HeyGenFilmEngine",
        params=HeyGenFilmParams,
        needs=("portrait",),
        deterministic=False,
        lane="server",
        cloud=HEYGEN_FILM,
    ),
)
