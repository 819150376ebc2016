"""The engine `transcribe/deepgram`: POST /v1/listen with the recording, answered with utterances and words.

Source: Deepgram's OpenAPI document (github.com/deepgram/deepgram-api-specs) and its page on errors.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from avatarctl.engines.cloud.service import CloudEngine, Reply, Request, Service, ask, nonsense, patiently
from avatarctl.engines.cloud.spec import DEEPGRAM, DeepgramParams
from avatarctl.engines.contract import Job
from avatarctl.media import wav
from avatarctl.text.transcript import Segment, Transcript, Word

SERVICE = Service(DEEPGRAM, "Authorization", "Token ")


class DeepgramEngine(CloudEngine):
    """A step is one request, or a few."""

    def run(self, job: Job) -> None:
        """Write text.txt and words.json.

        Raises:
            BadInput: nothing was said.
            Unavailable: no key, a wrong one, no money, or nobody answers.
            StepFailed: it refused, broke off or answered nonsense.
        """
        params: DeepgramParams = job.params
        recording = job.inputs["audio"]
        duration = wav.info(recording).duration
        job.note(f"{duration:.1f} s of sound go to {DEEPGRAM.title}")
        job.progress(0, duration, "seconds")
        reply = patiently(job, lambda: _listen(job, params, recording))
        document = reply.document(DEEPGRAM.title)
        try:
            transcript = _transcript(document, params, duration)
            counted = float(document["metadata"]["duration"])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise nonsense(DEEPGRAM.title, f"{type(error).__name__}: {error}") from error
        job.used("seconds of sound", counted)
        job.progress(duration, duration, "seconds")
        transcript.write(job.out)


def _listen(job: Job, params: DeepgramParams, recording: Path) -> Reply:
    headers = {"Content-Type": "audio/wav", "Content-Length": str(recording.stat().st_size)}
    with recording.open("rb") as body:
        request = Request("POST", f"/v1/listen?{_query(params)}", body, headers)
        return ask(SERVICE, job, request, patience=params.timeout, setting="transcribe.timeout")


def _query(params: DeepgramParams) -> str:
    fields = [("model", params.model), ("smart_format", "true"), ("utterances", "true")]
    fields.append(("detect_language", "true") if params.language == "auto" else ("language", params.language))
    fields += [("keyterm", term.strip()) for term in params.keyterms.split(",") if term.strip()]
    if params.mip_opt_out:
        fields.append(("mip_opt_out", "true"))
    return urllib.parse.urlencode(fields)


def _transcript(document: Mapping[str, Any], params: DeepgramParams, duration: float) -> Transcript:
    results = document["results"]
    channel = results["channels"][0]
    known = params.language != "auto"
    language = params.language if known else str(channel.get("detected_language") or "und")
    sure = 1.0 if known else float(channel.get("language_confidence") or 0.0)
    # A recording in which nobody speaks has no utterances.
    return Transcript(language, sure, duration, list(_segments(results.get("utterances") or (), duration)))


def _segments(utterances: Any, duration: float) -> Iterator[Segment]:
    for one in utterances:
        words = tuple(
            Word(str(word.get("punctuated_word") or word["word"]), *_span(word, duration), float(word["confidence"]))
            for word in one["words"]
        )
        text = str(one["transcript"]).strip()
        if text:
            yield Segment(f" {text}", *_span(one, duration), float(one["confidence"]), words)


def _span(part: Mapping[str, Any], duration: float) -> tuple[float, float]:
    """Seconds within the recording."""
    start = min(max(float(part["start"]), 0.0), duration)
    return start, min(max(float(part["end"]), start), duration)
