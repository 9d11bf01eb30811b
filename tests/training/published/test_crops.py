from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix
from training.published.crops import (
    AGGRESSIVE,
    DEVIATION,
    FLIPPED_JOINTS,
    FLIPPED_KEYPOINTS,
    MEAN,
    NOT_AUGMENTED,
    PARTS,
    USUAL,
    Augmentation,
    AugmentationConfig,
    Person,
    crop_affine,
    crop_image,
    draw,
    expand_to_aspect,
    flip_person,
    get_example,
    part_box,
    turn_person,
)

RNG = np.random.default_rng(0)
CENTER, BOX = np.array([150.0, 110.0]), 160.0
Array = NDArray[np.floating[Any]]
MANY = Augmentation(scale=1.2, rotation=25.0, flip=True, shift=(0.02, -0.01), color=(0.9, 1.1, 1.0))


def person() -> Person:
    """Whose keypoints in space lie in the picture's plane, 1 m for 100 px."""
    px = CENTER + RNG.uniform(-50, 50, (44, 2))
    in_picture = np.column_stack([px, np.ones(44)])
    in_space = np.column_stack([(px - CENTER) / 100, np.zeros(44), np.ones(44)])
    return Person(in_picture, in_space, RNG.normal(size=3), RNG.normal(size=69), RNG.normal(size=10))


def picture() -> NDArray[np.uint8]:
    """Smooth, so that a shift by a fraction of a pixel changes little."""
    return cv2.GaussianBlur(RNG.integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 6)


def test_centre_and_sides_of_the_box_reach_those_of_the_crop() -> None:
    affine = crop_affine(CENTER, BOX, 64)
    corners = np.array([[70.0, 30.0, 1.0], [230.0, 190.0, 1.0], [150.0, 110.0, 1.0]])
    np.testing.assert_allclose(corners @ affine.T, [[0, 0], [64, 64], [32, 32]], atol=1e-4)
    turned = crop_affine(CENTER, BOX, 64, rotation=90)
    np.testing.assert_allclose(turned @ [150, 190, 1], [64, 32], atol=1e-4)  # what is below comes to the right


@pytest.mark.parametrize("augmentation", [NOT_AUGMENTED, MANY, replace(MANY, flip=False, rotation=-60.0, scale=0.8)])
def test_keypoints_stay_on_their_pixels(augmentation: Augmentation) -> None:
    someone = person()
    for index in (4, 7, 16, 30):
        rgb = np.zeros((240, 320, 3), np.uint8)
        x, y = np.rint(someone.keypoints_2d[index, :2]).astype(int)
        someone.keypoints_2d[index, :2] = x, y
        rgb[y - 1 : y + 2, x - 1 : x + 2] = 255
        example = get_example(someone, rgb, CENTER, BOX, augmentation, side=128)
        bright = example.image.sum(0)
        bright = np.where(bright > bright.min() + 1e-3, bright - bright.min(), 0)
        seen = np.array([(bright * grid).sum() / bright.sum() for grid in np.mgrid[:128, :128][::-1]])
        twin = FLIPPED_KEYPOINTS.index(index) if augmentation.flip else index
        np.testing.assert_allclose(128 * (example.person.keypoints_2d[twin, :2] + 0.5), seen, atol=0.3)


@pytest.mark.parametrize(
    "augmentation", [NOT_AUGMENTED, MANY, replace(MANY, flip=False), replace(MANY, rotation=-70.0)]
)
def test_space_turns_and_flips_with_the_picture(augmentation: Augmentation) -> None:
    example = get_example(person(), picture(), CENTER, BOX, augmentation, side=64)
    in_picture, in_space = example.person.keypoints_2d, example.person.keypoints_3d
    metres = BOX * augmentation.scale / 100
    expected = metres * (in_picture[:, :2] - in_picture[:1, :2])
    np.testing.assert_allclose(in_space[:, :2] - in_space[:1, :2], expected, atol=1e-4)


def test_mirrored_rotations_are_rotations_seen_in_a_mirror() -> None:
    someone, mirror = person(), np.diag([-1.0, 1.0, 1.0])
    mirrored = flip_person(someone, 320)
    R, R_mirrored = (
        axis_angle_to_matrix(np.concatenate([x.orientation, x.pose]).reshape(-1, 3)) for x in (someone, mirrored)
    )
    np.testing.assert_allclose(R_mirrored, mirror @ R[list(FLIPPED_JOINTS)] @ mirror, atol=1e-6)
    again = flip_person(mirrored, 320)
    for name in ("keypoints_2d", "keypoints_3d", "orientation", "pose", "betas"):
        np.testing.assert_allclose(getattr(again, name), getattr(someone, name))


