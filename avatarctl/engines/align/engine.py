"""Stage `align` without text: a recording to sounds that move the mouth believably, in windows of flat memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from avatarctl.engines.align import heard, recording
from avatarctl.engines.align.spec import SoundParams
from avatarctl.engines.contract import Job
from avatarctl.errors import BadInput
from avatarctl.text.timings import Timings


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
        sounds = heard.sounds(source, rate, frames, job, lambda done: job.progress(done, frames / rate, "s"))
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
