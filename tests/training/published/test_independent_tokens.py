from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT_NAMES as SMPL_NAMES
from mocap.body.skeleton import load_skeleton
from mocap.body.torch_rotations import random_rotations
from mocap.people.roi import apply_affine
from training.published import independent_tokens as data
from training.published.independent_tokens import Estimates, Labels, LossWeights, losses

RNG = np.random.default_rng(1)
WEIGHTS = LossWeights()


def random_clips(count: int = 3, labelled: int = 2, frames: int = 4) -> tuple[Estimates, Labels]:
    generator = torch.Generator().manual_seed(count + frames)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def confident(points: Tensor) -> Tensor:
        return torch.cat([points, (normal(*points.shape[:-1], 1) > -1).float()], -1)

    found = Estimates(normal(count, frames, 49, 2), normal(count, frames, 49, 3), 0.3 * normal(count, frames, 85))
    picture, points = confident(normal(count, frames, 49, 2)), confident(normal(labelled, frames, 49, 3))
    return found, Labels(picture, points, 0.3 * normal(labelled, frames, 85), torch.ones(labelled, frames))


def test_the_truth_costs_its_norm_alone() -> None:
    _, labels = random_clips(2, 2)
    found = Estimates(labels.picture[..., :2], labels.points[..., :3] + torch.tensor([1.0, 2.0, 3.0]), labels.theta)
    terms = losses(WEIGHTS, found, labels)
    expected = labels.theta[..., 3:].square().sum().sqrt() / 8
    torch.testing.assert_close(terms["norm"], expected)
    torch.testing.assert_close(terms["total"], expected)


def test_the_total_is_the_weighted_sum() -> None:
    found, labels = random_clips()
    plain = losses(LossWeights(1, 1, 1, 1, 1, 1), found, labels)
    terms = losses(WEIGHTS, found, labels)
    for name, weight in asdict(WEIGHTS).items():
        if name != "pose_distance":
            torch.testing.assert_close(terms[name], weight * plain[name])
    torch.testing.assert_close(terms["total"], torch.stack([x for name, x in terms.items() if name != "total"]).sum())


def test_clips_with_labels_in_the_picture_alone_teach_only_that() -> None:
    found, labels = random_clips()
    found = Estimates(*(x.requires_grad_() for x in found))
    losses(WEIGHTS, found, labels)["total"].backward()
    assert all(x.grad is not None for x in found)
    reached = [[bool((clip != 0).any()) for clip in x.grad] for x in found]  # type: ignore[union-attr]
    assert reached == [[True, True, True], [False, True, True], [False, True, True]]


def test_points_without_confidence_count_as_right() -> None:
    found, labels = random_clips()
    unseen = labels.picture[..., 2] == 0
    moved = found._replace(picture=torch.where(unseen[..., None], 9.0, found.picture))
    assert torch.equal(losses(WEIGHTS, moved, labels)["picture"], losses(WEIGHTS, found, labels)["picture"])
    none = labels._replace(picture=labels.picture * torch.tensor([1.0, 1, 0]), points=torch.zeros_like(labels.points))
    terms = losses(WEIGHTS, found, none)
    assert terms["picture"] == terms["points"] == terms["velocity"] == 0


def test_velocity_asks_for_motion_and_not_for_place() -> None:
    found, labels = random_clips(2, 2)
    shift = torch.randn(2, 1, 49, 3)  # of each point, the same in all frames
    shifted = found._replace(points=labels.points[..., :3] + shift - shift[..., [27, 28], :].mean(-2, keepdim=True))
    terms = losses(WEIGHTS, shifted, labels)
    assert terms["velocity"] < 1e-6 < terms["points"]


def test_single_pictures_have_no_velocity() -> None:
    terms = losses(WEIGHTS, *random_clips(3, 3, frames=1))
    assert terms["velocity"] == 0
    assert torch.isfinite(terms["total"])


def test_frames_without_smpl_are_left_out() -> None:
    found, labels = random_clips(2, 2)
    half = labels._replace(has_smpl=torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0]]))
    first = Estimates(*(x[:1, :2] for x in found)), Labels(*(x[:1, :2] for x in labels[:4]))
    for name in ("pose", "shape"):
        torch.testing.assert_close(losses(WEIGHTS, found, half)[name], losses(WEIGHTS, *first)[name])
    none = losses(WEIGHTS, found, labels._replace(has_smpl=torch.zeros(2, 4)))
    assert none["pose"] == none["shape"] == 0