def test_orientation_turns_about_the_cameras_axis() -> None:
    someone = person()
    turned = turn_person(someone, 90.0)
    R = axis_angle_to_matrix(turned.orientation) @ axis_angle_to_matrix(someone.orientation).T
    np.testing.assert_allclose(R, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(turned.keypoints_3d[:, :3], someone.keypoints_3d[:, :3] @ R.T, atol=1e-6)
    assert turn_person(someone, 0.0) is someone


def test_labels_given_are_not_changed() -> None:
    someone, rgb = person(), picture()
    before, pixels = replace(someone, **{name: value.copy() for name, value in vars(someone).items()}), rgb.copy()
    get_example(someone, rgb, CENTER, BOX, replace(MANY, part="hips"), side=64)
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(someone, name), value)
    np.testing.assert_array_equal(rgb, pixels)


def test_image_is_the_normalised_picture() -> None:
    rgb = picture()
    same = crop_image(rgb[:64, :64], np.eye(2, 3), 64)
    np.testing.assert_allclose(same, ((rgb[:64, :64] - MEAN) / DEVIATION).transpose(2, 0, 1), atol=1e-5)
    outside = crop_image(rgb, crop_affine(np.array([-500.0, 0.0]), BOX, 64), 64)
    np.testing.assert_allclose(outside, np.broadcast_to((-MEAN / DEVIATION)[:, None, None], (3, 64, 64)), atol=1e-5)
    bright = crop_image(np.full_like(rgb, 200), crop_affine(CENTER, 50, 64), 64, color=(2.0, 1.0, 0.5))
    levels = bright.mean((1, 2)) * DEVIATION + MEAN
    np.testing.assert_allclose(levels, [255, 200, 100], atol=1e-3)


def test_image_is_within_opencvs_rounding() -> None:
    rgb, affine = picture(), crop_affine(CENTER, BOX, 64, rotation=20)
    theirs = cv2.warpAffine(rgb, affine, (64, 64), flags=cv2.INTER_LINEAR).transpose(2, 0, 1)
    ours = crop_image(rgb, affine, 64) * DEVIATION[:, None, None] + MEAN[:, None, None]
    assert np.abs(ours - theirs).max() < 1.01


@pytest.mark.parametrize("part", PARTS)
def test_part_is_around_its_keypoints_alone(part: str) -> None:
    keypoints = person().keypoints_2d
    center, box = part_box(CENTER, BOX, keypoints, part)
    inside = list(PARTS[part][0])
    assert (np.abs(keypoints[inside, :2] - center) <= box / 2).all()
    others = [index for index in range(44) if index not in inside]
    keypoints[others, :2] += 1000
    assert part_box(CENTER, BOX, keypoints, part)[1] == box
    keypoints[inside, 2] = 0
    assert part_box(CENTER, BOX, keypoints, part) == (CENTER, BOX)


def test_parts_of_the_sides_mirror_each_other() -> None:
    for part, (kept, _) in PARTS.items():
        twin = {"right": part.replace("right", "left"), "left_": part.replace("left", "right")}.get(part[:5], part)
        assert {FLIPPED_KEYPOINTS[index] for index in kept} == PARTS[twin][0]
    for parts in (USUAL, AGGRESSIVE):
        assert sum(parts.values()) == pytest.approx(1)


def test_parts_too_small_are_not_taken() -> None:
    someone = person()
    someone.keypoints_2d[:, :2] = CENTER + RNG.uniform(-1, 1, (44, 2))
    whole, part = (get_example(someone, picture(), CENTER, BOX, Augmentation(part=name), 64) for name in (None, "head"))
    np.testing.assert_array_equal(whole.crop_from_picture, part.crop_from_picture)


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 120), (100, 400 / 3)), ((100, 200), (150, 200)), ((3, 4), (3, 4))]
)
def test_box_grows_to_the_aspect(size: tuple[float, float], expected: tuple[float, float]) -> None:
    np.testing.assert_allclose(expand_to_aspect(np.array(size, float), (192, 256)), expected)
    np.testing.assert_array_equal(expand_to_aspect(np.array(size), None), size)


def test_draws_keep_their_limits_and_rates() -> None:
    config = AugmentationConfig()
    drawn = [draw(np.random.default_rng(seed), config) for seed in range(2000)]
    assert drawn[7] == draw(np.random.default_rng(7), config)
    assert max(abs(x) for one in drawn for x in one.shift) == config.shift
    assert {min(one.scale for one in drawn), max(one.scale for one in drawn)} == {0.7, 1.3}
    assert max(abs(one.rotation) for one in drawn) == 60
    assert all(0.8 <= x <= 1.2 for one in drawn for x in one.color)
    rates = {
        0.6: np.mean([one.rotation != 0 for one in drawn]),
        0.5: np.mean([one.flip for one in drawn]),
        0.1: np.mean([one.part is not None for one in drawn]),
    }
    for rate, measured in rates.items():
        assert measured == pytest.approx(rate, abs=0.04)
    assert {one.part for one in drawn} == {None, *AGGRESSIVE}
    usual = replace(config, aggressive=False, part_rate=1.0)
    assert {draw(np.random.default_rng(seed), usual).part for seed in range(100)} == set(USUAL)
