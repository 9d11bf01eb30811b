"""Colours and erased strips of crops, as MAED's training has them (Wan et al. 2021); NumPy."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.published.crops import DEVIATION, MEAN

Float32 = NDArray[np.float32]

_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue
_MEAN, _DEVIATION = (np.asarray(v / 255, np.float32)[:, None, None] for v in (MEAN, DEVIATION))


def jittered(image: Float32, most: float, rng: np.random.Generator) -> Float32:
    """Normalised crops (T, 3, S, S) -> the same with other colours: brightness, contrast and saturation by factors of
    1 ± ``most``, hue by that share of the circle, in random order; the same for all of them."""
    factors, turn = rng.uniform(1 - most, 1 + most, 3), rng.uniform(-most, most)
    rgb = image * _DEVIATION + _MEAN
    for change in rng.permutation(4):
        if change == 0:
            rgb = rgb * factors[0]
        elif change == 1:
            rgb = blended(rgb, grey(rgb).mean((1, 2, 3), keepdims=True), factors[1])
        elif change == 2:
            rgb = blended(rgb, grey(rgb), factors[2])
        else:
            rgb = np.stack([turned(frame, turn) for frame in rgb])
        rgb = rgb.clip(0, 1)
    return np.asarray((rgb - _MEAN) / _DEVIATION, np.float32)


def grey(rgb: Float32) -> Float32:
    """(T, 3, S, S) -> (T, 1, S, S)."""
    return np.asarray(np.einsum("tchw,c->thw", rgb, _GREY)[:, None], np.float32)


def blended(rgb: Float32, other: Float32, factor: float) -> Float32:
    """``other`` where the factor is 0, ``rgb`` where it is 1, beyond it above that."""
    return other + np.float32(factor) * (rgb - other)


def turned(rgb: Float32, turn: float) -> Float32:
    """A crop (3, S, S) in [0, 1] with its hues turned by a share of the circle."""
    hsv = cv2.cvtColor(np.ascontiguousarray(rgb.transpose(1, 2, 0), np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32).transpose(2, 0, 1)


def erased(image: Float32, rate: float, most: float, rng: np.random.Generator) -> Float32:
    """Normalised crops (T, 3, S, S) -> the same with a black strip along one side, the same side of all of them.

    Args:
        rate: Share of the crops that have one.
        most: Its largest width, of the crop's.
    """
    count, size = len(image), image.shape[-1]
    turns = int(rng.integers(4))  # quarter turns that bring the side to the top
    cut = np.where(rng.random(count) < rate, size * rng.uniform(0, most, count), 0).astype(int)
    upright = np.rot90(image, turns, (2, 3))
    black = np.arange(size)[None, None, :, None] < cut[:, None, None, None]
    return np.ascontiguousarray(np.rot90(np.where(black, -_MEAN / _DEVIATION, upright), -turns, (2, 3)), np.float32)
