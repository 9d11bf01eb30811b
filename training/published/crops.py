"""Crops of people for HMR2.0 and TokenHMR (supplement B.3), augmented in training; NumPy, one person at a time.

box = max(expand_to_aspect(size, (3, 4)))                 # evaluation; training: max(size)
example = get_example(person, rgb, center, box, draw(rng))  # evaluation: without draw
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.body.skeleton import JOINT_NAMES
from mocap.config import option

Array = NDArray[np.floating[Any]]

MEAN = 255 * np.array([0.485, 0.456, 0.406])  # ImageNet's, RGB
DEVIATION = 255 * np.array([0.229, 0.224, 0.225])
SIDE = 256  # px of a crop
_LEAST_PX = 4  # a part's box that is smaller is not taken

# Indices of the 44 keypoints (OpenPose's 25, LSP's 14, MPII's 2, Human3.6M's 3) on the other side of the body.
FLIPPED_KEYPOINTS = (
    0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21,
    30, 29, 28, 27, 26, 25, 36, 35, 34, 33, 32, 31, 37, 38, 39, 40, 41, 42, 43,
)  # fmt: skip
_OTHER_SIDE = {"left": "right", "right": "left"}
FLIPPED_JOINTS = tuple(
    JOINT_NAMES.index("_".join(_OTHER_SIDE.get(word, word) for word in name.split("_"))) for name in JOINT_NAMES
)

_HEAD, _NECK, _SHOULDERS, _OPENPOSE_SHOULDERS = {0, 15, 16, 17, 18, 38, 42, 43}, {1, 37}, {2, 5, 33, 34}, {2, 5}
_HIPS, _PELVIS, _CHEST = {9, 12, 27, 28}, {8, 39}, {40, 41}
_RIGHT_ARM, _LEFT_ARM = {2, 3, 4, 31, 32, 33}, {5, 6, 7, 34, 35, 36}
_RIGHT_LEG, _LEFT_LEG = {9, 10, 11, 22, 23, 24, 25, 26, 27}, {12, 13, 14, 19, 20, 21, 28, 29, 30}
# Parts that a crop may be cut to: the keypoints in it, and what their box is widened by.
PARTS = {
    "hips": (_HEAD | _NECK | _RIGHT_ARM | _LEFT_ARM | _CHEST | _PELVIS | _HIPS, 1.1),
    "shoulders": (_HEAD | _NECK | _SHOULDERS, 1.2),
    "head": (_HEAD | _NECK | _OPENPOSE_SHOULDERS, 1.3),
    "torso": (_NECK | _SHOULDERS | _CHEST | _PELVIS | _HIPS, 1.1),
    "right_arm": (_RIGHT_ARM, 1.1),
    "left_arm": (_LEFT_ARM, 1.1),
    "legs": (_RIGHT_LEG | _LEFT_LEG | _PELVIS, 1.1),
    "right_leg": (_RIGHT_LEG, 1.1),
    "left_leg": (_LEFT_LEG, 1.1),
}
_WIDER = 1.2  # of a box around keypoints
# Probabilities of the parts. Aggressive crops are those of TokenHMR's release.
USUAL = {"hips": 0.7, "shoulders": 0.2, "head": 0.1}
AGGRESSIVE = {"hips": 0.2, **{part: 0.1 for part in PARTS if part != "hips"}}


@dataclass(frozen=True)
class Augmentation:
    """What is done to one crop."""

    scale: float = 1.0  # of the box
    rotation: float = 0.0  # degrees, of the box in the picture, from x (right) to y (down)
    flip: bool = False  # left and right
    shift: tuple[float, float] = (0.0, 0.0)  # of the box, in its widths and heights
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)  # factors of red, green, blue
    part: str | None = None  # of PARTS, that is left of the person


NOT_AUGMENTED = Augmentation()


@dataclass(frozen=True)
class AugmentationConfig:
    """What may be done to a crop; the defaults are as released. Normal deviates are clipped at 1, of rotations at 2."""

    shift: float = option(0.02, "standard deviation of the box's place, in its sides", low=0)
    scale: float = option(0.3, "standard deviation of the box's side, relative", low=0, high=1)
    rotation: float = option(30.0, "standard deviation of the box's angle", "DEGREES", low=0)
    rotation_rate: float = option(0.6, "share of crops that are turned", "SHARE", low=0, high=1)
    flip_rate: float = option(0.5, "share that is mirrored", "SHARE", low=0, high=1)
    color: float = option(0.2, "largest relative change of a colour", low=0, high=1)
    part_rate: float = option(0.1, "share that is cut to a part of the body", "SHARE", low=0, high=1)
    aggressive: bool = option(True, "cut to any part, an arm alone too; off: to what is above hips, shoulders or chin")


@dataclass(frozen=True)
class Person:
    """Labels of a person in a picture, and after :func:`get_example` in the crop."""

    keypoints_2d: Array  # (n, 3) x, y, confidence; px, then sides of the crop with 0 in its middle
    keypoints_3d: Array  # (n, 4) x, y, z, confidence; m, camera axes
    orientation: Array  # (3,) rad, axis-angle of the pelvis in the camera
    pose: Array  # (69,) rad, axis-angles of the other joints
    betas: Array  # (10,)


@dataclass(frozen=True)
class Example:
    """A crop and its labels."""

    image: NDArray[np.float32]  # (3, side, side) RGB less ImageNet's mean, over its deviation; (3, 0, 0): none
    person: Person
    crop_from_picture: Array  # (2, 3) affine, px; of the mirrored picture if it was mirrored


def draw(rng: np.random.Generator, config: AugmentationConfig = AugmentationConfig()) -> Augmentation:
    """A random augmentation."""
    shift, scale = config.shift * _normal(rng, 2), 1 + config.scale * float(_normal(rng, 1)[0])
    turned, flip, cut = rng.random(3) < (config.rotation_rate, config.flip_rate, config.part_rate)
    parts = AGGRESSIVE if config.aggressive else USUAL
    return Augmentation(
        scale=scale,
        rotation=config.rotation * float(_normal(rng, 1, 2.0)[0]) if turned else 0.0,
        flip=bool(flip),
        shift=(float(shift[0]), float(shift[1])),
        color=tuple(rng.uniform(1 - config.color, 1 + config.color, 3)),
        part=str(rng.choice(list(parts), p=list(parts.values()))) if cut else None,
    )


def get_example(
    person: Person,
    rgb: NDArray[np.uint8] | None,
    center: Array,
    box: float,
    augmentation: Augmentation = NOT_AUGMENTED,
    side: int = SIDE,
    flipped: tuple[int, ...] = FLIPPED_KEYPOINTS,
    exact: bool = True,
) -> Example:
    """Crop and labels of a person. The box is cut to a part of the body, shifted, mirrored with the whole picture,
    and then scaled and turned; colours come last.

    Args:
        rgb: (H, W, 3); None: labels alone, which do not depend on the picture.
        center: (2,) px, of the person's box.
        box: px, its side, or the longer one.
        side: px of the crop.
        flipped: (n,) each keypoint's twin on the other side.
        exact: See :func:`crop_image`.
    """
    if augmentation.part is not None:
        cut = part_box(center, box, person.keypoints_2d, augmentation.part)
        center, box = cut if cut[1] >= _LEAST_PX else (center, box)
    center = np.asarray(center, np.float64) + box * np.array(augmentation.shift)
    if augmentation.flip:
        width = 0 if rgb is None else rgb.shape[1]  # where the mirror is does not matter for labels in the crop
        rgb, center = None if rgb is None else rgb[:, ::-1], np.array([width - center[0] - 1, center[1]])
        person = flip_person(person, width, flipped)
    affine = crop_affine(center, box * augmentation.scale, side, augmentation.rotation)
    person = turn_person(person, augmentation.rotation)
    keypoints = person.keypoints_2d.copy()
    keypoints[:, :2] = (keypoints[:, :2] @ affine[:, :2].T + affine[:, 2]) / side - 0.5
    nothing = np.empty((3, 0, 0), np.float32)
    image = nothing if rgb is None else crop_image(rgb, affine, side, augmentation.color, exact)
    return Example(image, replace(person, keypoints_2d=keypoints), affine)


def crop_image(
    rgb: NDArray[np.uint8],
    affine: Array,
    side: int = SIDE,
    color: tuple[float, float, float] = (1.0, 1.0, 1.0),
    exact: bool = True,
) -> NDArray[np.float32]:
    """Picture (H, W, 3) -> normalised crop (3, side, side), black where the picture ends; ``color`` are factors.

    Bilinear, to whole grey levels, which is what OpenCV's warpAffine gives in the releases that do not round places to
    1/32 px; 4.11, which mediapipe asks for, still does.

    Args:
        exact: False: with OpenCV's rounding, thirty times as fast, for training.
    """
    if not exact:
        crop = cv2.warpAffine(rgb, affine, (side, side), flags=cv2.INTER_LINEAR)
        return _normalised(crop.transpose(2, 0, 1), color)
    # Back to the single precision of the points behind it: values midway between two levels are then exactly there.
    # scipy counts rows first.
    inverse = cv2.invertAffineTransform(affine)[::-1].astype(np.float32)
    matrix, offset = inverse[:, 1::-1], inverse[:, 2]
    channels = [
        affine_transform(channel, matrix, offset, (side, side), np.float64, order=1, mode="grid-constant")
        for channel in rgb.transpose(2, 0, 1)
    ]
    return _normalised(np.rint(channels), color)


def _normalised(channels: NDArray[Any], color: tuple[float, float, float]) -> NDArray[np.float32]:
    factors, mean, deviation = (np.array(values, np.float32)[:, None, None] for values in (color, MEAN, DEVIATION))
    return np.asarray((np.clip(channels * factors, 0, 255) - mean) / deviation, np.float32)


def crop_affine(center: Array, box: float, side: int = SIDE, rotation: float = 0.0) -> NDArray[np.float64]:
    """(2, 3) from px of the picture to px of a crop: a square of ``box`` px, turned by ``rotation`` degrees."""
    angle = np.radians(rotation)
    right = 0.5 * box * np.array([np.cos(angle), np.sin(angle)])
    down = right[::-1] * (-1, 1)
    # Through points in single precision, as released, so that no pixel is off by a grey level.
    source = np.stack([center, center + down, center + right]).astype(np.float32)
    target = np.array([[0.5, 0.5], [0.5, 1.0], [1.0, 0.5]], np.float32) * side
    return np.asarray(cv2.getAffineTransform(source, target), np.float64)


def flip_person(person: Person, width: int, flipped: tuple[int, ...] = FLIPPED_KEYPOINTS) -> Person:
    """The person in the mirrored picture of ``width`` px: left and right change places."""
    in_picture, in_space = person.keypoints_2d[list(flipped)], person.keypoints_3d[list(flipped)]
    in_picture[:, 0] = width - in_picture[:, 0] - 1
    in_space[:, 0] *= -1
    mirror = np.array([1, -1, -1], person.pose.dtype)  # axial vectors keep x
    others = [joint - 1 for joint in FLIPPED_JOINTS[1:]]
    pose = (person.pose.reshape(-1, 3)[others] * mirror).reshape(-1)
    return Person(in_picture, in_space, person.orientation * mirror, pose, person.betas)


def turn_person(person: Person, rotation: float) -> Person:
    """The person in space as a box turned by ``rotation`` degrees sees them; the picture's keypoints stay."""
    if rotation == 0:
        return person
    angle = np.radians(-rotation)
    R = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    turned = person.keypoints_3d.copy()
    turned[:, :3] = turned[:, :3] @ R.T
    orientation = matrix_to_axis_angle(R @ axis_angle_to_matrix(person.orientation.astype(np.float64)))
    return replace(person, keypoints_3d=turned, orientation=orientation.astype(person.orientation.dtype))


def part_box(center: Array, box: float, keypoints: Array, part: str) -> tuple[Array, float]:
    """Centre (2,) and side, px, of the square around a part of the body; the given ones where not enough of the part's
    keypoints (n, 3) are known."""
    kept, wider = PARTS[part]
    confidence = np.where(np.isin(np.arange(len(keypoints)), list(kept)), keypoints[:, 2], 0)
    if confidence.sum() <= 1:
        return center, box
    points = keypoints[confidence > 0, :2].astype(np.float64)
    low, high = points.min(0), points.max(0)
    return 0.5 * (low + high), float(wider * _WIDER * (high - low).max())


def expand_to_aspect(size: Array, aspect: tuple[float, float] | None) -> Array:
    """The smallest box (2,) of an aspect (width, height) that a box of ``size`` fits in; None: the box itself."""
    if aspect is None:
        return size
    ratio = np.asarray(aspect, np.float64)
    return ratio * np.max(np.asarray(size) / ratio)


def _normal(rng: np.random.Generator, count: int, most: float = 1.0) -> Array:
    return np.clip(rng.standard_normal(count), -most, most)
