"""What the language models' engines need and offer. Nothing heavy is imported here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec
from avatarctl.errors import BadConfig
from avatarctl.stages.params import Params, param

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_DURATION = re.compile(r"-?\d+(?:\.\d+)?|-?(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+")


@dataclass(frozen=True, kw_only=True)
class ChatParams(Params):
    """What is asked of every language model."""

    temperature: float = param(0.3, "how much chance there is in the choice of words; 0: none", ge=0, le=2)
    max_tokens: int = param(700, "tokens of an answer at most, thoughts included", ge=1, le=32768)
    max_sentences: int = param(4, "sentences that the model is asked not to exceed", ge=1, le=100)
    passages: int = param(4, "passages of your documents that the model is given at most", ge=0, le=20)
    only_documents: bool = param(False, "answer from your documents alone; what they do not hold is an honest no")
    emotions: bool = param(False, "ask the model for the mood of each sentence, for the face")
    structured: bool = param(True, "ask for moods as JSON by a schema, where the server can; otherwise as [happy] tags")
    timeout: float = param(300.0, "seconds without a sign of the server before giving up", ge=1, le=7200, keyed=False)


@dataclass(frozen=True, kw_only=True)
class OllamaParams(ChatParams):
    """A model of an Ollama server."""

    model: str = param("qwen3:4b-instruct-2507-q4_K_M", "name in Ollama's library, as `ollama pull` takes it")
    host: str = param("", "the server's address; empty: OLLAMA_HOST, or http://127.0.0.1:11434", keyed=False)
    num_ctx: int = param(4096, "tokens of question, passages and answer together", ge=512, le=1048576)
    think: bool = param(False, "let a model think that can; its thoughts are never spoken")
    keep_alive: str = param("5m", "how long the server keeps the model loaded: 30s, 5m, 0, -1 (for ever)", keyed=False)

    def __post_init__(self) -> None:
        if self.host:
            from avatarctl.engines.chat.address import ollama_address

            ollama_address(self.host)
        if not self.model.strip():
            raise BadConfig("answer.model is empty", hint="give a name of Ollama's library, e.g. qwen3:8b")
        if not _DURATION.fullmatch(self.keep_alive):
            raise BadConfig(f"answer.keep_alive = {self.keep_alive!r} is not a duration", hint="e.g. 30s, 5m, 0 or -1")


@dataclass(frozen=True, kw_only=True)
class OpenAiParams(ChatParams):
    """A model of any server with OpenAI's protocol: llama.cpp, vLLM, LM Studio, ..."""

    model: str = param("", "name that the server knows it by; empty: the only one that it has")
    base_url: str = param("http://127.0.0.1:8080/v1", "where the server's /chat/completions lies", keyed=False)
    key_variable: str = param("OPENAI_API_KEY", "environment variable that holds the server's key", keyed=False)

    def __post_init__(self) -> None:
        from avatarctl.engines.chat.address import openai_address

        openai_address(self.base_url)
        if not _VARIABLE.fullmatch(self.key_variable):
            # Somebody may have put the key itself there, so it must not be repeated.
            raise BadConfig(
                "answer.key_variable is not the name of an environment variable",
                why="it takes a name in capital letters, never the key itself",
                hint="export OPENAI_API_KEY=..., and leave the setting out",
            )


SPECS: tuple[EngineSpec, ...] = (
    EngineSpec(
        stage="answer",
        name="ollama",
        summary="a language model of an Ollama server, with passages of your documents",
        cache_version=2,
        factory="avatarctl.engines.chat.ollama_engine:OllamaEngine",
        params=OllamaParams,
        reads=("index", "persona"),
        external="avatarctl.engines.chat.identity:ollama",
        deterministic=False,
        uses_seed=True,
        streams=True,
        lane="server",
        extra="ollama",
        packages=("ollama",),
    ),
    EngineSpec(
        stage="answer",
        name="openai",
        summary="a language model of any server with OpenAI's protocol (llama.cpp, vLLM, LM Studio)",
        cache_version=2,
        factory="avatarctl.engines.chat.openai_engine:OpenAiEngine",
        params=OpenAiParams,
        reads=("index", "persona"),
        external="avatarctl.engines.chat.identity:openai",
        deterministic=False,
        uses_seed=True,
        streams=True,
        lane="server",
    ),
)
