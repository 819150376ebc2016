"""Where lips close by sound alone: on voices that the network was not trained on, in parts of any size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.align import closures
from tests.bench import alignment
from tests.bench import closures as bench
from tests.bench import closures_training as training

CASES = (
    alignment.Case("ru", "f1", rate=1.1),
    alignment.Case("ru", "m7", pitch=40, resample=1.08),
    alignment.Case("en", "m3", rate=0.9, pitch=70),
    alignment.Case("en", "klatt2"),
)


def found_in(case: alignment.Case) -> NDArray[np.int64]:
    samples, rate, truth = alignment.speak(case, alignment.TEXTS[case.language])
    return bench.score(bench.closures(samples.astype(np.float32), rate), truth)


def test_lips_close_on_p_b_and_m_of_voices_it_never_heard() -> None:
    found, wanted, right, all_found = sum(found_in(case) for case in CASES)
    assert found / wanted >= 0.9
    assert right / all_found >= 0.6


def test_noise_hides_some_of_them() -> None:
    found, wanted, right, all_found = sum(
        found_in(alignment.Case(language, "m4", noise=25.0)) for language in ("ru", "en")
    )
    assert found / wanted >= 0.5
    assert right / all_found >= 0.5


@pytest.mark.parametrize("language", ["ru", "en"])
def test_tongues_close_no_lips(language: str) -> None:
    text = {
        "ru": "Дети тащат доски, и котята дали. Тоня, где нитки?",
        "en": "Ted needs ten dishes. Can Nina drink tea?",
    }
    samples, rate, truth = alignment.speak(alignment.Case(language, "f1"), text[language])
    found = bench.closures(samples.astype(np.float32), rate)
    assert len(found) <= 0.15 * len(truth)


def test_parts_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, rate, _ = alignment.speak(CASES[0], alignment.TEXTS["ru"])
    bands = training.bands_of(samples, rate)
    whole = closures.probabilities(bands)
    monkeypatch.setattr(closures, "_BLOCK", 77)
    assert np.abs(closures.probabilities(bands) - whole).max() < 1e-5
    assert whole.min() >= 0 and whole.max() <= 1


@pytest.mark.parametrize("frames", [0, 1, 5, 300])
def test_nothing_is_found_where_nothing_is(frames: int) -> None:
    silence = np.zeros((frames, training.BANDS), np.float32)
    assert np.isfinite(closures.probabilities(silence)).all()
    hum = np.full((frames, training.BANDS), 1e-3, np.float32)
    assert closures.spans(hum) == []


def test_training_learns_and_repeats() -> None:
    speech = training.recordings(6)

    def loss(weights: closures.Weights) -> float:
        made = 0.0
        for bands, kinds in speech:
            level = np.pad(closures.Level(bands)(bands), ((closures.REACH, closures.REACH), (0, 0)), "edge")
            frames = np.flatnonzero(kinds >= 0)
            outputs = closures.forward(weights, closures.contexts(level, frames + closures.REACH))[-1]
            shares = closures.softmax(outputs)[np.arange(len(frames)), kinds[frames]]
            made -= float(np.log(shares + 1e-9).mean()) / len(speech)
        return made

    once = training.train(speech, passes=1)
    more = training.train(speech, passes=4)
    assert loss(more) < min(loss(once), np.log(training.SOUNDS))
    for (a, b), (c, d) in zip(once, training.train(speech, passes=1), strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)