def test_a_whole_turn_is_no_error_unless_axis_angles_are_compared() -> None:
    found, labels = random_clips(2, 2)
    pose = labels.theta[..., 3:75].unflatten(-1, (24, 3))
    turned = (pose + 2 * torch.pi * pose / pose.norm(dim=-1, keepdim=True)).flatten(-2)
    theta = torch.cat([labels.theta[..., :3], turned, labels.theta[..., 75:]], -1)
    same = found._replace(theta=theta)
    assert losses(WEIGHTS, same, labels)["pose"] < 1e-6
    assert losses(replace(WEIGHTS, pose_distance="axis_angle"), same, labels)["pose"] > 1


def test_theta_is_camera_pose_and_shape() -> None:
    R = random_rotations((2, 3, 24))
    theta = data.theta_of({"R": R, "betas": torch.ones(2, 3, 10), "camera": torch.zeros(2, 3, 3)})
    assert theta.shape == (2, 3, 85)
    assert theta[..., :3].abs().max() == 0
    assert (theta[..., 75:] == 1).all()
    turned = torch.from_numpy(axis_angle_to_matrix(theta[..., 3:75].unflatten(-1, (24, 3)).numpy()))
    torch.testing.assert_close(turned.float(), R, atol=1e-4, rtol=0)


def test_the_perspective_is_nearly_weak() -> None:
    points = 0.5 * torch.randn(4, 49, 3)
    camera = torch.tensor([[0.9, 0.1, -0.05]]).expand(4, 3)
    weak = 0.9 * (points[..., :2] + camera[:, None, 1:])
    assert (data.in_picture(points, camera) - weak).abs().max() < 0.06
    torch.testing.assert_close(data.in_picture(torch.zeros(4, 1, 3), camera)[:, 0], 0.9 * camera[:, 1:])


def test_joints_are_taken_from_their_own_side() -> None:
    assert len(data.JOINT_NAMES) == len(data.JOINT_ORDER) == 49
    for name, joint in zip(data.JOINT_NAMES, data.JOINT_ORDER, strict=True):
        if joint < 24 and ("left" in name or "right" in name):
            side, part = name.split()[1].split("_", 1)
            assert SMPL_NAMES[joint].startswith(side)
            assert SMPL_NAMES[joint].endswith(part) or part == "ankle"
    joints, vertices = torch.randn(2, 45, 3), torch.randn(2, 7, 3)
    out = data.spin_joints(joints, vertices, torch.eye(9, 7))
    assert torch.equal(out[:, data.JOINT_NAMES.index("openpose middle_hip")], joints[:, 0])
    assert torch.equal(out[:, data.JOINT_NAMES.index("lsp right_hip")], vertices[:, 0])


def test_twins_are_the_same_part_of_the_other_side() -> None:
    for twins, names in ((data.TWINS, data.JOINT_NAMES), (data.SMPL_TWINS, SMPL_NAMES)):
        assert [twins[twin] for twin in twins] == list(range(len(names)))
        for name, twin in zip(names, twins, strict=True):
            other = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
            assert names[twin] == other


def test_a_mirror_of_a_mirror_is_the_person() -> None:
    picture, points, pose = RNG.normal(size=(5, 49, 3)), RNG.normal(size=(5, 49, 4)), RNG.normal(size=(5, 72))
    np.testing.assert_allclose(data.mirror_picture(data.mirror_picture(picture, 64), 64), picture)
    np.testing.assert_allclose(data.mirror_points(data.mirror_points(points)), points)
    np.testing.assert_allclose(data.mirror_pose(data.mirror_pose(pose)), pose)


def test_a_mirrored_pose_gives_mirrored_joints() -> None:
    skeleton = load_skeleton()
    mean = 0.5 * (skeleton.mean + skeleton.mean[data.SMPL_TWINS] * (-1, 1, 1))
    symmetric = replace(skeleton, mean=mean, directions=0 * skeleton.directions)

    def joints(pose: np.ndarray) -> np.ndarray:
        return symmetric.forward(axis_angle_to_matrix(pose.reshape(-1, 24, 3)), np.zeros(3), np.zeros(10))

    pose = RNG.normal(0, 0.5, (6, 72))
    expected = joints(pose)[:, data.SMPL_TWINS] * (-1, 1, 1)
    np.testing.assert_allclose(joints(data.mirror_pose(pose)), expected, atol=1e-6)


