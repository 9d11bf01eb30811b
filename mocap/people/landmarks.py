"""What the landmark network says about a batch of crops, back in the frame: landmarks, visibility, colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.people.detection import Network
from mocap.people.roi import CROP_SIZE, apply_affine, crop, frame_from_crop
from mocap.types import Array, Roi

NUM_LANDMARKS = 33
_USED = 35  # the 33 of the body, and two auxiliary points that give the next square
_HEATMAP_SIZE = 64
_KERNEL = np.arange(-3, 4)
_MIN_CONFIDENCE = 0.5
_LEFT_SHOULDER, _RIGHT_SHOULDER, _LEFT_HIP, _RIGHT_HIP, _LEFT_KNEE, _RIGHT_KNEE = 11, 12, 23, 24, 25, 26


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

    @property
    def is_finite(self) -> bool:
        return bool(
            np.isfinite(self.score)
            and np.isfinite(self.landmarks_px).all()
            and np.isfinite(self.landmarks_world).all()
            and np.isfinite(self.visibility).all()
            and np.isfinite(self.axis_px).all()
        )

    @property
    def half_height_px(self) -> float:
        """About half a body, whatever the pose."""
        return float(np.linalg.norm(self.axis_px[1] - self.axis_px[0]))


def observe(landmarker: Network, rgb: NDArray[np.uint8], rois: Sequence[Roi]) -> list[Observation]:
    """Run the landmark network once over all squares of a frame (H, W, 3) uint8. Values may be non-finite."""
    if not rois:
        return []
    crops = np.stack([crop(rgb, roi) for roi in rois])
    outputs = landmarker({"image": np.multiply(crops, np.float32(1 / 255), dtype=np.float32)})
    points = outputs["landmarks"][:, :_USED].astype(np.float32)
    refined = refine_with_heatmaps(points[..., :2], outputs["heatmaps"])
    with np.errstate(over="ignore", invalid="ignore"):
        visibility = 1 / (1 + np.exp(-points[:, :NUM_LANDMARKS, 3]))
        return [
            _to_frame(
                roi,
                crops[i],
                float(outputs["presence"][i, 0]),
                refined[i],
                points[i, :, 2],
                outputs["world"][i],
                visibility[i],
            )
            for i, roi in enumerate(rois)
        ]


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
    cell_px = CROP_SIZE / _HEATMAP_SIZE
    center = np.trunc(np.nan_to_num(points / cell_px, posinf=-1, neginf=-1)).clip(-1, _HEATMAP_SIZE).astype(np.intp)
    inside = ((center >= 0) & (center < _HEATMAP_SIZE)).all(axis=-1)
    col, row = (center[..., axis, None] + _KERNEL for axis in (0, 1))  # (B, K, 7) each
    col_ok, row_ok = ((axis >= 0) & (axis < _HEATMAP_SIZE) for axis in (col, row))
    logits = heatmaps[
        np.arange(batch)[:, None, None, None],
        row.clip(0, _HEATMAP_SIZE - 1)[..., :, None],
        col.clip(0, _HEATMAP_SIZE - 1)[..., None, :],
        np.arange(count)[:, None, None],
    ]
    with np.errstate(over="ignore"):
        weight = (row_ok[..., :, None] & col_ok[..., None, :]) / (1 + np.exp(-logits))
    total = np.maximum(weight.sum(axis=(-1, -2)), 1e-12)
    mean = np.stack([(weight.sum(axis=-2) * col).sum(axis=-1), (weight.sum(axis=-1) * row).sum(axis=-1)], axis=-1)
    confident = inside & (weight.max(axis=(-1, -2)) >= _MIN_CONFIDENCE)
    refined = np.where(confident[..., None], mean / total[..., None] * cell_px, points)
    return np.where(np.isnan(weight).any(axis=(-1, -2))[..., None], np.nan, refined).astype(np.float32)


def _to_frame(
    roi: Roi, picture: NDArray[np.uint8], score: float, xy: Array, z: Array, world: Array, visibility: Array
) -> Observation:
    """One crop's values, in crop pixels and crop axes, to an observation in frame pixels and upright camera axes."""
    in_frame = apply_affine(frame_from_crop(roi), xy).astype(np.float32)
    scale = np.float32(roi.size_px / CROP_SIZE)
    landmarks_px = np.concatenate([in_frame[:NUM_LANDMARKS], z[:NUM_LANDMARKS, None] * scale], axis=1)
    cos, sin = np.cos(roi.rotation), np.sin(roi.rotation)
    landmarks_world = world[:NUM_LANDMARKS].astype(np.float32)
    landmarks_world[:, :2] = landmarks_world[:, :2] @ np.array([[cos, sin], [-sin, cos]], np.float32)
    colors = clothes_colors(picture, xy, visibility)
    return Observation(roi, score, landmarks_px, landmarks_world, visibility, in_frame[NUM_LANDMARKS:_USED], colors)


def clothes_colors(picture: NDArray[np.uint8], xy: Array, visibility: Array) -> Array:
    """Mean RGB (3, 3) in [0, 1] of the chest, the belly and the thighs; NaN where the crop does not show them.

    Args:
        picture: (256, 256, 3) uint8, the crop.
        xy: (>= 33, 2) landmarks in crop pixels.
        visibility: (33,) in [0, 1].
    """
    left = np.linspace(xy[_LEFT_SHOULDER], xy[_LEFT_HIP], 6)[1:5]
    right = np.linspace(xy[_RIGHT_SHOULDER], xy[_RIGHT_HIP], 6)[1:5]
    torso = np.linspace(left, right, 6)[1:5].transpose(1, 0, 2)  # (4 down, 4 across, 2)
    thighs = np.concatenate(
        [np.linspace(xy[_LEFT_HIP], xy[_LEFT_KNEE], 6)[1:5], np.linspace(xy[_RIGHT_HIP], xy[_RIGHT_KNEE], 6)[1:5]]
    )
    points = np.concatenate([torso.reshape(16, 2), thighs]).reshape(3, 8, 2)
    inside = ((points >= 0) & (points < CROP_SIZE)).all(axis=-1)  # false for NaN
    column, row = np.moveaxis(np.where(inside[..., None], points, 0).astype(np.intp), -1, 0)
    rgb = picture[row, column].astype(np.float32) / 255
    seen = inside.sum(axis=1) >= 4
    seen[2] &= bool(visibility[[_LEFT_KNEE, _RIGHT_KNEE]].max() > 0.5)
    total = (rgb * inside[..., None]).sum(axis=1)
    return np.where(seen[:, None], total / np.maximum(inside.sum(axis=1), 1)[:, None], np.nan).astype(np.float32)
