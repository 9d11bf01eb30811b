"""Rooms behind people, flat and made from numbers: wall, floor, furniture-like boxes, light from a side, blur."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def random_background(width: int, height: int, rng: np.random.Generator) -> Image:
    """A picture (height, width, 3)."""
    horizon = int(height * rng.uniform(0.45, 0.95))
    picture = np.empty((height, width, 3), np.float32)
    picture[:horizon] = _color(rng)
    picture[horizon:] = _color(rng)
    for _ in range(rng.integers(2, 14)):
        _box(picture, horizon, rng)
    picture *= _light(width, height, rng)[..., None]
    coarse = rng.normal(0, rng.uniform(1, 12), (height // 24 + 2, width // 24 + 2, 3)).astype(np.float32)
    picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture += np.float32(rng.uniform(0, 6)) * rng.standard_normal(picture.shape, np.float32)
    blur = rng.choice([0.0, 0.8, 2.0, 5.0])
    if blur:
        cv2.GaussianBlur(picture, (0, 0), blur, dst=picture)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _box(picture: NDArray[np.float32], horizon: int, rng: np.random.Generator) -> None:
    """A cupboard, picture or window: a rectangle, framed or divided at times; most stand on the floor."""
    height, width = picture.shape[:2]
    w, h = int(width * rng.uniform(0.03, 0.35)), int(height * rng.uniform(0.05, 0.6))
    left = int(rng.uniform(-0.1, 1.0) * width)
    bottom = horizon + int(0.1 * h) if rng.random() < 0.6 else int(rng.uniform(0.1, 0.8) * height)
    color = _color(rng).tolist()
    cv2.rectangle(picture, (left, bottom - h), (left + w, bottom), color, -1)
    if rng.random() < 0.5:
        edge = _color(rng).tolist()
        for share in np.linspace(0, 1, rng.integers(2, 6)):
            y = int(bottom - share * h)
            cv2.line(picture, (left, y), (left + w, y), edge, int(rng.integers(1, 5)))


def _color(rng: np.random.Generator) -> NDArray[np.float64]:
    """Any brightness; strong colours are rare, as in rooms."""
    grey, strength = rng.uniform(20, 235), rng.beta(1, 3)
    return np.asarray(np.clip(grey + strength * rng.uniform(-160, 160, 3), 5, 250))


def _light(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Brightness (height, width) that falls off from a side."""
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    slope = rng.normal(0, 0.25, 2)
    return np.clip(1 + slope[0] * x + slope[1] * y, 0.2, 1.8).astype(np.float32)
