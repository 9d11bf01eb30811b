"""What the landmark network says about a batch of crops, back in the frame: landmarks, visibility, colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mocap.people.detection import Network
from mocap.people.roi import CROP_SIZE, crop, frame_from_crop
from mocap.types import Array, Roi

NUM_LANDMARKS = 33
FEATURES = (16, 288)  # places of a map of 4 x 4, row by row, and channels
_FEATURE_MAP = "features_8"  # an output of the landmark network that not everybody asks for
_USED = 35  # the 33 of the body, and two auxiliary points that give the next square
_HEATMAP_SIZE = 64
_KERNEL = np.arange(-3, 4)
# A window's weights (49,) times this are their moments along x and along y, and their sum.
_MOMENTS = np.stack([np.tile(_KERNEL, 7), np.repeat(_KERNEL, 7), np.ones(49)], -1).astype(np.float32)
_MIN_CONFIDENCE = 0.5
_CORNERS = [11, 12, 23, 24, 25, 26]  # left and right shoulder, hip and knee
_KNEES = [25, 26]


def _color_points() -> Array:
    """(24, 6): the points where clothes are looked at as weighted means of the corners, eight each on the chest, the
    belly and the thighs."""
    fifths = np.linspace(0, 1, 6)[1:5]
    corner = np.eye(6)
    down = fifths[:, None, None]  # four steps down the trunk, and four across
    trunk = (1 - down) * (1 - fifths[:, None]) * corner[0] + down * (1 - fifths[:, None]) * corner[2]
    trunk = trunk + (1 - down) * fifths[:, None] * corner[1] + down * fifths[:, None] * corner[3]
    thighs = [(1 - fifths[:, None]) * corner[side + 2] + fifths[:, None] * corner[side + 4] for side in (0, 1)]
    return np.concatenate([trunk.reshape(16, 6), *thighs]).astype(np.float32)


_COLOR_POINTS = _color_points()


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What the landmark network sees in one square of one frame."""

    roi: Roi
    score: float  # presence, in [0, 1]
    landmarks_px: Array  # (33, 3), as in Person
    landmarks_world: Array  # (33, 3) m, as in Person
    visibility: Array  # (33,) in [0, 1]
    axis_px: Array  # (2, 2) px: between the hips, and half a body away towards the head
    colors: Array  # (3, 3) mean RGB in [0, 1] of the chest, the belly and the thighs; NaN where not seen

    half_height_px: float  # about half a body, whatever the pose: the length of ``axis_px``
    is_finite: bool  # all of the above but the colours
    features: Array | None = None  # (16, 288), as in Person


def observe(landmarker: Network, rgb: NDArray[np.uint8], rois: Sequence[Roi]) -> list[Observation]:
    """Run the landmark network once over all squares of a frame (H, W, 3) uint8. Values may be non-finite."""
    if not rois:
        return []
    crops = np.empty((len(rois), CROP_SIZE, CROP_SIZE, 3), np.uint8)
    for picture, roi in zip(crops, rois, strict=True):
        crop(rgb, roi, picture)
    outputs = landmarker({"image": np.multiply(crops, np.float32(1 / 255), dtype=np.float32)})
    points = outputs["landmarks"][:, :_USED].astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        xy = refine_with_heatmaps(points[..., :2], outputs["heatmaps"])
        visibility = 1 / (1 + np.exp(-points[:, :NUM_LANDMARKS, 3]))
        colors = clothes_colors(crops, xy, visibility)
        found = _in_frame(rois, xy, points[..., 2], outputs["presence"][:, 0], outputs["world"], visibility, colors)
    if _FEATURE_MAP not in outputs:
        return found
    pooled = _pooled(outputs[_FEATURE_MAP])
    return [replace(one, features=features) for one, features in zip(found, pooled, strict=True)]


