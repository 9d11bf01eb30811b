"""Where people are in a picture: the pose detector's input, its anchors, and what its raw outputs mean.

The numbers are those of MediaPipe's ``pose_detection_cpu`` graph, so that both find the same people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from mocap.people.picture import Picture
from mocap.types import Array


class Network(Protocol):
    """An :class:`engines.Engine`, or what does the same."""

    @property
    def home(self) -> str | None:
        """The torch device that it takes its input on, if not from the host."""

    def __call__(self, inputs: dict[str, Any]) -> Mapping[str, Array]: ...


INPUT_SIZE = 224  # px, side of the detector's square input
MIN_IOU = 0.3  # boxes that overlap more than this are one person
MAX_LOGIT = 100.0
_LAYERS = ((8, 2), (16, 2), (32, 6))  # stride, anchors per cell; the three layers of stride 32 share their cells


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One person as the detector sees it, in pixels of the frame."""

    score: float  # in [0, 1]
    box_px: Array  # (4,) x0, y0, x1, y1 of the face
    keypoints_px: Array  # (4, 2) mid hip, full-body size and rotation, mid shoulder, upper-body size and rotation

    @property
    def half_height_px(self) -> float:
        """Distance from the hips to the point that tells size and rotation: about half a body."""
        return float(np.linalg.norm(self.keypoints_px[1] - self.keypoints_px[0]))


@lru_cache(maxsize=1)
def ssd_anchors() -> Array:
    """Centres of the 2254 anchors (2254, 2) x, y in [0, 1] of the input; all have the size of the whole input."""
    centers = []
    for stride, per_cell in _LAYERS:
        cells = INPUT_SIZE // stride
        axis = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # row by row, x fastest
        centers.append(np.repeat(grid, per_cell, axis=0))
    return np.concatenate(centers)


def letterbox_matrix(width: int, height: int) -> Array:
    """Affine map (2, 3) from detector-input pixels to frame pixels: the whole frame, centred, aspect kept."""
    scale = max(width, height) / INPUT_SIZE
    half = INPUT_SIZE / 2
    return np.array([[scale, 0, width / 2 - scale * half], [0, scale, height / 2 - scale * half]], np.float32)


def letterbox(picture: Picture, home: str | None = None) -> tuple[Any, Array]:
    """Fit a frame into the detector's input.

    Returns:
        The input (1, 224, 224, 3) float32 in [-1, 1], black where the frame does not reach, at ``home`` (see
        :meth:`Picture.squares`), and the affine map (2, 3) from its pixels to pixels of the frame.
    """
    frame_from_input = letterbox_matrix(picture.rgb.shape[1], picture.rgb.shape[0])
    return picture.squares(frame_from_input[None], INPUT_SIZE, -1.0, False, home), frame_from_input


def decode(boxes: Array, scores: Array, min_score: float) -> tuple[Array, Array]:
    """Raw outputs for one picture to boxes and keypoints.

    Args:
        boxes: (2254, 12) box centre, box size and 4 keypoints relative to the anchors, in input pixels.
        scores: (2254, 1) logits.
        min_score: Boxes below it are left out, in [0, 1].

    Returns:
        Values (N, 12) x0, y0, x1, y1 and 4 keypoints, in input pixels, and scores (N,) in [0, 1]. Boxes that are not
        finite or have a negative size are left out.
    """
    logits = np.clip(scores[:, 0].astype(np.float64), -MAX_LOGIT, MAX_LOGIT)  # exp(100) is too much for float32
    probability = 1 / (1 + np.exp(-logits))
    keep = (probability >= min_score) & np.isfinite(scores[:, 0]) & np.isfinite(boxes).all(axis=1)
    keep &= (boxes[:, 2:4] >= 0).all(axis=1)
    raw = boxes[keep].reshape(-1, 6, 2)
    anchors = ssd_anchors()[keep] * INPUT_SIZE
    values = np.empty_like(raw)
    values[:, 0] = raw[:, 0] + anchors - raw[:, 1] / 2
    values[:, 1] = raw[:, 0] + anchors + raw[:, 1] / 2
    values[:, 2:] = raw[:, 2:] + anchors[:, None]
    return values.reshape(-1, 12), probability[keep]


def box_iou(box: Array, boxes: Array) -> Array:
    """Intersection over union of one box (4,) x0, y0, x1, y1 with boxes (N, 4) -> (N,)."""
    size = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    intersection = np.prod(np.maximum(size, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - intersection
    return intersection / np.maximum(union, 1e-12)


def weighted_nms(values: Array, scores: Array, min_iou: float = MIN_IOU) -> tuple[Array, Array]:
    """Merge boxes of the same person: each group around the best box becomes its mean, weighted by score.

    Args:
        values: (N, 12) boxes x0, y0, x1, y1 and keypoints.
        scores: (N,).
        min_iou: Boxes that overlap the best one more than this belong to its group.

    Returns:
        Merged values (M, 12), and the best score (M,) of each group, best first.
    """
    order = np.argsort(-scores, kind="stable")
    values, scores = values[order], scores[order]
    merged, best = [], []
    while len(values):
        same = box_iou(values[0, :4], values[:, :4]) > min_iou
        same[0] = True  # also where the box has no area
        merged.append(np.average(values[same], axis=0, weights=scores[same]))
        best.append(scores[0])
        values, scores = values[~same], scores[~same]
    return np.array(merged, np.float32).reshape(-1, 12), np.array(best, np.float32)


def detect(detector: Network, picture: Picture, min_score: float) -> tuple[list[Detection], bool]:
    """Find the people in a frame, best first; and whether the network's outputs were finite."""
    image, frame_from_input = letterbox(picture, detector.home)
    outputs = detector({"image": image})
    boxes, scores = outputs["boxes"][0], outputs["scores"][0]
    values, best = weighted_nms(*decode(boxes, scores, min_score))
    points = values.reshape(-1, 6, 2) @ frame_from_input[:, :2].T + frame_from_input[:, 2]
    detections = [Detection(float(score), p[:2].reshape(4), p[2:]) for p, score in zip(points, best, strict=True)]
    return detections, bool(np.isfinite(boxes).all() and np.isfinite(scores).all())
