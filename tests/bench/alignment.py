"""How well known text is found in recordings: `python -m tests.bench.alignment` prints a table.

The recordings are other voices of espeak-ng, whose phoneme times are known, made faster, slower, higher, noisier
and interrupted.
"""

from __future__ import annotations

import difflib
import sys
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.align.dtw import WarpingEngine
from avatarctl.engines.align.spec import WarpingParams
from avatarctl.engines.contract import Job
from avatarctl.engines.espeak import library, utterance
from avatarctl.text import sentences
from avatarctl.text.timings import Phoneme, Timings

TEXTS = {
    "ru": "Первым человеком в космосе стал Юрий Гагарин. Его полёт длился сто восемь минут! Корабль поднялся "
    "с космодрома Байконур, облетел Землю и приземлился в поле у Волги. Почему об этом помнят все?",
    "en": "The first person in space was Yuri Gagarin. His flight lasted for one hundred and eight minutes! "
    "The ship rose from the steppe, went once around the Earth, and came down near the river. "
    "Why does everybody remember it?",
}


@dataclass(frozen=True)
class Case:
    """One way of speaking. `resample` above 1 is faster and higher; `pauses` are inserted at that share of words."""

    language: str
    variant: str = ""
    rate: float = 1.0
    pitch: int = 50
    resample: float = 1.0
    noise: float | None = None
    pauses: float = 0.0
    sample_rate: int = 22050

    def __str__(self) -> str:
        parts = [self.language, self.variant or "own voice"]
        parts += [f"rate {self.rate:g}"] if self.rate != 1 else []
        parts += [f"pitch {self.pitch}"] if self.pitch != 50 else []
        parts += [f"resampled {self.resample:g}"] if self.resample != 1 else []
        parts += [f"noise {self.noise:g} dB"] if self.noise is not None else []
        parts += [f"pauses {self.pauses:g}"] if self.pauses else []
        parts += [f"{self.sample_rate} Hz"] if self.sample_rate != 22050 else []
        return ", ".join(parts)


CASES = [
    Case(language, **change)
    for language in TEXTS
    for change in (
        {},
        {"variant": "f1"},
        {"variant": "Annie", "rate": 1.2},
        {"variant": "m3", "rate": 0.75, "pitch": 30},
        {"variant": "m7", "rate": 1.4},
        {"variant": "linda", "pitch": 80, "noise": 20.0},
        {"variant": "m1", "resample": 1.15},
        {"variant": "f4", "resample": 0.85},
        {"variant": "m4", "pauses": 0.3},
        {"variant": "f1", "rate": 0.8, "resample": 1.15, "noise": 20.0, "pauses": 0.2},
        {"variant": "m2", "rate": 1.3, "resample": 0.87, "noise": 20.0, "pauses": 0.2},
        {"variant": "Tweaky"},
        {"variant": "croak", "rate": 1.1},
        {"variant": "klatt2", "rate": 0.9},
        {"variant": "f1", "sample_rate": 8000, "noise": 20.0},
        {"variant": "f1", "rate": 0.9, "noise": 10.0, "pauses": 0.3},
        {"variant": "m7", "noise": 5.0},
    )
]