def test_the_released_codes_mirror_leaves_the_right_hand() -> None:
    pose = RNG.normal(size=72)
    right, released = data.mirror_pose(pose), data.mirror_pose(pose, keep_right_hand=True)
    np.testing.assert_array_equal(released[:-3], right[:-3])
    np.testing.assert_array_equal(released[-3:], pose[-3:])
    assert not np.allclose(right[-3:], pose[-3:])


def test_a_box_holds_the_points_that_are_seen() -> None:
    points = np.concatenate([RNG.uniform(20, 300, (49, 2)), np.ones((49, 1))], 1)
    points[5] = (0, 0, 0)
    x, y, width, height = data.box_of_points(points)
    assert width == height
    inside = np.abs(points[:, :2] - (x, y)).max(1) * 2.2 <= width + 1e-6
    assert inside.tolist() == [index != 5 for index in range(49)]


@pytest.mark.parametrize("rotation", [0.0, 20.0, -75.0])
def test_a_crop_shows_the_box(rotation: float) -> None:
    box, shift = np.array([150.0, 110.0, 120.0, 90.0]), (0.1, -0.2)
    transform = data.crop_transform(box, 64, 1.3, rotation, shift)
    center = box[:2] + np.array(shift) * box[2:]
    np.testing.assert_allclose(apply_affine(transform, center), (32, 32), atol=1e-3)
    size = np.linalg.svd(transform[:, :2])[1] * 1.3
    if rotation == 0:
        np.testing.assert_allclose(sorted(size), sorted(64 / box[2:]), rtol=1e-5)
    top = apply_affine(np.linalg.inv(np.vstack([transform, (0, 0, 1)]))[:2], np.array([32.0, 0.0])) - center
    angle = np.radians(rotation)
    np.testing.assert_allclose(top, 1.3 * 45 * np.array([np.sin(angle), -np.cos(angle)]), atol=1e-3)


def test_pixels_and_points_move_together() -> None:
    frame, point = np.zeros((240, 320, 3), np.uint8), np.array([171, 96])
    frame[90:103, 165:178] = 200  # a square around it
    transform = data.crop_transform(np.array([150.0, 110.0, 120.0, 120.0]), 128, 1.3, 20.0)
    picture = data.crop(frame, transform, 128)
    assert picture.dtype == np.uint8
    rows, columns, _ = picture.nonzero()
    np.testing.assert_allclose((columns.mean(), rows.mean()), apply_affine(transform, point), atol=0.2)


def test_a_crop_of_the_whole_frame_is_the_frame_and_beyond_it_is_black() -> None:
    frame = RNG.integers(1, 256, (64, 64, 3), dtype=np.uint8)
    whole = np.array([32.0, 32.0, 64.0, 64.0])
    np.testing.assert_array_equal(data.crop(frame, data.crop_transform(whole, 64, 1.0), 64), frame)
    wide = data.crop(frame, data.crop_transform(whole, 128, 2.0), 128)
    np.testing.assert_array_equal(wide[32:96, 32:96], frame)
    assert wide.astype(int).sum() == frame.astype(int).sum()


@pytest.mark.parametrize("lengths", [(21, 9), (16, 3, 40), (1, 8)])
def test_clips_stay_within_their_video(lengths: tuple[int, ...]) -> None:
    videos = np.repeat(np.arange(len(lengths)), lengths)
    clips = data.clips_of(videos, 8, 4)
    assert clips.shape[1] == 8
    assert (videos[clips] == videos[clips[:, :1]]).all()
    assert (np.abs(np.diff(clips, axis=1)) <= 1).all()
    assert set(clips.flatten()) == set(range(sum(lengths)))
    whole = data.clips_of([str(video) for video in videos], 8, 4, pad=False)
    assert (np.diff(whole, axis=1) == 1).all()
    assert len(whole) == sum(max(0, (length - 8) // 4 + 1) for length in lengths)


def test_no_video_is_long_enough() -> None:
    assert data.clips_of(["a"] * 7, 8, 4, pad=False).shape == (0, 8)
