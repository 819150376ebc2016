"""Stage `align` without text: a recording to sounds that move the mouth believably, in windows of flat memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align import recording, segments
from avatarctl.engines.align.features import HOP, Features, margin, measure
from avatarctl.engines.align.spec import SoundParams
from avatarctl.engines.contract import Job
from avatarctl.errors import BadInput
from avatarctl.media import wav
from avatarctl.text.timings import Timings

_WINDOW = recording.WINDOW


class SoundEngine:
    """Needs no models and keeps nothing."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Nothing to read."""

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, job: Job) -> None:
        """Write `speech.wav`, the recording with silence ensured at both ends, and `timings.json`.

        Raises:
            BadInput: not a mono WAV of 16 bits, or nothing to be heard in it.
        """
        params: SoundParams = job.params
        source = job.inputs["audio"]
        rate, frames = recording.checked(source)
        sounds = segments.find(_features(source, rate, frames, job))
        if not sounds:
            raise BadInput("nothing can be heard in the recording", hint="check its level, or take another one")
        total = frames / rate
        lead, tail = recording.silence_needed(sounds[0].start, sounds[-1].end, rate, frames, params.lead, params.pause)
        recording.copy(source, job.out / "speech.wav", lead, tail, job)
        moved, duration = lead / rate, (lead + frames + tail) / rate
        timings = Timings(
            language="und",
            duration=duration,
            source="sound",
            phonemes=tuple(
                replace(s, start=s.start + moved, end=min(s.end + moved, duration)) for s in sounds if s.start < total
            ),
        )
        (job.out / "timings.json").write_text(timings.to_json(), encoding="utf-8")
        job.progress(total, total, "s")


def _features(path: Path, rate: int, frames: int, job: Job) -> Features:
    """Features of the whole recording; only they, a few numbers for each hop, stay in memory."""
    edge = margin(rate)
    per_window = round(_WINDOW / HOP)
    count = -(-frames * 100 // rate)
    parts: list[Features] = []
    with wav.reader(path) as file:
        buffer = np.zeros(edge, np.float32)
        begins, done = -edge, 0
        for data in recording.blocks(file, round(_WINDOW * rate), job):
            buffer = np.concatenate([buffer, np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)])
            ready = min(per_window, int((begins + len(buffer) - edge) / (HOP * rate) - 0.5) - done)
            if ready > 0:
                parts.append(_measured(buffer, begins, done, ready, rate))
                done += ready
                keep = int(done * HOP * rate) - edge - begins
                buffer, begins = buffer[keep:], begins + keep
            job.progress(done * HOP, frames / rate, "s")
        rest = count - done
        if rest > 0:
            buffer = np.concatenate([buffer, np.zeros(2 * edge + round(2 * HOP * rate), np.float32)])
            parts.append(_measured(buffer, begins, done, rest, rate))
    return Features.joined(parts)


def _measured(buffer: NDArray[np.float32], begins: int, done: int, count: int, rate: int) -> Features:
    """`count` frames from number `done`; `buffer` begins at sample `begins` of the recording."""
    offset = round(done * HOP * rate) - margin(rate) - begins
    return measure(buffer[offset:], rate, count)
