"""The room of the demo clips: a wooden floor, a wall with pictures, a shelf and a door, all made from numbers."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from training.anny_body import Float
from training.render import LAMPS, Image, Scene

WALL_Z = -2.2  # m, the back wall
HALF = 4.0  # m, half the side of the floor
FLOOR_PX = 1024


class Room:
    """Floor, walls, skirting board, door, pictures and a book shelf; the floor carries the people's shadows."""

    def __init__(self, scene: Scene, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._boards = _planks(rng, FLOOR_PX, FLOOR_PX)
        front = WALL_Z + 2 * HALF
        self._floor = scene.add_rectangle([-HALF, 0, front], [2 * HALF, 0, 0], [0, 0, -2 * HALF], self._boards)
        wall = _plaster(rng, (512, 1024), (0.7, 0.7, 0.65))
        scene.add_rectangle([-HALF, 0, WALL_Z], [2 * HALF, 0, 0], [0, 3, 0], wall)
        side = _plaster(rng, (512, 1024), (0.6, 0.64, 0.66))
        scene.add_rectangle([-HALF, 0, front], [0, 0, -2 * HALF], [0, 3, 0], side)
        scene.add_rectangle([HALF, 0, WALL_Z], [0, 0, 2 * HALF], [0, 3, 0], side)
        _box(scene, (-HALF, 0, WALL_Z), (2 * HALF, 0.09, 0.02), (0.85, 0.84, 0.8))
        _door(scene)
        for x, y, w, h in ((-0.75, 1.35, 0.5, 0.65), (0.35, 1.45, 0.8, 0.55)):
            _box(scene, (x - 0.03, y - 0.03, WALL_Z), (w + 0.06, h + 0.06, 0.025), (0.16, 0.13, 0.11))
            scene.add_rectangle([x, y, WALL_Z + 0.03], [w, 0, 0], [0, h, 0], _painting(rng))
        _shelf(scene, rng)

    def cast_shadows(self, points: Float) -> None:
        """Darkens the floor under points (N, 3) m: a soft shadow from each lamp, and a dark contact at the feet."""
        light = np.ones((FLOOR_PX, FLOOR_PX))
        for position, strength, _ in LAMPS:
            reach = points[:, 1] / (position[1] - points[:, 1])
            shadow = points[:, ::2] + (points[:, ::2] - np.array(position)[::2]) * reach[:, None]
            light -= 0.75 * strength * _cover(shadow, 3.0)
        feet = points[points[:, 1] < 0.12]
        light = np.maximum(light, 0.15) * (1 - 0.5 * _cover(feet[:, ::2], 4.0))
        self._floor.show((self._boards * light[..., None]).astype(np.uint8))


def _cover(xz: Float, blur_px: float) -> Float:
    """How much of each pixel of the floor points (N, 2) m cover, in [0, 1], blurred."""
    column = (xz[:, 0] + HALF) / (2 * HALF) * FLOOR_PX
    row = (xz[:, 1] - WALL_Z) / (2 * HALF) * FLOOR_PX
    span = (0, FLOOR_PX)
    count, _, _ = np.histogram2d(row, column, FLOOR_PX, (span, span))
    cover: Float = gaussian_filter(1 - np.exp(-gaussian_filter(count, 2.0) * 4.0), blur_px)
    return cover


def _box(scene: Scene, low: tuple[float, float, float], size: tuple[float, float, float], color: object) -> None:
    scene.add_box(np.array(low), np.add(low, size), np.asarray(color, float))


def _door(scene: Scene) -> None:
    _box(scene, (-2.5, 0, WALL_Z), (1.0, 2.1, 0.03), (0.5, 0.42, 0.34))
    _box(scene, (-2.42, 0.02, WALL_Z), (0.84, 2.0, 0.045), (0.74, 0.68, 0.58))
    _box(scene, (-1.68, 1.0, WALL_Z), (0.04, 0.12, 0.1), (0.3, 0.3, 0.32))


def _shelf(scene: Scene, rng: np.random.Generator) -> None:
    """A shelf with books, right of the middle."""
    for board in range(4):
        _box(scene, (1.6, 0.1 + 0.42 * board, WALL_Z), (1.1, 0.03, 0.28), (0.42, 0.3, 0.2))
        x = 1.63
        while board < 3 and x < 2.55:
            width, height = rng.uniform(0.025, 0.06), rng.uniform(0.2, 0.33)
            color = rng.uniform(0.15, 0.7, 3)
            _box(scene, (x, 0.13 + 0.42 * board, WALL_Z + 0.02), (width, height, rng.uniform(0.15, 0.22)), color)
            x += width + (0.1 if rng.random() < 0.12 else 0.004)
    for x in (1.58, 2.7):
        _box(scene, (x, 0, WALL_Z), (0.03, 1.42, 0.28), (0.4, 0.28, 0.18))


def _to_image(values: Float) -> Image:
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


def _planks(rng: np.random.Generator, height: int, width: int) -> Image:
    """Wooden boards that run away from the camera."""
    boards = 40
    tone = rng.uniform(0.85, 1.1, (boards, 6))
    row, column = np.mgrid[:height, :width]
    board = column * boards // width
    length = (row + (board * 397) % height) * 3 // height % 6
    grain = gaussian_filter(rng.normal(size=(height, width)), (14, 0.8))
    value = tone[board, length] * (1 + 0.5 * grain)
    value = np.where(column * boards % width < boards * 2, 0.7 * value, value)
    return _to_image(value[..., None] * np.array([0.56, 0.41, 0.28]))


def _plaster(rng: np.random.Generator, size: tuple[int, int], color: tuple[float, float, float]) -> Image:
    noise = sum(gaussian_filter(rng.normal(size=size), s, mode="wrap") * s for s in (1, 6, 40))
    return _to_image((1 + 0.02 * np.asarray(noise))[..., None] * np.array(color))


def _painting(rng: np.random.Generator) -> Image:
    """An abstract picture: soft bands of colour."""
    fields = [gaussian_filter(rng.normal(size=(96, 128)), (6, 20)) for _ in range(3)]
    picture = np.stack([0.55 + 0.09 * f / f.std() for f in fields], -1)
    return _to_image(picture * rng.uniform(0.55, 1.0, 3))
