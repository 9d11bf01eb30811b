"""Shards of people with pictures, in ``training.synthesize --picture_px``'s layout: joints as dots before noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.training.capture import small_shards
from training.synthesis.crops import crop_rows
from training.synthesis.people import People

_LONGEST_PX = 160  # of the whole picture


def write_shard(folder: Path, people: int = 6, size: int = 32, clip_frames: int = 1, seed: int = 0) -> Path:
    """One shard of so many people, or clips of a person each, in random poses; everybody is seen.

    Args:
        size: px, side of the pictures that are kept.
        clip_frames: Frames of a clip; 1: unrelated frames.
        seed: The same seed, the same shard.
    """
    some = small_shards.people(people, clip_frames, seed)
    arrays = small_shards.shard(some, small_shards.seen_of(small_shards.truth_of(some), seed=seed))
    rows = crop_rows(some, [(index, *picture(some, index)) for index in range(len(some.betas))], size)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"train_{seed}_{len(some.betas)}_{clip_frames}_00000.npz"
    np.savez(path, **arrays, **rows)
    return path


def picture(some: People, index: int) -> tuple[NDArray[np.uint8], float]:
    """RGB of one of them, each joint a dot of a colour of its own; and the camera's pixels for one of it."""
    size_px = some.views.size_px[index].numpy()
    scale = float(size_px.max()) / _LONGEST_PX
    width, height = (round(float(side) / scale) for side in size_px)
    rgb = np.random.default_rng(index).integers(0, 80, (height, width, 3), np.uint8)
    joints = some.views.project(some.views.to_camera(some.p_world_joint))[index].numpy() / scale
    for joint, (x, y) in enumerate(joints):
        color = cv2.cvtColor(np.array([[[joint * 7, 255, 255]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
        cv2.circle(rgb, (round(float(x)), round(float(y))), 3, color.tolist(), -1)
    return rgb, scale