def speak(case: Case, text: str) -> tuple[NDArray[np.float64], int, list[Phoneme]]:
    """Samples in -1..1, their rate, and the true times."""
    chunks, truth, now = [np.zeros(round(0.35 * 22050))], list[Phoneme](), 0.35
    random = np.random.default_rng(7)
    rate = 22050
    for sentence in sentences.split(text):
        with library.opened() as espeak:
            voice = utterance.voice_name(case.language, case.variant)
            said = utterance.say(
                espeak,
                sentence.text,
                case.language,
                voice,
                rate=utterance.words_a_minute(case.rate),
                pitch=case.pitch,
            )
        assert said is not None
        rate = said.spoken.rate
        samples = said.spoken.samples / 32768
        cuts = [w.start for w in said.words[1:] if random.random() < case.pauses]
        lengths = [float(random.uniform(0.15, 0.9)) for _ in cuts]
        last = 0
        for cut, length in zip(cuts, lengths, strict=True):
            chunks += [samples[last : round(cut * rate)], np.zeros(round(length * rate))]
            last = round(cut * rate)
        chunks.append(samples[last:])
        for p in said.phonemes:
            shift = now + sum(n for c, n in zip(cuts, lengths, strict=True) if c <= p.start + 1e-4)
            truth.append(Phoneme(p.start + shift, p.end + shift, p.ipa, p.stress))
        now += len(samples) / rate + sum(lengths)
        chunks.append(np.zeros(round(sentence.pause * rate)))
        now += sentence.pause
    whole = np.concatenate(chunks)
    whole, truth = _resampled(whole, truth, case.resample)
    if case.sample_rate != rate:
        whole, rate = _at_rate(whole, rate, case.sample_rate), case.sample_rate
    if case.noise is not None:
        power = np.mean(whole[np.abs(whole) > 0.01] ** 2)
        whole = whole + random.normal(scale=np.sqrt(power) * 10 ** (-case.noise / 20), size=len(whole))
    return 0.7 * whole / np.abs(whole).max(), rate, truth


def _resampled(
    samples: NDArray[np.float64], truth: list[Phoneme], factor: float
) -> tuple[NDArray[np.float64], list[Phoneme]]:
    if factor == 1:
        return samples, truth
    places = np.arange(int(len(samples) / factor)) * factor
    made = np.interp(places, np.arange(len(samples)), samples)
    return made, [Phoneme(p.start / factor, p.end / factor, p.ipa, p.stress) for p in truth]


def _at_rate(samples: NDArray[np.float64], rate: int, wanted: int) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(samples)
    count = round(len(samples) * wanted / rate)
    return np.fft.irfft(spectrum[: count // 2 + 1], count) * count / len(samples)


def save(path: Path, samples: NDArray[np.float64], rate: int) -> Path:
    """Mono, 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path


def align(
    wav: Path,
    text: str,
    out: Path,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    lead: float = 0.0,
    pause: float = 0.6,
    sure: bool = False,
) -> Timings:
    """The timings that the engine finds."""
    out.mkdir(exist_ok=True)
    words = out / "text"
    words.write_text(text, encoding="utf-8")
    params = WarpingParams(lead=lead, pause=pause, sure=sure)
    WarpingEngine().run(Job(inputs={"audio": wav, "text": words}, out=out, params=params, cancelled=cancelled))
    return Timings.read(out / "timings.json")


def errors(found: Timings, truth: list[Phoneme]) -> NDArray[np.float64]:
    """Seconds by which each start and end is off; starts and ends of phonemes that both have."""
    matcher = difflib.SequenceMatcher(None, [p.ipa for p in truth], [p.ipa for p in found.phonemes], autojunk=False)
    pairs = [(a + i, b + i) for a, b, n in matcher.get_matching_blocks() for i in range(n)]
    assert len(pairs) >= 0.9 * len(truth)
    off = [(found.phonemes[b].start - truth[a].start, found.phonemes[b].end - truth[a].end) for a, b in pairs]
    return np.abs(np.array(off)).ravel()


def main() -> None:
    """Print the table."""
    everything, confidence = [], 1.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in CASES:
            samples, rate, truth = speak(case, TEXTS[case.language])
            found = align(save(folder / "in.wav", samples, rate), TEXTS[case.language], folder / "out")
            off = errors(found, truth) * 1000
            everything.append(off)
            least = min(found.extra["confidence"])
            confidence = min(confidence, least)
            _row(str(case), off, least)
    _row("all", np.concatenate(everything), confidence)


def _row(name: str, off: NDArray[np.float64], confidence: float) -> None:
    within = np.mean(off <= 80)
    sys.stdout.write(
        f"{name:<52} median {np.median(off):5.1f} ms  95 % {np.percentile(off, 95):6.1f} ms  "
        f"within 80 ms {within:6.1%}  confidence {confidence:.2f}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
