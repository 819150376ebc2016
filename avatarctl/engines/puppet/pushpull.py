"""Colours, or whatever else, for what is not known, from what is known around it."""

from __future__ import annotations

import cv2
import numpy as np

from avatarctl.engines.puppet.smooth import Array


def push_pull(colour: Array, weight: Array) -> Array:
    """Colours where `weight` is 0, from the nearest where it is 1, the smoother the further; float32 (h, w, 3)."""
    height, width = weight.shape
    if min(height, width) <= 2 or weight.min() >= 1:
        total = max(float(weight.sum()), 1e-6)
        mean = (colour * weight[..., None]).sum((0, 1)) / total
        return np.asarray(colour * weight[..., None] + mean * (1 - weight[..., None]), np.float32)
    half = (width + 1) // 2, (height + 1) // 2
    share = np.asarray(cv2.resize(weight, half, interpolation=cv2.INTER_AREA), np.float32)
    less = np.asarray(cv2.resize(colour * weight[..., None], half, interpolation=cv2.INTER_AREA), np.float32)
    less /= np.maximum(share, np.float32(1e-6))[..., None]
    coarse = push_pull(less, np.minimum(share * 4, np.float32(1)))
    wide = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide + (colour - wide) * weight[..., None], np.float32)
