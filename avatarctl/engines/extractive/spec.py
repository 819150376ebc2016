"""What the index and the extractive answer need and offer."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.engines.contract import EngineSpec
from avatarctl.stages.params import Params, param


@dataclass(frozen=True, kw_only=True)
class ExtractiveParams(Params):
    """How much is said, and how sure one has to be."""

    max_sentences: int = param(2, "sentences of an answer at most", ge=1, le=6)
    min_coverage: float = param(
        0.55,
        "share of the question's weight that a passage must cover; below it the answer is an honest no",
        ge=0,
        le=1,
    )


SPECS: tuple[EngineSpec, ...] = (
    EngineSpec(
        stage="index",
        name="fts5",
        summary="passages and sentences of documents in SQLite FTS5, by Snowball stems",
        cache_version=1,
        factory="avatarctl.engines.extractive.engine:Fts5Index",
        languages=("ru", "en"),
        lane="light",
    ),
    EngineSpec(
        stage="answer",
        name="extractive",
        summary="the best sentences of your documents, with their source; no model",
        cache_version=1,
        factory="avatarctl.engines.extractive.engine:Extractive",
        params=ExtractiveParams,
        reads=("index",),
        languages=("ru", "en"),
        lane="light",
    ),
)
