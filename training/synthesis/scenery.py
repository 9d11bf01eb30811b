"""Rooms of one shard, cut and turned anew for every frame, and things that stand before people."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.backgrounds import random_background

Image = NDArray[np.uint8]
_SIZE = (640, 480)
_ROOMS = 40


@dataclass(frozen=True)
class Occluder:
    """A polygon before the person, with a texture of its own."""

    corners: NDArray[np.int32]  # (N, 2) px
    texture: Image  # (H, W, 3), the picture's size

    def __call__(self, picture: Image) -> None:
        """Drawn into a picture."""
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self.corners], (255,))
        cv2.copyTo(self.texture, mask, picture)


class Scenery:
    """Rooms that depend on the seed alone."""

    def __init__(self, seed: list[int]) -> None:
        rng = np.random.default_rng([*seed, 1 << 20])
        self._rooms = [random_background(*_SIZE, rng) for _ in range(_ROOMS)]

    def room(self, width: int, height: int, rng: np.random.Generator) -> Image:
        """A piece of a room (height, width, 3), at times mirrored, in a light of its own."""
        room = self._rooms[rng.integers(_ROOMS)]
        share = rng.uniform(0.5, 1.0) * min(_SIZE[0] / width, _SIZE[1] / height)
        w, h = int(share * width), int(share * height)
        left, top = rng.integers(_SIZE[0] - w + 1), rng.integers(_SIZE[1] - h + 1)
        piece = room[top : top + h, left : left + w]
        if rng.random() < 0.5:
            piece = piece[:, ::-1]
        tint = rng.uniform(0.6, 1.3) * rng.uniform(0.9, 1.1, 3)
        return np.asarray(cv2.resize(np.clip(piece * tint, 0, 255).astype(np.uint8), (width, height)), np.uint8)

    def occluders(
        self, joints_px: NDArray[np.floating], width: int, height: int, rng: np.random.Generator
    ) -> list[Occluder]:
        """A desk before the legs, or boxes before joints (N, 2) px; mostly nothing."""
        kind = rng.choice(["nothing", "desk", "boxes"], p=[0.75, 0.1, 0.15])
        low, high = joints_px.min(0), joints_px.max(0)
        if kind == "desk":
            top = low[1] + rng.uniform(0.35, 0.85) * (high[1] - low[1])
            reach = rng.uniform(0.6, 3.0) * max(high[0] - low[0], 1)
            middle = 0.5 * (low[0] + high[0])
            slope = rng.normal(0, 0.03) * reach
            corners = [(middle - reach, top - slope), (middle + reach, top + slope), (middle + reach, 3 * height)]
            shapes = [np.array([*corners, (middle - reach, 3 * height)])]
        elif kind == "boxes":
            size = max(float(np.linalg.norm(high - low)), 1.0)
            shapes = [
                _box(joints_px[rng.integers(len(joints_px))], size * rng.uniform(0.05, 0.3, 2), rng)
                for _ in range(rng.integers(1, 4))
            ]
        else:
            shapes = []
        limit = 1 << 14
        return [
            Occluder(np.clip(shape, -limit, limit).astype(np.int32), self.room(width, height, rng)) for shape in shapes
        ]


def _box(center: NDArray[np.floating], size: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.floating]:
    """A turned rectangle (4, 2) px."""
    angle = rng.normal(0, 0.4)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = 0.5 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return np.asarray(center + corners * size @ turn.T)
