"""A background's lines go on behind the person as they run beside it, so that a turn uncovers no bent ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avatarctl.engines.puppet import backdrop
from avatarctl.engines.puppet.lines import continued
from tests.mouth_support import Picture

UNIT = 60.0
SKIN = (200, 150, 120)
DOWN, ACROSS = np.mgrid[:220, :220].astype(np.float32)
FAR = np.hypot(DOWN - 110, ACROSS - 110)


def stripes(degrees: float, width: float = 24) -> Picture:
    """Of two colours and soft edges, with a photo's grain; 0: they lie."""
    angle = np.deg2rad(degrees)
    phase = np.cos(2 * np.pi * (DOWN * np.cos(angle) + ACROSS * np.sin(angle)) / width)
    share = (0.5 + 0.5 * np.tanh(4 * phase))[..., None]
    grain = np.random.default_rng(2).normal(0, 2, (220, 220, 1))
    return np.clip(share * (70, 110, 190) + (1 - share) * (30, 50, 80) + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("degrees", [0, 12, -35, 60, 90])
def test_stripes_beside_the_head_run_straight_behind_it(degrees: float) -> None:
    true = stripes(degrees)
    canvas = true.copy()
    canvas[FAR < 60] = SKIN
    alpha = np.where(FAR < 60, 255, 0).astype(np.uint8)
    found, _ = backdrop.plate(canvas, np.full_like(canvas, SKIN), alpha, (0, 0, 220, 220), UNIT)
    angle = np.deg2rad(degrees)
    # Where the lines end at the outline: above and below, those that touch it are hidden for long.
    ends = np.abs((DOWN - 110) * np.cos(angle) + (ACROSS - 110) * np.sin(angle)) < 45
    rim = ends & (FAR < 58) & (FAR > 46)
    assert np.abs(found[rim].astype(int) - true[rim]).mean() < 12
    np.testing.assert_array_equal(found[FAR > 66], canvas[FAR > 66])


def test_what_has_no_lines_is_left_to_the_mirror() -> None:
    """Neither grain nor leaves run one way, and a plain wall has nothing that could."""
    hole = np.where(FAR < 60, 1, 0).astype(np.uint8)
    leaves = np.random.default_rng(3).normal(0, 1, (220, 220, 3))
    leaves = cv2.GaussianBlur(leaves, (0, 0), 4)
    for picture in (120 + 300 * leaves, 120 + np.random.default_rng(4).normal(0, 3, (220, 220, 3)), 0 * leaves):
        _, sure = continued(np.clip(picture, 0, 255).astype(np.uint8), hole, UNIT)
        assert sure.mean(where=hole > 0) < 0.2


def test_nothing_is_continued_where_nothing_is_hidden_or_seen() -> None:
    picture = stripes(0)
    for hole in (np.zeros((220, 220), np.uint8), np.ones((220, 220), np.uint8)):
        _, sure = continued(picture, hole, UNIT)
        assert not sure.any()


@pytest.mark.parametrize("shape", [(1, 1), (2, 90), (90, 3)])
def test_the_smallest_pictures_are_taken(shape: tuple[int, int]) -> None:
    hole = np.zeros(shape, np.uint8)
    hole[0, 0] = 1
    colours, sure = continued(np.full((*shape, 3), 90, np.uint8), hole, UNIT)
    assert colours.shape == (*shape, 3) and np.isfinite(colours).all() and not sure.any()
