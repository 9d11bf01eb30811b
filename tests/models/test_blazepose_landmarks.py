"""The landmark network's outputs, as MediaPipe reads them."""

from __future__ import annotations

import math

import numpy as np
import torch

from mocap.models import blazepose
from mocap.models.blazepose import LANDMARKER
from mocap.models.blazepose_landmarks import refine


def refined_by(points: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    return refine(torch.from_numpy(points), torch.from_numpy(heatmaps), 256).numpy()


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
    heatmaps = rng.normal(-6, 3, (3, 64, 64, 35)).astype(np.float32)
    refined = refined_by(points, heatmaps)
    slow = np.stack([_slow_refine(p.astype(float), h) for p, h in zip(points, heatmaps, strict=True)])
    assert np.abs(refined - slow).max() < 1e-3
    assert 0 < (refined != points).any(axis=-1).mean() < 1  # some are refined, some are not


def test_refinement_finds_the_peak() -> None:
    points = np.full((1, 1, 2), 100, np.float32)
    heatmaps = np.full((1, 64, 64, 1), -30, np.float32)
    heatmaps[0, 26, 23, 0] = 5
    assert np.allclose(refined_by(points, heatmaps)[0, 0], (23 * 4, 26 * 4), atol=1e-3)


def test_refinement_tells_of_nan() -> None:
    points = np.array([[(100, 100), (30, 30), (np.nan, 5)]], np.float32)
    heatmaps = np.full((1, 64, 64, 3), -30, np.float32)
    heatmaps[0, 25, 25, 0] = np.nan
    refined = refined_by(points, heatmaps)
    assert np.isnan(refined[0, 0]).all()
    assert np.array_equal(refined[0, 1], (30, 30))
    assert np.isnan(refined[0, 2, 0])


def test_it_is_the_network_of_the_file_refined_and_pooled() -> None:
    names = ("landmarks", "presence", "world", "heatmaps", "features_8")
    image = torch.from_numpy(blazepose.sample_images(LANDMARKER)["image"])
    with torch.no_grad():
        raw, found = (
            blazepose.build(LANDMARKER, names)(image),
            blazepose.landmarker_network(features=True).build()(image),
        )
    landmarks = raw["landmarks"][:, :35]
    refined = refine(landmarks[..., :2], raw["heatmaps"][..., :35], 256)
    torch.testing.assert_close(found["landmarks"][..., :2], refined)
    torch.testing.assert_close(found["landmarks"][..., 2], landmarks[..., 2])
    torch.testing.assert_close(found["visibility"], landmarks[:, :33, 3].sigmoid())
    torch.testing.assert_close(found["presence"], raw["presence"])
    torch.testing.assert_close(found["world"], raw["world"][:, :33])
    third = raw["features_8"][:, 0:2, 4:6].mean((1, 2))  # places are row by row
    torch.testing.assert_close(found["features"][:, 2], third)
    assert "features" not in blazepose.landmarker_network().spec.outputs
