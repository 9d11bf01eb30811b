from __future__ import annotations

import math

import numpy as np
import pytest

from mocap.people.landmarks import FEATURES, clothes_colors, observe, refine_with_heatmaps
from mocap.types import Roi
from tests.people.fakes import TEMPLATE, FakeLandmarker, Scene


def _slow_refine(points: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """One landmark, one cell at a time."""
    refined = points.copy()
    for k, (x, y) in enumerate(points / 4):
        column, row = int(x), int(y)
        if not (0 <= column < 64 and 0 <= row < 64):
            continue
        total = best = weighted_x = weighted_y = 0.0
        for r in range(max(0, row - 3), min(64, row + 4)):
            for c in range(max(0, column - 3), min(64, column + 4)):
                weight = 1 / (1 + math.exp(-heatmap[r, c, k]))
                total, best = total + weight, max(best, weight)
                weighted_x, weighted_y = weighted_x + c * weight, weighted_y + r * weight
        if best >= 0.5:
            refined[k] = weighted_x / total * 4, weighted_y / total * 4
    return refined


def test_refinement_is_the_slow_loop() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-20, 276, (3, 35, 2)).astype(np.float32)
    points[0, 0] = (0.5, 255.5)
    heatmaps = rng.normal(-6, 3, (3, 64, 64, 39)).astype(np.float32)
    refined = refine_with_heatmaps(points, heatmaps)
    slow = np.stack([_slow_refine(p.astype(float), h) for p, h in zip(points, heatmaps, strict=True)])
    assert np.abs(refined - slow).max() < 1e-3
    assert 0 < (refined != points).any(axis=-1).mean() < 1  # some are refined, some are not


def test_refinement_finds_the_peak() -> None:
    points = np.full((1, 1, 2), 100, np.float32)
    heatmaps = np.full((1, 64, 64, 1), -30, np.float32)
    heatmaps[0, 26, 23, 0] = 5
    assert np.allclose(refine_with_heatmaps(points, heatmaps)[0, 0], (23 * 4, 26 * 4), atol=1e-3)


def test_refinement_tells_of_nan() -> None:
    points = np.array([[(100, 100), (30, 30), (np.nan, 5)]], np.float32)
    heatmaps = np.full((1, 64, 64, 3), -30, np.float32)
    heatmaps[0, 25, 25, 0] = np.nan
    refined = refine_with_heatmaps(points, heatmaps)
    assert np.isnan(refined[0, 0]).all()
    assert np.array_equal(refined[0, 1], (30, 30))
    assert np.isnan(refined[0, 2, 0])