def _pooled(features: Array) -> Array:
    """The landmark network's innermost map (B, 8, 8, 288), means of two by two, row by row: (B, 16, 288)."""
    batch, side, _, channels = features.shape
    return features.reshape(batch, side // 2, 2, side // 2, 2, channels).mean((2, 4)).reshape(batch, -1, channels)


def refine_with_heatmaps(points: Array, heatmaps: Array) -> Array:
    """Move each landmark to the weighted mean of its heatmap nearby, where the heatmap is confident.

    MediaPipe's ``RefineLandmarksFromHeatmapCalculator`` with a kernel of 7 cells and a confidence of 0.5.

    Args:
        points: (B, K, 2) crop pixels.
        heatmaps: (B, 64, 64, >= K) logits.

    Returns:
        (B, K, 2) crop pixels. NaN where the heatmap around a point is not finite.
    """
    batch, count, _ = points.shape
    cell_px = np.float32(CROP_SIZE / _HEATMAP_SIZE)
    cells = points / cell_px
    # To the outside with what is not finite: comparisons with NaN are false.
    center = np.where(np.abs(cells) < 2 * _HEATMAP_SIZE, cells, -1).astype(np.intp)
    window = center[..., None] + _KERNEL  # (B, K, 2, 7) columns and rows
    nearest = np.minimum(np.maximum(window, 0), _HEATMAP_SIZE - 1)
    exists = window == nearest
    channels = heatmaps.shape[-1]
    row = nearest[..., 1, :, None] * (_HEATMAP_SIZE * channels)
    first = np.arange(batch)[:, None] * heatmaps[0].size + np.arange(count)
    logits = heatmaps.reshape(-1)[row + nearest[..., 0, None, :] * channels + first[..., None, None]]
    weight = (exists[..., 1, :, None] & exists[..., 0, None, :]) / (1 + np.exp(-logits))
    weight = weight.reshape(batch, count, -1)
    moments = weight @ _MOMENTS
    mean = center + moments[..., :2] / np.maximum(moments[..., 2:], 1e-12)
    confident = (center == nearest[..., 3]).all(-1) & (weight.max(-1) >= _MIN_CONFIDENCE)
    refined = np.where(confident[..., None], mean * cell_px, points)
    refined[np.isnan(moments[..., 2])] = np.nan
    return refined.astype(np.float32)


def _in_frame(
    rois: Sequence[Roi], xy: Array, z: Array, presence: Array, world: Array, visibility: Array, colors: Array
) -> list[Observation]:
    """From crop pixels (B, 35, 2), (B, 35) and crop axes (B, >= 33, 3) to frame pixels and upright camera axes."""
    maps = np.array([frame_from_crop(roi) for roi in rois])
    in_frame = (xy @ np.swapaxes(maps[..., :2], -1, -2) + maps[:, None, :, 2]).astype(np.float32)
    scale = np.array([roi.size_px / CROP_SIZE for roi in rois], np.float32)[:, None]
    landmarks_px = np.concatenate([in_frame, (z * scale)[..., None]], -1)[:, :NUM_LANDMARKS]
    landmarks_world = world[:, :NUM_LANDMARKS].astype(np.float32)
    turns_T = (np.swapaxes(maps[..., :2], -1, -2) / scale[..., None]).astype(np.float32)
    landmarks_world[..., :2] = landmarks_world[..., :2] @ turns_T
    axes = in_frame[:, NUM_LANDMARKS:]
    length = np.sqrt(np.square(axes[:, 1] - axes[:, 0]).sum(-1)).tolist()
    finite = np.isfinite(landmarks_px).all((1, 2)) & np.isfinite(landmarks_world).all((1, 2))
    finite &= np.isfinite(visibility).all(1) & np.isfinite(axes).all((1, 2)) & np.isfinite(presence)
    seen = (presence.tolist(), landmarks_px, landmarks_world, visibility, axes, colors, length, finite.tolist())
    return [Observation(*row) for row in zip(rois, *seen, strict=True)]


def clothes_colors(pictures: NDArray[np.uint8], xy: Array, visibility: Array) -> Array:
    """Mean RGB (B, 3, 3) in [0, 1] of the chest, the belly and the thighs; NaN where the crops do not show them.

    Args:
        pictures: (B, 256, 256, 3) uint8, the crops.
        xy: (B, >= 33, 2) landmarks in crop pixels.
        visibility: (B, 33) in [0, 1].
    """
    points = _COLOR_POINTS @ xy[:, _CORNERS]  # (B, 24, 2)
    inside = ((points >= 0) & (points < CROP_SIZE)).all(-1)  # false for NaN
    column, row = np.moveaxis(np.where(inside[..., None], points, 0).astype(np.intp), -1, 0)
    rgb = pictures[np.arange(len(pictures))[:, None], row, column] * inside[..., None]
    count = inside.reshape(-1, 3, 8).sum(-1)
    seen = count >= 4
    seen[:, 2] &= visibility[:, _KNEES].max(-1) > 0.5
    mean = rgb.reshape(-1, 3, 8, 3).sum(2) / (255 * np.maximum(count, 1))[..., None]
    return np.where(seen[..., None], mean, np.nan).astype(np.float32)
