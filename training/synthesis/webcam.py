"""What a webcam does to a picture: exposure, white balance, defocus, motion blur, noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Webcam:
    """One webcam; its noise differs from frame to frame."""

    table: NDArray[np.uint8]  # (256, 3) brightness out for brightness in, per colour
    kernel: NDArray[np.float32] | None  # of the blur
    noise: float  # standard deviation of the brightness
    quality: int  # of the JPEG; 0: none

    def __call__(self, picture: Image, rng: np.random.Generator) -> Image:
        """(H, W, 3) -> same."""
        picture = np.asarray(cv2.LUT(picture, self.table[None]), np.uint8)
        if self.kernel is not None:
            cv2.filter2D(picture, -1, self.kernel, dst=picture)
        if self.noise > 0.5:
            height, width = picture.shape[:2]
            # One draw serves many pixels: a strip of noise from a random place is as good, and ten times as quick.
            strip = (self.noise * rng.standard_normal(1 << 14, np.float32)).astype(np.int16)
            grain = np.take(strip, (np.arange(height * width) + 131 * rng.integers(1 << 12)) % 16381)
            rows = grain.reshape(height, width, 1)
            picture = np.clip(picture.astype(np.int16) + rows, 0, 255).astype(np.uint8)
        if self.quality:
            _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
            picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        return picture


def random_webcam(rng: np.random.Generator) -> Webcam:
    """A webcam, good or bad."""
    level = np.linspace(0, 1, 256)[:, None]
    gain = rng.uniform(0.6, 1.4) * (1 + 0.06 * rng.standard_normal(3))
    table = np.clip(255 * np.clip(gain * level, 0, 1) ** rng.uniform(0.7, 1.4), 0, 255).astype(np.uint8)
    blur = rng.choice(["none", "defocus", "motion"], p=[0.4, 0.4, 0.2])
    kernel = None
    if blur == "defocus":
        line = cv2.getGaussianKernel(5, rng.uniform(0.5, 1.2))
        kernel = (line @ line.T).astype(np.float32)
    elif blur == "motion":
        kernel = _streak(int(rng.integers(3, 10)), float(rng.uniform(0, np.pi)))
    return Webcam(table, kernel, float(rng.gamma(1.5, 3.0)), int(rng.choice([0, rng.integers(35, 95)])))


def _streak(length: int, angle: float) -> NDArray[np.float32]:
    """A line of ``length`` pixels through the middle of a square, sum 1."""
    side = length | 1
    kernel = np.zeros((side, side), np.float32)
    reach = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    start, end = (tuple(np.rint(side // 2 + way * reach).astype(int).tolist()) for way in (-1, 1))
    cv2.line(kernel, start, end, (1.0,))
    return kernel / kernel.sum()
