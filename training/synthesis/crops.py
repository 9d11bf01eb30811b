"""The picture itself in a shard: a square around the person, as JPEG. Networks that see pixels learn from it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.people import People
from training.synthesis.renderer import Image

ROOM = 1.6  # side of the square over the longer side of the box around the joints in the picture: room to augment
_QUALITY = 90  # of the JPEG
_FEW = 4  # joints in the picture, with fewer of which the box is around all


def crop_rows(people: People, pictures: Sequence[tuple[int, Image, float] | None], size: int) -> dict[str, np.ndarray]:
    """Rows of a shard: of pictures of some of the people, each with the person's place among them and the pixels of the
    camera for one of the picture; zeros for no picture.

    Returns:
        ``jpeg`` (N, longest) uint8, files with zeros after them; ``square`` (N, 3) float32, centre x and y and side in
        pixels of the camera, of which the file shows ``size`` by ``size``; black beyond the picture.
    """
    joints = people.views.project(people.views.to_camera(people.p_world_joint)).numpy()
    squares, files = np.zeros((len(pictures), 3), np.float32), [b""] * len(pictures)
    for row, found in enumerate(pictures):
        if found is not None:
            index, picture, scale = found
            low, side = _square(joints[index] / scale, picture)
            squares[row] = [*(scale * (low + side / 2)), scale * side]
            files[row] = _jpeg(picture, low, side, size)
    return {"jpeg": _padded(files), "square": squares}


def _square(joints_px: NDArray[np.floating], picture: Image) -> tuple[NDArray[np.int64], int]:
    """Upper left corner (2,) and side, whole px, around the joints that are in the picture."""
    height, width = picture.shape[:2]
    inside = ((joints_px >= 0) & (joints_px < [width, height])).all(1)
    joints = joints_px[inside] if inside.sum() >= _FEW else np.clip(joints_px, 0, [width, height])
    low, high = joints.min(0), joints.max(0)
    side = round(ROOM * max(8.0, float((high - low).max())))
    return np.rint((low + high - side) / 2).astype(np.int64), side


def _jpeg(picture: Image, low: NDArray[np.int64], side: int, size: int) -> bytes:
    x, y = np.clip(low, 0, picture.shape[1::-1])
    seen = picture[y : max(y, low[1] + side), x : max(x, low[0] + side)]
    square = np.zeros((side, side, 3), np.uint8)
    square[y - low[1] :, x - low[0] :][: seen.shape[0], : seen.shape[1]] = seen
    small = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    done, file = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return bytes(file)


def _padded(files: Sequence[bytes]) -> NDArray[np.uint8]:
    padded = np.zeros((len(files), max(map(len, files), default=0)), np.uint8)
    for row, file in enumerate(files):
        padded[row, : len(file)] = np.frombuffer(file, np.uint8)
    return padded
