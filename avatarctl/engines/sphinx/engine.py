"""The engine `transcribe/pocketsphinx`: English speech to lower-case words, in flat memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pocketsphinx

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.media import audio, wav
from avatarctl.text.transcript import Segment, Transcript, Word

RATE = 16_000
"""Samples a second that its model was trained on."""
_FRAME = 0.01
"""Seconds of one of the decoder's frames."""
_LONGEST = 30.0
"""Seconds after which an utterance ends in any case: the search keeps all of it."""
_LONGEST_WORD = 1.5
"""Seconds. What is taken for a longer one is a tone or a hum."""
_VARIANT = re.compile(r"\(\d+\)$")


class SphinxEngine:
    """A decoder for each step: it adapts to what it hears, so one that had heard others would hear differently."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Nothing: the model comes with the package, and is read in a third of a second."""

    def close(self) -> None:
        """Nothing outlives a step."""

    def run(self, job: Job) -> None:
        """Write text.txt and words.json.

        Raises:
            BadInput: nothing was said.
        """
        recording = job.inputs["audio"]
        duration = wav.info(recording).duration
        decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")
        heard: list[Segment] = []
        for start, sound in _utterances(recording, job, duration):
            decoder.start_utt()
            # At once: the decoder then takes the utterance's own mean off its spectrum, and hears its first word.
            decoder.process_raw(sound, False, True)
            decoder.end_utt()
            words = tuple(_words(decoder, start))
            if words:
                text = " " + " ".join(word.text for word in words)
                mean = sum(word.probability for word in words) / len(words)
                heard.append(Segment(text, words[0].start, words[-1].end, mean, words))
        Transcript("en", 1.0, duration, heard).write(job.out)


def _utterances(recording: Path, job: Job, duration: float) -> Iterator[tuple[float, bytes]]:
    """Where each utterance begins, in seconds, and its sound."""
    endpointer = pocketsphinx.Endpointer(sample_rate=RATE)
    held = b""
    start = 0.0
    for piece in _speech(recording, endpointer, job, duration):
        start = start if held else endpointer.speech_start
        held += piece
        if not endpointer.in_speech or len(held) >= 2 * RATE * _LONGEST:
            yield start, held
            start, held = start + len(held) / (2 * RATE), b""
    if held:
        yield start, held


def _speech(recording: Path, endpointer: pocketsphinx.Endpointer, job: Job, duration: float) -> Iterator[bytes]:
    """What the endpointer takes for speech, as it passes."""
    done, rest = 0, b""
    for block in audio.pcm_blocks(recording, RATE, 1.0):
        rest += block.tobytes()
        while len(rest) >= endpointer.frame_bytes:
            piece = endpointer.process(rest[: endpointer.frame_bytes])
            rest = rest[endpointer.frame_bytes :]
            if piece is not None:
                yield piece
        done += block.size
        job.progress(min(done / RATE, duration), duration, "seconds")
        if job.cancelled():
            raise Cancelled
    if endpointer.in_speech:
        last = endpointer.end_stream(rest or bytes(2))
        if last is not None:
            yield last


def _words(decoder: pocketsphinx.Decoder, offset: float) -> Iterator[Word]:
    """The words of the utterance; pauses and noises have names in brackets."""
    if decoder.hyp() is None:
        return
    for part in decoder.seg():
        if part.word[0] not in "<[+":
            start, end = offset + part.start_frame * _FRAME, offset + (part.end_frame + 1) * _FRAME
            if end - start > _LONGEST_WORD:
                continue
            yield Word(_VARIANT.sub("", part.word), start, end, part.prob)
