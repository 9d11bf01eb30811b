"""What the landmark network says about a batch of crops, back in the frame: landmarks, visibility, colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.people.detection import Network
from mocap.people.picture import Picture
from mocap.people.roi import CROP_SIZE, frame_from_crop
from mocap.types import Array, Roi

NUM_LANDMARKS = 33  # the landmark network gives two more, of which the next square is made
FEATURES = (16, 288)  # places of a map of 4 x 4, row by row, and channels
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


def observe(landmarker: Network, picture: Picture, rois: Sequence[Roi]) -> list[Observation]:
    """Run the landmark network once over all squares of a frame. Values may be non-finite."""
    if not rois:
        return []
    maps = np.array([frame_from_crop(roi) for roi in rois])
    image = picture.squares(maps, CROP_SIZE, low=0.0, repeat=True, home=landmarker.home)
    return in_frame(landmarker({"image": image}), picture.rgb, rois)


def in_frame(outputs: Mapping[str, Array], rgb: NDArray[np.uint8], rois: Sequence[Roi]) -> list[Observation]:
    """What the landmark network says of squares of a frame, in the frame's pixels and upright camera axes.

    Args:
        outputs: See :func:`mocap.models.blazepose.load_landmarker`, B of each.
        rgb: (H, W, 3) uint8.
        rois: The B squares.
    """
    maps = np.array([frame_from_crop(roi) for roi in rois])
    scale = np.array([roi.size_px / CROP_SIZE for roi in rois], np.float32)[:, None, None]
    turns_T = np.swapaxes(maps[..., :2], -1, -2)
    points, presence = outputs["landmarks"], outputs["presence"][:, 0]
    world, visibility = outputs["world"].copy(), outputs["visibility"]
    with np.errstate(over="ignore", invalid="ignore"):
        xy = (points[..., :2] @ turns_T + maps[:, None, :, 2]).astype(np.float32)
        landmarks_px = np.concatenate([xy, points[..., 2:] * scale], -1)[:, :NUM_LANDMARKS]
        world[..., :2] = world[..., :2] @ (turns_T / scale).astype(np.float32)
        axes = xy[:, NUM_LANDMARKS:]
        length = np.sqrt(np.square(axes[:, 1] - axes[:, 0]).sum(-1)).tolist()
        colors = clothes_colors(rgb, maps, points[..., :2], visibility)
    finite = np.isfinite(landmarks_px).all((1, 2)) & np.isfinite(world).all((1, 2))
    finite &= np.isfinite(visibility).all(1) & np.isfinite(axes).all((1, 2)) & np.isfinite(presence)
    features = outputs.get("features", [None] * len(rois))
    seen = (presence.tolist(), landmarks_px, world, visibility, axes, colors, length, finite.tolist(), features)
    return [Observation(*row) for row in zip(rois, *seen, strict=True)]


def clothes_colors(rgb: NDArray[np.uint8], maps: Array, xy: Array, visibility: Array) -> Array:
    """Mean RGB (B, 3, 3) in [0, 1] of the chest, the belly and the thighs; NaN where the crops do not show them.

    Args:
        rgb: (H, W, 3) uint8, the frame.
        maps: (B, 2, 3), from pixels of the crops to pixels of the frame.
        xy: (B, >= 33, 2) landmarks in crop pixels.
        visibility: (B, 33) in [0, 1].
    """
    points = _COLOR_POINTS @ xy[:, _CORNERS]  # (B, 24, 2)
    places = np.rint(points @ np.swapaxes(maps[..., :2], -1, -2) + maps[:, None, :, 2])
    size = rgb.shape[1::-1]
    inside = ((points >= 0) & (points < CROP_SIZE) & (places >= 0) & (places < size)).all(-1)  # false for NaN
    column, row = np.moveaxis(np.where(inside[..., None], places, 0).astype(np.intp), -1, 0)
    seen_rgb = rgb[row, column] * inside[..., None]
    count = inside.reshape(-1, 3, 8).sum(-1)
    seen = count >= 4
    seen[:, 2] &= visibility[:, _KNEES].max(-1) > 0.5
    mean = seen_rgb.reshape(-1, 3, 8, 3).sum(2) / (255 * np.maximum(count, 1))[..., None]
    return np.where(seen[..., None], mean, np.nan).astype(np.float32)