@pytest.mark.parametrize("rotation", [0.0, 0.4, math.pi / 2, -2.0])
def test_landmarks_turn_with_the_square(rotation: float) -> None:
    """The network sees the same crop; the landmarks turn about the centre, and the world's x and y turn alike."""

    def landmarker(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        batch = len(inputs["image"])
        landmarks = np.zeros((batch, 39, 5), np.float32)
        landmarks[..., :2], landmarks[..., 2] = 128 + 100 * TEMPLATE, 64
        world = np.zeros((batch, 39, 3), np.float32)
        world[..., :2], world[..., 2] = TEMPLATE, 0.3
        heatmaps = np.full((batch, 64, 64, 39), -20, np.float32)
        return {
            "landmarks": landmarks,
            "world": world,
            "heatmaps": heatmaps,
            "presence": np.ones((batch, 1), np.float32),
        }

    rgb = np.zeros((480, 640, 3), np.uint8)
    (seen,) = observe(landmarker, rgb, [Roi((320.0, 240.0), 512.0, rotation)])
    turn = np.array([[math.cos(rotation), -math.sin(rotation)], [math.sin(rotation), math.cos(rotation)]])
    assert np.allclose(seen.landmarks_px[:, :2], 200 * TEMPLATE[:33] @ turn.T + (320, 240), atol=1e-3)
    assert np.allclose(seen.landmarks_px[:, 2], 128)
    assert np.allclose(seen.landmarks_world[:, :2], TEMPLATE[:33] @ turn.T, atol=1e-6)
    assert np.allclose(seen.landmarks_world[:, 2], 0.3)
    assert np.allclose(seen.visibility, 0.5)
    assert seen.half_height_px == pytest.approx(200, rel=1e-4)


def test_features_are_means_of_two_by_two_places() -> None:
    rows = np.arange(8, dtype=np.float32)
    map_of_8 = np.broadcast_to((10 * rows[:, None] + rows)[..., None], (8, 8, 288))

    def landmarker(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**FakeLandmarker()(inputs), "features_8": np.stack([map_of_8] * len(inputs["image"]))}

    rgb, roi = Scene().frame(0, {0: (200, 180, 100)}).rgb, Roi((200.0, 180.0), 250.0, 0.0)
    (seen,) = observe(landmarker, rgb, [roi])
    assert seen.features is not None
    assert seen.features.shape == FEATURES
    assert (seen.features == seen.features[:, :1]).all()
    np.testing.assert_allclose(seen.features[:5, 0], [5.5, 7.5, 9.5, 11.5, 25.5])
    assert observe(FakeLandmarker(), rgb, [roi])[0].features is None


def test_batch_is_single() -> None:
    rgb = Scene().frame(0, {0: (200, 180, 100), 1: (450, 200, 80)}).rgb
    rois = [Roi((200.0, 180.0), 250.0, 0.0), Roi((450.0, 200.0), 200.0, 0.1)]
    both = observe(FakeLandmarker(), rgb, rois)
    for one, roi in zip(both, rois, strict=True):
        (alone,) = observe(FakeLandmarker(), rgb, [roi])
        assert np.array_equal(one.landmarks_px, alone.landmarks_px)
        assert np.array_equal(one.colors, alone.colors)


def _slow_colors(picture: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Of one crop that shows everything: chest, belly and thighs, one point at a time."""
    shoulders, hips, knees = xy[[11, 12]], xy[[23, 24]], xy[[25, 26]]
    rows = []
    for down in (0.2, 0.4, 0.6, 0.8):
        left, right = shoulders + down * (hips - shoulders)
        rows.append([left + across * (right - left) for across in (0.2, 0.4, 0.6, 0.8)])
    thighs = [hips[side] + share * (knees[side] - hips[side]) for side in (0, 1) for share in (0.2, 0.4, 0.6, 0.8)]
    places = [rows[0] + rows[1], rows[2] + rows[3], thighs]
    return np.array([np.mean([picture[int(y), int(x)] / 255 for x, y in one], axis=0) for one in places])


def test_colors_are_the_slow_loop() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 256, 256, 3), np.uint8)
    xy = rng.uniform(5, 250, (3, 35, 2)).astype(np.float32)
    found = clothes_colors(pictures, xy, np.ones((3, 33)))
    slow = np.stack([_slow_colors(*one) for one in zip(pictures, xy, strict=True)])
    assert np.abs(found - slow).max() < 1e-4


def test_colors_are_those_of_the_clothes() -> None:
    pictures = np.zeros((1, 256, 256, 3), np.uint8)
    xy = (128 + 90 * TEMPLATE[:33])[None]
    pictures[:, :110], pictures[:, 110:128], pictures[:, 128:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    colors = clothes_colors(pictures, xy, np.ones((1, 33)))[0]
    assert np.allclose(colors[0], (1, 0, 0))
    assert colors[1, 1] > 0.4
    assert np.allclose(colors[2], (0, 0, 1))
    assert np.isnan(clothes_colors(pictures, xy + 1000, np.ones((1, 33)))).all()
    assert np.isnan(clothes_colors(pictures, xy, np.zeros((1, 33)))[0, 2]).all()  # the knees are not seen
