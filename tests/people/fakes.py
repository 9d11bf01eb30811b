"""People as rectangles of one colour each, and networks that see them: the tracker's whole input without weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mocap.people.detection import ssd_anchors
from mocap.types import Frame

COLORS = np.array([(220, 40, 40), (40, 200, 60), (60, 80, 230), (220, 210, 40)], np.uint8)
GREY = 128

# x, y in half bodies from the hips: a crude standing person.
TEMPLATE = np.zeros((35, 2), np.float32)
TEMPLATE[:11] = (0, -0.9)
TEMPLATE[11:23:2] = (-0.2, -0.5)
TEMPLATE[12:23:2] = (0.2, -0.5)
TEMPLATE[15:23:2] = (-0.2, 0.1)
TEMPLATE[16:23:2] = (0.2, 0.1)
TEMPLATE[23:33:2] = (-0.1, 0)
TEMPLATE[24:33:2] = (0.1, 0)
TEMPLATE[25:27] += (0, 0.5)
TEMPLATE[27:33] += (0, 0.95)
TEMPLATE[34] = (0, -1)


@dataclass
class Scene:
    """Draws people; ``at`` maps a colour's number to hips x, hips y, half height in pixels. Later ones are in front."""

    width: int = 640
    height: int = 360
    fps: float = 30.0

    def frame(self, index: int, at: dict[int, tuple[float, float, float]], t: float | None = None) -> Frame:
        rgb = np.full((self.height, self.width, 3), GREY, np.uint8)
        for color, (x, y, half) in at.items():
            x0, x1 = (int(np.clip(round(x + side * 0.3 * half), 0, self.width)) for side in (-1, 1))
            y0, y1 = (int(np.clip(round(y + side * half), 0, self.height)) for side in (-1, 1))
            rgb[y0:y1, x0:x1] = COLORS[color]
        return Frame(index, index / self.fps if t is None else t, rgb)


def _boxes(picture: NDArray[np.float32]) -> list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """Number of pixels, centre (2,) and size (2,) of each colour in a picture (H, W, 3) of 0 to 255."""
    found = []
    pixels = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    for color in COLORS.astype(int):
        mask = cv2.inRange(pixels, np.maximum(color - 12, 0), np.minimum(color + 12, 255))
        x, y, width, height = cv2.boundingRect(mask)
        center = np.array([x + width / 2, y + height / 2], np.float32)
        found.append((cv2.countNonZero(mask), center, np.array([width, height], np.float32)))
    return found


@dataclass
class FakeDetector:
    home: str | None = None
    calls: int = 0
    spoil: float | None = None  # a value that replaces every output

    def __call__(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        (image,) = np.asarray(inputs["image"])
        assert image.shape == (224, 224, 3)
        assert image.dtype == np.float32
        self.calls += 1
        boxes, scores = np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -20, np.float32)
        for count, center, size in _boxes((image + 1) * 127.5):
            if count < 6:
                continue
            half = size[1] / 2
            anchor = int(np.argmin(np.linalg.norm(ssd_anchors() * 224 - center, axis=1)))
            off = center - ssd_anchors()[anchor] * 224
            up = np.array([0, -half], np.float32)
            boxes[0, anchor] = np.concatenate([off + up, (half / 4, half / 4), off, off + up, off, off + up])
            scores[0, anchor] = 4
        if self.spoil is not None:
            boxes[:], scores[:] = self.spoil, self.spoil
        return {"boxes": boxes, "scores": scores}


@dataclass
class FakeLandmarker:
    home: str | None = None
    batches: list[int] = field(default_factory=list)
    spoil: float | None = None  # a value that replaces one landmark
    change: Callable[[dict[str, NDArray[np.float32]]], None] = lambda outputs: None  # in place

    def __call__(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        crops = np.asarray(inputs["image"])
        assert crops.shape[1:] == (256, 256, 3)
        assert crops.dtype == np.float32
        batch = len(crops)
        self.batches.append(batch)
        landmarks, presence = np.zeros((batch, 35, 3), np.float32), np.zeros((batch, 1), np.float32)
        world = np.tile(np.pad(TEMPLATE[:33] * 0.9, ((0, 0), (0, 1))), (batch, 1, 1))
        for i, crop in enumerate(crops):
            # The person in the middle of the crop is the one that the network sees.
            found = [one for one in _boxes(crop * 255) if one[0] > 200 and np.abs(one[1] - 128).max() < 80]
            if found:
                _, center, size = min(found, key=lambda one: float(np.linalg.norm(one[1] - 128)) - one[2][0])
                landmarks[i, :, :2] = center + TEMPLATE * size[1] / 2
                presence[i] = 0.99
        if self.spoil is not None:
            landmarks[:, 5, 0] = self.spoil
        visibility = np.full((batch, 33), 0.99, np.float32)
        outputs = {"landmarks": landmarks, "presence": presence, "visibility": visibility, "world": world}
        self.change(outputs)
        return outputs
