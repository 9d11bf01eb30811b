from __future__ import annotations

import numpy as np
import pytest

from mocap.people.detection import (
    box_iou,
    decode,
    detect,
    letterbox,
    letterbox_matrix,
    ssd_anchors,
    weighted_nms,
)
from mocap.people.picture import Picture
from tests.people.fakes import FakeDetector, Scene


def test_anchors_are_the_cells_of_five_layers() -> None:
    anchors = ssd_anchors()
    assert anchors.shape == (2254, 2)
    assert np.allclose(anchors[0], 4 / 224)
    assert np.array_equal(anchors[0], anchors[1])  # two per cell
    assert np.allclose(anchors[2], (12 / 224, 4 / 224))  # x runs fastest
    assert np.allclose(anchors[28 * 28 * 2], 8 / 224)
    assert np.allclose(anchors[28 * 28 * 2 + 14 * 14 * 2 :][:6], 16 / 224)  # six per cell of stride 32
    assert np.allclose(anchors[-1], 1 - 16 / 224)
    assert np.allclose(anchors.mean(axis=0), 0.5)


def test_decode_undoes_the_encoding_relative_to_anchors() -> None:
    rng = np.random.default_rng(0)
    center, size, keypoints = rng.uniform(50, 150, 2), rng.uniform(10, 50, 2), rng.uniform(0, 224, (4, 2))
    anchor = ssd_anchors()[700] * 224
    boxes, scores = np.zeros((2254, 12), np.float32), np.full((2254, 1), -9, np.float32)
    boxes[700] = np.concatenate([center - anchor, size, (keypoints - anchor).ravel()])
    scores[700] = 2
    values, probability = decode(boxes, scores, 0.5)
    expected = np.concatenate([center - size / 2, center + size / 2, keypoints.ravel()])
    assert np.allclose(values, expected[None], atol=1e-3)
    assert np.allclose(probability, 1 / (1 + np.exp(-2)))


def test_decode_leaves_out_what_is_not_a_box() -> None:
    boxes, scores = np.ones((2254, 12), np.float32), np.full((2254, 1), -9, np.float32)
    scores[:6, 0] = (3, np.nan, np.inf, 3, 3, 1e30)
    boxes[3, 7] = np.nan
    boxes[4, 2] = -1
    values, probability = decode(boxes, scores, 0.5)
    assert len(values) == 2
    assert np.isfinite(values).all()
    assert probability[1] == 1  # clipped, without overflow


def _slow_nms(values: np.ndarray, scores: np.ndarray, min_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """MediaPipe's loop, one box at a time."""

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        if width <= 0 or height <= 0:
            return 0.0
        return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)

    remaining = sorted(range(len(scores)), key=lambda i: -scores[i])
    merged, best = [], []
    while remaining:
        first = remaining[0]
        group = [i for i in remaining if overlap(values[i], values[first]) > min_iou]
        merged.append(sum(values[i] * scores[i] for i in group) / sum(scores[i] for i in group))
        best.append(scores[first])
        remaining = [i for i in remaining if i not in group]
    return np.array(merged), np.array(best)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_nms_is_the_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (40, 2))
    values = np.concatenate([low, low + rng.uniform(20, 60, (40, 2)), rng.uniform(0, 224, (40, 8))], axis=1)
    scores = rng.uniform(0.5, 1, 40)
    merged, best = weighted_nms(values, scores)
    slow, slow_best = _slow_nms(values, scores, 0.3)
    assert merged.shape == slow.shape
    assert len(slow) > 1
    assert np.allclose(merged, slow, atol=1e-4)
    assert np.allclose(best, slow_best)


def test_nms_keeps_boxes_apart_and_takes_nothing() -> None:
    values = np.zeros((2, 12), np.float32)
    values[0, :4], values[1, :4] = (0, 0, 10, 10), (20, 0, 30, 10)
    merged, best = weighted_nms(values, np.array([0.6, 0.9], np.float32))
    assert np.array_equal(merged, values[::-1])
    assert np.allclose(best, (0.9, 0.6))
    assert weighted_nms(values[:0], np.zeros(0, np.float32))[0].shape == (0, 12)
    assert np.allclose(box_iou(values[0, :4], values[:, :4]), (1, 0))


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (720, 1280), (641, 359), (1, 1), (3840, 2160)])
def test_letterbox_shows_the_whole_frame_in_the_middle(width: int, height: int) -> None:
    matrix = letterbox_matrix(width, height)
    corners = np.array([(0, 0), (width, height)], np.float64)
    inverse = np.linalg.inv(matrix[:, :2].astype(np.float64))
    in_input = (corners - matrix[:, 2]) @ inverse.T
    assert np.allclose(in_input.mean(axis=0), 112, atol=1e-3)
    assert np.allclose((in_input[1] - in_input[0]).max(), 224, atol=1e-2)
    assert np.allclose(in_input @ matrix[:, :2].T + matrix[:, 2], corners, atol=1e-3)

    (image,), _ = letterbox(Picture(np.full((height, width, 3), 255, np.uint8)))
    assert image.dtype == np.float32
    assert np.abs(image).max() <= 1
    assert image[112, 112].tolist() == pytest.approx([1, 1, 1]) or width == 1
    if width > 1.1 * height:
        assert (image[0] == -1).all()  # black, not a copy of the border


def test_detections_come_back_in_frame_pixels() -> None:
    scene = Scene(1280, 720)
    picture = Picture(scene.frame(0, {0: (900, 300, 200), 1: (300, 400, 150)}).rgb)
    found, finite = detect(FakeDetector(), picture, 0.5)
    assert finite
    assert len(found) == 2
    right, left = sorted(found, key=lambda one: -one.keypoints_px[0, 0])
    assert np.allclose(right.keypoints_px[0], (900, 300), atol=6)  # an input pixel is 5.7 frame pixels
    assert np.allclose(left.keypoints_px[0], (300, 400), atol=6)
    assert right.half_height_px == pytest.approx(200, abs=6)
