"""What is measured on a film's curves, and how limits judge the figures; no film is needed for it."""

from __future__ import annotations

import numpy as np
import pytest

from avatarctl.engines.check import lids, mouth, steadiness
from avatarctl.errors import BadConfig
from avatarctl.recipes.verdict import faults
from avatarctl.stages.catalog import CheckParams


def test_lag_is_found_between_frames() -> None:
    rng = np.random.default_rng(7)
    fine = np.convolve(rng.normal(size=4200), np.hanning(60), "same")
    expected, seen = fine[100:4100:10], fine[75:4075:10]
    r, late = mouth.best_lag(expected, seen, 25.0)
    assert r is not None and late is not None
    assert late == pytest.approx(0.1, abs=0.004)
    assert r > 0.97


def test_lips_that_stay_apart_are_no_closure() -> None:
    gap = np.full(100, 0.2)
    for frame, least in ((20, 0.01), (41, 0.03), (60, 0.09), (80, 0.01)):
        gap[frame] = least
    gap[81] = np.nan
    moments = np.array([20, 40, 60, 80, 99.6, 300]) / 25
    assert mouth.closed(gap, moments, 25.0, rest=0.01) == (2, 4)
    assert mouth.closed(gap, moments, 25.0, rest=0.2) == (2, 4), "a mouth that rests open has to close all the same"


def test_lips_a_pixel_apart_are_closed_in_a_small_film() -> None:
    """Nobody sees more there. In a larger one they are not."""
    assert mouth.closed_within(90) == mouth.CLOSED
    small = mouth.closed_within(20)
    assert small == pytest.approx(0.05)
    gap = np.full(100, 0.2)
    gap[20], gap[60] = 0.048, 0.09
    moments = np.array([20, 60]) / 25
    assert mouth.closed(gap, moments, 25.0, 0.0, small) == (1, 2)
    assert mouth.closed(gap, moments, 25.0, 0.0) == (0, 2)


def test_blinks_are_counted_and_long_shutting_is_none() -> None:
    eyes = np.full(250, 0.3)
    for start, length in ((20, 4), (100, 5), (150, 40)):
        eyes[start : start + length] = 0.05
    eyes[200] = np.nan
    assert mouth.blinks(eyes, 25.0) == 2


def test_blinks_are_compared_where_one_is_meant_or_seen() -> None:
    meant, eyes = np.zeros(200), np.full(200, 0.3)
    meant[50:53] = 1.0
    eyes[120:123] = 0.02
    near = mouth.around_blinks(meant, eyes, 25.0)
    assert np.array_equal(np.flatnonzero(near), [*range(40, 63), *range(110, 133)])
    assert not mouth.around_blinks(np.full(200, np.nan), np.full(200, np.nan), 25.0).any()


def test_a_blink_of_narrow_eyes_is_as_good_as_one_of_wide_eyes() -> None:
    meant, eyes = np.zeros(300), np.r_[np.full(150, 0.12), np.full(150, 0.21)]
    shape = np.array([0.17, 0.83, 1.0, 0.95, 0.66, 0.29])
    for start in (60, 220):
        meant[start : start + 6] = shape
        eyes[start : start + 6] *= 1 - 0.97 * shape

    def agreement(eyes: np.ndarray) -> float:
        looks = np.rint(np.outer(900 * eyes, np.linspace(0, 1, lids.LOOK))).astype(np.uint8)
        found = mouth.correlation(meant, lids.shutting(looks, eyes, mouth.around_blinks(meant, eyes, 25.0)))
        assert found is not None
        return found

    assert agreement(eyes) > 0.98
    missed, late = eyes.copy(), eyes.copy()
    missed[220:226] = 0.21
    late[220:226], late[224:230] = 0.21, eyes[220:226]
    assert agreement(missed) < 0.8
    assert agreement(late) < 0.8


def test_sharpness_leaves_out_blinks_and_single_pictures() -> None:
    rng = np.random.default_rng(3)
    detail, eyes = 10 + rng.uniform(-0.2, 0.2, 200), np.full(200, 0.3)
    eyes[80:90], detail[79:91] = 0.05, 4.0
    detail[150] = 30.0
    calm = steadiness.sharpness(detail, mouth.awake(eyes))
    assert calm is not None and calm > 0.95
    detail[160:180] = 7.0
    soft = steadiness.sharpness(detail, mouth.awake(eyes))
    assert soft is not None and soft < 0.72


def test_even_motion_does_not_flicker() -> None:
    slow = 100 + 20 * np.sin(np.arange(200) / 20)
    one_flash = slow.copy()
    one_flash[100] += 30
    calm, flashing = steadiness.flicker(slow), steadiness.flicker(one_flash)
    assert calm is not None and calm < 0.05
    assert flashing is not None and flashing > 2


def test_a_limit_judges_both_ways_where_that_is_meant() -> None:
    early = {"lag_ms": -90.0, "lufs": -30.0, "sync": None}
    broken = faults(early, CheckParams(max_lag_ms=60, max_lufs=-10, min_lufs=-24, min_sync=0.9))
    assert [str(f) for f in broken] == ["lag_ms -90 is above 60", "lufs -30 is below -24"]


def test_a_limit_is_a_number_or_none() -> None:
    assert CheckParams.parse({"min_sync": "none", "max_lag_ms": "60"}, "check") == CheckParams(max_lag_ms=60)
    for wrong in ({"min_sync": "high"}, {"min_sync": 2}, {"max_lag_ms": -1}, {"min_snyc": 1}):
        with pytest.raises(BadConfig):
            CheckParams.parse(wrong, "check")
