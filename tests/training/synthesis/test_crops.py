from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.capture.small_shards import people
from training.synthesis.crops import ROOM, crop_rows
from training.synthesis.people import People

SIZE = 48
Drawn = tuple[int, NDArray[np.uint8], float]


def joints_px(some: People, index: int) -> NDArray[np.float32]:
    """In the camera's pixels."""
    return np.asarray(some.views.project(some.views.to_camera(some.p_world_joint))[index])


def ramps(some: People, index: int, scale: float) -> Drawn:
    """A picture whose red and green are the place in it, and whose blue is full."""
    width, height = (some.views.size_px[index].numpy() / scale).round().astype(int)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    rgb = np.stack([255 * x / width, 255 * y / height, np.full(x.shape, 255)], -1)
    return index, rgb.astype(np.uint8), scale


def decoded(row: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(row, cv2.IMREAD_COLOR)[..., ::-1])


@pytest.fixture(scope="module")
def some() -> People:
    return people(8)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_files_show_the_square(some: People, scale: float) -> None:
    drawn = [ramps(some, index, scale) for index in range(8)]
    rows = crop_rows(some, drawn, SIZE)
    compared = 0
    for (_, picture, _), file, (x, y, side) in zip(drawn, rows["jpeg"], rows["square"], strict=True):
        rgb = decoded(file).astype(float)
        assert rgb.shape == (SIZE, SIZE, 3)
        cells = (np.arange(SIZE) + 0.5) / SIZE - 0.5
        px_x, px_y = np.meshgrid(x + side * cells, y + side * cells)
        height, width = picture.shape[:2]
        edge = 2 * side / SIZE  # resampled, and JPEG
        inside = (px_x > edge) & (px_x < width * scale - edge) & (px_y > edge) & (px_y < height * scale - edge)
        outside = (px_x < -edge) | (px_x > width * scale + edge) | (px_y < -edge) | (px_y > height * scale + edge)
        calm = cv2.erode(inside.astype(np.uint8), np.ones((17, 17))) > 0  # farther from the border than JPEG's blocks
        compared += int(calm.sum())
        np.testing.assert_allclose(rgb[calm][:, 0], 255 * px_x[calm] / (width * scale), atol=12)
        np.testing.assert_allclose(rgb[calm][:, 1], 255 * px_y[calm] / (height * scale), atol=12)
        assert rgb[cv2.erode(outside.astype(np.uint8), np.ones((17, 17))) > 0].max(initial=0) < 25
    assert compared > 1000


def test_squares_leave_room_around_the_joints_in_the_picture(some: People) -> None:
    rows = crop_rows(some, [ramps(some, index, 1.0) for index in range(8)], SIZE)
    for index, (x, y, side) in enumerate(rows["square"]):
        joints, size = joints_px(some, index), some.views.size_px[index].numpy()
        inside = ((joints >= 0) & (joints < size)).all(1)
        joints = np.clip(joints, 0, size) if inside.sum() < 4 else joints[inside]
        low, high = joints.min(0), joints.max(0)
        assert side == pytest.approx(max(8 * ROOM, ROOM * (high - low).max()), abs=1)
        np.testing.assert_allclose([x, y], (low + high) / 2, atol=1.01)


def test_nobody_leaves_an_empty_row(some: People) -> None:
    rows = crop_rows(some, [None, ramps(some, 3, 1.0), None], SIZE)
    assert rows["jpeg"].shape[0] == 3
    assert not rows["square"][[0, 2]].any()
    assert not rows["jpeg"][[0, 2]].any()
    alone = crop_rows(some, [ramps(some, 3, 1.0)], SIZE)
    np.testing.assert_array_equal(rows["jpeg"][1], alone["jpeg"][0])
    assert crop_rows(some, [], SIZE)["square"].shape == (0, 3)
