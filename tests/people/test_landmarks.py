from __future__ import annotations

import math

import numpy as np
import pytest

from mocap.people.landmarks import clothes_colors, in_frame, observe
from mocap.people.picture import Picture
from mocap.people.roi import apply_affine, frame_from_crop
from mocap.types import Roi
from tests.people.fakes import TEMPLATE, FakeLandmarker, Scene


@pytest.mark.parametrize("rotation", [0.0, 0.4, math.pi / 2, -2.0])
def test_landmarks_turn_with_the_square(rotation: float) -> None:
    """The network sees the same crop; the landmarks turn about the centre, and the world's x and y turn alike."""

    landmarks, world = np.full((1, 35, 3), 64, np.float32), np.full((1, 33, 3), 0.3, np.float32)
    landmarks[..., :2], world[..., :2] = 128 + 100 * TEMPLATE, TEMPLATE[:33]
    one = np.ones((1, 33), np.float32)
    outputs = {"landmarks": landmarks, "world": world, "visibility": one / 2, "presence": one[:, :1]}
    rgb = np.zeros((480, 640, 3), np.uint8)
    (seen,) = in_frame(outputs, rgb, [Roi((320.0, 240.0), 512.0, rotation)])
    turn = np.array([[math.cos(rotation), -math.sin(rotation)], [math.sin(rotation), math.cos(rotation)]])
    assert np.allclose(seen.landmarks_px[:, :2], 200 * TEMPLATE[:33] @ turn.T + (320, 240), atol=1e-3)
    assert np.allclose(seen.landmarks_px[:, 2], 128)
    assert np.allclose(seen.landmarks_world[:, :2], TEMPLATE[:33] @ turn.T, atol=1e-6)
    assert np.allclose(seen.landmarks_world[:, 2], 0.3)
    assert np.allclose(seen.visibility, 0.5)
    assert seen.half_height_px == pytest.approx(200, rel=1e-4)


def test_batch_is_single() -> None:
    rgb = Scene().frame(0, {0: (200, 180, 100), 1: (450, 200, 80)}).rgb
    rois = [Roi((200.0, 180.0), 250.0, 0.0), Roi((450.0, 200.0), 200.0, 0.1)]
    both = observe(FakeLandmarker(), Picture(rgb), rois)
    for one, roi in zip(both, rois, strict=True):
        (alone,) = observe(FakeLandmarker(), Picture(rgb), [roi])
        assert np.array_equal(one.landmarks_px, alone.landmarks_px)
        assert np.array_equal(one.colors, alone.colors)


def _slow_colors(rgb: np.ndarray, roi: Roi, xy: np.ndarray) -> np.ndarray:
    """Of one crop that shows everything: chest, belly and thighs, one point at a time."""
    shoulders, hips, knees = xy[[11, 12]], xy[[23, 24]], xy[[25, 26]]
    rows = []
    for down in (0.2, 0.4, 0.6, 0.8):
        left, right = shoulders + down * (hips - shoulders)
        rows.append([left + across * (right - left) for across in (0.2, 0.4, 0.6, 0.8)])
    thighs = [hips[side] + share * (knees[side] - hips[side]) for side in (0, 1) for share in (0.2, 0.4, 0.6, 0.8)]
    places = [
        apply_affine(frame_from_crop(roi), np.array(one)) for one in (rows[0] + rows[1], rows[2] + rows[3], thighs)
    ]
    return np.array([np.mean([rgb[round(y), round(x)] / 255 for x, y in one], axis=0) for one in places])


def test_colors_are_the_slow_loop() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (400, 500, 3), np.uint8)
    rois = [Roi((250.0, 200.0), size, angle) for size, angle in ((200.0, 0.0), (140.0, 0.7), (270.0, -1.6))]
    xy = rng.uniform(5, 250, (3, 35, 2)).astype(np.float32)
    found = clothes_colors(rgb, np.array([frame_from_crop(roi) for roi in rois]), xy, np.ones((3, 33)))
    slow = np.stack([_slow_colors(rgb, *one) for one in zip(rois, xy, strict=True)])
    assert np.abs(found - slow).max() < 1e-4


def test_colors_are_those_of_the_clothes() -> None:
    rgb = np.zeros((256, 256, 3), np.uint8)
    same, xy, seen = np.eye(2, 3)[None], (128 + 90 * TEMPLATE[:33])[None], np.ones((1, 33))
    rgb[:110], rgb[110:128], rgb[128:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    colors = clothes_colors(rgb, same, xy, seen)[0]
    assert np.allclose(colors[0], (1, 0, 0))
    assert colors[1, 1] > 0.4
    assert np.allclose(colors[2], (0, 0, 1))
    assert np.isnan(clothes_colors(rgb, same, xy + 1000, seen)).all()  # beyond the crop
    assert np.isnan(clothes_colors(rgb, same + np.array([0, 0, 1000]), xy, seen)).all()  # beyond the frame
    assert np.isnan(clothes_colors(rgb, same, xy, 0 * seen)[0, 2]).all()  # the knees are not seen
