"""Cleans a voice sample and says how good it is.

voice.wav: mono, 16 bit, the source's own rate (8 to 48 kHz), silence at both ends trimmed, active speech at
-20 dBFS. report.json, schema `voiceprint/1`: `original_duration` and `duration` (s), `sample_rate` (Hz),
`level` (dBFS of active speech as recorded), `peak` and `clipped` (share of samples), `snr` (dB, speech against
the quietest tenth), `f0`, `f0_low`, `f0_high` (Hz: median, 10th and 90th percentile; null when unvoiced),
`voiced` (share of active frames), `warnings`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput
from avatarctl.media import audio, pitch, wav

SCHEMA = "voiceprint/1"
MAX_SECONDS = 600.0
MIN_SECONDS = 1.0
GOOD_SECONDS = 6.0
TARGET_LEVEL = -20.0
HIGHEST_PEAK = 10 ** (-1 / 20)

_FRAME_SECONDS = 0.02
_KEPT_SILENCE_SECONDS = 0.1
_ACTIVE_DB = 30.0
"""Frames within this much of the loudest ones are speech."""
_LOUD_SECONDS = 0.2
_LARGEST_SNR = 80.0


class VoiceprintEngine:
    """The engine of the stage `voiceprint`."""

    def load(self, models: Mapping[str, Path]) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to close."""

    def run(self, job: Job) -> None:
        """Raises `BadInput` for what is no sound, silent, too short or too long."""

        def check() -> None:
            if job.cancelled():
                raise Cancelled

        sample, rate = audio.decode(job.inputs["sample"], None, MAX_SECONDS, "voice", check=check)
        levels = _levels(sample, rate)
        active = levels > _loudest(levels) - _ACTIVE_DB
        voice = _trimmed(sample, rate, active)
        if len(voice) / rate < MIN_SECONDS:
            raise BadInput(
                "the voice is too short",
                why=f"{len(voice) / rate:.1f} s without the silence around it",
                hint=f"record at least {GOOD_SECONDS:.0f} s of speech",
            )
        report = _report(sample, voice, rate, levels, active)
        gain = 10 ** ((TARGET_LEVEL - report["level"]) / 20)
        gain = min(gain, HIGHEST_PEAK / max(float(np.abs(voice).max()), 1e-9))
        wav.write(job.out / "voice.wav", (voice * np.float32(gain)).astype(np.float32), rate)
        text = json.dumps(report, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        (job.out / "report.json").write_text(text, encoding="utf-8")


def _levels(sample: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """RMS of each 20 ms frame, dBFS; the last, shorter one is left out unless it is the only one."""
    size = int(_FRAME_SECONDS * rate)
    count = max(len(sample) // size, 1)
    frames = np.resize(sample, count * size) if len(sample) < size else sample[: count * size]
    power = np.mean(frames.reshape(count, size).astype(np.float64) ** 2, axis=1)
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 1e-12))
    return levels


def _loudest(levels: NDArray[np.float64]) -> float:
    """The level that the voice reaches for 0.2 s in all: a click is shorter, and silence around does not count."""
    rank = min(len(levels), round(_LOUD_SECONDS / _FRAME_SECONDS))
    return float(np.partition(levels, -rank)[-rank])


def _trimmed(sample: NDArray[np.float32], rate: int, active: NDArray[np.bool_]) -> NDArray[np.float32]:
    where = np.flatnonzero(active)
    size, kept = int(_FRAME_SECONDS * rate), int(_KEPT_SILENCE_SECONDS * rate)
    begin = max(0, int(where[0]) * size - kept)
    end = min(len(sample), (int(where[-1]) + 1) * size + kept)
    return sample[begin:end]


def _report(
    sample: NDArray[np.float32],
    voice: NDArray[np.float32],
    rate: int,
    levels: NDArray[np.float64],
    active: NDArray[np.bool_],
) -> dict[str, Any]:
    speech = float(10 * np.log10(np.mean(10 ** (levels[active] / 10))))
    noise = float(np.percentile(levels, 10))
    voiced = _voiced(voice, rate, _loudest(levels) - _ACTIVE_DB)
    low, median, high = (float(np.percentile(voiced, p)) for p in (10, 50, 90)) if voiced.size > 10 else (0, 0, 0)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "original_duration": round(len(sample) / rate, 3),
        "duration": round(len(voice) / rate, 3),
        "sample_rate": rate,
        "level": round(speech, 2),
        "peak": round(float(np.abs(sample).max()), 4),
        "clipped": round(float(np.mean(np.abs(sample) >= 0.999)), 6),
        "snr": round(min(speech - noise, _LARGEST_SNR), 1),
        "f0": round(median, 1) if median else None,
        "f0_low": round(low, 1) if median else None,
        "f0_high": round(high, 1) if median else None,
        "voiced": round(min(1.0, voiced.size * pitch.HOP_SECONDS / max(float(active.sum()) * _FRAME_SECONDS, 0.01)), 3),
    }
    report["warnings"] = _warnings(report)
    return report


def _voiced(voice: NDArray[np.float32], rate: int, threshold: float) -> NDArray[np.float32]:
    """F0 of the voiced frames that are speech: in the pauses a mains hum has a pitch too."""
    f0 = pitch.track(voice, rate)
    middles = np.arange(len(f0)) * pitch.HOP_SECONDS + pitch.WINDOW_SECONDS / 2
    levels = _levels(voice, rate)
    frames = (middles * rate / int(_FRAME_SECONDS * rate)).astype(np.int64)
    speech = levels[np.minimum(frames, len(levels) - 1)] > threshold
    return f0[(f0 > 0) & speech]


def _warnings(report: Mapping[str, Any]) -> list[dict[str, str]]:
    found = []

    def warn(code: str, message: str, advice: str) -> None:
        found.append({"code": code, "message": message, "advice": advice})

    if report["duration"] < GOOD_SECONDS:
        warn("short", f"there are only {report['duration']:.1f} s of speech", "10 s to 2 min are good")
    if report["snr"] < 20:
        warn("noisy", f"the noise is only {report['snr']:.0f} dB below the voice", "record in a quiet room")
    if report["clipped"] > 0.0005:
        warn("clipped", f"{report['clipped']:.1%} of the samples are clipped", "record at a lower level")
    if report["sample_rate"] < 16_000:
        warn("low_rate", f"the sample rate is {report['sample_rate']} Hz", "record at 24 kHz or more")
    if report["f0"] is None or report["voiced"] < 0.2:
        warn("no_voice", "hardly any of it sounds like a voice", "record one person speaking, without music")
    return found
